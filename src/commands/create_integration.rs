//! `create-integration`: the Go tool, flag for flag, without what was dangerous in it.
//!
//! It inserts and never overwrites. Standard output is the Go tool's, byte for byte.

use jiff::{Timestamp, Unit};
use secrecy::ExposeSecret as _;

use super::create::{description, show_once};
use super::{Error, complain};
use crate::api_key::{IntegrationApiKey, IntegrationId, KeyId};
use crate::config::{CreateIntegrationFlags, Platform};
use crate::environment::System;
use crate::key_store::{KeyAdmin, NewIntegration, NewIntegrationKey, RecordName, WriteError};

pub(super) async fn run(flags: &CreateIntegrationFlags, platform: &Platform) -> Result<(), Error> {
    let store_config = flags.store(platform)?;
    if flags.integration_id.is_empty() {
        return Err("-integration-id is required".into());
    }
    let integration_id = IntegrationId::parse(&flags.integration_id)
        .map_err(|reason| format!("-integration-id: no key of it could be used: {reason}"))?;
    let wanted_key_id = (!flags.key_id.is_empty())
        .then(|| KeyId::parse(&flags.key_id))
        .transpose()
        .map_err(|reason| format!("-key-id: no key of this id could be used: {reason}"))?;
    let key_id = match &wanted_key_id {
        Some(key_id) => key_id.clone(),
        None => KeyId::generate(&System)?,
    };
    let key = IntegrationApiKey::generate(integration_id.clone(), key_id, &System)?;
    let about = description("-key-description", &flags.key_description)?;
    let now = Timestamp::now().round(Unit::Microsecond)?;
    let record = NewIntegrationKey::of(&key, about, flags.key_tier, now);
    let integration = NewIntegration {
        id: integration_id,
        description: description("-integration-description", &flags.integration_description)?,
        created_at: record.created_at,
    };

    let store = store_config.open()?;
    complain(&format!("Creating a key of integration {}...\n", integration.id));
    match wanted_key_id {
        None => store.create_integration(&integration, &record).await,
        Some(_) => create_or_add(&*store, &integration, &record).await,
    }
    .map_err(with_advice)?;

    show_once(&format!(
        "\n=== API Key Created ===\n\
         Integration ID: {}\n\
         Key ID:         {}\n\
         API Key:        {}\n\
         \n\
         IMPORTANT: Save the API key now. It cannot be retrieved later.\n",
        key.integration_id(),
        key.key_id(),
        key.reveal().expose_secret(),
    ))
}

/// With an explicit key id, an integration that is there gets the key and stays as it is.
async fn create_or_add(
    store: &dyn KeyAdmin,
    integration: &NewIntegration,
    key: &NewIntegrationKey,
) -> Result<(), WriteError> {
    match store.create_integration(integration, key).await {
        Err(WriteError::Exists(RecordName::Integration(_))) => {
            store.create_integration_key(key).await
        }
        outcome => outcome,
    }
}

fn with_advice(error: WriteError) -> Error {
    match error {
        WriteError::Exists(_) => format!(
            "{error}, and nothing is overwritten; \
             `token-exchange integration-key create` makes another key for it"
        )
        .into(),
        other => other.into(),
    }
}
