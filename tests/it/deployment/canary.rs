//! `scripts/deploy.sh`: a revision gets traffic only after it has exchanged a key.

use std::net::Ipv4Addr;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::gcloud::Gcloud;

const SCRIPT: &str = "deploy.sh";
const REVISION: &str = "auth-b0a1b2c3d";
const TOKEN: &str = "{\"token\":\"e30.e30.c2ln\"}\n";

/// What cloudbuild.yaml says with its defaults.
const SETTINGS: [(&str, &str); 10] = [
    ("PROJECT_ID", "mlab-sandbox"),
    ("REGION", "us-east1"),
    ("SERVICE_NAME", "auth"),
    ("SECRET_NAME", "auth-private-key"),
    ("PLATFORM_NS", "platform-credentials"),
    ("SERVICE_ACCOUNT", ""),
    ("BUILD_ID", "0a1b2c3d-0000-4000-8000-000000000000"),
    ("IMAGE", "us-east1-docker.pkg.dev/mlab-sandbox/m-lab/auth:0a1b2c3d"),
    ("COLLECTOR_IMAGE", "us-east1-docker.pkg.dev/mlab-sandbox/m-lab/otel-collector:0a1b2c3d"),
    ("CANARY_WITHIN", "1"),
];

/// A revision that answers as it is told, and remembers what it was sent.
struct Revision {
    url: String,
    bodies: Arc<Mutex<Vec<String>>>,
    // Its tasks end when it is dropped.
    _runtime: Runtime,
}

