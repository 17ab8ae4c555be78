//! Requests in, rows out; `opentelemetry-proto` is the oracle for what bytes mean.

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use suyuan_model::{Chunk, TableBuilder};

use super::*;

fn span(n: u8) -> Span {
    Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        name: format!("span {n}"),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn decode_with(limits: &Limits, body: &[u8]) -> (Decoded, Chunk) {
    let mut table = TableBuilder::default();
    let decoded = decode(Format::OtlpProtobuf, body, limits, Verdicts::Judge, &mut table)
        .expect("a well-formed request");
    (decoded, table.freeze())
}

fn names(chunk: &Chunk) -> Vec<&str> {
    (0..chunk.n_rows()).map(|row| chunk.name.value(row)).collect()
}

/// Draws rows one to a line.
fn draw(chunk: &Chunk) -> String {
    let mut lines = String::new();
    for row in 0..chunk.n_rows() as u32 {
        let at = row as usize;
        lines += &format!(
            "{} {} parent={:?} {:?} kind={} {}..{} status={}:{:?} flags={} state={:?}\n",
            chunk.trace_id(row),
            chunk.span_id(row),
            chunk.parent_span_id(row).map(u64::from_be_bytes),
            chunk.name.value(at),
            chunk.kind.value(at),
            chunk.start_unix_nanos.value(at),
            chunk.end_unix_nanos.value(at),
            chunk.status_code.value(at),
            chunk.status_message.value(row),
            chunk.flags.value(row),
            chunk.trace_state.value(row),
        );
        for (key, value) in chunk.attributes.row(row) {
            lines += &format!("  {key} = {value:?}\n");
        }
        for event in chunk.events_of(row) {
            let name = chunk.events.name.value(event as usize);
            lines += &format!(
                "  event {name:?} at {}\n",
                chunk.events.time_unix_nanos.value(event as usize)
            );
            for (key, value) in chunk.events.attributes.row(event) {
                lines += &format!("    {key} = {value:?}\n");
            }
        }
        for link in chunk.links_of(row) {
            lines += &format!("  link {:02x?}\n", chunk.links.trace_id.value(link as usize));
        }
    }
    lines
}

fn check_json(json: &str, expected: Expect) {
    let mut table = TableBuilder::default();
    let limits = Limits::default();
    let drawn =
        match decode(Format::OtlpJson, json.as_bytes(), &limits, Verdicts::Judge, &mut table) {
            Ok(decoded) => {
                let refused =
                    decoded.refused.iter().map(|r| format!("refused {}: {}\n", r.place, r.reason));
                draw(&table.freeze()) + &refused.collect::<String>()
            }
            Err(error) => error.to_string(),
        };
    expected.assert_eq(&drawn);
}

#[test]
fn json_as_sdks_send_it() {
    check_json(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mall"}}]},
            "scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[{
            "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173",
            "name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
            "kind":"SPAN_KIND_SERVER","flags":257,"traceState":"a=b","status":{"code":2,"message":"no"},
            "attributes":[{"key":"i","value":{"intValue":"-5"}},{"key":"d","value":{"doubleValue":"NaN"}},
              {"key":"l","value":{"arrayValue":{"values":[{"intValue":1},{"stringValue":"x"}]}}},
              {"key":"b","value":{"bytesValue":"AAE="}},{"key":"none"},{"key":"t","value":{"boolValue":true}},
              {"key":"unknown","value":{"unknownValue":{"a":[1,{}]}}}],
            "events":[{"timeUnixNano":"7","name":"e","attributes":[{"key":"k","value":{"doubleValue":1}}]}],
            "links":[{"traceId":"01020304050607080910111213141516","spanId":"0102030405060708"}]
            }]}]}]}"#,
        expect![[r#"
            5b8efff798038103d269b633813fc60c eee19b7ec3c1b174 parent=Some(17213210219539181939) "I'm a server span" kind=2 1544712660000000000..1544712661000000000 status=2:"no" flags=257 state="a=b"
              i = Int(-5)
              d = Double(NaN)
              l = Array([10, 130, 128, 128, 128, 0, 24, 1, 10, 131, 128, 128, 128, 0, 10, 1, 120])
              b = Bytes([0, 1])
              none = Empty
              t = Bool(true)
              unknown = Empty
              event "e" at 7
                k = Double(1.0)
              link [01, 02, 03, 04, 05, 06, 07, 08, 09, 10, 11, 12, 13, 14, 15, 16]
        "#]],
    );
}

