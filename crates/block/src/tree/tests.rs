//! Trees of every shape: drawn as text, drawn at random, and as large as they may be.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CLIENT: i32 = 3;

fn span(span_id: u64, parent: Option<u64>, start: i64, kind: i32) -> SpanOutline {
    SpanOutline {
        start_unix_nanos: start,
        end_unix_nanos: start,
        span_id,
        parent_span_id: parent,
        kind,
    }
}

/// A row: span id, kind, depth, and whether it keeps its parent.
type Row = (u64, i32, u32, bool);

fn rows(spans: &[SpanOutline]) -> Vec<Row> {
    let mut builder = TreeBuilder::default();
    let ordered = builder.order(spans, |_| 0);
    let facts = ordered.order.iter().zip(ordered.depth).zip(ordered.keeps_parent);
    facts
        .map(|((number, depth), keeps)| {
            let span = &spans[*number as usize];
            (span.span_id, span.kind, *depth, *keeps)
        })
        .collect()
}

/// The tree as text: a line for each row, indented by depth; `s` marks servers, `!` kept parents.
#[track_caller]
fn check(spans: &[SpanOutline], expected: &str) {
    let lines = rows(spans).into_iter().map(|(id, kind, depth, keeps)| {
        let server = if kind == KIND_SERVER { "s" } else { "" };
        let keeps = if keeps { "!" } else { "" };
        format!("{}{id}{server}{keeps}", " ".repeat(depth as usize))
    });
    assert_eq!(lines.collect::<Vec<_>>().join("\n"), expected);
    assert_rules(spans);
}

#[test]
fn children_follow_their_parent_by_start_then_id() {
    let spans = [
        span(1, None, 5, CLIENT),
        span(4, Some(1), 7, CLIENT),
        span(3, Some(1), 7, CLIENT),
        span(2, Some(1), 6, CLIENT),
        span(5, Some(2), 6, CLIENT),
    ];
    check(&spans, "1\n 2\n  5\n 3\n 4");
}

#[test]
fn a_child_that_began_before_its_parent_stands_behind_it() {
    check(&[span(2, Some(1), 3, CLIENT), span(1, None, 5, CLIENT)], "1\n 2");
}

#[test]
fn orphans_and_roots_stand_side_by_side_by_start() {
    let spans = [span(1, None, 5, CLIENT), span(2, Some(9), 4, CLIENT), span(3, None, 6, CLIENT)];
    check(&spans, "2!\n1\n3");
}

#[test]
fn a_span_that_names_itself_is_a_root_that_keeps_it() {
    check(&[span(1, Some(1), 5, CLIENT), span(2, Some(1), 6, CLIENT)], "1!\n 2");
}

#[test]
fn a_cycle_is_cut_at_its_first_span() {
    let spans = [
        span(3, Some(2), 4, CLIENT),
        span(2, Some(1), 3, CLIENT),
        span(1, Some(3), 2, CLIENT),
        span(4, Some(3), 1, CLIENT),
        span(5, None, 0, CLIENT),
    ];
    check(&spans, "5\n1!\n 2\n  3\n   4");
}

#[test]
fn children_of_a_shared_id_hang_on_the_server() {
    let spans = [
        span(1, None, 1, CLIENT),
        span(2, Some(1), 2, CLIENT),
        span(2, Some(1), 3, KIND_SERVER),
        span(3, Some(2), 4, CLIENT),
    ];
    check(&spans, "1\n 2\n 2s\n  3");
}

#[test]
fn the_half_that_names_its_own_id_hangs_on_the_other_half() {
    let spans = [span(2, None, 2, CLIENT), span(2, Some(2), 3, KIND_SERVER)];
    check(&spans, "2\n 2s");
    let both = [span(2, Some(2), 2, CLIENT), span(2, Some(2), 3, KIND_SERVER)];
    check(&both, "2!\n 2s");
}

#[test]
fn zero_is_an_id_like_any_other() {
    check(&[span(0, None, 1, CLIENT), span(7, Some(0), 2, CLIENT)], "0\n 7");
    check(&[span(7, Some(0), 2, CLIENT)], "7!");
}

