//! The life of a key on every store: facts, guarded changes, and what operators see.

use std::collections::BTreeSet;

use token_exchange::api_key::SecretHash;
use token_exchange::key_life::{
    self, Author, Ending, IntegrationKeySuccessor, Occasion, Planned, Refused, Remark, Terms,
};
use token_exchange::key_store::{
    Answer, Change, Defect, Facts, FactsState, IntegrationKeyRow, KeyAdmin, KeyStatus,
    OrganizationKeyRow, OrganizationKeysOf, PAGE_ROWS, RecordName, UnavailableKind, Validity,
    Verdict, Write, WriteError,
};

use super::engine::{
    Engine, integration_id, key_id, new_integration, new_key, new_organization,
    new_organization_key, organization_key,
};
use crate::support::ask::Ask as _;

const OTHER_HASH: &str = "67b3c2ef810b2360ec2beb22b59e0a2681a1bd100ff9e1298a93e8bac8baa156";

pub async fn facts_are_read_with_the_key(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let planned = key_life::expire_integration_key(&row, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    assert_eq!(
        validity(&*store, "acme", "ki_first").await,
        Validity { expires_at: Some(at("2027-01-01T00:00:00Z")), ..Validity::default() }
    );

    let rows = created_organization_key(&*store, "mlab", "the-key").await;
    let planned = key_life::expire_organization_key(&rows, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    match store.find(&organization_key("the-key")).await.unwrap() {
        Answer::Found(key) => {
            assert_eq!(key.validity.judge(at("2026-12-31T23:59:59Z")), Verdict::Valid);
            assert_eq!(key.validity.judge(at("2027-01-01T00:00:00Z")), Verdict::Expired);
        }
        other => panic!("{other:?}"),
    }
}

pub async fn every_fact_is_kept_as_it_was_written(engine: &dyn Engine) {
    let store = engine.store();
    let facts = Facts {
        key_hash: None,
        not_before: Some(at("1969-12-31T23:59:59.5Z")),
        expires_at: Some(at("9999-12-30T00:00:00Z")),
        revoked: Some(token_exchange::key_store::Revocation {
            at: at("2026-11-22T06:37:18.484949Z"),
            reason: "lost, \"found\"\n… and lost again 🔑".to_owned(),
        }),
        replaced_by: Some("ki_next".to_owned()),
        replaces: Some("ki_previous".to_owned()),
        created_by: Some("ana".to_owned()),
        changed_by: Some("bo".to_owned()),
        changed_at: Some(at("2026-11-22T06:37:18.484950Z")),
        note: Some("n".repeat(1000)),
    };
    let first = created_key(&*store, "acme", "ki_first").await;
    let of_integration = Facts { key_hash: first.secret_hash(), ..facts.clone() };
    let [row] = &created_organization_key(&*store, "mlab", "the-key").await[..] else { panic!() };
    let change = Change::new(vec![
        put_facts(&first, &of_integration),
        Write::PutOrganizationKeyFacts {
            key_hash: row.key_hash,
            facts: facts.clone(),
            instead_of: row.facts.version(),
        },
    ]);
    store.commit(&change).await.unwrap();

    assert_eq!(readable(&read(&*store, "acme", "ki_first").await.facts), of_integration);
    let [row] = &organization_keys(&*store, "mlab").await[..] else { panic!() };
    assert_eq!(readable(&row.facts), facts);
    let listed = store.list_integration_key_facts(None).await.unwrap().rows;
    assert_eq!((listed.len(), readable(&listed[0].facts)), (1, of_integration));
    assert_eq!((&*listed[0].integration_id, &*listed[0].key_id), ("acme", "ki_first"));
    let listed = store.list_organization_key_facts(None).await.unwrap().rows;
    assert_eq!((listed.len(), readable(&listed[0].facts)), (1, facts));
    assert_eq!(listed[0].key_hash, organization_key("the-key").hash().to_hex());
}

pub async fn the_stricter_of_facts_and_record_is_seen(engine: &dyn Engine) {
    let store = engine.store();
    // The Go tool does not know that the key was revoked, and makes it active again.
    let row = created_key(&*store, "acme", "ki_first").await;
    let planned = key_life::revoke_integration_key(&row, &remark("lost"), &now());
    store.commit(&planned.change).await.unwrap();
    let row = read(&*store, "acme", "ki_first").await;
    assert_eq!(row.status, KeyStatus::REVOKED);
    let again = IntegrationKeyRow { status: KeyStatus::ACTIVE.to_owned(), ..row };
    store.commit(&Write::ReplaceIntegrationKey(again).into()).await.unwrap();
    assert!(validity(&*store, "acme", "ki_first").await.is_revoked);

    // And ends one of which the facts say nothing.
    let row = created_key(&*store, "acme", "ki_second").await;
    let ended = IntegrationKeyRow { status: "disabled".to_owned(), ..row };
    store.commit(&Write::ReplaceIntegrationKey(ended).into()).await.unwrap();
    match store.look_up(&integration_id("acme"), &key_id("ki_second")).await.unwrap() {
        Answer::Found(key) => {
            assert_eq!(key.status, KeyStatus::Inactive);
            assert_eq!(key.validity, Validity::default());
        }
        other => panic!("{other:?}"),
    }
}

pub async fn facts_about_another_hash_are_ignored(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let planned = key_life::revoke_integration_key(&row, &remark("lost"), &now());
    store.commit(&planned.change).await.unwrap();

    // As the Go tool replaces a key in place.
    let row = read(&*store, "acme", "ki_first").await;
    let replaced = IntegrationKeyRow {
        key_hash: OTHER_HASH.to_owned(),
        status: KeyStatus::ACTIVE.to_owned(),
        ..row
    };
    store.commit(&Write::ReplaceIntegrationKey(replaced).into()).await.unwrap();
    assert_eq!(validity(&*store, "acme", "ki_first").await, Validity::default());
    let row = read(&*store, "acme", "ki_first").await;
    assert!(row.facts.readable().is_some());
    assert_eq!(row.facts_in_force(), None);

    // They give way to facts about the new one.
    let planned = key_life::expire_integration_key(&row, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    let facts = readable(&read(&*store, "acme", "ki_first").await.facts);
    assert_eq!(facts.key_hash.map(SecretHash::to_hex).as_deref(), Some(OTHER_HASH));
    assert_eq!(facts.revoked, None);
}

pub async fn facts_that_cannot_be_read_are_an_outage_and_can_be_replaced(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let planned = key_life::expire_integration_key(&row, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    let rows = created_organization_key(&*store, "mlab", "the-key").await;
    let planned = key_life::expire_organization_key(&rows, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    engine.spoil_facts("acme", "ki_first", organization_key("the-key").hash());

    let refused = store.look_up(&integration_id("acme"), &key_id("ki_first")).await.unwrap_err();
    assert_eq!(refused.kind, UnavailableKind::Failed);
    assert!(refused.detail.contains("facts"), "{refused}");
    let refused = store.find(&organization_key("the-key")).await.unwrap_err();
    assert_eq!(refused.kind, UnavailableKind::Failed);

    let row = read(&*store, "acme", "ki_first").await;
    let defect = Defect::PropertyType("expires_at");
    assert!(matches!(&row.facts, FactsState::Unreadable { defect: found, .. } if *found == defect));
    let roll = roll_to(&row, "ki_next", Ending::Now);
    assert_eq!(roll.unwrap_err(), Refused::UnreadableFacts(defect));
    // But a key that has to be ended can be.
    let planned = key_life::revoke_integration_key(&row, &remark("lost"), &now());
    store.commit(&planned.change).await.unwrap();
    assert!(validity(&*store, "acme", "ki_first").await.is_revoked);
}

pub async fn a_revoked_organization_key_is_gone_and_its_facts_tell_why(engine: &dyn Engine) {
    let store = engine.store();
    let rows = created_organization_key(&*store, "mlab", "the-key").await;
    let planned = key_life::revoke_organization_key(&rows, &remark("lost"), &now()).unwrap();
    store.commit(&planned.change).await.unwrap();
    assert_eq!(organization_keys(&*store, "mlab").await, []);
    match store.find(&organization_key("the-key")).await.unwrap() {
        Answer::Gone(validity) => assert!(validity.is_revoked),
        other => panic!("{other:?}"),
    }
    let listed = store.list_organization_key_facts(None).await.unwrap().rows;
    assert_eq!(readable(&listed[0].facts).revoked.unwrap().reason, "lost");
}

pub async fn a_credential_ends_under_every_organization_that_holds_it(engine: &dyn Engine) {
    let store = engine.store();
    for name in ["mlab", "other"] {
        store.create_organization(&new_organization(name)).await.unwrap();
        store.create_organization_key(&new_organization_key(name, "shared")).await.unwrap();
    }
    store.create_organization_key(&new_organization_key("other", "another")).await.unwrap();
    let row = organization_keys(&*store, "mlab").await.remove(0);
    let rows = store
        .list_organization_keys(OrganizationKeysOf::Credential(&row), None)
        .await
        .unwrap()
        .rows;
    let holders: Vec<_> = rows.iter().map(|row| row.organization.as_str()).collect();
    assert_eq!(holders, ["mlab", "other"]);
    let planned = key_life::revoke_organization_key(&rows, &remark("shared"), &now()).unwrap();
    store.commit(&planned.change).await.unwrap();

    let gone = store.find(&organization_key("shared")).await.unwrap();
    assert!(matches!(gone, Answer::Gone(_)), "{gone:?}");
    assert_eq!(organization_keys(&*store, "mlab").await, []);
    assert_eq!(organization_keys(&*store, "other").await.len(), 1);
}

pub async fn a_list_comes_in_pages_without_gaps_and_in_order(engine: &dyn Engine) {
    let store = engine.store();
    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_0000")).await.unwrap();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_integration(&new_integration("zeta"), &new_key("zeta", "ki_zeta")).await.unwrap();
    let names: Vec<_> = (0..PAGE_ROWS + 2).map(|number| format!("ki_{number:04}")).collect();
    for names in names[1..].chunks(Change::MAX_WRITES / 2) {
        let keys = names.iter().map(|name| new_key("acme", name));
        let organization_keys = names.iter().map(|name| new_organization_key("mlab", name));
        let inserts = keys
            .map(Write::InsertIntegrationKey)
            .chain(organization_keys.map(Write::InsertOrganizationKey));
        store.commit(&Change::new(inserts.collect())).await.unwrap();
    }
    let of = integration_id("acme");
    let (mut pages, mut listed, mut after) = (0, Vec::new(), None);
    loop {
        let page = store.list_integration_keys(Some(&of), after.as_ref()).await.unwrap();
        assert!(page.rows.len() <= PAGE_ROWS);
        pages += 1;
        listed.extend(page.rows.into_iter().map(|row| row.key_id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, names);
    assert!(pages > 1, "it came at once");

    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_integration_keys(None, after.as_ref()).await.unwrap();
        listed.extend(page.rows.into_iter().map(|row| row.key_id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed[..names.len()], names);
    assert_eq!(listed[names.len()..], ["ki_zeta"]);

    let (mut listed, mut after) = (BTreeSet::new(), None);
    loop {
        let of = OrganizationKeysOf::Everybody;
        let page = store.list_organization_keys(of, after.as_ref()).await.unwrap();
        for row in page.rows {
            assert!(listed.insert(row.key_hash.to_hex()), "it came twice");
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed.len(), names.len() - 1);
}

pub async fn a_single_record_is_the_one_of_the_list(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let planned = key_life::expire_integration_key(&row, at("2027-01-01T00:00:00Z"), &now());
    store.commit(&planned.unwrap().change).await.unwrap();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    let of = integration_id("acme");
    assert_eq!(
        [read(&*store, "acme", "ki_first").await][..],
        store.list_integration_keys(Some(&of), None).await.unwrap().rows[..]
    );
    assert_eq!(
        [store.read_integration(&of).await.unwrap().unwrap()][..],
        store.list_integrations(None).await.unwrap().rows[..]
    );
    let name = new_organization("mlab").name;
    assert_eq!(
        [store.read_organization(&name).await.unwrap().unwrap()][..],
        store.list_organizations(None).await.unwrap().rows[..]
    );
    assert_eq!(store.read_integration(&integration_id("nobody")).await.unwrap(), None);
}

pub async fn a_record_is_replaced_only_in_the_version_that_was_read(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let acme = store.read_integration(&integration_id("acme")).await.unwrap().unwrap();
    let with_tier = |tier| IntegrationKeyRow { tier, ..row.clone() };
    store.commit(&Write::ReplaceIntegrationKey(with_tier(8)).into()).await.unwrap();

    // One stale write, and none is made: not those before it, and not those behind it.
    let mut described = acme.clone();
    "Changed".clone_into(&mut described.description);
    let change = Change::new(vec![
        Write::ReplaceIntegration(described),
        Write::ReplaceIntegrationKey(with_tier(9)),
        Write::InsertIntegrationKey(new_key("acme", "ki_second")),
    ]);
    match store.commit(&change).await {
        Err(WriteError::Conflict(RecordName::IntegrationKey(id, key))) => {
            assert_eq!((&*id, &*key), ("acme", "ki_first"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(read(&*store, "acme", "ki_first").await.tier, 8);
    assert_eq!(store.read_integration(&integration_id("acme")).await.unwrap(), Some(acme));
    let second = store.look_up(&integration_id("acme"), &key_id("ki_second")).await;
    assert_eq!(second.unwrap(), Answer::Absent);
}

pub async fn organizations_are_replaced_and_their_keys_removed_with_care(engine: &dyn Engine) {
    let store = engine.store();
    let rows = created_organization_key(&*store, "mlab", "the-key").await;
    let name = new_organization("mlab").name;
    let mut mlab = store.read_organization(&name).await.unwrap().unwrap();
    let stale = mlab.clone();
    mlab.probability_multiplier = Some(0.5);
    store.commit(&Write::ReplaceOrganization(mlab).into()).await.unwrap();
    let stands = store.read_organization(&name).await.unwrap().unwrap();
    assert_eq!(stands.probability_multiplier, Some(0.5));
    let refused = store.commit(&Write::ReplaceOrganization(stale).into()).await;
    assert!(matches!(refused, Err(WriteError::Conflict(_))), "{refused:?}");

    store.commit(&Write::ReplaceOrganizationKey(rows[0].clone()).into()).await.unwrap();
    let row = organization_keys(&*store, "mlab").await.remove(0);
    store.commit(&Write::RemoveOrganizationKey(row.clone()).into()).await.unwrap();
    let refused = store.commit(&Write::RemoveOrganizationKey(row).into()).await.unwrap_err();
    assert!(matches!(refused, WriteError::Conflict(_)), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("the-key"));
}

pub async fn facts_are_created_once(engine: &dyn Engine) {
    let store = engine.store();
    let row = created_key(&*store, "acme", "ki_first").await;
    let facts = Facts { key_hash: row.secret_hash(), ..Facts::default() };
    store.commit(&put_facts(&row, &facts).into()).await.unwrap();
    let other = Facts { note: Some("another".to_owned()), ..facts.clone() };
    match store.commit(&put_facts(&row, &other).into()).await {
        Err(WriteError::Conflict(RecordName::IntegrationKeyFacts(..))) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(readable(&read(&*store, "acme", "ki_first").await.facts), facts);
}

/// A key under an integration that may be there.
pub async fn created_key(store: &dyn KeyAdmin, integration: &str, key: &str) -> IntegrationKeyRow {
    let new = new_key(integration, key);
    match store.create_integration(&new_integration(integration), &new).await {
        Err(WriteError::Exists(RecordName::Integration(_))) => {
            store.create_integration_key(&new).await.unwrap();
        }
        outcome => outcome.unwrap(),
    }
    read(store, integration, key).await
}

pub async fn created_organization_key(
    store: &dyn KeyAdmin,
    organization: &str,
    key: &str,
) -> Vec<OrganizationKeyRow> {
    store.create_organization(&new_organization(organization)).await.unwrap();
    store.create_organization_key(&new_organization_key(organization, key)).await.unwrap();
    organization_keys(store, organization).await
}

pub async fn read(store: &dyn KeyAdmin, integration: &str, key: &str) -> IntegrationKeyRow {
    let row = store.read_integration_key(&integration_id(integration), &key_id(key)).await;
    row.unwrap().unwrap_or_else(|| panic!("there is no {key} of {integration}"))
}

async fn validity(store: &dyn KeyAdmin, integration: &str, key: &str) -> Validity {
    match store.look_up(&integration_id(integration), &key_id(key)).await.unwrap() {
        Answer::Found(key) => key.validity,
        other => panic!("{other:?}"),
    }
}

pub async fn organization_keys(
    store: &dyn KeyAdmin,
    organization: &str,
) -> Vec<OrganizationKeyRow> {
    let name = new_organization(organization).name;
    let of = OrganizationKeysOf::Organization(&name);
    store.list_organization_keys(of, None).await.unwrap().rows
}

pub fn readable(state: &FactsState) -> Facts {
    state.readable().unwrap_or_else(|| panic!("{state:?}")).facts.clone()
}

fn put_facts(row: &IntegrationKeyRow, facts: &Facts) -> Write {
    Write::PutIntegrationKeyFacts {
        integration_id: row.integration_id.clone(),
        key_id: row.key_id.clone(),
        facts: facts.clone(),
        instead_of: row.facts.version(),
    }
}

pub fn roll_to(row: &IntegrationKeyRow, key: &str, ending: Ending) -> Result<Planned, Refused> {
    let new = new_key(&row.integration_id, key);
    let successor =
        IntegrationKeySuccessor { key_id: new.key_id.clone(), secret_hash: new.secret_hash };
    key_life::roll_integration_key(row, &successor, &Terms::default(), ending, &now())
}

pub fn in_a_week() -> Ending {
    Ending::At(at("2026-11-29T12:00:00Z"))
}

pub fn remark(text: &str) -> Remark {
    Remark::parse(text).unwrap()
}

pub fn now() -> Occasion {
    by(0)
}

pub fn by(who: usize) -> Occasion {
    Occasion {
        at: at("2026-11-22T12:00:00.000001Z"),
        by: Author::parse(["ana", "bo"][who]).unwrap(),
    }
}

pub fn at(time: &str) -> jiff::Timestamp {
    time.parse().unwrap()
}
