//! Finds a trace by its id.
//!
//! In: tenants and an id. Out: the rows of the trace, each span once. Senders repeat a request
//! when an acknowledgement was lost, so the same span may be stored twice: of spans with equal
//! (trace id, span id, kind, start) the one with the greatest (end, content hash) stands, in
//! whatever order they arrived (`design.md 5`).

use suyuan_ids::TraceId;
use suyuan_model::{OutlineSorter, SpanOutline, Tenant, TraceRows};
use suyuan_store::{FindError, Skipped, Store};
use suyuan_wire::answer::content_hash;

/// A trace, and what was read to find it.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// Empty if nobody knows the trace.
    pub rows: TraceRows,
    /// Chunks that hold a part of it.
    pub n_sources: usize,
    /// Rows that were left out because they repeat another one.
    pub n_duplicates: usize,
    /// Blocks that may hold more of it and cannot be read.
    pub skipped: Vec<Skipped>,
}

/// Looks for a trace in the data of each tenant; what is found is one trace.
///
/// Reads scratch files when the trace is not in memory: not for threads that must not wait.
pub fn trace_by_id(store: &Store, tenants: &[Tenant], id: TraceId) -> Result<Lookup, FindError> {
    let mut found = TraceRows::default();
    let mut skipped = Vec::new();
    for tenant in tenants {
        let of_tenant = store.find_trace(tenant, id)?;
        found.pieces.extend(of_tenant.rows.pieces);
        skipped.extend(of_tenant.skipped);
    }
    let n_sources = found.pieces.len();
    let (rows, n_duplicates) = without_duplicates(found);
    Ok(Lookup { rows, n_sources, n_duplicates, skipped })
}

/// Takes out every row that repeats another one, and says how many those were.
fn without_duplicates(mut rows: TraceRows) -> (TraceRows, usize) {
    let places: Vec<(usize, u32)> = rows.places().collect();
    let outlines: Vec<SpanOutline> =
        places.iter().map(|(n, row)| SpanOutline::of_row(&rows.pieces[*n].chunk, *row)).collect();
    let mut sorter = OutlineSorter::default();
    let kept = sorter.without_duplicates(&outlines, |number| {
        let (n, row) = places[number as usize];
        content_hash(&rows.pieces[n].chunk, row)
    });
    let n_duplicates = places.len() - kept.len();
    if n_duplicates == 0 {
        return (rows, 0);
    }
    rows.pieces.iter_mut().for_each(|piece| piece.rows.clear());
    for number in kept {
        let (n, row) = places[*number as usize];
        rows.pieces[n].rows.push(row);
    }
    rows.pieces.iter_mut().for_each(|piece| piece.rows.sort_unstable());
    rows.pieces.retain(|piece| !piece.rows.is_empty());
    (rows, n_duplicates)
}

#[cfg(test)]
mod tests;
