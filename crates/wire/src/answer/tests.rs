//! What was received is what is answered, beside what answers add; `opentelemetry-proto` reads it.

use std::sync::Arc;

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message as _;
use suyuan_model::{TableBuilder, TracePiece};

use super::*;
use crate::otlp::{Verdicts, decode};
use crate::record::{Format, Limits};

mod random;

const CLIENT: i32 = 3;
const SERVER: i32 = 2;

fn rows_of(requests: &[Vec<ResourceSpans>]) -> TraceRows {
    let pieces = requests.iter().map(|request| piece_of(request, &Limits::default())).collect();
    TraceRows { pieces }
}

fn piece_of(resource_spans: &[ResourceSpans], limits: &Limits) -> TracePiece {
    let request = ExportTraceServiceRequest { resource_spans: resource_spans.to_vec() };
    let mut table = TableBuilder::default();
    let body = request.encode_to_vec();
    let decoded = decode(Format::OtlpProtobuf, &body, limits, Verdicts::Judge, &mut table)
        .expect("prost writes well-formed requests");
    assert_eq!(decoded.refused, []);
    let chunk = Arc::new(table.freeze());
    let rows = (0..chunk.n_rows() as u32).collect();
    TracePiece { chunk, rows }
}

fn bytes_of(rows: &TraceRows, shape: Shape, encoding: Encoding) -> Vec<u8> {
    pieces(rows.clone(), shape, encoding).collect::<Vec<_>>().concat()
}

fn json_of(rows: &TraceRows, shape: Shape) -> String {
    String::from_utf8(bytes_of(rows, shape, Encoding::Json)).expect("JSON is UTF-8")
}

fn decoded(rows: &TraceRows) -> TracesData {
    let bytes = bytes_of(rows, Shape::Trace, Encoding::Protobuf);
    TracesData::decode(&*bytes).expect("a well-formed answer")
}

/// Tempo's message, as much of it as an answer fills.
#[derive(Clone, PartialEq, prost::Message)]
struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<()>,
    /// 1: `PARTIAL`.
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

fn decoded_by_id(rows: &TraceRows) -> TraceByIdResponse {
    let bytes = bytes_of(rows, Shape::TraceById, Encoding::Protobuf);
    TraceByIdResponse::decode(&*bytes).expect("a well-formed answer")
}

fn spans_of(trace: &TracesData) -> Vec<&Span> {
    let groups = trace.resource_spans.iter().flat_map(|group| &group.scope_spans);
    groups.flat_map(|group| &group.spans).collect()
}

fn span(n: u64, start: u64) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: n.to_be_bytes().to_vec(),
        name: format!("span {n}"),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5,
        status: Some(Status::default()),
        ..Span::default()
    }
}

fn child(n: u64, parent: u64, kind: i32, start: u64) -> Span {
    Span { parent_span_id: parent.to_be_bytes().to_vec(), kind, ..span(n, start) }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: some(value), ..KeyValue::default() }
}

