//! Tables and times for people: 80 columns, RFC 3339 in UTC with a hint of how far that is.
//!
//! Ids and descriptions are other people's text: characters in them that control a terminal, or
//! turn the direction of writing, are written as escapes, so that no name can move the cursor, hide
//! a line or pose as another.

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The width of a terminal that nobody has widened.
const COLUMNS: usize = 80;
/// Between two columns of a table.
const GAP: &str = "  ";
/// A column is not made narrower than this: one letter a line cannot be read.
const NARROWEST: usize = 8;

/// Rows under headings, each column as wide as it needs to be.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_uppercase)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    /// The rows. What does not fit its column goes on below it: an id that is cut off could not be
    /// copied.
    pub(super) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let cells: [Vec<&str>; N] =
                std::array::from_fn(|column| wrapped(&row[column], widths[column]));
            let height = cells.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                let mut printed = String::new();
                for (column, cell) in cells.iter().enumerate() {
                    let part = cell.get(line).copied().unwrap_or_default();
                    let padding = widths[column].saturating_sub(part.width());
                    printed.push_str(part);
                    printed.extend(std::iter::repeat_n(' ', padding));
                    printed.push_str(GAP);
                }
                text.push_str(printed.trim_end());
                text.push('\n');
            }
        }
        text
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = std::array::from_fn(|column| {
            self.rows.iter().map(|row| row[column].width()).max().unwrap_or_default()
        });
        let gaps = GAP.len() * N.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > COLUMNS {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// Named values, one a line, and long ones below themselves.
pub(super) fn facts<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines: Vec<_> = lines.into_iter().collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let left = COLUMNS.saturating_sub(width + GAP.len()).max(NARROWEST);
    let mut text = String::new();
    for (name, value) in lines {
        let value = printable(&value);
        let mut name = name;
        for part in wrapped(&value, left) {
            text.push_str(format!("{name:<width$}{GAP}{part}").trim_end());
            text.push('\n');
            name = "";
        }
    }
    text
}

/// A paragraph, broken at blanks; its first line begins with `mark`, and the others below it.
pub(super) fn paragraph(mark: &str, text: &str) -> String {
    let indent = " ".repeat(mark.width());
    let (mut lines, mut line) = (String::new(), mark.to_owned());
    let mut is_first = true;
    let widest = COLUMNS - indent.width().min(COLUMNS - NARROWEST);
    let text = printable(text);
    // A word that fits no line goes on below itself.
    for word in text.split(' ').flat_map(|word| wrapped(word, widest)) {
        if !is_first && line.width() + 1 + word.width() > COLUMNS {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clone_from(&indent);
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    lines + line.trim_end() + "\n"
}

/// Text that moves no cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, char| {
        if char.is_control() || turns(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
        shown
    })
}

/// Whether a character breaks the line, or changes the direction in which it is shown (Unicode,
/// `Bidi_Control`).
fn turns(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// A time and how far it is: `2026-11-25T12:00:00Z (in 3 days)`.
pub(super) fn time(time: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", whole_seconds(time), distance(time, now))
}

/// RFC 3339 in UTC, to the second: people do not read microseconds.
pub(super) fn whole_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `in 3 days`, `5 minutes ago`, `now`.
pub(super) fn distance(time: Timestamp, now: Timestamp) -> String {
    let far = length(time, now);
    match time.as_second().cmp(&now.as_second()) {
        std::cmp::Ordering::Greater => format!("in {far}"),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Less => format!("{far} ago"),
    }
}

/// `3 days`: whole units, and of those the largest that says enough.
pub(super) fn length(one: Timestamp, other: Timestamp) -> String {
    let seconds = one.as_second().abs_diff(other.as_second());
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        172_800..63_072_000 => (seconds / 86_400, "day"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The text in pieces of at most this width; never none.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, char) in text.char_indices() {
        let wide = char.width().unwrap_or_default();
        if used + wide > width && at > start {
            parts.push(&text[start..at]);
            (start, used) = (at, 0);
        }
        used += wide;
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use unicode_width::UnicodeWidthStr as _;

    use super::{COLUMNS, Table, distance, facts, paragraph};

    #[test]
    fn a_table_fits_80_columns_and_loses_nothing() {
        let (long, wide) = ("ki_".to_owned() + &"x".repeat(61), "鍵".repeat(30));
        let mut table = Table::new(["key id", "description"]);
        table.row([long.clone(), wide.clone()]);
        let text = table.render();
        assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
        let count = |letter| text.chars().filter(|char| *char == letter).count();
        assert_eq!((count('x'), count('鍵')), (61, 30), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new(["a", "b"]);
        table.row(["1".to_owned(), "one".to_owned()]);
        table.row(["long".to_owned(), String::new()]);
        assert_eq!(table.render(), "A     B\n1     one\nlong\n");
    }

    #[test]
    fn nothing_that_is_stored_moves_the_cursor() {
        let mut table = Table::new(["a"]);
        table.row(["x\u{1b}[2J\ny".to_owned()]);
        assert_eq!(table.render(), "A\nx\\u{1b}[2J\\ny\n");
        assert!(!facts([("a", "b\rc".to_owned())]).contains('\r'));
        assert!(!paragraph("", "b\u{9b}c").contains('\u{9b}'));
        assert_eq!(paragraph("", "a\u{202e}b"), "a\\u{202e}b\n");
    }

    #[test]
    fn a_paragraph_fits_80_columns_and_stands_below_its_mark() {
        let text = paragraph("  - ", &("word ".repeat(40) + &"x".repeat(200)));
        assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
        assert!(text.starts_with("  - word"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    ")), "{text}");
    }

    #[test]
    fn distances_are_said_in_the_unit_that_says_enough() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (time, said) in [
            ("2026-11-22T12:00:00.9Z", "now"),
            ("2026-11-22T12:00:01Z", "in 1 second"),
            ("2026-11-22T11:58:30Z", "90 seconds ago"),
            ("2026-11-22T12:30:00Z", "in 30 minutes"),
            ("2026-11-21T13:00:00Z", "23 hours ago"),
            ("2026-11-25T23:00:00Z", "in 3 days"),
            ("2027-11-22T12:00:00Z", "in 365 days"),
            ("2020-11-22T12:00:00Z", "6 years ago"),
        ] {
            assert_eq!(distance(time.parse().unwrap(), now), said, "{time}");
        }
    }
}
