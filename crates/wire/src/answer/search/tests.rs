//! What a search's answer looks like, to the letter, and that protobuf says the same as JSON.

use std::collections::BTreeMap;

use expect_test::expect;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message as _;

use super::*;

/// Tempo's messages (`tempo.md 1.4`), for reading back.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    traces: Vec<TraceMetadata>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<Metrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TraceMetadata {
    #[prost(string, tag = "1")]
    trace_id: String,
    #[prost(string, tag = "2")]
    root_service_name: String,
    #[prost(string, tag = "3")]
    root_trace_name: String,
    #[prost(uint64, tag = "4")]
    start_time_unix_nano: u64,
    #[prost(uint32, tag = "5")]
    duration_ms: u32,
    #[prost(message, optional, tag = "6")]
    span_set: Option<SpanSet>,
    #[prost(message, repeated, tag = "7")]
    span_sets: Vec<SpanSet>,
    #[prost(btree_map = "string, message", tag = "8")]
    service_stats: BTreeMap<String, Stats>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpanSet {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
    #[prost(uint32, tag = "2")]
    matched: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(string, tag = "1")]
    span_id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    start_time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    duration_nanos: u64,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Stats {
    #[prost(uint32, tag = "1")]
    span_count: u32,
    #[prost(uint32, tag = "2")]
    error_count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metrics {
    #[prost(uint32, tag = "1")]
    inspected_traces: u32,
    #[prost(uint64, tag = "2")]
    inspected_bytes: u64,
    #[prost(uint32, tag = "4")]
    completed_jobs: u32,
    #[prost(uint32, tag = "5")]
    total_jobs: u32,
    #[prost(uint64, tag = "7")]
    inspected_spans: u64,
}

const METRICS: SearchMetrics = SearchMetrics {
    inspected_traces: 7,
    inspected_bytes: 1 << 40,
    inspected_spans: 9,
    total_jobs: 3,
    completed_jobs: 3,
};

fn head(id: u128) -> TraceHead<'static> {
    TraceHead {
        id: TraceId::from_bytes(id.to_be_bytes()),
        root_service: Some("gateway"),
        root_name: Some("GET /<cart>"),
        start_unix_nanos: 1_684_778_327_699_392_724,
        duration_nanos: 557_999_999,
        n_matched: 2,
    }
}

const ATTRIBUTES: [(&str, ValueRef<'static>); 4] = [
    ("cached", ValueRef::Bool(false)),
    ("http.status_code", ValueRef::Int(500)),
    ("ratio", ValueRef::Double(0.5)),
    ("status", ValueRef::String("error")),
];

fn span(
    id: u64,
    name: Option<&'static str>,
    attributes: &'static [(&'static str, ValueRef<'static>)],
) -> SpanShown<'static, impl Iterator<Item = (&'static str, ValueRef<'static>)>> {
    SpanShown {
        id: SpanId::from_bytes(id.to_be_bytes()),
        name,
        start_unix_nanos: 1_684_778_327_735_077_898,
        duration_nanos: id,
        attributes: attributes.iter().copied(),
    }
}

/// A trace with everything in it, and one of which little is known.
fn answer(encoding: Encoding) -> Vec<u8> {
    let mut encoder = SearchEncoder::new(encoding);
    let services = [
        ServiceShown { name: "", n_spans: 1, n_errors: 0 },
        ServiceShown { name: "gateway", n_spans: 4, n_errors: 2 },
    ];
    encoder.trace(
        &head(0x00f0_67aa_0ba9_02b7),
        [span(1, Some("charge"), &ATTRIBUTES), span(0, None, &[])].into_iter(),
        services.into_iter(),
    );
    let mut bytes = encoder.take();
    let unknown = TraceHead {
        root_service: Some(""),
        root_name: None,
        start_unix_nanos: 0,
        duration_nanos: 999_999,
        n_matched: u64::MAX,
        ..head(u128::MAX)
    };
    encoder.trace(&unknown, [span(u64::MAX, None, &[])].into_iter(), [].into_iter());
    assert!(encoder.n_bytes() > 0);
    bytes.extend(encoder.finish(&METRICS));
    bytes
}

