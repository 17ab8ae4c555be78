//! Spans for examples: small builders, and one span in which every field of OTLP says something.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};

/// When the sample spans start, in nanoseconds since 1970: 2026-01-02 03:04:05 UTC.
pub const START_UNIX_NANOS: u64 = 1_767_323_045_000_000_000;

/// An attribute with a value of any type.
pub fn attribute(key: &str, value: impl Into<AnyValue>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value.into()), key_strindex: 0 }
}

/// A string value.
pub fn text(text: &str) -> AnyValue {
    value(Value::StringValue(text.to_owned()))
}

/// A value of any type.
pub fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// A list of values.
pub fn list(values: Vec<AnyValue>) -> AnyValue {
    value(Value::ArrayValue(ArrayValue { values }))
}

/// A map of values.
pub fn map(values: Vec<KeyValue>) -> AnyValue {
    value(Value::KvlistValue(KeyValueList { values }))
}

/// The trace id that ends in `n`.
pub fn trace_id(n: u64) -> Vec<u8> {
    [[0x5a; 8], n.to_be_bytes()].concat()
}

/// The span id `n`.
pub fn span_id(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// A root span of one second with nothing but ids, a name and times.
pub fn plain_span(trace: u64, span: u64) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(span),
        name: "plain".to_owned(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: START_UNIX_NANOS,
        end_time_unix_nano: START_UNIX_NANOS + 1_000_000_000,
        ..Span::default()
    }
}

/// A child of a second, in which every field of a span is filled, every attribute type occurs, a
/// key stands there twice, and text is not only ASCII.
pub fn full_span(trace: u64, span: u64, parent: u64) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(span),
        trace_state: "suyuan=t61rcWkgMzE,other=1".to_owned(),
        parent_span_id: span_id(parent),
        flags: 0x301,
        name: "付款 POST /pay/{order}".to_owned(),
        kind: SpanKind::Client as i32,
        start_time_unix_nano: START_UNIX_NANOS,
        end_time_unix_nano: START_UNIX_NANOS + 1_000_000_001,
        attributes: attributes_of_every_type(),
        dropped_attributes_count: 3,
        events: vec![
            Event {
                time_unix_nano: START_UNIX_NANOS + 5,
                name: "exception".to_owned(),
                attributes: vec![
                    attribute("exception.type", text("CardError")),
                    attribute("exception.stacktrace", text("at pay()\n\tat main()\n")),
                ],
                dropped_attributes_count: 1,
            },
            Event { time_unix_nano: START_UNIX_NANOS + 4, ..Event::default() },
        ],
        dropped_events_count: 4,
        links: vec![Link {
            trace_id: trace_id(99),
            span_id: span_id(98),
            trace_state: "linked=yes".to_owned(),
            attributes: vec![attribute("link.reason", text("retry"))],
            dropped_attributes_count: 2,
            flags: 0x100,
        }],
        dropped_links_count: 5,
        status: Some(Status {
            message: "card declined: “no funds”".to_owned(),
            code: StatusCode::Error as i32,
        }),
    }
}

/// One attribute of every type and of every edge that a type has.
pub fn attributes_of_every_type() -> Vec<KeyValue> {
    vec![
        attribute("text", text("quotes \" \\ and \u{1f600}")),
        attribute("text.empty", text("")),
        attribute("text.nul", text("before\0after")),
        attribute("bool.true", value(Value::BoolValue(true))),
        attribute("bool.false", value(Value::BoolValue(false))),
        attribute("int.least", value(Value::IntValue(i64::MIN))),
        attribute("int.greatest", value(Value::IntValue(i64::MAX))),
        attribute("int.zero", value(Value::IntValue(0))),
        attribute("double", value(Value::DoubleValue(0.1 + 0.2))),
        attribute("double.long", value(Value::DoubleValue(9.109_383_713_9e-31))),
        attribute("double.negative_zero", value(Value::DoubleValue(-0.0))),
        attribute("double.infinite", value(Value::DoubleValue(f64::NEG_INFINITY))),
        attribute("double.nan", value(Value::DoubleValue(f64::NAN))),
        attribute("bytes", value(Value::BytesValue(vec![0, 0xff, 0x80, 7]))),
        attribute("bytes.empty", value(Value::BytesValue(Vec::new()))),
        attribute("list", list(vec![text("a"), value(Value::IntValue(1)), list(Vec::new())])),
        attribute(
            "map",
            map(vec![
                attribute("inner", text("value")),
                attribute("inner", value(Value::BoolValue(false))),
                attribute("deeper", map(vec![attribute("list", list(vec![text("")]))])),
            ]),
        ),
        attribute("nothing", AnyValue { value: None }),
        attribute("twice", text("first")),
        attribute("twice", value(Value::IntValue(2))),
        attribute("", text("a key without a name")),
    ]
}

/// The resource that the sample spans come from.
pub fn resource(service_name: &str) -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", text(service_name)),
            attribute("service.namespace", text("shop")),
            attribute("process.pid", value(Value::IntValue(4711))),
        ],
        dropped_attributes_count: 7,
        entity_refs: vec![EntityRef {
            schema_url: "https://opentelemetry.io/schemas/1.38.0".to_owned(),
            r#type: "service".to_owned(),
            id_keys: vec!["service.name".to_owned(), "service.namespace".to_owned()],
            description_keys: vec!["process.pid".to_owned()],
        }],
    }
}

/// The scope that the sample spans come from.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "shop.payment".to_owned(),
        version: "1.4.2".to_owned(),
        attributes: vec![attribute("scope.kind", text("library"))],
        dropped_attributes_count: 6,
    }
}

/// A request of one resource and one scope, both with schema URLs.
pub fn request(service_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = ScopeSpans {
        scope: Some(scope()),
        spans,
        schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource(service_name)),
        scope_spans: vec![scope_spans],
        schema_url: "https://opentelemetry.io/schemas/1.36.0".to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// The same groups as a trace.
pub fn traces_data(request: ExportTraceServiceRequest) -> TracesData {
    TracesData { resource_spans: request.resource_spans }
}
