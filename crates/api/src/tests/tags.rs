//! Names and values of tags from outside: paths, parameters, shapes.

use expect_test::{Expect, expect};

use super::shop::{shop, shop_of_two_tenants};
use super::*;

async fn check(path: &str, expected: Expect) {
    expected.assert_eq(&shop().get(path).await.drawn());
}

#[tokio::test]
async fn names_by_scope() {
    check("/api/v2/search/tags?scope=resource", expect![[r#"
        200 application/json
        {"scopes":[{"name":"resource","tags":["service.name"]}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tags?scope=span", expect![[r#"
        200 application/json
        {"scopes":[{"name":"span","tags":["card","http.status_code","retry","url.path"]}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tags?scope=span&limit=2", expect![[r#"
        200 application/json
        {"scopes":[{"name":"span","tags":["card","http.status_code"]}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check(
        "/api/v2/search/tags?scope=event",
        expect![[r#"
        200 application/json
        {"scopes":[],"metrics":{"totalJobs":1,"completedJobs":1}}"#]],
    )
    .await;
    check("/api/v2/search/tags?scope=everything", expect![[r#"
        400 text/plain; charset=utf-8
        parameter `scope` is `everything`: use one of resource, span, event, link, instrumentation, intrinsic, none
    "#]]).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_says_so() {
    let server = shop();
    for (path, is_cut) in [
        ("/api/v2/search/tags?scope=span&limit=3", "true"),
        ("/api/v2/search/tags?scope=span&limit=4", ""),
        ("/api/v2/search/tag/span.card/values?limit=1", "true"),
        ("/api/v2/search/tag/span.card/values?limit=2", ""),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-suyuan-cut"), is_cut, "{path}");
        assert_eq!(answer.header("x-suyuan-exact"), "true", "{path}");
    }
}

#[tokio::test]
async fn names_without_scopes() {
    check("/api/search/tags", expect![[r#"
        200 application/json
        {"tagNames":["card","http.status_code","retry","service.name","url.path"],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/search/tags?scope=none&limit=0", expect![[r#"
        200 application/json
        {"tagNames":["card","http.status_code","retry","service.name","url.path"],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check(
        "/api/search/tags?scope=resource",
        expect![[r#"
        200 application/json
        {"tagNames":["service.name"],"metrics":{"totalJobs":1,"completedJobs":1}}"#]],
    )
    .await;
}

#[tokio::test]
async fn names_of_spans_that_fulfil_a_half_typed_query() {
    check("/api/v2/search/tags?scope=span&q=%7Bspan.card%3D%22visa%22%20%26%26%20", expect![[r#"
        200 application/json
        {"scopes":[{"name":"span","tags":["card","http.status_code"]}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]])
        .await;
    check("/api/v2/search/tags?scope=span&q=%7B%7B%7B", expect![[r#"
        200 application/json
        {"scopes":[{"name":"span","tags":["card","http.status_code","retry","url.path"]}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
}

#[tokio::test]
async fn values_with_types() {
    check("/api/v2/search/tag/span.card/values", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"string","value":"master card"},{"type":"string","value":"visa"}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tag/span.http.status_code/values?limit=2", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"int","value":"200"},{"type":"int","value":"500"}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tag/resource.service.name/values", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"string","value":"gateway"},{"type":"string","value":"payment"}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tag/.retry/values", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"bool","value":"true"}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check("/api/v2/search/tag/status/values", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"keyword","value":"error"},{"type":"keyword","value":"ok"},{"type":"keyword","value":"unset"}],"metrics":{}}"#]]).await;
    check(
        "/api/v2/search/tag/span:duration/values",
        expect![[r#"
        200 application/json
        {"tagValues":[],"metrics":{}}"#]],
    )
    .await;
    check("/api/v2/search/tag/name/values?q=%7Bstatus%3Derror%7D", expect![[r#"
        200 application/json
        {"tagValues":[{"type":"string","value":"charge"},{"type":"string","value":"refund"}],"metrics":{"totalJobs":1,"completedJobs":1}}"#]]).await;
    check(
        "/api/v2/search/tag/span.nothing/values",
        expect![[r#"
        200 application/json
        {"tagValues":[],"metrics":{"totalJobs":1,"completedJobs":1}}"#]],
    )
    .await;
}

#[tokio::test]
async fn values_without_types() {
    check(
        "/api/search/tag/http.status_code/values",
        expect![[r#"
        200 application/json
        {"tagValues":["200","500","503"],"metrics":{"totalJobs":1,"completedJobs":1}}"#]],
    )
    .await;
    check(
        "/api/search/tag/service.name/values",
        expect![[r#"
        200 application/json
        {"tagValues":["gateway","payment"],"metrics":{"totalJobs":1,"completedJobs":1}}"#]],
    )
    .await;
    check(
        "/api/search/tag/status.code/values",
        expect![[r#"
        200 application/json
        {"tagValues":["error","ok","unset"],"metrics":{}}"#]],
    )
    .await;
    check(
        "/api/search/tag/error/values",
        expect![[r#"
        200 application/json
        {"tagValues":["true"],"metrics":{}}"#]],
    )
    .await;
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
    check("/api/v2/search/tag/card/values", expect![[r#"
        400 text/plain; charset=utf-8
        `card` is no tag: parse error at line 1, col 1: found unknown name `card`, expected an attribute, an intrinsic or a literal; attributes begin with a dot or their scope: `.card`, `span.card`, `resource.card`
    "#]]).await;
    check(
        "/api/v2/search/tag//values",
        expect![[r#"
        400 text/plain; charset=utf-8
        the path ends in /api/v2/search/tag/{tag}/values, with the name of a tag in it
    "#]],
    )
    .await;
    check(
        "/api/v2/search/tag/span.card",
        expect![[r#"
        400 text/plain; charset=utf-8
        the path ends in /api/v2/search/tag/{tag}/values, with the name of a tag in it
    "#]],
    )
    .await;
    check(
        "/api/v2/search/tag/%ff/values",
        expect![[r#"
        400 text/plain; charset=utf-8
        path is not valid: Invalid URL: Invalid UTF-8 in `tag`
    "#]],
    )
    .await;
    check(
        "/api/v2/search/tags?start=5",
        expect![[r#"
        400 text/plain; charset=utf-8
        only one of start and end is given: give both, or neither to search any time
    "#]],
    )
    .await;
    check(
        "/api/v2/search/tags?limit=x",
        expect![[r#"
        400 text/plain; charset=utf-8
        parameter `limit` is `x`, which is not a whole number
    "#]],
    )
    .await;
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
    expect![[r#"
        a: {"tagValues":["visa"],"metrics":{"totalJobs":1,"completedJobs":1}}
        b: {"tagValues":["master card"],"metrics":{"totalJobs":1,"completedJobs":1}}
        a|b: {"tagValues":["master card","visa"],"metrics":{"totalJobs":2,"completedJobs":2}}
        c: {"tagValues":[],"metrics":{}}
    "#]]
    .assert_eq(&said);
    assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/api/search/tag/error/values").await.status, StatusCode::UNAUTHORIZED);
}

/// In a block tenants share files, slices and dictionaries.
#[tokio::test]
async fn a_block_of_two_tenants_tells_each_what_live_data_told_it() {
    let server = shop_of_two_tenants();
    server.start_sealing();
    let live = told(&server).await;
    assert_eq!(server.post("/api/admin/flush", &[]).await.status, StatusCode::OK);
    let explained = server.get_with("/api/suyuan/explain", &[("x-scope-orgid", "a")]).await;
    assert!(explained.text().contains("\"slice\":0"), "{}", explained.text());
    assert_eq!(told(&server).await, live);
    for (tenant, foreign) in [("a", "master card"), ("b", "http.status_code")] {
        let of_tenant: Vec<_> = live.iter().filter(|(asked, ..)| *asked == tenant).collect();
        assert!(of_tenant.iter().all(|(.., answer)| !answer.contains(foreign)), "{of_tenant:?}");
    }
}

/// What each tenant is told: tenant, path, answer without metrics.
async fn told(server: &Server) -> Vec<(&'static str, String, String)> {
    let status = "q=%7Bstatus!%3Derror%7D";
    let mut told = Vec::new();
    for tenant in ["a", "b"] {
        for path in [
            "/api/search".to_owned(),
            "/api/v2/search/tags".to_owned(),
            format!("/api/v2/search/tags?{status}"),
            "/api/v2/search/tag/.card/values".to_owned(),
            "/api/v2/search/tag/.http.status_code/values".to_owned(),
            format!("/api/v2/search/tag/name/values?{status}"),
            "/api/v2/search/tag/name/values".to_owned(),
            "/api/v2/search/tag/resource.service.name/values".to_owned(),
            "/api/v2/search/tag/trace:id/values".to_owned(),
            "/api/v2/search/tag/trace:rootName/values".to_owned(),
        ] {
            let answer = server.get_with(&path, &[("x-scope-orgid", tenant)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let (body, _) = answer.text().rsplit_once(",\"metrics\"").expect("metrics");
            told.push((tenant, path, body.to_owned()));
        }
    }
    told
}
