//! Order, pieces, duplicates, ranges, and what is shown.

use std::cmp::Reverse;

use suyuan_traceql::ast::{AttributeScope, Intrinsic};

use super::*;

/// The same spans live, in one block, and in pieces over both.
fn check_everywhere(spans: &[Span], query: &str, expected: &[&str]) {
    let mut live = TestStore::new();
    live.publish(spans);
    assert_eq!(live.find(query), expected, "live");
    live.flush();
    assert_eq!(live.find(query), expected, "in a block");
    for n_first in 1..spans.len() {
        let mut parts = TestStore::new();
        parts.publish(&spans[..n_first]);
        parts.flush();
        parts.publish(&spans[n_first..]);
        assert_eq!(parts.find(query), expected, "{n_first} spans in a block");
        parts.flush();
        assert_eq!(parts.find(query), expected, "in two blocks, {n_first} spans in the older one");
    }
}

#[test]
fn the_newest_comes_first_and_then_the_smallest_id() {
    let spans = [span(1, 1, 10, 20), span(2, 1, 30, 40), span(4, 1, 20, 25), span(3, 1, 20, 90)];
    let all = ["2 [30, 40] 1: 1", "3 [20, 90] 1: 1", "4 [20, 25] 1: 1", "1 [10, 20] 1: 1"];
    check_everywhere(&spans, "{ }", &all);
    check_everywhere(&spans, "{ true }", &all);
    check_everywhere(&spans, "{ false }", &[]);
}

#[test]
fn a_trace_in_pieces_matches_counts_and_sorts_as_one() {
    let child = |trace, id, start, end| Span { parent: Some(1), ..span(trace, id, start, end) };
    let spans = [
        span(1, 1, 50, 60),
        child(2, 7, 45, 46),
        child(1, 2, 52, 58),
        child(2, 8, 48, 99),
        span(3, 1, 47, 49),
        span(2, 1, 40, 50),
    ];
    check_everywhere(
        &spans,
        "{ name = `op` }",
        &["1 [50, 60] 2: 1 2", "3 [47, 49] 1: 1", "2 [40, 99] 3: 1 7 8"],
    );
    check_everywhere(&spans, "{ duration > 20ns }", &["2 [40, 99] 1: 8"]);
}

#[test]
fn a_span_that_was_replaced_neither_matches_nor_counts() {
    let pending = Span { user: Some(7), ..span(1, 1, 10, 10) };
    let done = Span { status: 2, ..span(1, 1, 10, 20) };
    let other = Span { user: Some(7), ..span(2, 1, 5, 6) };
    for spans in [[pending, done, other], [done, pending, other], [other, done, pending]] {
        check_everywhere(&spans, "{ span.user = 7 }", &["2 [5, 6] 1: 1"]);
        check_everywhere(&spans, "{ status = error }", &["1 [10, 20] 1: 1"]);
    }
}

#[test]
fn candidates_that_fall_away_make_room_for_others() {
    // The newest of what was found in each piece was replaced since.
    let mut spans = Vec::new();
    for trace in 1..=30 {
        spans.push(Span { user: Some(1), ..span(trace, 1, trace as i64 * 10, 400) });
    }
    let replaced = spans[5..].iter().map(|old| Span { user: None, end: 500, ..*old });
    let replaced: Vec<Span> = replaced.collect();
    let mut parts = TestStore::new();
    parts.publish(&spans);
    parts.flush();
    parts.publish(&replaced);
    let asked = SearchRequest { limit: 3, ..request("{ span.user = 1 }") };
    let found: Vec<String> = parts.ask(&asked).traces.iter().map(line).collect();
    assert_eq!(found, ["5 [50, 400] 1: 1", "4 [40, 400] 1: 1", "3 [30, 400] 1: 1"]);
}

