//! A search's answer in protobuf: fields of `tempopb.SearchResponse`, one trace after another.

use suyuan_model::ValueRef;

use super::{SearchMetrics, ServiceShown, SpanShown, TraceHead};
use crate::key_value;
use crate::protobuf::Writer;

#[derive(Debug, Default)]
pub(super) struct ProtobufSink {
    writer: Writer,
    /// The span set, which stands in a trace twice.
    set: Writer,
    /// The trace that is being written.
    trace: Writer,
}

impl ProtobufSink {
    pub(super) fn trace<'a, A: Iterator<Item = (&'a str, ValueRef<'a>)>>(
        &mut self,
        head: &TraceHead<'_>,
        spans: impl Iterator<Item = SpanShown<'a, A>>,
        services: impl Iterator<Item = ServiceShown<'a>>,
    ) {
        self.set.clear();
        for span in spans {
            self.set.message(1, |w| write_span(w, span));
        }
        number(&mut self.set, 2, head.n_matched().into());

        let trace = &mut self.trace;
        trace.clear();
        trace.bytes(1, head.id.to_string().trim_start_matches('0').as_bytes());
        trace.bytes(2, head.root_service().as_bytes());
        text(trace, 3, head.root_name.unwrap_or_default());
        number(trace, 4, head.start_unix_nanos as u64);
        number(trace, 5, head.duration_ms().into());
        trace.bytes(6, self.set.as_bytes());
        trace.bytes(7, self.set.as_bytes());
        for service in services {
            trace.message(8, |w| {
                w.bytes(1, service.name.as_bytes());
                w.message(2, |w| {
                    number(w, 1, service.n_spans.into());
                    number(w, 2, service.n_errors.into());
                });
            });
        }
        self.writer.bytes(1, trace.as_bytes());
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.writer.as_bytes().len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.writer).into_bytes()
    }

    pub(super) fn finish(mut self, metrics: &SearchMetrics) -> Vec<u8> {
        self.writer.message(2, |w| {
            number(w, 1, metrics.inspected_traces.into());
            number(w, 2, metrics.inspected_bytes);
            number(w, 4, metrics.completed_jobs.into());
            number(w, 5, metrics.total_jobs.into());
            number(w, 7, metrics.inspected_spans);
        });
        self.writer.into_bytes()
    }
}

fn write_span<'a, A: Iterator<Item = (&'a str, ValueRef<'a>)>>(
    writer: &mut Writer,
    span: SpanShown<'a, A>,
) {
    writer.bytes(1, span.id.to_string().as_bytes());
    text(writer, 2, span.name.unwrap_or_default());
    number(writer, 3, span.start_unix_nanos as u64);
    number(writer, 4, span.duration_nanos);
    for (key, value) in span.attributes {
        key_value::append(writer, 5, key, value);
    }
}

fn text(writer: &mut Writer, field: u32, text: &str) {
    if !text.is_empty() {
        writer.bytes(field, text.as_bytes());
    }
}

fn number(writer: &mut Writer, field: u32, value: u64) {
    if value != 0 {
        writer.varint(field, value);
    }
}
