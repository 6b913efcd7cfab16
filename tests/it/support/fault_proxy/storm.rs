//! Storms: a fault for each call, by nothing but a seed and its number.

use std::time::Duration;

use super::{Fault, Form, Toxic};

/// The fault of a call in a storm, in which so many of a thousand calls have one.
pub fn storm(seed: u64, per_mille: u64) -> impl Fn(usize) -> Fault + Send + 'static {
    move |number| {
        let dice = Dice::of(seed, number as u64);
        if dice.roll(0, 1000) < per_mille { any(&dice) } else { Fault::None }
    }
}

fn any(dice: &Dice) -> Fault {
    let millis = |up_to| Duration::from_millis(dice.roll(2, up_to));
    let code = u8::try_from(dice.roll(3, 16) + 1).unwrap_or(14);
    let form = Form::ALL[usize::try_from(dice.roll(4, 3)).unwrap_or_default()];
    // Half of all faults are those that servers have, a third of the rest those of the network.
    match dice.roll(1, 40) {
        0..10 => Fault::Status(14, form),
        10..20 => Fault::Status(code, form),
        20..30 => Fault::Delay(millis(300)),
        30 => Fault::Hang,
        31 => Fault::ResetStream,
        32 => Fault::GoAway,
        33 => Fault::Down(millis(40)),
        34 => Fault::Wire(Toxic::LimitData(usize::try_from(dice.roll(5, 60)).unwrap_or(1) + 1)),
        35 => Fault::Wire(Toxic::ResetPeer),
        36 => Fault::Wire(Toxic::Close),
        37 => Fault::Wire(Toxic::HalfClose),
        38 => Fault::Wire(Toxic::Latency { shortest: millis(5), longest: millis(5) * 4 }),
        _ => Fault::Wire(Toxic::SlowClose(millis(100))),
    }
}

/// Numbers that only seem to be random (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn of(seed: u64, number: u64) -> Self {
        Self(mixed(seed ^ mixed(number)))
    }

    fn roll(&self, which: u64, sides: u64) -> u64 {
        mixed(self.0.wrapping_add(which)) % sides
    }
}

fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
