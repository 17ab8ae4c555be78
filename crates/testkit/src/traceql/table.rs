//! Plain spans to the table that a store is given.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use prost::Message as _;
use suyuan_model::{AttributeOwner, Chunk, EventHead, LinkHead, SpanHead, TableBuilder};

use super::span::{RefAttributes, RefSpan, RefValue};

/// One chunk of all the spans, in their order.
pub fn chunk(spans: &[RefSpan]) -> Chunk {
    let mut table = TableBuilder::default();
    for span in spans {
        push_span(&mut table, span);
    }
    table.freeze()
}

/// By this one of two copies of a span stands that end at the same time: the greater one.
pub fn content_hash(span: &RefSpan) -> u64 {
    suyuan_wire::answer::content_hash(&chunk(std::slice::from_ref(span)), 0)
}

fn push_span(table: &mut TableBuilder, span: &RefSpan) {
    let resource = resource(table, &span.resource);
    let scope = scope(table, span);
    push_all(table, AttributeOwner::Span, &span.attributes);
    for event in &span.events {
        push_all(table, AttributeOwner::Event, &event.attributes);
        table.finish_event(EventHead {
            time_unix_nanos: event.time_unix_nanos,
            name: event.name.as_bytes(),
            dropped_attributes: 0,
        });
    }
    for link in &span.links {
        push_all(table, AttributeOwner::Link, &link.attributes);
        table.finish_link(LinkHead {
            trace_id: &link.trace_id,
            span_id: &link.span_id,
            ..LinkHead::default()
        });
    }
    table.finish_span(&SpanHead {
        trace_id: span.trace_id.to_be_bytes(),
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        start_unix_nanos: span.start_unix_nanos,
        end_unix_nanos: span.end_unix_nanos,
        name: span.name.as_bytes(),
        kind: span.kind,
        status_code: span.status_code,
        status_message: span.status_message.as_bytes(),
        resource,
        scope,
        ..SpanHead::default()
    });
}

fn resource(table: &mut TableBuilder, attributes: &RefAttributes) -> u32 {
    // What it says stands for the bytes in which it was sent.
    let message = format!("{attributes:?}");
    if let Some(resource) = table.find_resource(message.as_bytes(), b"") {
        return resource;
    }
    push_all(table, AttributeOwner::Resource, attributes);
    table.finish_resource(message.as_bytes(), b"", 0, b"")
}

fn scope(table: &mut TableBuilder, span: &RefSpan) -> u32 {
    let message = format!("{:?}", (&span.scope_name, &span.scope_version, &span.scope_attributes));
    if let Some(scope) = table.find_scope(message.as_bytes(), b"") {
        return scope;
    }
    push_all(table, AttributeOwner::Scope, &span.scope_attributes);
    let (name, version) = (span.scope_name.as_bytes(), span.scope_version.as_bytes());
    table.finish_scope(message.as_bytes(), b"", name, version, 0)
}

fn push_all(table: &mut TableBuilder, owner: AttributeOwner, attributes: &RefAttributes) {
    for (key, value) in attributes {
        let key = key.as_bytes();
        match value {
            RefValue::Empty => table.push_empty(owner, key),
            RefValue::Text(text) => table.push_string(owner, key, text.as_bytes()),
            RefValue::Bool(value) => table.push_bool(owner, key, *value),
            RefValue::Int(value) => table.push_int(owner, key, *value),
            RefValue::Double(value) => table.push_double(owner, key, *value),
            RefValue::Bytes(bytes) => table.push_bytes(owner, key, bytes),
            RefValue::Array(_) | RefValue::Map(_) => match any_value(value).value {
                Some(Value::ArrayValue(list)) => {
                    table.push_array(owner, key, &list.encode_to_vec());
                }
                Some(Value::KvlistValue(map)) => table.push_map(owner, key, &map.encode_to_vec()),
                _ => unreachable!("arrays and maps stay what they are"),
            },
        }
    }
}

fn any_value(value: &RefValue) -> AnyValue {
    let value = match value {
        RefValue::Empty => return AnyValue { value: None },
        RefValue::Text(text) => Value::StringValue(text.clone()),
        RefValue::Bool(value) => Value::BoolValue(*value),
        RefValue::Int(value) => Value::IntValue(*value),
        RefValue::Double(value) => Value::DoubleValue(*value),
        RefValue::Bytes(bytes) => Value::BytesValue(bytes.clone()),
        RefValue::Array(values) => {
            Value::ArrayValue(ArrayValue { values: values.iter().map(any_value).collect() })
        }
        RefValue::Map(attributes) => {
            let values = attributes.iter().map(|(key, value)| KeyValue {
                key: key.clone(),
                value: Some(any_value(value)),
                key_strindex: 0,
            });
            Value::KvlistValue(KeyValueList { values: values.collect() })
        }
    };
    AnyValue { value: Some(value) }
}
