//! What stands in the deployment files: names, defaults, versions.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn the_build_has_the_substitutions_that_triggers_rely_on() {
    let build = yaml("cloudbuild.yaml");
    let expected = serde_json::json!({
        "_REGION": "us-east1",
        "_SERVICE_NAME": "auth",
        "_SECRET_NAME": "auth-private-key",
        "_PLATFORM_NS": "platform-credentials",
        // Of our own: a trigger that does not know them gets what it had.
        "_SERVICE_ACCOUNT": "",
        "_CANARY_KEY_SECRET": "",
        "_TRACES_RATIO": "",
    });
    assert_eq!(build["substitutions"], expected);
}

#[test]
fn every_substitution_is_used_and_every_used_one_is_there() {
    let build = yaml("cloudbuild.yaml");
    let names: BTreeSet<&str> =
        build["substitutions"].as_object().unwrap().keys().map(String::as_str).collect();
    let text = ["steps", "images"].map(|part| build[part].to_string()).concat();
    let used: BTreeSet<&str> = text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .filter(|name| name.starts_with('_'))
        .collect();
    assert_eq!(used, names);
}

#[test]
fn both_images_go_where_they_went_by_build_and_as_latest() {
    let build = yaml("cloudbuild.yaml");
    let repository = "${_REGION}-docker.pkg.dev/${PROJECT_ID}/m-lab";
    let expected: Vec<String> = ["${_SERVICE_NAME}", "otel-collector"]
        .iter()
        .flat_map(|image| ["$BUILD_ID", "latest"].map(|tag| format!("{repository}/{image}:{tag}")))
        .collect();
    assert_eq!(build["images"], serde_json::json!(expected));
    let tagged: Vec<&str> = build["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["args"].as_array().into_iter().flatten())
        .filter_map(|argument| argument.as_str()?.strip_prefix("--tag="))
        .collect();
    assert_eq!(tagged, expected);
}

#[test]
fn what_the_deployment_reads_is_what_the_build_gives_it() {
    let build = yaml("cloudbuild.yaml");
    let deploy = build["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(deploy["entrypoint"], "scripts/deploy.sh");
    let given: BTreeSet<&str> = deploy["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting.as_str().unwrap().split('=').next().unwrap())
        .collect();
    let read = BTreeSet::from([
        "BUILD_ID",
        "CANARY_KEY_SECRET",
        "COLLECTOR_IMAGE",
        "IMAGE",
        "PLATFORM_NS",
        "PROJECT_ID",
        "REGION",
        "SECRET_NAME",
        "SERVICE_ACCOUNT",
        "SERVICE_NAME",
        "TRACES_RATIO",
    ]);
    assert_eq!(given, read);
    let script = fs::read_to_string("scripts/deploy.sh").unwrap();
    assert!(given.iter().all(|name| script.contains(name)));
}

#[test]
fn the_collector_scrapes_the_service_and_writes_as_it_did() {
    let config = yaml("otel-collector/config.yaml");
    let expected = serde_json::json!({
        "extensions": {
            "basicauth/prometheus": { "client_auth": {
                "username": "${env:PROMETHEUS_USER}",
                "password": "${env:PROMETHEUS_PASSWORD}",
            } },
            "health_check": { "endpoint": "0.0.0.0:13133" },
        },
        "receivers": {
            "prometheus": { "config": { "scrape_configs": [{
                "job_name": "token-exchange",
                "scrape_interval": "15s",
                "static_configs": [{ "targets": ["localhost:9990"] }],
            }] } },
            "otlp": { "protocols": { "grpc": { "endpoint": "localhost:4317" } } },
        },
        "processors": {
            "resourcedetection/gcp": { "detectors": ["gcp"], "timeout": "2s", "override": false },
            "memory_limiter": { "check_interval": "1s", "limit_mib": 256, "spike_limit_mib": 64 },
        },
        "exporters": {
            "prometheusremotewrite": {
                "endpoint": "${env:PROMETHEUS_ENDPOINT}",
                "auth": { "authenticator": "basicauth/prometheus" },
                "timeout": "30s",
                "resource_to_telemetry_conversion": { "enabled": true },
            },
            "googlecloud": { "sending_queue": { "enabled": false } },
            "debug": { "verbosity": "normal" },
        },
        "service": {
            "extensions": ["basicauth/prometheus", "health_check"],
            "pipelines": {
                "metrics": {
                    "receivers": ["prometheus"],
                    "processors": ["resourcedetection/gcp"],
                    "exporters": ["prometheusremotewrite"],
                },
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "resourcedetection/gcp"],
                    "exporters": ["${env:TRACES_EXPORTER:-debug}"],
                },
            },
        },
    });
    assert_eq!(config, expected);
}

/// Every image that a file asks for has a version; what is `latest` today is another one tomorrow.
#[test]
fn every_image_is_pinned_to_a_version() {
    let mut images = Vec::new();
    for file in ["Dockerfile", "otel-collector/Dockerfile"] {
        let text = fs::read_to_string(file).unwrap();
        let bases = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("FROM ").or_else(|| line.strip_prefix("ARG BUILD_BASE="))
            })
            .filter(|base| *base != "scratch" && !base.starts_with('$'));
        images.extend(bases.map(str::to_owned));
    }
    let build = yaml("cloudbuild.yaml");
    let steps = build["steps"].as_array().unwrap();
    images.extend(steps.iter().filter_map(|step| step["name"].as_str()).map(str::to_owned));
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().unwrap();
    images.extend(
        services
            .values()
            .filter(|service| service["build"].is_null())
            .map(|service| service["image"].as_str().unwrap().to_owned()),
    );
    assert!(images.len() >= 8, "{images:?}");
    for image in images {
        let tag = image.rsplit('/').next().unwrap().split_once(':').map(|(_, tag)| tag);
        let is_version =
            |tag: &str| tag.contains('.') && tag.contains(|c: char| c.is_ascii_digit());
        assert!(tag.is_some_and(is_version), "{image}");
    }
}

/// The collector that was run with this configuration is the one that is deployed.
#[test]
fn the_collector_that_is_tested_is_the_one_that_is_deployed() {
    let image = fs::read_to_string("otel-collector/Dockerfile").unwrap();
    let version = image.split("opentelemetry-collector-contrib:").nth(1).unwrap();
    let version = version.lines().next().unwrap();
    let module = fs::read_to_string("tests/collector/go.mod").unwrap();
    let built = module.lines().filter(|line| line.contains("prometheusreceiver "));
    assert!(built.clone().count() == 1);
    assert!(built.clone().all(|line| line.ends_with(&format!(" v{version}"))), "{version}");
}

/// The image is built of the source alone, where no benchmark is, and a target without a path is
/// looked for whatever is to be built.
#[test]
fn every_target_of_the_package_says_where_it_is() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let tables = manifest.split("\n[").skip(1);
    let targets: Vec<&str> = tables.filter(|table| table.starts_with('[')).collect();
    assert!(targets.len() >= 6, "{targets:?}");
    for target in targets {
        assert!(target.contains("\npath = \""), "[{target}");
    }
}