#[test]
fn a_range_holds_traces_that_have_a_moment_in_it() {
    let spans = [span(1, 1, 10, 20), span(2, 1, 30, 40), span(3, 1, 25, 22)];
    let mut live = TestStore::new();
    live.publish(&spans);
    for _ in 0..2 {
        let check = |min_unix_nanos, max_unix_nanos, expected: &[u128]| {
            let range = Some(TimeRange { min_unix_nanos, max_unix_nanos });
            let answer = live.ask(&SearchRequest { range, ..request("{ }") });
            let ids = answer.traces.iter().map(|trace| u128::from_be_bytes(*trace.id.as_bytes()));
            assert_eq!(ids.collect::<Vec<_>>(), expected, "{min_unix_nanos}..={max_unix_nanos}");
        };
        check(0, 9, &[]);
        check(0, 10, &[1]);
        check(20, 24, &[1]);
        check(21, 25, &[3]);
        check(26, 29, &[]);
        check(15, 30, &[2, 3, 1]);
        check(40, 40, &[2]);
        check(41, i64::MAX, &[]);
        let lasts = |min, max| {
            let asked = SearchRequest {
                duration_nanos_min: min,
                duration_nanos_max: max,
                ..request("{ }")
            };
            live.ask(&asked).traces.len()
        };
        assert_eq!((lasts(Some(10), None), lasts(Some(11), None)), (2, 0));
        assert_eq!((lasts(None, Some(10)), lasts(None, Some(9))), (3, 1));
        live.store.flush().expect("becomes a block");
    }
}

#[test]
fn no_more_spans_are_shown_than_wanted_and_those_that_begin_first() {
    let spans: Vec<Span> = (0..6).map(|n| span(1, 9 - n, 10 + n as i64 % 3, 30)).collect();
    check_everywhere(&spans, "{ }", &["1 [10, 30] 6: 6 9 5"]);
}

#[test]
fn services_and_roots_are_those_of_the_whole_trace() {
    let child = Span { parent: Some(1), service: 2, status: 2, ..span(1, 2, 12, 13) };
    let nameless = Span { parent: Some(1), service: 0, ..span(1, 3, 14, 15) };
    let root = Span { name: "GET /", ..span(1, 1, 10, 20) };
    let mut store = TestStore::new();
    store.publish(&[child, nameless]);
    for is_whole in [false, true] {
        let answer = store.ask(&request("{ status = error }"));
        let trace = &answer.traces[0];
        let root_of = (trace.root_service.as_deref(), trace.root_name.as_deref());
        let expected = if is_whole { (Some("cart"), Some("GET /")) } else { (None, None) };
        assert_eq!(root_of, expected);
        let services = trace.services.iter();
        let services: Vec<_> =
            services.map(|stats| (&*stats.service, stats.n_spans, stats.n_errors)).collect();
        assert_eq!(
            services[..2],
            [("", 1, 0), if is_whole { ("cart", 1, 0) } else { ("mall", 1, 1) }][..]
        );
        assert_eq!(services.len(), if is_whole { 3 } else { 2 });
        store.flush();
        if !is_whole {
            assert_eq!(store.ask(&request("{ status = error }")).traces, answer.traces);
        }
        store.publish(&[root]);
    }
}

/// What the first span of the first trace shows, live and in a block.
fn shown(spans: &[Span], request: &SearchRequest) -> Vec<(Arc<str>, AnswerValue)> {
    let mut store = TestStore::new();
    store.publish(spans);
    let live = store.ask(request);
    store.flush();
    let answer = store.ask(request);
    assert_eq!(live.traces, answer.traces);
    answer.traces[0].spans[0].attributes.clone()
}

fn text(text: &str) -> AnswerValue {
    AnswerValue::String(text.into())
}

#[test]
fn what_the_query_reads_is_shown_by_key() {
    let spans = [Span { user: Some(7), status: 2, ..span(1, 1, 10, 20) }];
    let query = "{ status = error && .user != nil && resource.service.name = `cart` && kind = server \
                 && duration > 1ns && nestedSetParent < 0 && span.absent = nil }";
    assert_eq!(
        shown(&spans, &request(query)),
        [
            ("kind".into(), text("server")),
            ("nestedSetParent".into(), AnswerValue::Int(-1)),
            ("service.name".into(), text("cart")),
            ("status".into(), text("error")),
            ("user".into(), AnswerValue::Int(7)),
        ]
    );
    let user = |scope| Attribute::Named { scope, name: "user".into() };
    let selected = vec![user(AttributeScope::Resource), user(AttributeScope::Span)];
    let asked = SearchRequest { selected, ..request("{ }") };
    assert_eq!(shown(&spans, &asked), [("user".into(), AnswerValue::Int(7))]);
}

