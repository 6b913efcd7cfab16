//! What operators are shown of records that no tool of ours would write.

use serde_json::{Value, json};
use token_exchange::api_key::OrganizationName;
use token_exchange::key_life::{self, Author, Occasion, Remark, State};
use token_exchange::key_store::{Answer, Defect, OrganizationKeysOf, Write};

use super::engine::{
    Datastore, Engine as _, HASH, INTEGRATION, PLATFORM, element, organization_key, whole_key,
};
use crate::support::ask::Ask as _;

pub async fn the_defects_of_integration_keys_are_named(engine: &Datastore) {
    let changed = |name: &str, value: Value| {
        let mut properties = whole_key();
        properties[name] = value;
        properties
    };
    let acme = || element("IntegrationMeta", "acme");
    let key = |name: &str| json!([acme(), element("IntegrationAPIKey", name)]);
    let odd = [
        (key("ki_0"), whole_key(), vec![]),
        (
            key("ki_1"),
            changed("tier", json!({ "doubleValue": 1.0 })),
            vec![Defect::PropertyType("tier")],
        ),
        (
            key("ki_2"),
            changed("note", json!({ "nullValue": null })),
            vec![Defect::UnknownProperty("note".to_owned())],
        ),
        (
            key("ki_3"),
            changed(&"ü".repeat(100), json!({ "nullValue": null })),
            vec![Defect::UnknownProperty("ü".repeat(30))],
        ),
        (
            json!([acme(), { "kind": "IntegrationAPIKey", "id": "77" }]),
            whole_key(),
            vec![Defect::NumericName],
        ),
        (json!([element("IntegrationAPIKey", "ki_4")]), whole_key(), vec![Defect::NoParent]),
        (
            json!([element("Whatever", "acme"), element("IntegrationAPIKey", "ki_5")]),
            whole_key(),
            vec![Defect::ForeignParent],
        ),
    ];
    for (path, properties, _) in &odd {
        engine.put(INTEGRATION, path, properties);
    }
    let rows = engine.store().list_integration_keys(None, None).await.unwrap().rows;
    assert_eq!(rows.len(), odd.len());
    for (path, _, defects) in odd {
        let own = path.as_array().unwrap().last().unwrap();
        let name = own["name"].as_str().or(own["id"].as_str()).unwrap();
        let row = rows.iter().find(|row| row.key_id == name).unwrap();
        assert_eq!(row.defects, defects, "{path}");
        let is_dead = matches!(
            State::of_integration_key(row, true, jiff::Timestamp::UNIX_EPOCH),
            State::Dead(_)
        );
        let is_harmless = defects.iter().all(|defect| *defect == Defect::ForeignParent);
        assert_eq!(is_dead, !is_harmless, "{path}");
    }
}

pub async fn the_defects_of_organizations_and_their_keys_are_named(engine: &Datastore) {
    let key = |name: &str| json!([element("Organization", "mlab"), element("APIKey", name)]);
    let text = |text: &str| json!({ "stringValue": text });
    let odd = [
        (key("whole"), json!({ "key": text("whole") }), vec![]),
        (key("none"), json!({}), vec![Defect::Missing("key")]),
        (key("empty"), json!({ "key": text("") }), vec![Defect::Empty("key")]),
        (key("name"), json!({ "key": text("other") }), vec![Defect::DiffersFromName("key")]),
        (
            key("dark"),
            json!({ "key": { "stringValue": "dark", "excludeFromIndexes": true } }),
            vec![Defect::NotIndexed("key")],
        ),
        (
            json!([element("APIKey", "root")]),
            json!({ "key": text("root") }),
            vec![Defect::NoParent],
        ),
        (
            json!([{ "kind": "Organization", "id": "7" }, element("APIKey", "numbered")]),
            json!({ "key": text("numbered") }),
            vec![Defect::NumericParent],
        ),
    ];
    for (path, properties, _) in &odd {
        engine.put(PLATFORM, path, properties);
    }
    let store = engine.store();
    let everybody = OrganizationKeysOf::Everybody;
    let rows = store.list_organization_keys(everybody, None).await.unwrap().rows;
    assert_eq!(rows.len(), odd.len());
    for (path, properties, defects) in odd {
        let name = path.as_array().unwrap().last().unwrap()["name"].as_str().unwrap();
        let property = properties["key"]["stringValue"].as_str().filter(|key| !key.is_empty());
        let hash = organization_key(property.unwrap_or(name)).hash();
        let row = rows.iter().find(|row| row.key_hash == hash).unwrap();
        assert_eq!(row.defects, defects, "{path}");
        assert!(!format!("{row:?}").contains(name), "a key shows");
    }

    engine.put(
        PLATFORM,
        &json!([element("Organization", "mlab")]),
        &json!({
            "name": text("mlab-2"),
            "probability_multiplier": { "integerValue": "1" },
            "email": { "booleanValue": true },
        }),
    );
    let row = store.read_organization(&mlab()).await.unwrap().unwrap();
    assert_eq!(
        row.defects,
        [Defect::PropertyType("email"), Defect::IntegerMultiplier, Defect::DiffersFromName("name"),]
    );
    assert_eq!(row.probability_multiplier, Some(1.0));
}

