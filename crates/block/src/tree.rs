//! The order of a trace's spans: pre-order and depth, and the parents back from them.
//!
//! In: the spans of one trace in any order, some of them twice. Out: each span once, every span
//! directly before its descendants, and how deep it lies. So one small number for a row is the
//! whole tree: the parent of a row is the last row before it that lies one level higher
//! (`design.md 5`). What does not hang on another span of the trace stands at depth 0 and keeps the
//! parent that was sent: orphans, spans that name themselves, and the place where a cycle is cut.
//! Nothing sent is lost or made up here.
//!
//! The order follows from the set of spans alone, never from the order in which they came:
//! - Roots, and the children of a span, stand by (start, span id, kind).
//! - Where several spans share an id, as the two halves of Zipkin's do, a child of that id hangs on
//!   the first server among them, or on the first of them if there is none; never on itself.
//! - A cycle is cut at its first span.
//!
//! Traces of 15 spans are what there is most of, and of 1,000,000 there may be: the first find
//! their parents by comparing ids, 64 at most, the others in a hash table; nothing recurses.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use suyuan_model::{OutlineSorter, SpanOutline};

/// "No span".
const NONE: u32 = u32::MAX;
/// OTLP's `SPAN_KIND_SERVER`.
const KIND_SERVER: i32 = 2;
/// Up to as many spans, the spans of an id are the bits of a word.
const SMALL_SPANS: usize = u64::BITS as usize;
/// Memory for as many spans is kept for the next trace; a giant one gives its back.
const KEPT_SPANS: usize = 1 << 16;

/// Orders traces one after another; keeps its memory between them.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    sorter: OutlineSorter,
    links: Links,
    by_id: ById,
    order: Vec<u32>,
    depth: Vec<u32>,
    keeps_parent: Vec<bool>,
}

/// The rows of one trace, in pre-order.
#[derive(Clone, Copy, Debug)]
pub struct Ordered<'a> {
    /// The number of each row's span in what came in. Spans that repeat another one are missing.
    pub order: &'a [u32],
    /// 0 first; from one row to the next it rises by one at most.
    pub depth: &'a [u32],
    /// Rows at depth 0 that name a parent.
    pub keeps_parent: &'a [bool],
}

/// Depths that are not those of trees in pre-order: the file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} lies at depth {depth}, below a row at depth {depth_before}")]
pub struct DepthError {
    pub row: usize,
    pub depth: u32,
    /// Of the row before it; -1 if there is none.
    pub depth_before: i64,
}

impl TreeBuilder {
    /// The rows of a trace of fewer than `u32::MAX` spans.
    ///
    /// `content_hash` of a span's number is asked only where two spans with equal (id, kind, start)
    /// end at the same time (`suyuan_model::OutlineSorter`).
    pub fn order(
        &mut self,
        spans: &[SpanOutline],
        content_hash: impl FnMut(u32) -> u64,
    ) -> Ordered<'_> {
        assert!(spans.len() < NONE as usize, "a trace's spans have numbers of 32 bits");
        if self.order.capacity() > KEPT_SPANS && spans.len() < KEPT_SPANS {
            *self = Self::default();
        }
        // From here on a span is its rank: its place among the trace's spans by (start, id, kind).
        let ranked = self.sorter.without_duplicates(spans, content_hash);
        self.links.parent.clear();
        if ranked.len() <= SMALL_SPANS {
            find_parents_by_comparing(spans, ranked, &mut self.links.parent);
        } else {
            self.by_id.find_parents(spans, ranked, &mut self.links.parent);
        }
        self.links.walk(&mut self.order, &mut self.depth);
        if self.order.len() < ranked.len() {
            self.links.cut_cycles(&self.order);
            self.links.walk(&mut self.order, &mut self.depth);
        }
        assert_eq!(self.order.len(), ranked.len(), "every span hangs on a root");
        self.keeps_parent.clear();
        for (place, depth) in self.order.iter_mut().zip(&self.depth) {
            *place = ranked[*place as usize];
            let names_parent = spans[*place as usize].parent_span_id.is_some();
            self.keeps_parent.push(*depth == 0 && names_parent);
        }
        Ordered { order: &self.order, depth: &self.depth, keeps_parent: &self.keeps_parent }
    }
}

/// The parent of each rank, at most 64 of them.
fn find_parents_by_comparing(spans: &[SpanOutline], ranked: &[u32], parents: &mut Vec<u32>) {
    let mut ids = [0; SMALL_SPANS];
    let mut servers = 0u64;
    for (rank, number) in ranked.iter().enumerate() {
        let span = &spans[*number as usize];
        ids[rank] = span.span_id;
        servers |= u64::from(span.kind == KIND_SERVER) << rank;
    }
    let ids = &ids[..ranked.len()];
    for (rank, number) in ranked.iter().enumerate() {
        let Some(parent_id) = spans[*number as usize].parent_span_id else {
            parents.push(NONE);
            continue;
        };
        let matches = (ids.iter().enumerate())
            .fold(0u64, |matches, (other, id)| matches | (u64::from(*id == parent_id) << other));
        let others = matches & !(1 << rank);
        let candidates = if others & servers != 0 { others & servers } else { others };
        parents.push(if candidates == 0 { NONE } else { candidates.trailing_zeros() });
    }
}

/// The spans of a large trace by their id.
#[derive(Debug, Default)]
struct ById {
    /// For each id the rank of the span on which children hang.
    first: HashTable<u32>,
    /// For that rank the one on which it hangs itself, if it is its own parent by id.
    second: Vec<u32>,
    /// Seeded at random: ids come from outside.
    hasher: RandomState,
}

