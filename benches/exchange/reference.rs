//! What the service is compared with, each a process of its own on its core: a hello-world POST of
//! axum, and raw signatures of aws-lc-rs.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use rustix::time::{ClockId, clock_gettime};

use super::pinned::request;
use super::scene::{NUMBERED_KEY, Rate, is_awake, rate_of};

const HELLO: &str = "hello";
const SIGN: &str = "sign";
/// As long as header and claims of a token.
const MESSAGE: [u8; 380] = [b'x'; 380];

/// Whether this process was started as one of them; then it has done its work.
pub fn is_one() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [HELLO] => serve_hello(),
        [SIGN, algorithm] => sign_when_told(algorithm),
        _ => return false,
    }
    true
}

/// A process on the core of the service, which ends when its input does.
struct OnServiceCore {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    child: Child,
}

impl OnServiceCore {
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(std::env::current_exe().unwrap())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input, output, child }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for OnServiceCore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Hello {
    process: OnServiceCore,
    address: String,
}

impl Hello {
    pub fn start() -> Self {
        let mut process = OnServiceCore::start(&[HELLO]);
        let address = process.line();
        Self { process, address }
    }

    pub fn rate(&self, window: Duration) -> Rate {
        let (request, id) = (request(NUMBERED_KEY), self.process.child.id());
        rate_of(&self.address, &request, Some(id), is_awake(), window)
    }
}

#[tokio::main]
async fn serve_hello() {
    // As long as the answer of an exchange, since both have to be sent.
    const ANSWER: [u8; 730] = [b'h'; 730];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let hello = post(|_: Bytes| async { &ANSWER[..] });
    let router = Router::new().route("/v0/token/integration", hello);
    axum::serve(listener, router).await.unwrap();
}

/// Signs, and does nothing else.
pub struct Raw(OnServiceCore);

impl Raw {
    pub fn start(algorithm: &str) -> Self {
        let mut process = OnServiceCore::start(&[SIGN, algorithm]);
        process.line();
        Self(process)
    }

    pub fn rate(&mut self, window: Duration) -> Rate {
        writeln!(self.0.input, "{}", window.as_millis()).unwrap();
        serde_json::from_str(&self.0.line()).unwrap()
    }
}

fn sign_when_told(algorithm: &str) {
    let random = SystemRandom::new();
    let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = [0; 256];
    let mut sign: Box<dyn FnMut()> = match algorithm {
        "RS256" | "PS256" => {
            let encoding = if algorithm == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
            let pair = rsa();
            Box::new(move || pair.sign(encoding, &random, &MESSAGE, &mut signature).unwrap())
        }
        "ES256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            Box::new(move || {
                black_box(pair.sign(&random, &MESSAGE).unwrap());
            })
        }
        _ => {
            let pair = Ed25519KeyPair::generate().unwrap();
            Box::new(move || {
                black_box(pair.sign(&MESSAGE));
            })
        }
    };
    sign();
    println!("ready");
    for line in stdin().lines() {
        let window = Duration::from_millis(line.unwrap().parse().unwrap());
        let (begun, before, mut count) = (Instant::now(), time_on_core(), 0_u32);
        while begun.elapsed() < window {
            sign();
            count += 1;
        }
        let took = begun.elapsed().as_secs_f64();
        let busy = time_on_core().saturating_sub(before).as_secs_f64() / took;
        let rate = Rate { a_second: f64::from(count) / took, busy };
        println!("{}", serde_json::to_string(&rate).unwrap());
    }
}

fn time_on_core() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}
