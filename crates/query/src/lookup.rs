//! Finds a trace by its id.
//!
//! In: tenants and an id. Out: the rows of the trace, each span once. Senders repeat a request
//! when an acknowledgement was lost, so the same span may be stored twice: of spans with equal
//! (trace id, span id, kind, start) the one with the greatest (end, content hash) stands, in
//! whatever order they arrived (`design.md 5`).

use suyuan_ids::TraceId;
use suyuan_model::{Tenant, TraceRows};
use suyuan_store::{FindError, Store};
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
}

/// Looks for a trace in the data of each tenant; what is found is one trace.
///
/// Reads scratch files when the trace is not in memory: not for threads that must not wait.
pub fn trace_by_id(store: &Store, tenants: &[Tenant], id: TraceId) -> Result<Lookup, FindError> {
    let mut found = TraceRows::default();
    for tenant in tenants {
        if let Some(rows) = store.find_trace(tenant, id)? {
            found.pieces.extend(rows.pieces);
        }
    }
    let n_sources = found.pieces.len();
    let (rows, n_duplicates) = without_duplicates(found);
    Ok(Lookup { rows, n_sources, n_duplicates })
}

/// A row, and what makes it a duplicate of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    span_id: u64,
    start_unix_nanos: i64,
    kind: i32,
    piece: u32,
    row: u32,
}

impl Candidate {
    fn is_same_span(&self, other: &Self) -> bool {
        (self.span_id, self.start_unix_nanos, self.kind)
            == (other.span_id, other.start_unix_nanos, other.kind)
    }
}

/// Takes out every row that repeats another one, and says how many those were.
fn without_duplicates(mut rows: TraceRows) -> (TraceRows, usize) {
    let mut candidates = candidates(&rows);
    candidates.sort_unstable();
    let mut losers = Vec::new();
    for same in candidates.chunk_by(Candidate::is_same_span).filter(|same| same.len() > 1) {
        let winner = winner(&rows, same);
        let lost = same.iter().filter(|candidate| **candidate != winner);
        losers.extend(lost.map(|candidate| (candidate.piece, candidate.row)));
    }
    losers.sort_unstable();
    for (n, piece) in rows.pieces.iter_mut().enumerate() {
        let is_loser = |row: &u32| losers.binary_search(&(n as u32, *row)).is_ok();
        if !losers.is_empty() {
            piece.rows.retain(|row| !is_loser(row));
        }
    }
    rows.pieces.retain(|piece| !piece.rows.is_empty());
    (rows, losers.len())
}

fn candidates(rows: &TraceRows) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(rows.n_spans());
    for (n, piece) in rows.pieces.iter().enumerate() {
        for &row in &piece.rows {
            let at = row as usize;
            candidates.push(Candidate {
                span_id: piece.chunk.span_id.value(at),
                start_unix_nanos: piece.chunk.start_unix_nanos.value(at),
                kind: piece.chunk.kind.value(at),
                piece: n as u32,
                row,
            });
        }
    }
    candidates
}

fn winner(rows: &TraceRows, same: &[Candidate]) -> Candidate {
    let rank = |candidate: &Candidate| {
        let chunk = &rows.pieces[candidate.piece as usize].chunk;
        let end = chunk.end_unix_nanos.value(candidate.row as usize);
        (end, content_hash(chunk, candidate.row))
    };
    *same.iter().max_by_key(|candidate| rank(candidate)).expect("a run is never empty")
}

#[cfg(test)]
mod tests;
