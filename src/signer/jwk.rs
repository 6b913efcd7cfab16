//! One private JWK, from its JSON to a key that signs, or to the reason why it is refused.
//!
//! What is published is written from the public parts by type; it is never a filtered copy of
//! the private JSON.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaSignatureEncoding};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Curve};
use super::published;
use crate::go_json;

/// Below, RSA can be broken with effort; RFC 7518, section 3.3 demands it.
const MIN_RSA_BITS: usize = 2048;
/// Above, a signature takes so long that a service cannot give it on request.
const MAX_RSA_BITS: usize = 8192;

/// A private JWK as it stands in the file. Its members are judged by [`SigningKey::try_from`].
#[derive(Deserialize)]
pub(super) struct PrivateJwk {
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<Octets>,
    e: Option<Octets>,
    d: Option<Octets>,
    p: Option<Octets>,
    q: Option<Octets>,
    dp: Option<Octets>,
    dq: Option<Octets>,
    qi: Option<Octets>,
    x: Option<Octets>,
    y: Option<Octets>,
}

/// Why a JWK cannot sign tokens. Repeats only members that are public by their nature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwk {
    #[error("it has no key type (kty)")]
    NoKeyType,
    #[error("it is a symmetric key: whoever verifies with it could sign with it; use RS256")]
    Symmetric,
    #[error("its key type (kty) {0:?} cannot sign tokens; RSA, EC and OKP can")]
    UnknownKeyType(String),
    #[error("it has no key id (kid), by which verifiers choose the key")]
    NoKid,
    #[error("it has no algorithm (alg); one of {} has to stand there", Algorithm::NAMES)]
    NoAlgorithm,
    #[error("its algorithm (alg) {0:?} cannot sign tokens; one of {names} can", names = Algorithm::NAMES)]
    UnknownAlgorithm(String),
    #[error("its algorithm (alg) {alg} needs a key of type {needs}, not {kty}")]
    KeyTypeMismatch { alg: &'static str, needs: &'static str, kty: String },
    #[error("its algorithm (alg) {alg} needs the curve (crv) {needs}, not {crv:?}")]
    CurveMismatch { alg: &'static str, needs: &'static str, crv: String },
    #[error("it is a public key; the private one, with the member d, is needed")]
    Public,
    #[error("the member {0} is missing")]
    Missing(&'static str),
    #[error("the member {member} has to be {expected} bytes long (RFC 7518, section 6.2)")]
    Length { member: &'static str, expected: usize },
    #[error("an RSA key of {0} bits is not accepted: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are")]
    RsaSize(usize),
    #[error("its members do not belong together")]
    Inconsistent,
    #[error("a signature made with it is not verified by its public key")]
    DoesNotVerify,
}

/// A key that signs, tried: what is published verifies what it signs.
pub struct SigningKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    pair: KeyPair,
    encoded_header: String,
    public_jwk: String,
}

enum KeyPair {
    Rsa(RsaKeyPair, &'static RsaSignatureEncoding),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signature could not be made")]
pub struct NoSignature;

impl SigningKey {
    /// The name by which verifiers find it in the JWK Set.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The same, for whoever keeps it longer than the key.
    pub(super) fn shared_kid(&self) -> Arc<str> {
        Arc::clone(&self.kid)
    }

    /// The one algorithm that it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The first segment of every token of this key.
    pub(super) fn encoded_header(&self) -> &str {
        &self.encoded_header
    }

    /// The public JWK as it is published. Equal for equal keys of one `kid` and `alg`.
    #[must_use]
    pub fn public_jwk(&self) -> &str {
        &self.public_jwk
    }

    /// The signature in the form of its `alg` (RFC 7518, section 3; RFC 8037, section 3.1).
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoSignature> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyPair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| NoSignature)?;
                Ok(signature)
            }
            KeyPair::Ec(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| NoSignature),
            KeyPair::Ed25519(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| NoSignature),
        }
    }

    /// How long its signatures are (RFC 7518, sections 3.3 to 3.5; RFC 8032, section 5.1.6).
    pub(super) fn signature_bytes(&self) -> usize {
        match (&self.pair, self.algorithm) {
            (KeyPair::Rsa(pair, _), _) => pair.public_modulus_len(),
            (_, Algorithm::Ec(curve)) => 2 * curve.field_bytes,
            _ => 64,
        }
    }

    /// The key, if it passes the trial.
    pub(super) fn tried(self) -> Result<Self, InvalidJwk> {
        self.try_out().map(|()| self)
    }

    /// Makes a signature and verifies it with what is published.
    pub(super) fn try_out(&self) -> Result<(), InvalidJwk> {
        let message = b"a signature made before the first token depends on it";
        let signature = self.sign(message).map_err(|NoSignature| InvalidJwk::DoesNotVerify)?;
        if published::verifies(&self.public_jwk, self.algorithm, message, &signature) {
            Ok(())
        } else {
            Err(InvalidJwk::DoesNotVerify)
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.kid).finish()
    }
}

