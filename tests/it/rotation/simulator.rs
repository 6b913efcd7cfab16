//! Instances, verifiers and tokens on a virtual clock, around the real key-set code.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use token_exchange::signer::{KeyRing, Rotation};

use super::operator::{BEGIN, Habit, History};
use super::random::Random;
use super::verifier::{Kind, Verifier};

/// Lifetime of a token and how long verifiers take it after that, in seconds.
const LIFETIME: u64 = 3600;
const LEEWAY: u64 = 60;
const CLOCK_ERROR: u64 = 30;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub habit: Habit,
    pub rotations: usize,
    pub verifications: u64,
    /// How late instances may learn of a new file, in seconds.
    pub lateness: u64,
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Figures {
    pub verifications: u64,
    pub failures: u64,
    pub rotations: u64,
    restarts: u64,
    fetches: u64,
    instances: (usize, usize),
    failures_by_kind: [u64; Kind::ALL.len()],
    failing_seeds: Vec<u64>,
}

impl Figures {
    pub fn first_failing_seed(&self) -> u64 {
        self.failing_seeds.first().copied().unwrap_or_default()
    }
}

/// Runs one seed.
pub fn simulate(plan: &Plan, seed: u64) -> Figures {
    let mut random = Random::of(seed);
    let history = History::of(plan.habit, plan.rotations, &mut random);
    let end = history.changes.iter().max().unwrap() + 2 * 24 * 3600;
    let count = usize::try_from(3 + seed % 48).unwrap();
    let instances =
        (0..count).map(|_| Instance::start(&history, plan.lateness, &mut random)).collect();
    let verifiers = (0..40)
        .map(|number| Verifier::new(Kind::ALL[number % Kind::ALL.len()], clock_error(&mut random)))
        .collect();
    let mut world = World {
        history: &history,
        lateness: plan.lateness,
        expects_safety: plan.habit == Habit::Rotates && plan.lateness <= 12 * 3600,
        instances,
        verifiers,
        figures: Figures {
            instances: (count, count),
            rotations: plan.rotations as u64,
            ..Figures::default()
        },
    };
    world.run(tokens(&history, plan, end, &mut random), &mut random);
    let mut figures = world.figures;
    if figures.failures > 0 {
        figures.failing_seeds.push(seed);
    }
    figures
}

/// When a token is made, and how long after that it is verified (at most; it may have to be sooner).
struct Token {
    made: u64,
    delay: u64,
}

/// Most of them around a change of the signing key, many as old as they can be.
fn tokens(history: &History, plan: &Plan, end: u64, random: &mut Random) -> Vec<Token> {
    let mut tokens: Vec<Token> = (0..plan.verifications)
        .map(|_| {
            let change = history.changes[random.index(history.changes.len())];
            let around = [120, 2 * LIFETIME, 16 * 3600][random.index(3)];
            let made = if random.one_in(4) {
                random.between(BEGIN, end)
            } else {
                random.between((change - around).max(BEGIN), change + around)
            };
            let delay =
                if random.one_in(3) { u64::MAX } else { random.between(0, LIFETIME + LEEWAY) };
            Token { made, delay: if random.one_in(3) { 0 } else { delay } }
        })
        .collect();
    tokens.sort_by_key(|token| token.made);
    tokens
}

/// A token that waits to be verified.
struct Made {
    at: u64,
    kid: String,
    verifier: usize,
}

struct World<'a> {
    history: &'a History,
    lateness: u64,
    expects_safety: bool,
    instances: Vec<Instance>,
    verifiers: Vec<Verifier>,
    figures: Figures,
}

