//! Who signs and what is published, as functions of the file and the clock.

use proptest::prelude::*;
use serde_json::{Value, json};
use token_exchange::exchange::{Autojoin, TokenFamily as _};
use token_exchange::signer::{InvalidKeySet, KeySet, WAITS};

use super::file::{DAY_ZERO, HOUR, dated, key, key_from, parse, published, revoked, set, signing};

#[test]
fn the_waits_are_those_of_the_promise() {
    assert_eq!(WAITS.before_start(), 12 * 3600 + 3600 + 3600 + 300 + 60);
    assert_eq!(WAITS.after_last_signature(), 3600 + 60 + 60);
    assert_eq!(WAITS.after_loss(), 3600 + 300 + 60);
    assert_eq!(WAITS.longest_token, Autojoin::LIFETIME_SECONDS);
}

#[test]
fn a_key_starts_at_its_nbf_but_not_before_everybody_can_know_it() {
    let floor = DAY_ZERO + 50_760;
    for (nbf, start) in [(DAY_ZERO, floor), (floor, floor), (floor + 1, floor + 1)] {
        let keys = parse(&[key_from("old", DAY_ZERO), dated(key("new"), DAY_ZERO, nbf)]);
        assert_eq!(signing(&keys, start - 1), "old", "nbf {nbf}");
        assert_eq!(signing(&keys, start), "new", "nbf {nbf}");
    }
}

#[test]
fn of_keys_that_start_together_the_first_in_the_file_signs() {
    let keys = parse(&[key("first"), key("second")]);
    assert_eq!(signing(&keys, DAY_ZERO), "first");
    assert_eq!(published(&keys, DAY_ZERO), ["first", "second"]);
    let keys = parse(&[key_from("first", DAY_ZERO), key_from("second", DAY_ZERO)]);
    assert_eq!(signing(&keys, DAY_ZERO - 1), "first");
    assert_eq!(signing(&keys, DAY_ZERO), "first");
}

#[test]
fn if_no_key_has_started_the_one_that_starts_first_signs() {
    let keys = parse(&[key_from("later", DAY_ZERO + 2), key_from("sooner", DAY_ZERO + 1)]);
    assert_eq!(signing(&keys, DAY_ZERO), "sooner");
    assert_eq!(published(&keys, DAY_ZERO), ["later", "sooner"]);
}

#[test]
fn a_key_is_published_at_once_and_until_3720_seconds_after_its_successor_started() {
    let start = DAY_ZERO + 48 * HOUR;
    let keys = parse(&[key_from("old", DAY_ZERO), key_from("new", start)]);
    for now in [DAY_ZERO, start - 1, start, start + 3719] {
        assert_eq!(published(&keys, now), ["old", "new"], "{now}");
    }
    assert_eq!(published(&keys, start + 3720), ["new"]);
}

#[test]
fn exp_moves_nothing() {
    let mut old = key_from("old", DAY_ZERO);
    old["exp"] = (DAY_ZERO + 1).into();
    let keys = parse(&[key_from("older", DAY_ZERO - HOUR), old]);
    assert_eq!(signing(&keys, DAY_ZERO + 100 * HOUR), "old");
    assert_eq!(published(&keys, DAY_ZERO + 100 * HOUR), ["old"]);
}

#[test]
fn a_bare_jwk_is_a_set_of_one_whatever_its_dates_say() {
    for dates in [json!({}), json!({"iat": "soon", "nbf": -1, "exp": [], "keys": 7})] {
        let mut bare = key("bare");
        bare.as_object_mut().unwrap().extend(dates.as_object().unwrap().clone());
        let keys = KeySet::parse(&serde_json::to_vec(&bare).unwrap()).unwrap();
        assert_eq!(signing(&keys, 0), "bare");
    }
}

#[test]
fn dates_are_whole_seconds() {
    for right in [json!(0), json!(DAY_ZERO), json!(1.7e9), json!(null)] {
        let mut key = key("a");
        key["iat"] = right.clone();
        assert!(KeySet::parse(&set(&[key])).is_ok(), "{right}");
    }
    let milliseconds = DAY_ZERO * 1000;
    for wrong in [
        json!("1700000000"),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!([1]),
        json!(milliseconds),
        json!(1.7e12),
        json!(u64::MAX),
    ] {
        let mut key = key("a");
        key["nbf"] = wrong.clone();
        assert!(matches!(KeySet::parse(&set(&[key])), Err(InvalidKeySet::Json(_))), "{wrong}");
    }
}

#[test]
fn a_date_that_stands_twice_is_refused() {
    for member in ["\"iat\":1", "\"nbf\":1", "\"exp\":1", "\"revoked\":{}"] {
        let mut twice = key("twice").to_string();
        twice.truncate(twice.len() - 1);
        let once = format!("{{\"keys\":[{},{twice},{member}}}]}}", key("other"));
        assert!(KeySet::parse(once.as_bytes()).is_ok(), "{member}");
        let twice = format!("{{\"keys\":[{},{twice},{member},{member}}}]}}", key("other"));
        let refused = KeySet::parse(twice.as_bytes());
        assert!(matches!(refused, Err(InvalidKeySet::Json(_))), "{member}: {refused:?}");
    }
}

