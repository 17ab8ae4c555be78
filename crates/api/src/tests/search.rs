//! `/api/search` and `/api/suyuan/explain` from outside: parameters in, shapes and headers out.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::shop::{many_traces, shop, shop_of_two_tenants, shop_with};
use super::*;

fn search(query: &str) -> String {
    let escaped: String = query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    format!("/api/search?q={escaped}")
}

async fn check(path: &str, expected: Expect) {
    expected.assert_eq(&shop().get(path).await.drawn());
}

/// Ids of the traces found, in order.
async fn ids(server: &Server, path: &str) -> Vec<String> {
    let answer = server.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let traces = json["traces"].as_array().expect("a list");
    traces.iter().map(|trace| trace["traceID"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_trace_is_answered_with_its_spans_that_match() {
    check(&search("{ status = error && span.http.status_code >= 500 }"), expect![[r#"
        200 application/json
        {"traces":[{"traceID":"1a","rootServiceName":"gateway","rootTraceName":"GET /cart","startTimeUnixNano":"1000000000","durationMs":250,"spanSet":{"spans":[{"spanID":"0000000000000012","startTimeUnixNano":"1050000000","durationNanos":"100000000","attributes":[{"key":"http.status_code","value":{"intValue":"500"}},{"key":"status","value":{"stringValue":"error"}}]},{"spanID":"0000000000000013","startTimeUnixNano":"1160000000","durationNanos":"20000000","attributes":[{"key":"http.status_code","value":{"intValue":"503"}},{"key":"status","value":{"stringValue":"error"}}]}],"matched":2},"spanSets":[{"spans":[{"spanID":"0000000000000012","startTimeUnixNano":"1050000000","durationNanos":"100000000","attributes":[{"key":"http.status_code","value":{"intValue":"500"}},{"key":"status","value":{"stringValue":"error"}}]},{"spanID":"0000000000000013","startTimeUnixNano":"1160000000","durationNanos":"20000000","attributes":[{"key":"http.status_code","value":{"intValue":"503"}},{"key":"status","value":{"stringValue":"error"}}]}],"matched":2}],"serviceStats":{"gateway":{"spanCount":1},"payment":{"spanCount":2,"errorCount":2}}}],"metrics":{"inspectedTraces":1,"completedJobs":1,"totalJobs":1,"inspectedSpans":"5"}}"#]]).await;
}

#[tokio::test]
async fn of_many_spans_some_are_shown_and_all_are_counted() {
    let path = search("{ resource.service.name = \"payment\" } | select(name, span.card)");
    check(&format!("{path}&spss=1&limit=1&start=1&end=2"), expect![[r#"
        200 application/json
        {"traces":[{"traceID":"1a","rootServiceName":"gateway","rootTraceName":"GET /cart","startTimeUnixNano":"1000000000","durationMs":250,"spanSet":{"spans":[{"spanID":"0000000000000012","name":"charge","startTimeUnixNano":"1050000000","durationNanos":"100000000","attributes":[{"key":"card","value":{"stringValue":"visa"}},{"key":"service.name","value":{"stringValue":"payment"}}]}],"matched":2},"spanSets":[{"spans":[{"spanID":"0000000000000012","name":"charge","startTimeUnixNano":"1050000000","durationNanos":"100000000","attributes":[{"key":"card","value":{"stringValue":"visa"}},{"key":"service.name","value":{"stringValue":"payment"}}]}],"matched":2}],"serviceStats":{"gateway":{"spanCount":1},"payment":{"spanCount":2,"errorCount":2}}}],"metrics":{"inspectedTraces":1,"completedJobs":1,"totalJobs":1,"inspectedSpans":"5"}}"#]]).await;
}

#[tokio::test]
async fn a_trace_without_a_root_says_so() {
    check(&search("{ span.card =~ \"master.*\" }"), expect![[r#"
        200 application/json
        {"traces":[{"traceID":"c","rootServiceName":"\u003croot span not yet received\u003e","startTimeUnixNano":"3000000000","spanSet":{"spans":[{"spanID":"0000000000000031","startTimeUnixNano":"3000000000","attributes":[{"key":"card","value":{"stringValue":"master card"}}]}],"matched":1},"spanSets":[{"spans":[{"spanID":"0000000000000031","startTimeUnixNano":"3000000000","attributes":[{"key":"card","value":{"stringValue":"master card"}}]}],"matched":1}],"serviceStats":{"payment":{"spanCount":1}}}],"metrics":{"inspectedTraces":1,"completedJobs":1,"totalJobs":1,"inspectedSpans":"5"}}"#]]).await;
}

#[tokio::test]
async fn nothing_found_is_an_empty_list() {
    check(
        &search("{ span.no.such.key = 1 }"),
        expect![[r#"
        200 application/json
        {"traces":[],"metrics":{"completedJobs":1,"totalJobs":1}}"#]],
    )
    .await;
}

#[tokio::test]
async fn the_newest_come_first_whatever_is_asked() {
    let server = shop();
    assert_eq!(ids(&server, "/api/search").await, ["c", "b", "1a"]);
    assert_eq!(ids(&server, "/api/search?limit=2").await, ["c", "b"]);
    assert_eq!(ids(&server, "/api/search?q={}&start=0&end=0&limit=0&spss=0").await.len(), 3);
}

#[tokio::test]
async fn ranges_hold_traces_that_have_a_moment_in_them() {
    let server = shop();
    for (range, expected) in [
        ("start=1&end=2", &["b", "1a"][..]),
        ("start=1.25&end=1.5", &["1a"]),
        ("start=1.250000001&end=1.5", &[]),
        ("start=0.5&end=1", &["1a"]),
        ("start=0.5&end=0.999999999", &[]),
        ("start=2000000000&end=2050000000", &[]),
        ("start=20000000000000&end=20500000000000", &[]),
        ("start=1970-01-01T00:00:02Z&end=1970-01-01T00:00:02.5Z", &["b"]),
        ("since=1h", &[]),
    ] {
        assert_eq!(ids(&server, &format!("/api/search?{range}")).await, expected, "{range}");
    }
}

#[tokio::test]
async fn tags_and_durations_as_tempo_first_asked() {
    let server = shop();
    for (query, expected) in [
        ("tags=card%3Dvisa", &["1a"][..]),
        ("tags=card%3Da", &["c", "1a"]),
        ("tags=card%3D%22master%20card%22", &["c"]),
        ("tags=http.status_code%3D500", &["1a"]),
        ("tags=http.status_code%3D50", &[]),
        ("tags=service.name%3Dpay%20status.code%3Derror", &["1a"]),
        ("tags=name%3DGET&minDuration=100ms", &["1a"]),
        ("maxDuration=50ms", &["c", "b"]),
        ("minDuration=50ms&maxDuration=50ms", &["b"]),
        ("tags=retry%3Dtrue", &["b"]),
        ("tags=error%3Dtrue", &["1a"]),
    ] {
        assert_eq!(ids(&server, &format!("/api/search?{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_was_done_is_said_in_headers() {
    let answer = shop().get(&search("{ span.card = \"visa\" }")).await;
    let names = ["x-suyuan-exact", "x-suyuan-spans-inspected", "x-suyuan-units", "vary"];
    let said = names.map(|name| format!("{name}: {}\n", answer.header(name))).concat();
    expect![[r#"
        x-suyuan-exact: true
        x-suyuan-spans-inspected: 5
        x-suyuan-units: read=1 pruned=0 outside=0 not-needed=0
        vary: accept, accept-encoding
    "#]]
    .assert_eq(&said);
    assert!(answer.header("x-suyuan-elapsed-ms").parse::<f64>().is_ok_and(|ms| ms > 0.0));
    assert!(answer.header("x-suyuan-bytes-read").parse::<u64>().is_ok());
    assert_eq!(answer.header("x-suyuan-incomplete"), "");
}

/// What Grafana's reader knows, and nothing else (`grafana.md 1.3`).
#[tokio::test]
async fn no_member_that_a_strict_reader_refuses() {
    let answer = shop().get(&search("{ } | select(name, status, span.card)")).await;
    let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let mut paths = std::collections::BTreeSet::new();
    walk(&json, "", &mut paths);
    expect![[r#"
        .metrics.completedJobs
        .metrics.inspectedSpans
        .metrics.inspectedTraces
        .metrics.totalJobs
        .traces[].durationMs
        .traces[].rootServiceName
        .traces[].rootTraceName
        .traces[].serviceStats.*.errorCount
        .traces[].serviceStats.*.spanCount
        .traces[].spanSet.matched
        .traces[].spanSet.spans[].attributes[].key
        .traces[].spanSet.spans[].attributes[].value.stringValue
        .traces[].spanSet.spans[].durationNanos
        .traces[].spanSet.spans[].name
        .traces[].spanSet.spans[].spanID
        .traces[].spanSet.spans[].startTimeUnixNano
        .traces[].spanSets[].matched
        .traces[].spanSets[].spans[].attributes[].key
        .traces[].spanSets[].spans[].attributes[].value.stringValue
        .traces[].spanSets[].spans[].durationNanos
        .traces[].spanSets[].spans[].name
        .traces[].spanSets[].spans[].spanID
        .traces[].spanSets[].spans[].startTimeUnixNano
        .traces[].startTimeUnixNano
        .traces[].traceID
    "#]]
    .assert_eq(&paths.into_iter().map(|path| path + "\n").collect::<String>());
}

fn walk(json: &Value, path: &str, paths: &mut std::collections::BTreeSet<String>) {
    match json {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            // Names of services are data.
            let name = if path.ends_with("serviceStats") { "*" } else { name };
            walk(member, &format!("{path}.{name}"), paths);
        }),
        Value::Array(elements) => {
            elements.iter().for_each(|element| walk(element, &format!("{path}[]"), paths));
        }
        _ => _ = paths.insert(path.to_owned()),
    }
}

#[tokio::test]
async fn protobuf_is_answered_to_whoever_takes_it() {
    let accept = [("accept", "application/protobuf")];
    let answer = shop().get_with(&search("{ span.card = \"visa\" }"), &accept).await;
    assert_eq!(answer.header("content-type"), "application/protobuf");
    let mut fields = suyuan_wire::protobuf::Reader::new(&answer.body);
    let mut numbers = Vec::new();
    while let Some(field) = fields.next_field().expect("well-formed") {
        numbers.push(field.number);
        if field.number == 1 {
            let mut trace = suyuan_wire::protobuf::Reader::new(field.bytes().expect("a message"));
            let id = trace.next_field().expect("well-formed").expect("a field");
            assert_eq!((id.number, id.bytes().expect("text")), (1, &b"1a"[..]));
        }
    }
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_is_told_where_it_is_wrong() {
    let server = shop();
    let mut said = String::new();
    for query in
        ["{ .a = }", "{ status = \"error\" }", "{ } >> { }", "{ } | count() > 2", "{ } | by(name)"]
    {
        let answer = server.get(&search(query)).await;
        said += &format!(
            "{} {}: {}",
            answer.status.as_u16(),
            answer.header("x-suyuan-error"),
            answer.text()
        );
    }
    expect![[r#"
        400 parse: parse error at line 1, col 8: found `}`, expected an attribute or a literal
        { .a = }
               ^
        400 validation: invalid query at line 1, col 3: cannot compare `status`, which is a status, and `"error"`, which is text; it is a keyword, without quotes: `status = error`
        { status = "error" }
          ^^^^^^^^^^^^^^^^
        400 not-executed: structural operator `>>`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
        { } >> { }
        ^^^^^^^^^^
        400 not-executed: a filter by an aggregate such as `count() > 1`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
        { } | count() > 2
              ^^^^^^^^^^^
        400 not-executed: grouping by `by(…)`: parsed and understood, but this version does not execute it yet; it searches by one filter of spans, { ... }
        { } | by(name)
              ^^^^^^^^
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn tenants_are_searched_apart_or_together() {
    let server = shop_of_two_tenants();
    for (tenants, expected) in
        [("a", &["b", "1a"][..]), ("b", &["c"]), ("a|b", &["c", "b", "1a"]), ("other", &[])]
    {
        let answer = server.get_with("/api/search", &[("x-scope-orgid", tenants)]).await;
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let ids: Vec<_> =
            json["traces"].as_array().expect("a list").iter().map(|t| &t["traceID"]).collect();
        assert_eq!(ids, expected, "{tenants}");
    }
    assert_eq!(server.get("/api/search").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_so() {
    let server = shop();
    server.readiness.set_not_yet("replaying the log");
    let answer = server.get("/api/search").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_large_answer_is_streamed() {
    const N_TRACES: u32 = 3_000;
    let server = many_traces(N_TRACES);
    let path = format!("/api/search?limit={N_TRACES}");
    let request = Request::get(&path).body(Body::empty()).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("it never fails");
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let json: Value = serde_json::from_slice(&body).expect("JSON");
    let traces = json["traces"].as_array().expect("a list");
    assert_eq!(traces.len() as u32, N_TRACES);
    assert_eq!(traces[0]["traceID"], "bb8");
    assert_eq!(traces[2_999]["traceID"], "1");
}

#[tokio::test]
async fn a_question_that_takes_too_long_or_too_much_is_told_the_way_out() {
    let late = QueryOptions { timeout: std::time::Duration::ZERO, ..QueryOptions::default() };
    let server = shop_with(Options { query: late, ..Options::default() });
    let answer = server.get("/api/search").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{}", answer.text());
    assert!(answer.text().contains("query.timeout"), "{}", answer.text());

    let small = QueryOptions { memory_bytes_max: 1, ..QueryOptions::default() };
    let server = shop_with(Options { query: small, ..Options::default() });
    let answer = server.get("/api/search").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(answer.text().contains("memory"), "{}", answer.text());
}

#[tokio::test]
async fn a_search_is_explained() {
    let path = search("{ span.card = \"visa\" }").replace("/api/search", "/api/suyuan/explain");
    let answer = shop().get(&path).await;
    let mut json: Value = serde_json::from_slice(&answer.body).expect("JSON");
    // What depends on the machine.
    json["elapsedMs"] = Value::Null;
    json["found"]["bytesRead"] = Value::Null;
    json["found"]["requests"] = Value::Null;
    for unit in json["units"].as_array_mut().expect("a list") {
        unit["elapsedMs"] = Value::Null;
        unit["bytesRead"] = Value::Null;
        unit["live"] = Value::Null;
    }
    expect![[r#"
        {
          "asked": {
            "filter": "{ span.card = `visa` }",
            "limit": 20,
            "maxDurationNanos": null,
            "minDurationNanos": null,
            "range": null,
            "selected": [],
            "spansPerSpanSet": 3
          },
          "elapsedMs": null,
          "found": {
            "bytesRead": null,
            "exact": true,
            "matchedSpans": 1,
            "missing": null,
            "requests": null,
            "spansInspected": 5,
            "traces": 1,
            "tracesInspected": 1,
            "unitsNotNeeded": 0,
            "unitsOutside": 0,
            "unitsPruned": 0,
            "unitsRead": 1,
            "unitsToldOfMax": 10000,
            "unitsTotal": 1
          },
          "units": [
            {
              "bytesRead": null,
              "chunk": 0,
              "elapsedMs": null,
              "fate": "read",
              "live": null,
              "spans": 5,
              "spansFound": 1,
              "spansRead": 5
            }
          ]
        }"#]]
    .assert_eq(&format!("{json:#}"));
}

#[tokio::test]
async fn metrics_tell_what_searches_did() {
    let server = shop();
    server.get(&search("{ span.card = \"visa\" }")).await;
    server.get("/api/v2/search/tags").await;
    let answer = server.get("/metrics").await;
    for line in [
        "suyuan_api_queries_total{kind=\"search\",outcome=\"answered\"} 1",
        "suyuan_api_queries_total{kind=\"tag_names\",outcome=\"answered\"} 1",
        "suyuan_api_query_duration_seconds_count{kind=\"search\"} 1",
        "suyuan_api_queries_waiting 0",
        "suyuan_api_query_units_total{fate=\"read\"} 1",
    ] {
        assert!(answer.text().contains(line), "{line} is not in\n{}", answer.text());
    }
}
