//! Which requests are drawn: by the caller's decision, then by ratio.

use super::otlp::Collector;
use super::{SPAN, Scene, TRACE, traceparent};

#[test]
fn what_the_caller_does_not_sample_is_not_drawn() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    scene.exchange(&[("traceparent", &traceparent("00"))]);
    scene.exchange(&[("x-cloud-trace-context", &format!("{TRACE}/1;o=0"))]);
    scene.exchange(&[("traceparent", &traceparent("01"))]);
    assert_eq!(collector.wait_for(1)[0].caller, SPAN);
}

#[test]
fn googles_header_is_understood_and_the_standard_one_goes_before_it() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    let google = format!("{TRACE}/17;o=1");
    scene.exchange(&[("X-Cloud-Trace-Context", &google)]);
    scene.exchange(&[("X-Cloud-Trace-Context", &google), ("traceparent", &traceparent("00"))]);
    scene.exchange(&[("X-Cloud-Trace-Context", &google), ("traceparent", &traceparent("01"))]);
    let [by_google, by_standard] = &collector.wait_for(2)[..] else { unreachable!() };
    assert_eq!((&*by_google.id, &*by_google.caller), (TRACE, "0000000000000011"));
    assert_eq!((&*by_standard.id, &*by_standard.caller), (TRACE, SPAN));
}

#[test]
fn with_a_ratio_of_zero_only_what_a_caller_samples_is_drawn_and_with_one_all_that_begins_here() {
    for (ratio, drawn) in [("0", 1), ("1", 4)] {
        let collector = Collector::start();
        let scene = Scene::new(|launch| {
            launch
                .tracing_to(&collector.endpoint())
                .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
                .env("OTEL_TRACES_SAMPLER_ARG", ratio)
        });
        for _ in 0..3 {
            scene.exchange(&[]);
        }
        scene.exchange(&[("traceparent", &traceparent("00"))]);
        scene.exchange(&[("traceparent", &traceparent("01"))]);
        let traces = collector.wait_for(drawn);
        assert_eq!(traces.last().unwrap().caller, SPAN, "{ratio}");
    }
}

#[test]
fn what_is_said_of_the_process_is_sent_with_the_spans() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| {
        launch
            .tracing_to(&collector.endpoint())
            .env("OTEL_SERVICE_NAME", "auth")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    });
    scene.exchange(&[]);
    collector.wait_for(1);
    let resource = &collector.resources()[0];
    assert_eq!(resource["service.name"], "auth");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert!(resource.contains_key("service.version"));
}

#[test]
fn a_setting_that_cannot_be_used_stops_the_start_with_what_to_do() {
    use crate::support::service::Launch;

    let refused = Launch::token_exchange()
        .recorded_signing_key()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
        .run(super::WITHIN);
    assert_eq!(refused.status.code(), Some(1));
    let why = "OTEL_EXPORTER_OTLP_ENDPOINT: \"localhost:4317\" cannot be used; write \
               http://host:port or https://host:port";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}
