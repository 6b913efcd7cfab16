//! `integration-key create`, `organization create`, `organization-key create`.

use jiff::{Timestamp, Unit};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Outcome, print};
use crate::api_key::{
    IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName,
};
use crate::config::{
    IntegrationKeyFlags, OrganizationFlags, OrganizationKeyFlags, OutputFormat, Platform,
};
use crate::environment::System;
use crate::key_store::{Description, NewIntegrationKey, NewOrganization, NewOrganizationKey};

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn integration_key(flags: &IntegrationKeyFlags, platform: &Platform) -> Outcome {
    let integration_id = IntegrationId::parse(&flags.integration_id)
        .map_err(|reason| format!("--integration-id: {reason}"))?;
    let key_id = match &flags.key_id {
        Some(key_id) => KeyId::parse(key_id).map_err(|reason| format!("--key-id: {reason}"))?,
        None => KeyId::generate(&System)?,
    };
    let key = IntegrationApiKey::generate(integration_id, key_id, &System)?;
    let record = new_integration_key(&key, &flags.description, flags.tier)?;
    flags.store.resolve(platform)?.open()?.create_integration_key(&record).await?;
    let shown = [
        ("integration_id", key.integration_id().as_str().into()),
        ("key_id", key.key_id().as_str().into()),
        ("tier", record.tier.into()),
        ("created_at", record.created_at.to_string().into()),
        ("api_key", key.reveal().expose_secret().into()),
    ];
    show_once(&render(flags.output, shown))
}

pub(super) async fn organization(flags: &OrganizationFlags, platform: &Platform) -> Outcome {
    let organization = NewOrganization {
        name: organization_name(&flags.organization)?,
        email: flags.email.clone(),
        probability_multiplier: flags.probability_multiplier,
        created_at: now()?,
    };
    if !organization.probability_multiplier.is_finite() {
        return Err("--probability-multiplier: it has to be a finite number".into());
    }
    if organization.email.len() > Description::MAX_BYTES {
        return Err(too_long("--email"));
    }
    flags.store.resolve(platform)?.open()?.create_organization(&organization).await?;
    let shown = [
        ("organization", organization.name.as_str().into()),
        ("email", organization.email.into()),
        ("probability_multiplier", organization.probability_multiplier.into()),
        ("created_at", organization.created_at.to_string().into()),
    ];
    Ok(print(&render(flags.output, shown))?)
}

pub(super) async fn organization_key(flags: &OrganizationKeyFlags, platform: &Platform) -> Outcome {
    let record = NewOrganizationKey {
        organization: organization_name(&flags.organization)?,
        key: OrganizationApiKey::generate(&System)?,
        created_at: now()?,
    };
    flags.store.resolve(platform)?.open()?.create_organization_key(&record).await?;
    let shown = [
        ("organization", record.organization.as_str().into()),
        ("created_at", record.created_at.to_string().into()),
        ("api_key", record.key.reveal().expose_secret().into()),
    ];
    show_once(&render(flags.output, shown))
}

/// The record of a fresh key, with the time of now.
pub(super) fn new_integration_key(
    key: &IntegrationApiKey,
    about: &str,
    tier: i64,
) -> Result<NewIntegrationKey, Error> {
    Ok(NewIntegrationKey::of(key, description("the key's description", about)?, tier, now()?))
}

pub(super) fn description(flag: &str, text: &str) -> Result<Description, Error> {
    Description::parse(text).ok_or_else(|| too_long(flag))
}

/// Prints a key that exists by now and can never be shown again.
pub(super) fn show_once(text: &str) -> Outcome {
    print(text).map_err(|error| {
        format!(
            "the key was created but could not be printed ({error}); nobody knows it, make another"
        )
        .into()
    })
}

fn organization_name(name: &str) -> Result<OrganizationName, Error> {
    OrganizationName::parse(name).map_err(|reason| format!("--organization: {reason}").into())
}

fn too_long(flag: &str) -> Error {
    format!("{flag}: it is longer than {} bytes, which cannot be indexed", Description::MAX_BYTES)
        .into()
}

/// Whole microseconds: the stores keep no more.
fn now() -> Result<Timestamp, Error> {
    Ok(Timestamp::now().round(Unit::Microsecond)?)
}

/// What was made, as aligned lines or as a JSON object.
fn render<const N: usize>(format: OutputFormat, shown: [(&str, Value); N]) -> String {
    match format {
        OutputFormat::Table => {
            let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            let line = |(name, value): &(&str, Value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("{:<width$}  {text}", name.replace('_', " "))
            };
            shown.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
        }
        OutputFormat::Json => {
            let object = shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            format!("{:#}\n", Value::Object(object))
        }
    }
}
