//! The rules of a key's life: what may be done when, what it comes to, and what never happens
//! whatever is done.

mod orders;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use token_exchange::api_key::{ImportLine, IntegrationId, InvalidImportLine, KeyId};
use token_exchange::api_key::{IntegrationApiKey, OrganizationApiKey, OrganizationName};
use token_exchange::environment::System;
use token_exchange::exchange::{Autojoin, Integration};
use token_exchange::key_life::{
    self, Amendment, Assumptions, Author, Ending, IntegrationKeySuccessor, Occasion, Planned,
    Receipt, Refused, Remark, State, Terms,
};
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{
    Change, Description, Facts, IntegrationKeyRow, KeyAdmin as _, KeyRecords as _, KeyStatus,
    NewIntegration, NewIntegrationKey, NewOrganization, NewOrganizationKey, OrganizationKeyRow,
    OrganizationKeysOf, READ_ATTEMPT, Write,
};
use tokio::runtime::Runtime;

const NOON: &str = "2026-11-22T12:00:00Z";

#[test]
fn a_new_key_is_valid_between_its_times_and_says_who_made_it() {
    let world = World::new();
    let terms = Terms {
        not_before: Some(time("2026-11-23T00:00:00.7Z")),
        expires_at: Some(time("2026-12-01T00:00:00.7Z")),
        note: Remark::parse("for the trial"),
    };
    let row = world.key("ki_1", &terms);
    let facts = row.facts_in_force().unwrap();
    // Tokens know whole seconds.
    assert_eq!(facts.not_before, Some(time("2026-11-23T00:00:00Z")));
    assert_eq!(facts.expires_at, Some(time("2026-12-01T00:00:00Z")));
    assert_eq!(facts.note.as_deref(), Some("for the trial"));
    assert_eq!(facts.created_by.as_deref(), Some("ana"));
    for (now, state) in [
        (NOON, State::Waiting(time("2026-11-23T00:00:00Z"))),
        ("2026-11-23T00:00:00Z", State::Expiring(time("2026-12-01T00:00:00Z"))),
        ("2026-12-01T00:00:00Z", State::Expired(time("2026-12-01T00:00:00Z"))),
    ] {
        assert_eq!(State::of_integration_key(&row, true, time(now)), state, "{now}");
    }
    assert_eq!(State::of_integration_key(&row, false, time(NOON)), State::Orphaned);
}

#[test]
fn a_key_that_could_never_be_used_is_not_made() {
    let world = World::new();
    let terms = |not_before: Option<&str>, expires_at: &str| Terms {
        not_before: not_before.map(time),
        expires_at: Some(time(expires_at)),
        note: None,
    };
    let past = world.try_key("ki_1", &terms(None, NOON));
    assert_eq!(past.unwrap_err(), Refused::Past(time(NOON)));
    let never = world.try_key("ki_1", &terms(Some("2027-01-02T00:00:00Z"), "2027-01-01T00:00:00Z"));
    assert!(matches!(never, Err(Refused::NeverValid { .. })), "{never:?}");
    let nobody =
        key_life::create_integration_key(None, &new_key("ki_1"), &Terms::default(), &at(NOON));
    assert_eq!(nobody.unwrap_err(), Refused::NoSuchIntegration("acme".to_owned()));
}

#[test]
fn a_rolled_key_goes_on_for_a_while_and_both_are_linked() {
    let world = World::new();
    let mut row = world.key("ki_1", &Terms::default());
    row.tier = 5;
    row.description = "Measures things".to_owned();
    world.commit(&Write::ReplaceIntegrationKey(row.clone()).into());
    let row = world.read("ki_1");
    let planned = roll(&row, "ki_2", after(NOON, 7 * 24)).unwrap();
    assert_eq!(planned.ends_at, Some(time("2026-11-29T12:00:00Z")));
    world.commit(&planned.change);

    let (old, new) = (world.read("ki_1"), world.read("ki_2"));
    assert_eq!((new.tier, &*new.description), (5, "Measures things"));
    assert_eq!(new.facts_in_force().unwrap().replaces.as_deref(), Some("ki_1"));
    assert_eq!(new.facts_in_force().unwrap().expires_at, None);
    let facts = old.facts_in_force().unwrap();
    assert_eq!(facts.replaced_by.as_deref(), Some("ki_2"));
    assert_eq!(facts.expires_at, planned.ends_at);
    // The Go service goes on taking it.
    assert_eq!(old.status, KeyStatus::ACTIVE);
}

