//! Reads flags as Go's `flag` package does, and hands them to clap in the one form it knows.
//!
//! `-name value`, `-name=value` and both with two dashes are the same; the word after a flag is
//! its value, even if it begins with a dash.

use std::num::IntErrorKind;

use clap::ArgAction;

/// Commands of the Go tools: they ignore words after the flags, and everything after `--`.
const IGNORE_WORDS: [&str; 2] = ["serve", "create-integration"];

/// Rewrites arguments into the form that clap reads.
pub(super) fn to_clap(cli: &clap::Command, arguments: Vec<String>) -> Vec<String> {
    let mut arguments = arguments.into_iter().peekable();
    let mut rewritten = Vec::new();
    let mut command = cli;
    while let Some(next) = arguments.peek()
        && let Some(subcommand) = command.find_subcommand(next)
    {
        rewritten.extend(arguments.next());
        command = subcommand;
    }
    let ignores_words = IGNORE_WORDS.contains(&command.get_name());
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            if !ignores_words {
                rewritten.push(argument);
                rewritten.extend(arguments);
            }
            break;
        }
        let Some(flag) = Flag::read(&argument) else {
            if ignores_words {
                break;
            }
            rewritten.push(argument);
            continue;
        };
        match command.get_arguments().find(|known| known.get_long() == Some(flag.name)) {
            Some(known) if matches!(known.get_action(), ArgAction::SetTrue) => {
                switch(&mut rewritten, &flag);
            }
            Some(_) => {
                let value = flag.value.map(str::to_owned).or_else(|| arguments.next());
                rewritten.push(match value {
                    Some(value) => format!("--{}={value}", flag.name),
                    None => format!("--{}", flag.name),
                });
            }
            // `-=value` names no flag, which Go calls bad syntax: clap refuses it as it stands.
            None if flag.name.is_empty() => rewritten.push(argument.clone()),
            None if flag.is_help() => rewritten.push("--help".to_owned()),
            // Unknown: clap says so, and what is near.
            None => rewritten.push(format!("--{}", flag.name)),
        }
    }
    rewritten
}

/// The last of two equal switches wins, so `-yes=false` takes an earlier `-yes` back.
fn switch(rewritten: &mut Vec<String>, flag: &Flag<'_>) {
    let on = format!("--{}", flag.name);
    rewritten.retain(|earlier| *earlier != on);
    match flag.value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => rewritten.push(on),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {}
        Some(other) => rewritten.push(format!("{on}={other}")),
    }
}

struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    /// `None` for a word that is no flag; a lone dash is a word.
    fn read(argument: &'a str) -> Option<Self> {
        let rest = argument.strip_prefix('-')?;
        if rest.is_empty() {
            return None;
        }
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        let (name, value) =
            rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value)));
        Some(Self { name, value })
    }

    fn is_help(&self) -> bool {
        matches!(self.name, "h" | "help")
    }
}

/// Reads an integer as Go's `flag` package does: decimal, 0x, 0o, 0b, a leading 0 for octal,
/// underscores between digits, a sign (Go, `strconv.ParseInt` with base 0).
///
/// # Errors
/// When the text is no integer of 64 bits.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(octal) = lower.strip_prefix('0').filter(|octal| !octal.is_empty()) {
        (8, octal)
    } else {
        (10, lower.as_str())
    };
    // An underscore stands between digits, or after the prefix.
    let after_prefix =
        if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let groups_are_whole = after_prefix.split('_').all(|group| !group.is_empty());
    let plain = after_prefix.replace('_', "");
    // The sign stands before the prefix, and only there.
    if !groups_are_whole || plain.starts_with(['+', '-']) {
        return Err("it is no integer".to_owned());
    }
    let signed = if negative { format!("-{plain}") } else { plain };
    i64::from_str_radix(&signed, radix).map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
            "it is out of the range of 64 bits".to_owned()
        }
        _ => "it is no integer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_are_read_as_go_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("8080", 8080),
            ("-1", -1),
            ("+7", 7),
            ("0x10", 16),
            ("0X1F", 31),
            ("010", 8),
            ("0o17", 15),
            ("0b101", 5),
            ("1_000", 1000),
            ("0x_1f", 31),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(integer(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_as_an_integer_is_refused() {
        for text in [
            "",
            "-",
            "abc",
            "1__0",
            "_1",
            "1_",
            "0x",
            "08",
            "1.0",
            "1e3",
            " 1",
            "--1",
            "+-1",
            "9223372036854775808",
        ] {
            assert!(integer(text).is_err(), "{text:?}");
        }
    }
}
