//! Entities as the Go tools write them, and as no Go tool would: both emulators hold them.

use serde_json::{Value, json};
use token_exchange::key_store::{
    Answer, Description, Holder, IntegrationKey, KeyStatus, OrganizationKey, RecordName,
    UnavailableKind, UnusableRecord, Validity, WriteError,
};

use super::engine::{
    Datastore, Engine as _, INTEGRATION, PLATFORM, element, integration_id, key_id,
    new_integration, new_key, new_organization, new_organization_key, organization_key, whole_key,
};
use crate::support::ask::Ask as _;

pub async fn an_integration_is_written_as_the_go_tool_writes_it(engine: &Datastore) {
    let key = new_key("acme", "ki_748788e3020a27ab");
    engine.store().create_integration(&new_integration("acme"), &key).await.unwrap();
    assert_eq!(
        stored(engine, INTEGRATION, "IntegrationMeta"),
        [json!({
            "path": [{ "kind": "IntegrationMeta", "name": "acme" }],
            "properties": {
                "created_at": { "timestampValue": "2026-11-22T06:37:18.484949Z" },
                "description": { "stringValue": "Measures things" },
            },
        })]
    );
    assert_eq!(
        stored(engine, INTEGRATION, "IntegrationAPIKey"),
        [json!({
            "path": [
                { "kind": "IntegrationMeta", "name": "acme" },
                { "kind": "IntegrationAPIKey", "name": "ki_748788e3020a27ab" },
            ],
            "properties": {
                "key_hash": { "stringValue": key.secret_hash.to_hex() },
                "created_at": { "timestampValue": "2026-11-22T06:37:18.467067Z" },
                "description": { "stringValue": "Initial API key" },
                "status": { "stringValue": "active" },
                "tier": { "integerValue": "7" },
            },
        })]
    );
}

pub async fn an_organization_is_written_as_the_go_tools_write_it(engine: &Datastore) {
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap();
    assert_eq!(
        stored(engine, PLATFORM, "Organization"),
        [json!({
            "path": [{ "kind": "Organization", "name": "mlab" }],
            "properties": {
                "name": { "stringValue": "mlab" },
                "email": { "stringValue": "ops@example.org" },
                "created_at": { "timestampValue": "2026-11-22T06:37:18.589694Z" },
                "probability_multiplier": { "doubleValue": 1.0 },
            },
        })]
    );
    assert_eq!(
        stored(engine, PLATFORM, "APIKey"),
        [json!({
            "path": [
                { "kind": "Organization", "name": "mlab" },
                { "kind": "APIKey", "name": "the-key" },
            ],
            "properties": {
                "created_at": { "timestampValue": "2026-11-22T06:37:18.609851Z" },
                "key": { "stringValue": "the-key" },
            },
        })]
    );
}

pub async fn missing_and_null_properties_are_zero_values(engine: &Datastore) {
    put_key(engine, "ki_missing", &json!({}));
    put_key(
        engine,
        "ki_null",
        &json!({
            "key_hash": { "nullValue": null },
            "created_at": { "nullValue": null },
            "description": { "nullValue": null },
            "status": { "nullValue": null },
            "tier": { "nullValue": null },
        }),
    );
    for key in ["ki_missing", "ki_null"] {
        assert_eq!(
            find(engine, key).await,
            Answer::Found(IntegrationKey {
                secret_hash: None,
                status: KeyStatus::Inactive,
                tier: 0,
                validity: Validity::default(),
            })
        );
    }
    let path =
        json!([{ "kind": "Organization", "name": "mlab" }, { "kind": "APIKey", "name": "k" }]);
    engine.put(
        PLATFORM,
        &path,
        &json!({ "key": { "stringValue": "the-key" }, "created_at": { "nullValue": null } }),
    );
    assert_eq!(holder(engine, "the-key").await, named("mlab"));
}

