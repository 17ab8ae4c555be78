//! Names and values of attributes, over live data and blocks.

mod tags {
    mod random;
    pub(crate) mod store;
}

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use suyuan_block::meta::TimeRange;
use suyuan_model::Tenant;
use suyuan_query::parallel::Threads;
use suyuan_query::search::{Budget, QueryError};
use suyuan_query::tags::{
    LegacyTag, TAG_BYTES_MAX, TAG_LIMIT, TagNames, TagNamesRequest, TagScope, TagValues,
    TagValuesRequest, legacy_tag, tag_names, tag_values,
};
use suyuan_testkit::traceql::span::{RefSpan, RefValue};
use suyuan_traceql::{lenient, parse_attribute};
use tags::store::TestStore;

const SHOP: &str = r#"
trace 1 @10:00:00
  gateway/GET /cart  server 120ms http.route="/cart" http.status=200 (resource pod="a" cores=4)
    cart/load  client +10ms 30ms error message:"no stock" tags=["x", "y"] http.status=500 (resource pod="b")
      ! exception  +5ms exception.type="Timeout"
      & 0a0b 0c why="retry"
trace 2 @10:05:00
  gateway/GET /pay  server 20ms http.route="/pay" http.status=200 paid=true (resource pod="c") (scope "lib" "1.2" debug=true)
    pay/charge  client +1ms 3ms amount=1.5 http.status="none" tags=[1, "z"]
"#;

fn budget() -> Budget {
    Budget {
        deadline: Instant::now() + Duration::from_mins(1),
        memory_bytes: 256 << 20,
        threads: Threads::new(1),
        cancelled: Arc::new(AtomicBool::new(false)),
    }
}

fn names_request(scope: Option<TagScope>, q: &str) -> TagNamesRequest {
    TagNamesRequest {
        scope,
        range: None,
        filter: lenient::parse(q).expect("within the limits"),
        limit: TAG_LIMIT,
        bytes_max: TAG_BYTES_MAX,
    }
}

fn values_request(tag: &str, q: &str) -> TagValuesRequest {
    TagValuesRequest {
        attribute: parse_attribute(tag).expect("an attribute"),
        range: None,
        filter: lenient::parse(q).expect("within the limits"),
        limit: TAG_LIMIT,
        bytes_max: TAG_BYTES_MAX,
    }
}

fn names(store: &TestStore, tenant: &Tenant, request: &TagNamesRequest) -> TagNames {
    let found = tag_names(&store.snapshot(tenant), request, &budget()).expect("an answer");
    assert_eq!(found.accounting.skipped, []);
    found
}

fn values(store: &TestStore, tenant: &Tenant, request: &TagValuesRequest) -> TagValues {
    let found = tag_values(&store.snapshot(tenant), request, &budget()).expect("an answer");
    assert_eq!(found.accounting.skipped, []);
    found
}

fn show_names(found: &TagNames) -> String {
    let mut shown = String::new();
    for (scope, names) in found.scopes.iter().filter(|(scope, _)| *scope != TagScope::Intrinsic) {
        shown += &format!("{}: {}\n", scope.name(), names.join(" "));
    }
    shown + if found.is_cut { "cut\n" } else { "" }
}

fn show_values(found: &TagValues) -> String {
    let mut shown: Vec<String> =
        (found.values.iter()).map(|value| format!("{} {value}", value.type_name())).collect();
    if found.is_cut {
        shown.push("cut".to_owned());
    }
    shown.join(", ")
}

/// The same spans live, in a block, and the first trace in a block and the second one live.
fn stores(drawing: &str) -> Vec<(&'static str, TestStore)> {
    let anna = tenant("anna");
    let live = TestStore::new();
    live.publish(&anna, drawing);
    let block = TestStore::new();
    block.publish(&anna, drawing);
    block.flush();
    let both = TestStore::new();
    let (first, second) = drawing.split_once("trace 2").expect("two traces");
    both.publish(&anna, first);
    both.flush();
    both.publish(&anna, &format!("trace 2{second}"));
    vec![("live", live), ("block", block), ("both", both)]
}

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).expect("a name")
}