pub async fn what_is_mended_is_written_as_the_go_tools_write_it(engine: &Datastore) {
    engine.put(
        PLATFORM,
        &json!([element("Organization", "mlab")]),
        &json!({
            "name": { "stringValue": "mlab" },
            "email": { "stringValue": "" },
            "created_at": { "timestampValue": "2026-11-22T06:00:00Z" },
            "probability_multiplier": { "integerValue": "1" },
        }),
    );
    let dark = json!({ "stringValue": "dark", "excludeFromIndexes": true });
    let path = json!([element("Organization", "mlab"), element("APIKey", "dark")]);
    engine.put(PLATFORM, &path, &json!({ "key": dark }));
    let store = engine.store();
    let row = store.read_organization(&mlab()).await.unwrap().unwrap();
    store.commit(&Write::ReplaceOrganization(row).into()).await.unwrap();
    assert_eq!(store.find(&organization_key("dark")).await.unwrap(), Answer::Absent);
    let everybody = OrganizationKeysOf::Everybody;
    let row = store.list_organization_keys(everybody, None).await.unwrap().rows.remove(0);
    store.commit(&Write::ReplaceOrganizationKey(row).into()).await.unwrap();

    let organizations = engine.emulator.entities(&engine.project, PLATFORM, "Organization");
    assert_eq!(
        organizations[0]["properties"],
        json!({
            "name": { "stringValue": "mlab" },
            "email": { "stringValue": "" },
            "created_at": { "timestampValue": "2026-11-22T06:00:00Z" },
            "probability_multiplier": { "doubleValue": 1.0 },
        })
    );
    let found = store.find(&organization_key("dark")).await.unwrap();
    assert!(matches!(found, Answer::Found(_)), "{found:?}");
}

pub async fn revoking_loses_nothing_of_a_record(engine: &Datastore) {
    // What no index can hold, and what is missing.
    let path = json!([element("IntegrationMeta", "acme"), element("IntegrationAPIKey", "ki_1")]);
    let long = json!({ "stringValue": "x".repeat(2000), "excludeFromIndexes": true });
    let mut properties = whole_key();
    properties["description"] = long;
    properties.as_object_mut().unwrap().remove("created_at");
    engine.put(INTEGRATION, &path, &properties);
    // What no reader of the Go tools can load is left as it is: it opens nothing.
    let path = json!([element("IntegrationMeta", "acme"), element("IntegrationAPIKey", "ki_2")]);
    let mut unreadable = whole_key();
    unreadable["note"] = json!({ "stringValue": "remember" });
    engine.put(INTEGRATION, &path, &unreadable);

    let store = engine.store();
    let on =
        Occasion { at: "2026-11-22T12:00:00Z".parse().unwrap(), by: Author::parse("ana").unwrap() };
    let reason = Remark::parse("lost").unwrap();
    for row in store.list_integration_keys(None, None).await.unwrap().rows {
        let planned = key_life::revoke_integration_key(&row, &reason, &on);
        store.commit(&planned.change).await.unwrap();
    }
    properties["status"] = json!({ "stringValue": "revoked" });
    let stored = engine.emulator.entities(&engine.project, INTEGRATION, "IntegrationAPIKey");
    assert_eq!(stored[0]["properties"], properties);
    assert_eq!(stored[1]["properties"], unreadable);
}

pub async fn facts_are_entities_of_our_own_kinds(engine: &Datastore) {
    let store = engine.store();
    let path = json!([element("IntegrationMeta", "acme"), element("IntegrationAPIKey", "ki_1")]);
    engine.put(INTEGRATION, &path, &whole_key());
    let row = store.list_integration_keys(None, None).await.unwrap().rows.remove(0);
    let on = Occasion {
        at: "2026-11-22T12:00:00.000001Z".parse().unwrap(),
        by: Author::parse("ana").unwrap(),
    };
    let planned = key_life::revoke_integration_key(&row, &Remark::parse("lost").unwrap(), &on);
    store.commit(&planned.change).await.unwrap();
    let stored = engine.emulator.entities(&engine.project, INTEGRATION, "IntegrationKeyFacts");
    assert_eq!(
        stored[0]["key"]["path"],
        json!([element("IntegrationMeta", "acme"), element("IntegrationKeyFacts", "ki_1")])
    );
    let text = |text: &str| json!({ "stringValue": text, "excludeFromIndexes": true });
    let time = json!({
        "timestampValue": "2026-11-22T12:00:00.000001Z",
        "excludeFromIndexes": true,
    });
    assert_eq!(
        stored[0]["properties"],
        json!({
            "key_hash": text(HASH),
            "revoked_at": time,
            "revoked_reason": text("lost"),
            "changed_by": text("ana"),
            "changed_at": time,
        })
    );
}

fn mlab() -> OrganizationName {
    OrganizationName::parse("mlab").unwrap()
}
