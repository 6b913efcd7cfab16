//! Every status of gRPC and every fault of the proxy, on a key that was never seen and on one that
//! was answered before: what the caller sees of it, and what the operator.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;
use token_exchange::key_store::READ_ATTEMPT;

use super::scene::{Scene, WITHIN, api_key, figure, save_up};
use crate::support::eventually::{eventually, poll};
use crate::support::fault_proxy::{Fault, FaultProxy, Form, Toxic};
use crate::support::service::Service;

/// Services at once, each with a proxy of its own: a fault is there for all who ask.
const LANES: usize = 6;

/// How much later than the first of its two calls a question's other one may come, on a machine that
/// does much else. It comes at once, or not at all.
const STRAGGLES_FOR: Duration = Duration::from_millis(100);

/// What a single fault comes to for a key that the service has never seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The caller gets its token and sees nothing.
    Hidden,
    /// 503 at once, and the operator reads why.
    Refused(&'static str),
}
use Outcome::{Hidden, Refused};

#[test]
fn a_single_fault_that_a_retry_can_help_is_not_seen_and_any_other_is_503_at_once_for_integrations()
{
    meet_every_fault("integration", 1);
}

#[test]
fn a_single_fault_that_a_retry_can_help_is_not_seen_and_any_other_is_503_at_once_for_autojoin() {
    meet_every_fault("autojoin", 2);
}

/// `calls` are what one question takes without any fault.
fn meet_every_fault(family: &str, calls: usize) {
    let faults = faults();
    let Some(scene) = Scene::with_keys(faults.len()) else { return };
    let service = scene.launch().serve();
    for (number, (fault, outcome)) in faults.into_iter().enumerate() {
        save_up(&service);
        let met = meet(&scene.proxy, &service, family, number, fault);
        match outcome {
            Hidden => assert_eq!(met.status, 200, "{fault:?}"),
            Refused(cause) => {
                assert_eq!(met.status, 503, "{fault:?}");
                assert!(met.calls <= calls, "{fault:?}: {} calls", met.calls);
                met.cause(&service, cause);
                // Another call of this question may still be on its way, and would meet what the
                // next question is to meet.
                let all = met.calls_before + calls;
                poll(STRAGGLES_FOR, || (scene.proxy.calls() >= all).then_some(()));
            }
        }
        // What is wrong with the connection is wrong with it for good.
        scene.proxy.cut();
    }
}

#[test]
fn a_key_that_was_answered_before_is_served_within_one_attempt_under_every_fault_for_integrations()
{
    serve_under_every_fault("integration", &[0..1, 0..usize::MAX]);
}

#[test]
fn a_key_that_was_answered_before_is_served_within_one_attempt_under_every_fault_for_autojoin() {
    serve_under_every_fault("autojoin", &[0..1, 1..2, 0..usize::MAX]);
}

/// `spells` are the calls that each fault happens to: one of a question, and all from then on.
fn serve_under_every_fault(family: &str, spells: &[Range<usize>]) {
    let cases: Vec<_> = faults()
        .into_iter()
        .flat_map(|(fault, outcome)| {
            spells.iter().map(move |calls| (fault, outcome, calls.clone()))
        })
        .collect();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let cases: Vec<_> = cases.iter().skip(lane).step_by(LANES).cloned().collect();
            scope.spawn(move || serve_under(family, cases));
        }
    });
}

