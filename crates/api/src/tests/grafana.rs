//! What Grafana's Tempo data source and Traces Drilldown send (`grafana.md 1.1`, `2`), as they
//! write it: parameters as Go's encoder orders and escapes them, headers as its client sends them.

use serde_json::Value;

use super::shop::shop;
use super::*;

/// As Go's `url.Values` writes a value.
fn escaped(text: &str) -> String {
    let escape = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

const RANGE: (u32, u32) = (1, 4);

fn search(q: &str, limit: u32, spss: u32) -> String {
    let ((start, end), q) = (RANGE, escaped(q));
    format!("/api/search?end={end}&limit={limit}&q={q}&spss={spss}&start={start}")
}

async fn json(server: &Server, path: &str) -> Value {
    let headers = [("accept", "application/json"), ("accept-encoding", "gzip")];
    let answer = server.get_with(path, &headers).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json", "{path}");
    let mut body = answer.body.clone();
    if answer.header("content-encoding") == "gzip" {
        body.clear();
        let mut decoder = flate2::read::GzDecoder::new(&*answer.body);
        std::io::Read::read_to_end(&mut decoder, &mut body).expect("gzip");
    }
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test]
async fn save_and_test_asks_for_an_echo() {
    assert_eq!(shop().get("/api/echo").await.drawn(), "200 text/plain; charset=utf-8\necho\n");
}

#[tokio::test]
async fn a_trace_is_asked_for_in_protobuf_and_again_in_v1() {
    let server = shop();
    let accept = [("accept", "application/protobuf")];
    for (path, status) in [
        ("/api/v2/traces/1a", 200),
        ("/api/v2/traces/1a?end=4&start=1", 200),
        ("/api/v2/traces/ff", 200),
        ("/api/traces/1a", 200),
        ("/api/traces/ff", 404),
    ] {
        let answer = server.get_with(path, &accept).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert!(status == 200 || answer.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn queries_of_the_search_tab_and_of_drilldown_are_answered() {
    let server = shop();
    for (q, limit, spss, n_traces) in [
        ("{}", 20, 3, 3),
        ("{nestedSetParent<0 && true}", 20, 3, 2),
        ("{resource.service.name=\"payment\" && name=\"charge\" && duration>50ms}", 20, 3, 1),
        ("{(name=\"charge\" || name=\"refund\")}", 20, 3, 2),
        ("{name=~\"charge|refund\"}", 20, 3, 2),
        ("{kind!=server && status=error}", 20, 3, 1),
        ("{} | rate()", 1, 1, 1),
        ("{nestedSetParent<0} | rate() with(sample=true)", 20, 3, 2),
        (
            "{nestedSetParent<0 && span.card != nil && status=error} | rate() by(span.card)",
            20,
            3,
            0,
        ),
        (
            "{true && status = error} | select(resource.service.name, \
             event.exception.message,event.exception.stacktrace,event.exception.type) \
             with(most_recent=true)",
            400,
            10,
            1,
        ),
        (
            "{true && duration > 10ms} | select(status, resource.service.name, name, \
             nestedSetParent, nestedSetLeft, nestedSetRight)",
            200,
            20,
            2,
        ),
        ("{span.db.system.name!=\"\"}", 200, 10, 0),
    ] {
        let answer = json(&server, &search(q, limit, spss)).await;
        assert_eq!(answer["traces"].as_array().expect("a list").len(), n_traces, "{q}: {answer}");
        assert!(answer["metrics"].is_object(), "{q}");
    }
    let structure = "({nestedSetParent<0} &>> { kind = server }) || ({nestedSetParent<0})";
    let answer = server.get(&search(structure, 200, 20)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("x-suyuan-error"), "not-executed");
}

/// Grafana offers what is listed, and asks for the values of whatever its user picks.
#[tokio::test]
async fn values_of_every_name_that_is_listed_can_be_asked_for() {
    let server = shop();
    let (start, end) = RANGE;
    let range = format!("limit=5000&start={start}");
    let names = json(&server, &format!("/api/v2/search/tags?end={end}&{range}")).await;
    let mut n_asked = 0;
    for scope in names["scopes"].as_array().expect("a list") {
        let scope_name = scope["name"].as_str().expect("text");
        for tag in scope["tags"].as_array().expect("a list") {
            let tag = tag.as_str().expect("text");
            let tags = match scope_name {
                "intrinsic" => vec![tag.to_owned()],
                _ => vec![format!("{scope_name}.{tag}"), format!(".{tag}")],
            };
            for tag in tags {
                let (tag, q) = (escaped(&tag), escaped("{nestedSetParent<0 && }"));
                let parameters = format!("end={end}&q={q}&{range}&tag={tag}");
                let path = format!("/api/v2/search/tag/{tag}/values?{parameters}");
                assert!(json(&server, &path).await["tagValues"].is_array(), "{tag}");
                n_asked += 1;
            }
        }
    }
    assert_eq!(n_asked, 24 + 2 * 5);
}

/// `tempo-cli` writes every parameter, given or not (`grafana.md 1.3b`).
#[tokio::test]
async fn parameters_that_are_empty_or_zero_are_not_given() {
    let server = shop();
    for path in [
        "/api/search?q=%7B%7D&spss=0&limit=0&start=&end=&tags=&minDuration=&maxDuration=",
        "/api/search?start=0&end=4&q=%7B%7D",
        "/api/v2/search/tags?scope=&q=&start=0&end=0&limit=0&maxStaleValues=0",
        "/api/v2/search/tag/name/values?q=&start=&end=&limit=0&maxStaleValues=0",
    ] {
        json(&server, path).await;
    }
}

/// Conditions that alternate would nest as deeply as they are many.
#[tokio::test]
async fn a_filter_of_many_conditions_is_answered_or_refused_and_no_danger() {
    let server = shop();
    let alternating = vec![".a=1%26%26.b=1"; 4_000].join("||");
    let repeated = vec![".a=1"; 6_500].join("%26%26");
    let different: Vec<String> = (0..1_000).map(|n| format!(".a={n}")).collect();
    for (q, status) in [(alternating, 400), (repeated, 200), (different.join("%26%26"), 200)] {
        for path in ["/api/v2/search/tags", "/api/v2/search/tag/name/values"] {
            let answer = server.get(&format!("{path}?q={{{q}}}")).await;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        }
    }
}
