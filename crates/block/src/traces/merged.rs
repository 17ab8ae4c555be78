//! What is said of a trace that lies in several places: the truth that every other way to a trace's
//! row is held against.

use suyuan_model::{Chunk, OutlineSorter, SpanOutline, TracePiece, TraceRows, UnixNanosRange};
use suyuan_wire::answer::content_hash;

use super::{Root, STATUS_ERROR, TraceRow, TraceSummary};
use crate::tree::TreeBuilder;

/// The summary of a trace from all its pieces, in whatever order they were found; a span that
/// stands in several of them counts once. `None` if there is no span at all.
pub fn merged(rows: &TraceRows) -> Option<TraceSummary<'_>> {
    merged_by(rows, content_hash)
}

/// The content of two copies of a span decides what is said of their trace, and was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsContent;

/// The same from rows of which only [`Projection::Outline`](crate::reader::Projection) may have
/// been read. Which of two copies stands that end at the same time is open then; mostly they say
/// the same.
pub fn merged_outlines(rows: &TraceRows) -> Result<Option<TraceSummary<'_>>, NeedsContent> {
    let mut rivals = Vec::new();
    let summary = merged_by(rows, |chunk, row| {
        rivals.push((SpanOutline::of_row(chunk, row), Shown::of(chunk, row)));
        0
    });
    let identity =
        |outline: &SpanOutline| (outline.start_unix_nanos, outline.span_id, outline.kind);
    rivals.sort_unstable_by_key(|(outline, _)| identity(outline));
    let differ = |pair: &[(SpanOutline, Shown<'_>)]| {
        identity(&pair[0].0) == identity(&pair[1].0) && pair[0].1 != pair[1].1
    };
    if rivals.windows(2).any(differ) { Err(NeedsContent) } else { Ok(summary) }
}

/// What a summary shows of a span besides its times.
#[derive(PartialEq, Eq)]
struct Shown<'a> {
    is_error: bool,
    /// Of what may be the root: its service and name.
    root: Option<(Option<&'a str>, &'a str)>,
}

impl<'a> Shown<'a> {
    fn of(chunk: &'a Chunk, row: u32) -> Self {
        let at = row as usize;
        let is_root = chunk.parent_span_id(row).is_none();
        let service = || chunk.resources.service_name(chunk.resource.value(at));
        Self {
            is_error: chunk.status_code.value(at) == STATUS_ERROR,
            root: is_root.then(|| (service(), chunk.name.value(at))),
        }
    }
}

/// The rows that stand: every span of the trace once, in each piece ascending. Their content must
/// have been read.
pub fn standing(rows: &TraceRows) -> TraceRows {
    let places: Vec<(usize, u32)> = rows.places().collect();
    let chunk = |number: u32| &rows.pieces[places[number as usize].0].chunk;
    let row = |number: u32| places[number as usize].1;
    let numbers = 0..places.len() as u32;
    let spans: Vec<SpanOutline> =
        numbers.map(|number| SpanOutline::of_row(chunk(number), row(number))).collect();
    let mut sorter = OutlineSorter::default();
    let kept = sorter.without_duplicates(&spans, |number| content_hash(chunk(number), row(number)));
    if kept.len() == places.len() {
        return rows.clone();
    }
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    let mut pieces: Vec<TracePiece> = Vec::with_capacity(rows.pieces.len());
    for piece in &rows.pieces {
        pieces.push(TracePiece { chunk: piece.chunk.clone(), rows: Vec::new() });
    }
    for number in kept {
        let (piece, row) = places[number as usize];
        pieces[piece].rows.push(row);
    }
    pieces.retain(|piece| !piece.rows.is_empty());
    TraceRows { pieces }
}

fn merged_by<'a>(
    rows: &'a TraceRows,
    mut content_hash: impl FnMut(&'a Chunk, u32) -> u64,
) -> Option<TraceSummary<'a>> {
    let places: Vec<(usize, u32)> = rows.places().collect();
    if places.is_empty() {
        return None;
    }
    let chunk = |number: u32| &rows.pieces[places[number as usize].0].chunk;
    let row = |number: u32| places[number as usize].1;
    let numbers = || 0..places.len() as u32;
    let spans: Vec<SpanOutline> =
        numbers().map(|number| SpanOutline::of_row(chunk(number), row(number))).collect();
    let mut tree = TreeBuilder::default();
    let ordered = tree.order(&spans, |number| content_hash(chunk(number), row(number)));
    let status_code = |number| chunk(number).status_code.value(row(number) as usize);
    let trace = TraceRow::of(0, &spans, &ordered, status_code, UnixNanosRange::of(0));
    let root = trace.root_row.map(|root_row| {
        let number = ordered.order[root_row as usize];
        let (chunk, at) = (chunk(number), row(number) as usize);
        let service = chunk.resources.service_name(chunk.resource.value(at));
        Root { service, name: chunk.name.value(at) }
    });
    Some(TraceSummary {
        n_spans: trace.n_spans,
        n_errors: trace.n_errors,
        start_unix_nanos: trace.start_unix_nanos,
        end_unix_nanos: trace.end_unix_nanos,
        root,
    })
}
