//! Makes the path of a request canonical before it is looked up, as Go's `ServeMux` does.
//!
//! A path with `//`, `.` or `..` is redirected to its clean form, whatever the method. Escaped
//! letters match plain ones; an escaped slash or dot segment stays what it is and matches nothing.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::http::uri::PathAndQuery;
use axum::http::{Request, Uri};
use axum::response::Response;
use futures_util::future::Either;
use tower::Service;

use super::error;

/// Routes that are asked for canonical paths only. Around a router, not in it: the path is made
/// canonical before it is looked up. (axum's own `from_fn` would box each request's future.)
#[derive(Debug, Clone)]
pub struct Canonical<S>(pub(super) S);

impl<S, B> Service<Request<B>> for Canonical<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if let Some(clean) = cleaned(path) {
            // A browser takes a backslash for a slash, and two of them for another host's name.
            let clean = clean.replace('\\', "%5C");
            let query = request.uri().query();
            let location = query.map_or_else(|| clean.clone(), |query| format!("{clean}?{query}"));
            return Either::Left(ready(Ok(error::moved(location))));
        }
        if let Cow::Owned(decoded) = with_letters_decoded(path) {
            // What cannot be a path stays as it was, and is not found.
            if let Ok(path_and_query) = PathAndQuery::try_from(decoded) {
                *request.uri_mut() = Uri::from(path_and_query);
            }
        }
        Either::Right(self.0.call(request))
    }
}

/// The path without empty and dot segments, or `None` if it has none (RFC 3986, section 5.2.4).
/// An empty segment at the end, so a trailing slash, stays.
fn cleaned(path: &str) -> Option<String> {
    // The other forms of a target, `*` and the authority of CONNECT, are no paths.
    let rest = path.strip_prefix('/')?;
    let (folders, last) = rest.rsplit_once('/').map_or((None, rest), |(f, l)| (Some(f), l));
    let is_clean = |segment: &str| !matches!(segment, "" | "." | "..");
    let last_is_clean = last.is_empty() || is_clean(last);
    if last_is_clean && folders.is_none_or(|folders| folders.split('/').all(is_clean)) {
        return None;
    }
    let mut kept = Vec::new();
    for segment in rest.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if rest.ends_with('/') && clean.len() > 1 {
        clean.push('/');
    }
    Some(clean)
}

/// The path with escapes of unreserved characters decoded (RFC 3986, section 6.2.2.2).
fn with_letters_decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (plain, escape) = rest.split_at(at);
        decoded.push_str(plain);
        if let Some(character) = escape.get(1..3).and_then(unreserved) {
            decoded.push(character);
            rest = &escape[3..];
        } else {
            decoded.push('%');
            rest = &escape[1..];
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

fn unreserved(hex: &str) -> Option<char> {
    let mut byte = [0];
    hex::decode_to_slice(hex, &mut byte).ok()?;
    let character = char::from(byte[0]);
    let is_unreserved =
        character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~');
    is_unreserved.then_some(character)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::http::header::LOCATION;

    use super::*;

    #[test]
    fn clean_paths_stay_as_they_are() {
        for path in ["/", "/health", "/v0/token/", "/.well-known/jwks.json", "/a..b/.c", "*"] {
            assert_eq!(cleaned(path), None, "{path}");
        }
    }

    #[test]
    fn empty_and_dot_segments_are_taken_out() {
        for (path, clean) in [
            ("//health", "/health"),
            ("/health//", "/health/"),
            ("/v0/./token", "/v0/token"),
            ("/v0/x/../token", "/v0/token"),
            ("/../health", "/health"),
            ("/health/..", "/"),
            ("/health/.", "/health"),
            ("//", "/"),
        ] {
            assert_eq!(cleaned(path).as_deref(), Some(clean), "{path}");
        }
    }

    #[tokio::test]
    async fn a_redirect_never_leads_to_another_host() {
        for (path, location) in [
            ("/x/../\\evil.example/", "/%5Cevil.example/"),
            ("//evil.example/", "/evil.example/"),
            ("/x/..//evil.example?a=1", "/evil.example?a=1"),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = Canonical(Router::new()).call(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::MOVED_PERMANENTLY);
            assert_eq!(answer.headers()[LOCATION], location);
        }
    }

    #[test]
    fn only_escapes_of_unreserved_characters_are_decoded() {
        for (path, decoded) in [
            ("/%68ealth", "/health"),
            ("/v0%2Ftoken", "/v0%2Ftoken"),
            ("/%zz/%6", "/%zz/%6"),
            ("/%", "/%"),
            ("/%2Ewell-known", "/.well-known"),
            ("/%25%36%38", "/%2568"),
        ] {
            assert_eq!(with_letters_decoded(path), decoded, "{path}");
        }
    }
}
