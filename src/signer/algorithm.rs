//! The signature algorithms that a token can have: the ten asymmetric ones that go-jose takes.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaSignatureEncoding,
};

/// An `alg` value (RFC 7518, section 3.1; RFC 8037, section 3.1) that can sign a token.
#[derive(Debug, Clone, Copy)]
pub enum Algorithm {
    Rsa(&'static str, &'static RsaSignatureEncoding),
    Ec(&'static Curve),
    Ed25519,
}

/// A curve, and the one algorithm that RFC 7518 pairs with it.
#[derive(Debug)]
pub struct Curve {
    pub(super) alg: &'static str,
    /// The `crv` value.
    pub(super) name: &'static str,
    /// Length of a coordinate and of the private key, in bytes (RFC 7518, section 6.2.1.2).
    pub(super) field_bytes: usize,
    pub(super) signing: &'static EcdsaSigningAlgorithm,
    pub(super) verification: &'static EcdsaVerificationAlgorithm,
}

static P256: Curve = Curve {
    alg: "ES256",
    name: "P-256",
    field_bytes: 32,
    signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
    verification: &ECDSA_P256_SHA256_FIXED,
};
static P384: Curve = Curve {
    alg: "ES384",
    name: "P-384",
    field_bytes: 48,
    signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
    verification: &ECDSA_P384_SHA384_FIXED,
};
static P521: Curve = Curve {
    alg: "ES512",
    name: "P-521",
    field_bytes: 66,
    signing: &ECDSA_P521_SHA512_FIXED_SIGNING,
    verification: &ECDSA_P521_SHA512_FIXED,
};

impl Algorithm {
    /// Every name, in the order in which they are best tried: as an error message lists them.
    pub const NAMES: &'static str =
        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA";

    /// What every verifier takes, and what the Go service has signed with.
    pub const DEFAULT: Self = Self::Rsa("RS256", &RSA_PKCS1_SHA256);

    /// `None` for any other word: symmetric algorithms and `none` among them.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa("RS256", &RSA_PKCS1_SHA256),
            "RS384" => Self::Rsa("RS384", &RSA_PKCS1_SHA384),
            "RS512" => Self::Rsa("RS512", &RSA_PKCS1_SHA512),
            "PS256" => Self::Rsa("PS256", &RSA_PSS_SHA256),
            "PS384" => Self::Rsa("PS384", &RSA_PSS_SHA384),
            "PS512" => Self::Rsa("PS512", &RSA_PSS_SHA512),
            "ES256" => Self::Ec(&P256),
            "ES384" => Self::Ec(&P384),
            "ES512" => Self::Ec(&P521),
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    /// The `alg` value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa(name, _) => name,
            Self::Ec(curve) => curve.alg,
            Self::Ed25519 => "EdDSA",
        }
    }

    /// Whether a signature takes no more of a core than the rest of an exchange: 7 µs with Ed25519
    /// and 12 with P-256, where RSA with 2048 bits takes 210.
    #[must_use]
    pub fn is_cheap(self) -> bool {
        matches!(self.name(), "EdDSA" | "ES256")
    }

    /// Whether Cloud Endpoints takes its tokens (contract, section Tokens).
    #[must_use]
    pub fn is_taken_by_cloud_endpoints(self) -> bool {
        matches!(self.name(), "RS256" | "RS384" | "RS512" | "ES256")
    }

    /// The `kty` of its keys.
    #[must_use]
    pub fn key_type(self) -> &'static str {
        match self {
            Self::Rsa(..) => "RSA",
            Self::Ec(_) => "EC",
            Self::Ed25519 => "OKP",
        }
    }

    /// The `crv` of its keys, where they have one.
    #[must_use]
    pub fn curve(self) -> Option<&'static str> {
        match self {
            Self::Rsa(..) => None,
            Self::Ec(curve) => Some(curve.name),
            Self::Ed25519 => Some("Ed25519"),
        }
    }
}
