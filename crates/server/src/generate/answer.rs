//! What a server's answer means for the request.
//!
//! In: status, headers and body of an OTLP answer, of any origin. Out: accepted, try again, or
//! refused for good. The rules are those of the OTLP specification for exporters: over HTTP 429, 502,
//! 503 and 504 are worth a retry, and `Retry-After` says when. Bodies that make no sense change
//! nothing: the status decides.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use suyuan_wire::protobuf::{FieldValue, Malformed, Reader};

use super::target::Protocol;

/// What to do with the request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// For the report: `200`, `429`, `grpc RESOURCE_EXHAUSTED`, `no answer`.
    pub(super) status: String,
    /// What the server said, cut to a line.
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Accepted {
        n_spans_refused: u64,
    },
    /// After so long, if the server says so.
    TryAgain {
        after: Option<Duration>,
    },
    Refused,
}

const REASON_CHARACTERS_MAX: usize = 200;

impl Answer {
    /// The server could not be reached, or the connection broke: whether it took the request is
    /// not known, and sending it again is what SDKs do.
    pub(super) fn none(reason: impl std::fmt::Display) -> Self {
        Self {
            verdict: Verdict::TryAgain { after: None },
            status: "no answer".to_owned(),
            reason: one_line(&reason.to_string()),
        }
    }

    /// Over HTTP.
    pub(super) fn of_http(
        protocol: Protocol,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let (verdict, reason) = match status.as_u16() {
            200..=299 => {
                let (n_spans_refused, reason) = partial_success(protocol, body).unwrap_or_default();
                (Verdict::Accepted { n_spans_refused }, reason)
            }
            429 | 502 | 503 | 504 => {
                (Verdict::TryAgain { after: retry_after(headers) }, status_message(protocol, body))
            }
            _ => (Verdict::Refused, status_message(protocol, body)),
        };
        Self { verdict, status: status.as_u16().to_string(), reason: one_line(&reason) }
    }
}

/// Seconds; the form with a date is not understood and counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Refused spans and why, of an `ExportTraceServiceResponse`; nothing if it says nothing.
fn partial_success(protocol: Protocol, body: &[u8]) -> Option<(u64, String)> {
    match protocol {
        Protocol::HttpJson => json_partial_success(body),
        Protocol::HttpProtobuf | Protocol::Grpc => protobuf_partial_success(body).ok(),
    }
}

fn json_partial_success(body: &[u8]) -> Option<(u64, String)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let partial = body.get("partialSuccess")?;
    let message = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
    let n_refused = match partial.get("rejectedSpans") {
        Some(Value::String(digits)) => digits.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    };
    Some((n_refused, message.to_owned()))
}

pub(super) fn protobuf_partial_success(body: &[u8]) -> Result<(u64, String), Malformed> {
    let (mut n_refused, mut message) = (0, String::new());
    each_field(body, 1, &mut |partial| {
        let mut fields = Reader::new(partial);
        while let Some(field) = fields.next_field()? {
            match (field.number, field.value) {
                (1, FieldValue::Varint(n)) => n_refused = n,
                (2, FieldValue::Bytes(text)) => {
                    message = String::from_utf8_lossy(text).into_owned()
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok((n_refused, message))
}

/// The message of a `google.rpc.Status`, or the body itself if it is plain text.
fn status_message(protocol: Protocol, body: &[u8]) -> String {
    let message = match protocol {
        Protocol::HttpJson => serde_json::from_slice(body)
            .ok()
            .and_then(|body: Value| body.get("message")?.as_str().map(str::to_owned)),
        Protocol::HttpProtobuf | Protocol::Grpc => status_text(body).ok().flatten(),
    };
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

fn status_text(status: &[u8]) -> Result<Option<String>, Malformed> {
    let mut message = None;
    each_field(status, 2, &mut |text| {
        message = std::str::from_utf8(text).ok().map(str::to_owned);
        Ok(())
    })?;
    Ok(message)
}

/// Visits every field `number` of a message that holds bytes.
pub(super) fn each_field<'a>(
    message: &'a [u8],
    number: u32,
    visit: &mut dyn FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.next_field()? {
        if field.number == number
            && let FieldValue::Bytes(bytes) = field.value
        {
            visit(bytes)?;
        }
    }
    Ok(())
}

/// The first line, without anything that could steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let cut: String = line.trim().chars().take(REASON_CHARACTERS_MAX).collect();
    crate::terminal::harmless(&cut)
}
