//! Whether, how and where to traces go: by the variables that OpenTelemetry has for it, and no flags
//! (OpenTelemetry, Environment Variable Specification and OTLP exporter configuration).
//!
//! Off unless an endpoint is set. Where the standard would have a value ignored that cannot be read,
//! it is refused here, before a port opens.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;
use crate::telemetry::traces::{Batch, Ratio, Sampler, TracesConfig};
use crate::version::version;

/// Those that are read here; of a pair the first wins.
const VARIABLES: [&str; 18] = [
    DISABLED,
    EXPORTER,
    ENDPOINT[0],
    ENDPOINT[1],
    PROTOCOL[0],
    PROTOCOL[1],
    HEADERS[0],
    HEADERS[1],
    TIMEOUT[0],
    TIMEOUT[1],
    SAMPLER,
    RATIO,
    SERVICE_NAME,
    RESOURCE,
    DELAY,
    EXPORT_TIMEOUT,
    QUEUE,
    SPANS,
];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const EXPORT_TIMEOUT: &str = "OTEL_BSP_EXPORT_TIMEOUT";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const SPANS: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";

/// One export, unless it is said otherwise, by the standard.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same, as the standard's part on batches has it.
const DEFAULT_EXPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time that can be set: what waits for longer is of no use to anybody.
const MAX_TIME: Duration = Duration::from_mins(5);
/// The most requests whose spans may wait to be made, and the most spans of one export. Of each some
/// 64 MiB.
const MAX_QUEUE: u64 = 65_536;

/// What the environment says of traces. Headers may hold credentials, so none of it is shown.
#[derive(Debug, Clone, Default)]
pub struct TracesEnvironment(BTreeMap<&'static str, SecretString>);

impl TracesEnvironment {
    /// By a way to look up a variable; one that is set but empty is not set, as the standard says.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let values = VARIABLES.into_iter().filter_map(|name| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((name, value.into()))
        });
        Self(values.collect())
    }

    /// What it comes to; `None` when no traces are wanted.
    ///
    /// # Errors
    /// When a value cannot be read, or asks for what there is not. Where no traces are wanted, no
    /// value is looked at.
    pub fn resolve(&self) -> Result<Option<TracesConfig>, ConfigError> {
        let Some((endpoint_from, endpoint)) = self.first(ENDPOINT) else { return Ok(None) };
        if self.one(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match self.one(EXPORTER) {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(refusal(EXPORTER, other, "write otlp, or none")),
        }
        if let Some((name, protocol)) = self.first(PROTOCOL).filter(|(_, value)| *value != "grpc") {
            return Err(refusal(name, protocol, "traces are sent by grpc alone; write that"));
        }
        Ok(Some(TracesConfig {
            endpoint: endpoint_of(endpoint_from, endpoint)?,
            headers: self.headers()?,
            timeout: self.timeout()?,
            sampler: self.sampler()?,
            resource: self.resource()?,
            batch: Batch {
                queue: self.number(QUEUE, Batch::DEFAULT.queue, 1..=MAX_QUEUE)?,
                spans: self.number(SPANS, Batch::DEFAULT.spans, 1..=MAX_QUEUE)?,
                delay: self.milliseconds(DELAY, Batch::DEFAULT.delay)?,
            },
        }))
    }

    fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        let Some((from, text)) = self.first(HEADERS) else { return Ok(headers) };
        // The text may hold credentials, and is not repeated.
        let refuse = || ConfigError::new(format!("{from}: write name=value,name=value"));
        for (name, value) in pairs(text).ok_or_else(refuse)? {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| refuse())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// The standard has two for the same; the shorter holds.
    fn timeout(&self) -> Result<Duration, ConfigError> {
        let (name, _) = self.first(TIMEOUT).unwrap_or((TIMEOUT[1], ""));
        let export = self.milliseconds(EXPORT_TIMEOUT, DEFAULT_EXPORT_TIMEOUT)?;
        Ok(self.milliseconds(name, DEFAULT_TIMEOUT)?.min(export))
    }

    fn sampler(&self) -> Result<Sampler, ConfigError> {
        let ratio = || match self.one(RATIO) {
            None => Ok(Ratio::ALL),
            Some(text) => text
                .parse()
                .ok()
                .and_then(Ratio::new)
                .ok_or_else(|| refusal(RATIO, text, "write a number from 0 to 1")),
        };
        let name = self.one(SAMPLER).unwrap_or("parentbased_always_on");
        let (heeds_parent, rule) = match name.strip_prefix("parentbased_") {
            Some(rule) => (true, rule),
            None => (false, name),
        };
        let ratio = match rule {
            "always_on" => Ratio::ALL,
            "always_off" => Ratio::NONE,
            "traceidratio" => ratio()?,
            _ => {
                let known = "write always_on, always_off or traceidratio, perhaps with \
                             parentbased_ before it";
                return Err(refusal(SAMPLER, name, known));
            }
        };
        Ok(Sampler { heeds_parent, ratio })
    }

    fn resource(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut resource = BTreeMap::from([
            ("service.name".to_owned(), "token-exchange".to_owned()),
            ("service.version".to_owned(), version()),
        ]);
        if let Some(text) = self.one(RESOURCE) {
            let refuse = || refusal(RESOURCE, text, "write name=value,name=value");
            resource.extend(pairs(text).ok_or_else(refuse)?);
        }
        if let Some(name) = self.one(SERVICE_NAME) {
            resource.insert("service.name".to_owned(), name.to_owned());
        }
        Ok(resource.into_iter().collect())
    }

    fn milliseconds(&self, name: &'static str, default: Duration) -> Result<Duration, ConfigError> {
        let limit = u64::try_from(MAX_TIME.as_millis()).unwrap_or(u64::MAX);
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        self.number(name, default, 1..=limit).map(Duration::from_millis)
    }

    fn number<N>(
        &self,
        name: &'static str,
        default: N,
        range: RangeInclusive<u64>,
    ) -> Result<N, ConfigError>
    where
        N: FromStr + Copy + TryInto<u64>,
    {
        let Some(text) = self.one(name) else { return Ok(default) };
        let within = |number: &N| (*number).try_into().is_ok_and(|number| range.contains(&number));
        text.parse().ok().filter(within).ok_or_else(|| {
            let (least, most) = range.clone().into_inner();
            refusal(name, text, format_args!("write a whole number from {least} to {most}"))
        })
    }

    fn one(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, &str)> {
        names.into_iter().find_map(|name| Some((name, self.one(name)?)))
    }
}

