//! OTLP trace requests to rows of the table.
//!
//! In: an inflated `ExportTraceServiceRequest`, protobuf or JSON, as it came from outside. Out:
//! rows at the end of a [`TableBuilder`], and what was refused and why. Spans are judged one by
//! one: a bad one never rejects its neighbours. JSON is first rewritten as protobuf bytes
//! ([`json`]), so that one walk (`walk`) fills the columns.

pub mod json;
mod value;
mod walk;

use std::fmt;

use suyuan_ids::IdError;
use suyuan_model::TableBuilder;

use crate::protobuf::Malformed;
use crate::record::{Format, Limits};

/// Which spans to refuse without looking, by their place in the request.
#[derive(Clone, Copy, Debug)]
pub enum Verdicts<'a> {
    /// The request is new: judge every span.
    Judge,
    /// The request was judged before: refuse these (ascending), keep all others.
    Repeat(&'a [u32]),
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub accepted_spans: u64,
    /// Spans refused, by their place in the request (counted from 0), ascending.
    pub refused: Vec<RefusedSpan>,
    /// Values cut to the limit, or refused keys over it counted as dropped.
    pub cut_values: u64,
    pub dropped_attributes: u64,
    pub dropped_events: u64,
    pub dropped_links: u64,
    /// Attributes and other texts that were not UTF-8 and were repaired with U+FFFD.
    pub repaired_texts: u64,
    /// Odd but stored as sent: spans that end before they start, and spans that are their own
    /// parent.
    pub ends_before_start: u64,
    pub own_parent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedSpan {
    pub place: u32,
    pub reason: RefusedReason,
}

/// Why one span was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    TraceId(IdError),
    SpanId(IdError),
    ParentSpanId(IdError),
    /// Start or end beyond the year 2262, which 64-bit signed nanoseconds cannot hold.
    TimeOutOfRange,
    Malformed(Malformed),
    TraceTooLarge,
    /// The request's spans before it take many times the memory of its bytes.
    TooMuchMemory,
    /// It was refused when the request came.
    Repeated,
}

impl RefusedReason {
    /// Everything that [`RefusedReason::label`] says.
    pub const LABELS: [&str; 8] = [
        "invalid_trace_id",
        "invalid_span_id",
        "invalid_parent_span_id",
        "time_out_of_range",
        "malformed_span",
        "trace_too_large",
        "too_much_memory",
        "repeated",
    ];

    /// As metrics say it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TraceId(_) => Self::LABELS[0],
            Self::SpanId(_) => Self::LABELS[1],
            Self::ParentSpanId(_) => Self::LABELS[2],
            Self::TimeOutOfRange => Self::LABELS[3],
            Self::Malformed(_) => Self::LABELS[4],
            Self::TraceTooLarge => Self::LABELS[5],
            Self::TooMuchMemory => Self::LABELS[6],
            Self::Repeated => Self::LABELS[7],
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TraceId(error) => write!(f, "trace_id: {error}"),
            Self::SpanId(error) => write!(f, "span_id: {error}"),
            Self::ParentSpanId(error) => write!(f, "parent_span_id: {error}"),
            Self::TimeOutOfRange => f.write_str("start or end time is beyond the year 2262"),
            Self::Malformed(error) => write!(f, "span {error}"),
            Self::TooMuchMemory => {
                f.write_str("the request takes too much memory: too many keys or empty events")
            }
            Self::TraceTooLarge => f.write_str("trace has more spans than are allowed"),
            Self::Repeated => f.write_str("refused when it was received"),
        }
    }
}

/// Why a whole request is no OTLP request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("request is not an OTLP ExportTraceServiceRequest in protobuf: {place} {error}")]
    Protobuf { place: &'static str, error: Malformed },
    #[error("request is not an OTLP ExportTraceServiceRequest in JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Appends the spans of a request to the table. On an error the table may hold rows of the
/// request: take it back to the mark from before.
pub fn decode(
    format: Format,
    body: &[u8],
    limits: &Limits,
    verdicts: Verdicts<'_>,
    table: &mut TableBuilder,
) -> Result<Decoded, RequestError> {
    match format {
        Format::OtlpProtobuf => walk::request(body, limits, verdicts, table),
        Format::OtlpJson => walk::request(&json::to_protobuf(body)?, limits, verdicts, table),
    }
}

#[cfg(test)]
mod tests;
