//! `organization-key list|create`; what changes a key that is there is in
//! `organization_key/change.rs`.
//!
//! A key of an organization is named by its fingerprint: its own name in Datastore is the key.

mod change;

use std::collections::HashSet;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::consent::{Consent, go_on};
use super::create::show_once;
use super::desk::{Desk, all, each, show};
use super::integration_key::{remind_of_expiry, terms};
use super::organization::organization_name;
use super::table::{Table, facts, paragraph, time};
use super::view::{age, organization_key_json, time_json, words};
use super::{Done, Error};
use crate::api_key::{OrganizationApiKey, SecretHash};
use crate::config::Platform;
use crate::config::life::{
    OrganizationKeyCommand, OrganizationKeyCreateFlags, OrganizationKeyListFlags, OutputFormat,
};
use crate::environment::System;
use crate::key_life::{self, State};
use crate::key_store::{NewOrganizationKey, OrganizationKeyRow, OrganizationKeysOf, Validity};

/// As many hex digits of a hash as a table shows; a shorter beginning is enough if it is unique.
const SHOWN_DIGITS: usize = 16;

pub(super) async fn run(
    command: &OrganizationKeyCommand,
    platform: &Platform,
) -> Result<Done, Error> {
    match command {
        OrganizationKeyCommand::List(flags) => list(flags, platform).await,
        OrganizationKeyCommand::Create(flags) => create(flags, platform).await,
        OrganizationKeyCommand::Roll(flags) => change::roll(flags, platform).await,
        OrganizationKeyCommand::Revoke(flags) => change::revoke(flags, platform).await,
        OrganizationKeyCommand::Expire(flags) => change::expire(flags, platform).await,
    }
}

/// The columns of a list of keys.
pub(super) fn headings() -> [&'static str; 4] {
    ["fingerprint", "state", "age", "replaced by"]
}

pub(super) fn row_cells(row: &OrganizationKeyRow, state: &State, now: Timestamp) -> [String; 4] {
    let facts = row.facts.readable().map(|stored| &stored.facts);
    let successor = facts.and_then(|facts| facts.replaced_by.as_deref()).unwrap_or_default();
    [
        row.key_hash.fingerprint(),
        words(state, now),
        age(row.created_at, now),
        successor.chars().take(SHOWN_DIGITS).collect(),
    ]
}

async fn list(flags: &OrganizationKeyListFlags, platform: &Platform) -> Result<Done, Error> {
    let name = flags.organization.as_deref().map(organization_name).transpose()?;
    let desk = Desk::open(&flags.read.store, platform)?;
    let mut organizations = HashSet::new();
    let of = if let Some(name) = &name {
        let found = desk.store.read_organization(name).await?;
        organizations.extend(found.map(|row| row.name));
        OrganizationKeysOf::Organization(name)
    } else {
        each(
            async |after| desk.store.list_organizations(after).await,
            |row| {
                organizations.insert(row.name);
            },
        )
        .await?;
        OrganizationKeysOf::Everybody
    };
    let keys = all(async |after| desk.store.list_organization_keys(of, after).await).await?;
    if let Some(name) = &name
        && keys.is_empty()
        && organizations.is_empty()
    {
        return Err(format!("there is no organization {name}").into());
    }
    let state = |row: &OrganizationKeyRow| {
        State::of_organization_key(row, organizations.contains(&row.organization), desk.now)
    };
    show(
        flags.read.output,
        || keys.iter().map(|row| organization_key_json(row, &state(row))).collect(),
        || {
            let groups = keys.chunk_by(|one, other| one.organization == other.organization);
            let groups = groups.map(|keys| {
                let name = &keys[0].organization;
                let missing = if organizations.contains(name) { "" } else { "  (missing)" };
                let mut table = Table::new(headings());
                for row in keys {
                    table.row(row_cells(row, &state(row), desk.now));
                }
                paragraph("", &format!("{name}{missing}")) + &table.render()
            });
            groups.collect::<Vec<_>>().join("\n")
        },
    )?;
    Ok(Done::All)
}

async fn create(flags: &OrganizationKeyCreateFlags, platform: &Platform) -> Result<Done, Error> {
    let organization = organization_name(&flags.organization)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let terms = terms(&flags.validity, desk.now)?;
    let on = desk.occasion(&flags.change, platform)?;
    let row = desk.store.read_organization(&organization).await?;
    let key = OrganizationApiKey::generate(&System)?;
    let record = NewOrganizationKey { organization, key, created_at: desk.now };
    let planned = key_life::create_organization_key(row.as_ref(), &record, &terms, &on)?;
    let will = format!("create a key of organization {}", record.organization);
    if go_on(&flags.change, &[will]) == Consent::DryRun {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    remind_of_expiry(planned.ends_at);
    show_once(&created(&record, planned.new_key, None, flags.change.read.output, desk.now))?;
    Ok(Done::All)
}

/// A key that was just made, and with it the key itself; and the key that it `replaces`, with the
/// end of that one.
fn created(
    record: &NewOrganizationKey,
    validity: Validity,
    replaces: Option<(SecretHash, Timestamp)>,
    format: OutputFormat,
    now: Timestamp,
) -> String {
    let api_key = record.key.reveal().expose_secret();
    if format == OutputFormat::Json {
        let mut shown = json!({
            "organization": record.organization.as_str(),
            "fingerprint": record.key.hash().to_hex(),
            "created_at": record.created_at.to_string(),
            "not_before": time_json(validity.not_before),
            "expires_at": time_json(validity.expires_at),
            "api_key": api_key,
        });
        if let Some((predecessor, ends_at)) = replaces {
            shown["replaces"] = predecessor.to_hex().into();
            shown["predecessor_ends_at"] = ends_at.to_string().into();
        }
        return format!("{shown:#}\n");
    }
    let mut lines = vec![
        ("organization", record.organization.to_string()),
        ("fingerprint", record.key.hash().fingerprint()),
        ("created", time(record.created_at, now)),
    ];
    lines.extend(validity.not_before.map(|at| ("not before", time(at, now))));
    lines.extend(validity.expires_at.map(|at| ("expires", time(at, now))));
    if let Some((predecessor, ends_at)) = replaces {
        lines.push(("replaces", predecessor.fingerprint()));
        lines.push(("which ends", time(ends_at, now)));
    }
    // Never broken into lines: it is copied whole.
    facts(lines) + &format!("api key       {api_key}\n")
}
