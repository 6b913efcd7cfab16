//! `organization list|show|create`.

use serde_json::{Value, json};

use super::consent::{Consent, go_on};
use super::create::too_long;
use super::desk::{Desk, all, show};
use super::organization_key::{headings, row_cells};
use super::table::{Table, facts, time, whole_seconds};
use super::view::{organization_key_json, time_json};
use super::{Done, Error};
use crate::api_key::OrganizationName;
use crate::config::Platform;
use crate::config::life::{
    OrganizationCommand, OrganizationCreateFlags, OrganizationShowFlags, ReadFlags,
};
use crate::key_life::State;
use crate::key_store::{Description, NewOrganization, OrganizationKeysOf, OrganizationRow, Write};

pub(super) async fn run(command: &OrganizationCommand, platform: &Platform) -> Result<Done, Error> {
    match command {
        OrganizationCommand::List(flags) => list(flags, platform).await,
        OrganizationCommand::Show(flags) => show_one(flags, platform).await,
        OrganizationCommand::Create(flags) => create(flags, platform).await,
    }
}

async fn list(flags: &ReadFlags, platform: &Platform) -> Result<Done, Error> {
    let desk = Desk::open(&flags.store, platform)?;
    let rows = all(async |after| desk.store.list_organizations(after).await).await?;
    show(
        flags.output,
        || rows.iter().map(organization_json).collect(),
        || {
            let mut table = Table::new(["organization", "created", "multiplier", "email"]);
            for row in &rows {
                let created = row.created_at.map(whole_seconds).unwrap_or_default();
                table.row([row.name.clone(), created, multiplier(row), row.email.clone()]);
            }
            table.render()
        },
    )?;
    Ok(Done::All)
}

async fn show_one(flags: &OrganizationShowFlags, platform: &Platform) -> Result<Done, Error> {
    let name = organization_name(&flags.organization)?;
    let desk = Desk::open(&flags.read.store, platform)?;
    let organization = desk.store.read_organization(&name).await?;
    let of = OrganizationKeysOf::Organization(&name);
    let keys = all(async |after| desk.store.list_organization_keys(of, after).await).await?;
    if organization.is_none() && keys.is_empty() {
        return Err(format!("there is no organization {name}").into());
    }
    let state = |row| State::of_organization_key(row, organization.is_some(), desk.now);
    show(
        flags.read.output,
        || {
            let mut object = organization.as_ref().map_or_else(
                || json!({ "organization": name.as_str(), "missing": true }),
                organization_json,
            );
            let keys = keys.iter().map(|row| organization_key_json(row, &state(row)));
            object["keys"] = keys.collect();
            object
        },
        || {
            let mut text = organization.as_ref().map_or_else(
                || format!("organization {name} is missing, and has keys all the same\n"),
                |row| {
                    facts([
                        ("organization", row.name.clone()),
                        ("email", row.email.clone()),
                        ("probability multiplier", multiplier(row)),
                        (
                            "created",
                            row.created_at.map(|at| time(at, desk.now)).unwrap_or_default(),
                        ),
                    ])
                },
            );
            if !keys.is_empty() {
                let mut table = Table::new(headings());
                for row in &keys {
                    table.row(row_cells(row, &state(row), desk.now));
                }
                text.push('\n');
                text.push_str(&table.render());
            }
            text
        },
    )?;
    Ok(Done::All)
}

async fn create(flags: &OrganizationCreateFlags, platform: &Platform) -> Result<Done, Error> {
    if !flags.probability_multiplier.is_finite() {
        return Err("--probability-multiplier: it has to be a finite number".into());
    }
    if flags.email.len() > Description::MAX_BYTES {
        return Err(too_long("--email"));
    }
    let name = organization_name(&flags.organization)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let organization = NewOrganization {
        name,
        email: flags.email.clone(),
        probability_multiplier: flags.probability_multiplier,
        created_at: desk.now,
    };
    let will = format!("create organization {}", organization.name);
    if go_on(&flags.change, &[will]) == Consent::DryRun {
        return Ok(Done::Found);
    }
    let change = Write::InsertOrganization(organization.clone()).into();
    desk.store.commit(&change).await?;
    show(
        flags.change.read.output,
        || {
            json!({
                "organization": organization.name.as_str(),
                "email": organization.email,
                "probability_multiplier": organization.probability_multiplier,
                "created_at": organization.created_at.to_string(),
            })
        },
        || {
            facts([
                ("organization", organization.name.to_string()),
                ("email", organization.email.clone()),
                ("probability multiplier", format!("{:?}", organization.probability_multiplier)),
                ("created", time(organization.created_at, desk.now)),
            ])
        },
    )?;
    Ok(Done::All)
}

fn organization_json(row: &OrganizationRow) -> Value {
    json!({
        "organization": row.name,
        "email": row.email,
        "probability_multiplier": row.probability_multiplier,
        "created_at": time_json(row.created_at),
        "defects": row.defects.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// With its point, so that nobody takes it for an integer.
fn multiplier(row: &OrganizationRow) -> String {
    row.probability_multiplier.map(|multiplier| format!("{multiplier:?}")).unwrap_or_default()
}

pub(super) fn organization_name(text: &str) -> Result<OrganizationName, Error> {
    OrganizationName::parse(text).map_err(|reason| format!("--organization: {reason}").into())
}
