//! Found traces on their way into an answer: a piece at a time, each trace forgotten when it is
//! written.

use suyuan_model::ValueRef;
use suyuan_query::search::{Accounting, AnswerValue, FoundSpan, FoundTrace, SearchAnswer};
use suyuan_wire::answer::Encoding;
use suyuan_wire::answer::search::{
    SearchEncoder, SearchMetrics, ServiceShown, SpanShown, TraceHead,
};

use crate::answer_body::Encode;

/// A piece is handed out when it has this many bytes, the last one excepted.
const PIECE_BYTES_MIN: usize = 256 << 10;

/// What is left to be written of an answer.
pub(super) struct FoundTraces {
    traces: std::vec::IntoIter<FoundTrace>,
    /// Until the last piece is out.
    encoder: Option<SearchEncoder>,
    metrics: SearchMetrics,
}

impl FoundTraces {
    pub(super) fn new(found: SearchAnswer, encoding: Encoding) -> Self {
        Self {
            metrics: metrics(&found.accounting),
            traces: found.traces.into_iter(),
            encoder: Some(SearchEncoder::new(encoding)),
        }
    }
}

impl Encode for FoundTraces {
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        let encoder = self.encoder.as_mut()?;
        while encoder.n_bytes() < PIECE_BYTES_MIN {
            let Some(trace) = self.traces.next() else {
                return Some(self.encoder.take()?.finish(&self.metrics));
            };
            write(encoder, &trace);
        }
        Some(encoder.take())
    }

    fn is_done(&self) -> bool {
        self.encoder.is_none()
    }

    fn held_bytes(&self) -> usize {
        self.traces.as_slice().iter().map(FoundTrace::bytes).sum()
    }
}

fn write(encoder: &mut SearchEncoder, trace: &FoundTrace) {
    let head = TraceHead {
        id: trace.id,
        root_service: trace.root_service.as_deref(),
        root_name: trace.root_name.as_deref(),
        start_unix_nanos: trace.start_unix_nanos,
        duration_nanos: length(trace.start_unix_nanos, trace.end_unix_nanos),
        n_matched: trace.n_matched,
    };
    let services = trace.services.iter().map(|stats| ServiceShown {
        name: &stats.service,
        n_spans: stats.n_spans,
        n_errors: stats.n_errors,
    });
    encoder.trace(&head, trace.spans.iter().map(shown), services);
}

fn shown(span: &FoundSpan) -> SpanShown<'_, impl Iterator<Item = (&str, ValueRef<'_>)>> {
    SpanShown {
        id: span.id,
        name: span.name.as_deref(),
        start_unix_nanos: span.start_unix_nanos,
        duration_nanos: u64::try_from(span.duration_nanos).unwrap_or(0),
        attributes: span.attributes.iter().map(|(key, value)| (&**key, value_ref(value))),
    }
}

fn value_ref(value: &AnswerValue) -> ValueRef<'_> {
    match value {
        AnswerValue::String(text) => ValueRef::String(text),
        AnswerValue::Bool(value) => ValueRef::Bool(*value),
        AnswerValue::Int(value) => ValueRef::Int(*value),
        AnswerValue::Double(value) => ValueRef::Double(*value),
    }
}

/// Nothing ends before it starts, whatever clocks have said.
fn length(start_unix_nanos: i64, end_unix_nanos: i64) -> u64 {
    u64::try_from(i128::from(end_unix_nanos) - i128::from(start_unix_nanos)).unwrap_or(0)
}

/// Jobs are units: what need not be read is done.
fn metrics(accounting: &Accounting) -> SearchMetrics {
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    SearchMetrics {
        inspected_traces: narrow(accounting.traces_inspected),
        inspected_bytes: accounting.bytes_read,
        inspected_spans: accounting.spans_inspected,
        total_jobs: narrow(accounting.units_total),
        completed_jobs: narrow(accounting.units_total),
    }
}