impl World<'_> {
    fn run(&mut self, tokens: Vec<Token>, random: &mut Random) {
        let mut made: Vec<Made> = Vec::with_capacity(tokens.len());
        for token in tokens {
            self.verify_until(token.made, &mut made, random);
            let instance = random.index(self.instances.len());
            let verifier = random.index(self.verifiers.len());
            let clock = self.clock(instance, token.made, random);
            let kid = self.instances[instance].ring.at(clock).signing_kid().to_owned();
            // As long as the verifier's clock, which may be behind, takes it for valid.
            let latest = (clock + LIFETIME + LEEWAY)
                .saturating_add_signed(-self.verifiers[verifier].ahead)
                .max(token.made);
            let at = token.made.saturating_add(token.delay).min(latest);
            let position = made.partition_point(|other| other.at > at);
            made.insert(position, Made { at, kid, verifier });
        }
        self.verify_until(u64::MAX, &mut made, random);
    }

    /// Verifies what is due before a moment; the next one is the last of the list.
    fn verify_until(&mut self, moment: u64, made: &mut Vec<Made>, random: &mut Random) {
        while let Some(Made { at, kid, verifier }) = made.pop_if(|next| next.at < moment) {
            let source = self.source(random);
            let clock = self.clock(source, at, random);
            let ring = &self.instances[source].ring;
            let mut fetched = false;
            let is_accepted = self.verifiers[verifier].accepts(&kid, at, || {
                fetched = true;
                ring.at(clock).published_kids().map(str::to_owned).collect()
            });
            self.figures.fetches += u64::from(fetched);
            self.figures.verifications += 1;
            if !is_accepted {
                self.figures.failures += 1;
                let kind = self.verifiers[verifier].kind;
                let kind = Kind::ALL.iter().position(|other| *other == kind).unwrap();
                self.figures.failures_by_kind[kind] += 1;
            }
        }
    }

    /// The instance that answers a fetch: any, or the one that knows least.
    fn source(&self, random: &mut Random) -> usize {
        if random.one_in(2) {
            return random.index(self.instances.len());
        }
        (0..self.instances.len()).min_by_key(|&instance| self.instances[instance].seen).unwrap()
    }

    /// What an instance's clock says, after it has learned all that it knows by then.
    fn clock(&mut self, instance: usize, now: u64, random: &mut Random) -> u64 {
        let instance = &mut self.instances[instance];
        if instance.restarts_at <= now {
            self.figures.restarts += 1;
            let ahead = instance.ahead;
            *instance = Instance::start_at(self.history, self.lateness, now, random);
            instance.ahead = ahead;
        }
        instance.learn(self.history, now, self.expects_safety);
        now.saturating_add_signed(instance.ahead)
    }
}

struct Instance {
    ring: KeyRing,
    /// The version of the file that it has.
    seen: usize,
    /// When it learns of each version.
    learns: Vec<u64>,
    ahead: i64,
    restarts_at: u64,
}

impl Instance {
    fn start(history: &History, lateness: u64, random: &mut Random) -> Self {
        Self::start_at(history, lateness, BEGIN, random)
    }

    /// It starts with a version that may be as late as any, even older than what it had before.
    fn start_at(history: &History, lateness: u64, now: u64, random: &mut Random) -> Self {
        let late = |version: usize, random: &mut Random| match version {
            0 => 0,
            _ if random.one_in(8) => lateness,
            _ => random.between(0, lateness),
        };
        let learns: Vec<u64> = history
            .versions
            .iter()
            .enumerate()
            .map(|(number, version)| version.uploaded + late(number, random))
            .collect();
        let seen = learns.iter().rposition(|&at| at <= now).unwrap_or_default();
        Self {
            ring: KeyRing::of(history.versions[seen].keys.clone()),
            seen,
            learns,
            ahead: clock_error(random),
            restarts_at: now + random.between(600, 72 * 3600),
        }
    }

    fn learn(&mut self, history: &History, now: u64, expects_safety: bool) {
        // One after the other, at the moment at which it learned: an unsafe rotation has its times.
        let mut news: Vec<(u64, usize)> = (self.seen + 1..self.learns.len())
            .map(|version| (self.learns[version], version))
            .filter(|(at, _)| *at <= now)
            .collect();
        news.sort_unstable();
        for (at, version) in news {
            if version <= self.seen {
                continue;
            }
            let clock = at.saturating_add_signed(self.ahead);
            let keys = history.versions[version].keys.clone();
            let (ring, rotation) = self.ring.renewed(keys, clock).unwrap();
            assert!(!expects_safety || rotation == Rotation::Safe, "{rotation:?}");
            (self.ring, self.seen) = (ring, version);
        }
    }
}

fn clock_error(random: &mut Random) -> i64 {
    let error = random.between(0, 2 * CLOCK_ERROR);
    i64::try_from(error).unwrap() - i64::try_from(CLOCK_ERROR).unwrap()
}

impl Add for Figures {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.verifications += other.verifications;
        self.failures += other.failures;
        self.rotations += other.rotations;
        self.restarts += other.restarts;
        self.fetches += other.fetches;
        self.instances = match (self.instances, other.instances) {
            ((0, 0), instances) | (instances, (0, 0)) => instances,
            (a, b) => (a.0.min(b.0), a.1.max(b.1)),
        };
        for (sum, more) in self.failures_by_kind.iter_mut().zip(other.failures_by_kind) {
            *sum += more;
        }
        self.failing_seeds.extend(other.failing_seeds);
        self.failing_seeds.sort_unstable();
        self
    }
}

impl Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fewest, most) = self.instances;
        write!(
            f,
            "{} failures of {} verifications; {} rotations, {fewest} to {most} instances, \
             {} restarts, {} fetches; failures of",
            self.failures, self.verifications, self.rotations, self.restarts, self.fetches
        )?;
        for (kind, failures) in Kind::ALL.iter().zip(self.failures_by_kind) {
            write!(f, " {kind:?}: {failures}")?;
        }
        write!(f, "; failing seeds: {}", self.failing_seeds.len())
    }
}
