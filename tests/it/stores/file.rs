//! What is peculiar to a store in a file: making it, sharing it, and losing it.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use token_exchange::key_store::sqlite::{OpenError, SqliteStore};
use token_exchange::key_store::{Answer, KeyAdmin as _, Unavailable, UnavailableKind, WriteError};
use tokio::task::JoinSet;

use super::engine::{
    Sqlite, integration_id, key_id, new_integration, new_key, new_organization,
    new_organization_key, organization_key, sqlite,
};
use crate::support::ask::Ask as _;

/// The longest that a caller may wait, and what a busy machine may add.
const ANSWER_WITHIN: Duration = Duration::from_secs(4 + 2);

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let engine = sqlite().unwrap();
    let store = SqliteStore::open(&engine.path()).unwrap();
    block_on(store.create_organization(&new_organization("mlab"))).unwrap();
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        let mode = fs::metadata(engine.path().with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let engine = sqlite().unwrap();
    let foreign = Connection::open(engine.path()).unwrap();
    foreign.execute_batch("CREATE TABLE cookies (name TEXT)").unwrap();
    drop(foreign);
    let before = fs::read(engine.path()).unwrap();
    assert!(matches!(SqliteStore::open(&engine.path()), Err(OpenError::NotOurs(_))));
    assert_eq!(fs::read(engine.path()).unwrap(), before);

    fs::write(engine.path(), "PORT=8080\n".repeat(1000)).unwrap();
    assert!(matches!(SqliteStore::open(&engine.path()), Err(OpenError::Database { .. })));
    let missing = engine.path().join("no/such/folder.db");
    assert!(matches!(SqliteStore::open(&missing), Err(OpenError::Create { .. })));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let engine = sqlite().unwrap();
    engine.connection().pragma_update(None, "user_version", 1000).unwrap();
    let refused = SqliteStore::open(&engine.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 1000, .. }), "{refused}");
    assert!(refused.to_string().contains("newer version"));
}

#[test]
fn an_empty_file_becomes_a_store() {
    let engine = sqlite().unwrap();
    fs::write(engine.path(), "").unwrap();
    let store = SqliteStore::open(&engine.path()).unwrap();
    block_on(store.create_organization(&new_organization("mlab"))).unwrap();
}

#[test]
fn any_number_may_open_a_new_file_at_once() {
    for _ in 0..10 {
        let engine = sqlite().unwrap();
        let together = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    SqliteStore::open(&engine.path()).unwrap();
                });
            }
        });
    }
}

#[test]
fn the_engine_holds_neither_orphans_nor_other_types() {
    let engine = sqlite().unwrap();
    let connection = engine.connection();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    connection
        .execute_batch(
            "INSERT INTO integrations VALUES ('acme', '', 0);
             INSERT INTO organizations VALUES ('mlab', '', 1.0, 0);",
        )
        .unwrap();
    let key = |integration: &str, hash: &str, status: &str, tier: &str| {
        format!(
            "INSERT INTO integration_keys
             VALUES ({integration}, 'ki_first', {hash}, {status}, {tier}, '', 0)"
        )
    };
    let refused = [
        key("'ghost'", "''", "''", "0"),
        key("NULL", "''", "''", "0"),
        key("'acme'", "NULL", "''", "0"),
        key("'acme'", "x'00'", "''", "0"),
        key("'acme'", "''", "NULL", "0"),
        key("'acme'", "''", "''", "NULL"),
        key("'acme'", "''", "''", "1.5"),
        key("'acme'", "''", "''", "'one'"),
        "INSERT INTO integrations VALUES ('', '', 0)".to_owned(),
        "INSERT INTO organization_keys VALUES (zeroblob(32), 'ghost', 0)".to_owned(),
        "INSERT INTO organization_keys VALUES (zeroblob(31), 'mlab', 0)".to_owned(),
        "INSERT INTO organization_keys VALUES ('the key itself', 'mlab', 0)".to_owned(),
    ];
    for statement in refused {
        let error = connection.execute_batch(&statement).expect_err(&statement);
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{statement}"
        );
    }
    connection.execute_batch(&key("'acme'", "''", "''", "0")).unwrap();
}

