//! `export`: the store as a manifest, hashes only.

use std::collections::HashMap;

use super::desk::{Desk, each};
use super::table::printable;
use super::{Done, Error, complain, print};
use crate::config::Platform;
use crate::config::life::{ExportFlags, ManifestFormat};
use crate::key_store::{IntegrationKeyRow, IntegrationRow, OrganizationRow, RecordName};
use crate::manifest::Manifest;

pub(super) async fn run(flags: &ExportFlags, platform: &Platform) -> Result<Done, Error> {
    let desk = Desk::open(&flags.store, platform)?;
    let mut manifest = Manifest::default();
    let mut left_out = 0_usize;
    let mut note = |record: RecordName, taken: Result<(), String>| {
        if let Err(reason) = taken {
            left_out += 1;
            complain(&printable(&format!("left out: {record}: {reason}")));
            complain("\n");
        }
    };
    let store = &desk.store;
    each(
        async |after| store.list_integrations(after).await,
        |row: IntegrationRow| {
            let taken = manifest.add_integration(&row);
            note(RecordName::Integration(row.id), taken);
        },
    )
    .await?;
    let places: HashMap<String, usize> = manifest
        .integrations
        .iter()
        .enumerate()
        .map(|(place, entry)| (entry.id.as_str().to_owned(), place))
        .collect();
    each(
        async |after| store.list_integration_keys(None, after).await,
        |row: IntegrationKeyRow| {
            let taken = match places.get(&row.integration_id) {
                Some(place) => Manifest::key_entry(&row)
                    .map(|entry| manifest.integrations[*place].keys.push(entry)),
                None => Err("its integration is missing".to_owned()),
            };
            note(RecordName::IntegrationKey(row.integration_id, row.key_id), taken);
        },
    )
    .await?;
    each(
        async |after| store.list_organizations(after).await,
        |row: OrganizationRow| {
            let taken = manifest.add_organization(&row);
            note(RecordName::Organization(row.name), taken);
        },
    )
    .await?;
    print(&match flags.output {
        ManifestFormat::Yaml => manifest.to_yaml()?,
        ManifestFormat::Json => manifest.to_json()?,
    })?;
    if left_out > 0 {
        complain(&format!(
            "{left_out} records are not in the manifest: `doctor` says what is wrong with them.\n"
        ));
    }
    Ok(Done::All)
}