#[test]
fn while_its_tokens_live_the_predecessor_signs_in_place_of_a_revoked_key() {
    let start = DAY_ZERO + 48 * HOUR;
    let leaked = revoked(key_from("leaked", start), start + 60);
    let waiting = dated(key("waiting"), start + 60, start + 24 * HOUR);
    let keys = parse(&[key_from("old", DAY_ZERO), leaked, waiting]);
    assert_eq!(signing(&keys, start + 60), "old");
    assert_eq!(signing(&keys, start + 3719), "old");
    assert_eq!(published(&keys, start + 60), ["old", "waiting"]);
    // It signs until then, so its tokens live on.
    assert_eq!(signing(&keys, start + 3720), "waiting");
    assert_eq!(published(&keys, start + 3720), ["old", "waiting"]);
    assert_eq!(published(&keys, start + 2 * 3720), ["waiting"]);
}

#[test]
fn without_a_predecessor_the_waiting_key_that_was_made_first_signs_before_its_start() {
    let leaked = revoked(key_from("leaked", DAY_ZERO), DAY_ZERO + 10 * HOUR);
    let now = DAY_ZERO + 10 * HOUR;
    let keys = parse(&[
        leaked,
        dated(key("newest"), now, now + 24 * HOUR),
        dated(key("waiting"), now - HOUR, now + 30 * HOUR),
        dated(key("starts last"), now, now + 40 * HOUR),
    ]);
    assert_eq!(signing(&keys, now), "waiting");
    assert_eq!(published(&keys, now), ["newest", "waiting", "starts last"]);
}

#[test]
fn without_predecessor_and_waiting_keys_the_newest_that_is_left_signs() {
    let now = DAY_ZERO + 100 * HOUR;
    let keys = parse(&[
        key_from("oldest", DAY_ZERO - HOUR),
        key_from("old", DAY_ZERO),
        revoked(key_from("leaked", DAY_ZERO + 48 * HOUR), now),
    ]);
    assert_eq!(signing(&keys, now), "old");
    assert_eq!(published(&keys, now), ["old"]);
}

#[test]
fn a_key_that_was_revoked_while_it_waited_leaves_no_trace() {
    let start = DAY_ZERO + 48 * HOUR;
    let leaked = revoked(key_from("leaked", start), start - HOUR);
    let next = dated(key("next"), start - HOUR, start + 23 * HOUR);
    let keys = parse(&[key_from("old", DAY_ZERO), leaked, next]);
    for now in [start - 1, start, start + 3720, start + 23 * HOUR - 1] {
        assert_eq!(signing(&keys, now), "old", "{now}");
    }
    assert_eq!(signing(&keys, start + 23 * HOUR), "next");
}

#[test]
fn a_key_that_was_revoked_when_it_started_counts_as_used() {
    let start = DAY_ZERO + 48 * HOUR;
    for (revoked_at, tokens_of_old_live_until) in [(start - 1, None), (start, Some(start + 7440))] {
        let leaked = revoked(key_from("leaked", start), revoked_at);
        let next = dated(key("next"), start, start + 100 * HOUR);
        let keys = parse(&[key_from("old", DAY_ZERO), leaked, next]);
        assert_eq!(signing(&keys, start), "old", "{revoked_at}");
        let end = tokens_of_old_live_until.unwrap_or(start + 100 * HOUR + 3720);
        assert_eq!(keys.members()[0].retires(), Some(end), "{revoked_at}");
    }
}

#[test]
fn a_key_that_does_not_say_when_it_was_made_counts_as_used_whenever_it_was_revoked() {
    let start = DAY_ZERO + 48 * HOUR;
    let mut leaked = revoked(key("leaked"), start - HOUR);
    leaked["nbf"] = start.into();
    let keys = parse(&[key_from("old", DAY_ZERO), leaked, key_from("next", start + 9 * HOUR)]);
    assert_eq!(signing(&keys, start + 3719), "old");
    assert_eq!(signing(&keys, start + 3720), "next", "a predecessor stands in while it is known");
}

#[test]
fn a_key_that_never_signs_is_published_until_its_successor_that_is_not_revoked_has_started() {
    let keys = parse(&[
        key_from("signs", DAY_ZERO),
        key_from("never signs", DAY_ZERO),
        revoked(key_from("leaked", DAY_ZERO + 10 * HOUR), DAY_ZERO + 9 * HOUR),
        key_from("next", DAY_ZERO + 20 * HOUR),
    ]);
    let start = DAY_ZERO + 20 * HOUR;
    assert_eq!(published(&keys, start + 3719), ["signs", "never signs", "next"]);
    assert_eq!(published(&keys, start + 3720), ["next"]);
}

