//! What `create-integration` was told, what it printed, and what must then be in the store.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::golden::CliCase;

/// What the Go tool understood of a command line that it carried out.
pub struct Created {
    pub namespace: String,
    pub integration_id: String,
    integration_description: String,
    /// Empty: one was generated.
    key_id: String,
    key_description: String,
    pub tier: i64,
}

impl Created {
    /// It says so itself: a line `Argument name=value` for each flag, the environment's included.
    pub fn recorded_of(case: &CliCase) -> Option<Self> {
        if case.stdout.is_empty() {
            return None;
        }
        let argument = |name: &str| {
            let start = format!("${{time}} Argument {name}=");
            let line = case.stderr.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or_else(|| panic!("{}: no argument {name}", case.name)).to_owned()
        };
        Some(Self {
            namespace: argument("namespace"),
            integration_id: argument("integration-id"),
            integration_description: argument("integration-description"),
            key_id: argument("key-id"),
            key_description: argument("key-description"),
            tier: argument("key-tier").parse().unwrap(),
        })
    }

    /// The integration as Datastore holds it, with `${timestamp}` for the time.
    pub fn integration_entity(&self, project: &str) -> Value {
        json!({
            "key": self.key(project, &json!([
                { "kind": "IntegrationMeta", "name": self.integration_id },
            ])),
            "properties": {
                "created_at": { "timestampValue": "${timestamp}" },
                "description": { "stringValue": self.integration_description },
            },
        })
    }

    /// The API key as Datastore holds it, with `${timestamp}` for the time.
    pub fn key_entity(&self, project: &str, printed: &PrintedKey) -> Value {
        json!({
            "key": self.key(project, &json!([
                { "kind": "IntegrationMeta", "name": self.integration_id },
                { "kind": "IntegrationAPIKey", "name": printed.key_id },
            ])),
            "properties": {
                "key_hash": { "stringValue": printed.hash() },
                "created_at": { "timestampValue": "${timestamp}" },
                "description": { "stringValue": self.key_description },
                "status": { "stringValue": "active" },
                "tier": { "integerValue": self.tier.to_string() },
            },
        })
    }

    fn key(&self, project: &str, path: &Value) -> Value {
        // The default namespace has no name.
        let partition = if self.namespace.is_empty() {
            json!({ "projectId": project })
        } else {
            json!({ "projectId": project, "namespaceId": self.namespace })
        };
        json!({ "partitionId": partition, "path": path })
    }
}

/// The key that was shown once, in its form: 16 hex digits after `ki_` unless the key id was given,
/// and 32 bytes in unpadded base64url.
pub struct PrintedKey {
    pub key_id: String,
    pub secret: String,
}

impl PrintedKey {
    /// Takes what stood for the placeholders of the recorded stdout.
    pub fn parse(created: &Created, printed: &BTreeMap<String, String>) -> Result<Self, String> {
        let key_id = match printed.get("key_id") {
            Some(generated) if is_generated_key_id(generated) => generated,
            Some(other) => return Err(format!("{other:?} is no generated key id")),
            None => &created.key_id,
        };
        let secret = printed.get("secret").ok_or("no secret on stdout")?;
        if !URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == 32) {
            return Err("the secret is not 32 bytes in unpadded base64url".to_owned());
        }
        Ok(Self { key_id: key_id.clone(), secret: secret.clone() })
    }

    /// As it is stored: SHA-256 in lower-case hex.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(&self.secret))
    }
}

fn is_generated_key_id(key_id: &str) -> bool {
    let digits = key_id.strip_prefix("ki_").unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}
