//! The recorded requests, as `cases.json` has them: word for word those of `tests/golden/http.json`.

use serde::Deserialize;

use super::Answer;

/// A request, the answer that was recorded, and what differs from it on purpose.
#[derive(Debug, Deserialize)]
pub struct Case {
    name: String,
    request: RecordedRequest,
    response: RecordedAnswer,
    deliberate: Option<String>,
    expect: Option<Expected>,
}

#[derive(Debug, Deserialize)]
struct RecordedRequest {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_utf8: Option<String>,
    body_repeat: Option<Repeat>,
}

#[derive(Debug, Deserialize)]
struct Repeat {
    prefix: Option<String>,
    unit: String,
    count: usize,
    suffix: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RecordedAnswer {
    status: u16,
}

/// What takes the place of the recorded answer.
#[derive(Debug, Deserialize)]
struct Expected {
    status: Option<u16>,
    #[serde(default)]
    status_any: Vec<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body_utf8: Option<String>,
}

/// A body to send. Without one the framing of a body is not sent either.
pub type Body = Option<String>;

/// All cases, in the order in which they are sent.
///
/// # Errors
/// Never, as long as the file is the one that the tests have read.
pub fn cases() -> serde_json::Result<Vec<Case>> {
    serde_json::from_str(include_str!("cases.json"))
}

impl Case {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn method(&self) -> &str {
        &self.request.method
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.request.target
    }

    /// The headers that a client does not write by itself.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request
            .headers
            .iter()
            .filter(|(name, _)| !["Host", "Content-Length"].contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn body(&self) -> Body {
        let has_length = self.request.headers.iter().any(|(name, _)| name == "Content-Length");
        match (&self.request.body_utf8, &self.request.body_repeat) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(Repeat { prefix, unit, count, suffix })) => {
                let [prefix, suffix] =
                    [prefix, suffix].map(|text| text.as_deref().unwrap_or_default());
                Some([prefix, &unit.repeat(*count), suffix].concat())
            }
            (None, None) => has_length.then(String::new),
        }
    }

    /// Why the answers differ, if that is meant: the reference answers as it was recorded, or as we
    /// do, and the candidate as we are to.
    pub(super) fn declares(&self, reference: &Answer, candidate: &Answer) -> Option<&str> {
        let (deliberate, expected) = (self.deliberate.as_deref()?, self.expect.as_ref()?);
        let is_recorded = reference.status == self.response.status;
        let holds = (is_recorded || expected.has_status(reference)) && expected.holds(candidate);
        holds.then_some(deliberate)
    }
}

impl Expected {
    fn has_status(&self, answer: &Answer) -> bool {
        self.status == Some(answer.status) || self.status_any.contains(&answer.status)
    }

    fn holds(&self, answer: &Answer) -> bool {
        let has = |(name, value): &(String, String)| {
            answer.header(&name.to_ascii_lowercase()) == Some(value)
        };
        self.has_status(answer)
            && self.headers.iter().all(has)
            && self.body_utf8.as_ref().is_none_or(|body| body.as_bytes() == answer.body)
    }
}
