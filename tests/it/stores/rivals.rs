//! Two operators at once, on every store: one succeeds, the other is told, and nothing is mixed.

use std::sync::Arc;

use token_exchange::key_life::{self, Ending, Planned, Terms};
use token_exchange::key_store::{
    Answer, IntegrationKeyRow, KeyAdmin, OrganizationKeyRow, Write, WriteError,
};

use super::engine::{
    Engine, integration_id, new_integration, new_key, new_organization_key, organization_key,
};
use super::life::{
    at, by, created_key, created_organization_key, in_a_week, now, organization_keys, read,
    readable, remark, roll_to,
};
use crate::support::ask::Ask as _;

pub async fn of_two_operators_one_succeeds_and_one_is_told(engine: &dyn Engine) {
    type Plan = fn(&IntegrationKeyRow, usize) -> Planned;
    let plans: [(&str, Plan); 3] = [
        ("roll", |row, who| roll_to(row, &format!("ki_next-{who}"), in_a_week()).unwrap()),
        ("expire", |row, who| {
            let end = at(["2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"][who]);
            key_life::expire_integration_key(row, end, &by(who)).unwrap()
        }),
        ("revoke", |row, who| {
            key_life::revoke_integration_key(row, &remark(["lost", "found"][who]), &by(who))
        }),
    ];
    let stores = [engine.store(), engine.store()];
    for round in 0..engine.rounds() {
        // Each against each, and against itself.
        for (first, (name, one)) in plans.iter().enumerate() {
            let (other_name, other) = &plans[(first + round) % plans.len()];
            let what = format!("{name} against {other_name}, round {round}");
            let integration = format!("acme-{first}-{round}");
            let mut row = created_key(&*stores[0], &integration, "ki_first").await;
            // Over the first facts, or over such as are there.
            if round % 2 == 0 {
                let end = at("2028-01-01T00:00:00Z");
                let planned = key_life::expire_integration_key(&row, end, &now()).unwrap();
                stores[0].commit(&planned.change).await.unwrap();
                row = read(&*stores[0], &integration, "ki_first").await;
            }
            let planned = [one(&row, 0), other(&row, 1)];
            let outcomes = race(&stores, &planned).await;
            let winner = winner(&what, &outcomes);
            assert_stands_whole(&*stores[0], &row, &planned[winner], &what).await;
        }
    }
}

pub async fn of_two_operators_on_an_organization_key_one_succeeds(engine: &dyn Engine) {
    type Plan = fn(&[OrganizationKeyRow], usize) -> Planned;
    let plans: [(&str, Plan); 3] = [
        ("roll", |rows, who| {
            let name = &rows[0].organization;
            let successor = new_organization_key(name, &format!("{name}-next-{who}"));
            let ending = if who == 0 { Ending::Now } else { in_a_week() };
            let terms = Terms::default();
            key_life::roll_organization_key(rows, &successor, &terms, ending, &by(who)).unwrap()
        }),
        ("expire", |rows, who| {
            let end = at(["2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"][who]);
            key_life::expire_organization_key(rows, end, &by(who)).unwrap()
        }),
        ("revoke", |rows, who| {
            key_life::revoke_organization_key(rows, &remark("lost"), &by(who)).unwrap()
        }),
    ];
    let stores = [engine.store(), engine.store()];
    for round in 0..engine.rounds() {
        for (first, (name, one)) in plans.iter().enumerate() {
            let (other_name, other) = &plans[(first + round) % plans.len()];
            let what = format!("{name} against {other_name}, round {round}");
            let organization = format!("mlab-{first}-{round}");
            let mut rows =
                created_organization_key(&*stores[0], &organization, &organization).await;
            if round % 2 == 0 {
                let end = at("2028-01-01T00:00:00Z");
                let planned = key_life::expire_organization_key(&rows, end, &now()).unwrap();
                stores[0].commit(&planned.change).await.unwrap();
                rows = organization_keys(&*stores[0], &organization).await;
            }
            let planned = [one(&rows, 0), other(&rows, 1)];
            let winner = winner(&what, &race(&stores, &planned).await);
            // The facts are the winner's, and so is what became of the records.
            let facts = stores[0].find(&organization_key(&organization)).await.unwrap();
            let removes = planned[winner]
                .change
                .writes()
                .iter()
                .any(|write| matches!(write, Write::RemoveOrganizationKey(_)));
            assert_eq!(matches!(facts, Answer::Gone(_)), removes, "{what}: {facts:?}");
            let inserts = planned[winner]
                .change
                .writes()
                .iter()
                .filter(|write| matches!(write, Write::InsertOrganizationKey(_)))
                .count();
            let stand = organization_keys(&*stores[0], &organization).await.len();
            assert_eq!(stand, 1 + inserts - usize::from(removes), "{what}");
        }
    }
}

