//! Times as operators say them: `90d`, or RFC 3339.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// A time of the future or the past: at a date, or a while from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    In(SignedDuration),
}

/// A length of time, such as `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub SignedDuration);

/// Why a text is no time. Says what would be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    #[error(
        "neither a length of time (30m, 12h, 90d, 2w) nor a time of RFC 3339 (2027-01-31T12:00:00Z)"
    )]
    Time,
    #[error("not a length of time: say 90s, 30m, 12h, 90d or 2w")]
    Span,
    #[error("that is beyond the year 9999")]
    TooFar,
}

/// The units of a length of time, in seconds. Months and years have no fixed length.
const UNITS: [(char, i64); 5] =
    [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60), ('w', 7 * 24 * 60 * 60)];

impl When {
    /// The time itself, in whole microseconds: the stores keep no more.
    ///
    /// # Errors
    /// When there is no such time.
    pub fn from(self, now: Timestamp) -> Result<Timestamp, InvalidTime> {
        let time = match self {
            Self::At(time) => Ok(time),
            Self::In(duration) => now.checked_add(duration),
        };
        time.and_then(|time| time.round(jiff::Unit::Microsecond)).map_err(|_| InvalidTime::TooFar)
    }
}

impl FromStr for When {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if let Ok(Span(duration)) = text.parse() {
            return Ok(Self::In(duration));
        }
        // jiff also reads forms that RFC 3339 does not have.
        let has_the_form = text.bytes().all(|byte| b"0123456789-:.+TZtz".contains(&byte));
        match text.parse() {
            Ok(time) if has_the_form => Ok(Self::At(time)),
            _ => Err(InvalidTime::Time),
        }
    }
}

impl FromStr for Span {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let unit = text.chars().next_back().ok_or(InvalidTime::Span)?;
        let (_, seconds) =
            UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidTime::Span)?;
        let digits = text.strip_suffix(unit).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidTime::Span);
        }
        let count: i64 = digits.parse().map_err(|_| InvalidTime::TooFar)?;
        count
            .checked_mul(seconds)
            .map(SignedDuration::from_secs)
            .map(Self)
            .ok_or(InvalidTime::TooFar)
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{InvalidTime, Span, When};

    #[test]
    fn lengths_and_times_are_read() {
        let now: Timestamp = "2026-11-22T12:00:00.123456789Z".parse().unwrap();
        for (text, time) in [
            ("0s", "2026-11-22T12:00:00.123457Z"),
            ("90s", "2026-11-22T12:01:30.123457Z"),
            ("30m", "2026-11-22T12:30:00.123457Z"),
            ("12h", "2026-11-23T00:00:00.123457Z"),
            ("90d", "2027-02-20T12:00:00.123457Z"),
            ("2w", "2026-12-06T12:00:00.123457Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00.5+02:00", "2027-01-31T10:00:00.5Z"),
        ] {
            let read: When = text.parse().unwrap();
            assert_eq!(read.from(now).unwrap().to_string(), time, "{text}");
        }
        assert_eq!("7d".parse(), Ok(Span(SignedDuration::from_hours(168))));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "d",
            "90",
            "-1d",
            "1.5h",
            "90 d",
            "1y",
            "tomorrow",
            "2027-01-31",
            "2027-01-31T12:00:00",
            "2027-01-31 12:00:00Z",
            "2027-01-31T12:00:00Z[Europe/Rome]",
            "2027-02-30T12:00:00Z",
        ] {
            assert_eq!(text.parse::<When>(), Err(InvalidTime::Time), "{text:?}");
        }
        for text in ["", "7", "2027-01-31T12:00:00Z"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidTime::Span), "{text:?}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_refused() {
        let far: When = "99999999w".parse().unwrap();
        assert_eq!(far.from(Timestamp::UNIX_EPOCH), Err(InvalidTime::TooFar));
        assert_eq!("99999999999999999999d".parse::<Span>(), Err(InvalidTime::TooFar));
    }
}
