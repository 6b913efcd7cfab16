//! The revocation receipt: when the last token of a revoked key can end, and why then.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::desk::show;
use super::table::{facts, paragraph, time};
use super::{Error, complain};
use crate::config::life::OutputFormat;
use crate::exchange::TokenFamily;
use crate::key_life::{Assumptions, Receipt};

/// Prints the receipt of a key, which `named` says by name and value.
pub(super) fn receipt<F: TokenFamily>(
    format: OutputFormat,
    named: &[(&str, &str)],
    revoked_at: Timestamp,
) -> Result<(), Error> {
    // The change was made before this is looked at.
    let now = Timestamp::now();
    let assumptions = Assumptions::DEFAULT;
    let receipt = Receipt::of::<F>(revoked_at, now, &assumptions);
    let (complete_at, in_health_at) = (receipt.complete_at(), receipt.complete_in_health_at());
    complain(&paragraph(
        "note: ",
        "a key that is revoked ends everywhere. One that only expires goes on in the Go service \
         and in autojoin's own server, until `doctor --fix` ends it there too.",
    ));
    show(
        format,
        || {
            let mut object: Map<String, Value> =
                named.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            let terms: Map<String, Value> = receipt
                .terms
                .iter()
                .map(|term| (term.name.to_owned(), seconds(term.duration).into()))
                .collect();
            for (name, value) in [
                ("revoked_at", json!(revoked_at.to_string())),
                ("effective_at", json!(receipt.effective_at.to_string())),
                ("last_token_ends_at", json!(complete_at.to_string())),
                ("last_token_ends_in_health_at", json!(in_health_at.to_string())),
                ("terms_in_seconds", terms.into()),
                ("assumptions", assumed(&assumptions).into()),
            ] {
                object.insert(name.to_owned(), value);
            }
            object.into()
        },
        || {
            let mut lines: Vec<_> = named
                .iter()
                .map(|(name, value)| (name.replace('_', " "), (*value).to_owned()))
                .collect();
            lines.push(("revoked".to_owned(), time(revoked_at, now)));
            let mut text = facts(lines.iter().map(|(name, value)| (name.as_str(), value.clone())));
            let _ = writeln!(
                text,
                "\nThe last token signed for it ends by {}:",
                time(complete_at, now)
            );
            for term in &receipt.terms {
                let _ = writeln!(text, "  {:>6} s  {}", seconds(term.duration), term.name);
            }
            if in_health_at != complete_at {
                let _ = writeln!(
                    text,
                    "\nWhere the store answers every instance, by {}.",
                    time(in_health_at, now)
                );
            }
            text.push_str("\nThis assumes\n");
            for assumption in assumed(&assumptions) {
                text.push_str(&paragraph("  - ", &assumption));
            }
            text
        },
    )
}

/// What the sum rests on, in words.
fn assumed(assumptions: &Assumptions) -> Vec<String> {
    vec![
        format!(
            "instances that answer from memory for {} s at most, and for {} s while the store does \
             not answer: `serve` with its defaults; the Go service has no memory",
            seconds(assumptions.memory),
            seconds(assumptions.memory_while_away)
        ),
        format!(
            "verifiers that take a token for {} s after its end at most, and remember none",
            seconds(assumptions.leeway)
        ),
        "clocks that agree".to_owned(),
    ]
}

/// Whole seconds, rounded up: a receipt must not promise too much.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