#[test]
fn a_key_is_rolled_once_and_only_while_it_lives() {
    let world = World::new();
    let row = world.key("ki_1", &Terms::default());
    world.commit(&roll(&row, "ki_2", after(NOON, 1)).unwrap().change);
    let again = roll(&world.read("ki_1"), "ki_3", after(NOON, 1)).unwrap_err();
    assert_eq!(again, Refused::Rolled("ki_2".to_owned()));
    assert!(again.to_string().contains("ki_2"), "{again}");

    let later = Occasion { at: time("2026-11-22T13:00:00Z"), ..at(NOON) };
    let expired = roll_on(&world.read("ki_1"), "ki_3", Ending::Now, &later).unwrap_err();
    assert_eq!(expired, Refused::Expired(time("2026-11-22T13:00:00Z")));

    let row = world.read("ki_2");
    let same = roll(&row, "ki_2", Ending::Now).unwrap_err();
    assert_eq!(same, Refused::SameKeyId);
    world.commit(&revoke(&row).change);
    let revoked = roll(&world.read("ki_2"), "ki_3", Ending::Now).unwrap_err();
    assert_eq!(revoked, Refused::Revoked(time(NOON)));

    let row = world.key("ki_4", &Terms::default());
    let status = "paused".to_owned();
    let paused = IntegrationKeyRow { status: status.clone(), ..row };
    assert_eq!(roll(&paused, "ki_5", Ending::Now).unwrap_err(), Refused::NotActive(status));
}

#[test]
fn rolling_never_lengthens_a_life_and_now_ends_it_everywhere() {
    let world = World::new();
    let end = time("2026-11-23T00:00:00Z");
    let row = world.key("ki_1", &Terms { expires_at: Some(end), ..Terms::default() });
    assert_eq!(roll(&row, "ki_2", after(NOON, 7 * 24)).unwrap().ends_at, Some(end));
    // An overlap of less than nothing is none.
    let begun = roll(&row, "ki_2", after(NOON, -1)).unwrap();
    assert_eq!(begun.ends_at, Some(time(NOON)));

    let planned = roll(&row, "ki_2", Ending::Now).unwrap();
    assert_eq!(planned.ends_at, Some(time(NOON)));
    world.commit(&planned.change);
    let old = world.read("ki_1");
    assert_eq!(old.status, KeyStatus::REVOKED);
    assert_eq!(state(&old), State::Revoked(Some(time(NOON))));
    assert_eq!(state(&world.read("ki_2")), State::Active);
}

#[test]
fn the_successor_of_a_waiting_key_waits_as_long() {
    let world = World::new();
    let start = time("2026-12-01T00:00:00Z");
    let row = world.key("ki_1", &Terms { not_before: Some(start), ..Terms::default() });
    world.commit(&roll(&row, "ki_2", Ending::Now).unwrap().change);
    assert_eq!(state(&world.read("ki_2")), State::Waiting(start));
}

#[test]
fn an_end_can_be_moved_until_it_has_come() {
    let world = World::new();
    let row = world.key("ki_1", &Terms::default());
    let expire = |row: &IntegrationKeyRow, end: &str, now: &str| {
        key_life::expire_integration_key(row, time(end), &at(now))
    };
    world.commit(&expire(&row, "2026-12-01T00:00:00Z", NOON).unwrap().change);
    let row = world.read("ki_1");
    world.commit(&expire(&row, "2026-12-24T00:00:00Z", NOON).unwrap().change);
    let row = world.read("ki_1");
    assert_eq!(state(&row), State::Expiring(time("2026-12-24T00:00:00Z")));

    let past = expire(&row, NOON, NOON).unwrap_err();
    assert_eq!(past, Refused::Past(time(NOON)));
    let over = expire(&row, "2027-02-01T00:00:00Z", "2027-01-01T00:00:00Z").unwrap_err();
    assert_eq!(over, Refused::Expired(time("2026-12-24T00:00:00Z")));
}

