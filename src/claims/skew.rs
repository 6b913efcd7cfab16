//! How much a token allows for clocks that are not right.

use std::time::Duration;

/// "Usually no more than a few minutes" (RFC 7519, section 4.1.5).
const MAX_CLOCK_SKEW_ALLOWANCE: Duration = Duration::from_mins(5);

/// How far `nbf` lies before `iat`, for verifiers whose clocks are behind ours: whole seconds, at
/// most five minutes. None by default, as in the Go service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockSkewAllowance(u64);

/// Why there is no such allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAllowance {
    #[error("it has to be whole seconds, as times in tokens are")]
    Fraction,
    #[error(
        "it has to be at most {} s; a clock that is wrong by more has to be set right",
        MAX_CLOCK_SKEW_ALLOWANCE.as_secs()
    )]
    TooLong,
}

impl ClockSkewAllowance {
    pub(super) fn seconds(self) -> u64 {
        self.0
    }
}

impl TryFrom<Duration> for ClockSkewAllowance {
    type Error = InvalidAllowance;

    fn try_from(allowance: Duration) -> Result<Self, InvalidAllowance> {
        if allowance > MAX_CLOCK_SKEW_ALLOWANCE {
            Err(InvalidAllowance::TooLong)
        } else if allowance.subsec_nanos() > 0 {
            Err(InvalidAllowance::Fraction)
        } else {
            Ok(Self(allowance.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_up_to_five_minutes_are_an_allowance() {
        let seconds = |millis| {
            let allowance = ClockSkewAllowance::try_from(Duration::from_millis(millis));
            allowance.map(ClockSkewAllowance::seconds)
        };
        assert_eq!(ClockSkewAllowance::default().seconds(), 0);
        for whole in [0, 1, 60, 300] {
            assert_eq!(seconds(whole * 1000), Ok(whole));
        }
        for millis in [1, 999, 1_001, 299_999] {
            assert_eq!(seconds(millis), Err(InvalidAllowance::Fraction), "{millis}");
        }
        for millis in [300_001, 301_000, 86_400_000] {
            assert_eq!(seconds(millis), Err(InvalidAllowance::TooLong), "{millis}");
        }
    }
}
