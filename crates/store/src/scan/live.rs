//! Rows of live data, chunks from scratch files among them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use suyuan_block::traces::standing;
use suyuan_ids::TraceId;
use suyuan_model::{Chunk, TracePiece, TraceRows};

use crate::find::FindError;
use crate::snapshot::{LiveKey, LiveSource, Snapshot};
use crate::window::ChunkPlace;

/// Scratch files that stay loaded: traces that came together lie in few chunks.
const LOADED_CHUNKS_MAX: usize = 12;
/// Rows that are handed over together, unless one trace alone has more.
const BATCH_ROWS: usize = 16_384;

/// Reads traces of a snapshot's live data, one after another.
pub(crate) struct LiveReader<'a> {
    snapshot: &'a Snapshot,
    /// Read from scratch files, the latest last.
    loaded: Vec<((LiveKey, u32), Arc<Chunk>)>,
}

impl<'a> LiveReader<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, loaded: Vec::new() }
    }

    /// Adds the rows of a trace, by its number in the window, that the snapshot sees.
    pub(crate) fn rows(
        &mut self,
        live: LiveKey,
        trace: u32,
        rows: &mut TraceRows,
    ) -> Result<TraceId, FindError> {
        let source = self.source(live);
        // The lock is held while places are noted, not while scratch files are read.
        let (id, places) = {
            let window = source.window.read().unwrap_or_else(PoisonError::into_inner);
            (window.traces()[trace as usize].id, window.places_of(trace, source.n_rows))
        };
        for (number, place, rows_of_chunk) in places {
            let chunk = match place {
                ChunkPlace::Resident(chunk) => chunk,
                ChunkPlace::Spilled(spilled) => match self.loaded(live, number) {
                    Some(chunk) => chunk,
                    None => {
                        let chunk = Arc::new(self.snapshot.inner.read(&spilled)?);
                        self.keep(live, number, chunk.clone());
                        chunk
                    }
                },
            };
            rows.pieces.push(TracePiece { chunk, rows: rows_of_chunk });
        }
        Ok(TraceId::from_bytes(id))
    }

    fn source(&self, live: LiveKey) -> &'a LiveSource {
        let source = self.snapshot.live.iter().find(|source| source.key() == live);
        source.expect("pieces of live data are the snapshot's own")
    }

    fn loaded(&mut self, live: LiveKey, number: u32) -> Option<Arc<Chunk>> {
        let at = self.loaded.iter().position(|(key, _)| *key == (live, number))?;
        let found = self.loaded.remove(at);
        let chunk = found.1.clone();
        self.loaded.push(found);
        Some(chunk)
    }

    fn keep(&mut self, live: LiveKey, number: u32, chunk: Arc<Chunk>) {
        if self.loaded.len() >= LOADED_CHUNKS_MAX {
            self.loaded.remove(0);
        }
        self.loaded.push(((live, number), chunk));
    }
}

/// Whole traces that are handed over together.
#[derive(Default)]
pub(super) struct Batch {
    pieces: Vec<TracePiece>,
    /// By chunk.
    places: HashMap<*const Chunk, usize>,
    n_rows: usize,
}

impl Batch {
    /// Adds the rows of a trace, each span once.
    pub(super) fn add(&mut self, rows: &TraceRows) {
        for piece in standing(rows).pieces {
            self.n_rows += piece.rows.len();
            let next = self.pieces.len();
            let place = *self.places.entry(Arc::as_ptr(&piece.chunk)).or_insert(next);
            match self.pieces.get_mut(place) {
                Some(known) => known.rows.extend(piece.rows),
                None => self.pieces.push(piece),
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS
    }

    /// Hands over what there is, and is empty then.
    pub(super) fn visit(
        &mut self,
        visit: &mut dyn FnMut(&[TracePiece]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.n_rows == 0 {
            return ControlFlow::Continue(());
        }
        for piece in &mut self.pieces {
            piece.rows.sort_unstable();
        }
        let flow = visit(&self.pieces);
        *self = Self::default();
        flow
    }
}