#[test]
fn json_with_old_and_snake_case_names() {
    check_json(
        r#"{"resource_spans":[{"instrumentationLibrarySpans":[{"instrumentationLibrary":{"name":"old"},
            "spans":[{"trace_id":"00000000000000000000000000000001","span_id":"W47/95gDgQI=","name":null,
            "start_time_unix_nano":1.5e9,"dropped_links_count":"3"}]}]}]}"#,
        expect![[r#"
            00000000000000000000000000000001 5b8efff798038102 parent=None "" kind=0 1500000000..0 status=0:"" flags=0 state=""
        "#]],
    );
}

#[test]
fn json_with_a_bad_span_keeps_its_neighbour() {
    check_json(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
            {"traceId":"xyz","spanId":"0000000000000001","name":"bad"},
            {"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","name":"good"}]}]}]}"#,
        expect![[r#"
            00000000000000000000000000000001 0000000000000001 parent=None "good" kind=0 0..0 status=0:"" flags=0 state=""
            refused 0: trace_id: id has 0 bytes, it must have 16
        "#]],
    );
}

#[test]
fn json_errors_say_where() {
    check_json(
        "{\"resourceSpans\":[{\"scopeSpans\":[\n{\"spans\":[{\"kind\":\"SERVER\"}]}]}]}",
        expect![[
            r#"request is not an OTLP ExportTraceServiceRequest in JSON: kind: expected a number or a name, found "SERVER" at line 2 column 26"#
        ]],
    );
    check_json(
        "[]",
        expect![
            "request is not an OTLP ExportTraceServiceRequest in JSON: invalid type: sequence, expected an object, OTLP's ExportTraceServiceRequest at line 1 column 0"
        ],
    );
    check_json(
        r#"{"resourceSpans":[{"#,
        expect![
            "request is not an OTLP ExportTraceServiceRequest in JSON: EOF while parsing an object at line 1 column 19"
        ],
    );
    check_json(
        "{}{}",
        expect![
            "request is not an OTLP ExportTraceServiceRequest in JSON: trailing characters at line 1 column 3"
        ],
    );
}