impl ById {
    /// The parent of each rank.
    fn find_parents(&mut self, spans: &[SpanOutline], ranked: &[u32], parents: &mut Vec<u32>) {
        let n_spans = ranked.len();
        // To clear a table costs its capacity, not its content.
        if self.first.capacity() > 16 * n_spans {
            self.first = HashTable::new();
        }
        self.first.clear();
        self.second.clear();
        self.second.resize(n_spans, NONE);
        let span = |rank: u32| &spans[ranked[rank as usize] as usize];
        let hash_of_rank = |rank: &u32| self.hasher.hash_one(span(*rank).span_id);
        self.first.reserve(n_spans, hash_of_rank);
        for rank in 0..n_spans as u32 {
            let id = span(rank).span_id;
            let hash = self.hasher.hash_one(id);
            let Some(first) = self.first.find_mut(hash, |rank| span(*rank).span_id == id) else {
                self.first.insert_unique(hash, rank, hash_of_rank);
                continue;
            };
            // Ranks ascend, so whoever comes now goes before another only as a server.
            let is_server = |rank: u32| span(rank).kind == KIND_SERVER;
            let second = self.second[*first as usize];
            if is_server(rank) && !is_server(*first) {
                self.second[rank as usize] = *first;
                *first = rank;
            } else if second == NONE || is_server(rank) && !is_server(second) {
                self.second[*first as usize] = rank;
            }
        }
        for rank in 0..n_spans as u32 {
            let parent = span(rank).parent_span_id.and_then(|id| {
                self.first.find(self.hasher.hash_one(id), |rank| span(*rank).span_id == id).copied()
            });
            parents.push(match parent {
                Some(parent) if parent == rank => self.second[rank as usize],
                Some(parent) => parent,
                None => NONE,
            });
        }
    }
}

/// Who hangs on whom, by rank.
#[derive(Debug, Default)]
struct Links {
    parent: Vec<u32>,
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
}

impl Links {
    /// Ranks in pre-order with their depths; those that hang on a cycle are left out.
    fn walk(&mut self, order: &mut Vec<u32>, depths: &mut Vec<u32>) {
        let n_spans = self.parent.len();
        let first_root = self.link_children();
        order.clear();
        depths.clear();
        order.reserve(n_spans);
        depths.reserve(n_spans);
        let (mut rank, mut depth) = (first_root, 0);
        while rank != NONE {
            order.push(rank);
            depths.push(depth);
            let child = self.first_child[rank as usize];
            if child != NONE {
                (rank, depth) = (child, depth + 1);
                continue;
            }
            while depth > 0 && self.next_sibling[rank as usize] == NONE {
                (rank, depth) = (self.parent[rank as usize], depth - 1);
            }
            rank = self.next_sibling[rank as usize];
        }
    }

    /// Strings up the children of every span, and the roots, by rank. Returns the first root.
    fn link_children(&mut self) -> u32 {
        let n_spans = self.parent.len();
        self.first_child.clear();
        self.first_child.resize(n_spans, NONE);
        self.next_sibling.clear();
        self.next_sibling.resize(n_spans, NONE);
        let mut first_root = NONE;
        for rank in (0..n_spans).rev() {
            let head = match self.parent[rank] {
                NONE => &mut first_root,
                parent => &mut self.first_child[parent as usize],
            };
            self.next_sibling[rank] = std::mem::replace(head, rank as u32);
        }
        first_root
    }

    /// Makes the first span of every cycle a root. `reached` are the ranks that hang on a root.
    fn cut_cycles(&mut self, reached: &[u32]) {
        /// Hangs on a root, or on a cycle that has been cut.
        const SETTLED: u32 = NONE - 1;
        // The rank from which a walk towards the parents came by.
        let mut came_from = vec![NONE; self.parent.len()];
        for rank in reached {
            came_from[*rank as usize] = SETTLED;
        }
        for start in 0..self.parent.len() as u32 {
            let mut rank = start;
            while came_from[rank as usize] == NONE {
                came_from[rank as usize] = start;
                rank = self.parent[rank as usize];
            }
            // An earlier walk has been here: its cycle is cut.
            if came_from[rank as usize] != start {
                continue;
            }
            let mut first = rank;
            let mut other = self.parent[rank as usize];
            while other != rank {
                first = first.min(other);
                other = self.parent[other as usize];
            }
            self.parent[first as usize] = NONE;
        }
    }
}

/// The parent that every row was sent with, from rows in pre-order of one or more traces.
///
/// `kept_parent` is asked for rows at depth 0, in ascending order.
pub fn parents(
    span_ids: &[u64],
    depths: &[u32],
    mut kept_parent: impl FnMut(usize) -> Option<u64>,
) -> Result<Vec<Option<u64>>, DepthError> {
    let mut parents = Vec::with_capacity(depths.len());
    // The ids of the row before and of those it hangs on, outermost first.
    let mut path: Vec<u64> = Vec::new();
    for (row, (&span_id, &depth)) in span_ids.iter().zip(depths).enumerate() {
        let level = depth as usize;
        if level > path.len() {
            return Err(DepthError { row, depth, depth_before: path.len() as i64 - 1 });
        }
        path.truncate(level);
        parents.push(match path.last() {
            Some(parent) => Some(*parent),
            None => kept_parent(row),
        });
        path.push(span_id);
    }
    Ok(parents)
}

#[cfg(test)]
mod tests;
