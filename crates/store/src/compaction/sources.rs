//! The rows that a compaction reads: slices of blocks, as the writer of blocks wants them.
//!
//! In: the slices that are asked for, again and again while an output slice is made. Out: chunks,
//! the latest of them kept in bounded memory. Blocks are cut by time and so is what is written, so
//! each slice is decoded once unless clocks lie wildly.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use suyuan_block::reader::BlockReader;
use suyuan_block::writer::{Chunks, ChunksError};
use suyuan_model::Chunk;

use super::gone::Gone;
use crate::blocks::Block;
use crate::chunk_file::encoded_bytes;

/// A block that is written anew.
pub(super) struct Input {
    pub(super) block: Arc<Block>,
    pub(super) reader: Arc<BlockReader>,
    /// What of it does not come out.
    pub(super) gone: Gone,
}

/// A tenant's rows in a slice of an input: one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) input: u32,
    /// The tenant's number in the input.
    pub(super) tenant: u32,
    pub(super) slice: u32,
}

/// The chunks of a block that is being written, by number.
pub(super) struct Sources<'a> {
    inputs: &'a [Input],
    parts: Vec<Part>,
    loaded: HashMap<u32, Loaded>,
    /// Numbers of loaded chunks by when they were last asked for.
    by_use: BTreeMap<u64, u32>,
    n_uses: u64,
    bytes: u64,
    bytes_max: u64,
    /// Chunks decoded so far.
    pub(super) n_decoded: u64,
}

struct Loaded {
    chunk: Arc<Chunk>,
    bytes: u64,
    last_use: u64,
}

impl<'a> Sources<'a> {
    pub(super) fn new(inputs: &'a [Input], parts: Vec<Part>, bytes_max: u64) -> Self {
        Self {
            inputs,
            parts,
            loaded: HashMap::new(),
            by_use: BTreeMap::new(),
            n_uses: 0,
            bytes: 0,
            bytes_max,
            n_decoded: 0,
        }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn decode(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        let Part { input, tenant, slice } = self.parts[number as usize];
        let Input { block, reader, .. } = &self.inputs[input as usize];
        let chunk = reader.slice(tenant, slice).map_err(|error| {
            ChunksError::new(format!("slice {slice} of block {}", block.id), block.judge(error))
        })?;
        self.n_decoded += 1;
        Ok(Arc::new(chunk))
    }

    /// Makes room for so many bytes; what is asked for now is kept whatever it takes.
    fn make_room(&mut self, bytes: u64) {
        while self.bytes + bytes > self.bytes_max
            && let Some((_, number)) = self.by_use.pop_first()
        {
            let gone = self.loaded.remove(&number);
            self.bytes -= gone.map_or(0, |gone| gone.bytes);
        }
    }
}

impl Chunks for Sources<'_> {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        self.n_uses += 1;
        let now = self.n_uses;
        if let Some(loaded) = self.loaded.get_mut(&number) {
            self.by_use.remove(&loaded.last_use);
            loaded.last_use = now;
            self.by_use.insert(now, number);
            return Ok(loaded.chunk.clone());
        }
        let chunk = self.decode(number)?;
        let bytes = encoded_bytes(&chunk);
        self.make_room(bytes);
        self.bytes += bytes;
        self.by_use.insert(now, number);
        self.loaded.insert(number, Loaded { chunk: chunk.clone(), bytes, last_use: now });
        Ok(chunk)
    }
}
