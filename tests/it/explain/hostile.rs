//! Logs that are cut off, damaged or made to harm: what is whole in them is found all the same, and
//! never more is kept than is needed.

use std::io::{BufReader, Read};

use proptest::prelude::*;
use serde_json::json;
use token_exchange::explain::{Findings, search};

use super::{ENTRIES, LINES, explain, record};

fn found(log: &[u8], id: &str) -> Findings {
    search(log, id).unwrap()
}

/// So much of one letter, which nobody has to hold.
fn much(letter: u8) -> impl Read {
    std::io::repeat(letter).take(64 * 1024 * 1024)
}

#[test]
fn a_line_beyond_all_measure_is_skipped_and_the_next_one_found() {
    let after = format!("\n{}", record(&json!({ "reason": "expired" })));
    let log = BufReader::new(much(b'x').chain(after.as_bytes()));
    let findings = search(log, "req").unwrap();
    assert_eq!((findings.records.len(), findings.seen.too_long), (1, 1));

    // The same within an array: an element of one text that does not end for long.
    let (begin, end) = ("[{\"a\":\"", format!("\"}},{}]", record(&json!({ "reason": "expired" }))));
    let log = BufReader::new(begin.as_bytes().chain(much(b'x')).chain(end.as_bytes()));
    let findings = search(log, "req").unwrap();
    assert_eq!((findings.records.len(), findings.seen.too_long), (1, 1));
}

#[test]
fn of_many_records_of_one_request_the_first_are_kept_and_the_others_counted() {
    let log = record(&json!({ "reason": "expired" })).repeat(250);
    let findings = found(log.as_bytes(), "req");
    assert_eq!((findings.records.len(), findings.more, findings.seen.records), (100, 150, 250));
    assert!(explain("req", &log).stderr.contains("further records: 150"));
}

#[test]
fn an_array_that_is_cut_off_gives_what_is_whole_and_says_so() {
    let log = &ENTRIES[..ENTRIES.len() * 9 / 10];
    let finished = explain("req-again", log);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("the log ends in the middle"), "{}", finished.stderr);
}

#[test]
fn lines_that_are_cut_off_give_what_is_whole_and_say_so() {
    let finished = explain("req-refused", LINES.trim_end().strip_suffix('}').unwrap());
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("the log ends in the middle"), "{}", finished.stderr);
    // The last line may lack its newline, and nothing else.
    let whole = explain("req-refused", LINES.trim_end());
    assert_eq!((whole.status.code(), &*whole.stderr), (Some(0), ""));
}

#[test]
fn records_without_the_form_of_one_are_counted_and_others_found() {
    for odd in [
        r#"{"audit":7}"#,
        r#"{"audit":{}}"#,
        r#"{"audit":{"schema":"1","request_id":"req"}}"#,
        r#"{"audit":{"schema":1.5,"request_id":"req"}}"#,
        r#"{"audit":{"schema":1,"request_id":"req","issued_at":"soon"}}"#,
        r#"{"jsonPayload":{"audit":null}}"#,
    ] {
        let log = format!("{odd}\n{}", record(&json!({ "reason": "expired" })));
        let findings = found(log.as_bytes(), "req");
        assert_eq!((findings.records.len(), findings.seen.unreadable), (1, 1), "{odd}");
    }
}

#[test]
fn times_and_texts_beyond_measure_neither_stop_it_nor_move_the_cursor() {
    let log = record(&json!({
        "reason": "granted",
        "issued_at": 1e300,
        "expires_at": -1e300,
        "signing_seconds": 1e300,
        "integration": "\u{1b}[2J\nWhat to do: pay",
    }));
    let finished = explain("req", &log);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(!finished.stdout.contains('\u{1b}'), "{}", finished.stdout);
    assert!(!finished.stdout.lines().any(|line| line == "What to do: pay"), "{}", finished.stdout);
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(log in proptest::collection::vec(any::<u8>(), 0..300)) {
        for log in [log.clone(), [b"[", log.as_slice()].concat()] {
            prop_assert!(found(&log, "req").records.is_empty());
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_log_is_read(capacity in 1_usize..200) {
        for log in [LINES, ENTRIES] {
            let in_pieces = search(BufReader::with_capacity(capacity, log.as_bytes()), "req-again");
            prop_assert_eq!(in_pieces.unwrap(), found(log.as_bytes(), "req-again"));
        }
    }

    #[test]
    fn wherever_a_log_is_cut_off_what_was_whole_is_found(end in 0..LINES.len()) {
        let Some(log) = LINES.get(..end) else { return Ok(()) };
        let whole = log.matches('\n').count();
        let findings = found(log.as_bytes(), "req-again");
        let records = usize::try_from(findings.seen.records).unwrap();
        // The first line is no record; one that lacks only its newline is.
        prop_assert!((whole.saturating_sub(1)..=whole).contains(&records), "{} {}", whole, records);
    }

    #[test]
    fn an_id_is_found_in_whatever_text_stands_beside_it(text in any::<String>()) {
        let audit = json!({ "reason": "granted", "detail": text, "integration": text });
        let line = record(&audit);
        let entry = format!("[{},{}]", json!({ "textPayload": text }), line);
        prop_assert_eq!(found(line.as_bytes(), "req").records.len(), 1);
        prop_assert_eq!(found(entry.as_bytes(), "req").records.len(), 1);
    }
}
