//! The manifest as it is written down: field names, YAML and JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_saphyr::DuplicateKeyPolicy;

use super::{
    IntegrationEntry, InvalidManifest, KeyEntry, Manifest, OrganizationEntry, description,
};
use crate::api_key::{IntegrationId, KeyId, OrganizationName, SecretHash};
use crate::key_life::Remark;
use crate::key_store::{Description, OrganizationRow};

/// The only version of the form so far.
const VERSION: u32 = 1;
/// Names, values and the lists around them: 100,000 keys of ten fields each, with room.
const MAX_YAML_NODES: usize = 5_000_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestForm {
    version: u32,
    #[serde(default)]
    pub(super) integrations: Vec<IntegrationForm>,
    #[serde(default)]
    pub(super) organizations: Vec<OrganizationForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntegrationForm {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    id: String,
    /// SHA-256 of the secret: 64 lower-case hex digits.
    secret_hash: String,
    #[serde(default)]
    tier: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationForm {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability_multiplier: Option<f64>,
}

impl ManifestForm {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidManifest> {
        let form: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text)
                .map_err(|error| syntax(&error.to_string(), error.line(), error.column()))?
        } else {
            from_yaml(text)?
        };
        if form.version == VERSION { Ok(form) } else { Err(InvalidManifest::Version(form.version)) }
    }

    pub(super) fn to_yaml(&self) -> Result<String, InvalidManifest> {
        serde_saphyr::to_string(self).map_err(|error| InvalidManifest::Syntax(error.to_string()))
    }

    pub(super) fn to_json(&self) -> Result<String, InvalidManifest> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| InvalidManifest::Syntax(error.to_string()))
    }
}

fn from_yaml(text: &str) -> Result<ManifestForm, InvalidManifest> {
    let options = serde_saphyr::options! {
        // A manifest says everything itself: an alias could make a small file a huge one.
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_events: 2 * MAX_YAML_NODES,
            max_nodes: MAX_YAML_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // An error must not show lines of the file.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| {
            (at.line().try_into().unwrap_or(0), at.column().try_into().unwrap_or(0))
        });
        syntax(&error.to_string(), line, column)
    })
}

/// A message of a parser, without the values that it repeats.
fn syntax(message: &str, line: usize, column: usize) -> InvalidManifest {
    let what =
        ["unknown field", "missing field", "duplicate field", "invalid type", "invalid value"]
            .into_iter()
            .find(|kind| message.contains(kind))
            .unwrap_or("not YAML, and not JSON either");
    // Names of fields that are known say what is missed, and none of them is a value.
    let fields = message
        .split_once(", expected one of ")
        .map(|(_, fields)| fields.split(['\n', '(']).next().unwrap_or_default())
        .map(|fields| format!(" (known are {})", fields.split(" at line").next().unwrap_or(fields)))
        .filter(|_| what == "unknown field")
        .unwrap_or_default();
    InvalidManifest::Syntax(format!("line {line}, column {column}: {what}{fields}"))
}

impl IntegrationForm {
    pub(super) fn check(self) -> Result<IntegrationEntry, InvalidManifest> {
        let record = format!("integration {:?}", self.id);
        let refused = |reason: String| InvalidManifest::Entry { record: record.clone(), reason };
        let id = IntegrationId::parse(&self.id)
            .map_err(|reason| refused(format!("the id: {reason}")))?;
        let keys = self.keys.into_iter().map(|key| key.check(&record));
        Ok(IntegrationEntry {
            id,
            description: description(&self.description).map_err(refused)?,
            keys: keys.collect::<Result<_, _>>()?,
        })
    }
}