#[test]
fn bad_spans_are_refused_one_by_one_with_the_reason() {
    let zero_trace = Span { trace_id: vec![0; 16], ..span(1) };
    let short_trace = Span { trace_id: vec![1; 8], ..span(2) };
    let no_span_id = Span { span_id: vec![], ..span(3) };
    let odd_parent = Span { parent_span_id: vec![1; 3], ..span(4) };
    let far_future = Span { end_time_unix_nano: u64::MAX, ..span(5) };
    let spans = vec![span(7), zero_trace, short_trace, no_span_id, odd_parent, far_future, span(8)];
    let (decoded, chunk) = decode_with(&Limits::default(), &request(spans).encode_to_vec());
    assert_eq!(names(&chunk), ["span 7", "span 8"]);
    assert_eq!(decoded.accepted_spans, 2);
    let reasons: Vec<String> =
        decoded.refused.iter().map(|r| format!("{} {}", r.place, r.reason)).collect();
    expect![[r#"
        1 trace_id: id is all zero
        2 trace_id: id has 8 bytes, it must have 16
        3 span_id: id has 0 bytes, it must have 8
        4 parent_span_id: id has 3 bytes, it must have 8
        5 start or end time is beyond the year 2262"#]]
    .assert_eq(&reasons.join("\n"));
}

#[test]
fn a_span_malformed_inside_is_refused_alone() {
    let mut body = request(vec![span(1), span(2)]).encode_to_vec();
    let name = body.windows(6).position(|w| w == b"span 1").expect("the name is there");
    body[name - 1] = 120; // The name now claims to reach beyond its span.
    let (decoded, chunk) = decode_with(&Limits::default(), &body);
    assert_eq!(names(&chunk), ["span 2"]);
    assert_eq!(
        decoded.refused,
        [RefusedSpan { place: 0, reason: RefusedReason::Malformed(Malformed::Truncated) }]
    );
}

#[test]
fn a_request_malformed_around_its_spans_is_an_error() {
    let body = request(vec![span(1)]).encode_to_vec();
    let mut table = TableBuilder::default();
    let limits = Limits::default();
    let mut check = |bytes: &[u8], expected: Expect| {
        let result = decode(Format::OtlpProtobuf, bytes, &limits, Verdicts::Judge, &mut table);
        expected.assert_eq(&result.map(|_| ()).expect_err("malformed").to_string());
    };
    check(
        &body[..body.len() - 1],
        expect![
            "request is not an OTLP ExportTraceServiceRequest in protobuf: request ends in the middle of a field"
        ],
    );
    check(
        b"garbage",
        expect![
            "request is not an OTLP ExportTraceServiceRequest in protobuf: request has wire type 7 in field 12, which this field cannot have"
        ],
    );
}

#[test]
fn what_is_over_the_limits_is_cut_or_counted() {
    let limits = Limits {
        attribute_value_bytes_max: 5,
        attributes_max: 2,
        events_max: 1,
        links_max: 0,
        ..Limits::default()
    };
    let array = ArrayValue { values: vec![text("", "abc").value.expect("set"); 3] };
    let array = AnyValue { value: Some(any_value::Value::ArrayValue(array)) };
    let spans = vec![Span {
        name: "süß und lang".to_owned(),
        attributes: vec![
            text("a", "123ü56"),
            KeyValue { key: "list".to_owned(), value: Some(array), ..Default::default() },
            text("c", "over"),
        ],
        dropped_attributes_count: 10,
        events: vec![Event::default(), Event::default()],
        links: vec![Link::default()],
        ..span(1)
    }];
    let (decoded, chunk) = decode_with(&limits, &request(spans).encode_to_vec());
    assert_eq!(chunk.name.value(0), "süß");
    let shown: Vec<String> = chunk.attributes.row(0).map(|(k, v)| format!("{k}={v:?}")).collect();
    assert_eq!(shown, ["a=String(\"123ü\")", "list=Array([])"]);
    assert_eq!(chunk.cut_values.value(0), 3);
    let dropped = [
        chunk.dropped_attributes.value(0),
        chunk.dropped_events.value(0),
        chunk.dropped_links.value(0),
    ];
    assert_eq!(dropped, [11, 1, 1]);
    assert_eq!((decoded.cut_values, decoded.dropped_attributes), (3, 1));
    assert_eq!((decoded.dropped_events, decoded.dropped_links), (1, 1));
}

#[test]
fn text_that_is_not_utf8_is_repaired_also_inside_arrays() {
    let bad = || text("k", "aXb").encode_to_vec();
    let nested = {
        let array = ArrayValue {
            values: vec![
                text("", "aXb").value.expect("set"),
                AnyValue { value: Some(any_value::Value::IntValue(4)) },
            ],
        };
        KeyValue {
            key: "l".to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::ArrayValue(array)) }),
            ..Default::default()
        }
    };
    let spans = vec![Span { attributes: vec![text("k", "aXb"), nested], ..span(1) }];
    let mut body = request(spans).encode_to_vec();
    assert!(bad().len() > 3);
    while let Some(at) = body.windows(3).position(|w| w == b"aXb") {
        body[at + 1] = 0xff;
    }
    let (decoded, chunk) = decode_with(&Limits::default(), &body);
    assert_eq!(decoded.repaired_texts, 2);
    let values: Vec<_> = chunk.attributes.row(0).map(|(_, value)| value).collect();
    assert_eq!(values[0], suyuan_model::ValueRef::String("a\u{fffd}b"));
    let suyuan_model::ValueRef::Array(message) = values[1] else { panic!("an array") };
    let array = ArrayValue::decode(message).expect("valid UTF-8 now");
    assert_eq!(array.values[0], text("", "a\u{fffd}b").value.expect("set"));
    assert_eq!(array.values[1].value, Some(any_value::Value::IntValue(4)));
}

#[test]
fn values_nested_too_deep_refuse_their_span_alone() {
    let mut value = AnyValue { value: Some(any_value::Value::IntValue(1)) };
    for _ in 0..70 {
        let array = ArrayValue { values: vec![value] };
        value = AnyValue { value: Some(any_value::Value::ArrayValue(array)) };
    }
    let deep = KeyValue { key: "deep".to_owned(), value: Some(value), ..Default::default() };
    let spans = vec![Span { attributes: vec![deep], ..span(1) }, span(2)];
    let (decoded, chunk) = decode_with(&Limits::default(), &request(spans).encode_to_vec());
    assert_eq!(names(&chunk), ["span 2"]);
    assert_eq!(decoded.refused[0].reason, RefusedReason::Malformed(Malformed::TooDeep));
}