pub async fn of_two_imports_of_one_key_id_one_succeeds(engine: &dyn Engine) {
    let stores = [engine.store(), engine.store()];
    stores[0].create_integration(&new_integration("acme"), &new_key("acme", "ki_0")).await.unwrap();
    let acme = stores[0].read_integration(&integration_id("acme")).await.unwrap().unwrap();
    for round in 0..engine.rounds() {
        let planned = [0, 1].map(|who| {
            let key = new_key("acme", &format!("ki_round-{round}"));
            let terms = Terms::default();
            key_life::create_integration_key(Some(&acme), &key, &terms, &by(who)).unwrap()
        });
        let winner = winner("import", &race(&stores, &planned).await);
        let stands = read(&*stores[0], "acme", &format!("ki_round-{round}")).await;
        let Some(Write::InsertIntegrationKey(key)) = planned[winner].change.writes().first() else {
            panic!("{planned:?}")
        };
        assert_eq!(stands.secret_hash(), Some(key.secret_hash));
        assert_eq!(readable(&stands.facts).created_by.as_deref(), Some(["ana", "bo"][winner]));
    }
}

/// Both commits at once, each through its own store.
async fn race(
    stores: &[Arc<dyn KeyAdmin>; 2],
    planned: &[Planned; 2],
) -> [Result<(), WriteError>; 2] {
    let commit = |who: usize| {
        let (store, change) = (Arc::clone(&stores[who]), planned[who].change.clone());
        tokio::spawn(async move { store.commit(&change).await })
    };
    let (one, other) = (commit(0), commit(1));
    [one.await.unwrap(), other.await.unwrap()]
}

/// The only one that succeeded; the other one was told that somebody was there before.
fn winner(what: &str, outcomes: &[Result<(), WriteError>; 2]) -> usize {
    match outcomes {
        [Ok(()), Err(WriteError::Conflict(_) | WriteError::Exists(_))] => 0,
        [Err(WriteError::Conflict(_) | WriteError::Exists(_)), Ok(())] => 1,
        other => panic!("{what}: {other:?}"),
    }
}

/// Everything of a change stands, and nothing else was written.
async fn assert_stands_whole(
    store: &dyn KeyAdmin,
    before: &IntegrationKeyRow,
    planned: &Planned,
    what: &str,
) {
    let of = integration_id(&before.integration_id);
    let rows = store.list_integration_keys(Some(&of), None).await.unwrap().rows;
    let mut keys = 1;
    let mut status = before.status.as_str();
    for write in planned.change.writes() {
        match write {
            Write::InsertIntegrationKey(new) => {
                keys += 1;
                let row = rows.iter().find(|row| row.key_id == new.key_id.as_str());
                assert_eq!(
                    row.and_then(IntegrationKeyRow::secret_hash),
                    Some(new.secret_hash),
                    "{what}"
                );
            }
            Write::PutIntegrationKeyFacts { key_id, facts, .. } => {
                let row = rows.iter().find(|row| row.key_id == *key_id);
                assert_eq!(row.map(|row| readable(&row.facts)).as_ref(), Some(facts), "{what}");
            }
            Write::ReplaceIntegrationKey(row) => status = &row.status,
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(rows.len(), keys, "{what}");
    let old = rows.iter().find(|row| row.key_id == before.key_id).unwrap();
    assert_eq!(old.status, status, "{what}");
}