impl KeyForm {
    fn check(self, integration: &str) -> Result<KeyEntry, InvalidManifest> {
        // An id that is wrong may be anything, a secret too.
        let named =
            KeyId::parse(&self.id).map_or_else(|_| "a key".to_owned(), |id| format!("key {id}"));
        let refused = |reason: String| InvalidManifest::Entry {
            record: format!("{named} of {integration}"),
            reason,
        };
        let time = |name: &str, time: Option<String>| {
            time.map(|time| time.parse::<Timestamp>())
                .transpose()
                .map_err(|_| refused(format!("{name} is no time of RFC 3339")))
        };
        let remark = |name: &str, text: Option<String>| {
            let parse = |text: String| {
                Remark::parse(&text).ok_or_else(|| {
                    refused(format!("{name} has to have 1 to {} bytes", Remark::MAX_BYTES))
                })
            };
            text.map(parse).transpose()
        };
        Ok(KeyEntry {
            id: KeyId::parse(&self.id).map_err(|reason| refused(format!("the id: {reason}")))?,
            secret_hash: SecretHash::from_hex(&self.secret_hash)
                .ok_or_else(|| refused("secret_hash is not 64 lower-case hex digits".to_owned()))?,
            tier: self.tier,
            description: description(&self.description).map_err(refused)?,
            not_before: time("not_before", self.not_before)?,
            expires_at: time("expires_at", self.expires_at)?,
            note: remark("note", self.note)?,
            revoked: remark("revoked", self.revoked)?,
        })
    }
}

impl OrganizationForm {
    pub(super) fn check(self) -> Result<OrganizationEntry, InvalidManifest> {
        let record = format!("organization {:?}", self.name);
        let refused = |reason: String| InvalidManifest::Entry { record: record.clone(), reason };
        if self.email.len() > Description::MAX_BYTES {
            return Err(refused("the email cannot be indexed: it is too long".to_owned()));
        }
        if self.probability_multiplier.is_some_and(|multiplier| !multiplier.is_finite()) {
            return Err(refused("probability_multiplier is not finite".to_owned()));
        }
        Ok(OrganizationEntry {
            name: OrganizationName::parse(&self.name)
                .map_err(|reason| refused(format!("the name: {reason}")))?,
            email: self.email,
            probability_multiplier: self.probability_multiplier,
        })
    }
}

/// An organization as it stands, as a manifest would say it.
pub(super) fn organization_form(row: &OrganizationRow) -> OrganizationForm {
    OrganizationForm {
        name: row.name.clone(),
        email: row.email.clone(),
        probability_multiplier: row.probability_multiplier,
    }
}

impl From<&Manifest> for ManifestForm {
    fn from(manifest: &Manifest) -> Self {
        Self {
            version: VERSION,
            integrations: manifest.integrations.iter().map(IntegrationForm::from).collect(),
            organizations: manifest.organizations.iter().map(OrganizationForm::from).collect(),
        }
    }
}

impl From<&IntegrationEntry> for IntegrationForm {
    fn from(entry: &IntegrationEntry) -> Self {
        Self {
            id: entry.id.as_str().to_owned(),
            description: entry.description.as_str().to_owned(),
            keys: entry.keys.iter().map(KeyForm::from).collect(),
        }
    }
}

impl From<&KeyEntry> for KeyForm {
    fn from(entry: &KeyEntry) -> Self {
        let text = |remark: &Option<Remark>| remark.as_ref().map(|one| one.as_str().to_owned());
        Self {
            id: entry.id.as_str().to_owned(),
            secret_hash: entry.secret_hash.to_hex(),
            tier: entry.tier,
            description: entry.description.as_str().to_owned(),
            not_before: entry.not_before.map(|time| time.to_string()),
            expires_at: entry.expires_at.map(|time| time.to_string()),
            note: text(&entry.note),
            revoked: text(&entry.revoked),
        }
    }
}

impl From<&OrganizationEntry> for OrganizationForm {
    fn from(entry: &OrganizationEntry) -> Self {
        Self {
            name: entry.name.as_str().to_owned(),
            email: entry.email.clone(),
            probability_multiplier: entry.probability_multiplier,
        }
    }
}
