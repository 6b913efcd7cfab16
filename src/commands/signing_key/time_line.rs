//! When each key signs: as a table, and drawn.

use jiff::Timestamp;

use crate::environment::UnixSeconds;
use crate::signer::{KeySet, Member};

/// Columns of the drawing: with the first 16 letters of a kid it fits a terminal of 80.
const COLUMNS: u16 = 56;

/// What a key does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Waiting,
    Signing,
    Verifying,
    Retired,
    Revoked,
}

impl Role {
    pub(super) fn at(keys: &KeySet, member: &Member, now: UnixSeconds) -> Self {
        let signs = keys.signing_at(now).key.kid() == member.key.kid();
        match () {
            () if member.lifetime.is_revoked() => Self::Revoked,
            () if signs => Self::Signing,
            () if !member.is_published_at(now) => Self::Retired,
            () if has_signed(keys, member, now) => Self::Verifying,
            () => Self::Waiting,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waits",
            Self::Signing => "signs",
            Self::Verifying => "verifies",
            Self::Retired => "past use",
            Self::Revoked => "revoked",
        }
    }

    fn mark(self) -> char {
        match self {
            Self::Waiting => '-',
            Self::Signing => '#',
            Self::Verifying => '=',
            Self::Retired | Self::Revoked => ' ',
        }
    }
}

fn has_signed(keys: &KeySet, member: &Member, now: UnixSeconds) -> bool {
    let is_own = |key: usize| keys.members()[key].key.kid() == member.key.kid();
    keys.turns().iter().any(|turn| turn.from <= now && is_own(turn.key))
        || member.lifetime.start() <= now
}

/// The table and the drawing.
pub(super) fn of(keys: &KeySet, now: UnixSeconds) -> String {
    table(keys, now) + &drawing(keys, now)
}

fn table(keys: &KeySet, now: UnixSeconds) -> String {
    let header = ["kid", "alg", "now", "made", "signs from", "retires"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(keys.members().iter().map(|member| {
        let lifetime = &member.lifetime;
        let from = keys
            .turns()
            .iter()
            .find(|turn| keys.members()[turn.key].key.kid() == member.key.kid())
            .map_or(lifetime.start(), |turn| turn.from);
        [
            member.key.kid().to_owned(),
            member.key.algorithm().name().to_owned(),
            Role::at(keys, member, now).word().to_owned(),
            some_time(lifetime.made),
            some_time(from),
            member.retires().map_or_else(|| "-".to_owned(), clock_time),
        ]
    }));
    aligned(&rows)
}

/// A text of somebody else without what a terminal would act on.
pub(super) fn visible(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Rows in columns as wide as they need.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| visible(cell))).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn drawing(keys: &KeySet, now: UnixSeconds) -> String {
    // From an hour ago to an hour after the last thing that will happen.
    let begin = now.saturating_sub(3600);
    let changes = keys
        .turns()
        .iter()
        .map(|turn| turn.from)
        .chain(keys.members().iter().filter_map(Member::retires));
    let end = changes.max().unwrap_or(now).max(now).saturating_add(3600);
    let step = (end - begin).div_ceil(COLUMNS.into()).max(1);
    let columns = || (0..COLUMNS).map(|column| begin + u64::from(column) * step);
    // A thumbprint is told by its beginning.
    let line = |kid: &str, marks: &str| {
        format!("{:<16.16}  {marks}", visible(kid)).trim_end().to_owned() + "\n"
    };
    let pointer: String =
        columns().map(|at| if (at..at + step).contains(&now) { '|' } else { ' ' }).collect();
    let mut lines = vec!["\n".to_owned(), line("", &(pointer.trim_end().to_owned() + " now"))];
    lines.extend(keys.members().iter().map(|member| {
        let marks: String = columns().map(|at| Role::at(keys, member, at).mark()).collect();
        line(member.key.kid(), &marks)
    }));
    lines.push(line("", &format!("{} to {}", clock_time(begin), clock_time(end))));
    lines.push(line("", "- waits, published   # signs   = its last tokens live"));
    lines.concat()
}

fn some_time(at: UnixSeconds) -> String {
    // The first moment that any key can start at: of a key without dates.
    let undated = crate::signer::WAITS.before_start();
    if at <= undated { "-".to_owned() } else { clock_time(at) }
}

/// A moment, to the minute, in UTC.
pub(super) fn clock_time(at: UnixSeconds) -> String {
    let seconds = i64::try_from(at).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{at} s"), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A time span in hours, minutes and seconds, as far as they are not zero.
pub(super) fn span(seconds: u64) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}
