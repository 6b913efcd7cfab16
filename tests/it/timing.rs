//! What the time of an answer tells about a secret: nothing, as far as a client can see.
//!
//! In the suite the tests hold the statistic to what it claims, and the answers to be equal. The
//! measurement itself needs a quiet machine and a release build:
//!
//! ```text
//! TIMING_ROUNDS=100000 cargo test --release --test it timing -- --nocapture
//! ```
//!
//! Each round asks once with a secret that is wrong in its first byte, once with one that is wrong
//! in its last, and once more with the first kind, late by a known delay: the control. The classes
//! are asked in a random order on one kept-alive connection, so what drifts drifts for all. Of each
//! block of rounds the medians are compared; the blocks are resampled for an interval of the mean
//! difference (bootstrap), which holds whatever the distribution is. First and last must not
//! differ, and the control must: that is the power of the test.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::rotation::random::Random;
use crate::support::operator::Operator;
use crate::support::service::Launch;
use crate::support::skip::announce;

/// How many rounds the suite makes, and from where on times are judged.
const ROUNDS: usize = 500;
const ROUNDS_TO_JUDGE: usize = 20_000;
const ROUNDS_OF_A_BLOCK: usize = 100;
const RESAMPLES: usize = 2_000;
/// By how much the control is late. `TIMING_DELAY_NANOS` tries another.
const DELAY: Duration = Duration::from_micros(2);
const SEED: u64 = 12;

#[test]
fn wrong_secrets_are_answered_alike_wherever_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let right = operator.integration_with_key("acme");
    let launch = Launch::token_exchange().recorded_signing_key();
    let service = operator.serve(launch);
    let (key, secret) = right.rsplit_once('.').unwrap();
    let first = format!("{key}.{}{}", other(&secret[..1]), &secret[1..]);
    let last = format!("{right:.*}{}", right.len() - 1, other(&right[right.len() - 1..]));
    assert!(first != right && last != right && first.len() == last.len());

    let rounds = setting("TIMING_ROUNDS").unwrap_or(ROUNDS);
    let delay = setting("TIMING_DELAY_NANOS")
        .map_or(DELAY, |nanos| Duration::from_nanos(nanos.try_into().unwrap()));
    let classes =
        [(&first, Duration::ZERO), (&last, Duration::ZERO), (&first, delay)].map(|(key, delay)| {
            Class { request: request(key), delay, took: Vec::with_capacity(rounds) }
        });
    let [first, last, late] = measured(service.address(), classes, rounds);
    let (difference, control) = (compared(&first, &last), compared(&first, &late));
    announce(&format!(
        "{rounds} rounds, median {:.1} us: last byte - first byte: {difference}; control, late by \
         {delay:?}: {control}",
        median(&mut first.clone()) / 1000.0
    ));
    if rounds >= ROUNDS_TO_JUDGE {
        assert!(difference.has_zero(), "wrong first and wrong last bytes differ: {difference}");
        assert!(!control.has_zero(), "a delay of {delay:?} is not seen: {control}");
    }
}

#[test]
fn the_comparison_sees_a_difference_that_is_there_and_none_that_is_not() {
    let mut random = Random::of(SEED);
    // Around 100 us with a long tail, as answers are.
    let mut sample = |late: u64| -> Vec<f64> {
        (0..20_000)
            .map(|_| {
                let noise = random.between(0, 30_000) + random.between(0, 30_000);
                let pause = if random.one_in(50) { random.between(0, 2_000_000) } else { 0 };
                precise(100_000 + noise + pause + late)
            })
            .collect()
    };
    let (one, equal, late) = (sample(0), sample(0), sample(2_000));
    let (none, some) = (compared(&one, &equal), compared(&one, &late));
    assert!(none.has_zero(), "{none}");
    assert!(!some.has_zero() && (1_000.0..3_000.0).contains(&some.mean), "{some}");
}

struct Class {
    request: Vec<u8>,
    delay: Duration,
    took: Vec<f64>,
}

/// Asks for all classes in turn, in a random order each time; nanoseconds by class.
fn measured<const N: usize>(
    address: &str,
    mut classes: [Class; N],
    rounds: usize,
) -> [Vec<f64>; N] {
    let mut random = Random::of(SEED);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let expected = answer(&mut stream, &classes[0].request);
    let mut order: Vec<usize> = (0..N).collect();
    for _ in 0..rounds {
        for place in 1..N {
            order.swap(place, random.index(place + 1));
        }
        for &class in &order {
            let class = &mut classes[class];
            let begun = Instant::now();
            while begun.elapsed() < class.delay {
                black_box(());
            }
            let answer = answer(&mut stream, &class.request);
            let took = begun.elapsed();
            assert_eq!(answer, expected, "the answers themselves differ");
            class.took.push(precise(u64::try_from(took.as_nanos()).unwrap()));
        }
    }
    classes.map(|class| class.took)
}

/// Status and body of one answer, and all headers but the date.
fn answer(stream: &mut TcpStream, request: &[u8]) -> String {
    const END: &str = "Invalid API key\n";
    stream.write_all(request).unwrap();
    let mut received = [0; 1024];
    let mut length = 0;
    while !received[..length].ends_with(END.as_bytes()) {
        let read = stream.read(&mut received[length..]).unwrap();
        assert!(read > 0, "closed: {}", received[..length].escape_ascii());
        length += read;
    }
    let text = std::str::from_utf8(&received[..length]).unwrap();
    assert!(text.starts_with("HTTP/1.1 401 "), "{text}");
    let lines = text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    lines.collect::<Vec<_>>().join("\n")
}

fn request(api_key: &str) -> Vec<u8> {
    let body = serde_json::json!({ "api_key": api_key }).to_string();
    let length = body.len();
    format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: same\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Another letter that a secret can hold.
fn other(letter: &str) -> &'static str {
    if letter == "A" { "B" } else { "A" }
}

/// The difference of two medians in nanoseconds, and where it lies with a probability of 99.9 %.
struct Difference {
    mean: f64,
    low: f64,
    high: f64,
}

impl Difference {
    fn has_zero(&self) -> bool {
        (self.low..=self.high).contains(&0.0)
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mean, low, high } = self;
        write!(f, "{mean:+.0} ns (99.9 %: {low:+.0} to {high:+.0} ns)")
    }
}

fn compared(one: &[f64], other: &[f64]) -> Difference {
    let blocks = |sample: &[f64]| -> Vec<f64> {
        sample.chunks(ROUNDS_OF_A_BLOCK).map(|block| median(&mut block.to_vec())).collect()
    };
    let differences: Vec<f64> =
        blocks(one).iter().zip(blocks(other)).map(|(one, other)| other - one).collect();
    let mean = |sum: f64| sum / precise(differences.len() as u64);
    let mut random = Random::of(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn =
                (0..differences.len()).map(|_| differences[random.index(differences.len())]);
            mean(drawn.sum())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    // One in two thousand on either side.
    let low = means[0];
    let high = means[RESAMPLES - 1];
    Difference { mean: mean(differences.iter().sum()), low, high }
}

fn median(sample: &mut [f64]) -> f64 {
    let middle = sample.len() / 2;
    *sample.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of an hour are exact")]
fn precise(number: u64) -> f64 {
    number as f64
}

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
