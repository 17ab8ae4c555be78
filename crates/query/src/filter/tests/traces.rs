//! What needs traces: unknown without them, exact with them.

use suyuan_model::{Field, SpanHead};
use suyuan_store::SpanStructure;

use super::fixture::{Sent, SentSpan, batch, parse, rows_of, span};
use crate::filter::{Filter, TraceContext, TraceFacts, TraceNeeds};

fn spans() -> Vec<SentSpan> {
    let child = |parent| SentSpan {
        head: SpanHead { parent_span_id: parent, ..SpanHead::default() },
        ..span(&[])
    };
    let mut spans = vec![child(None), child(Some(0xa)), child(None)];
    spans[1].attributes = vec![("a", Sent::Int(1))];
    spans
}

const FACTS: [TraceFacts<'_>; 2] = [
    TraceFacts { root_name: Some("GET"), root_service: Some("cart"), duration_nanos: 1_000 },
    TraceFacts { root_name: None, root_service: None, duration_nanos: 5 },
];

fn structure() -> Vec<SpanStructure> {
    let place = |left, right, parent, n_children| SpanStructure {
        left,
        right,
        parent,
        n_children,
        ..SpanStructure::default()
    };
    vec![place(1, 4, -1, 1), place(2, 3, 1, 0), SpanStructure::default()]
}

/// Rows that fulfil a filter, and what it may be without a look at traces: yes and maybe.
fn check(filter: &str, expected: &[u32], yes: &[u32], maybe: &[u32]) {
    let batch = batch(&spans());
    let expr = parse(filter);
    let without = rows_of(&expr, &batch, None);
    assert_eq!(without.yes.iter().collect::<Vec<_>>(), yes, "{filter}");
    assert_eq!(without.maybe.iter().collect::<Vec<_>>(), maybe, "{filter}");
    let structure = structure();
    let context =
        TraceContext { trace_of_row: &[0, 0, 1], facts: &FACTS, structure: Some(&structure) };
    let with = rows_of(&expr, &batch, Some(&context));
    assert_eq!(with.yes.iter().collect::<Vec<_>>(), expected, "{filter}");
    assert!(with.maybe.is_empty(), "{filter}");
}

#[test]
fn without_traces_only_what_cannot_change_is_decided() {
    check(r#"rootName = "GET""#, &[0, 1], &[], &[0, 1, 2]);
    check(r#"rootName = "GET" && .a = 1"#, &[1], &[], &[1]);
    check(r#"rootName = "GET" || .a = 1"#, &[0, 1], &[1], &[0, 2]);
    check(r#"!(rootName = "GET")"#, &[2], &[], &[0, 1, 2]);
    check(r#"!(rootName = "GET" && .a = 1)"#, &[0, 2], &[0, 2], &[1]);
    check(".a = 1", &[1], &[1], &[]);
}

#[test]
fn a_trace_without_a_root_has_empty_names() {
    check(r#"rootServiceName = "cart""#, &[0, 1], &[], &[0, 1, 2]);
    check(r#"rootServiceName = """#, &[2], &[], &[0, 1, 2]);
    check(r#"trace:rootName = """#, &[2], &[], &[0, 1, 2]);
    check(r#"rootName != nil"#, &[0, 1, 2], &[], &[0, 1, 2]);
}

#[test]
fn durations_parents_and_structure_of_traces() {
    check("traceDuration > 100ns", &[0, 1], &[], &[0, 1, 2]);
    check("traceDuration > duration + 10", &[0, 1], &[], &[0, 1, 2]);
    check("nestedSetParent < 0", &[0], &[], &[0, 1, 2]);
    check("nestedSetLeft = 2", &[1], &[], &[0, 1, 2]);
    check("nestedSetRight = nestedSetLeft + 1", &[1], &[], &[0, 1, 2]);
    check("span:childCount = 0", &[1, 2], &[], &[0, 1, 2]);
    check(r#"span:parentID = "0A""#, &[1], &[], &[0, 1, 2]);
    check(r#"span:parentID = "0""#, &[0, 2], &[], &[0, 1, 2]);
    check(r#"span:parentID =~ "0{16}""#, &[0, 2], &[], &[0, 1, 2]);
}

#[test]
fn a_filter_says_what_it_needs() {
    let needs = |filter: &str| Filter::compile(&parse(filter)).expect("compiles").needs();
    assert_eq!(needs(".a = 1 && trace:id = `a`"), TraceNeeds::Nothing);
    assert_eq!(needs(".a = 1 && rootName = `a`"), TraceNeeds::Facts);
    assert_eq!(needs("span:parentID = `a` || rootName = `a`"), TraceNeeds::Parents);
    assert_eq!(needs("nestedSetParent < 0"), TraceNeeds::Structure);
}

#[test]
fn roots_are_looked_for_by_depth_where_it_is_known() {
    let mut batch = batch(&spans());
    batch.depth = Some(vec![0, 1, 0].into());
    for (filter, maybe) in [
        ("nestedSetParent < 0", &[0, 2][..]),
        ("nestedSetParent = -1", &[0, 2]),
        ("0 > nestedSetParent", &[0, 2]),
        ("nestedSetParent <= 0", &[0, 1, 2]),
        ("nestedSetParent != 1", &[0, 1, 2]),
        ("nestedSetParent < 0 || .a = 2", &[0, 1, 2]),
    ] {
        let verdict = rows_of(&parse(filter), &batch, None);
        assert!(verdict.yes.is_empty(), "{filter}");
        assert_eq!(verdict.maybe.iter().collect::<Vec<_>>(), maybe, "{filter}");
        let columns = Filter::compile(&parse(filter)).expect("compiles").columns();
        assert!(!columns.has(Field::Depth), "{filter}");
    }
}
