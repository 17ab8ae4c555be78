//! Requests in OTLP protobuf, as an exporter writes them.
//!
//! In: spans of any processes. Out: the bytes of one `ExportTraceServiceRequest`. Lengths are as
//! short as they can be, as SDKs write them (`suyuan_wire`'s writer pads them), and default values are
//! left out. Resources and scopes are encoded once.

use super::Shop;
use super::span::{Attribute, Event, Link, Span, Status, Text, Value, by_process};

/// Writes the requests of one shop.
#[derive(Debug)]
pub struct ProtobufEncoder {
    /// Field 1 and 3 of `ResourceSpans` for each instance.
    resources: Vec<(Vec<u8>, Vec<u8>)>,
    /// Field 1 and 3 of `ScopeSpans` for each scope.
    scopes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ProtobufEncoder {
    pub fn new(shop: &Shop) -> Self {
        let resources = shop.instances().iter().map(|instance| {
            let mut resource = Vec::new();
            nested(&mut resource, 1, |out| attributes(out, 1, &instance.attributes));
            let mut schema_url = Vec::new();
            text(&mut schema_url, 3, super::service::SCHEMA_URL);
            (resource, schema_url)
        });
        let scopes = shop.scopes().iter().map(|scope| {
            let mut body = Vec::new();
            nested(&mut body, 1, |out| {
                text(out, 1, scope.name);
                text(out, 2, scope.version);
            });
            let mut schema_url = Vec::new();
            text(&mut schema_url, 3, scope.schema_url);
            (body, schema_url)
        });
        Self { resources: resources.collect(), scopes: scopes.collect() }
    }

    /// One request with all of `spans`.
    pub fn request(&self, spans: &[Span]) -> Vec<u8> {
        let sorted = by_process(spans);
        let mut request = Vec::with_capacity(spans.len() * 450);
        for process in sorted.chunk_by(|a, b| a.instance == b.instance) {
            let (resource, schema_url) = &self.resources[usize::from(process[0].instance)];
            nested(&mut request, 1, |out| {
                out.extend_from_slice(resource);
                for scope in process.chunk_by(|a, b| a.scope == b.scope) {
                    nested(out, 2, |out| self.scope_spans(out, scope));
                }
                out.extend_from_slice(schema_url);
            });
        }
        request
    }

    fn scope_spans(&self, out: &mut Vec<u8>, spans: &[&Span]) {
        let (scope, schema_url) = &self.scopes[usize::from(spans[0].scope)];
        out.extend_from_slice(scope);
        for span in spans {
            nested(out, 2, |out| write_span(out, span));
        }
        out.extend_from_slice(schema_url);
    }
}

fn write_span(out: &mut Vec<u8>, span: &Span) {
    bytes(out, 1, span.trace_id.as_bytes());
    bytes(out, 2, span.span_id.as_bytes());
    text(out, 3, span.trace_state);
    if let Some(parent) = span.parent_span_id {
        bytes(out, 4, parent.as_bytes());
    }
    text(out, 5, &span.name);
    number(out, 6, span.kind as u64);
    fixed64(out, 7, span.start_unix_nanos);
    fixed64(out, 8, span.end_unix_nanos);
    attributes(out, 9, &span.attributes);
    for event in &span.events {
        nested(out, 11, |out| write_event(out, event));
    }
    for link in &span.links {
        nested(out, 13, |out| write_link(out, link));
    }
    match &span.status {
        Status::Unset => {}
        Status::Ok => nested(out, 15, |out| number(out, 3, 1)),
        Status::Error(message) => nested(out, 15, |out| {
            text(out, 2, message);
            number(out, 3, 2);
        }),
    }
    fixed32(out, 16, span.flags);
}

fn write_event(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, 1, event.time_unix_nanos);
    text(out, 2, event.name);
    attributes(out, 3, &event.attributes);
}

fn write_link(out: &mut Vec<u8>, link: &Link) {
    bytes(out, 1, link.trace_id.as_bytes());
    bytes(out, 2, link.span_id.as_bytes());
    text(out, 3, link.trace_state);
    attributes(out, 4, &link.attributes);
    fixed32(out, 6, link.flags);
}

fn attributes(out: &mut Vec<u8>, field: u32, attributes: &[Attribute]) {
    for attribute in attributes {
        nested(out, field, |out| {
            text(out, 1, attribute.key);
            nested(out, 2, |out| write_value(out, &attribute.value));
        });
    }
}

/// Inside the `oneof` a default is a value, so nothing is left out here.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => bytes(out, 1, text.as_bytes()),
        Value::Bool(truth) => number(out, 2, u64::from(*truth)),
        Value::Int(integer) => number(out, 3, *integer as u64),
        Value::Double(double) => fixed64(out, 4, double.to_bits()),
        Value::Texts(texts) => nested(out, 5, |out| write_array(out, texts)),
    }
}

fn write_array(out: &mut Vec<u8>, texts: &[Text]) {
    for text in texts {
        nested(out, 1, |out| bytes(out, 1, text.as_bytes()));
    }
}

/// Writes a message whose length is known afterwards: one byte is left for it, and a longer
/// length pushes the message aside.
fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, 2);
    let start = out.len();
    out.push(0);
    write(out);
    let len = out.len() - start - 1;
    if len < 0x80 {
        out[start] = len as u8;
        return;
    }
    let (length, n_bytes) = length_bytes(len as u64);
    out.splice(start..=start, length[..n_bytes].iter().copied());
}

fn length_bytes(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut n_bytes = 0;
    while value >= 0x80 {
        bytes[n_bytes] = value as u8 | 0x80;
        value >>= 7;
        n_bytes += 1;
    }
    bytes[n_bytes] = value as u8;
    (bytes, n_bytes + 1)
}

fn varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let (bytes, n_bytes) = length_bytes(value);
    out.extend_from_slice(&bytes[..n_bytes]);
}

fn key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, 0);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    key(out, field, 5);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Empty text is the default and left out.
fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}