impl TryFrom<&PrivateJwk> for SigningKey {
    type Error = InvalidJwk;

    fn try_from(jwk: &PrivateJwk) -> Result<Self, InvalidJwk> {
        let kty = match jwk.kty.as_deref() {
            Some(kty @ ("RSA" | "EC" | "OKP")) => kty,
            Some("oct") => return Err(InvalidJwk::Symmetric),
            Some(other) => return Err(InvalidJwk::UnknownKeyType(other.to_owned())),
            None => return Err(InvalidJwk::NoKeyType),
        };
        let kid = match jwk.kid.as_deref() {
            None | Some("") => return Err(InvalidJwk::NoKid),
            Some(kid) => kid,
        };
        let alg =
            jwk.alg.as_deref().filter(|alg| !alg.is_empty()).ok_or(InvalidJwk::NoAlgorithm)?;
        let algorithm = Algorithm::from_name(alg)
            .ok_or_else(|| InvalidJwk::UnknownAlgorithm(alg.to_owned()))?;
        let (alg, needs) = (algorithm.name(), algorithm.key_type());
        if kty != needs {
            return Err(InvalidJwk::KeyTypeMismatch { alg, needs, kty: kty.to_owned() });
        }
        let (pair, public) = match algorithm {
            Algorithm::Rsa(_, encoding) => jwk.rsa(encoding)?,
            Algorithm::Ec(curve) => jwk.ec(curve)?,
            Algorithm::Ed25519 => jwk.ed25519()?,
        };
        let encoded_header =
            encode_json(&Header { alg, kid }, |json| URL_SAFE_NO_PAD.encode(json))?;
        let public_jwk = encode_json(
            &PublicJwk { r#use: "sig", kty: needs, kid, crv: public.crv, alg, key: public.key },
            |json| String::from_utf8_lossy(json).into_owned(),
        )?;
        Ok(Self { kid: kid.into(), algorithm, pair, encoded_header, public_jwk })
    }
}

impl PrivateJwk {
    fn rsa(
        &self,
        encoding: &'static RsaSignatureEncoding,
    ) -> Result<(KeyPair, Public), InvalidJwk> {
        // Written with leading zeros by some tools; published, and taken by aws-lc, without.
        let n = required(self.n.as_ref(), "n")?.without_leading_zeros();
        let e = required(self.e.as_ref(), "e")?.without_leading_zeros();
        let d = self.private()?;
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(InvalidJwk::RsaSize(bits));
        }
        let p = required(self.p.as_ref(), "p")?;
        let q = required(self.q.as_ref(), "q")?;
        let crt = Crt::of(d, p, q).ok_or(InvalidJwk::Inconsistent)?;
        let or_computed = |member: &Option<Octets>, computed: Zeroizing<Vec<u8>>| {
            member.as_ref().map_or(computed, |octets| octets.0.clone())
        };
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n, e },
            d: &d.0[..],
            p: &p.0[..],
            q: &q.0[..],
            dP: &or_computed(&self.dp, crt.dp)[..],
            dQ: &or_computed(&self.dq, crt.dq)[..],
            qInv: &or_computed(&self.qi, crt.qi)[..],
        };
        let pair =
            RsaKeyPair::from_components(&components).map_err(|_| InvalidJwk::Inconsistent)?;
        let key = PublicKey::Rsa { n: base64url(n), e: base64url(e) };
        Ok((KeyPair::Rsa(pair, encoding), Public { crv: None, key }))
    }

    fn ec(&self, curve: &'static Curve) -> Result<(KeyPair, Public), InvalidJwk> {
        self.is_on(curve.alg, curve.name)?;
        let point = self.point(curve)?;
        let d = self.private()?.exactly(curve.field_bytes, "d")?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing, d, &point)
            .map_err(|_| InvalidJwk::Inconsistent)?;
        let (x, y) = point[1..].split_at(curve.field_bytes);
        let key = PublicKey::Ec { x: base64url(x), y: base64url(y) };
        Ok((KeyPair::Ec(pair), Public { crv: Some(curve.name), key }))
    }

    /// The public point, uncompressed (SEC 1, section 2.3.3).
    fn point(&self, curve: &Curve) -> Result<Vec<u8>, InvalidJwk> {
        let x = required(self.x.as_ref(), "x")?.exactly(curve.field_bytes, "x")?;
        let y = required(self.y.as_ref(), "y")?.exactly(curve.field_bytes, "y")?;
        Ok([&[4], x, y].concat())
    }

    fn ed25519(&self) -> Result<(KeyPair, Public), InvalidJwk> {
        self.is_on("EdDSA", "Ed25519")?;
        let x = required(self.x.as_ref(), "x")?.exactly(32, "x")?;
        let d = self.private()?.exactly(32, "d")?;
        let pair =
            Ed25519KeyPair::from_seed_and_public_key(d, x).map_err(|_| InvalidJwk::Inconsistent)?;
        let key = PublicKey::Ed25519 { x: base64url(x) };
        Ok((KeyPair::Ed25519(pair), Public { crv: Some("Ed25519"), key }))
    }

    fn private(&self) -> Result<&Octets, InvalidJwk> {
        self.d.as_ref().ok_or(InvalidJwk::Public)
    }

    fn is_on(&self, alg: &'static str, needs: &'static str) -> Result<(), InvalidJwk> {
        match self.crv.as_deref() {
            Some(crv) if crv == needs => Ok(()),
            Some(crv) => Err(InvalidJwk::CurveMismatch { alg, needs, crv: crv.to_owned() }),
            None => Err(InvalidJwk::Missing("crv")),
        }
    }
}

