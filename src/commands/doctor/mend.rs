//! Makes a repair: reads what it is about again, and commits.

use crate::api_key::{IntegrationId, KeyId, OrganizationName};
use crate::commands::Error;
use crate::commands::desk::{Desk, all};
use crate::doctor::{Mend, end_integration_key, end_organization_key, rewrite_organization};
use crate::key_life::{self, Occasion};
use crate::key_store::{
    Change, Description, NewIntegration, OrganizationKeyRow, OrganizationKeysOf, Write,
};

/// Where somebody was faster, nothing is left to do, and that is no error.
pub(super) async fn make(desk: &Desk, mend: &Mend, on: &Occasion) -> Result<(), Error> {
    let change = change(desk, mend, on).await?;
    if change.writes().is_empty() {
        return Ok(());
    }
    Ok(desk.store.commit(&change).await?)
}

async fn change(desk: &Desk, mend: &Mend, on: &Occasion) -> Result<Change, Error> {
    let store = &desk.store;
    Ok(match mend {
        Mend::CreateIntegration(id) => {
            let id = IntegrationId::parse(id)?;
            if store.read_integration(&id).await?.is_some() {
                return Ok(Change::default());
            }
            let integration =
                NewIntegration { id, description: Description::default(), created_at: on.at };
            key_life::create_integration(&integration, None, on)?.change
        }
        Mend::EndIntegrationKey { integration_id, key_id } => {
            let (id, key_id) = (IntegrationId::parse(integration_id)?, KeyId::parse(key_id)?);
            let row = store.read_integration_key(&id, &key_id).await?;
            row.map(|row| end_integration_key(&row, on)).unwrap_or_default()
        }
        Mend::EndOrganizationKey(row) => {
            let of = OrganizationKeysOf::Credential(row);
            let rows = all(async |after| store.list_organization_keys(of, after).await).await?;
            end_organization_key(&rows, on)
        }
        Mend::IndexOrganizationKey(row) => {
            Write::ReplaceOrganizationKey(OrganizationKeyRow::clone(row)).into()
        }
        Mend::StoreMultiplierAsFloat(name) | Mend::NameOrganization(name) => {
            let row = store.read_organization(&OrganizationName::parse(name)?).await?;
            row.map(rewrite_organization).unwrap_or_default()
        }
    })
}