#[test]
fn json_is_what_go_prints() {
    expect![[r#"
        {"traces":[{"traceID":"f067aa0ba902b7","rootServiceName":"gateway","rootTraceName":"GET /\u003ccart\u003e","startTimeUnixNano":"1684778327699392724","durationMs":557,"spanSet":{"spans":[{"spanID":"0000000000000001","name":"charge","startTimeUnixNano":"1684778327735077898","durationNanos":"1","attributes":[{"key":"cached","value":{"boolValue":false}},{"key":"http.status_code","value":{"intValue":"500"}},{"key":"ratio","value":{"doubleValue":0.5}},{"key":"status","value":{"stringValue":"error"}}]},{"spanID":"0000000000000000","startTimeUnixNano":"1684778327735077898"}],"matched":2},"spanSets":[{"spans":[{"spanID":"0000000000000001","name":"charge","startTimeUnixNano":"1684778327735077898","durationNanos":"1","attributes":[{"key":"cached","value":{"boolValue":false}},{"key":"http.status_code","value":{"intValue":"500"}},{"key":"ratio","value":{"doubleValue":0.5}},{"key":"status","value":{"stringValue":"error"}}]},{"spanID":"0000000000000000","startTimeUnixNano":"1684778327735077898"}],"matched":2}],"serviceStats":{"":{"spanCount":1},"gateway":{"spanCount":4,"errorCount":2}}},{"traceID":"ffffffffffffffffffffffffffffffff","rootServiceName":"\u003croot span not yet received\u003e","spanSet":{"spans":[{"spanID":"ffffffffffffffff","startTimeUnixNano":"1684778327735077898","durationNanos":"18446744073709551615"}],"matched":4294967295},"spanSets":[{"spans":[{"spanID":"ffffffffffffffff","startTimeUnixNano":"1684778327735077898","durationNanos":"18446744073709551615"}],"matched":4294967295}]}],"metrics":{"inspectedTraces":7,"inspectedBytes":"1099511627776","completedJobs":3,"totalJobs":3,"inspectedSpans":"9"}}"#]]
    .assert_eq(&String::from_utf8(answer(Encoding::Json)).expect("JSON is UTF-8"));
}

#[test]
fn an_empty_answer_has_its_list_and_its_metrics() {
    let json = SearchEncoder::new(Encoding::Json).finish(&SearchMetrics::default());
    assert_eq!(String::from_utf8_lossy(&json), r#"{"traces":[],"metrics":{}}"#);
    let bytes = SearchEncoder::new(Encoding::Protobuf).finish(&SearchMetrics::default());
    let response = Response::decode(&*bytes).expect("a well-formed answer");
    assert_eq!(response, Response { traces: vec![], metrics: Some(Metrics::default()) });
}

/// The numbers of fields are another implementation's, so this is not read with our own writer.
#[test]
fn protobuf_says_the_same() {
    let bytes = answer(Encoding::Protobuf);
    let response = Response::decode(&*bytes).expect("a well-formed answer");
    let json: serde_json::Value =
        serde_json::from_slice(&answer(Encoding::Json)).expect("well-formed JSON");
    assert_eq!(as_json(&response), json);
}

/// By the rules of jsonpb, as far as these messages need them.
fn as_json(response: &Response) -> serde_json::Value {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use serde_json::json;
    let attribute = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        let value = match value.expect("a value") {
            Value::StringValue(text) => json!({ "stringValue": text }),
            Value::BoolValue(value) => json!({ "boolValue": value }),
            Value::IntValue(value) => json!({ "intValue": value.to_string() }),
            Value::DoubleValue(value) => json!({ "doubleValue": value }),
            other => panic!("no such value was written: {other:?}"),
        };
        json!({ "key": attribute.key, "value": value })
    };
    let span = |span: &Span| {
        let mut json = json!({
            "spanID": span.span_id,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        });
        if !span.name.is_empty() {
            json["name"] = span.name.clone().into();
        }
        if span.duration_nanos != 0 {
            json["durationNanos"] = span.duration_nanos.to_string().into();
        }
        if !span.attributes.is_empty() {
            json["attributes"] = span.attributes.iter().map(attribute).collect();
        }
        json
    };
    let set = |set: &SpanSet| {
        let spans: Vec<_> = set.spans.iter().map(span).collect();
        json!({ "spans": spans, "matched": set.matched })
    };
    let trace = |trace: &TraceMetadata| {
        let mut json = json!({
            "traceID": trace.trace_id,
            "rootServiceName": trace.root_service_name,
            "spanSet": set(trace.span_set.as_ref().expect("a span set")),
            "spanSets": trace.span_sets.iter().map(set).collect::<Vec<_>>(),
        });
        if !trace.root_trace_name.is_empty() {
            json["rootTraceName"] = trace.root_trace_name.clone().into();
        }
        if trace.start_time_unix_nano != 0 {
            json["startTimeUnixNano"] = trace.start_time_unix_nano.to_string().into();
        }
        if trace.duration_ms != 0 {
            json["durationMs"] = trace.duration_ms.into();
        }
        for (service, stats) in &trace.service_stats {
            json["serviceStats"][service] = json!({ "spanCount": stats.span_count });
            if stats.error_count != 0 {
                json["serviceStats"][service]["errorCount"] = stats.error_count.into();
            }
        }
        json
    };
    let metrics = response.metrics.as_ref().expect("metrics");
    json!({
        "traces": response.traces.iter().map(trace).collect::<Vec<_>>(),
        "metrics": {
            "inspectedTraces": metrics.inspected_traces,
            "inspectedBytes": metrics.inspected_bytes.to_string(),
            "completedJobs": metrics.completed_jobs,
            "totalJobs": metrics.total_jobs,
            "inspectedSpans": metrics.inspected_spans.to_string(),
        },
    })
}