fn some(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn service(name: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = vec![attribute("service.name", text(name))];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope = Some(InstrumentationScope::default());
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
}

/// A span that has something of everything, with its resource and scope.
fn everything() -> ResourceSpans {
    let array = ArrayValue {
        values: vec![
            AnyValue { value: Some(text("a")) },
            AnyValue { value: None },
            AnyValue { value: Some(Value::ArrayValue(ArrayValue::default())) },
        ],
    };
    let inner = attribute("inner", Value::IntValue(-1));
    let map = KeyValueList { values: vec![inner, KeyValue::default()] };
    let rich = Span {
        trace_state: "k=v".to_owned(),
        parent_span_id: vec![3; 8],
        flags: 0x101,
        kind: CLIENT,
        attributes: vec![
            attribute("text", text("<a> & \"b\" \\ \u{1}\n\u{2028}ä")),
            attribute("text", text("twice")),
            attribute("int", Value::IntValue(i64::MIN)),
            attribute("zero", Value::IntValue(0)),
            attribute("double", Value::DoubleValue(1.5e-9)),
            attribute("not a number", Value::DoubleValue(f64::NAN)),
            attribute("bool", Value::BoolValue(false)),
            attribute("bytes", Value::BytesValue(vec![0, 255])),
            attribute("list", Value::ArrayValue(array)),
            attribute("map", Value::KvlistValue(map)),
            KeyValue { key: "empty".to_owned(), ..KeyValue::default() },
        ],
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 4,
            name: "event".to_owned(),
            attributes: vec![attribute("e", text(""))],
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: vec![9; 16],
            span_id: vec![8; 8],
            trace_state: "l=1".to_owned(),
            attributes: vec![attribute("l", Value::BoolValue(true))],
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status { message: "broken".to_owned(), code: 2 }),
        ..span(1, 1_700_000_000_000_000_000)
    };
    let odd =
        Span { kind: 77, status: Some(Status { code: -3, ..Status::default() }), ..span(2, 0) };
    let entity = EntityRef {
        schema_url: "entity-url".to_owned(),
        r#type: "service".to_owned(),
        id_keys: vec!["service.name".to_owned()],
        description_keys: vec![],
    };
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", text("mall"))],
            dropped_attributes_count: 6,
            entity_refs: vec![entity],
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "scope".to_owned(),
                version: "1".to_owned(),
                attributes: vec![attribute("s", Value::IntValue(1))],
                dropped_attributes_count: 7,
            }),
            spans: vec![rich, odd],
            schema_url: "scope-url".to_owned(),
        }],
        schema_url: "resource-url".to_owned(),
    }
}

fn check_json(rows: &TraceRows, shape: Shape, expected: Expect) {
    let json = json_of(rows, shape);
    let value: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    assert!(value.is_object());
    expected.assert_eq(&json.replace("\"attributes\"", "\n\"attributes\""));
}

#[test]
fn json_is_what_gogo_prints() {
    let rows = rows_of(&[vec![everything()]]);
    check_json(
        &rows,
        Shape::TraceById,
        expect![[r#"
        {"trace":{"resourceSpans":[{"resource":{
        "attributes":[{"key":"service.name","value":{"stringValue":"mall"}}],"droppedAttributesCount":6,"entityRefs":[{"schemaUrl":"entity-url","type":"service","idKeys":["service.name"]}]},"scopeSpans":[{"scope":{"name":"scope","version":"1",
        "attributes":[{"key":"s","value":{"intValue":"1"}}],"droppedAttributesCount":7},"spans":[{"traceId":"BwcHBwcHBwcHBwcHBwcHBw==","spanId":"AAAAAAAAAAI=","name":"span 2","kind":77,"endTimeUnixNano":"5","status":{"code":-3}},{"traceId":"BwcHBwcHBwcHBwcHBwcHBw==","spanId":"AAAAAAAAAAE=","traceState":"k=v","parentSpanId":"AwMDAwMDAwM=","flags":257,"name":"span 1","kind":"SPAN_KIND_CLIENT","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000000005",
        "attributes":[{"key":"text","value":{"stringValue":"\u003ca\u003e \u0026 \"b\" \\ \u0001\n\u2028ä"}},{"key":"text","value":{"stringValue":"twice"}},{"key":"int","value":{"intValue":"-9223372036854775808"}},{"key":"zero","value":{"intValue":"0"}},{"key":"double","value":{"doubleValue":1.5e-9}},{"key":"not a number","value":{"doubleValue":"NaN"}},{"key":"bool","value":{"boolValue":false}},{"key":"bytes","value":{"bytesValue":"AP8="}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{},{"arrayValue":{}}]}}},{"key":"map","value":{"kvlistValue":{"values":[{"key":"inner","value":{"intValue":"-1"}},{}]}}},{"key":"empty","value":{}}],"droppedAttributesCount":1,"events":[{"timeUnixNano":"4","name":"event",
        "attributes":[{"key":"e","value":{"stringValue":""}}],"droppedAttributesCount":2}],"droppedEventsCount":3,"links":[{"traceId":"CQkJCQkJCQkJCQkJCQkJCQ==","spanId":"CAgICAgICAg=","traceState":"l=1",
        "attributes":[{"key":"l","value":{"boolValue":true}}],"droppedAttributesCount":4,"flags":1}],"droppedLinksCount":5,"status":{"message":"broken","code":"STATUS_CODE_ERROR"}}],"schemaUrl":"scope-url"}],"schemaUrl":"resource-url"}]},"metrics":{}}"#]],
    );
}

