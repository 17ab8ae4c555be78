//! Columns of a block back to a chunk.
