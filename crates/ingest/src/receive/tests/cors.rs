//! Pages that send from the browser.

use super::*;

fn allowing(origins: &[&str]) -> Options {
    let cors_allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Options { cors_allowed_origins, ..Options::default() }
}

fn preflight(origin: &str) -> Request1 {
    post("")
        .start("OPTIONS /v1/traces")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-scope-orgid,authorization")
        .header("access-control-request-private-network", "true")
}

#[tokio::test]
async fn off_by_default() {
    let server = Server::start(Options::default()).await;
    let answer = preflight("https://shop.example").send(&server).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let answer = json("{}").header("origin", "https://shop.example").send(&server).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn named_origin_is_answered_by_name() {
    let server = Server::start(allowing(&["https://shop.example", "http://*.test:8080"])).await;
    for origin in ["https://shop.example", "http://a.b.test:8080"] {
        let answer = preflight(origin).send(&server).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-methods"), "POST");
        assert_eq!(
            answer.header("access-control-allow-headers"),
            "content-type,x-scope-orgid,authorization"
        );
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-allow-private-network"), "true");
        assert_eq!(answer.header("access-control-max-age"), "7200");
        assert!(answer.header("vary").contains("origin"));

        let answer = json("{}").header("origin", origin).send(&server).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("vary"), "origin");
    }
}

#[tokio::test]
async fn refusals_can_be_read_by_the_page() {
    let options = allowing(&["https://shop.example"]);
    let server = Server::answering(options, Err(Refusal::Overloaded)).await;
    let answer = json("{}").header("origin", "https://shop.example").send(&server).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
}

#[tokio::test]
async fn other_origins_get_nothing() {
    let server = Server::start(allowing(&["https://shop.example", "http://*.test"])).await;
    let others =
        ["https://shop.example.evil", "http://shop.example", "null", "http://.test", "http://test"];
    for origin in others {
        let answer = preflight(origin).send(&server).await;
        assert_eq!(answer.status, 204, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        assert_eq!(answer.header("access-control-allow-headers"), "", "{origin}");
    }
}

#[tokio::test]
async fn any_origin_gets_no_credentials() {
    let server = Server::start(allowing(&["*"])).await;
    let answer = preflight("https://anywhere.example").send(&server).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
}