#[test]
fn a_key_is_revoked_once_and_stays_as_it_was_revoked() {
    let world = World::new();
    let row = world.key("ki_1", &Terms::default());
    world.commit(&revoke(&row).change);
    let row = world.read("ki_1");
    let again = key_life::revoke_integration_key(
        &row,
        &Remark::parse("again").unwrap(),
        &at("2027-01-01T00:00:00Z"),
    );
    assert!(again.change.writes().is_empty(), "{again:?}");
    assert_eq!(again.ends_at, Some(time(NOON)));

    // What some other tool made active again is ended there again.
    let active = IntegrationKeyRow { status: KeyStatus::ACTIVE.to_owned(), ..row };
    assert!(matches!(
        revoke(&active).change.writes(),
        [Write::ReplaceIntegrationKey(row)] if row.status == KeyStatus::REVOKED
    ));
    // A status that nobody knows may mean to somebody that the key is to come back.
    let odd = IntegrationKeyRow { status: "disabled".to_owned(), ..active.clone() };
    assert!(matches!(
        revoke(&odd).change.writes(),
        [Write::ReplaceIntegrationKey(row)] if row.status == KeyStatus::REVOKED
    ));
    // One that never could be used is marked all the same.
    let dead = IntegrationKeyRow { key_hash: "none".to_owned(), ..active };
    assert!(matches!(revoke(&dead).change.writes(), [Write::ReplaceIntegrationKey(_)]));
    assert!(matches!(state(&dead), State::Dead(_)));
}

#[test]
fn a_key_of_an_organization_is_rolled_expired_and_revoked_by_its_facts() {
    let world = World::new();
    let rows = world.organization_key("the-key");
    let successor = new_organization_key("mlab", "the-next");
    let terms = Terms::default();
    let roll = |rows: &[OrganizationKeyRow], ending| {
        key_life::roll_organization_key(rows, &successor, &terms, ending, &at(NOON))
    };
    let planned = roll(&rows, after(NOON, 24)).unwrap();
    world.commit(&planned.change);
    let rows = world.organization_keys();
    let [old, new] = [&organization_key("the-key"), &organization_key("the-next")]
        .map(|key| rows.iter().find(|row| row.key_hash == key.hash()).unwrap());
    assert_eq!(facts(old).replaced_by, Some(new.key_hash.to_hex()));
    assert_eq!(facts(new).replaces, Some(old.key_hash.to_hex()));
    let end = time("2026-11-23T12:00:00Z");
    let state = |row| State::of_organization_key(row, true, time(NOON));
    assert_eq!((state(old), state(new)), (State::Expiring(end), State::Active));

    let old = std::slice::from_ref(old);
    assert!(matches!(roll(old, Ending::Now), Err(Refused::Rolled(_))));
    let late = at("2026-11-23T12:00:00Z");
    let expired = key_life::expire_organization_key(old, time("2027-01-01T00:00:00Z"), &late);
    assert_eq!(expired.unwrap_err(), Refused::Expired(end));
    assert_eq!(roll(&[], Ending::Now).unwrap_err(), Refused::NoSuchKey);
    let shared = [old, old].concat();
    let refused = roll(&shared, Ending::Now).unwrap_err();
    assert_eq!(refused, Refused::Shared("mlab, mlab".to_owned()));
}

#[test]
fn a_manifest_gives_no_key_that_has_ended_another_end() {
    let world = World::new();
    let end = time("2026-12-01T00:00:00Z");
    let row = world.key("ki_1", &Terms { expires_at: Some(end), ..Terms::default() });
    for expires_at in [None, Some(time("2027-12-01T00:00:00Z"))] {
        let wish = Amendment {
            tier: row.tier,
            description: Description::default(),
            not_before: None,
            expires_at,
            note: None,
        };
        let on = at("2026-12-01T00:00:00Z");
        let refused = key_life::amend_integration_key(&row, &wish, &on).unwrap_err();
        assert_eq!(refused, Refused::Expired(end));
    }
}

#[test]
fn the_successor_of_an_organizations_key_is_its_own() {
    let world = World::new();
    let rows = world.organization_key("old");
    let other = new_organization_key("zoo", "new");
    let roll =
        key_life::roll_organization_key(&rows, &other, &Terms::default(), Ending::Now, &at(NOON));
    assert_eq!(roll.unwrap_err(), Refused::NoSuchOrganization("zoo".to_owned()));
}

