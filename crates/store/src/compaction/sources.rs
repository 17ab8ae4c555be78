//! The rows that a compaction reads: slices of blocks, as the writer of blocks wants them.
//!
//! In: the slices that are asked for, again and again while an output slice is made. Out: chunks,
//! the latest of them kept in bounded memory. Blocks are cut by time and so is what is written, so
//! each slice is decoded once unless clocks lie wildly. A slice that many tenants share is decoded
//! for all of them at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use suyuan_block::reader::{BlockReader, ReadError, WholeSlice};
use suyuan_block::writer::{Chunks, ChunksError};
use suyuan_model::Chunk;

use super::gone::Gone;
use crate::blocks::Block;
use crate::chunk_file::encoded_bytes;

/// What a decoded row takes in memory, about.
const ROW_BYTES: u64 = 250;
/// What a chunk takes in memory besides its values.
const CHUNK_BYTES: u64 = 4 << 10;
/// What each attribute column takes besides its values.
const COLUMN_BYTES: u64 = 400;

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
    /// Slices of which several tenants want their rows, unless they are too many to keep.
    shared: HashSet<(u32, u32)>,
    /// At most one of each input.
    whole: Vec<(u32, u32, WholeSlice)>,
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
        let shared = shared_slices(inputs, &parts, bytes_max);
        Self {
            shared,
            whole: Vec::new(),
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
        let chunk = match self.shared.contains(&(input, slice)) {
            true => self.whole(input, slice).and_then(|whole| reader.rows_of(whole, tenant)),
            false => reader.slice(tenant, slice),
        };
        let chunk = chunk.map_err(|error| {
            ChunksError::new(format!("slice {slice} of block {}", block.id), block.judge(error))
        })?;
        self.n_decoded += 1;
        Ok(Arc::new(chunk))
    }

    fn whole(&mut self, input: u32, slice: u32) -> Result<&WholeSlice, ReadError> {
        let is_it = |(of, number, _): &(u32, u32, WholeSlice)| (*of, *number) == (input, slice);
        if let Some(at) = self.whole.iter().position(is_it) {
            return Ok(&self.whole[at].2);
        }
        // Tenants come in order, so what an input had before is not asked for again.
        self.whole.retain(|(of, _, _)| *of != input);
        let whole = self.inputs[input as usize].reader.whole_slice(slice)?;
        self.whole.push((input, slice, whole));
        let last = self.whole.len() - 1;
        Ok(&self.whole[last].2)
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

/// The slices, by input, of which several tenants want their rows; none if one of each input would
/// take more than the memory there is.
fn shared_slices(inputs: &[Input], parts: &[Part], bytes_max: u64) -> HashSet<(u32, u32)> {
    let mut n_tenants: HashMap<(u32, u32), u32> = HashMap::new();
    for part in parts {
        *n_tenants.entry((part.input, part.slice)).or_default() += 1;
    }
    n_tenants.retain(|_, n| *n > 1);
    let rows = |(input, slice): &(u32, u32)| {
        let slices = &inputs[*input as usize].reader.meta().slices;
        slices.get(*slice as usize).map_or(0, |slice| u64::from(slice.n_rows))
    };
    let mut rows_of_inputs = vec![0; inputs.len()];
    for place in n_tenants.keys() {
        let of_input: &mut u64 = &mut rows_of_inputs[place.0 as usize];
        *of_input = rows(place).max(*of_input);
    }
    if rows_of_inputs.iter().sum::<u64>() * ROW_BYTES > bytes_max {
        return HashSet::new();
    }
    n_tenants.into_keys().collect()
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
        let n_columns = chunk.attributes.columns.len() as u64;
        let bytes = encoded_bytes(&chunk) + CHUNK_BYTES + n_columns * COLUMN_BYTES;
        self.make_room(bytes);
        self.bytes += bytes;
        self.by_use.insert(now, number);
        self.loaded.insert(number, Loaded { chunk: chunk.clone(), bytes, last_use: now });
        Ok(chunk)
    }
}
