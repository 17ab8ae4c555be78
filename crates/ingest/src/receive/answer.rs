//! Answers as bytes: what an export was answered with, and what went wrong.
//!
//! In: an [`Outcome`] or a [`Problem`]. Out: `ExportTraceServiceResponse` and `google.rpc.Status`,
//! as protobuf or as protobuf's JSON. Both messages are so small that they are written by hand.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use suyuan_wire::protobuf::Writer;
use suyuan_wire::record::Format;

use super::problem::Problem;
use crate::lane::Outcome;

pub(super) type Reply = Response<ReplyBody>;

/// At most one piece of data and then, for gRPC, the trailers.
#[derive(Debug, Default)]
pub(super) struct ReplyBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl ReplyBody {
    pub(super) fn data(bytes: impl Into<Bytes>) -> Self {
        Self { data: Some(bytes.into()).filter(|data| !data.is_empty()), trailers: None }
    }

    pub(super) fn with_trailers(bytes: impl Into<Bytes>, trailers: HeaderMap) -> Self {
        Self { data: Some(bytes.into()), trailers: Some(trailers) }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.data, &self.trailers) {
            (Some(data), None) => SizeHint::with_exact(data.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            // With trailers to come no `content-length` is announced.
            (_, Some(_)) => SizeHint::default(),
        }
    }
}

/// `ExportTraceServiceResponse`: empty when everything was taken, for the specification wants
/// `partial_success` unset then. A message without refused spans is a warning.
pub(super) fn export_response(outcome: &Outcome, format: Format) -> Vec<u8> {
    let complete = outcome.refused_spans == 0 && outcome.message.is_empty();
    match format {
        Format::OtlpProtobuf if complete => Vec::new(),
        Format::OtlpProtobuf => {
            let mut writer = Writer::append_to(Vec::new());
            writer.message(1, |w| {
                if outcome.refused_spans > 0 {
                    w.varint(1, outcome.refused_spans);
                }
                if !outcome.message.is_empty() {
                    w.bytes(2, outcome.message.as_bytes());
                }
            });
            writer.into_bytes()
        }
        Format::OtlpJson if complete => b"{}".to_vec(),
        Format::OtlpJson => {
            let partial_success = serde_json::json!({
                "rejectedSpans": outcome.refused_spans.to_string(),
                "errorMessage": outcome.message,
            });
            serde_json::json!({ "partialSuccess": partial_success }).to_string().into_bytes()
        }
    }
}

/// `google.rpc.Status`, with `RetryInfo` where trying again can help.
pub(super) fn status(problem: &Problem, format: Format) -> Vec<u8> {
    match format {
        Format::OtlpProtobuf => status_protobuf(problem),
        Format::OtlpJson => status_json(problem),
    }
}

fn status_protobuf(problem: &Problem) -> Vec<u8> {
    let mut writer = Writer::append_to(Vec::new());
    writer.varint(1, problem.kind.row().code as u64);
    writer.bytes(2, problem.message.as_bytes());
    if let Some(delay) = problem.retry_after {
        writer.message(3, |any| {
            any.bytes(1, RETRY_INFO_TYPE.as_bytes());
            any.message(2, |retry_info| {
                retry_info.message(1, |duration| {
                    duration.varint(1, delay_seconds(delay));
                    duration.varint(2, delay.subsec_nanos().into());
                });
            });
        });
    }
    writer.into_bytes()
}

fn status_json(problem: &Problem) -> Vec<u8> {
    let mut status = serde_json::json!({
        "code": problem.kind.row().code as u64,
        "message": problem.message,
    });
    if let Some(delay) = problem.retry_after {
        let seconds = delay_seconds(delay);
        let delay = match delay.subsec_nanos() {
            0 => format!("{seconds}s"),
            nanos => format!("{seconds}.{nanos:09}s"),
        };
        let retry_info = serde_json::json!({ "@type": RETRY_INFO_TYPE, "retryDelay": delay });
        status["details"] = serde_json::json!([retry_info]);
    }
    status.to_string().into_bytes()
}

/// Protobuf's `Duration` ends after 10,000 years.
fn delay_seconds(delay: Duration) -> u64 {
    delay.as_secs().min(315_576_000_000)
}