fn required<'a>(member: Option<&'a Octets>, name: &'static str) -> Result<&'a Octets, InvalidJwk> {
    member.ok_or(InvalidJwk::Missing(name))
}

/// The values by which RSA signs faster (RFC 8017, section 3.2), computed where a JWK lacks them.
struct Crt {
    dp: Zeroizing<Vec<u8>>,
    dq: Zeroizing<Vec<u8>>,
    qi: Zeroizing<Vec<u8>>,
}

impl Crt {
    fn of(d: &Octets, p: &Octets, q: &Octets) -> Option<Self> {
        let [d, p, q] = [d, p, q].map(|octets| BigUint::from_bytes_be(&octets.0));
        let one = BigUint::from(1_u8);
        if p <= one || q <= one {
            return None;
        }
        let bytes = |number: BigUint| Zeroizing::new(number.to_bytes_be());
        Some(Self {
            dp: bytes(&d % (&p - &one)),
            dq: bytes(&d % (&q - &one)),
            qi: bytes(q.modinv(&p)?),
        })
    }
}

struct Public {
    crv: Option<&'static str>,
    key: PublicKey,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

/// The members in the order of the Go service.
#[derive(Serialize)]
struct PublicJwk<'a> {
    r#use: &'static str,
    kty: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(flatten)]
    key: PublicKey,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PublicKey {
    Rsa { n: String, e: String },
    Ec { x: String, y: String },
    Ed25519 { x: String },
}

fn encode_json(
    value: &impl Serialize,
    encode: impl Fn(&[u8]) -> String,
) -> Result<String, InvalidJwk> {
    go_json::to_vec(value).map(|json| encode(&json)).map_err(|_| InvalidJwk::DoesNotVerify)
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `Base64urlUInt` or octets (RFC 7518, section 2), decoded and wiped after use.
struct Octets(Zeroizing<Vec<u8>>);

/// As Go reads it: no padding, and bits that are left over are not looked at.
const LENIENT_NO_PAD: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

impl Octets {
    fn without_leading_zeros(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        &self.0[zeros..]
    }

    fn exactly(&self, bytes: usize, member: &'static str) -> Result<&[u8], InvalidJwk> {
        if self.0.len() == bytes {
            Ok(&self.0)
        } else {
            Err(InvalidJwk::Length { member, expected: bytes })
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OctetsVisitor)
    }
}

struct OctetsVisitor;

impl Visitor<'_> for OctetsVisitor {
    type Value = Octets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unpadded base64url")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Octets, E> {
        LENIENT_NO_PAD
            .decode(text)
            .map(|bytes| Octets(Zeroizing::new(bytes)))
            .map_err(|_| E::custom("not unpadded base64url"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::super::generate::{RsaSize, private_jwk};
    use super::*;

    fn signing_key(file: &str) -> SigningKey {
        let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        read(&std::fs::read_to_string(path).unwrap())
    }

    fn made(alg: &str) -> SigningKey {
        let algorithm = Algorithm::from_name(alg).unwrap();
        read(private_jwk(algorithm, RsaSize::default(), None).unwrap().expose_secret())
    }

    fn read(json: &str) -> SigningKey {
        SigningKey::try_from(&serde_json::from_str::<PrivateJwk>(json).unwrap()).unwrap()
    }

    #[test]
    fn a_key_whose_published_form_does_not_verify_it_is_refused() {
        assert!(signing_key("signing-key.jwk").tried().is_ok());
        let mut key = signing_key("signing-key.jwk");
        key.public_jwk = signing_key("keys/rsa3072.jwk").public_jwk;
        assert_eq!(key.tried().err(), Some(InvalidJwk::DoesNotVerify));
        for alg in ["ES256", "ES384", "ES512", "EdDSA"] {
            let [mut key, other] = [made(alg), made(alg)];
            key.public_jwk = other.public_jwk;
            assert_eq!(key.tried().err(), Some(InvalidJwk::DoesNotVerify), "{alg}");
        }
    }

    #[test]
    fn a_signature_is_as_long_as_is_said_before_it_is_made() {
        let rsa = ["signing-key.jwk", "keys/rsa3072.jwk"].map(signing_key);
        let others = ["ES256", "ES384", "ES512", "EdDSA"].map(made);
        for key in rsa.iter().chain(&others) {
            assert_eq!(key.sign(b"message").unwrap().len(), key.signature_bytes(), "{key:?}");
        }
    }
}
