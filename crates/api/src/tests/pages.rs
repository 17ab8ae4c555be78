//! Pages about the server, paths that do not exist, gRPC.

use super::*;

async fn check(path: &str, expected: Expect) {
    expected.assert_eq(&Server::new().get(path).await.drawn());
}

#[tokio::test]
async fn echo_and_ready() {
    check(
        "/api/echo",
        expect![[r#"
        200 text/plain; charset=utf-8
        echo
    "#]],
    )
    .await;
    check(
        "/ready",
        expect![[r#"
        200 text/plain; charset=utf-8
        ready
    "#]],
    )
    .await;
    let server = Server::new();
    server.readiness.set_not_yet("replaying the log");
    expect![[r#"
        503 text/plain; charset=utf-8
        not ready: replaying the log
    "#]]
    .assert_eq(&server.get("/ready").await.drawn());
    server.readiness.set_stopping();
    expect![[r#"
        503 text/plain; charset=utf-8
        not ready: stopping
    "#]]
    .assert_eq(&server.get("/ready").await.drawn());
}

#[tokio::test]
async fn build_info_has_tempos_members_and_no_others() {
    check("/api/status/buildinfo", expect![[r#"
        200 application/json
        {"branch":"suyuan-0.1.0","buildDate":"","buildUser":"suyuan","goVersion":"","revision":"","version":"2.10.0"}"#]]).await;
}

#[tokio::test]
async fn status_pages() {
    check(
        "/status/version",
        expect![[r#"
        200 text/plain; charset=utf-8
        suyuan 0.1.0 (revision unknown), API of Tempo 2.10.0
    "#]],
    )
    .await;
    check(
        "/status/services",
        expect![[r#"
            200 text/plain; charset=utf-8
            api: running
            live spans: 0
            blocks: 0, 0 spans, 0 bytes
            tenants: off
        "#]],
    )
    .await;
    check(
        "/status/config",
        expect![[r#"
        200 text/plain; charset=utf-8
        [server]
    "#]],
    )
    .await;
    check(
        "/status/nothing",
        expect![[r#"
        404 text/plain; charset=utf-8
        no such page: try /status/version, /status/services, /status/endpoints or /status/config
    "#]],
    )
    .await;
    let all = Server::new().get("/status").await;
    for page in ["version", "services", "endpoints", "config"] {
        let one = Server::new().get(&format!("/status/{page}")).await;
        assert!(all.text().contains(one.text()), "{page}");
    }
}

#[tokio::test]
async fn what_the_index_lists_exists() {
    let server = Server::new();
    let index = server.get("/").await;
    let paths = index.text().lines().filter_map(|line| line.strip_prefix("GET "));
    let paths: Vec<&str> = paths.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        let path = path.replace("{id}", "1").replace("{tag}", "name");
        let answer = server.get(&path).await;
        let is_unknown_trace = answer.status == StatusCode::NOT_FOUND && answer.body.is_empty();
        assert!(answer.status == StatusCode::OK || is_unknown_trace, "{path}");
    }
}

#[tokio::test]
async fn errors_are_plain_text_with_a_hint() {
    check("/v1/traces", expect![[r#"
        404 text/plain; charset=utf-8
        nothing is served at this path: / lists what is. Traces are received on other ports, OTLP over gRPC on 4317 and over HTTP on 4318
    "#]]).await;
    check(
        "/api/metrics/query_range",
        expect![[r#"
            404 text/plain; charset=utf-8
            trace metrics are not served yet: traces are searched at /api/search
        "#]],
    )
    .await;
    let server = Server::new();
    let request = Request::post("/api/echo").body(Body::empty()).expect("a request");
    let answer = server.send(request).await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
    expect![[r#"
        405 text/plain; charset=utf-8
        not with this method: / says which path takes what
    "#]]
    .assert_eq(&answer.drawn());
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_status() {
    let server = Server::new();
    server.get("/api/v2/traces/1").await;
    server.get("/api/v2/traces/2").await;
    server.get("/api/v2/traces/xyz").await;
    server.get("/no/such/path").await;
    let answer = server.get("/metrics").await;
    let counted: Vec<&str> =
        answer.text().lines().filter(|line| line.starts_with("suyuan_api_requests_")).collect();
    let mut counted = counted;
    counted.sort_unstable();
    expect![[r#"
        suyuan_api_requests_total{route="/api/v2/traces/{id}",status="200"} 2
        suyuan_api_requests_total{route="/api/v2/traces/{id}",status="400"} 1
        suyuan_api_requests_total{route="unknown",status="404"} 1"#]]
    .assert_eq(&counted.join("\n"));
    assert!(answer.text().contains("suyuan_api_request_duration_seconds_bucket{"));
    assert!(answer.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_are_plain_text_to_whoever_does_not_ask_for_openmetrics() {
    let server = Server::new();
    for (accept, content_type) in [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let answer = server.get_with("/metrics", &[("accept", accept)]).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
    }
}

#[tokio::test]
async fn a_grpc_client_hears_that_the_method_does_not_exist() {
    let request = Request::post("/tempopb.StreamingQuerier/Search")
        .header("content-type", "application/grpc+proto")
        .body(Body::empty())
        .expect("a request");
    let answer = Server::new().send(request).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    assert_eq!(answer.header("content-type"), "application/grpc");
    assert_eq!(answer.header("grpc-status"), "12");
    assert!(answer.header("grpc-message").contains("/api/v2/traces/{id}"));
}
