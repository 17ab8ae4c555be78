//! Where the spans of one trace lie: rows of chunks, nothing copied.
//!
//! In: what the store found. Out: what an answer is written from. A trace may lie in several
//! chunks, and a span may stand twice until `query` has removed duplicates.

use std::sync::Arc;

use crate::chunk::Chunk;

/// The rows of one trace. Order of the pieces: as found; it means nothing.
#[derive(Clone, Debug, Default)]
pub struct TraceRows {
    pub pieces: Vec<TracePiece>,
}

/// The rows of one trace in one chunk.
#[derive(Clone, Debug)]
pub struct TracePiece {
    pub chunk: Arc<Chunk>,
    /// Ascending.
    pub rows: Vec<u32>,
}

impl TraceRows {
    pub fn n_spans(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows.len()).sum()
    }

    /// Every row with the number of its piece, in the order of the pieces.
    pub fn places(&self) -> impl Iterator<Item = (usize, u32)> {
        self.pieces
            .iter()
            .enumerate()
            .flat_map(|(n, piece)| piece.rows.iter().map(move |row| (n, *row)))
    }
}
