//! Who changes the key file: as the command does it, or as one should not.

use std::sync::OnceLock;

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use token_exchange::signer::generate::{RsaSize, private_jwk};
use token_exchange::signer::key_edit::{Dates, KeyDocument};
use token_exchange::signer::{Algorithm, KeyFile, KeySet, WAITS};

use super::random::Random;

const DAY: u64 = 24 * 3600;
/// When a simulation begins: 2026-01-01T00:00:00Z.
pub const BEGIN: u64 = 1_767_225_600;

/// How keys are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// `signing-key rotate`, and an upload in time.
    Rotates,
    /// One bare JWK in place of another.
    Swaps,
    /// A waiting key with `iat` a day back and `nbf` in an hour: its floor does not save it.
    Backdates,
}

/// A file as it was uploaded.
#[derive(Debug)]
pub struct Version {
    pub uploaded: u64,
    pub keys: KeySet,
}

/// Every version of the file, in the order of the uploads, and when keys changed.
#[derive(Debug)]
pub struct History {
    pub versions: Vec<Version>,
    /// The moments around which it is worth looking.
    pub changes: Vec<u64>,
}

impl History {
    pub fn of(habit: Habit, rotations: usize, random: &mut Random) -> Self {
        match habit {
            Habit::Swaps => Self::swapped(rotations, random),
            Habit::Rotates | Habit::Backdates => Self::rotated(habit, rotations, random),
        }
    }

    fn swapped(rotations: usize, random: &mut Random) -> Self {
        let mut history = Self { versions: Vec::new(), changes: Vec::new() };
        let mut now = BEGIN;
        for number in 0..=rotations {
            let keys = KeySet::parse(key(number).expose_secret().as_bytes()).unwrap();
            history.versions.push(Version { uploaded: now, keys });
            history.changes.push(now);
            now += random.between(DAY, 2 * DAY);
        }
        history
    }

    fn rotated(habit: Habit, rotations: usize, random: &mut Random) -> Self {
        let folder = TempDir::new().unwrap();
        let file = KeyFile::at(folder.path().join("keys.json"));
        file.create(key(0)).unwrap();
        let first = Version { uploaded: BEGIN, keys: file.load().unwrap() };
        let mut history = Self { versions: vec![first], changes: Vec::new() };
        let mut now = BEGIN + random.between(0, DAY);
        for number in 1..=rotations {
            let mut document = KeyDocument::read(&file).unwrap();
            assert_eq!(document.waiting_at(now).count(), 0, "the command would refuse");
            document.drop_past_use(now);
            document.add(key(number), dates(habit, now)).unwrap();
            let read = document.as_read();
            let (json, keys) = document.finish().unwrap();
            file.replace(&json, &read).unwrap();
            let waiting = &keys.members().last().unwrap().lifetime;
            let (start, upload_by) = (waiting.start(), waiting.upload_by().max(now));
            // The last moment is allowed, too.
            let uploaded =
                if random.one_in(4) { upload_by } else { random.between(now, upload_by) };
            history.versions.push(Version { uploaded, keys });
            history.changes.push(start);
            // At once, or while the last tokens live, or much later.
            let pause = [60, WAITS.after_last_signature(), DAY][random.index(3)];
            now = start + random.between(1, pause);
        }
        history
    }
}

fn dates(habit: Habit, now: u64) -> Dates {
    match habit {
        Habit::Backdates => Dates { made: now - DAY, not_before: now + 3600 },
        Habit::Rotates | Habit::Swaps => Dates { made: now, not_before: now + DAY },
    }
}

/// The key of a rotation; the same for every run, since making keys is not what is tried here.
fn key(number: usize) -> &'static SecretString {
    static KEYS: OnceLock<Vec<SecretString>> = OnceLock::new();
    let make = |number| {
        let algorithm = Algorithm::from_name("EdDSA").unwrap();
        private_jwk(algorithm, RsaSize::default(), Some(&format!("key-{number}"))).unwrap()
    };
    &KEYS.get_or_init(|| (0..64).map(make).collect())[number]
}
