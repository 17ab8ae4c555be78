//! One tenant's live window: chunks, and for each trace where its rows are.
//!
//! Rows are numbered across the window. Each row knows the previous row of its trace, each trace
//! its last row, so a trace is walked without a sort or a search, and adding a row costs one look
//! in a hash table (`design.md 5`).

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Publication};

use crate::chunk_file::SpilledChunk;
use crate::metrics::Added;

/// "No row": the chain of a trace ends.
const NONE: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Window {
    chunks: Vec<ChunkPlace>,
    /// The number of each chunk's first row in the window.
    chunk_starts: Vec<u32>,
    /// For each row the previous row of its trace.
    previous: Vec<u32>,
    traces: Vec<Trace>,
    by_id: HashTable<u32>,
    /// Seeded at random: ids come from outside.
    hasher: RandomState,
}

/// Where a chunk is.
#[derive(Clone)]
pub(crate) enum ChunkPlace {
    Resident(Arc<Chunk>),
    Spilled(Arc<SpilledChunk>),
}

struct Trace {
    id: [u8; 16],
    last_row: u32,
    n_rows: u32,
}

impl Window {
    pub(crate) fn publish(&mut self, publication: Publication) -> Added {
        let number = publication.chunk_number as usize;
        let n_chunks = self.chunks.len();
        assert!(number + 1 >= n_chunks && number <= n_chunks, "chunks come in order");
        let is_new = number == n_chunks;
        let chunk = publication.chunk;
        if is_new {
            self.chunk_starts.push(self.previous.len() as u32);
            self.chunks.push(ChunkPlace::Resident(chunk.clone()));
        } else {
            self.chunks[number] = ChunkPlace::Resident(chunk.clone());
        }
        let linked = self.previous.len() as u32 - self.chunk_starts[number];
        let traces_before = self.traces.len();
        for row in linked..publication.visible_rows {
            self.link(chunk.trace_id(row));
        }
        Added {
            rows: u64::from(publication.visible_rows.saturating_sub(linked)),
            traces: (self.traces.len() - traces_before) as u64,
            chunks: u64::from(is_new),
        }
    }

    /// Gives the next row to its trace.
    fn link(&mut self, id: TraceId) {
        let row = self.previous.len() as u32;
        assert!(row != NONE, "a window holds fewer rows than its row numbers can say");
        let id = *id.as_bytes();
        let (traces, hasher) = (&self.traces, &self.hasher);
        let found =
            self.by_id.find(hasher.hash_one(id), |trace| traces[*trace as usize].id == id).copied();
        match found {
            Some(trace) => {
                let trace = &mut self.traces[trace as usize];
                self.previous.push(trace.last_row);
                trace.last_row = row;
                trace.n_rows += 1;
            }
            None => {
                self.previous.push(NONE);
                let trace = self.traces.len() as u32;
                self.traces.push(Trace { id, last_row: row, n_rows: 1 });
                let (traces, hasher) = (&self.traces, &self.hasher);
                self.by_id.insert_unique(hasher.hash_one(id), trace, |trace| {
                    hasher.hash_one(traces[*trace as usize].id)
                });
            }
        }
    }

    fn trace(&self, id: TraceId) -> Option<&Trace> {
        let id = id.as_bytes();
        let found = self
            .by_id
            .find(self.hasher.hash_one(id), |trace| self.traces[*trace as usize].id == *id)?;
        Some(&self.traces[*found as usize])
    }

    pub(crate) fn trace_rows(&self, id: TraceId) -> u64 {
        self.trace(id).map_or(0, |trace| trace.n_rows.into())
    }

    /// The chunks that have rows of a trace, in order, with the rows in each.
    pub(crate) fn find(&self, id: TraceId) -> Vec<(ChunkPlace, Vec<u32>)> {
        let Some(trace) = self.trace(id) else { return Vec::new() };
        let mut rows = Vec::with_capacity(trace.n_rows as usize);
        let mut row = trace.last_row;
        while row != NONE {
            rows.push(row);
            row = self.previous[row as usize];
        }
        rows.reverse();
        let mut places = Vec::new();
        let mut rest = &rows[..];
        while let Some(&first) = rest.first() {
            let number = self.chunk_starts.partition_point(|start| *start <= first) - 1;
            let start = self.chunk_starts[number];
            let end = self.chunk_starts.get(number + 1).copied().unwrap_or(NONE);
            let (here, later) = rest.split_at(rest.partition_point(|row| *row < end));
            let rows = here.iter().map(|row| row - start).collect();
            places.push((self.chunks[number].clone(), rows));
            rest = later;
        }
        places
    }

    /// The chunk was written to a scratch file.
    pub(crate) fn set_spilled(&mut self, number: u32, spilled: Arc<SpilledChunk>) {
        self.chunks[number as usize] = ChunkPlace::Spilled(spilled);
    }
}