#[test]
fn v1_says_batches_and_an_unknown_trace_is_empty() {
    let rows = rows_of(&[vec![service("mall", vec![span(1, 10)])]]);
    check_json(
        &rows,
        Shape::Trace,
        expect![[r#"
        {"batches":[{"resource":{
        "attributes":[{"key":"service.name","value":{"stringValue":"mall"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"BwcHBwcHBwcHBwcHBwcHBw==","spanId":"AAAAAAAAAAE=","name":"span 1","startTimeUnixNano":"10","endTimeUnixNano":"15","status":{}}]}]}]}"#]],
    );
    let nothing = TraceRows::default();
    assert_eq!(json_of(&nothing, Shape::Trace), "{}");
    assert_eq!(json_of(&nothing, Shape::TraceById), r#"{"trace":{},"metrics":{}}"#);
    assert_eq!(bytes_of(&nothing, Shape::Trace, Encoding::Protobuf), b"");
    let empty = TraceByIdResponse {
        trace: Some(TracesData::default()),
        metrics: Some(()),
        ..TraceByIdResponse::default()
    };
    assert_eq!(decoded_by_id(&nothing), empty);
}

#[test]
fn v2_says_what_is_missing() {
    let missing = || "a \"block\" is damaged".to_owned();
    let rows = rows_of(&[vec![service("mall", vec![span(1, 10)])]]);
    let partial = |rows: &TraceRows, shape, encoding| {
        let pieces = pieces(rows.clone(), shape, encoding).without(missing());
        pieces.collect::<Vec<_>>().concat()
    };
    let json = partial(&rows, Shape::TraceById, Encoding::Json);
    let end = br#"]}]},"metrics":{},"status":"PARTIAL","message":"a \"block\" is damaged"}"#;
    assert!(json.ends_with(end), "{}", String::from_utf8_lossy(&json));
    let nothing = partial(&TraceRows::default(), Shape::TraceById, Encoding::Json);
    let expected =
        br#"{"trace":{},"metrics":{},"status":"PARTIAL","message":"a \"block\" is damaged"}"#;
    assert_eq!(nothing, expected);

    let protobuf = partial(&rows, Shape::TraceById, Encoding::Protobuf);
    let read = TraceByIdResponse::decode(&*protobuf).expect("a well-formed answer");
    assert_eq!((read.status, read.message), (1, missing()));
    assert_eq!(read.trace, decoded_by_id(&rows).trace);
    let v1 = partial(&rows, Shape::Trace, Encoding::Protobuf);
    assert_eq!(v1, bytes_of(&rows, Shape::Trace, Encoding::Protobuf), "v1 has no place for it");
}

#[test]
fn protobuf_keeps_every_field() {
    let sent = everything();
    let rows = rows_of(&[vec![sent.clone()]]);
    let mut expected = sent;
    // Answers put spans in the order of their start, and say an empty value as an empty message.
    expected.scope_spans[0].spans.swap(0, 1);
    let rich = &mut expected.scope_spans[0].spans[1];
    rich.attributes.last_mut().expect("it has attributes").value = Some(AnyValue::default());
    let found = decoded(&rows);
    assert_eq!(format!("{:#?}", found.resource_spans), format!("{:#?}", [expected]));
    let by_id = decoded_by_id(&rows);
    let trace = by_id.trace.expect("a trace");
    assert_eq!(format!("{trace:?}"), format!("{found:?}"));
    assert!(by_id.metrics.is_some());
}

#[test]
fn what_grafana_looks_into_is_always_there() {
    let bare = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: vec![Span { status: None, ..span(1, 10) }],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let rows = rows_of(&[vec![bare]]);
    let found = decoded(&rows);
    let resource = found.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes, [attribute("service.name", text("unknown_service"))]);
    assert!(found.resource_spans[0].scope_spans[0].scope.is_some());
    assert!(spans_of(&found)[0].status.is_some());
    check_json(
        &rows,
        Shape::Trace,
        expect![[r#"
        {"batches":[{"resource":{
        "attributes":[{"key":"service.name","value":{"stringValue":"unknown_service"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"BwcHBwcHBwcHBwcHBwcHBw==","spanId":"AAAAAAAAAAE=","name":"span 1","startTimeUnixNano":"10","endTimeUnixNano":"15","status":{}}]}]}]}"#]],
    );
}

#[test]
fn an_end_before_the_start_is_shown_as_the_start_and_kept_as_an_attribute() {
    let backwards = Span { end_time_unix_nano: 3, ..span(1, 10) };
    let rows = rows_of(&[vec![service("mall", vec![backwards])]]);
    let found = decoded(&rows);
    let shown = spans_of(&found)[0];
    assert_eq!((shown.start_time_unix_nano, shown.end_time_unix_nano), (10, 10));
    let raw_end = attribute("suyuan.raw_end_time_unix_nano", Value::IntValue(3));
    assert_eq!(shown.attributes, [raw_end]);
}

#[test]
fn cut_values_are_counted_in_the_answer() {
    let attributes = vec![attribute("k", text("sixsix")), attribute("l", text("seven77"))];
    let request = [service("mall", vec![Span { attributes, ..span(1, 10) }])];
    let limits = Limits { attribute_value_bytes_max: 6, ..Limits::default() };
    let rows = TraceRows { pieces: vec![piece_of(&request, &limits)] };
    let found = decoded(&rows);
    let shown = spans_of(&found)[0];
    assert_eq!(shown.attributes.len(), 3);
    assert_eq!(shown.attributes[2], attribute("suyuan.cut_values", Value::IntValue(1)));
}

/// One line per span: name, id, parent; ids below 100 as they are, others as `new`.
fn drawn(found: &TracesData) -> String {
    let id = |bytes: &[u8]| match u64::from_be_bytes(bytes.try_into().unwrap_or_default()) {
        0 => "-".to_owned(),
        small @ 1..100 => small.to_string(),
        new => format!("new {:02x}", new >> 56),
    };
    let mut lines: Vec<String> = Vec::new();
    for group in &found.resource_spans {
        let attribute = &group.resource.as_ref().expect("a resource").attributes[0];
        let Some(Value::StringValue(service)) = attribute.value.clone().and_then(|v| v.value)
        else {
            panic!("a service name")
        };
        for span in group.scope_spans.iter().flat_map(|group| &group.spans) {
            let (own, parent) = (id(&span.span_id), id(&span.parent_span_id));
            lines.push(format!("{} {service} {own} <- {parent}", span.start_time_unix_nano));
        }
    }
    lines.sort();
    lines.join("\n")
}

#[test]
fn a_server_that_shares_its_id_with_a_client_gets_one_of_its_own() {
    let client = vec![child(2, 1, CLIENT, 10), child(3, 2, 1, 11)];
    let server = vec![child(2, 1, SERVER, 12), child(4, 2, 1, 13), child(5, 4, 1, 14)];
    let elsewhere = vec![child(6, 2, 1, 15), child(7, 7, 1, 16)];
    let rows = rows_of(&[
        vec![service("gateway", client), service("mall", server)],
        vec![service("other", elsewhere)],
    ]);
    expect![[r#"
        10 gateway 2 <- 1
        11 gateway 3 <- 2
        12 mall new 71 <- 2
        13 mall 4 <- new 71
        14 mall 5 <- 4
        15 other 6 <- new 71
        16 other 7 <- 7"#]]
    .assert_eq(&drawn(&decoded(&rows)));
}

#[test]
fn new_ids_stay_when_spans_are_added_and_differ_between_servers() {
    let client = service("gateway", vec![child(2, 1, CLIENT, 10)]);
    let first = service("mall", vec![child(2, 1, SERVER, 12)]);
    let retried = service("pay", vec![child(2, 1, SERVER, 13)]);
    let before = drawn(&decoded(&rows_of(&[vec![client.clone(), first.clone()]])));
    let after = drawn(&decoded(&rows_of(&[vec![retried, first], vec![client]])));
    assert!(before.lines().all(|line| after.contains(line)), "{before}\n\n{after}");
    expect![[r#"
        10 gateway 2 <- 1
        12 mall new 71 <- 2
        13 pay new dd <- 2"#]]
    .assert_eq(&after);
}

#[test]
fn the_answer_does_not_depend_on_how_spans_were_found() {
    let mall = service("mall", (1..40).map(|n| span(n, 1_000 - n)).collect());
    let gateway = service("gateway", (40..60).map(|n| child(n, n - 1, SERVER, n)).collect());
    let whole = rows_of(&[vec![mall.clone(), gateway.clone()]]);
    let mut halves = rows_of(&[vec![gateway], vec![mall.clone()], vec![mall]]);
    // The mall's spans once more, split between the last two chunks.
    halves.pieces[1].rows.retain(|row| row % 3 == 0);
    halves.pieces[2].rows.retain(|row| row % 3 != 0);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let expected = bytes_of(&whole, Shape::TraceById, encoding);
        assert_eq!(bytes_of(&halves, Shape::TraceById, encoding), expected);
    }
}

#[test]
fn a_large_trace_comes_in_pieces_and_says_its_length_before_it_is_encoded() {
    let payload = "x".repeat(700);
    let spans = (1..=9_000).map(|n| {
        let attributes = vec![attribute("payload", text(&payload))];
        Span { attributes, ..span(n, n) }
    });
    let rows = rows_of(&[vec![service("mall", spans.collect())]]);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let sizes: Vec<usize> =
            pieces(rows.clone(), Shape::TraceById, encoding).map(|piece| piece.len()).collect();
        let largest = sizes.iter().max().copied().unwrap_or_default();
        assert!(sizes.len() > 4, "{encoding:?}: {sizes:?}");
        assert!(largest <= KEPT_BYTES_MAX + GROUP_BYTES_MAX + 4_096, "{encoding:?}: {sizes:?}");
    }
    let found = decoded_by_id(&rows).trace.expect("a trace");
    assert_eq!(spans_of(&found).len(), 9_000);
    assert!(found.resource_spans.len() > 4, "{}", found.resource_spans.len());
    let json: serde_json::Value =
        serde_json::from_str(&json_of(&rows, Shape::TraceById)).expect("valid JSON");
    let groups = json["trace"]["resourceSpans"].as_array().expect("a list");
    let n_spans: usize = groups
        .iter()
        .map(|group| group["scopeSpans"][0]["spans"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(n_spans, 9_000);
}

#[test]
fn the_content_hash_is_that_of_the_content_and_never_changes() {
    let rows = rows_of(&[
        vec![service("gateway", vec![span(9, 9)]), everything()],
        vec![everything(), service("mall", vec![span(1, 10)])],
        vec![service("pay", vec![span(1, 10)])],
    ]);
    let hash = |piece: usize, row: u32| content_hash(&rows.pieces[piece].chunk, row);
    assert_eq!(hash(0, 1), hash(1, 0), "the same span in two chunks");
    assert_ne!(hash(1, 2), hash(2, 0), "the service differs");
    expect!["194f24c52b047490"].assert_eq(&format!("{:016x}", hash(1, 0)));
}

#[test]
fn doubles_are_printed_as_go_prints_them() {
    let check = |value: f64, expected: &str| {
        let mut json = json_writer::JsonWriter::begin(b"");
        json.double(value);
        assert_eq!(String::from_utf8(json.into_bytes()).as_deref(), Ok(expected));
    };
    check(0.0, "0");
    check(-0.0, "-0");
    check(1.0, "1");
    check(-0.1, "-0.1");
    check(1e-6, "0.000001");
    check(9.99e-7, "9.99e-7");
    check(5e-324, "5e-324");
    check(123456789012345680000.0, "123456789012345680000");
    check(1e21, "1e+21");
    check(-1.7976931348623157e308, "-1.7976931348623157e+308");
    check(f64::NAN, "\"NaN\"");
    check(f64::INFINITY, "\"Infinity\"");
    check(f64::NEG_INFINITY, "\"-Infinity\"");
}

#[test]
fn a_value_that_a_disk_has_damaged_is_shown_as_bytes() {
    let mut json = json_writer::JsonWriter::begin(b"");
    json_value::write(&mut json, suyuan_model::ValueRef::Array(&[0x0a, 0x20, 1]));
    assert_eq!(json.into_bytes(), br#"{"bytesValue":"CiAB"}"#);
}
