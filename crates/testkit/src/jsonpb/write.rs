//! A request as OTLP JSON: ids in hexadecimal, 64-bit integers as strings, enumerations as
//! numbers, empty fields left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::json::write_string;

/// Writes a request as an exporter would.
pub fn write_otlp(request: &ExportTraceServiceRequest) -> String {
    let mut out = String::new();
    Object::in_braces(&mut out, |object| {
        object.list("resourceSpans", &request.resource_spans, resource_spans);
    });
    out
}

/// An object being written: it knows whether the next member needs a comma.
struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    fn in_braces(out: &mut String, write: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        write(&mut Object { out, is_empty: true });
        out.push('}');
    }

    fn member(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        write_string(self.out, name);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_string(self.member(name), text);
        }
    }

    fn id(&mut self, name: &str, id: &[u8]) {
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(name, &digits);
    }

    fn narrow(&mut self, name: &str, number: impl Into<i64>) {
        let number = number.into();
        if number != 0 {
            self.member(name).push_str(&number.to_string());
        }
    }

    fn wide(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.text(name, &number.to_string());
        }
    }

    fn object<T>(&mut self, name: &str, value: &Option<T>, write: fn(&mut Object<'_>, &T)) {
        if let Some(value) = value {
            Object::in_braces(self.member(name), |object| write(object, value));
        }
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        if texts.is_empty() {
            return;
        }
        let out = self.member(name);
        out.push('[');
        for (at, text) in texts.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_string(out, text);
        }
        out.push(']');
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: fn(&mut Object<'_>, &T)) {
        if !items.is_empty() {
            write_list(self.member(name), items, write);
        }
    }
}

fn write_list<T>(out: &mut String, items: &[T], write: fn(&mut Object<'_>, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        Object::in_braces(out, |object| write(object, item));
    }
    out.push(']');
}

fn resource_spans(object: &mut Object<'_>, value: &ResourceSpans) {
    object.object("resource", &value.resource, resource);
    object.list("scopeSpans", &value.scope_spans, scope_spans);
    object.text("schemaUrl", &value.schema_url);
}

fn resource(object: &mut Object<'_>, value: &Resource) {
    object.list("attributes", &value.attributes, key_value);
    object.narrow("droppedAttributesCount", value.dropped_attributes_count);
    object.list("entityRefs", &value.entity_refs, entity_ref);
}

fn entity_ref(object: &mut Object<'_>, value: &EntityRef) {
    object.text("schemaUrl", &value.schema_url);
    object.text("type", &value.r#type);
    object.texts("idKeys", &value.id_keys);
    object.texts("descriptionKeys", &value.description_keys);
}

fn scope_spans(object: &mut Object<'_>, value: &ScopeSpans) {
    object.object("scope", &value.scope, scope);
    object.list("spans", &value.spans, span);
    object.text("schemaUrl", &value.schema_url);
}

fn scope(object: &mut Object<'_>, value: &InstrumentationScope) {
    object.text("name", &value.name);
    object.text("version", &value.version);
    object.list("attributes", &value.attributes, key_value);
    object.narrow("droppedAttributesCount", value.dropped_attributes_count);
}

fn span(object: &mut Object<'_>, value: &Span) {
    object.id("traceId", &value.trace_id);
    object.id("spanId", &value.span_id);
    object.text("traceState", &value.trace_state);
    object.id("parentSpanId", &value.parent_span_id);
    object.narrow("flags", value.flags);
    object.text("name", &value.name);
    object.narrow("kind", value.kind);
    object.wide("startTimeUnixNano", value.start_time_unix_nano);
    object.wide("endTimeUnixNano", value.end_time_unix_nano);
    object.list("attributes", &value.attributes, key_value);
    object.narrow("droppedAttributesCount", value.dropped_attributes_count);
    object.list("events", &value.events, event);
    object.narrow("droppedEventsCount", value.dropped_events_count);
    object.list("links", &value.links, link);
    object.narrow("droppedLinksCount", value.dropped_links_count);
    object.object("status", &value.status, status);
}

fn event(object: &mut Object<'_>, value: &Event) {
    object.wide("timeUnixNano", value.time_unix_nano);
    object.text("name", &value.name);
    object.list("attributes", &value.attributes, key_value);
    object.narrow("droppedAttributesCount", value.dropped_attributes_count);
}

fn link(object: &mut Object<'_>, value: &Link) {
    object.id("traceId", &value.trace_id);
    object.id("spanId", &value.span_id);
    object.text("traceState", &value.trace_state);
    object.list("attributes", &value.attributes, key_value);
    object.narrow("droppedAttributesCount", value.dropped_attributes_count);
    object.narrow("flags", value.flags);
}

fn status(object: &mut Object<'_>, value: &Status) {
    object.text("message", &value.message);
    object.narrow("code", value.code);
}

fn key_value(object: &mut Object<'_>, value: &KeyValue) {
    object.text("key", &value.key);
    object.object("value", &value.value, any_value);
}

/// Unlike other fields, the chosen member of a value is written also when it is empty: it says
/// which type the value has.
fn any_value(object: &mut Object<'_>, value: &AnyValue) {
    let Some(value) = &value.value else { return };
    match value {
        Value::StringValue(text) => write_string(object.member("stringValue"), text),
        Value::BoolValue(value) => object.member("boolValue").push_str(&value.to_string()),
        Value::IntValue(number) => {
            write_string(object.member("intValue"), &number.to_string());
        }
        Value::DoubleValue(number) => write_double(object.member("doubleValue"), *number),
        Value::BytesValue(bytes) => {
            write_string(object.member("bytesValue"), &BASE64.encode(bytes));
        }
        Value::ArrayValue(array) => {
            Object::in_braces(object.member("arrayValue"), |inner| {
                inner.list("values", &array.values, any_value);
            });
        }
        Value::KvlistValue(pairs) => {
            Object::in_braces(object.member("kvlistValue"), |inner| {
                inner.list("values", &pairs.values, key_value);
            });
        }
        Value::StringValueStrindex(_) => panic!("an index into profile strings is no trace value"),
    }
}

fn write_double(out: &mut String, number: f64) {
    if number.is_nan() {
        write_string(out, "NaN");
    } else if number.is_infinite() {
        write_string(out, if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        out.push_str(&format!("{number:?}"));
    }
}
