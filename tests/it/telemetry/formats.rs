//! The page is what those take it for who read it: Prometheus' own tools and parser. (The
//! OpenTelemetry collector reads it in `scripts/check-collector.sh`.)

use std::collections::BTreeMap;

use serde_json::Value;

use super::promtool::Promtool;
use super::whole;
use crate::interop::programs;
use crate::support::http_client::Request;
use crate::support::metrics_page::Page;
use crate::support::operator::Operator;
use crate::support::service::Launch;

#[tokio::test]
async fn promtool_has_nothing_to_say_about_any_page() {
    let Some(promtool) = Promtool::find() else { return };
    for page in [whole::page().await, page_after_traffic()] {
        let verdict = promtool.run(&["check", "metrics"], &page);
        assert!(verdict.is_good && verdict.words.is_empty(), "{}", verdict.words);
    }
}

#[tokio::test]
async fn prometheus_parser_reads_from_the_page_what_is_on_it() {
    let Some(reader) = programs::metrics_reader() else { return };
    for text in [whole::page().await, page_after_traffic()] {
        let page = Page::read(&text);
        let read = reader.run(&[], &[], &text).unwrap();
        let types: BTreeMap<String, String> = read
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, family)| (name.clone(), family["type"].as_str().unwrap().to_owned()))
            .collect();
        // The parser calls a counter by its name without the suffix.
        let served = page.families.into_iter().map(|(name, kind)| {
            let base = name.strip_suffix("_total").filter(|_| kind == "counter").map(str::to_owned);
            (base.unwrap_or(name), kind)
        });
        assert_eq!(types, served.collect());
        let series = |family: &Value| family["series"].as_array().unwrap().len();
        assert_eq!(
            read.as_object().unwrap().values().map(series).sum::<usize>(),
            page.series.len()
        );
        let is_explained = |family: &Value| !family["help"].as_str().unwrap().is_empty();
        assert!(read.as_object().unwrap().values().all(is_explained), "{read}");
    }
}

/// Of a real service: tokens, refusals, and what is counted nowhere.
fn page_after_traffic() -> String {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let key = operator.integration_with_key("acme");
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    service.token("integration", &key);
    for (family, key) in [("integration", "no key"), ("autojoin", "unknown"), ("autojoin", "")] {
        assert_eq!(service.exchange(family, key).status, 401);
    }
    for path in ["/nothing", "/.well-known/jwks.json"] {
        Request::get(path).send(service.address(), crate::support::service::START_WITHIN).unwrap();
    }
    service.metrics_page()
}