/// Wherever the spans lie the answer is the same.
fn check(answer: impl Fn(&TestStore) -> String, expected: Expect) {
    let answers: Vec<_> = stores(SHOP).iter().map(|(name, store)| (*name, answer(store))).collect();
    expected.assert_eq(&answers[0].1);
    for (name, answer) in &answers {
        assert_eq!(answer, &answers[0].1, "{name}");
    }
}

fn check_names(q: &str, expected: Expect) {
    let request = names_request(None, q);
    check(|store| show_names(&names(store, &tenant("anna"), &request)), expected);
}

fn check_values(tag: &str, q: &str, expected: Expect) {
    let request = values_request(tag, q);
    check(|store| show_values(&values(store, &tenant("anna"), &request)), expected);
}

#[test]
fn names_come_by_scope() {
    check_names(
        "",
        expect![[r#"
        resource: cores pod service.name
        span: amount http.route http.status paid tags
        event: exception.type
        link: why
        instrumentation: debug
    "#]],
    );
}

#[test]
fn names_of_spans_that_fulfil_a_filter() {
    check_names(
        "{ span.http.route = \"/cart\" }",
        expect![[r#"
        resource: cores pod service.name
        span: http.route http.status
    "#]],
    );
    check_names(
        "{ status = error && span.x = ",
        expect![[r#"
        resource: pod service.name
        span: http.status tags
        event: exception.type
        link: why
    "#]],
    );
    check_names(
        "{ name = \"charge\" }",
        expect![[r#"
        resource: service.name
        span: amount http.status tags
    "#]],
    );
    check_names("{ name = \"nobody\" }", expect![]);
}

#[test]
fn a_scope_can_be_asked_for_alone() {
    let (_, store) = stores(SHOP).remove(0);
    let anna = tenant("anna");
    let found = names(&store, &anna, &names_request(Some(TagScope::Event), ""));
    assert_eq!(show_names(&found), "event: exception.type\n");
    let found = names(&store, &anna, &names_request(Some(TagScope::Intrinsic), ""));
    let [(TagScope::Intrinsic, words)] = &found.scopes[..] else { panic!("one scope") };
    assert!(words.is_sorted() && words.iter().any(|word| &**word == "span:status"));
    // Nothing was read for it.
    assert_eq!(found.accounting.units_total, 0);
}

#[test]
fn values_have_types_and_an_order() {
    check_values("span.http.status", "", expect!["string none, int 200, int 500"]);
    check_values("span.http.route", "", expect!["string /cart, string /pay"]);
    check_values("span.amount", "", expect!["float 1.5"]);
    check_values("span.paid", "", expect!["bool true"]);
    check_values("span.nobody", "", expect![]);
    check_values("resource.cores", "", expect!["int 4"]);
    check_values("resource.service.name", "", expect!["string cart, string gateway, string pay"]);
    check_values("instrumentation.debug", "", expect!["bool true"]);
    check_values("event.exception.type", "", expect!["string Timeout"]);
    check_values("link.why", "", expect!["string retry"]);
}

#[test]
fn elements_of_an_array_are_values_if_queries_can_find_them() {
    check_values("span.tags", "", expect!["string x, string y"]);
}

#[test]
fn a_tag_without_scope_is_looked_for_in_spans_and_resources() {
    check_values(".pod", "", expect!["string a, string b, string c"]);
    check_values(".http.route", "", expect!["string /cart, string /pay"]);
    check_values(".exception.type", "", expect![]);
}

#[test]
fn values_of_intrinsics() {
    check_values(
        "name",
        "",
        expect!["string GET /cart, string GET /pay, string charge, string load"],
    );
    check_values("statusMessage", "", expect!["string no stock"]);
    check_values("event:name", "", expect!["string exception"]);
    check_values("event:timeSinceStart", "", expect!["duration 5ms"]);
    check_values("instrumentation:name", "", expect!["string lib"]);
    check_values("instrumentation:version", "", expect!["string 1.2"]);
    check_values("rootName", "", expect!["string GET /cart, string GET /pay"]);
    check_values("trace:rootService", "", expect!["string gateway"]);
    check_values(
        "trace:id",
        "",
        expect!["string 5a5a5a5a5a5a5a5a0000000000000001, string 5a5a5a5a5a5a5a5a0000000000000002"],
    );
    check_values("span:id", "", expect!["string 0000000000000001, string 0000000000000002"]);
    check_values("span:parentID", "", expect!["string 0000000000000001"]);
    check_values("link:spanID", "", expect!["string 0c"]);
    check_values("link:traceID", "", expect!["string 0a0b"]);
    check_values("status", "", expect!["keyword error, keyword ok, keyword unset"]);
    check_values(
        "span:kind",
        "{ name = \"nobody\" }",
        expect![
            "keyword client, keyword consumer, keyword internal, keyword producer, keyword server, keyword unspecified"
        ],
    );
    check_values("duration", "", expect![]);
    check_values("trace:duration", "", expect![]);
}

#[test]
fn values_of_spans_that_fulfil_a_filter() {
    check_values("name", "{ kind = client }", expect!["string charge, string load"]);
    check_values("resource.pod", "{ status = error }", expect!["string b"]);
    check_values(
        "span.http.status",
        "{ name = \"load\" || name = \"charge\" }",
        expect!["string none, int 500"],
    );
    check_values("event:name", "{ span.http.status = 500 }", expect!["string exception"]);
    check_values("instrumentation:name", "{ span.paid = true }", expect!["string lib"]);
    check_values(
        "name",
        "{ name =~ \"GET .*\" && resource.pod = ",
        expect!["string GET /cart, string GET /pay"],
    );
}

#[test]
fn facts_of_traces_filter_and_are_values() {
    check_values("name", "{ rootName = \"GET /pay\" }", expect!["string GET /pay, string charge"]);
    check_values("rootName", "{ status = error }", expect!["string GET /cart"]);
    check_values(
        "trace:id",
        "{ kind = client && span.amount > 1 }",
        expect!["string 5a5a5a5a5a5a5a5a0000000000000002"],
    );
    check_values("name", "{ nestedSetParent < 0 }", expect!["string GET /cart, string GET /pay"]);
    check_values(
        "span:id",
        "{ traceDuration > 100ms && kind = client }",
        expect!["string 0000000000000002"],
    );
}

#[test]
fn a_trace_in_pieces_is_looked_at_as_a_whole() {
    let anna = tenant("anna");
    let store = TestStore::new();
    store.publish(&anna, "trace 1\n  gateway/GET /cart  server id:1 120ms\n");
    store.flush();
    let child = "trace 1\n  cart/load  client id:2 parent:1 +10ms";
    store.publish(&anna, &format!("{child} 30ms step=\"begun\" early=true\n"));
    store.flush();
    store.publish(&anna, &format!("{child} 50ms step=\"done\"\n"));
    let values = |tag, q| show_values(&values(&store, &anna, &values_request(tag, q)));
    assert_eq!(values("name", "{ rootName = \"GET /cart\" && kind = client }"), "string load");
    assert_eq!(values("name", "{ span:childCount = 1 }"), "string GET /cart");
    assert_eq!(values("rootName", "{ span.step = \"done\" }"), "string GET /cart");
    // Of two copies the later one stands, where traces are put together.
    assert_eq!(values("span.step", "{ rootName != nil }"), "string done");
    assert_eq!(values("rootName", "{ span.step = \"begun\" }"), "");
    assert_eq!(values("span.step", ""), "string begun, string done");
    let names = |q| show_names(&names(&store, &anna, &names_request(Some(TagScope::Span), q)));
    assert_eq!(names("{ nestedSetParent > 0 }"), "span: step\n");
    assert_eq!(names(""), "span: early step\n");
}

#[test]
fn a_tag_that_the_filter_fixes_is_answered_with_that() {
    check_values("span.http.route", "{ span.http.route = \"/c\" && name = ", expect!["string /c"]);
    check_values(
        "span.http.route",
        "{ span.http.route = \"/c\" || name = \"GET /pay\" }",
        expect!["string /c, string /pay"],
    );
    // Another operator fixes nothing.
    check_values("span.http.route", "{ span.http.route != \"/cart\" }", expect!["string /pay"]);
}

#[test]
fn tenants_see_nothing_of_each_other() {
    let (anna, berta) = (tenant("anna"), tenant("berta"));
    let drawing = |secret: &str| {
        format!(
            "trace 1\n  s/{secret}  {secret}=1 shared=\"{secret}\" (resource r.{secret}=\"{secret}\")\n"
        )
    };
    let store = TestStore::new();
    store.publish(&anna, &drawing("a"));
    store.publish(&berta, &drawing("b"));
    for is_live in [true, false] {
        if !is_live {
            store.flush();
        }
        for (tenant, secret) in [(&anna, "a"), (&berta, "b")] {
            for q in ["", "{ span.shared != nil }"] {
                let found = names(&store, tenant, &names_request(None, q));
                assert_eq!(
                    show_names(&found),
                    format!("resource: r.{secret} service.name\nspan: {secret} shared\n")
                );
                for tag in ["name", "span.shared", &format!("resource.r.{secret}")] {
                    let found = values(&store, tenant, &values_request(tag, q));
                    assert_eq!(show_values(&found), format!("string {secret}"), "{tag} {q}");
                }
            }
            let other = if secret == "a" { "b" } else { "a" };
            for tag in [format!("span.{other}"), format!("resource.r.{other}")] {
                assert_eq!(values(&store, tenant, &values_request(&tag, "")).values, []);
            }
        }
    }
}

#[test]
fn values_of_an_erased_trace_are_gone() {
    let anna = tenant("anna");
    for flush_first in [true, false] {
        let store = TestStore::new();
        store.publish(&anna, SHOP);
        if flush_first {
            store.flush();
        }
        store.erase(&anna, suyuan_testkit::traceql::drawing::trace_id(1));
        for (tag, expected) in [
            ("span.http.route", "string /pay"),
            ("name", "string GET /pay, string charge"),
            ("resource.pod", "string c"),
            ("rootName", "string GET /pay"),
            ("event:name", ""),
        ] {
            for q in ["", "{ kind != internal }"] {
                let found = values(&store, &anna, &values_request(tag, q));
                assert_eq!(show_values(&found), expected, "{tag} {q}");
            }
        }
    }
}

#[test]
fn a_range_of_time_leaves_units_out() {
    let anna = tenant("anna");
    let store = TestStore::new();
    let (first, second) = SHOP.split_once("trace 2").expect("two traces");
    store.publish(&anna, first);
    store.flush();
    store.publish(&anna, &format!("trace 2{second}"));
    store.flush();
    let start = suyuan_testkit::traceql::drawing::moment("10:00:00").expect("a time");
    let range = TimeRange { min_unix_nanos: start, max_unix_nanos: start + 1_000_000_000 };
    let request = TagValuesRequest { range: Some(range), ..values_request("span.http.route", "") };
    let found = values(&store, &anna, &request);
    assert_eq!(show_values(&found), "string /cart");
    assert_eq!(found.accounting.units_outside, 1);
    let request = TagNamesRequest { range: Some(range), ..names_request(Some(TagScope::Link), "") };
    assert_eq!(show_names(&names(&store, &anna, &request)), "link: why\n");
}

#[test]
fn what_is_cut_is_said() {
    let anna = tenant("anna");
    for (_, store) in stores(SHOP) {
        let request = TagValuesRequest { limit: 1, ..values_request("name", "") };
        assert_eq!(show_values(&values(&store, &anna, &request)), "string GET /cart, cut");
        let request = TagValuesRequest { bytes_max: 0, ..values_request("name", "") };
        assert_eq!(show_values(&values(&store, &anna, &request)), "cut");
        let request = TagNamesRequest { limit: 1, ..names_request(Some(TagScope::Span), "") };
        assert_eq!(show_names(&names(&store, &anna, &request)), "span: amount\ncut\n");
        let request = TagNamesRequest { bytes_max: 0, ..names_request(Some(TagScope::Span), "") };
        assert_eq!(show_names(&names(&store, &anna, &request)), "cut\n");
    }
}

#[test]
fn answers_of_tenants_merge() {
    let (anna, berta) = (tenant("anna"), tenant("berta"));
    let store = TestStore::new();
    let (first, second) = SHOP.split_once("trace 2").expect("two traces");
    store.publish(&anna, first);
    store.publish(&berta, &format!("trace 2{second}"));
    let request = values_request("name", "");
    let both = values(&store, &anna, &request).merge(values(&store, &berta, &request), &request);
    assert_eq!(both.accounting.units_total, 2);
    assert_eq!(show_values(&both), "string GET /cart, string GET /pay, string charge, string load");
    let request = names_request(Some(TagScope::Resource), "");
    let both = names(&store, &anna, &request).merge(names(&store, &berta, &request), &request);
    assert_eq!(show_names(&both), "resource: cores pod service.name\n");
    let request = TagValuesRequest { limit: 1, ..values_request("name", "") };
    let one = values(&store, &anna, &request).merge(values(&store, &berta, &request), &request);
    assert_eq!(show_values(&one), "string GET /cart, cut");
}

#[test]
fn nobody_waits_for_a_cancelled_question() {
    let (_, store) = stores(SHOP).remove(1);
    let cancelled = Budget { cancelled: Arc::new(AtomicBool::new(true)), ..budget() };
    let snapshot = store.snapshot(&tenant("anna"));
    let found = tag_values(&snapshot, &values_request("statusMessage", ""), &cancelled);
    assert!(matches!(found, Err(QueryError::Cancelled)));
    let found = tag_names(&snapshot, &names_request(None, ""), &cancelled);
    assert!(matches!(found, Err(QueryError::Cancelled)));
}

#[test]
fn names_and_texts_are_told_without_looking_at_spans() {
    let anna = tenant("anna");
    // So many that the block has a column for the key.
    let span = |number: u64| {
        let route = RefValue::Text(format!("/{}", number % 3));
        let mut span = RefSpan::plain(u128::from(number / 5 + 1), number + 1, 0, 1);
        span.name = format!("GET {}", number % 2);
        span.attributes = vec![("http.route".to_owned(), route)];
        span.resource = vec![("pod".to_owned(), RefValue::Int(7))];
        span
    };
    let spans: Vec<RefSpan> = (0..10_000).map(span).collect();
    let store = TestStore::new();
    store.publish_spans(&anna, &spans);
    store.flush();
    let found = names(&store, &anna, &names_request(None, ""));
    assert_eq!(show_names(&found), "resource: pod\nspan: http.route\n");
    assert_eq!((found.accounting.bytes_read, found.accounting.spans_inspected), (0, 0));
    for (tag, expected) in [
        ("span.http.route", "string /0, string /1, string /2"),
        ("name", "string GET 0, string GET 1"),
        ("resource.pod", "int 7"),
    ] {
        let found = values(&store, &anna, &values_request(tag, ""));
        assert_eq!(show_values(&found), expected);
        assert_eq!(found.accounting.spans_inspected, 0, "{tag}");
    }
    let found = values(&store, &anna, &values_request("span.nobody", ""));
    assert_eq!((found.values.len(), found.accounting.units_read), (0, 0));
}

#[test]
fn old_words_of_the_first_interface() {
    let words = |tag| match legacy_tag(tag) {
        LegacyTag::Fixed(words) => words.join(" "),
        LegacyTag::Attribute(attribute) => suyuan_traceql::print::attribute(&attribute),
    };
    assert_eq!(words("status.code"), "error ok unset");
    assert_eq!(words("error"), "true");
    assert_eq!(words("root.service.name"), "rootServiceName");
    assert_eq!(words("root.name"), "rootName");
    assert_eq!(words("name"), "name");
    assert_eq!(words("http.route"), ".http.route");
}
