//! The line that a recipient of an API key hands to the operator in place of the key.
//!
//! `mlabkh.cii_<integration id>.<key id>.<64 hex digits>`: ids and hash, and no secret. Its prefix
//! differs from that of a key, so that neither is taken for the other.

use std::fmt;
use std::str::FromStr;

use super::{INTEGRATION_PREFIX, IntegrationId, InvalidId, KeyId, SecretHash};

const PREFIX: &str = "mlabkh";

/// Ids and hash of a key that was generated elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    integration_id: IntegrationId,
    key_id: KeyId,
    secret_hash: SecretHash,
}

/// Why a line is none. Never repeats it: it may be an API key that was handed over by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImportLine {
    #[error(
        "this is an API key, with its secret, and not the line for the operator: have its owner \
         generate another one, and hand over the line that begins with {PREFIX}"
    )]
    ApiKey,
    #[error("it does not have the form {PREFIX}.cii_<integration id>.<key id>.<64 hex digits>")]
    Form,
    #[error("the integration id: {0}")]
    IntegrationId(InvalidId),
    #[error("the key id: {0}")]
    KeyId(InvalidId),
    #[error("the last part is not a hash: 64 hex digits in lower case")]
    Hash,
}

impl ImportLine {
    pub(super) fn new(
        integration_id: IntegrationId,
        key_id: KeyId,
        secret_hash: SecretHash,
    ) -> Self {
        Self { integration_id, key_id, secret_hash }
    }

    #[must_use]
    pub fn integration_id(&self) -> &IntegrationId {
        &self.integration_id
    }

    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        self.secret_hash
    }
}

impl FromStr for ImportLine {
    type Err = InvalidImportLine;

    /// Takes the line as it stands, without the end of a line.
    fn from_str(line: &str) -> Result<Self, InvalidImportLine> {
        let mut parts = line.split('.');
        let (Some(prefix), Some(integration), Some(key_id), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidImportLine::Form);
        };
        if prefix == super::PREFIX {
            return Err(InvalidImportLine::ApiKey);
        }
        if prefix != PREFIX {
            return Err(InvalidImportLine::Form);
        }
        let integration_id =
            integration.strip_prefix(INTEGRATION_PREFIX).ok_or(InvalidImportLine::Form)?;
        Ok(Self {
            integration_id: IntegrationId::parse(integration_id)
                .map_err(InvalidImportLine::IntegrationId)?,
            key_id: KeyId::parse(key_id).map_err(InvalidImportLine::KeyId)?,
            secret_hash: SecretHash::from_hex(hash).ok_or(InvalidImportLine::Hash)?,
        })
    }
}

impl fmt::Display for ImportLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { integration_id, key_id, secret_hash } = self;
        write!(f, "{PREFIX}.{INTEGRATION_PREFIX}{integration_id}.{key_id}.{}", secret_hash.to_hex())
    }
}
