//! Durations as Go's `flag` package reads them: `300ms`, `1.5h`, `2h45m`.

use std::time::Duration;

/// Reads a duration of Go's form that is not negative (Go, `time.ParseDuration`).
///
/// # Errors
/// When the text is none.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let not_one = || format!("{text:?} is no duration; write 30s, 15m or 24h");
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = unsigned;
    while !rest.is_empty() || unsigned.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(not_one)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(not_one()),
        };
        let number: f64 = number.parse().map_err(|_| not_one())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| not_one())?;
        total = total.checked_add(part).ok_or_else(not_one)?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("+1m", 60_000),
            ("1.5h", 5_400_000),
            ("2h45m", 9_900_000),
            ("300ms", 300),
            ("1h0m0.5s", 3_600_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_as_a_duration_is_refused_and_so_is_a_negative_one() {
        for text in ["", "30", "s", "1d", "-1s", "1s2", "1..5s", ".s", "1e3s", " 1s", "1s "] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