#[test]
fn a_receipt_adds_up() {
    let revoked_at = time(NOON);
    let of_integration = Receipt::of::<Integration>(revoked_at, revoked_at, &Assumptions::DEFAULT);
    let seconds = of_integration.terms.map(|term| term.duration.as_secs());
    assert_eq!(seconds, [600, 5, 20, 60]);
    assert_eq!(of_integration.complete_at(), time("2026-11-22T12:11:25Z"));
    assert_eq!(of_integration.complete_in_health_at(), time("2026-11-22T12:01:55Z"));
    // The change itself may have taken its time, and an old receipt is the same every day.
    for (now, effective_at) in [
        ("2026-11-22T12:00:03Z", "2026-11-22T12:00:03Z"),
        ("2026-11-29T12:00:00Z", "2026-11-22T12:00:10Z"),
        ("2026-11-22T11:00:00Z", NOON),
    ] {
        let receipt = Receipt::of::<Autojoin>(revoked_at, time(now), &Assumptions::DEFAULT);
        assert_eq!(receipt.effective_at, time(effective_at), "{now}");
        assert_eq!(receipt.terms[2].duration, Duration::from_hours(1));
    }
    let cached = Assumptions {
        memory: Duration::from_secs(10),
        memory_while_away: Duration::from_mins(5),
        ..Assumptions::DEFAULT
    };
    let receipt = Receipt::of::<Integration>(revoked_at, revoked_at, &cached);
    assert_eq!(receipt.terms[0].duration, Duration::from_mins(5));
    // Without a memory there is still the read that a question may have joined.
    let none = Assumptions { memory: Duration::ZERO, memory_while_away: Duration::ZERO, ..cached };
    let receipt = Receipt::of::<Integration>(revoked_at, revoked_at, &none);
    assert_eq!(receipt.terms[0].duration, READ_ATTEMPT);
    assert_eq!(receipt.complete_at(), receipt.complete_in_health_at());
}

#[test]
fn a_recipient_hands_over_a_line_without_the_secret() {
    let id = IntegrationId::parse("acme ü/1").unwrap();
    let key = IntegrationApiKey::generate(id, KeyId::parse("ki_1").unwrap(), &System).unwrap();
    let line = key.import_line();
    let read: ImportLine = line.to_string().parse().unwrap();
    assert_eq!(read, line);
    assert_eq!(read.secret_hash(), key.secret_hash());
    let written = line.to_string();
    let (ids, hash) = written.rsplit_once('.').unwrap();
    assert_eq!(ids, "mlabkh.cii_acme ü/1.ki_1");
    assert_eq!(hash.len(), 64);

    let api_key = key.reveal();
    let refused = api_key.expose_secret().parse::<ImportLine>().unwrap_err();
    assert_eq!(refused, InvalidImportLine::ApiKey);
    for (line, why) in [
        (String::new(), InvalidImportLine::Form),
        (format!("{written}.x"), InvalidImportLine::Form),
        (written.replace("cii_", ""), InvalidImportLine::Form),
        (format!("{written}\n"), InvalidImportLine::Hash),
        (format!("{ids}.{}", hash.to_uppercase()), InvalidImportLine::Hash),
    ] {
        assert_eq!(line.parse::<ImportLine>().unwrap_err(), why, "{line}");
    }
    assert!("mlabkh.cii_.ki_1.00".parse::<ImportLine>().is_err());
    assert!("mlabkh.cii_a.kj_1.00".parse::<ImportLine>().is_err());
}

#[test]
fn names_and_remarks_have_bounds() {
    assert!(Author::parse(&"x".repeat(100)).is_some());
    for name in [String::new(), "x".repeat(101), "a\nb".to_owned(), "\u{1b}[2J".to_owned()] {
        assert_eq!(Author::parse(&name), None, "{name:?}");
    }
    assert!(Remark::parse(&"x".repeat(1000)).is_some());
    assert_eq!(Remark::parse(&"x".repeat(1001)), None);
    assert_eq!(Remark::parse(""), None);
}

/// A store in a file, and somebody who waits for it.
struct World {
    _folder: TempDir,
    store: SqliteStore,
    runtime: Runtime,
}