#[test]
fn the_presence_of_revoked_decides_whatever_it_holds() {
    for value in [json!({}), json!(null), json!(false), json!("no"), json!({"revoked_at": "x"})] {
        let mut bad = key_from("bad", DAY_ZERO + 1);
        bad["revoked"] = value.clone();
        let keys = parse(&[key_from("good", DAY_ZERO), bad.clone()]);
        assert_eq!(signing(&keys, DAY_ZERO + 9 * HOUR), "good", "{value}");
        assert_eq!(published(&keys, DAY_ZERO + 2), ["good"], "{value}");
        let alone = [serde_json::to_vec(&bad).unwrap(), set(&[bad])];
        for json in alone {
            assert!(matches!(KeySet::parse(&json), Err(InvalidKeySet::AllRevoked)), "{value}");
        }
    }
}

#[test]
fn sets_that_cannot_be_used_are_refused() {
    assert!(matches!(KeySet::parse(br#"{"keys":[]}"#), Err(InvalidKeySet::Empty)));
    let same = [key("a"), key("a")];
    assert!(
        matches!(KeySet::parse(&set(&same)), Err(InvalidKeySet::DuplicateKid(kid)) if kid == "a")
    );
    let mut public = key("public");
    public.as_object_mut().unwrap().remove("d");
    let refused = KeySet::parse(&set(&[key("a"), public])).unwrap_err();
    assert!(refused.to_string().starts_with("key 2 of 2: it is a public key"), "{refused}");
    let many: Vec<Value> = (0..33).map(|number| key(&format!("k{number}"))).collect();
    assert!(matches!(KeySet::parse(&set(&many)), Err(InvalidKeySet::TooMany(33))));
    assert!(KeySet::parse(&set(&many[..32])).is_ok());
}

/// A key as the rules see it.
#[derive(Debug, Clone)]
struct Dates {
    iat: u64,
    nbf: u64,
    revoked: Option<u64>,
}

fn any_dates() -> impl Strategy<Value = Vec<Dates>> {
    let around = || DAY_ZERO..DAY_ZERO + 60 * HOUR;
    // Coarse, so that starts coincide; 0 as if missing.
    let time = move || prop_oneof![1 => Just(0), 6 => around().prop_map(|t| t - t % 1800)];
    let revoked = prop_oneof![3 => Just(None), 1 => time().prop_map(Some)];
    let one = (time(), time(), revoked).prop_map(|(iat, nbf, revoked)| Dates { iat, nbf, revoked });
    prop::collection::vec(one, 1..6)
        .prop_filter("one is left to sign", |keys| keys.iter().any(|key| key.revoked.is_none()))
}

fn file_of(dates: &[Dates]) -> Vec<u8> {
    let keys: Vec<Value> = dates
        .iter()
        .enumerate()
        .map(|(number, dates)| {
            let key = dated(key(&format!("k{number}")), dates.iat, dates.nbf);
            dates.revoked.map_or(key.clone(), |at| revoked(key, at))
        })
        .collect();
    set(&keys)
}

fn number(kid: &str) -> usize {
    kid[1..].parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_revoked_key_never_signs_and_is_never_published(dates in any_dates()) {
        let keys = KeySet::parse(&file_of(&dates)).unwrap();
        for now in (0..90).map(|half_hours| DAY_ZERO + half_hours * 1800) {
            prop_assert!(dates[number(signing(&keys, now))].revoked.is_none());
            prop_assert!(published(&keys, now).iter().all(|kid| dates[number(kid)].revoked.is_none()));
        }
    }

    #[test]
    fn what_signs_is_published_until_its_last_token_has_died(dates in any_dates()) {
        let keys = KeySet::parse(&file_of(&dates)).unwrap();
        for now in (0..120).map(|half_hours| DAY_ZERO + half_hours * 1800) {
            let kid = signing(&keys, now);
            for later in [now, now + 1, now + 1800, now + 3719] {
                prop_assert!(published(&keys, later).contains(&kid), "{kid} signed at {now}, not there at {later}");
            }
        }
    }

    #[test]
    fn without_revocations_the_rule_is_the_plain_one(mut dates in any_dates()) {
        for key in &mut dates {
            key.revoked = None;
        }
        let keys = KeySet::parse(&file_of(&dates)).unwrap();
        let start = |key: usize| dates[key].nbf.max(dates[key].iat + 50_760);
        for now in (0..120).map(|half_hours| DAY_ZERO + half_hours * 1800 + 17) {
            let all = || 0..dates.len();
            // Later in the file loses, so the maximum is looked for from the end.
            let started = all().rev().filter(|&key| start(key) <= now).max_by_key(|&key| start(key));
            let expected = started.or_else(|| all().min_by_key(|&key| start(key))).unwrap();
            prop_assert_eq!(number(signing(&keys, now)), expected);
        }
    }
}
