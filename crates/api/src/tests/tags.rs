//! Names and values of tags from outside: paths, parameters, shapes.

use expect_test::{Expect, expect};

use super::shop::{shop, shop_of_two_tenants};
use super::*;

async fn check(path: &str, expected: Expect) {
    expected.assert_eq(&shop().get(path).await.drawn());
}

#[tokio::test]
async fn names_by_scope() {
    check("/api/v2/search/tags?scope=resource", expect![""]).await;
    check("/api/v2/search/tags?scope=span", expect![""]).await;
    check("/api/v2/search/tags?scope=span&limit=2", expect![""]).await;
    check("/api/v2/search/tags?scope=event", expect![""]).await;
    check("/api/v2/search/tags?scope=everything", expect![""]).await;
}

#[tokio::test]
async fn names_without_scopes() {
    check("/api/search/tags", expect![""]).await;
    check("/api/search/tags?scope=none&limit=0", expect![""]).await;
    check("/api/search/tags?scope=resource", expect![""]).await;
}

#[tokio::test]
async fn names_of_spans_that_fulfil_a_half_typed_query() {
    check("/api/v2/search/tags?scope=span&q=%7Bspan.card%3D%22visa%22%20%26%26%20", expect![""])
        .await;
    check("/api/v2/search/tags?scope=span&q=%7B%7B%7B", expect![""]).await;
}

#[tokio::test]
async fn values_with_types() {
    check("/api/v2/search/tag/span.card/values", expect![""]).await;
    check("/api/v2/search/tag/span.http.status_code/values?limit=2", expect![""]).await;
    check("/api/v2/search/tag/resource.service.name/values", expect![""]).await;
    check("/api/v2/search/tag/.retry/values", expect![""]).await;
    check("/api/v2/search/tag/status/values", expect![""]).await;
    check("/api/v2/search/tag/span:duration/values", expect![""]).await;
    check("/api/v2/search/tag/name/values?q=%7Bstatus%3Derror%7D", expect![""]).await;
    check("/api/v2/search/tag/span.nothing/values", expect![""]).await;
}

#[tokio::test]
async fn values_without_types() {
    check("/api/search/tag/http.status_code/values", expect![""]).await;
    check("/api/search/tag/service.name/values", expect![""]).await;
    check("/api/search/tag/status.code/values", expect![""]).await;
    check("/api/search/tag/error/values", expect![""]).await;
}

/// The path is what is left when escapes are undone; a name may have slashes and blanks in it.
#[tokio::test]
async fn names_with_slashes_and_escapes_are_found_in_the_path() {
    for path in [
        "/api/v2/search/tag/resource.k8s.pod/name/values",
        "/api/v2/search/tag/resource.k8s.pod%2Fname/values",
        "/api/v2/search/tag/span.%22a%20b%22/values",
        "/api/v2/search/tag/span.values/values",
        "/api/v2/search/tag/span./values/values",
        "/api/search/tag/a/b/c/values?tag=ignored",
    ] {
        let answer = shop().get(path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, NO_VALUES), "{path}");
    }
}

const NO_VALUES: &str = r#"{"tagValues":[],"metrics":{"totalJobs":1,"completedJobs":1}}"#;

#[tokio::test]
async fn what_is_no_tag_is_refused_with_the_reason() {
    check("/api/v2/search/tag/card/values", expect![""]).await;
    check("/api/v2/search/tag//values", expect![""]).await;
    check("/api/v2/search/tag/span.card", expect![""]).await;
    check("/api/v2/search/tag/%ff/values", expect![""]).await;
    check("/api/v2/search/tags?start=5", expect![""]).await;
    check("/api/v2/search/tags?limit=x", expect![""]).await;
}

#[tokio::test]
async fn protobuf_is_answered_to_whoever_takes_it() {
    let accept = [("accept", "application/protobuf")];
    let answer = shop().get_with("/api/search/tag/card/values", &accept).await;
    assert_eq!(answer.header("content-type"), "application/protobuf");
    let mut fields = suyuan_wire::protobuf::Reader::new(&answer.body);
    let first = fields.next_field().expect("well-formed").expect("a field");
    assert_eq!((first.number, first.bytes().expect("text")), (1, &b"master card"[..]));
    let answer = shop().get_with("/api/search/tag/error/values", &accept).await;
    assert_eq!(answer.header("content-type"), "application/protobuf");
}

#[tokio::test]
async fn tenants_see_their_own_names_and_values() {
    let server = shop_of_two_tenants();
    let path = "/api/search/tag/card/values";
    let mut said = String::new();
    for tenants in ["a", "b", "a|b", "c"] {
        let answer = server.get_with(path, &[("x-scope-orgid", tenants)]).await;
        said += &format!("{tenants}: {}\n", answer.text());
    }
    expect![""].assert_eq(&said);
    assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/api/search/tag/error/values").await.status, StatusCode::UNAUTHORIZED);
}