#[test]
fn a_repeated_span_stands_once() {
    let late = SpanOutline { end_unix_nanos: 9, ..span(1, None, 1, CLIENT) };
    let spans = [span(1, Some(5), 1, CLIENT), late, span(2, Some(1), 2, CLIENT)];
    assert_eq!(rows(&spans), [(1, CLIENT, 0, false), (2, CLIENT, 1, false)]);
}

#[test]
fn an_empty_trace_has_no_rows() {
    assert_eq!(rows(&[]), []);
}

/// Everything that must hold for rows without duplicates.
#[track_caller]
fn assert_rules(spans: &[SpanOutline]) {
    let mut builder = TreeBuilder::default();
    let ordered = builder.order(spans, |_| 0);
    let mut numbers = ordered.order.to_vec();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..spans.len() as u32), "every span stands once");
    let placed: Vec<&SpanOutline> = ordered.order.iter().map(|n| &spans[*n as usize]).collect();
    let ids: Vec<u64> = placed.iter().map(|span| span.span_id).collect();
    let kept = |row: usize| ordered.keeps_parent[row].then(|| placed[row].parent_span_id).flatten();
    let found = parents(&ids, ordered.depth, kept).unwrap();
    assert!(found.iter().eq(placed.iter().map(|span| &span.parent_span_id)), "parents come back");
    assert_siblings_ascend(&placed, ordered.depth);
    for (row, span) in placed.iter().enumerate().filter(|(row, _)| ordered.keeps_parent[*row]) {
        let parent = span.parent_span_id.expect("a kept parent was sent");
        let others = (0..ids.len()).filter(|other| *other != row && ids[*other] == parent);
        let is_cut = others.clone().any(|other| descends(ordered.depth, row, other));
        assert!(others.count() == 0 || is_cut, "row {row} keeps a parent it could hang on");
    }
}

/// Whether `row` lies below `top`.
fn descends(depths: &[u32], top: usize, row: usize) -> bool {
    row > top && depths[top + 1..=row].iter().all(|depth| *depth > depths[top])
}

#[track_caller]
fn assert_siblings_ascend(placed: &[&SpanOutline], depths: &[u32]) {
    let mut last_of_depth: Vec<&SpanOutline> = Vec::new();
    let key = |span: &SpanOutline| (span.start_unix_nanos, span.span_id, span.kind);
    for (span, depth) in placed.iter().zip(depths) {
        if let Some(sibling) = last_of_depth.get(*depth as usize) {
            assert!(key(sibling) < key(span), "siblings ascend");
        }
        last_of_depth.truncate(*depth as usize);
        last_of_depth.push(span);
    }
}

/// Spans that meet: few ids, few starts, parents among them; unique by (id, kind, start).
fn arbitrary_trace(spans_max: usize) -> impl Strategy<Value = Vec<SpanOutline>> {
    let ids = 1 + spans_max as u64;
    let span = (0..ids, proptest::option::weighted(0.9, 0..ids), 0..6i64, 1..4i32)
        .prop_map(|(id, parent, start, kind)| span(id, parent, start, kind));
    vec(span, 0..spans_max).prop_map(|mut spans| {
        let identity = |s: &SpanOutline| (s.span_id, s.kind, s.start_unix_nanos);
        spans.sort_by_key(identity);
        spans.dedup_by_key(|span| identity(span));
        spans
    })
}

/// The same trace in two orders.
fn two_orders(spans_max: usize) -> impl Strategy<Value = (Vec<SpanOutline>, Vec<SpanOutline>)> {
    let shuffled = |spans: Vec<SpanOutline>| Just(spans).prop_shuffle();
    arbitrary_trace(spans_max)
        .prop_flat_map(move |spans| (shuffled(spans.clone()), shuffled(spans)))
}