fn serve_under(family: &str, cases: Vec<(Fault, Outcome, Range<usize>)>) {
    let Some(scene) = Scene::with_keys(cases.len()) else { return };
    // Nothing is served before the store was asked.
    let service = scene.launch().arg("-cache-fresh=0s").arg("-cache-max-age=0s").serve();
    let status = |number| service.exchange(family, &api_key(family, number)).status;
    for number in 0..cases.len() {
        eventually("it is answered before", WITHIN, || (status(number) == 200).then_some(()));
    }
    let mut refusals = 0.0;
    for (number, (fault, outcome, faulty)) in cases.into_iter().enumerate() {
        let case = format!("{fault:?} in {faulty:?}");
        let calls = scene.proxy.calls();
        scene.proxy.plan(move |call| if faulty.contains(&call) { fault } else { Fault::None });
        let begun = Instant::now();
        assert_eq!(status(number), 200, "{case}");
        // Nobody waits for a second one.
        let took = begun.elapsed();
        assert!(took < 2 * READ_ATTEMPT, "{case}: {took:?}");
        assert!(scene.proxy.calls() > calls, "{case}: the store was not asked");
        refusals += f64::from(outcome != Hidden);

        scene.proxy.plan(|_| Fault::None);
        scene.proxy.cut();
        eventually("no read goes on", WITHIN, || {
            (figure(&service, "tokenexchange_store_reads_in_flight")? == 0.0).then_some(())
        });
    }
    let stale = figure(&service, "tokenexchange_cache_answers_total{source=\"stale\"}");
    assert!(stale >= Some(refusals), "{stale:?} of {refusals} were served from memory");
}

struct Met {
    status: u16,
    calls: usize,
    calls_before: usize,
    log_before: usize,
}

fn meet(proxy: &FaultProxy, service: &Service, family: &str, number: usize, fault: Fault) -> Met {
    let (calls_before, log_before) = (proxy.calls(), service.process.stderr().len());
    proxy.once(fault);
    let status = service.exchange(family, &api_key(family, number)).status;
    Met { status, calls: proxy.calls() - calls_before, calls_before, log_before }
}

impl Met {
    /// Waits for the line of the log that tells the operator.
    fn cause(&self, service: &Service, words: &str) {
        eventually(words, WITHIN, || {
            let log = service.process.stderr();
            let mut events = log[self.log_before..].lines().filter_map(|line| {
                let event: Value = serde_json::from_str(line).ok()?;
                let is_ours =
                    event["message"] == "it could not be found out whether a key is right";
                (is_ours && event["severity"] == "WARNING").then_some(event)
            });
            events.find(|event| {
                event["audit"]["detail"].as_str().is_some_and(|cause| cause.contains(words))
            })
        });
    }
}

/// Every fault there is.
pub fn faults() -> Vec<(Fault, Outcome)> {
    let millis = Duration::from_millis;
    let wire = [
        Toxic::Latency { shortest: millis(20), longest: millis(80) },
        Toxic::Bandwidth(4_000),
        Toxic::Slicer { bytes: 16, pause: millis(1) },
        Toxic::SlowClose(millis(100)),
        Toxic::Timeout,
        Toxic::ResetPeer,
        Toxic::Close,
        Toxic::HalfClose,
        Toxic::LimitData(40),
    ];
    let others = [
        (Fault::None, Hidden),
        (Fault::Quote, Refused("refused the question: InvalidArgument")),
        (Fault::Delay(millis(300)), Hidden),
        // Longer than an attempt.
        (Fault::Delay(millis(1200)), Hidden),
        (Fault::Hang, Hidden),
        (Fault::ResetStream, Hidden),
        (Fault::GoAway, Hidden),
        (Fault::Down(millis(30)), Hidden),
    ];
    let statuses = (1..=16)
        .flat_map(|code| Form::ALL.map(move |form| (Fault::Status(code, form), outcome_of(code))));
    let wire = wire.map(|toxic| (Fault::Wire(toxic), Hidden));
    statuses.chain(others).chain(wire).collect()
}

/// By the taxonomy of architecture.md, section Errors.
fn outcome_of(code: u8) -> Outcome {
    match code {
        4 | 10 | 13 | 14 => Hidden,
        1 => Refused("did not answer in time: Cancelled"),
        2 => Refused("the key store failed: Unknown"),
        3 => Refused("refused the question: InvalidArgument"),
        5 => Refused("refused the question: NotFound"),
        6 => Refused("refused the question: AlreadyExists"),
        7 => Refused("refused the question: PermissionDenied"),
        8 => Refused("refused the question: ResourceExhausted"),
        9 => Refused("refused the question: FailedPrecondition"),
        11 => Refused("refused the question: OutOfRange"),
        12 => Refused("refused the question: Unimplemented"),
        15 => Refused("the key store failed: DataLoss"),
        16 => Refused("no credentials for the key store: Unauthenticated"),
        other => panic!("gRPC has no status {other}"),
    }
}
