//! All that the spans of a trace say, for the few traces where it decides which copy stands.
//!
//! In: pieces of a trace. Out: for each of their rows a chunk with all columns. Needed only where
//! copies of a span end at the same time; it reads whole rows, so nobody else should.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use suyuan_block::reader::Projection;
use suyuan_model::Chunk;

use super::places::{UnitKey, WantedPiece};
use super::skip;
use crate::find::{FindError, Skipped};
use crate::scan::unit::slice::{judged, reader_of};
use crate::snapshot::Snapshot;
use crate::window::ChunkPlace;

/// Scratch files that stay loaded: a request that was sent twice has many traces in one chunk.
const LOADED_CHUNKS_MAX: usize = 4;

/// Reads contents, one trace after another.
pub(super) struct Contents<'a> {
    snapshot: &'a Snapshot,
    /// Read from scratch files, the latest last.
    loaded: Vec<(UnitKey, Arc<Chunk>)>,
}

/// A row with all its columns; `None`: its block broke.
pub(super) type Content = Option<(Arc<Chunk>, u32)>;

impl<'a> Contents<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, loaded: Vec::new() }
    }

    /// The contents of all rows of some pieces, in their order.
    pub(super) fn of(
        &mut self,
        pieces: &[WantedPiece],
        skipped: &mut Vec<Skipped>,
    ) -> Result<Vec<Content>, FindError> {
        let mut contents = Vec::new();
        for piece in pieces {
            for rows in &piece.rows {
                match self.rows(piece.unit, rows) {
                    Ok((chunk, first)) => {
                        let rows = first..first + (rows.end - rows.start);
                        contents.extend(rows.map(|row| Some((chunk.clone(), row))));
                    }
                    Err(error) => {
                        skip(skipped, error)?;
                        contents.extend(rows.clone().map(|_| None));
                    }
                }
            }
        }
        Ok(contents)
    }

    /// A chunk that has some rows of a unit, and the first of them there.
    fn rows(&mut self, unit: UnitKey, rows: &Range<u32>) -> Result<(Arc<Chunk>, u32), FindError> {
        match unit {
            UnitKey::Slice { source, slice } => {
                let source = &self.snapshot.blocks[source as usize];
                let reader = reader_of(self.snapshot, source)?;
                let chunk = reader
                    .rows(source.tenant, slice, rows.clone(), Projection::All)
                    .map_err(judged(source))?;
                Ok((Arc::new(chunk), 0))
            }
            UnitKey::Chunk { source, chunk } => {
                let source = &self.snapshot.live[source as usize];
                let place = {
                    let window = source.window.read().unwrap_or_else(PoisonError::into_inner);
                    window.chunk(chunk)
                };
                let chunk = match place {
                    ChunkPlace::Resident(chunk) => chunk,
                    ChunkPlace::Spilled(spilled) => match self.loaded(unit) {
                        Some(chunk) => chunk,
                        None => {
                            let chunk = Arc::new(self.snapshot.inner.read(&spilled)?);
                            self.keep(unit, chunk.clone());
                            chunk
                        }
                    },
                };
                Ok((chunk, rows.start))
            }
        }
    }

    fn loaded(&mut self, unit: UnitKey) -> Option<Arc<Chunk>> {
        let at = self.loaded.iter().position(|(key, _)| *key == unit)?;
        let found = self.loaded.remove(at);
        let chunk = found.1.clone();
        self.loaded.push(found);
        Some(chunk)
    }

    fn keep(&mut self, unit: UnitKey, chunk: Arc<Chunk>) {
        if self.loaded.len() >= LOADED_CHUNKS_MAX {
            self.loaded.remove(0);
        }
        self.loaded.push((unit, chunk));
    }
}
