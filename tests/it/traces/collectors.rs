//! A collector that is dead, silent, or well: what it costs, and what is there at the end.

use std::time::{Duration, Instant};

use super::otlp::Collector;
use super::{Scene, WITHIN, metric};
use crate::support::eventually::eventually;
use crate::support::service::Signal;
use crate::support::stand_in::{FailingStore, RefusingStore, SilentStore};

/// What is promised, whatever hangs; the platform grants ten.
const EXIT_WITHIN: Duration = Duration::from_secs(8);
const EXPORT_FAILED: &str = "tokenexchange_traces_dropped_total{reason=\"export_failed\"}";
const QUEUE_FULL: &str = "tokenexchange_traces_dropped_total{reason=\"queue_full\"}";
const EXPORTED: &str = "tokenexchange_traces_exported_total";

#[test]
fn a_dead_collector_costs_its_spans_and_nothing_else() {
    let collector = RefusingStore::start();
    let mut scene = Scene::new(|launch| {
        launch
            .tracing_to(&format!("http://{}", collector.host()))
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    });
    exchanges_go_on(&scene);
    eventually("what is lost is counted", WITHIN, || {
        (metric(&scene.service, EXPORT_FAILED) >= 3).then_some(())
    });
    assert_eq!(metric(&scene.service, EXPORTED), 0);
    ends_in_time(&mut scene);
    let log = scene.service.process.stderr();
    let told = log.matches("traces cannot be exported").count();
    assert_eq!(told, 1, "the log is told once, and then once a minute: {log}");
}

#[test]
fn a_collector_that_refuses_spans_costs_them_and_nothing_else() {
    // PERMISSION_DENIED
    let collector = FailingStore::start(7);
    let mut scene = Scene::new(|launch| launch.tracing_to(&format!("http://{}", collector.host())));
    exchanges_go_on(&scene);
    eventually("what is lost is counted", WITHIN, || {
        (metric(&scene.service, EXPORT_FAILED) == 3).then_some(())
    });
    ends_in_time(&mut scene);
}

#[test]
fn a_collector_that_does_not_speak_tls_is_sent_nothing_where_that_is_asked_for() {
    let collector = Collector::start();
    let endpoint = collector.endpoint().replace("http:", "https:");
    let mut scene = Scene::new(|launch| launch.tracing_to(&endpoint));
    exchanges_go_on(&scene);
    eventually("what is lost is counted", WITHIN, || {
        (metric(&scene.service, EXPORT_FAILED) >= 3).then_some(())
    });
    ends_in_time(&mut scene);
    assert!(collector.headers().is_empty());
    let log = scene.service.process.stderr();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_collector_that_hangs_fills_the_queue_and_holds_up_neither_requests_nor_the_end() {
    let collector = SilentStore::start();
    let mut scene = Scene::new(|launch| {
        launch
            .tracing_to(&format!("http://{}", collector.host()))
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "1")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    });
    // One is on its way, and one waits.
    eventually("the queue is full", WITHIN, || {
        exchanges_go_on(&scene);
        (metric(&scene.service, QUEUE_FULL) >= 1).then_some(())
    });
    ends_in_time(&mut scene);
    let log = scene.service.process.stderr();
    assert!(log.contains("the last spans were lost"), "{log}");
}

#[test]
fn what_waits_at_the_end_is_sent_if_the_collector_is_well() {
    let collector = Collector::start();
    let mut scene = Scene::new(|launch| {
        launch.tracing_to(&collector.endpoint()).env("OTEL_BSP_SCHEDULE_DELAY", "300000")
    });
    exchanges_go_on(&scene);
    assert!(collector.traces().is_empty(), "nothing is due yet");
    ends_in_time(&mut scene);
    collector.wait_for(3);
    let log = scene.service.process.stderr();
    assert!(!log.contains("spans were lost"), "{log}");
}

#[test]
fn what_the_collector_takes_is_counted() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    exchanges_go_on(&scene);
    eventually("what is sent is counted", WITHIN, || {
        (metric(&scene.service, EXPORTED) == 3).then_some(())
    });
    assert_eq!(metric(&scene.service, QUEUE_FULL), 0);
    assert_eq!(metric(&scene.service, EXPORT_FAILED), 0);
}

fn exchanges_go_on(scene: &Scene) {
    for _ in 0..3 {
        assert_eq!(scene.exchange(&[]).status, 200);
    }
}

fn ends_in_time(scene: &mut Scene) {
    scene.service.process.signal(Signal::TERM);
    let signalled = Instant::now();
    assert!(scene.service.process.wait_exit(WITHIN).success());
    let took = signalled.elapsed();
    assert!(took < EXIT_WITHIN, "{took:?}");
}
