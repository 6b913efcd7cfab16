//! `integration list|show|create`.

use serde_json::{Value, json};

use super::consent::{Consent, go_on};
use super::desk::{Desk, all, show};
use super::integration_key::{headings, row_cells};
use super::table::{Table, facts, time, whole_seconds};
use super::view::{integration_key_json, time_json};
use super::{Done, Error};
use crate::api_key::IntegrationId;
use crate::config::Platform;
use crate::config::life::{
    IntegrationCommand, IntegrationCreateFlags, IntegrationShowFlags, ReadFlags,
};
use crate::key_life::{self, State};
use crate::key_store::{IntegrationRow, NewIntegration};

pub(super) async fn run(command: &IntegrationCommand, platform: &Platform) -> Result<Done, Error> {
    match command {
        IntegrationCommand::List(flags) => list(flags, platform).await,
        IntegrationCommand::Show(flags) => show_one(flags, platform).await,
        IntegrationCommand::Create(flags) => create(flags, platform).await,
    }
}

async fn list(flags: &ReadFlags, platform: &Platform) -> Result<Done, Error> {
    let desk = Desk::open(&flags.store, platform)?;
    let rows = all(async |after| desk.store.list_integrations(after).await).await?;
    show(
        flags.output,
        || rows.iter().map(integration_json).collect(),
        || {
            let mut table = Table::new(["integration id", "created", "description"]);
            for row in &rows {
                let created = row.created_at.map(whole_seconds).unwrap_or_default();
                table.row([row.id.clone(), created, row.description.clone()]);
            }
            table.render()
        },
    )?;
    Ok(Done::All)
}

async fn show_one(flags: &IntegrationShowFlags, platform: &Platform) -> Result<Done, Error> {
    let id = integration_id(&flags.integration_id)?;
    let desk = Desk::open(&flags.read.store, platform)?;
    let integration = desk.store.read_integration(&id).await?;
    let keys = all(async |after| desk.store.list_integration_keys(Some(&id), after).await).await?;
    if integration.is_none() && keys.is_empty() {
        return Err(format!("there is no integration {id}").into());
    }
    let state = |row| State::of_integration_key(row, integration.is_some(), desk.now);
    show(
        flags.read.output,
        || {
            let mut object = integration.as_ref().map_or_else(
                || json!({ "integration_id": id.as_str(), "missing": true }),
                integration_json,
            );
            let keys = keys.iter().map(|row| integration_key_json(row, &state(row)));
            object["keys"] = keys.collect();
            object
        },
        || {
            let mut text = integration.as_ref().map_or_else(
                || format!("integration {id} is missing, and has keys all the same\n"),
                |row| {
                    facts([
                        ("integration id", row.id.clone()),
                        ("description", row.description.clone()),
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

async fn create(flags: &IntegrationCreateFlags, platform: &Platform) -> Result<Done, Error> {
    let id = integration_id(&flags.integration_id)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let integration = NewIntegration {
        id,
        description: super::create::description("--description", &flags.description)?,
        created_at: desk.now,
    };
    let on = desk.occasion(&flags.change, platform)?;
    let planned = key_life::create_integration(&integration, None, &on)?;
    if go_on(&flags.change, &[format!("create integration {}", integration.id)]) == Consent::DryRun
    {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    show(
        flags.change.read.output,
        || {
            json!({
                "integration_id": integration.id.as_str(),
                "description": integration.description.as_str(),
                "created_at": integration.created_at.to_string(),
            })
        },
        || {
            facts([
                ("integration id", integration.id.to_string()),
                ("description", integration.description.as_str().to_owned()),
                ("created", time(integration.created_at, desk.now)),
            ])
        },
    )?;
    Ok(Done::All)
}

fn integration_json(row: &IntegrationRow) -> Value {
    json!({
        "integration_id": row.id,
        "description": row.description,
        "created_at": time_json(row.created_at),
        "defects": row.defects.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

pub(super) fn integration_id(text: &str) -> Result<IntegrationId, Error> {
    IntegrationId::parse(text).map_err(|reason| format!("--integration-id: {reason}").into())
}