impl Revision {
    fn answering(ready: StatusCode, exchange: StatusCode, body: &'static str) -> Self {
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let sent = Arc::clone(&bodies);
        let routes = Router::new()
            .route("/ready", get(move || async move { ready }))
            .route("/.well-known/jwks.json", get(|| async { r#"{"keys":[{"kid":"k"}]}"# }))
            .route(
                "/v0/token/integration",
                post(move |request: String| async move {
                    sent.lock().unwrap().push(request);
                    (exchange, body)
                }),
            );
        let runtime = Runtime::new().unwrap();
        let port = (Ipv4Addr::LOCALHOST, 0);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(port)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { url, bodies, _runtime: runtime }
    }

    /// One that knows no such key, and whose store says so.
    fn healthy() -> Self {
        Self::answering(StatusCode::OK, StatusCode::UNAUTHORIZED, "Invalid API key\n")
    }

    /// What `describe` answers once it is there beside the one that serves.
    fn beside(&self, serving: &str) -> String {
        format!("{serving}{REVISION},,canary,{}\n", self.url)
    }
}

fn deployed() -> Gcloud {
    Gcloud::new().answers("services", "other\nauth\n")
}

fn run(gcloud: &Gcloud) -> Output {
    gcloud.run(SCRIPT, &SETTINGS)
}

/// What `replace` was given.
fn manifest(gcloud: &Gcloud) -> Value {
    serde_saphyr::from_str(&gcloud.left("manifest").expect("a manifest")).expect("YAML")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn gave_traffic(gcloud: &Gcloud) -> bool {
    gcloud.was_asked("run services update-traffic auth --to-revisions=auth-b0a1b2c3d=100 ")
}

#[test]
fn a_revision_gets_all_traffic_after_its_exchange() {
    let revision = Revision::healthy();
    let gcloud = deployed()
        .answers("traffic", "auth-00041,100,,\n")
        .answers("traffic-after", &revision.beside("auth-00041,100,,\n"));
    let output = run(&gcloud);
    assert!(output.status.success(), "{}", said(&output));
    let traffic = &manifest(&gcloud)["spec"]["traffic"];
    let expected = serde_json::json!([
        { "revisionName": REVISION, "percent": 0, "tag": "canary" },
        { "revisionName": "auth-00041", "percent": 100 },
    ]);
    assert_eq!(*traffic, expected);
    assert_eq!(
        *revision.bodies.lock().unwrap(),
        [r#"{"api_key":"mlabk.cii_canary.ki_0000000000000000.none"}"#]
    );
    assert!(gcloud.calls().last().unwrap().starts_with("run services update-traffic auth "));
    assert!(gave_traffic(&gcloud), "{:?}", gcloud.calls());
}

#[test]
fn the_first_revision_of_all_needs_no_other_beside_it() {
    let revision = Revision::healthy();
    let gcloud =
        Gcloud::new().answers("services", "").answers("traffic-after", &revision.beside(""));
    let output = run(&gcloud);
    assert!(output.status.success(), "{}", said(&output));
    let expected =
        serde_json::json!([{ "revisionName": REVISION, "percent": 100, "tag": "canary" }]);
    assert_eq!(manifest(&gcloud)["spec"]["traffic"], expected);
}

#[test]
fn a_split_and_the_tags_of_others_stay_and_the_tag_of_the_last_canary_goes() {
    let serving = "auth-00041,70,,\nauth-b11111111,30,canary,u\nauth-00007,,pinned,u\nauth-b2,,canary,u\nauth-00001,0,,\n";
    let revision = Revision::healthy();
    let gcloud = deployed()
        .answers("traffic", serving)
        .answers("traffic-after", &revision.beside("auth-00041,70,,\n"));
    assert!(run(&gcloud).status.success());
    let expected = serde_json::json!([
        { "revisionName": REVISION, "percent": 0, "tag": "canary" },
        { "revisionName": "auth-00041", "percent": 70 },
        { "revisionName": "auth-b11111111", "percent": 30 },
        { "revisionName": "auth-00007", "tag": "pinned" },
    ]);
    assert_eq!(manifest(&gcloud)["spec"]["traffic"], expected);
}

#[test]
fn a_key_of_the_canary_is_exchanged_and_stays_secret() {
    let revision = Revision::answering(StatusCode::OK, StatusCode::OK, TOKEN);
    let gcloud = deployed()
        .answers("traffic", "auth-00041,100,,\n")
        .answers("traffic-after", &revision.beside("auth-00041,100,,\n"))
        .answers("api-key", "mlabk.cii_canary.ki_1.s3cr3t");
    let settings = [&SETTINGS[..], &[("CANARY_KEY_SECRET", "auth-canary-key")]].concat();
    let output = gcloud.run(SCRIPT, &settings);
    assert!(output.status.success(), "{}", said(&output));
    let exchanged = [r#"{"api_key":"mlabk.cii_canary.ki_1.s3cr3t"}"#];
    assert_eq!(*revision.bodies.lock().unwrap(), exchanged);
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
    assert!(!printed.contains("s3cr3t") && !printed.contains("c2ln"), "{printed}");
    assert!(gave_traffic(&gcloud));
}

#[test]
fn a_revision_whose_store_does_not_answer_gets_no_traffic() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let revision = Revision::answering(StatusCode::OK, unavailable, "Service unavailable\n");
    refuses(&revision, "an exchange was answered with 503, not 401");
}

#[test]
fn a_revision_that_is_not_ready_gets_no_traffic() {
    let not_ready = StatusCode::SERVICE_UNAVAILABLE;
    let revision = Revision::answering(not_ready, StatusCode::UNAUTHORIZED, "");
    refuses(&revision, "/ready does not answer with 200");
}

fn refuses(revision: &Revision, why: &str) {
    let gcloud = deployed()
        .answers("traffic", "auth-00041,100,,\n")
        .answers("traffic-after", &revision.beside("auth-00041,100,,\n"));
    let output = run(&gcloud);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(why), "{}", said(&output));
    assert!(!gcloud.was_asked("run services update-traffic"), "{:?}", gcloud.calls());
}

#[test]
fn a_key_of_the_canary_that_is_refused_gives_no_traffic() {
    let revision = Revision::healthy();
    let gcloud = deployed()
        .answers("traffic", "auth-00041,100,,\n")
        .answers("traffic-after", &revision.beside(""))
        .answers("api-key", "mlabk.cii_canary.ki_1.s3cr3t");
    let settings = [&SETTINGS[..], &[("CANARY_KEY_SECRET", "auth-canary-key")]].concat();
    let output = gcloud.run(SCRIPT, &settings);
    assert!(said(&output).contains("answered with 401, not 200"), "{}", said(&output));
    assert!(!gcloud.was_asked("run services update-traffic"));
}

#[test]
fn nothing_is_deployed_where_it_could_not_be_found_out_what_serves() {
    for gcloud in [Gcloud::new(), deployed()] {
        let output = run(&gcloud);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(gcloud.left("manifest"), None);
        assert!(gcloud.calls().iter().all(|call| !call.contains("replace")));
    }
}

#[test]
fn a_setting_that_is_missing_or_could_be_mistaken_deploys_nothing() {
    for (name, value, why) in [
        ("IMAGE", "", "IMAGE is not set"),
        ("PLATFORM_NS", "a\" # b", "PLATFORM_NS has a letter that YAML may mistake"),
    ] {
        let gcloud = Gcloud::new().answers("services", "");
        let output = gcloud.run(SCRIPT, &[&SETTINGS[..], &[(name, value)]].concat());
        assert!(said(&output).contains(why), "{}", said(&output));
        assert_eq!(gcloud.left("manifest"), None);
    }
}

#[test]
fn the_iam_policy_is_added_to_and_never_replaced() {
    let revision = Revision::healthy();
    let gcloud = deployed()
        .answers("traffic", "auth-00041,100,,\n")
        .answers("traffic-after", &revision.beside(""));
    assert!(run(&gcloud).status.success());
    let of_policies = |call: &&String| call.contains("policy");
    let calls = gcloud.calls();
    let policies: Vec<_> = calls.iter().filter(of_policies).collect();
    assert_eq!(policies.len(), 1, "{policies:?}");
    let binding =
        "run services add-iam-policy-binding auth --member=allUsers --role=roles/run.invoker";
    assert!(policies[0].starts_with(binding), "{policies:?}");
}

/// The table of what build triggers, secrets and dashboards rely on, as Cloud Run is given it.
#[test]
fn cloud_run_is_given_the_service_that_was_agreed_on() {
    let revision = Revision::healthy();
    let gcloud =
        Gcloud::new().answers("services", "").answers("traffic-after", &revision.beside(""));
    assert!(run(&gcloud).status.success());
    let manifest = manifest(&gcloud);
    assert_eq!(manifest["metadata"]["name"], "auth");
    let spec = &manifest["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], Value::Null);
    let [service, sidecar] = spec["containers"].as_array().unwrap().as_slice() else {
        panic!("two containers: {spec}");
    };

    assert_eq!(service["name"], "auth");
    assert_eq!(service["image"], "us-east1-docker.pkg.dev/mlab-sandbox/m-lab/auth:0a1b2c3d");
    assert_eq!(service["ports"], serde_json::json!([{ "containerPort": 8080 }]));
    let environment = serde_json::json!([
        { "name": "PROJECT_ID", "value": "mlab-sandbox" },
        { "name": "PLATFORM_NS", "value": "platform-credentials" },
    ]);
    assert_eq!(service["env"], environment);
    let limits = serde_json::json!({ "memory": "256Mi", "cpu": "1" });
    assert_eq!(service["resources"]["limits"], limits);
    let mounts =
        serde_json::json!([{ "name": "jwk-secret", "mountPath": "/secrets", "readOnly": true }]);
    assert_eq!(service["volumeMounts"], mounts);
    let volumes = serde_json::json!([{
        "name": "jwk-secret",
        "secret": {
            "secretName": "auth-private-key",
            "items": [{ "key": "latest", "path": "jwk-priv.json" }],
        },
    }]);
    assert_eq!(spec["volumes"], volumes);

    assert_eq!(sidecar["name"], "otel-collector");
    let image = "us-east1-docker.pkg.dev/mlab-sandbox/m-lab/otel-collector:0a1b2c3d";
    assert_eq!(sidecar["image"], image);
    let secret =
        |name: &str| serde_json::json!({ "secretKeyRef": { "name": name, "key": "latest" } });
    let environment = serde_json::json!([
        {
            "name": "PROMETHEUS_ENDPOINT",
            "value": "https://prometheus-basicauth.mlab-sandbox.measurementlab.net/api/v1/write",
        },
        { "name": "PROMETHEUS_USER", "valueFrom": secret("prometheus-support-build-prom-auth-user") },
        { "name": "PROMETHEUS_PASSWORD", "valueFrom": secret("prometheus-support-build-prom-auth-pass") },
    ]);
    assert_eq!(sidecar["env"], environment);
}

#[test]
fn the_service_has_probes_and_starts_without_its_sidecar() {
    let revision = Revision::healthy();
    let gcloud =
        Gcloud::new().answers("services", "").answers("traffic-after", &revision.beside(""));
    assert!(run(&gcloud).status.success());
    let manifest = manifest(&gcloud);
    assert!(!manifest.to_string().contains("container-dependencies"), "{manifest}");
    let containers = &manifest["spec"]["template"]["spec"]["containers"];
    let probe = |path: &str| serde_json::json!({ "path": path, "port": 8080 });
    assert_eq!(containers[0]["startupProbe"]["httpGet"], probe("/ready"));
    assert_eq!(containers[0]["livenessProbe"]["httpGet"], probe("/health"));
    assert_eq!(containers[1]["startupProbe"], Value::Null);
    assert_eq!(containers[1]["livenessProbe"], Value::Null);
}

#[test]
fn the_service_runs_as_the_account_that_was_named() {
    let revision = Revision::healthy();
    let gcloud =
        Gcloud::new().answers("services", "").answers("traffic-after", &revision.beside(""));
    let account = "auth@mlab-sandbox.iam.gserviceaccount.com";
    let settings = [&SETTINGS[..], &[("SERVICE_ACCOUNT", account)]].concat();
    assert!(gcloud.run(SCRIPT, &settings).status.success());
    assert_eq!(manifest(&gcloud)["spec"]["template"]["spec"]["serviceAccountName"], account);
}

#[test]
fn nothing_is_deployed_with_a_ratio_of_traces_that_the_service_would_not_take() {
    for ratio in ["abc", "2", "-1", "50%", "1.5", ".5"] {
        let gcloud = Gcloud::new().answers("services", "");
        let settings = [&SETTINGS[..], &[("TRACES_RATIO", ratio)]].concat();
        let refused = gcloud.run(SCRIPT, &settings);
        assert!(!refused.status.success(), "{ratio}");
        let why = format!("TRACES_RATIO is no number from 0 to 1: {ratio}");
        assert!(said(&refused).contains(&why), "{}", said(&refused));
    }
}

#[test]
fn traces_are_sent_to_the_sidecar_and_on_where_a_ratio_is_given() {
    let revision = Revision::healthy();
    let gcloud =
        Gcloud::new().answers("services", "").answers("traffic-after", &revision.beside(""));
    let settings = [&SETTINGS[..], &[("TRACES_RATIO", "0.01")]].concat();
    assert!(gcloud.run(SCRIPT, &settings).status.success());
    let manifest = manifest(&gcloud);
    let containers = &manifest["spec"]["template"]["spec"]["containers"];
    let has = |container: &Value, name: &str, value: &str| {
        let variable = serde_json::json!({ "name": name, "value": value });
        assert!(container["env"].as_array().unwrap().contains(&variable), "{container}");
    };
    has(&containers[0], "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4317");
    has(&containers[0], "OTEL_TRACES_SAMPLER", "traceidratio");
    has(&containers[0], "OTEL_TRACES_SAMPLER_ARG", "0.01");
    has(&containers[1], "TRACES_EXPORTER", "googlecloud");
}
