//! The spans of one trace that fulfil a filter, with those around them if wanted.
//!
//! In: the rows of a trace, each span once, and a filter. Out: the rows that stay (`tempo.md` 1.2).
//! A filter means here what it means in a search.

use suyuan_block::traces::merged;
use suyuan_block::tree::TreeBuilder;
use suyuan_model::{Batch, SpanOutline, TraceRows};
use suyuan_store::{SpanStructure, structure_of};
use suyuan_traceql::ast::FieldExpr;

use super::QueryError;
use crate::filter::{Filter, RowSet, SourceState, TraceContext, TraceFacts};

/// What stays besides the spans that fulfil the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepHierarchy {
    /// How many levels below them; `None`: all.
    pub match_depth: Option<u32>,
    /// How many levels above them; `None`: all.
    pub ancestor_depth: Option<u32>,
}

impl KeepHierarchy {
    /// Nothing besides.
    pub const NONE: Self = Self { match_depth: Some(0), ancestor_depth: Some(0) };
}

/// The rows that fulfil the filter, and what stays with them. Each span must stand once
/// ([`trace_by_id`](crate::trace_by_id)).
pub fn filter_trace(
    rows: &TraceRows,
    filter: &FieldExpr,
    keep: KeepHierarchy,
) -> Result<TraceRows, QueryError> {
    let filter = Filter::compile(filter)?;
    let places: Vec<(usize, u32)> = rows.places().collect();
    let Some(summary) = merged(rows) else { return Ok(TraceRows::default()) };
    if filter.is_never() {
        return Ok(TraceRows::default());
    }
    let outline =
        |(piece, row): &(usize, u32)| SpanOutline::of_row(&rows.pieces[*piece].chunk, *row);
    let outlines: Vec<SpanOutline> = places.iter().map(outline).collect();
    let mut tree = TreeBuilder::default();
    let ordered = tree.order(&outlines, |_| 0);
    let structure = structure_of(ordered.depth, |row| ordered.keeps_parent[row]);
    let facts = TraceFacts {
        root_name: summary.root.map(|root| root.name),
        root_service: summary.root.and_then(|root| root.service),
        duration_nanos: summary.end_unix_nanos.wrapping_sub(summary.start_unix_nanos),
    };
    let mut structures: Vec<Vec<SpanStructure>> = (rows.pieces.iter())
        .map(|piece| vec![SpanStructure::default(); piece.chunk.n_rows()])
        .collect();
    for (number, structure) in ordered.order.iter().zip(structure) {
        let (piece, row) = places[*number as usize];
        structures[piece][row as usize] = structure;
    }
    let matched = matched(rows, &filter, &facts, &structures);
    let is_match = ordered.order.iter().map(|number| {
        let (piece, row) = places[*number as usize];
        matched[piece].contains(row)
    });
    let kept = kept(ordered.depth, &is_match.collect::<Vec<bool>>(), keep);
    let mut found = rows.clone();
    found.pieces.iter_mut().for_each(|piece| piece.rows.clear());
    for (number, _) in ordered.order.iter().zip(kept).filter(|(_, is_kept)| *is_kept) {
        let (piece, row) = places[*number as usize];
        found.pieces[piece].rows.push(row);
    }
    found.pieces.iter_mut().for_each(|piece| piece.rows.sort_unstable());
    found.pieces.retain(|piece| !piece.rows.is_empty());
    Ok(found)
}

/// For each piece the rows that fulfil the filter.
fn matched(
    rows: &TraceRows,
    filter: &Filter,
    facts: &TraceFacts<'_>,
    structures: &[Vec<SpanStructure>],
) -> Vec<RowSet> {
    let pieces = rows.pieces.iter().zip(structures).map(|(piece, structure)| {
        let n_rows = piece.chunk.n_rows() as u32;
        let batch = Batch::of_chunk(piece.chunk.clone(), n_rows);
        let trace_of_row = vec![0; n_rows as usize];
        let context = TraceContext {
            trace_of_row: &trace_of_row,
            facts: std::slice::from_ref(facts),
            structure: Some(structure),
        };
        let mut source = SourceState::default();
        let mut set = RowSet::of(n_rows, piece.rows.iter().copied());
        for condition in filter.conditions() {
            set = condition.evaluate(&set, &batch, &mut source, Some(&context)).yes;
        }
        set
    });
    pieces.collect()
}

/// Which rows stay; all in pre-order.
fn kept(depths: &[u32], is_match: &[bool], keep: KeepHierarchy) -> Vec<bool> {
    let below = keep.match_depth.unwrap_or(u32::MAX);
    let above = keep.ancestor_depth.unwrap_or(u32::MAX);
    let parents = parents(depths);
    // How many levels above and below a row stay for its sake.
    let levels = |of_match: u32| -> Vec<Option<u32>> {
        is_match.iter().map(|is_match| is_match.then_some(of_match)).collect()
    };
    let (mut downwards, mut upwards) = (levels(below), levels(above));
    for row in 0..depths.len() {
        let Some(parent) = parents[row] else { continue };
        let left = downwards[parent].and_then(|left| left.checked_sub(1));
        downwards[row] = downwards[row].max(left);
    }
    for row in (0..depths.len()).rev() {
        let Some(parent) = parents[row] else { continue };
        let left = upwards[row].and_then(|left| left.checked_sub(1));
        upwards[parent] = upwards[parent].max(left);
    }
    downwards.iter().zip(&upwards).map(|(down, up)| down.is_some() || up.is_some()).collect()
}

/// The row that each row hangs on.
fn parents(depths: &[u32]) -> Vec<Option<usize>> {
    let mut path: Vec<usize> = Vec::new();
    let of_row = |(row, depth): (usize, &u32)| {
        path.truncate(*depth as usize);
        let parent = path.last().copied();
        path.push(row);
        parent
    };
    depths.iter().enumerate().map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 ─ 1 ─ 2 ─ 3, and 0 ─ 4 ─ 5; then another root.
    const DEPTHS: [u32; 7] = [0, 1, 2, 3, 1, 2, 0];

    fn check(matches: &[usize], below: Option<u32>, above: Option<u32>, expected: &[usize]) {
        let is_match: Vec<bool> = (0..DEPTHS.len()).map(|row| matches.contains(&row)).collect();
        let keep = KeepHierarchy { match_depth: below, ancestor_depth: above };
        let kept = kept(&DEPTHS, &is_match, keep);
        let found: Vec<usize> = (0..DEPTHS.len()).filter(|row| kept[*row]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_stands_above_and_below_stays_as_far_as_asked_for() {
        check(&[2], Some(0), Some(0), &[2]);
        check(&[2], Some(0), None, &[0, 1, 2]);
        check(&[2], Some(0), Some(1), &[1, 2]);
        check(&[1], None, Some(0), &[1, 2, 3]);
        check(&[1, 5], Some(1), Some(1), &[0, 1, 2, 4, 5]);
        check(&[0], Some(1), None, &[0, 1, 4]);
        check(&[], None, None, &[]);
        check(&[6], None, None, &[6]);
    }
}
