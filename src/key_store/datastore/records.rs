//! What operators ask: single records, and lists in pages. A page of keys brings their facts along
//! with one more lookup.

use std::time::Duration;

use async_trait::async_trait;
use gcloud_sdk::google::datastore::v1::filter::FilterType;
use gcloud_sdk::google::datastore::v1::property_filter::Operator;
use gcloud_sdk::google::datastore::v1::query_result_batch::MoreResultsType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{
    EntityResult, Filter, Key, KindExpression, PartitionId, PropertyFilter, PropertyReference,
    Query, Value,
};
use tokio::time::Instant;

use super::facts::{self, Of};
use super::failure::Wording;
use super::{DatastoreStore, Patience, entity, key_is, rows};
use crate::api_key::{IntegrationId, KeyId, OrganizationName};
use crate::key_store::{
    Cursor, Defect, FactsState, IntegrationKeyFactsRow, IntegrationKeyRow, IntegrationRow,
    KeyRecords, OrganizationKeyFactsRow, OrganizationKeyRow, OrganizationKeysOf, OrganizationRow,
    PAGE_ROWS, Page, Unavailable,
};

/// One attempt at a page. Datastore needs a fraction of a second; the emulators, which read a whole
/// kind for each page of it, need seconds.
const PAGE_ATTEMPT: Duration = Duration::from_secs(20);
/// One page as its caller sees it, with its attempts and its facts.
const PAGE_DEADLINE: Duration = Duration::from_secs(45);

#[async_trait]
impl KeyRecords for DatastoreStore {
    async fn read_integration(
        &self,
        id: &IntegrationId,
    ) -> Result<Option<IntegrationRow>, Unavailable> {
        let key = self.keys.integration(id.as_str());
        Ok(self.read_one(key).await?.map(rows::integration))
    }

    async fn read_integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Option<IntegrationKeyRow>, Unavailable> {
        let (id, key_id) = (integration_id.as_str(), key_id.as_str());
        let keys =
            [self.keys.integration_key(id, key_id), self.keys.integration_key_facts(id, key_id)];
        let [record, facts] = self.lookup(keys, Patience::question(), Wording::Kept).await?;
        Ok(record.map(|record| IntegrationKeyRow {
            facts: facts::of_result(facts, Of::IntegrationKey),
            ..rows::integration_key(record)
        }))
    }