pub async fn a_property_of_another_type_makes_a_key_unusable(engine: &Datastore) {
    let wrong = [
        ("key_hash", json!({ "blobValue": "AAAA" })),
        ("key_hash", json!({ "integerValue": "1" })),
        ("created_at", json!({ "stringValue": "2026-11-22T06:00:00Z" })),
        ("created_at", json!({ "integerValue": "1795327200000000" })),
        ("description", json!({ "integerValue": "1" })),
        ("status", json!({ "booleanValue": true })),
        ("tier", json!({ "doubleValue": 1.0 })),
        ("tier", json!({ "stringValue": "1" })),
        ("tier", json!({ "booleanValue": true })),
        ("tier", json!({ "arrayValue": { "values": [{ "integerValue": "1" }] } })),
        ("tier", json!({ "entityValue": { "properties": {} }, "excludeFromIndexes": true })),
        ("tier", json!({ "geoPointValue": { "latitude": 1.0, "longitude": 1.0 } })),
    ];
    for (number, (property, value)) in wrong.into_iter().enumerate() {
        let key = format!("ki_{number}");
        let mut properties = whole_key();
        properties[property] = value.clone();
        put_key(engine, &key, &properties);
        assert_eq!(
            find(engine, &key).await,
            Answer::Unusable(UnusableRecord::PropertyType(property)),
            "{property}: {value}"
        );
    }

    let path =
        json!([{ "kind": "Organization", "name": "mlab" }, { "kind": "APIKey", "name": "k" }]);
    for (property, key, value) in [
        ("created_at", json!({ "stringValue": "the-key" }), json!({ "stringValue": "today" })),
        // An array is found by any of its elements.
        (
            "key",
            json!({ "arrayValue": { "values": [
                { "stringValue": "the-key" }, { "stringValue": "another" },
            ] } }),
            json!({ "timestampValue": "2026-11-22T06:00:00Z" }),
        ),
    ] {
        engine.put(PLATFORM, &path, &json!({ "key": key, "created_at": value }));
        assert_eq!(
            holder(engine, "the-key").await,
            Answer::Unusable(UnusableRecord::PropertyType(property))
        );
    }
}

pub async fn a_property_that_no_reader_knows_makes_a_key_unusable(engine: &Datastore) {
    let unknown = [
        ("note", json!({ "stringValue": "remember" })),
        ("note", json!({ "nullValue": null })),
        ("Status", json!({ "stringValue": "active" })),
    ];
    for (number, (property, value)) in unknown.into_iter().enumerate() {
        let key = format!("ki_{number}");
        let mut properties = whole_key();
        properties[property] = value;
        put_key(engine, &key, &properties);
        assert_eq!(find(engine, &key).await, Answer::Unusable(UnusableRecord::UnknownProperty));
    }
    engine.put(
        PLATFORM,
        &json!([{ "kind": "Organization", "name": "mlab" }, { "kind": "APIKey", "name": "k" }]),
        &json!({ "key": { "stringValue": "the-key" }, "status": { "nullValue": null } }),
    );
    assert_eq!(holder(engine, "the-key").await, Answer::Unusable(UnusableRecord::UnknownProperty));
}

pub async fn what_is_not_indexed_is_read_all_the_same(engine: &Datastore) {
    let mut properties = whole_key();
    for (_, value) in properties.as_object_mut().unwrap() {
        value["excludeFromIndexes"] = true.into();
    }
    properties["description"]["stringValue"] = "x".repeat(2000).into();
    put_key(engine, "ki_first", &properties);
    assert!(matches!(find(engine, "ki_first").await, Answer::Found(_)));

    // But an equality is a question to an index.
    let path =
        json!([{ "kind": "Organization", "name": "mlab" }, { "kind": "APIKey", "name": "k" }]);
    let key = json!({ "stringValue": "the-key", "excludeFromIndexes": true });
    engine.put(PLATFORM, &path, &json!({ "key": key }));
    assert_eq!(holder(engine, "the-key").await, Answer::Absent);
}

pub async fn an_orphan_is_found(engine: &Datastore) {
    put_key(engine, "ki_first", &whole_key());
    assert!(matches!(find(engine, "ki_first").await, Answer::Found(_)));
    put_organization_key(engine, PLATFORM, &json!([element("Organization", "nowhere")]));
    assert_eq!(holder(engine, "the-key").await, named("nowhere"));
}

pub async fn records_in_other_namespaces_are_absent(engine: &Datastore) {
    for namespace in [PLATFORM, "other", ""] {
        engine.put(namespace, &key_path("ki_first"), &whole_key());
    }
    for namespace in [INTEGRATION, "other", ""] {
        put_organization_key(engine, namespace, &json!([element("Organization", "mlab")]));
    }
    // Nor is a key without its parent the key of that integration.
    let rootless = json!([element("IntegrationAPIKey", "ki_first")]);
    engine.put(INTEGRATION, &rootless, &whole_key());
    assert_eq!(find(engine, "ki_first").await, Answer::Absent);
    assert_eq!(holder(engine, "the-key").await, Answer::Absent);
}

