//! Found traces on their way into an answer: a piece at a time, each trace forgotten when it is
//! written. The first piece of an answer of many traces is made by all threads of its question:
//! somebody waits for it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use suyuan_model::ValueRef;
use suyuan_query::parallel::{Threads, on_threads};
use suyuan_query::search::{
    Accounting, AnswerValue, FoundSpan, FoundTrace, QueryError, SearchAnswer,
};
use suyuan_wire::answer::Encoding;
use suyuan_wire::answer::search::{
    SearchEncoder, SearchMetrics, ServiceShown, SpanShown, TraceHead,
};

use crate::answer_body::Encode;

/// A piece is handed out when it has this many bytes, the last one excepted.
const PIECE_BYTES_MIN: usize = 256 << 10;
/// What several threads encode for the first piece takes no more memory than this before. Encoded
/// it takes about as much; six times as much if all of it has to be escaped.
const FIRST_TRACES_BYTES_MAX: usize = 2 << 20;
/// What a thread encodes before it takes more, and the fewest tasks that are worth a thread.
const TRACES_PER_TASK: usize = 64;
const TASKS_MIN: usize = 4;

/// What is left to be written of an answer.
pub(super) struct FoundTraces {
    traces: std::vec::IntoIter<FoundTrace>,
    /// Until the last piece is out.
    encoder: Option<SearchEncoder>,
    metrics: SearchMetrics,
    /// Encoded by several threads and not handed out yet.
    first_piece: Option<Vec<u8>>,
    first_piece_bytes: usize,
}

impl FoundTraces {
    /// Encodes the beginning of a large answer.
    pub(super) fn begin(
        found: SearchAnswer,
        encoding: Encoding,
        threads: &Threads,
    ) -> Result<Self, QueryError> {
        let metrics = metrics(&found.accounting);
        let first = first_traces(&found.traces);
        let (mut n_encoded, mut first_piece) = (0, None);
        let mut encoder = SearchEncoder::new(encoding);
        if first.len().div_ceil(TRACES_PER_TASK) >= TASKS_MIN && threads.max() > 1 {
            first_piece = Some(encode_together(first, encoding, threads)?);
            n_encoded = first.len();
            encoder = SearchEncoder::behind(encoding);
        }
        let first_piece_bytes = first_piece.as_ref().map_or(0, Vec::len);
        let mut traces = found.traces.into_iter();
        traces.by_ref().take(n_encoded).for_each(drop);
        Ok(Self { traces, encoder: Some(encoder), metrics, first_piece, first_piece_bytes })
    }
}

/// The traces that stand at the beginning of an answer, as many as may be encoded at once.
fn first_traces(traces: &[FoundTrace]) -> &[FoundTrace] {
    let mut bytes = 0;
    let is_small = |trace: &&FoundTrace| {
        bytes += trace.bytes();
        bytes <= FIRST_TRACES_BYTES_MAX
    };
    &traces[..traces.iter().take_while(is_small).count()]
}

/// The beginning of an answer, with these traces.
fn encode_together(
    traces: &[FoundTrace],
    encoding: Encoding,
    threads: &Threads,
) -> Result<Vec<u8>, QueryError> {
    let tasks: Vec<&[FoundTrace]> = traces.chunks(TRACES_PER_TASK).collect();
    let next = AtomicUsize::new(0);
    let parts = on_threads(threads, tasks.len(), |help| {
        help.call();
        let mut encoded = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(task) = tasks.get(number) else {
                return Ok::<_, QueryError>(encoded);
            };
            let mut encoder = match number {
                0 => SearchEncoder::new(encoding),
                _ => SearchEncoder::behind(encoding),
            };
            task.iter().for_each(|trace| write(&mut encoder, trace));
            encoded.push((number, encoder.take()));
        }
    })?;
    let mut parts: Vec<(usize, Vec<u8>)> = parts.into_iter().flatten().collect();
    parts.sort_unstable_by_key(|(number, _)| *number);
    let mut piece = Vec::with_capacity(parts.iter().map(|(_, bytes)| bytes.len()).sum());
    parts.iter().for_each(|(_, bytes)| piece.extend_from_slice(bytes));
    Ok(piece)
}

impl Encode for FoundTraces {
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        if let Some(mut piece) = self.first_piece.take() {
            if self.traces.len() == 0 && piece.len() < PIECE_BYTES_MIN {
                piece.extend(self.encoder.take()?.finish(&self.metrics));
            }
            return Some(piece);
        }
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
        let traces = self.traces.as_slice().iter().map(FoundTrace::bytes);
        self.first_piece_bytes + traces.sum::<usize>()
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

#[cfg(test)]
mod tests;
