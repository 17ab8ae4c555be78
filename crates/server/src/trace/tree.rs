//! Spans as a forest, whatever their parents say.
//!
//! In: spans in any order. Out: every span exactly once, parents before children, siblings by
//! start. Senders break every rule there is: parents that never came, several roots, circles,
//! spans that are their own parent, ids that occur twice. None is hidden; each is named.

use std::collections::HashMap;

use suyuan_ids::SpanId;

use super::answer::Span;

/// One line of the forest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Index into the spans.
    pub span: usize,
    /// Index of the parent's span; none for what stands at the left margin.
    pub parent: Option<usize>,
    pub depth: usize,
    /// No sibling follows.
    pub last: bool,
}

/// What is odd about a span's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oddity {
    ParentMissing(SpanId),
    OwnParent,
    /// Its parents lead back to itself; the circle is cut above its earliest span.
    Circle,
    IdSeenTwice,
}

#[derive(Debug, Default)]
pub(super) struct Forest {
    pub rows: Vec<Row>,
    pub oddities: HashMap<usize, Vec<Oddity>>,
}

pub(super) fn forest(spans: &[Span]) -> Forest {
    let mut forest = Forest::default();
    let order = by_start(spans);
    let first_of_id = index(spans, &order, &mut forest);
    let mut parents = parents(spans, &first_of_id, &mut forest);
    cut_circles(&order, &mut parents, &mut forest);

    let mut children = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for &span in &order {
        match parents[span] {
            Some(parent) => children[parent].push(span),
            None => roots.push(span),
        }
    }
    forest.rows = pre_order(&roots, &children, &parents);
    debug_assert_eq!(forest.rows.len(), spans.len(), "every span exactly once");
    forest
}

/// Siblings that start together stand in the order of their ends, the longest first.
fn by_start(spans: &[Span]) -> Vec<usize> {
    let mut order: Vec<_> = (0..spans.len()).collect();
    order.sort_by_key(|&span| {
        let Span { start_unix_nanos, end_unix_nanos, id, .. } = &spans[span];
        (*start_unix_nanos, std::cmp::Reverse(*end_unix_nanos), *id)
    });
    order
}

/// The earliest span of each id: children of an id that occurs twice hang below that one.
fn index(spans: &[Span], order: &[usize], forest: &mut Forest) -> HashMap<SpanId, usize> {
    let mut first_of_id = HashMap::with_capacity(spans.len());
    for &span in order {
        let first = *first_of_id.entry(spans[span].id).or_insert(span);
        if first != span {
            forest.oddities.entry(span).or_default().push(Oddity::IdSeenTwice);
        }
    }
    first_of_id
}

fn parents(
    spans: &[Span],
    first_of_id: &HashMap<SpanId, usize>,
    forest: &mut Forest,
) -> Vec<Option<usize>> {
    let mut parents = vec![None; spans.len()];
    for (span, Span { id, parent, .. }) in spans.iter().enumerate() {
        let Some(parent) = parent else { continue };
        let oddity = match first_of_id.get(parent) {
            _ if parent == id => Oddity::OwnParent,
            None => Oddity::ParentMissing(*parent),
            Some(&found) => {
                parents[span] = Some(found);
                continue;
            }
        };
        forest.oddities.entry(span).or_default().push(oddity);
    }
    parents
}

/// Walks up from every span once. A walk that meets itself has found a circle: its earliest span
/// loses its parent.
fn cut_circles(order: &[usize], parents: &mut [Option<usize>], forest: &mut Forest) {
    const UNSEEN: usize = usize::MAX;
    let rank = ranks(order);
    let mut walk_of = vec![UNSEEN; parents.len()];
    for &first in order {
        let mut path = Vec::new();
        let mut at = Some(first);
        while let Some(span) = at
            && walk_of[span] == UNSEEN
        {
            walk_of[span] = first;
            path.push(span);
            at = parents[span];
        }
        let Some(met) = at.filter(|span| walk_of[*span] == first) else { continue };
        let circle_start = path.iter().position(|span| *span == met).unwrap_or(0);
        let earliest = path[circle_start..].iter().min_by_key(|span| rank[**span]);
        if let Some(&earliest) = earliest {
            parents[earliest] = None;
            forest.oddities.entry(earliest).or_default().push(Oddity::Circle);
        }
    }
}

fn ranks(order: &[usize]) -> Vec<usize> {
    let mut rank = vec![0; order.len()];
    for (place, &span) in order.iter().enumerate() {
        rank[span] = place;
    }
    rank
}

/// With a stack of its own: a chain of thousands of spans must not overflow the thread's.
fn pre_order(roots: &[usize], children: &[Vec<usize>], parents: &[Option<usize>]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(parents.len());
    let mut stack = Vec::new();
    push_siblings(&mut stack, roots, 0, None);
    while let Some(row) = stack.pop() {
        rows.push(row);
        push_siblings(&mut stack, &children[row.span], row.depth + 1, Some(row.span));
    }
    rows
}

fn push_siblings(stack: &mut Vec<Row>, siblings: &[usize], depth: usize, parent: Option<usize>) {
    let last = siblings.last();
    let rows =
        siblings.iter().map(|span| Row { span: *span, parent, depth, last: last == Some(span) });
    stack.extend(rows.rev());
}
