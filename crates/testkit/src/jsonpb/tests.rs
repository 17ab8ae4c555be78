//! What the two dialects look like, and which near misses are refused.

use super::*;
use crate::equality::compare;
use crate::sample::{full_span, plain_span, request, traces_data};

#[test]
fn otlp_json_keeps_every_field() {
    let sent = request("shop", vec![full_span(1, 2, 3), plain_span(1, 3)]);
    let read = read_otlp(&write_otlp(&sent)).unwrap();
    compare(&traces_data(sent), &traces_data(read)).unwrap();
}

#[test]
fn reads_the_answers_of_both_versions() {
    let groups = r#"[{"resource":{"attributes":[{"key":"n","value":{"intValue":"5"}}]},
        "scopeSpans":[{"scope":{},"spans":[{"traceId":"WlpaWlpaWloAAAAAAAAAAQ==",
        "spanId":"AAAAAAAAAAI=","parentSpanId":"","name":"pay","kind":"SPAN_KIND_SERVER",
        "startTimeUnixNano":"7","status":{"code":"STATUS_CODE_ERROR"}}]}]}]"#;
    let v1 = read_trace_v1(&format!(r#"{{"batches":{groups}}}"#)).unwrap();
    let v2 = read_trace_v2(&format!(
        r#"{{"trace":{{"resourceSpans":{groups}}},"metrics":{{"inspectedBytes":"9"}}}}"#
    ))
    .unwrap();
    assert_eq!(v2, TraceById { trace: Some(v1.clone()), ..TraceById::default() });
    let span = &v1.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id, crate::sample::trace_id(1));
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(span.status.as_ref().unwrap().code, StatusCode::Error as i32);
}

#[test]
fn an_empty_answer_is_an_empty_trace() {
    let answer = read_trace_v2(r#"{"trace":{},"metrics":{}}"#).unwrap();
    assert_eq!(answer.trace, Some(TracesData::default()));
    assert_eq!(read_trace_v2("{}").unwrap().trace, None);
}

/// A span with one field more or another one is refused, and the error names the place.
#[test]
fn refuses_what_strict_readers_refuse() {
    for (field, problem) in [
        (r#""surprise":1"#, "no such field"),
        (r#""name":"a","name":"b""#, "stands there twice"),
        (r#""kind":2"#, "a number where its name belongs"),
        (r#""kind":"SERVER""#, "no such name"),
        (r#""startTimeUnixNano":7"#, "not an integer in a string"),
        (r#""startTimeUnixNano":"-7""#, "does not fit its type"),
        (r#""flags":"1""#, "not a number"),
        (r#""spanId":"0102030405060708x""#, "not an id"),
        (r#""name":null"#, "not a string"),
        (r#""attributes":{}"#, "not a list"),
        (r#""attributes":[{"value":{"intValue":"1","boolValue":true}}]"#, "two types"),
        (r#""attributes":[{"value":{"bytesValue":"_-"}}]"#, "not base64"),
        (r#""attributes":[{"value":{"doubleValue":"1.5"}}]"#, "not a double"),
        (r#""status":{"code":1}"#, "a number where its name belongs"),
    ] {
        let text = format!(r#"{{"batches":[{{"scopeSpans":[{{"spans":[{{{field}}}]}}]}}]}}"#);
        let error = read_trace_v1(&text).expect_err(field);
        assert!(error.problem.contains(problem), "{field}: {error}");
        assert!(error.path.starts_with("batches[0].scopeSpans[0].spans[0]"), "{field}: {error}");
    }
    let entity = r#"{"batches":[{"resource":{"entityRefs":[{"type":"host","surprise":1}]}}]}"#;
    let error = read_trace_v1(entity).expect_err("a field that entities do not have");
    assert_eq!(error.to_string(), "batches[0].resource.entityRefs[0].surprise: no such field");
    assert!(read_trace_v2(r#"{"batches":[]}"#).is_err());
    assert!(read_trace_v1(r#"{"resourceSpans":[]}"#).is_err());
    assert!(read_trace_v2(r#"{"trace":{},"metrics":{"totalJobs":1}}"#).is_err());
}

#[test]
fn an_enumeration_without_a_name_is_a_number() {
    let text = r#"{"batches":[{"scopeSpans":[{"spans":[{"kind":17,"status":{"code":9}}]}]}]}"#;
    let trace = read_trace_v1(text).unwrap();
    let span = &trace.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.kind, span.status.as_ref().unwrap().code), (17, 9));
}