impl World {
    /// With an integration `acme` and an organization `mlab`, without keys.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("keys.db")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = Self { _folder: folder, store, runtime };
        world.integration("acme");
        let mlab = NewOrganization {
            name: OrganizationName::parse("mlab").unwrap(),
            email: String::new(),
            probability_multiplier: 1.0,
            created_at: time(NOON),
        };
        world.commit(&Write::InsertOrganization(mlab).into());
        world
    }

    fn integration(&self, id: &str) {
        let integration = NewIntegration {
            id: IntegrationId::parse(id).unwrap(),
            description: Description::default(),
            created_at: time(NOON),
        };
        let planned = key_life::create_integration(&integration, None, &at(NOON)).unwrap();
        self.commit(&planned.change);
    }

    fn key(&self, key: &str, terms: &Terms) -> IntegrationKeyRow {
        self.commit(&self.try_key(key, terms).unwrap().change);
        self.read(key)
    }

    fn try_key(&self, key: &str, terms: &Terms) -> Result<Planned, Refused> {
        self.creation("acme", key, terms)
    }

    fn creation(&self, integration: &str, key: &str, terms: &Terms) -> Result<Planned, Refused> {
        let id = IntegrationId::parse(integration).unwrap();
        let row = self.runtime.block_on(self.store.read_integration(&id)).unwrap();
        let new = new_key_of(integration, key);
        key_life::create_integration_key(row.as_ref(), &new, terms, &at(NOON))
    }

    fn organization_key(&self, key: &str) -> Vec<OrganizationKeyRow> {
        let new = new_organization_key("mlab", key);
        let name = &new.organization;
        let row = self.runtime.block_on(self.store.read_organization(name)).unwrap();
        let terms = Terms::default();
        let planned = key_life::create_organization_key(row.as_ref(), &new, &terms, &at(NOON));
        self.commit(&planned.unwrap().change);
        self.organization_keys()
    }

    fn organization_keys(&self) -> Vec<OrganizationKeyRow> {
        let listed = self.store.list_organization_keys(OrganizationKeysOf::Everybody, None);
        self.runtime.block_on(listed).unwrap().rows
    }

    fn read(&self, key: &str) -> IntegrationKeyRow {
        let (id, key) = (IntegrationId::parse("acme").unwrap(), KeyId::parse(key).unwrap());
        self.runtime.block_on(self.store.read_integration_key(&id, &key)).unwrap().unwrap()
    }

    fn keys_of(&self, integration: &str) -> Vec<IntegrationKeyRow> {
        let id = IntegrationId::parse(integration).unwrap();
        self.runtime.block_on(self.store.list_integration_keys(Some(&id), None)).unwrap().rows
    }

    fn commit(&self, change: &Change) {
        self.runtime.block_on(self.store.commit(change)).unwrap();
    }
}

fn roll(row: &IntegrationKeyRow, key: &str, ending: Ending) -> Result<Planned, Refused> {
    roll_on(row, key, ending, &at(NOON))
}

fn roll_on(
    row: &IntegrationKeyRow,
    key: &str,
    ending: Ending,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let new = new_key(key);
    let successor = IntegrationKeySuccessor { key_id: new.key_id, secret_hash: new.secret_hash };
    key_life::roll_integration_key(row, &successor, &Terms::default(), ending, on)
}

fn revoke(row: &IntegrationKeyRow) -> Planned {
    key_life::revoke_integration_key(row, &Remark::parse("lost").unwrap(), &at(NOON))
}

fn state(row: &IntegrationKeyRow) -> State {
    State::of_integration_key(row, true, time(NOON))
}

fn facts_of(row: &IntegrationKeyRow) -> Facts {
    row.facts_in_force().cloned().unwrap_or_default()
}

fn facts(row: &OrganizationKeyRow) -> &Facts {
    &row.facts.readable().unwrap().facts
}

fn new_key(key: &str) -> NewIntegrationKey {
    new_key_of("acme", key)
}

fn new_key_of(integration: &str, key: &str) -> NewIntegrationKey {
    let id = IntegrationId::parse(integration).unwrap();
    let key = IntegrationApiKey::generate(id, KeyId::parse(key).unwrap(), &System).unwrap();
    NewIntegrationKey::of(&key, Description::default(), 0, time(NOON))
}

fn organization_key(key: &str) -> OrganizationApiKey {
    OrganizationApiKey::parse(key.into()).unwrap()
}

fn new_organization_key(organization: &str, key: &str) -> NewOrganizationKey {
    NewOrganizationKey {
        organization: OrganizationName::parse(organization).unwrap(),
        key: organization_key(key),
        created_at: time(NOON),
    }
}

fn after(now: &str, hours: i64) -> Ending {
    Ending::At(time(now) + SignedDuration::from_hours(hours))
}

fn at(now: &str) -> Occasion {
    Occasion { at: time(now), by: Author::parse("ana").unwrap() }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}
