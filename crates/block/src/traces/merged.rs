//! What is said of a trace that lies in several places: the truth that every other way to a trace's
//! row is held against.

use suyuan_model::{SpanOutline, TraceRows, UnixNanosRange};
use suyuan_wire::answer::content_hash;

use super::{Root, TraceRow, TraceSummary};
use crate::tree::TreeBuilder;

/// The summary of a trace from all its pieces, in whatever order they were found; a span that
/// stands in several of them counts once. `None` if there is no span at all.
pub fn merged(rows: &TraceRows) -> Option<TraceSummary<'_>> {
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