#[test]
fn the_name_has_a_place_of_its_own_and_is_shown_if_it_is_read() {
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20)]);
    let name = |request: &SearchRequest| store.ask(request).traces[0].spans[0].name.clone();
    assert_eq!(name(&request("{ }")), None);
    assert_eq!(name(&request("{ name != `x` }")).as_deref(), Some("op"));
    let selected = vec![Attribute::Intrinsic(Intrinsic::Name)];
    assert_eq!(name(&SearchRequest { selected, ..request("{ }") }).as_deref(), Some("op"));
}

#[test]
fn a_key_has_one_type_in_an_answer() {
    let number = Span { user: Some(7), ..span(1, 1, 10, 20) };
    let words = Span { user_text: Some("x"), ..span(2, 1, 5, 9) };
    let asked = request("{ span.user != nil }");
    assert_eq!(shown(&[number], &asked), [("user".into(), AnswerValue::Int(7))]);
    assert_eq!(shown(&[number, words], &asked), [("user".into(), text("7"))]);
}

#[test]
fn conditions_about_traces_are_looked_at_in_whole_traces() {
    let child = Span { parent: Some(1), name: "child", ..span(1, 2, 12, 13) };
    let grandchild = Span { parent: Some(2), name: "child", ..span(1, 3, 12, 14) };
    let orphan = Span { parent: Some(9), name: "child", ..span(2, 4, 2, 3) };
    let root = Span { name: "GET /", ..span(1, 1, 10, 20) };
    let spans = [child, orphan, root, grandchild];
    check_everywhere(&spans, "{ rootName = `GET /` && name = `child` }", &["1 [10, 20] 2: 2 3"]);
    check_everywhere(&spans, "{ traceDuration > 5ns && name != `x` }", &["1 [10, 20] 3: 1 2 3"]);
    check_everywhere(&spans, "{ nestedSetParent < 0 }", &["1 [10, 20] 1: 1"]);
    check_everywhere(&spans, "{ span:childCount = 1 }", &["1 [10, 20] 2: 1 2"]);
    check_everywhere(&spans, "{ span:parentID = `2` }", &["1 [10, 20] 1: 3"]);
    check_everywhere(&spans, "{ nestedSetLeft = 0 }", &["2 [2, 3] 1: 4"]);
}

#[test]
fn a_limit_cuts_the_answer_and_nothing_else() {
    let mut store = TestStore::new();
    // Starts repeat, so that ids decide; every third trace lies in two places.
    let mut traces: Vec<(i64, u64)> = Vec::new();
    for part in 0..4 {
        let mut spans = Vec::new();
        for n in 0..120 {
            let trace = (n * 37 + part * 11) % 401 + 1;
            spans.push(span(trace, 1 + part, (trace % 17) as i64 * 100, 5_000));
            traces.push(((trace % 17) as i64 * 100, trace));
        }
        store.publish(&spans);
        if part < 3 {
            store.flush();
        }
    }
    traces.sort_by_key(|(start, id)| (Reverse(*start), *id));
    traces.dedup();
    for limit in [1, 2, 7, 50, 160, traces.len(), 1_000] {
        let answer = store.ask(&SearchRequest { limit, ..request("{ name = `op` }") });
        let found = answer.traces.iter().map(|trace| {
            (trace.start_unix_nanos, u128::from_be_bytes(*trace.id.as_bytes()) as u64)
        });
        let expected = &traces[..limit.min(traces.len())];
        assert_eq!(found.collect::<Vec<_>>(), expected, "limit {limit}");
    }
}

#[test]
fn a_filter_shows_a_part_of_a_trace() {
    let child = |id, parent| Span { parent: Some(parent), status: 0, ..span(1, id, 10, 20) };
    let mut store = TestStore::new();
    store.publish(&[span(1, 1, 10, 20), child(2, 1), child(3, 2)]);
    store.flush();
    store.publish(&[child(4, 3), Span { status: 2, ..child(5, 1) }]);
    let id = TraceId::from_bytes(1u128.to_be_bytes());
    let found = crate::trace_by_id(&store.store, &[Tenant::single()], id).expect("readable");
    let check = |query: &str, keep: KeepHierarchy, expected: &[u64]| {
        let rows = filter_trace(&found.rows, &request(query).filter, keep).expect("a filter");
        let mut ids: Vec<u64> = (rows.places())
            .map(|(piece, row)| rows.pieces[piece].chunk.span_id.value(row as usize))
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{query}");
    };
    let all = KeepHierarchy { match_depth: None, ancestor_depth: None };
    let above = KeepHierarchy { match_depth: Some(0), ancestor_depth: None };
    check("{ status = error }", KeepHierarchy::NONE, &[5]);
    check("{ status = error }", above, &[1, 5]);
    check("{ span:id = `3` }", above, &[1, 2, 3]);
    check("{ span:id = `2` }", all, &[1, 2, 3, 4]);
    check("{ nestedSetParent < 0 }", KeepHierarchy::NONE, &[1]);
    check("{ span:childCount = 0 }", KeepHierarchy::NONE, &[4, 5]);
    check("{ false }", all, &[]);
    check("{ }", KeepHierarchy::NONE, &[1, 2, 3, 4, 5]);
}