#[test]
fn odd_but_valid_is_stored_as_sent_and_counted() {
    let spans = vec![
        Span { start_time_unix_nano: 5, end_time_unix_nano: 1, ..span(1) },
        Span { parent_span_id: vec![2; 8], kind: 77, ..span(2) },
        Span { status: Some(Status { code: -3, message: String::new() }), ..span(2) },
    ];
    let (decoded, chunk) = decode_with(&Limits::default(), &request(spans).encode_to_vec());
    assert_eq!((decoded.accepted_spans, decoded.ends_before_start, decoded.own_parent), (3, 1, 1));
    assert_eq!((chunk.end_unix_nanos.value(0), chunk.kind.value(1)), (1, 77));
    assert_eq!(chunk.status_code.value(2), -3);
}

#[test]
fn a_repeated_verdict_refuses_the_same_spans_whatever_the_limits_say_now() {
    let body = request(vec![span(1), span(2), span(3)]).encode_to_vec();
    let mut table = TableBuilder::default();
    let verdicts = Verdicts::Repeat(&[1]);
    let decoded = decode(Format::OtlpProtobuf, &body, &Limits::default(), verdicts, &mut table)
        .expect("well-formed");
    assert_eq!(names(&table.freeze()), ["span 1", "span 3"]);
    assert_eq!((decoded.accepted_spans, decoded.refused.len()), (2, 1));
}

#[test]
fn messages_in_parts_are_merged_and_a_resource_may_stand_behind_its_spans() {
    let resource = |key| ResourceSpans {
        resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: vec![text(key, "v")],
            ..Default::default()
        }),
        ..ResourceSpans::default()
    };
    let spans = request(vec![span(1)]).resource_spans.remove(0);
    let inner =
        [spans.encode_to_vec(), resource("a").encode_to_vec(), resource("b").encode_to_vec()]
            .concat();
    let mut writer = crate::protobuf::Writer::new();
    writer.bytes(1, &inner);
    let (_, chunk) = decode_with(&Limits::default(), writer.as_bytes());
    let row = chunk.resource.value(0);
    let keys: Vec<&str> = chunk.resources.attributes.row(row).map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn spans_after_too_much_memory_are_refused_and_those_before_are_kept() {
    let empty_events = [0x5a, 0].repeat(1_024);
    let span = |n: u8| [&[0x0a, 16][..], &[n; 16], &[0x12, 8], &[n; 8], &empty_events].concat();
    let spans = (0..2_000u32).map(|n| span((n % 255) as u8 + 1));
    let mut writer = crate::protobuf::Writer::new();
    writer.message(1, |w| w.message(2, |w| spans.for_each(|span| w.bytes(2, &span))));
    let body = writer.into_bytes();
    let mut table = TableBuilder::default();
    let judged =
        decode(Format::OtlpProtobuf, &body, &Limits::default(), Verdicts::Judge, &mut table)
            .unwrap();
    assert!((500..1_500).contains(&judged.accepted_spans), "{}", judged.accepted_spans);
    assert!(table.value_bytes() < 5 * body.len() + (4 << 20));
    let places: Vec<u32> = judged.refused.iter().map(|refused| refused.place).collect();
    assert_eq!(judged.refused[0].reason.label(), "too_much_memory");

    let mut again = TableBuilder::default();
    let repeat = Verdicts::Repeat(&places);
    let repeated =
        decode(Format::OtlpProtobuf, &body, &Limits::default(), repeat, &mut again).unwrap();
    assert_eq!(repeated.accepted_spans, judged.accepted_spans);
}

#[test]
fn resources_take_memory_only_for_spans_that_are_let_in() {
    let resource = |n: u32| ResourceSpans {
        resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: vec![text("n", &n.to_string())],
            ..Default::default()
        }),
        ..ResourceSpans::default()
    };
    let nothing_but_resources =
        ExportTraceServiceRequest { resource_spans: (0..1_000).map(resource).collect() };
    let body = nothing_but_resources.encode_to_vec();
    let (decoded, chunk) = decode_with(&Limits::default(), &body);
    assert_eq!((decoded.accepted_spans, chunk.resources.schema_url.len()), (0, 0));

    let mut refused_between = request(vec![Span { span_id: vec![], ..span(1) }, span(2)]);
    refused_between.resource_spans.push(resource(7));
    refused_between.resource_spans.extend(request(vec![span(3)]).resource_spans);
    let (_, chunk) = decode_with(&Limits::default(), &refused_between.encode_to_vec());
    assert_eq!(names(&chunk), ["span 2", "span 3"]);
    assert_eq!(chunk.resources.schema_url.len(), 1, "both have the empty resource");
}