pub async fn the_key_property_counts_and_not_the_name(engine: &Datastore) {
    let path = json!([element("Organization", "mlab"), element("APIKey", "by-name")]);
    engine.put(PLATFORM, &path, &json!({ "key": { "stringValue": "by-property" } }));
    assert_eq!(holder(engine, "by-name").await, Answer::Absent);
    assert_eq!(holder(engine, "by-property").await, named("mlab"));
}

pub async fn the_immediate_parent_holds_a_key(engine: &Datastore) {
    let parents = json!([element("Country", "it"), element("Whatever", "nested")]);
    put_organization_key(engine, PLATFORM, &parents);
    assert_eq!(holder(engine, "the-key").await, named("nested"));
}

pub async fn a_numbered_parent_has_no_name(engine: &Datastore) {
    put_organization_key(engine, PLATFORM, &json!([{ "kind": "Organization", "id": "77" }]));
    let numbered = Answer::Found(held_by(Holder::Numbered));
    assert_eq!(holder(engine, "the-key").await, numbered);
}

pub async fn a_key_without_a_parent_is_unusable(engine: &Datastore) {
    put_organization_key(engine, PLATFORM, &json!([]));
    assert_eq!(holder(engine, "the-key").await, Answer::Unusable(UnusableRecord::NoParent));
}

pub async fn a_description_too_long_for_an_index_is_refused(engine: &Datastore) {
    assert_eq!(Description::parse(&"x".repeat(1501)), None);
    let mut integration = new_integration("acme");
    integration.description = Description::parse(&"x".repeat(1500)).unwrap();
    engine.store().create_integration(&integration, &new_key("acme", "ki_first")).await.unwrap();

    // What the types do not stop, the store does, and it is no accident that goes away.
    let mut organization = new_organization("mlab");
    organization.email = "x".repeat(1501);
    let refused = engine.store().create_organization(&organization).await;
    let Err(WriteError::Unavailable(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.kind, UnavailableKind::Refused, "{refused}");
}

pub async fn an_orphan_is_not_overwritten(engine: &Datastore) {
    put_key(engine, "ki_first", &whole_key());
    let refused = engine
        .store()
        .create_integration(&new_integration("acme"), &new_key("acme", "ki_first"))
        .await;
    assert!(matches!(
        refused,
        Err(WriteError::Exists(RecordName::IntegrationKey(id, key)))
            if id == "acme" && key == "ki_first"
    ));
    assert_eq!(stored(engine, INTEGRATION, "IntegrationMeta"), [] as [Value; 0]);
    assert_eq!(stored(engine, INTEGRATION, "IntegrationAPIKey")[0]["properties"], whole_key());
}

fn key_path(key: &str) -> Value {
    json!([element("IntegrationMeta", "acme"), element("IntegrationAPIKey", key)])
}

fn put_key(engine: &Datastore, key: &str, properties: &Value) {
    engine.put(INTEGRATION, &key_path(key), properties);
}

/// Puts `the-key` under some parents.
fn put_organization_key(engine: &Datastore, namespace: &str, parents: &Value) {
    let mut path = parents.clone();
    path.as_array_mut().unwrap().push(element("APIKey", "the-key"));
    engine.put(namespace, &path, &json!({ "key": { "stringValue": "the-key" } }));
}

async fn find(engine: &Datastore, key: &str) -> Answer<IntegrationKey> {
    engine.store().look_up(&integration_id("acme"), &key_id(key)).await.unwrap()
}

async fn holder(engine: &Datastore, key: &str) -> Answer<OrganizationKey> {
    engine.store().find(&organization_key(key)).await.unwrap()
}

fn named(name: &str) -> Answer<OrganizationKey> {
    Answer::Found(held_by(Holder::Organization(name.into())))
}

fn held_by(holder: Holder) -> OrganizationKey {
    OrganizationKey { holder, validity: Validity::default() }
}

/// What the store holds of a kind, without the names of project and namespace.
fn stored(engine: &Datastore, namespace: &str, kind: &str) -> Vec<Value> {
    let entities = engine.emulator.entities(&engine.project, namespace, kind);
    entities
        .into_iter()
        .map(|entity| json!({ "path": entity["key"]["path"], "properties": entity["properties"] }))
        .collect()
}
