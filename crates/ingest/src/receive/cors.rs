//! Lets pages of chosen origins send from the browser.
//!
//! In: the `Origin` of a request. Out: the `Access-Control-*` headers of its answer, or none, which
//! makes the browser withhold the answer from the page. Refuses nothing by itself: whoever is not a
//! browser does not ask.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
    VARY,
};
use http::{HeaderMap, Method};

/// Which origins may send.
#[derive(Debug, Clone)]
pub(super) struct Cors {
    origins: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exactly(String),
    /// One `*` within: `https://*.example.com`.
    Between(String, String),
}

/// How long a browser may remember an answer: two hours, the most that Chrome keeps to.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const YES: HeaderValue = HeaderValue::from_static("true");

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        let pattern = |origin: &String| match origin.to_ascii_lowercase().split_once('*') {
            None => Pattern::Exactly(origin.to_ascii_lowercase()),
            Some(("", "")) => Pattern::Any,
            Some((before, after)) => Pattern::Between(before.to_owned(), after.to_owned()),
        };
        Self { origins: origins.iter().map(pattern).collect() }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Adds to `answer` what the page of this request may know of it.
    pub(super) fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if !self.is_on() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("origin"));
        if self.allow_origin(request, answer) {
            let readable = HeaderValue::from_static("retry-after");
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, readable);
        }
    }

    /// Answers the question a browser asks before it sends.
    pub(super) fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let vary = "origin, access-control-request-method, access-control-request-headers";
        answer.append(VARY, HeaderValue::from_static(vary));
        if !self.allow_origin(request, answer) {
            return;
        }
        let methods = HeaderValue::from_static("POST");
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
        // An origin that may send may send with any header: a list would only break the page that
        // adds one of its own. Sent back by name, for `*` does not cover `authorization`.
        if let Some(headers) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if request.get(REQUEST_PRIVATE_NETWORK) == Some(&YES) {
            answer.insert(ALLOW_PRIVATE_NETWORK, YES);
        }
    }

    /// Credentials are allowed to origins that are named, since `sendBeacon` always asks for them;
    /// never to `*`.
    fn allow_origin(&self, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
        let Some(origin) = request.get(ORIGIN) else {
            return false;
        };
        let Ok(name) = origin.to_str().map(str::to_ascii_lowercase) else {
            return false;
        };
        if self.origins.iter().any(|pattern| pattern.names(&name)) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, YES);
            return true;
        }
        if self.origins.contains(&Pattern::Any) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return true;
        }
        false
    }
}

impl Pattern {
    fn names(&self, origin: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Exactly(name) => origin == name,
            Self::Between(before, after) => {
                origin.len() > before.len() + after.len()
                    && origin.starts_with(before)
                    && origin.ends_with(after)
            }
        }
    }
}

/// Whether this is the question before the request, and not the request.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
