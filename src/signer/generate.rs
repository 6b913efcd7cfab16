//! Makes a signing key, as the private JWK that a key file holds.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use pkcs8::PrivateKeyInfo;
use pkcs8::der::Decode as _;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Curve};
use crate::go_json;

/// Why no key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key could not be generated: {0}")]
pub struct NotGenerated(&'static str);

/// Sizes of RSA keys that can be made, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RsaSize {
    #[default]
    Bits2048,
    Bits3072,
    Bits4096,
    Bits8192,
}

impl RsaSize {
    /// `None` for a size that cannot be made: RFC 7518 allows others, but nobody needs them.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            2048 => Self::Bits2048,
            3072 => Self::Bits3072,
            4096 => Self::Bits4096,
            8192 => Self::Bits8192,
            _ => return None,
        })
    }

    fn of_library(self) -> KeySize {
        match self {
            Self::Bits2048 => KeySize::Rsa2048,
            Self::Bits3072 => KeySize::Rsa3072,
            Self::Bits4096 => KeySize::Rsa4096,
            Self::Bits8192 => KeySize::Rsa8192,
        }
    }
}

/// Makes an RSA key of 2048 bits for RS256, which every verifier takes. Its `kid` is its RFC 7638
/// thumbprint.
///
/// # Errors
/// When the cryptographic library fails.
pub fn rs256() -> Result<SecretString, NotGenerated> {
    private_jwk(Algorithm::DEFAULT, RsaSize::default(), None)
}

/// Makes a key for an algorithm. The size matters for RSA only; the `kid` is the RFC 7638
/// thumbprint unless one is given.
///
/// # Errors
/// When the cryptographic library fails.
pub fn private_jwk(
    algorithm: Algorithm,
    size: RsaSize,
    kid: Option<&str>,
) -> Result<SecretString, NotGenerated> {
    let key = match algorithm {
        Algorithm::Rsa(..) => rsa(size)?,
        Algorithm::Ec(curve) => ec(curve)?,
        Algorithm::Ed25519 => ed25519()?,
    };
    let thumbprint = key.thumbprint()?;
    let jwk = PrivateJwk {
        r#use: "sig",
        kty: algorithm.key_type(),
        kid: kid.unwrap_or(&thumbprint),
        crv: key.curve(),
        alg: algorithm.name(),
        key: &key,
    };
    let json = Zeroizing::new(go_json::to_vec(&jwk).map_err(|_| NotGenerated("no JSON"))?);
    Ok(SecretString::from(String::from_utf8_lossy(&json).into_owned()))
}

fn rsa(size: RsaSize) -> Result<PrivateKey, NotGenerated> {
    let pair = RsaKeyPair::generate(size.of_library()).map_err(|_| NotGenerated("no key pair"))?;
    let pkcs8 = pair.as_der().map_err(|_| NotGenerated("no PKCS#8"))?;
    let info =
        PrivateKeyInfo::from_der(pkcs8.as_ref()).map_err(|_| NotGenerated("unreadable PKCS#8"))?;
    let rsa = pkcs1::RsaPrivateKey::from_der(info.private_key)
        .map_err(|_| NotGenerated("unreadable PKCS#1"))?;
    let member = |number: pkcs1::UintRef<'_>| member(number.as_bytes());
    Ok(PrivateKey::Rsa {
        n: member(rsa.modulus),
        e: member(rsa.public_exponent),
        d: member(rsa.private_exponent),
        p: member(rsa.prime1),
        q: member(rsa.prime2),
        dp: member(rsa.exponent1),
        dq: member(rsa.exponent2),
        qi: member(rsa.coefficient),
    })
}

fn ec(curve: &'static Curve) -> Result<PrivateKey, NotGenerated> {
    let pair = EcdsaKeyPair::generate(curve.signing).map_err(|_| NotGenerated("no key pair"))?;
    let d = pair.private_key().as_be_bytes().map_err(|_| NotGenerated("no private key"))?;
    let point = pair.public_key().as_ref();
    let (x, y) = point
        .get(1..)
        .and_then(|coordinates| coordinates.split_at_checked(curve.field_bytes))
        .ok_or(NotGenerated("no public point"))?;
    Ok(PrivateKey::Ec { crv: curve.name, x: member(x), y: member(y), d: member(d.as_ref()) })
}

fn ed25519() -> Result<PrivateKey, NotGenerated> {
    let pair = Ed25519KeyPair::generate().map_err(|_| NotGenerated("no key pair"))?;
    let seed = pair.seed().map_err(|_| NotGenerated("no seed"))?;
    let d = seed.as_be_bytes().map_err(|_| NotGenerated("no private key"))?;
    Ok(PrivateKey::Ed25519 { x: member(pair.public_key().as_ref()), d: member(d.as_ref()) })
}

/// A member in base64url, wiped after use.
struct Member(Zeroizing<String>);

fn member(bytes: &[u8]) -> Member {
    Member(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)))
}

impl Serialize for Member {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[derive(Serialize)]
struct PrivateJwk<'a> {
    r#use: &'static str,
    kty: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(flatten)]
    key: &'a PrivateKey,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PrivateKey {
    #[rustfmt::skip]
    Rsa { n: Member, e: Member, d: Member, p: Member, q: Member, dp: Member, dq: Member, qi: Member },
    Ec {
        #[serde(skip)]
        crv: &'static str,
        x: Member,
        y: Member,
        d: Member,
    },
    Ed25519 {
        x: Member,
        d: Member,
    },
}

impl PrivateKey {
    fn curve(&self) -> Option<&'static str> {
        match self {
            Self::Rsa { .. } => None,
            Self::Ec { crv, .. } => Some(crv),
            Self::Ed25519 { .. } => Some("Ed25519"),
        }
    }

    fn thumbprint(&self) -> Result<String, NotGenerated> {
        let public = match self {
            Self::Rsa { n, e, .. } => json!({ "kty": "RSA", "n": n, "e": e }),
            Self::Ec { crv, x, y, .. } => json!({ "kty": "EC", "crv": crv, "x": x, "y": y }),
            Self::Ed25519 { x, .. } => json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        };
        serde_json::from_value::<Jwk>(public)
            .ok()
            .and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256).ok())
            .ok_or(NotGenerated("no thumbprint"))
    }
}
