//! A search's answer in JSON: zeros and empty texts left out, 64-bit numbers as strings, `traces`
//! and `metrics` always there.

use suyuan_model::ValueRef;

use super::{SearchMetrics, ServiceShown, SpanShown, TraceHead};
use crate::answer::json_value;
use crate::answer::json_writer::JsonWriter;

#[derive(Debug)]
pub(super) struct JsonSink {
    json: JsonWriter,
}

impl JsonSink {
    pub(super) fn begin() -> Self {
        Self { json: JsonWriter::begin(br#"{"traces":["#) }
    }

    pub(super) fn behind() -> Self {
        Self { json: JsonWriter::behind() }
    }

    pub(super) fn trace<'a, A: Iterator<Item = (&'a str, ValueRef<'a>)>>(
        &mut self,
        head: &TraceHead<'_>,
        spans: impl Iterator<Item = SpanShown<'a, A>>,
        services: impl Iterator<Item = ServiceShown<'a>>,
    ) {
        let json = &mut self.json;
        json.open_object();
        json.key("traceID");
        json.text(head.id.to_string().trim_start_matches('0'));
        json.key("rootServiceName");
        json.text(head.root_service());
        text(json, "rootTraceName", head.root_name.unwrap_or_default());
        json.wide_unless_zero("startTimeUnixNano", head.start_unix_nanos as u64);
        json.narrow_unless_zero("durationMs", head.duration_ms());
        json.key("spanSet");
        let set_start = json.n_bytes();
        span_set(json, head, spans);
        let set = set_start..json.n_bytes();
        json.key("spanSets");
        json.open_list();
        json.repeat(set);
        json.close_list();
        service_stats(json, services);
        json.close_object();
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.json.n_bytes()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.json.take()
    }

    pub(super) fn finish(self, metrics: &SearchMetrics) -> Vec<u8> {
        let mut json = self.json;
        json.close_list();
        json.key("metrics");
        json.open_object();
        json.narrow_unless_zero("inspectedTraces", metrics.inspected_traces);
        json.wide_unless_zero("inspectedBytes", metrics.inspected_bytes);
        json.narrow_unless_zero("completedJobs", metrics.completed_jobs);
        json.narrow_unless_zero("totalJobs", metrics.total_jobs);
        json.wide_unless_zero("inspectedSpans", metrics.inspected_spans);
        json.close_object();
        json.close_object();
        json.into_bytes()
    }
}

fn span_set<'a, A: Iterator<Item = (&'a str, ValueRef<'a>)>>(
    json: &mut JsonWriter,
    head: &TraceHead<'_>,
    spans: impl Iterator<Item = SpanShown<'a, A>>,
) {
    json.open_object();
    json.key("spans");
    json.open_list();
    for span in spans {
        json.open_object();
        json.key("spanID");
        json.text(&span.id.to_string());
        text(json, "name", span.name.unwrap_or_default());
        json.wide_unless_zero("startTimeUnixNano", span.start_unix_nanos as u64);
        json.wide_unless_zero("durationNanos", span.duration_nanos);
        attributes(json, span.attributes);
        json.close_object();
    }
    json.close_list();
    json.narrow_unless_zero("matched", head.n_matched());
    json.close_object();
}

fn attributes<'a>(
    json: &mut JsonWriter,
    attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>,
) {
    let mut attributes = attributes.peekable();
    if attributes.peek().is_none() {
        return;
    }
    json.key("attributes");
    json.open_list();
    for (key, value) in attributes {
        json.open_object();
        text(json, "key", key);
        json.key("value");
        json_value::write(json, value);
        json.close_object();
    }
    json.close_list();
}

fn service_stats<'a>(json: &mut JsonWriter, services: impl Iterator<Item = ServiceShown<'a>>) {
    let mut services = services.peekable();
    if services.peek().is_none() {
        return;
    }
    json.key("serviceStats");
    json.open_object();
    for service in services {
        json.text_key(service.name);
        json.open_object();
        json.narrow_unless_zero("spanCount", service.n_spans);
        json.narrow_unless_zero("errorCount", service.n_errors);
        json.close_object();
    }
    json.close_object();
}

fn text(json: &mut JsonWriter, key: &str, text: &str) {
    if !text.is_empty() {
        json.key(key);
        json.text(text);
    }
}
