//! The answer to a search: which traces were found, and which of their spans.
//!
//! In: traces one after another, each with the spans that are shown. Out: the bytes of
//! `tempopb.SearchResponse` in pieces, in protobuf or as Go's jsonpb prints it (`tempo.md 1.0`,
//! `1.4`). Nothing is put in order here, and no trace is kept once it is written.

mod json;
mod protobuf;

use suyuan_ids::{SpanId, TraceId};
use suyuan_model::ValueRef;

use super::Encoding;
use json::JsonSink;
use protobuf::ProtobufSink;

/// What Tempo says where a trace's root, or its service, is not known.
const NO_ROOT: &str = "<root span not yet received>";

/// A trace, without its spans.
#[derive(Clone, Copy, Debug)]
pub struct TraceHead<'a> {
    pub id: TraceId,
    pub root_service: Option<&'a str>,
    pub root_name: Option<&'a str>,
    pub start_unix_nanos: i64,
    pub duration_nanos: u64,
    /// Spans that were asked for, shown or not.
    pub n_matched: u64,
}

/// A span that is shown.
#[derive(Clone, Debug)]
pub struct SpanShown<'a, A> {
    pub id: SpanId,
    pub name: Option<&'a str>,
    pub start_unix_nanos: i64,
    pub duration_nanos: u64,
    /// By key, each key once.
    pub attributes: A,
}

/// What a service did in a trace.
#[derive(Clone, Copy, Debug)]
pub struct ServiceShown<'a> {
    pub name: &'a str,
    pub n_spans: u32,
    pub n_errors: u32,
}

/// What was done for a search, as far as `tempopb.SearchMetrics` can say it. Only fields that
/// Grafana's strict reader knows (`grafana.md 1.3`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchMetrics {
    pub inspected_traces: u32,
    pub inspected_bytes: u64,
    pub inspected_spans: u64,
    pub total_jobs: u32,
    pub completed_jobs: u32,
}

/// A `SearchResponse` that is being written.
#[derive(Debug)]
pub struct SearchEncoder(Sink);

#[derive(Debug)]
enum Sink {
    Json(JsonSink),
    Protobuf(ProtobufSink),
}

impl SearchEncoder {
    pub fn new(encoding: Encoding) -> Self {
        Self(match encoding {
            Encoding::Json => Sink::Json(JsonSink::begin()),
            Encoding::Protobuf => Sink::Protobuf(ProtobufSink::default()),
        })
    }

    /// Writes what stands behind the traces of another encoder, of which there is at least one: the
    /// bytes of both, one after the other, are those of one encoder.
    pub fn behind(encoding: Encoding) -> Self {
        Self(match encoding {
            Encoding::Json => Sink::Json(JsonSink::behind()),
            Encoding::Protobuf => Sink::Protobuf(ProtobufSink::default()),
        })
    }

    /// Writes a trace. `services` by name, as a map of Go is printed.
    pub fn trace<'a, A: Iterator<Item = (&'a str, ValueRef<'a>)>>(
        &mut self,
        head: &TraceHead<'_>,
        spans: impl Iterator<Item = SpanShown<'a, A>>,
        services: impl Iterator<Item = ServiceShown<'a>>,
    ) {
        match &mut self.0 {
            Sink::Json(sink) => sink.trace(head, spans, services),
            Sink::Protobuf(sink) => sink.trace(head, spans, services),
        }
    }

    /// Bytes written and not yet taken.
    pub fn n_bytes(&self) -> usize {
        match &self.0 {
            Sink::Json(sink) => sink.n_bytes(),
            Sink::Protobuf(sink) => sink.n_bytes(),
        }
    }

    /// Takes what was written so far, so that it can be sent.
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.0 {
            Sink::Json(sink) => sink.take(),
            Sink::Protobuf(sink) => sink.take(),
        }
    }

    /// The last bytes of the answer.
    pub fn finish(self, metrics: &SearchMetrics) -> Vec<u8> {
        match self.0 {
            Sink::Json(sink) => sink.finish(metrics),
            Sink::Protobuf(sink) => sink.finish(metrics),
        }
    }
}

impl TraceHead<'_> {
    fn root_service(&self) -> &str {
        self.root_service.filter(|service| !service.is_empty()).unwrap_or(NO_ROOT)
    }

    fn duration_ms(&self) -> u32 {
        u32::try_from(self.duration_nanos / 1_000_000).unwrap_or(u32::MAX)
    }

    fn n_matched(&self) -> u32 {
        u32::try_from(self.n_matched).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
