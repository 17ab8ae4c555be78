//! A trace by its id: shapes, ids, parameters, tenants.

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;

use super::*;

fn with_one_trace() -> Server {
    let server = Server::new();
    server.publish(&Tenant::single(), 0, &["root", "child"]);
    server
}

async fn check(path: &str, expected: Expect) {
    expected.assert_eq(&with_one_trace().get(path).await.drawn());
}

#[tokio::test]
async fn v1_says_batches() {
    check(&format!("/api/traces/{ID}"), expect![[r#"
        200 application/json
        {"batches":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mall"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"AAAAAAAAAAAAAAAAAAAAqw==","spanId":"AAAAcwAAAAE=","name":"root","startTimeUnixNano":"1000","endTimeUnixNano":"2000","status":{}},{"traceId":"AAAAAAAAAAAAAAAAAAAAqw==","spanId":"AAAAcwAAAAI=","parentSpanId":"AAAAcwAAAAE=","name":"child","startTimeUnixNano":"1001","endTimeUnixNano":"2000","status":{}}]}]}]}"#]]).await;
}

#[tokio::test]
async fn v2_wraps_the_trace() {
    check(&format!("/api/v2/traces/{ID}"), expect![[r#"
        200 application/json
        {"trace":{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mall"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"AAAAAAAAAAAAAAAAAAAAqw==","spanId":"AAAAcwAAAAE=","name":"root","startTimeUnixNano":"1000","endTimeUnixNano":"2000","status":{}},{"traceId":"AAAAAAAAAAAAAAAAAAAAqw==","spanId":"AAAAcwAAAAI=","parentSpanId":"AAAAcwAAAAE=","name":"child","startTimeUnixNano":"1001","endTimeUnixNano":"2000","status":{}}]}]}]},"metrics":{}}"#]]).await;
}

#[tokio::test]
async fn an_unknown_trace_is_404_without_a_body_in_v1_and_an_empty_trace_in_v2() {
    check(
        "/api/traces/1",
        expect![[r#"
        404 
    "#]],
    )
    .await;
    check(
        "/api/v2/traces/1",
        expect![[r#"
        200 application/json
        {"trace":{},"metrics":{}}"#]],
    )
    .await;
    check(
        "/api/v2/traces/0",
        expect![[r#"
        200 application/json
        {"trace":{},"metrics":{}}"#]],
    )
    .await;
}

#[tokio::test]
async fn what_was_read_is_said_in_headers() {
    let server = with_one_trace();
    server.publish(&Tenant::single(), 1, &["late"]);
    let answer = server.get(&format!("/api/v2/traces/{ID}")).await;
    let said = ["x-suyuan-spans", "x-suyuan-sources", "x-suyuan-duplicates", "vary"];
    let said = said.map(|name| format!("{name}: {}\n", answer.header(name))).concat();
    expect![[r#"
        x-suyuan-spans: 3
        x-suyuan-sources: 2
        x-suyuan-duplicates: 0
        vary: accept, accept-encoding
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn ids_are_found_with_and_without_leading_zeros_in_either_case() {
    let server = with_one_trace();
    for id in ["ab", "AB", "0ab", "00000000000000ab", ID] {
        let answer = server.get(&format!("/api/v2/traces/{id}")).await;
        assert_eq!(answer.header("x-suyuan-spans"), "2", "{id}");
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused_with_the_reason() {
    check(
        "/api/traces/xyz",
        expect![[r#"
        400 text/plain; charset=utf-8
        trace id: id has a character that is not a hexadecimal digit at position 0
    "#]],
    )
    .await;
    check(
        &format!("/api/v2/traces/0{ID}"),
        expect![[r#"
        400 text/plain; charset=utf-8
        trace id: id has 33 hexadecimal digits, at most 32 are allowed
    "#]],
    )
    .await;
    check(
        "/api/v2/traces/%ff",
        expect![[r#"
        400 text/plain; charset=utf-8
        path is not valid: Invalid URL: Invalid UTF-8 in `id`
    "#]],
    )
    .await;
}

#[tokio::test]
async fn protobuf_is_chosen_by_substring_before_json() {
    let server = with_one_trace();
    for (accept, content_type) in [
        ("application/protobuf", "application/protobuf"),
        ("application/json;q=0.9, application/protobuf;q=0.1", "application/protobuf"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/vnd.grafana.llm", "application/json"),
    ] {
        let path = format!("/api/traces/{ID}");
        let answer = server.get_with(&path, &[("accept", accept)]).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
    }
}

/// Tempo's message, as much of it as an answer fills.
#[derive(Clone, PartialEq, prost::Message)]
struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<()>,
}

#[tokio::test]
async fn protobuf_answers_have_everything_that_grafana_looks_into() {
    let server = with_one_trace();
    let accept = [("accept", "application/protobuf")];
    let v1 = server.get_with(&format!("/api/traces/{ID}"), &accept).await;
    let v2 = server.get_with(&format!("/api/v2/traces/{ID}"), &accept).await;
    let v1 = TracesData::decode(&*v1.body).expect("OTLP");
    let v2 = TraceByIdResponse::decode(&*v2.body).expect("Tempo's message");
    assert_eq!(v2.trace.as_ref(), Some(&v1));
    assert!(v2.metrics.is_some());
    let group = &v1.resource_spans[0];
    assert!(group.resource.is_some() && group.scope_spans[0].scope.is_some());
    assert!(group.scope_spans[0].spans.iter().all(|span| span.status.is_some()));
    let unknown = server.get_with("/api/v2/traces/1", &accept).await;
    let unknown = TraceByIdResponse::decode(&*unknown.body).expect("Tempo's message");
    assert_eq!(unknown.trace, Some(TracesData::default()));
}

#[tokio::test]
async fn times_and_modes_are_checked_and_change_nothing() {
    let server = with_one_trace();
    for query in [
        "start=&end=",
        "start=0&end=0",
        "start=1700000000&end=1700000001",
        "start=1700000000000000000&end=1700000001",
        "start=1700000000.5",
        "end=5",
        "mode=all",
        "mode=blocks&blockStart=00000000-0000-0000-0000-000000000000",
        "q=",
        "q=%20&keep_hierarchy=true&match_depth=1",
        "something=else",
    ] {
        let answer = server.get(&format!("/api/v2/traces/{ID}?{query}")).await;
        assert_eq!((answer.status, answer.header("x-suyuan-spans")), (StatusCode::OK, "2"));
    }
}

#[tokio::test]
async fn parameters_that_mean_nothing_are_refused_with_the_reason() {
    let server = with_one_trace();
    let mut said = String::new();
    for query in ["start=2&end=1", "start=5&end=5", "start=now", "end=-1", "mode=some"] {
        let answer = server.get(&format!("/api/v2/traces/{ID}?{query}")).await;
        said += &format!("{query}: {} {}", answer.status.as_u16(), answer.text());
    }
    expect![[r#"
        start=2&end=1: 400 end must be after start
        start=5&end=5: 400 end must be after start
        start=now: 400 parameter `start` is not a time: give seconds or nanoseconds since 1970 as a number, or a date such as 2026-11-22T22:30:00Z
        end=-1: 400 parameter `end` is not a time: give seconds or nanoseconds since 1970 as a number, or a date such as 2026-11-22T22:30:00Z
        mode=some: 400 parameter `mode` must be one of: all, ingesters, blocks, external
    "#]].assert_eq(&said);
}

/// Names of the spans shown, and what is said of the rest.
async fn narrowed(server: &Server, query: &str) -> String {
    let answer = server.get(&format!("/api/v2/traces/1a?{query}")).await;
    if answer.status != StatusCode::OK {
        return format!("{} {}", answer.status.as_u16(), answer.text());
    }
    let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let groups = json["trace"]["resourceSpans"].as_array().cloned().unwrap_or_default();
    let spans =
        groups.iter().flat_map(|group| group["scopeSpans"][0]["spans"].as_array()).flatten();
    let names: Vec<_> = spans.filter_map(|span| span["name"].as_str()).collect();
    format!("{names:?} {} {}", json["status"], json["message"])
}

#[tokio::test]
async fn a_filter_shows_a_part_of_a_trace_and_says_so() {
    let server = shop::shop();
    let error = "q=%7Bstatus%3Derror%7D";
    let charge = "q=%7Bname%3D%22charge%22%7D";
    let root = "q=%7BnestedSetParent%3C0%7D";
    let mut said = String::new();
    for query in [
        "",
        "q=%7B%7D",
        error,
        charge,
        root,
        &format!("{charge}&keep_hierarchy=true"),
        &format!("{charge}&keep_hierarchy=true&ancestor_depth=0"),
        &format!("{charge}&ancestor_depth=1"),
        &format!("{root}&keep_hierarchy=true&match_depth=1"),
        &format!("{root}&keep_hierarchy=true&match_depth=-1"),
        "q=%7B.no.such%3D1%7D",
        "q=%7B%7D%20%3E%20%7B%7D",
        "q=%7B%7D%7Cselect(name)",
        "q=%7B%7D%7Crate()",
        &format!("{charge}&match_depth=-2"),
        &format!("{charge}&keep_hierarchy=perhaps"),
    ] {
        said += &format!("{query}: {}\n", narrowed(&server, query).await.trim_end());
    }
    expect![[r#"
        : ["GET /cart", "charge", "refund"] null null
        q=%7B%7D: ["GET /cart", "charge", "refund"] null null
        q=%7Bstatus%3Derror%7D: ["charge", "refund"] "PARTIAL" "1 span of the trace is not shown: it does not fulfil `q`"
        q=%7Bname%3D%22charge%22%7D: ["charge"] "PARTIAL" "2 spans of the trace are not shown: they do not fulfil `q`"
        q=%7BnestedSetParent%3C0%7D: ["GET /cart"] "PARTIAL" "2 spans of the trace are not shown: they do not fulfil `q`"
        q=%7Bname%3D%22charge%22%7D&keep_hierarchy=true: ["GET /cart", "charge"] "PARTIAL" "1 span of the trace is not shown: it does not fulfil `q`"
        q=%7Bname%3D%22charge%22%7D&keep_hierarchy=true&ancestor_depth=0: ["charge"] "PARTIAL" "2 spans of the trace are not shown: they do not fulfil `q`"
        q=%7Bname%3D%22charge%22%7D&ancestor_depth=1: ["charge"] "PARTIAL" "2 spans of the trace are not shown: they do not fulfil `q`"
        q=%7BnestedSetParent%3C0%7D&keep_hierarchy=true&match_depth=1: ["GET /cart", "charge", "refund"] null null
        q=%7BnestedSetParent%3C0%7D&keep_hierarchy=true&match_depth=-1: ["GET /cart", "charge", "refund"] null null
        q=%7B.no.such%3D1%7D: [] "PARTIAL" "3 spans of the trace are not shown: they do not fulfil `q`"
        q=%7B%7D%20%3E%20%7B%7D: 400 structural operator `>`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
        {} > {}
        ^^^^^^^
        q=%7B%7D%7Cselect(name): 400 parameter `q` of a trace is one filter of spans, { ... }, and no more
        q=%7B%7D%7Crate(): 400 parameter `q` of a trace is one filter of spans, { ... }, and no more
        q=%7Bname%3D%22charge%22%7D&match_depth=-2: 400 parameter `match_depth` is `-2`: write a number of levels, or -1 for all
        q=%7Bname%3D%22charge%22%7D&keep_hierarchy=perhaps: 400 parameter `keep_hierarchy` must be true or false
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn without_tenancy_the_header_is_ignored() {
    let server = with_one_trace();
    for header in ["", "somebody", "a|b"] {
        let path = format!("/api/v2/traces/{ID}");
        let answer = server.get_with(&path, &[("x-scope-orgid", header)]).await;
        assert_eq!(answer.header("x-suyuan-spans"), "2", "{header:?}");
    }
}

#[tokio::test]
async fn with_tenancy_a_request_sees_the_tenants_that_it_names() {
    let server = Server::with(Options { tenancy: Tenancy::On, ..Options::default() });
    server.publish(&Tenant::parse("a").expect("a name"), 0, &["of a", "of a"]);
    server.publish(&Tenant::parse("b").expect("a name"), 0, &["of b"]);
    let path = format!("/api/v2/traces/{ID}");
    let mut said = format!("no header: {}", server.get(&path).await.text());
    for header in ["a", "b", "a|b", "b|a|b", "c", "", " ", "a/b", "a|"] {
        let answer = server.get_with(&path, &[("x-scope-orgid", header)]).await;
        let spans = answer.header("x-suyuan-spans");
        let text = if spans.is_empty() { answer.text() } else { "\n" };
        said += &format!("{header:?}: {} {spans}{text}", answer.status.as_u16());
    }
    let twice = [("x-scope-orgid", "b"), ("x-scope-orgid", "b")];
    assert_eq!(server.get_with(&path, &twice).await.header("x-suyuan-spans"), "1");
    let differing = [("x-scope-orgid", "a"), ("x-scope-orgid", "b")];
    assert_eq!(server.get_with(&path, &differing).await.status, StatusCode::BAD_REQUEST);
    expect![[r#"
        no header: no org id
        "a": 200 2
        "b": 200 1
        "a|b": 200 3
        "b|a|b": 200 3
        "c": 200 0
        "": 401 no org id
        " ": 401 no org id
        "a/b": 400 org id: tenant id contains unsupported character '/'
        "a|": 400 org id: no org id
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn while_the_log_is_replayed_no_half_answer_is_given() {
    let server = with_one_trace();
    server.readiness.set_not_yet("replaying the log, 40 %");
    let answer = server.get(&format!("/api/traces/{ID}")).await;
    assert_eq!(answer.header("retry-after"), "1");
    expect![[r#"
        503 text/plain; charset=utf-8
        not ready: replaying the log, 40 %
    "#]]
    .assert_eq(&answer.drawn());
    server.readiness.set_stopping();
    assert_eq!(server.get(&format!("/api/traces/{ID}")).await.status, StatusCode::OK);
}
