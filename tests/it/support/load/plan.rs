//! What is to be sent, and when. It goes to another process as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a request says which one it is, so that no two are the same.
pub const NUMBER: &str = "########";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// `127.0.0.1:port`.
    pub address: String,
    /// All of a request; each in turn. [`NUMBER`] in it becomes its number, of as many digits.
    pub requests: Vec<String>,
    pub numbers: Numbers,
    pub arrivals: Arrivals,
    /// Kept alive, each with one request at a time.
    pub connections: usize,
    /// What is sent before does not count.
    pub warm_up: Duration,
    /// For how long it counts.
    pub measure: Duration,
    /// Asked beside, each on connections of its own.
    pub probes: Vec<Probe>,
    /// Whose time on the cores is taken, while it counts.
    pub process: Option<u32>,
    /// The generator never sleeps, so that nobody has to wake it. Whoever sends it an answer would
    /// pay for that, by an interrupt to another core, where no network card asks for it.
    pub awake: bool,
}

/// The numbers of requests.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub enum Numbers {
    /// From one.
    #[default]
    Counting,
    /// All those below a power of ten, in an order without order, from the place that is told.
    Scattered { below: u64, from: u64 },
}

impl Numbers {
    /// The number of the request in this place.
    pub(super) fn at(self, place: u64) -> u64 {
        /// Shares no divisor with a power of ten, so that none comes twice before all have come.
        const STRIDE: u64 = 618_033_989;
        match self {
            Self::Counting => place,
            Self::Scattered { below, from } => (from + place) % below * STRIDE % below,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Arrivals {
    /// Each connection sends its next request when it has its answer.
    ClosedLoop,
    /// So many a second, by chance (a Poisson process), the same ones for the same seed.
    Poisson { rate: f64, seed: u64 },
    /// So many a second, evenly.
    Even { rate: f64 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probe {
    pub path: String,
    /// Evenly.
    pub a_second: f64,
}

/// When the requests of an open loop are to be sent, from the start.
pub struct Schedule {
    arrivals: Arrivals,
    next: Duration,
    state: u64,
}

impl Schedule {
    /// `None` in a closed loop, which has no schedule.
    pub fn of(arrivals: Arrivals) -> Option<Self> {
        let state = match arrivals {
            Arrivals::ClosedLoop => return None,
            Arrivals::Poisson { seed, .. } => seed,
            Arrivals::Even { .. } => 0,
        };
        Some(Self { arrivals, next: Duration::ZERO, state })
    }

    pub fn next(&mut self) -> Duration {
        let pause = match self.arrivals {
            Arrivals::ClosedLoop => 0.0,
            Arrivals::Even { rate } => 1.0 / rate,
            Arrivals::Poisson { rate, .. } => -self.uniform().ln() / rate,
        };
        self.next += Duration::from_secs_f64(pause);
        self.next
    }

    /// Above 0 and up to 1 (`SplitMix64`, Steele and others, 2014).
    #[allow(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