/// Of trace 1 so many spans with so long values that they take more than a slice may have; one of
/// trace 2.
fn long_spans() -> Vec<Span> {
    let long: &'static str = "x".repeat(1 << 20).leak();
    let of_trace = |trace: u64, id: u64| {
        let start = id as i64;
        Span { user_text: Some(long), ..span(trace, id, start, start + 1) }
    };
    (1..=140).map(|id| of_trace(1, id)).chain([of_trace(2, 200)]).collect()
}

#[test]
fn a_trace_that_takes_several_slices_of_a_block_is_one() {
    let mut test = TestStore::new();
    test.publish(&long_spans());
    let queries = ["{ .user != nil }", "{ trace:duration > 100ns }", "{ span:duration = 1ns }"];
    let live = queries.map(|query| test.find(query));
    assert_eq!(live[0], ["2 [200, 201] 1: 200", "1 [1, 141] 140: 1 2 3"]);
    assert_eq!(live[1], ["1 [1, 141] 140: 1 2 3"]);
    test.flush();
    let answer = test.ask(&request(queries[0]));
    assert!(answer.accounting.units_total > 1, "it was cut: {:?}", answer.accounting);
    assert_eq!(queries.map(|query| test.find(query)), live);
}

#[test]
fn a_trace_in_several_slices_is_one_with_what_lies_elsewhere() {
    let mut test = TestStore::new();
    let another = Tenant::parse("x").expect("a tenant");
    test.publish(&long_spans());
    test.publish_for(&another, &[span(1, 7, 5, 6), span(3, 8, 1, 2)]);
    test.flush();
    // One more span, and one anew that ends later and has no user.
    test.publish(&[Span { user: Some(1), ..span(1, 300, 300, 301) }, span(1, 5, 5, 50)]);
    let queries = ["{ .user != nil }", "{ span:duration = 45ns }", "{ trace:duration > 200ns }"];
    let trace_2 = "2 [200, 201] 1: 200";
    let check = |test: &TestStore, place: &str| {
        let expected = [
            vec![trace_2, "1 [1, 301] 140: 1 2 3"],
            vec!["1 [1, 301] 1: 5"],
            vec!["1 [1, 301] 141: 1 2 3"],
        ];
        assert_eq!(queries.map(|query| test.find(query)), expected, "{place}");
    };
    check(&test, "beside live data");
    test.flush();
    check(&test, "beside another block");

    let report = test.store.compact().expect("compacts");
    assert_eq!((report.blocks_removed, report.blocks_added, report.split_traces_merged), (2, 1, 1));
    let answer = test.ask(&request(queries[0]));
    assert!(answer.accounting.units_total > 1, "it stays cut: {:?}", answer.accounting);
    check(&test, "in one block");
    let of_another = Arc::new(test.store.snapshot(&another));
    let answer = search(&of_another, &request("{ }"), &budget(1)).expect("answers");
    let found: Vec<String> = answer.traces.iter().map(line).collect();
    assert_eq!(found, ["1 [5, 6] 1: 7", "3 [1, 2] 1: 8"]);

    let trace = TraceId::from_bytes(1u128.to_be_bytes());
    test.store.erase(&Tenant::single(), Some(trace)).expect("erased");
    assert_eq!(test.find("{ }"), [trace_2]);
    let report = test.store.compact().expect("compacts");
    assert_eq!((report.blocks_added, report.dead_rows_removed), (1, 142));
    assert_eq!(test.find("{ }"), [trace_2]);
}