    async fn read_organization(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationRow>, Unavailable> {
        let key = self.keys.organization(name.as_str());
        Ok(self.read_one(key).await?.map(rows::organization))
    }

    async fn list_integrations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationRow>, Unavailable> {
        let query = all_of(entity::INTEGRATION_KIND);
        let page = self.page(self.keys.integrations(), query, after, Wording::Kept).await?;
        Ok(page.map(rows::integration))
    }

    async fn list_integration_keys(
        &self,
        of: Option<&IntegrationId>,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyRow>, Unavailable> {
        let mut query = all_of(entity::INTEGRATION_KEY_KIND);
        query.filter = of.map(|id| below(self.keys.integration(id.as_str())));
        let page = self.page(self.keys.integrations(), query, after, Wording::Kept).await?;
        let mut page = page.map(rows::integration_key);
        let keys = page.rows.iter().map(|row| self.integration_facts_key(row));
        let facts = self.facts_of(keys, Of::IntegrationKey).await?;
        page.rows.iter_mut().zip(facts).for_each(|(row, facts)| row.facts = facts);
        Ok(page)
    }

    async fn list_integration_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyFactsRow>, Unavailable> {
        let query = all_of(entity::INTEGRATION_KEY_FACTS_KIND);
        let page = self.page(self.keys.integrations(), query, after, Wording::Kept).await?;
        Ok(page.map(|result| {
            let (integration_id, key_id) = rows::names(result.entity.as_ref());
            let facts = facts::of_result(Some(result), Of::IntegrationKey);
            IntegrationKeyFactsRow { integration_id, key_id, facts }
        }))
    }

    async fn list_organizations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationRow>, Unavailable> {
        let query = all_of(entity::ORGANIZATION_KIND);
        let page = self.page(self.keys.platform(), query, after, Wording::Kept).await?;
        Ok(page.map(rows::organization))
    }

    async fn list_organization_keys(
        &self,
        of: OrganizationKeysOf<'_>,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyRow>, Unavailable> {
        let query = match of {
            OrganizationKeysOf::Everybody => all_of(entity::API_KEY_KIND),
            OrganizationKeysOf::Organization(name) => Query {
                filter: Some(below(self.keys.organization(name.as_str()))),
                ..all_of(entity::API_KEY_KIND)
            },
            OrganizationKeysOf::Credential(row) => {
                let api_key = rows::locate(&row.locator).map_or("", |(_, api_key)| api_key);
                Query { limit: None, ..key_is(api_key) }
            }
        };
        // A cursor names the key at which it stands.
        let page = self.page(self.keys.platform(), query, after, Wording::CodeOnly).await?;
        let mut page = page.map(rows::organization_key);
        let keys = page.rows.iter().map(|row| Some(self.keys.organization_key_facts(row.key_hash)));
        let facts = self.facts_of(keys, Of::OrganizationKey).await?;
        page.rows.iter_mut().zip(facts).for_each(|(row, facts)| row.facts = facts);
        Ok(page)
    }

    async fn list_organization_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyFactsRow>, Unavailable> {
        let query = all_of(entity::API_KEY_FACTS_KIND);
        let page = self.page(self.keys.platform(), query, after, Wording::Kept).await?;
        Ok(page.map(|result| {
            let (_, key_hash) = rows::names(result.entity.as_ref());
            let facts = facts::of_result(Some(result), Of::OrganizationKey);
            OrganizationKeyFactsRow { key_hash, facts }
        }))
    }
}

impl DatastoreStore {
    async fn read_one(&self, key: Key) -> Result<Option<EntityResult>, Unavailable> {
        let [found] = self.lookup([key], Patience::question(), Wording::Kept).await?;
        Ok(found)
    }

    async fn page(
        &self,
        partition: PartitionId,
        mut query: Query,
        after: Option<&Cursor>,
        wording: Wording,
    ) -> Result<Page<EntityResult>, Unavailable> {
        query.limit = i32::try_from(PAGE_ROWS).ok();
        query.start_cursor = after.map(|Cursor(cursor)| cursor.clone()).unwrap_or_default();
        let (batch, more) = self.query(partition, query, patience(), wording).await?;
        let is_last = match more {
            MoreResultsType::NoMoreResults => true,
            MoreResultsType::NotFinished => false,
            _ => batch.entity_results.is_empty(),
        };
        let next = (!is_last).then_some(Cursor(batch.end_cursor));
        Ok(Page { rows: batch.entity_results, next })
    }

    /// The key of a row's facts, if facts of it can be found at all.
    fn integration_facts_key(&self, row: &IntegrationKeyRow) -> Option<Key> {
        let is_odd = |defect: &Defect| {
            matches!(
                defect,
                Defect::NoParent
                    | Defect::NumericParent
                    | Defect::NumericName
                    | Defect::ForeignParent
            )
        };
        (!row.defects.iter().any(is_odd))
            .then(|| self.keys.integration_key_facts(&row.integration_id, &row.key_id))
    }

    /// The facts under some keys, in their order.
    async fn facts_of(
        &self,
        keys: impl Iterator<Item = Option<Key>>,
        of: Of,
    ) -> Result<Vec<FactsState>, Unavailable> {
        let wanted: Vec<_> = keys.collect();
        // One credential can stand in a page more than once.
        let mut keys: Vec<Key> = Vec::new();
        let mut places = Vec::with_capacity(wanted.len());
        for key in wanted {
            places.push(key.map(|key| {
                keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                    keys.push(key);
                    keys.len() - 1
                })
            }));
        }
        let found = self.lookup_all(keys, patience(), Wording::Kept).await?;
        let facts = |place: Option<usize>| {
            let found = place.and_then(|place| found.get(place).cloned().flatten());
            facts::of_result(found, of)
        };
        Ok(places.into_iter().map(facts).collect())
    }
}

fn patience() -> Patience<'static> {
    Patience { attempt: PAGE_ATTEMPT, ..Patience::until(Instant::now() + PAGE_DEADLINE) }
}

fn all_of(kind: &str) -> Query {
    Query { kind: vec![KindExpression { name: kind.to_owned() }], ..Query::default() }
}

fn below(ancestor: Key) -> Filter {
    let filter = PropertyFilter {
        property: Some(PropertyReference { name: "__key__".to_owned() }),
        op: Operator::HasAncestor.into(),
        value: Some(Value { value_type: Some(ValueType::KeyValue(ancestor)), ..Value::default() }),
    };
    Filter { filter_type: Some(FilterType::PropertyFilter(filter)) }
}
