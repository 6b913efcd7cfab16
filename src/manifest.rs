//! The manifest: what a store should hold, as a file that can be reviewed and kept.
//!
//! Integrations with their keys by hash, and organizations without their keys (those are their own
//! names in Datastore, so a list of them would be a list of secrets). What may not enter here is a
//! secret: a file that holds one is refused, and nothing of it is repeated.

mod compare;
mod form;

use std::collections::HashSet;

use jiff::Timestamp;

pub use self::compare::{Holdings, Objection, Sign, Step, compare};
use self::form::{ManifestForm, organization_form};
use crate::api_key::{IntegrationId, KeyId, OrganizationName, SecretHash};
use crate::key_life::Remark;
use crate::key_store::{
    Defect, Description, IntegrationKeyRow, IntegrationRow, KeyStatus, OrganizationRow,
};

/// The largest manifest that is read, in bytes: 100,000 keys need about 25 MB.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024 * 1024;

/// What a store holds, or should hold. Names are unique, and all of them can be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    pub integrations: Vec<IntegrationEntry>,
    pub organizations: Vec<OrganizationEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationEntry {
    pub id: IntegrationId,
    pub description: Description,
    pub keys: Vec<KeyEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    pub id: KeyId,
    pub secret_hash: SecretHash,
    pub tier: i64,
    pub description: Description,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub note: Option<Remark>,
    /// Why it is revoked, if it is.
    pub revoked: Option<Remark>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationEntry {
    pub name: OrganizationName,
    pub email: String,
    /// `None` is left as it stands.
    pub probability_multiplier: Option<f64>,
}

/// Why a file is no manifest. The text never repeats a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    #[error("it holds an API key with its secret, at line {line}: a manifest holds hashes only")]
    Secret { line: usize },
    #[error("it is larger than {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    #[error("{0}")]
    Syntax(String),
    #[error("it is of version {0}, and only version 1 is known here")]
    Version(u32),
    #[error("{record}: {reason}")]
    Entry { record: String, reason: String },
}

impl Manifest {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// When it is neither, says something unknown, or holds a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidManifest> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(InvalidManifest::TooLarge);
        }
        // Before anything else: whatever else is wrong with the file, this is worse.
        if let Some(line) = text.lines().position(|line| line.contains("mlabk.cii_")) {
            return Err(InvalidManifest::Secret { line: line + 1 });
        }
        let form = ManifestForm::parse(text)?;
        let mut manifest = Self::default();
        for integration in form.integrations {
            manifest.integrations.push(integration.check()?);
        }
        for organization in form.organizations {
            manifest.organizations.push(organization.check()?);
        }
        manifest.check_unique()?;
        Ok(manifest)
    }

    /// The manifest as YAML.
    ///
    /// # Errors
    /// When it cannot be written down, which no manifest is known for.
    pub fn to_yaml(&self) -> Result<String, InvalidManifest> {
        ManifestForm::from(self).to_yaml()
    }

    /// The manifest as JSON.
    ///
    /// # Errors
    /// As of [`Self::to_yaml`].
    pub fn to_json(&self) -> Result<String, InvalidManifest> {
        ManifestForm::from(self).to_json()
    }

    /// Takes up an integration as it stands. The error says why no manifest can hold it.
    ///
    /// # Errors
    /// When no API key could name it.
    pub fn add_integration(&mut self, row: &IntegrationRow) -> Result<(), String> {
        self.integrations.push(IntegrationEntry {
            id: IntegrationId::parse(&row.id).map_err(|reason| format!("the id: {reason}"))?,
            description: description(&row.description)?,
            keys: Vec::new(),
        });
        Ok(())
    }

    /// The key as a manifest says it.
    ///
    /// # Errors
    /// When no manifest can: such a key opens nothing.
    pub fn key_entry(row: &IntegrationKeyRow) -> Result<KeyEntry, String> {
        if let Some(defect) = row.defects.iter().find(|defect| defect.fails_readers()) {
            return Err(defect.to_string());
        }
        let facts = row.facts_in_force();
        let revoked = facts.and_then(|facts| facts.revoked.as_ref()).map(|one| one.reason.clone());
        let stopped = (row.key_status() != KeyStatus::Active)
            .then(|| format!("the status is {:?}", row.status));
        let remark = |text: String| {
            Remark::parse(&text).ok_or_else(|| "a remark is empty or too long".to_owned())
        };
        Ok(KeyEntry {
            id: KeyId::parse(&row.key_id).map_err(|reason| format!("the key id: {reason}"))?,
            secret_hash: row.secret_hash().ok_or("the hash is none that a secret has")?,
            tier: row.tier,
            description: description(&row.description)?,
            not_before: facts.and_then(|facts| facts.not_before),
            expires_at: facts.and_then(|facts| facts.expires_at),
            note: facts.and_then(|facts| facts.note.clone()).map(remark).transpose()?,
            revoked: revoked.or(stopped).map(remark).transpose()?,
        })
    }

    /// Takes up an organization as it stands.
    ///
    /// # Errors
    /// When its record is not what a manifest could bring about.
    pub fn add_organization(&mut self, row: &OrganizationRow) -> Result<(), String> {
        if let Some(defect) = row
            .defects
            .iter()
            .find(|defect| defect.fails_readers() && **defect != Defect::IntegerMultiplier)
        {
            return Err(defect.to_string());
        }
        let entry = organization_form(row).check().map_err(|error| error.to_string())?;
        self.organizations.push(entry);
        Ok(())
    }

    fn check_unique(&self) -> Result<(), InvalidManifest> {
        let twice = |record: String| InvalidManifest::Entry {
            record,
            reason: "it stands there twice".to_owned(),
        };
        let mut seen = HashSet::new();
        for integration in &self.integrations {
            if !seen.insert(integration.id.as_str()) {
                return Err(twice(format!("integration {}", integration.id)));
            }
            let mut keys = HashSet::new();
            for key in &integration.keys {
                if !keys.insert(key.id.as_str()) {
                    let record = format!("key {} of integration {}", key.id, integration.id);
                    return Err(twice(record));
                }
            }
        }
        let mut seen = HashSet::new();
        for organization in &self.organizations {
            if !seen.insert(organization.name.as_str()) {
                return Err(twice(format!("organization {}", organization.name)));
            }
        }
        Ok(())
    }
}

fn description(text: &str) -> Result<Description, String> {
    Description::parse(text)
        .ok_or_else(|| format!("the description is longer than {} bytes", Description::MAX_BYTES))
}

#[cfg(test)]
mod tests;