proptest! {
    #[test]
    fn small_traces_keep_every_rule((spans, other_order) in two_orders(20)) {
        assert_rules(&spans);
        prop_assert_eq!(rows(&spans), rows(&other_order));
    }

    #[test]
    fn large_traces_keep_every_rule((spans, other_order) in two_orders(200)) {
        assert_rules(&spans);
        prop_assert_eq!(rows(&spans), rows(&other_order));
    }

    /// Which of the two ways finds the parents must not show.
    #[test]
    fn both_ways_find_the_same_parents(spans in arbitrary_trace(64)) {
        let mut sorter = OutlineSorter::default();
        let ranked = sorter.without_duplicates(&spans, |_| 0);
        let (mut compared, mut looked_up) = (Vec::new(), Vec::new());
        find_parents_by_comparing(&spans, ranked, &mut compared);
        ById::default().find_parents(&spans, ranked, &mut looked_up);
        prop_assert_eq!(compared, looked_up);
    }

    /// A file may say anything: an error or parents, and never a parent from nowhere.
    #[test]
    fn any_depths_are_an_error_or_parents(depths in vec(0..6u32, 0..30)) {
        let ids: Vec<u64> = (0..depths.len() as u64).collect();
        let is_valid = depths.first().is_none_or(|first| *first == 0)
            && depths.windows(2).all(|pair| pair[1] <= pair[0] + 1);
        match parents(&ids, &depths, |_| None) {
            Ok(parents) => {
                prop_assert!(is_valid);
                for (row, parent) in parents.iter().enumerate() {
                    let expected = (0..row).rev().find(|other| depths[*other] + 1 == depths[row]);
                    prop_assert_eq!(*parent, expected.map(|other| other as u64));
                }
            }
            Err(error) => {
                prop_assert!(!is_valid);
                prop_assert_eq!(i64::from(depths[error.row]), i64::from(error.depth));
                prop_assert!(error.depth_before + 1 < i64::from(error.depth));
            }
        }
    }
}

const GIANT: u64 = 1_000_000;

#[test]
fn a_chain_of_a_million_spans_is_a_million_deep() {
    let chain: Vec<SpanOutline> =
        (0..GIANT).map(|n| span(n, n.checked_sub(1), (GIANT - n) as i64, CLIENT)).collect();
    let mut builder = TreeBuilder::default();
    let ordered = builder.order(&chain, |_| 0);
    assert!(ordered.depth.iter().copied().eq(0..GIANT as u32));
    let ids: Vec<u64> = ordered.order.iter().map(|n| u64::from(*n)).collect();
    let parents = parents(&ids, ordered.depth, |_| None).unwrap();
    assert!(parents.iter().copied().eq((0..GIANT).map(|n| n.checked_sub(1))));
}

#[test]
fn a_ring_of_a_million_spans_is_cut_once() {
    let ring: Vec<SpanOutline> =
        (0..GIANT).map(|n| span(n, Some((n + 1) % GIANT), n as i64, CLIENT)).collect();
    let mut builder = TreeBuilder::default();
    let ordered = builder.order(&ring, |_| 0);
    assert!(ordered.depth.iter().copied().eq(0..GIANT as u32));
    assert_eq!(ordered.keeps_parent.iter().filter(|keeps| **keeps).count(), 1);
    assert_eq!(ordered.order[0], 0);
}

#[test]
fn a_million_spans_of_one_id_hang_on_its_server() {
    let mut spans: Vec<SpanOutline> =
        (0..GIANT as i64).map(|start| span(7, Some(7), start, CLIENT)).collect();
    spans[500].kind = KIND_SERVER;
    let mut builder = TreeBuilder::default();
    let ordered = builder.order(&spans, |_| 0);
    // The server hangs on the first span, which hangs on the server: the cycle is cut at the first.
    assert_eq!((ordered.order[0], ordered.order[1]), (0, 500));
    assert_eq!(ordered.depth.iter().copied().max(), Some(2));
    // What a giant trace took is given back.
    builder.order(&spans[..3], |_| 0);
    assert!(builder.order.capacity() < KEPT_SPANS);
}
