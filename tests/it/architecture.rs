//! The rooms keep to their doors: what may be used where, read from the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the core, and what they hold that is not core: the storage engines.
const CORE: [&str; 26] = [
    "api_key.rs",
    "claims.rs",
    "comparison.rs",
    "comparison",
    "doctor.rs",
    "doctor",
    "environment.rs",
    "exchange.rs",
    "exchange",
    "explain.rs",
    "explain",
    "go_json.rs",
    "key_life.rs",
    "key_life",
    "key_store.rs",
    "key_store/cached.rs",
    "key_store/cached",
    "key_store/change.rs",
    "key_store/facts.rs",
    "key_store/records.rs",
    "manifest.rs",
    "manifest",
    "signer.rs",
    "signer",
    "verifier.rs",
    "verifier",
];

#[test]
fn the_core_knows_neither_http_nor_storage_engines_nor_telemetry_backends_nor_flags() {
    let outside = [
        "axum",
        "hyper",
        "hyper_util",
        "http",
        "http_body_util",
        "tower",
        "tower_http",
        "gcloud_sdk",
        "rusqlite",
        "prometheus",
        "tracing_subscriber",
        "clap",
        "crate::http",
        "crate::telemetry",
        "crate::config",
        "crate::commands",
        "crate::key_store::datastore",
        "crate::key_store::sqlite",
    ];
    let core: Vec<Source> = sources()
        .into_iter()
        .filter(|source| CORE.iter().any(|room| source.path.starts_with(room)))
        .collect();
    assert!(core.len() >= 12, "the rooms of the core have moved: {core:?}");
    for name in outside {
        assert_used_only_in(&core, name, &[]);
    }
}

#[test]
fn only_the_datastore_room_knows_its_client_library() {
    assert_used_only_in(
        &sources(),
        "gcloud_sdk",
        &["key_store/datastore.rs", "key_store/datastore"],
    );
}

#[test]
fn only_the_sqlite_room_knows_its_engine() {
    assert_used_only_in(&sources(), "rusqlite", &["key_store/sqlite.rs", "key_store/sqlite"]);
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let readers = ["env::var", "env::vars"];
    for reader in readers {
        assert_contained_only_in(&sources(), reader, &["config.rs", "config"]);
    }
}

#[test]
fn status_codes_are_chosen_in_one_place() {
    assert_contained_only_in(&sources(), "StatusCode::", &["http/error.rs"]);
}

#[test]
fn verified_keys_are_made_in_one_place() {
    assert_contained_only_in(&sources(), "VerifiedKey {", &["exchange/verify.rs"]);
}

#[test]
fn nothing_is_global_but_constants() {
    let mutable = [
        "static mut",
        "OnceLock<",
        "LazyLock<",
        "lazy_static",
        "thread_local!",
        "OnceCell<",
        "static ref",
    ];
    for source in sources() {
        for line in source.lines() {
            let is_static = line.split_whitespace().any(|word| word == "static")
                || line.contains("thread_local!");
            let holds_state = mutable.iter().any(|word| line.contains(word))
                || ["Mutex<", "RwLock<", "Atomic"].iter().any(|word| line.contains(word));
            assert!(!(is_static && holds_state), "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn every_file_says_at_its_head_what_it_is_for() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{} has no head", source.path.display());
    }
}

#[test]
fn the_map_in_the_library_names_every_room() {
    let all = sources();
    let map = &all.iter().find(|source| source.path == Path::new("lib.rs")).unwrap().text;
    for source in &all {
        let mut parts = source.path.components();
        let room = parts.next().unwrap().as_os_str().to_string_lossy().into_owned();
        let is_room = parts.next().is_none() && room != "lib.rs" && room != "main.rs";
        assert!(!is_room || map.contains(&format!("//! {room}")), "{room} is not on the map");
    }
}

#[derive(Debug)]
struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The lines of code: no comments, and no tests of the room's own.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let code = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn assert_used_only_in(sources: &[Source], name: &str, rooms: &[&str]) {
    let path = format!("{name}::");
    let names = |line: &str| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':')
        })
    };
    check(sources, name, rooms, names);
}

fn assert_contained_only_in(sources: &[Source], words: &str, rooms: &[&str]) {
    check(sources, words, rooms, |line| line.contains(words));
}

fn check(sources: &[Source], what: &str, rooms: &[&str], found: impl Fn(&str) -> bool) {
    for source in sources {
        if rooms.iter().any(|room| source.path.starts_with(room)) {
            continue;
        }
        for line in source.lines() {
            assert!(!found(line), "{} must not use {what}: {line}", source.path.display());
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), text });
            }
        }
    }
    assert!(found.len() > 20, "the sources have moved");
    found
}
