//! Requests in OTLP JSON, as browsers and some SDKs write them.
//!
//! In: spans of any processes. Out: the text of one `ExportTraceServiceRequest`: ids in
//! hexadecimal, 64-bit integers as text, enums as numbers. Resources and scopes are encoded once.

use std::io::Write;

use super::Shop;
use super::span::{Attribute, Event, Link, Span, Status, Value, by_process};

/// Writes the requests of one shop.
#[derive(Debug)]
pub struct JsonEncoder {
    /// `"resource":{...},"schemaUrl":"..."` for each instance.
    resources: Vec<Vec<u8>>,
    /// `"scope":{...}` and, if there is one, `"schemaUrl":"..."` for each scope.
    scopes: Vec<Vec<u8>>,
}

impl JsonEncoder {
    pub fn new(shop: &Shop) -> Self {
        let resources = shop.instances().iter().map(|instance| {
            let mut out = br#""resource":{"#.to_vec();
            attributes(&mut out, &instance.attributes);
            out.extend_from_slice(b"},\"schemaUrl\":");
            text(&mut out, super::service::SCHEMA_URL);
            out
        });
        let scopes = shop.scopes().iter().map(|scope| {
            let mut out = br#""scope":{"name":"#.to_vec();
            text(&mut out, scope.name);
            out.extend_from_slice(b",\"version\":");
            text(&mut out, scope.version);
            out.push(b'}');
            if !scope.schema_url.is_empty() {
                out.extend_from_slice(b",\"schemaUrl\":");
                text(&mut out, scope.schema_url);
            }
            out
        });
        Self { resources: resources.collect(), scopes: scopes.collect() }
    }

    /// One request with all of `spans`.
    pub fn request(&self, spans: &[Span]) -> Vec<u8> {
        let sorted = by_process(spans);
        let mut out = Vec::with_capacity(spans.len() * 900);
        out.extend_from_slice(br#"{"resourceSpans":["#);
        list(&mut out, sorted.chunk_by(|a, b| a.instance == b.instance), |out, process| {
            out.push(b'{');
            out.extend_from_slice(&self.resources[usize::from(process[0].instance)]);
            out.extend_from_slice(br#","scopeSpans":["#);
            list(out, process.chunk_by(|a, b| a.scope == b.scope), |out, scope| {
                out.push(b'{');
                out.extend_from_slice(&self.scopes[usize::from(scope[0].scope)]);
                out.extend_from_slice(br#","spans":["#);
                list(out, scope, |out, span| write_span(out, span));
                out.extend_from_slice(b"]}");
            });
            out.extend_from_slice(b"]}");
        });
        out.extend_from_slice(b"]}");
        out
    }
}

fn write_span(out: &mut Vec<u8>, span: &Span) {
    print(out, format_args!(r#"{{"traceId":"{}","spanId":"{}""#, span.trace_id, span.span_id));
    trace_state(out, span.trace_state);
    if let Some(parent) = span.parent_span_id {
        print(out, format_args!(r#","parentSpanId":"{parent}""#));
    }
    print(out, format_args!(r#","flags":{},"name":"#, span.flags));
    text(out, &span.name);
    let (start, end) = (span.start_unix_nanos, span.end_unix_nanos);
    print(
        out,
        format_args!(
            r#","kind":{},"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","#,
            span.kind as u8
        ),
    );
    attributes(out, &span.attributes);
    if !span.events.is_empty() {
        out.extend_from_slice(br#","events":["#);
        list(out, &span.events, write_event);
        out.push(b']');
    }
    if !span.links.is_empty() {
        out.extend_from_slice(br#","links":["#);
        list(out, &span.links, write_link);
        out.push(b']');
    }
    match &span.status {
        Status::Unset => {}
        Status::Ok => out.extend_from_slice(br#","status":{"code":1}"#),
        Status::Error(message) => {
            out.extend_from_slice(br#","status":{"message":"#);
            text(out, message);
            out.extend_from_slice(br#","code":2}"#);
        }
    }
    out.push(b'}');
}

fn write_event(out: &mut Vec<u8>, event: &Event) {
    print(out, format_args!(r#"{{"timeUnixNano":"{}","name":"#, event.time_unix_nanos));
    text(out, event.name);
    out.push(b',');
    attributes(out, &event.attributes);
    out.push(b'}');
}

fn write_link(out: &mut Vec<u8>, link: &Link) {
    print(out, format_args!(r#"{{"traceId":"{}","spanId":"{}""#, link.trace_id, link.span_id));
    trace_state(out, link.trace_state);
    print(out, format_args!(r#","flags":{},"#, link.flags));
    attributes(out, &link.attributes);
    out.push(b'}');
}

fn trace_state(out: &mut Vec<u8>, trace_state: &str) {
    if !trace_state.is_empty() {
        out.extend_from_slice(br#","traceState":"#);
        text(out, trace_state);
    }
}

fn attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    out.extend_from_slice(br#""attributes":["#);
    list(out, attributes, |out, attribute| {
        out.extend_from_slice(br#"{"key":"#);
        text(out, attribute.key);
        out.extend_from_slice(br#","value":"#);
        write_value(out, &attribute.value);
        out.push(b'}');
    });
    out.push(b']');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(value) => {
            out.extend_from_slice(br#"{"stringValue":"#);
            text(out, value);
        }
        Value::Int(value) => print(out, format_args!(r#"{{"intValue":"{value}""#)),
        Value::Double(value) => print(out, format_args!(r#"{{"doubleValue":{value:?}"#)),
        Value::Bool(value) => print(out, format_args!(r#"{{"boolValue":{value}"#)),
        Value::Texts(values) => {
            out.extend_from_slice(br#"{"arrayValue":{"values":["#);
            list(out, values, |out, value| {
                out.extend_from_slice(br#"{"stringValue":"#);
                text(out, value);
                out.push(b'}');
            });
            out.extend_from_slice(b"]}");
        }
    }
    out.push(b'}');
}

/// Writes `items` with commas between them.
fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string has a JSON form, and a Vec takes all of it");
}

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a Vec takes everything");
}
