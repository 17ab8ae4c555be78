//! What a span is told about its trace: root, times, and its place in the tree.
//!
//! In: the spans of one trace, each once. Out: facts of the trace and, for each span, the numbers
//! of its place. Found by looking at all spans for each span: right because it is dull.

use super::span::{KIND_SERVER, RefSpan};

/// One trace, as a span of it sees it.
#[derive(Clone, Debug)]
pub struct TraceFacts {
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// Which of the spans is the root: the earliest that names no parent.
    pub root: Option<usize>,
    pub places: Vec<Place>,
}

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Numbers of a walk around the tree; 0 for what does not hang on a root.
    pub left: i64,
    pub right: i64,
    /// The parent's left number; -1 for roots.
    pub parent: i64,
    pub n_children: i64,
}

impl TraceFacts {
    /// `spans` are those of one trace, at least one, in the order of [`sort_key`].
    pub fn of(spans: &[&RefSpan]) -> Self {
        let starts = spans.iter().map(|span| span.start_unix_nanos);
        let ends = spans.iter().map(|span| span.end_unix_nanos);
        Self {
            start_unix_nanos: starts.min().expect("a trace has a span"),
            end_unix_nanos: ends.max().expect("a trace has a span"),
            root: spans.iter().position(|span| span.parent_span_id.is_none()),
            places: places(spans),
        }
    }
}

/// Spans of a trace are ordered by this; no two of them have it in common.
pub fn sort_key(span: &RefSpan) -> (i64, u64, i32) {
    (span.start_unix_nanos, span.span_id, span.kind)
}

fn places(spans: &[&RefSpan]) -> Vec<Place> {
    let parents = without_cycles((0..spans.len()).map(|n| parent_of(spans, n)).collect());
    let mut places = vec![Place::default(); spans.len()];
    for parent in parents.iter().flatten() {
        places[*parent].n_children += 1;
    }
    let mut next = 1;
    for (root, span) in spans.iter().enumerate() {
        if span.parent_span_id.is_none() {
            number(root, -1, &parents, &mut next, &mut places);
        }
    }
    places
}

/// Of several spans with the id that is named as parent the first server, else the first; never the
/// span itself.
fn parent_of(spans: &[&RefSpan], child: usize) -> Option<usize> {
    let parent_id = spans[child].parent_span_id?;
    let others: Vec<usize> =
        (0..spans.len()).filter(|n| *n != child && spans[*n].span_id == parent_id).collect();
    let server = others.iter().find(|n| spans[**n].kind == KIND_SERVER);
    server.or(others.first()).copied()
}

/// The first span of each cycle has no parent.
fn without_cycles(mut parents: Vec<Option<usize>>) -> Vec<Option<usize>> {
    for span in 0..parents.len() {
        let mut above = parents[span];
        for _ in 0..parents.len() {
            let Some(n) = above else { break };
            if n == span {
                // Spans before this one that were on a cycle are on none any more.
                parents[span] = None;
                break;
            }
            above = parents[n];
        }
    }
    parents
}

fn number(
    span: usize,
    parent_left: i64,
    parents: &[Option<usize>],
    next: &mut i64,
    places: &mut [Place],
) {
    places[span].left = *next;
    places[span].parent = parent_left;
    *next += 1;
    for child in 0..parents.len() {
        if parents[child] == Some(span) {
            number(child, places[span].left, parents, next, places);
        }
    }
    places[span].right = *next;
    *next += 1;
}