#[test]
fn the_file_does_not_hold_the_keys_of_organizations() {
    let engine = sqlite().unwrap();
    let store = SqliteStore::open(&engine.path()).unwrap();
    let secret = "a-key-that-must-not-stand-in-a-file";
    block_on(async {
        store.create_organization(&new_organization("mlab")).await.unwrap();
        store.create_organization_key(&new_organization_key("mlab", secret)).await.unwrap();
        assert!(matches!(store.find(&organization_key(secret)).await, Ok(Answer::Found(_))));
    });
    for file in fs::read_dir(engine.path().parent().unwrap()).unwrap() {
        let content = fs::read(file.unwrap().path()).unwrap();
        assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn a_writer_that_holds_the_lock_stops_writes_and_not_reads() {
    let (engine, store) = with_acme().await;
    let rival = Connection::open(engine.path()).unwrap();
    rival.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let (first, second) = (new_key("acme", "ki_a"), new_key("acme", "ki_b"));
    let writes = async {
        tokio::join!(store.create_integration_key(&first), store.create_integration_key(&second))
    };
    let reads = async {
        let began = Instant::now();
        for _ in 0..100 {
            assert!(is_found(&store).await.unwrap());
        }
        began.elapsed()
    };
    let (refused, reading) = tokio::join!(writes, reads);
    assert!(reading < Duration::from_secs(4), "{reading:?}");
    for refused in [refused.0, refused.1] {
        match refused {
            Err(WriteError::Unavailable(why)) => assert_eq!(why.kind, UnavailableKind::TooSlow),
            other => panic!("{other:?}"),
        }
    }
    rival.execute_batch("ROLLBACK").unwrap();
    store.create_integration_key(&first).await.unwrap();
}

#[tokio::test]
async fn a_locked_file_is_unavailable_in_time_for_everybody() {
    let engine = sqlite().unwrap();
    let rival = engine.connection();
    let store = Arc::new(SqliteStore::open(&engine.path()).unwrap());
    rival.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();

    let began = Instant::now();
    let mut callers = JoinSet::new();
    // More than can wait.
    for _ in 0..3000 {
        let store = Arc::clone(&store);
        callers.spawn(async move { is_found(&store).await });
    }
    for answer in callers.join_all().await {
        assert_eq!(answer.unwrap_err().kind, UnavailableKind::TooSlow);
    }
    assert!(began.elapsed() < ANSWER_WITHIN, "{:?}", began.elapsed());
    drop(rival);
    assert!(!is_found(&store).await.unwrap());
}

#[tokio::test]
async fn a_deleted_file_is_unavailable_and_answers_again_when_it_is_back() {
    let (engine, store) = with_acme().await;
    drop(engine.connection());
    let kept = engine.path().with_extension("kept");
    Connection::open(engine.path()).unwrap().execute("VACUUM INTO ?1", [kept.to_str()]).unwrap();
    fs::remove_file(engine.path()).unwrap();
    assert_eq!(is_found(&store).await.unwrap_err().kind, UnavailableKind::Unreachable);
    let refused = store.create_organization(&new_organization("mlab")).await;
    assert!(matches!(refused, Err(WriteError::Unavailable(_))), "{refused:?}");

    for beside in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(engine.path().with_extension(beside));
    }
    fs::rename(kept, engine.path()).unwrap();
    assert!(is_found(&store).await.unwrap());
}

#[tokio::test]
async fn garbage_in_place_of_the_file_is_unavailable() {
    let (engine, store) = with_acme().await;
    let garbage = engine.path().with_extension("garbage");
    fs::write(&garbage, vec![0x5a; 64 * 1024]).unwrap();
    fs::rename(garbage, engine.path()).unwrap();
    assert_lost(&store).await;
}

#[tokio::test]
async fn garbage_in_the_file_is_unavailable() {
    for garbage in [0x5a, 0] {
        let (engine, store) = with_acme().await;
        // So that nothing is read from the log instead.
        engine.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert!(is_found(&store).await.unwrap());
        overwrite(&engine.path(), garbage);
        assert_lost(&store).await;
    }
}

#[tokio::test]
async fn a_file_without_our_tables_is_unavailable() {
    let (engine, store) = with_acme().await;
    let empty = engine.path().with_extension("empty");
    fs::write(&empty, "").unwrap();
    fs::rename(empty, engine.path()).unwrap();
    for beside in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(engine.path().with_extension(beside));
    }
    assert_lost(&store).await;
}

async fn with_acme() -> (Sqlite, SqliteStore) {
    let engine = sqlite().unwrap();
    let store = SqliteStore::open(&engine.path()).unwrap();
    let key = new_key("acme", "ki_first");
    store.create_integration(&new_integration("acme"), &key).await.unwrap();
    (engine, store)
}

/// Whether the key of `with_acme` is there.
async fn is_found(store: &SqliteStore) -> Result<bool, Unavailable> {
    match store.look_up(&integration_id("acme"), &key_id("ki_first")).await? {
        Answer::Found(_) => Ok(true),
        Answer::Absent => Ok(false),
        other => panic!("{other:?}"),
    }
}

async fn assert_lost(store: &SqliteStore) {
    for _ in 0..3 {
        assert_eq!(is_found(store).await.unwrap_err().kind, UnavailableKind::Failed);
        let answer = store.find(&organization_key("nobody")).await;
        assert_eq!(answer.unwrap_err().kind, UnavailableKind::Failed);
    }
    let refused = store.create_organization(&new_organization("mlab")).await;
    assert!(matches!(refused, Err(WriteError::Unavailable(_))), "{refused:?}");
}

fn overwrite(path: &Path, byte: u8) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![byte; length], 0).unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
