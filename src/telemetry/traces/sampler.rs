//! Which traces are recorded: by the caller's decision, then by ratio.

use std::num::NonZeroU128;

/// A rule for new traces, and whether it holds for those of callers too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// What the caller has decided for its trace is decided.
    pub heeds_parent: bool,
    pub ratio: Ratio,
}

/// A share of all traces, from none to all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    pub const NONE: Self = Self(0.0);
    pub const ALL: Self = Self(1.0);

    /// `None` unless it is between 0 and 1.
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    /// By the id alone, and as other services decide: each sees a trace whole, or not at all.
    fn includes(self, trace_id: NonZeroU128) -> bool {
        let [.., a, b, c, d, _, _, _, _] = trace_id.get().to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0) < self.0
    }
}

impl Sampler {
    pub(super) fn samples(self, trace_id: NonZeroU128, parent: Option<bool>) -> bool {
        match parent {
            Some(decided) if self.heeds_parent => decided,
            _ => self.ratio.includes(trace_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ratio_is_a_share_and_nothing_else() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(wrong), None, "{wrong}");
        }
        assert_eq!(Ratio::new(1.0), Some(Ratio::ALL));
    }

    #[test]
    fn of_many_traces_the_share_is_met() {
        // An even spread over the bits that decide.
        let traces = (0..10_000_u128)
            .map(|number| NonZeroU128::new((number * (1 << 64) / 10_000) | (1 << 127)).unwrap());
        let quarter = Ratio::new(0.25).unwrap();
        assert_eq!(traces.filter(|trace| quarter.includes(*trace)).count(), 2_500);
    }

    proptest! {
        #[test]
        fn all_is_all_and_none_is_none(trace: NonZeroU128) {
            prop_assert!(Ratio::ALL.includes(trace));
            prop_assert!(!Ratio::NONE.includes(trace));
        }

        #[test]
        fn the_parent_decides_where_it_is_heeded(trace: NonZeroU128, parent: bool) {
            for ratio in [Ratio::NONE, Ratio::ALL] {
                let heeding = Sampler { heeds_parent: true, ratio };
                prop_assert_eq!(heeding.samples(trace, Some(parent)), parent);
                prop_assert_eq!(heeding.samples(trace, None), ratio == Ratio::ALL);
                let deaf = Sampler { heeds_parent: false, ratio };
                prop_assert_eq!(deaf.samples(trace, Some(parent)), ratio == Ratio::ALL);
            }
        }
    }
}