fn endpoint_of(from: &str, text: &str) -> Result<Uri, ConfigError> {
    // Of a URL with a password in it nothing is repeated.
    let shown = if text.contains('@') { "a URL with credentials" } else { text };
    text.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .filter(|uri| matches!(uri.path(), "" | "/") && !text.contains('@'))
        .ok_or_else(|| refusal(from, shown, "write http://host:port or https://host:port"))
}

/// `name=value,name=value`, percent-encoded where it has to be (W3C Baggage, section 3.2.1).
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded =
        |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members
        .map(|member| {
            let (name, value) = member.split_once('=')?;
            let name = name.trim();
            if name.is_empty() { None } else { Some((name.to_owned(), decoded(value)?)) }
        })
        .collect()
}

fn refusal(name: &str, value: &str, what_to_do: impl Display) -> ConfigError {
    ConfigError::new(format!("{name}: {value:?} cannot be used; {what_to_do}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(variables: &[(&str, &str)]) -> Result<Option<TracesConfig>, String> {
        TracesEnvironment::read(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .resolve()
        .map_err(|error| error.to_string())
    }

    fn on(variables: &[(&str, &str)]) -> TracesConfig {
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")];
        resolve(&[variables, &endpoint].concat()).unwrap().expect("they are on")
    }

    #[test]
    fn without_an_endpoint_or_when_it_is_said_there_are_none() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317");
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_TRACES_SAMPLER", "nonsense")],
            &[endpoint, ("OTEL_SDK_DISABLED", "True")],
            &[endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_SAMPLER", "nonsense")],
        ] {
            assert!(resolve(variables).unwrap().is_none(), "{variables:?}");
        }
        assert!(resolve(&[endpoint, ("OTEL_SDK_DISABLED", "1")]).unwrap().is_some());
    }

    #[test]
    fn with_an_endpoint_alone_the_standard_has_the_rest() {
        let config = on(&[]);
        assert_eq!(config.endpoint.to_string(), "http://localhost:4317/");
        assert_eq!(config.timeout, Duration::from_secs(10));
        assert_eq!(config.sampler, Sampler { heeds_parent: true, ratio: Ratio::ALL });
        let (queue, spans, delay) = (2048, 512, Duration::from_secs(5));
        assert_eq!(config.batch, Batch { queue, spans, delay });
        assert!(config.headers.is_empty());
        let resource = [("service.name", "token-exchange"), ("service.version", &*version())];
        assert_eq!(config.resource, resource.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn what_is_said_of_traces_goes_before_what_is_said_of_all_signals() {
        let config = on(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:443"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "nonsense"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "300"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "b=2"),
        ]);
        assert_eq!(config.endpoint.to_string(), "https://traces/".replace("traces", "traces:443"));
        assert_eq!(config.timeout, Duration::from_millis(250));
        assert!(config.headers.contains_key("a") && !config.headers.contains_key("b"));
    }

    #[test]
    fn samplers_are_those_of_the_standard() {
        for (name, arg, heeds_parent, ratio) in [
            ("always_on", "", false, Ratio::ALL),
            ("always_off", "0.5", false, Ratio::NONE),
            ("traceidratio", "0.25", false, Ratio::new(0.25).unwrap()),
            ("traceidratio", "", false, Ratio::ALL),
            ("parentbased_always_on", "", true, Ratio::ALL),
            ("parentbased_always_off", "", true, Ratio::NONE),
            ("parentbased_traceidratio", "0", true, Ratio::NONE),
        ] {
            let config = on(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)]);
            assert_eq!(config.sampler, Sampler { heeds_parent, ratio }, "{name} {arg}");
        }
    }

    #[test]
    fn headers_and_attributes_are_decoded_and_headers_are_never_shown() {
        let config = on(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret, x-team = a=b ,"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=t%C3%A9st,service.name=x"),
            ("OTEL_SERVICE_NAME", "auth"),
        ]);
        assert_eq!(config.headers["authorization"], "Bearer s3cret");
        assert_eq!(config.headers["x-team"], "a=b");
        assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
        let attribute = |name| {
            config.resource.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(attribute("deployment.environment.name"), Some("tést"));
        assert_eq!(attribute("service.name"), Some("auth"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_do() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317");
        for (name, value, why) in [
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "localhost:4317",
                "write http://host:port or https://host:port",
            ),
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/protobuf",
                "traces are sent by grpc alone; write that",
            ),
            ("OTEL_TRACES_EXPORTER", "jaeger", "write otlp, or none"),
            (
                "OTEL_TRACES_SAMPLER",
                "jaeger_remote",
                "write always_on, always_off or traceidratio, perhaps with parentbased_ before it",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "write a whole number from 1 to 300000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5s", "write a whole number from 1 to 300000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65537", "write a whole number from 1 to 65536"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1", "write a whole number from 1 to 65536"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "write name=value,name=value"),
        ] {
            let refused = resolve(&[endpoint, (name, value)]).map(drop).unwrap_err();
            assert_eq!(refused, format!("{name}: {value:?} cannot be used; {why}"));
        }
        let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        let refused = resolve(&[&[endpoint], &ratio[..]].concat()).map(drop).unwrap_err();
        assert_eq!(
            refused,
            "OTEL_TRACES_SAMPLER_ARG: \"2\" cannot be used; write a number from 0 to 1"
        );
        for headers in ["s3cret", "=s3cret", "a b=s3cret", "a=s3cret%0A"] {
            let headers = [endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", headers)];
            let refused = resolve(&headers).map(drop).unwrap_err();
            assert_eq!(refused, "OTEL_EXPORTER_OTLP_HEADERS: write name=value,name=value");
        }
    }

    #[test]
    fn an_endpoint_with_a_path_or_a_password_is_refused_and_no_password_repeated() {
        for endpoint in
            ["http://localhost:4317/v1/traces", "http://me:hunter2@localhost:4317", "ftp://a@b:1"]
        {
            let refused = resolve(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).unwrap_err();
            assert!(refused.contains("http://host:port"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
