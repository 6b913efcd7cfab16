//! A new file that lost the key that signs: outside the promise, and made the best of.

use token_exchange::signer::{InvalidKeySet, KeyRing, KeySet, Rotation};

use super::file::{DAY_ZERO, key, key_from, parse, revoked};

fn bare(kid: &str) -> KeySet {
    KeySet::parse(&serde_json::to_vec(&key(kid)).unwrap()).unwrap()
}

fn kids(ring: &KeyRing, now: u64) -> Vec<&str> {
    ring.at(now).published_kids().collect()
}

#[test]
fn the_lost_key_signs_for_3960_seconds_more_and_is_published_for_3720_after_that() {
    let (ring, rotation) = KeyRing::of(bare("old")).renewed(bare("new"), DAY_ZERO).unwrap();
    let signs_until = DAY_ZERO + 3960;
    assert_eq!(rotation, Rotation::Unsafe { lost_kid: "old".to_owned(), signs_until });
    assert_eq!(kids(&ring, DAY_ZERO), ["old", "new"]);
    assert_eq!(kids(&ring, signs_until - 1), ["old", "new"]);
    assert_eq!(kids(&ring, signs_until), ["new", "old"]);
    assert_eq!(kids(&ring, signs_until + 3719), ["new", "old"]);
    assert_eq!(kids(&ring, signs_until + 3720), ["new"]);
    assert_eq!(ring.at(signs_until - 1).signing_kid(), "old");
    assert_eq!(ring.at(signs_until).signing_kid(), "new");
}

#[test]
fn a_second_new_file_does_not_prolong_the_time_of_the_lost_key() {
    let (ring, _) = KeyRing::of(bare("a")).renewed(bare("b"), DAY_ZERO).unwrap();
    let (ring, rotation) = ring.renewed(bare("c"), DAY_ZERO + 3000).unwrap();
    assert_eq!(rotation, Rotation::Safe);
    assert_eq!(kids(&ring, DAY_ZERO + 3959), ["a", "c"]);
    assert_eq!(ring.at(DAY_ZERO + 3960).signing_kid(), "c");
    // Lost while another's tokens still live: both are published.
    let (ring, rotation) = ring.renewed(bare("d"), DAY_ZERO + 4000).unwrap();
    assert!(matches!(rotation, Rotation::Unsafe { .. }));
    assert_eq!(kids(&ring, DAY_ZERO + 4000), ["c", "d", "a"]);
}

#[test]
fn a_key_that_is_lost_in_the_second_in_which_it_begins_to_sign_signs_on() {
    let (ring, _) = KeyRing::of(bare("a")).renewed(bare("b"), DAY_ZERO).unwrap();
    let now = DAY_ZERO + 3960;
    assert_eq!(ring.at(now).signing_kid(), "b");
    let (ring, rotation) = ring.renewed(bare("c"), now).unwrap();
    assert!(matches!(rotation, Rotation::Unsafe { lost_kid, .. } if lost_kid == "b"));
    assert_eq!(kids(&ring, now), ["b", "c", "a"]);
}

#[test]
fn a_lost_key_outlives_a_clock_that_jumps_ahead_while_a_file_is_read_and_comes_back() {
    let (ring, _) = KeyRing::of(bare("old")).renewed(bare("new"), DAY_ZERO).unwrap();
    let file = |ring: &KeyRing| ring.file().members()[0].key.kid().to_owned();
    let (ring, rotation) = ring.renewed(bare("newer"), DAY_ZERO + 86_400).unwrap();
    assert_eq!(file(&ring), "newer");
    assert!(matches!(rotation, Rotation::Unsafe { lost_kid, .. } if lost_kid == "new"));
    assert!(kids(&ring, DAY_ZERO + 60).contains(&"old"), "tokens of it live");
    assert_eq!(ring.at(DAY_ZERO + 60).signing_kid(), "old");
    assert!(!kids(&ring, DAY_ZERO + 86_400).contains(&"old"));
}

#[test]
fn of_many_lost_keys_the_latest_four_are_kept() {
    let start = KeyRing::of(bare("0"));
    let ring = (1..=6).fold(start, |ring, kid| {
        ring.renewed(bare(&kid.to_string()), DAY_ZERO + kid * 10_000).unwrap().0
    });
    assert_eq!(kids(&ring, DAY_ZERO), ["2", "6", "3", "4", "5"]);
    // A kid that is free again is another key's.
    let (ring, _) = ring.renewed(bare("2"), DAY_ZERO + 90_000).unwrap();
    assert_eq!(kids(&ring, DAY_ZERO), ["3", "2", "4", "5", "6"]);
}

#[test]
fn a_lost_key_that_comes_back_revoked_is_gone_at_once() {
    let old = key("old");
    let ring = KeyRing::of(parse(std::slice::from_ref(&old)));
    let (ring, _) = ring.renewed(bare("new"), DAY_ZERO).unwrap();
    let file = parse(&[revoked(old, DAY_ZERO + 60), key_from("next", DAY_ZERO)]);
    let (ring, rotation) = ring.renewed(file, DAY_ZERO + 60).unwrap();
    assert_eq!(rotation, Rotation::Safe);
    assert_eq!(kids(&ring, DAY_ZERO + 60), ["next"]);
}

#[test]
fn a_file_that_keeps_the_signing_key_is_a_safe_rotation() {
    let old = key("old");
    let ring = KeyRing::of(KeySet::parse(&serde_json::to_vec(&old).unwrap()).unwrap());
    let file = parse(&[old, key_from("next", DAY_ZERO + 1000)]);
    let (ring, rotation) = ring.renewed(file, DAY_ZERO).unwrap();
    assert_eq!(rotation, Rotation::Safe);
    assert_eq!(kids(&ring, DAY_ZERO), ["old", "next"]);
    assert_eq!(ring.next_start(DAY_ZERO), Some(DAY_ZERO + 1000));
    assert_eq!(ring.next_retirement(DAY_ZERO), Some(DAY_ZERO + 1000 + 3720));
}

#[test]
fn another_key_of_a_kid_in_use_is_refused() {
    let ring = KeyRing::of(bare("same"));
    let refused = ring.renewed(bare("same"), DAY_ZERO).unwrap_err();
    assert!(matches!(refused, InvalidKeySet::KidReused(kid) if kid == "same"));
}
