//! The blocks that the catalog names, as this process knows them.
//!
//! In: the catalog's state. Out: blocks whose files are opened when a question first needs them and
//! stay open. A block that cannot be read is set aside with the reason: what it holds is missing
//! from answers, and they say so; all others are served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use suyuan_block::file::read::ReadCache;
use suyuan_block::meta::{BlockMeta, LogRange};
use suyuan_block::reader::{BlockReader, ReadError};
use suyuan_catalog::{State, Tombstone};
use suyuan_objects::Objects;
use suyuan_wal::Uuid;

pub(crate) type BlockMap = BTreeMap<Uuid, Arc<Block>>;

/// A block of the catalog.
pub(crate) struct Block {
    pub(crate) id: Uuid,
    /// Number of the entry that added it.
    pub(crate) added: u64,
    content: Result<BlockMeta, String>,
    reader: Mutex<Option<Arc<BlockReader>>>,
    broken: Mutex<Option<String>>,
}

impl Block {
    fn new(block: &suyuan_catalog::Block) -> Self {
        let content = BlockMeta::decode(&block.meta).map_err(|error| error.to_string());
        if let Err(reason) = &content {
            tracing::error!(block = %block.id, reason, "cannot read what the catalog says of a block");
        }
        let broken = Mutex::new(content.as_ref().err().cloned());
        Self { id: block.id, added: block.added, content, reader: Mutex::default(), broken }
    }

    /// What is known of it; `None` if the program cannot read that.
    pub(crate) fn meta(&self) -> Option<&BlockMeta> {
        self.content.as_ref().ok()
    }

    /// Whether a tombstone is about what the block holds, so that it is hidden until a compaction
    /// leaves it out. `number`: the entry with the tombstone.
    pub(crate) fn is_covered_by(&self, number: u64, tombstone: &Tombstone) -> bool {
        let Some(meta) = self.meta() else { return false };
        if meta.content_seq > 0 {
            // All that a compaction reads was received before it; what it knew of is left out.
            return number > meta.content_seq;
        }
        let is_early = meta.received_unix_nanos.max < tombstone.ingested_before_unix_nanos;
        let is_before = |range: &LogRange| {
            let named = tombstone.before.iter().find(|(log, _)| *log == range.log);
            // Where the log says what came before, clocks are not asked.
            named.map_or(is_early, |(_, before)| range.to <= *before)
        };
        let is_all_before = meta.log_ranges.iter().all(is_before);
        self.added < number || is_all_before && (is_early || !meta.log_ranges.is_empty())
    }

    /// Why it is not served.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As if its files were damaged.
    #[cfg(test)]
    pub(crate) fn break_for_test(&self, reason: &str) {
        *self.broken.lock().expect("not poisoned") = Some(reason.to_owned());
    }

    /// Its files, opened the first time.
    pub(crate) fn reader(
        &self,
        objects: &Arc<dyn Objects>,
        cache: &Arc<ReadCache>,
    ) -> Result<Arc<BlockReader>, BlockError> {
        if let Some(reason) = self.broken() {
            return Err(BlockError::Broken { block: self.id, reason });
        }
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*reader {
            return Ok(reader.clone());
        }
        let meta = self.meta().expect("a block without meta is broken").clone();
        let opened = BlockReader::new(objects.clone(), meta, cache.clone());
        Ok(reader.insert(Arc::new(opened)).clone())
    }

    /// Remembers that the block is broken, if an error says so: a disk or a network that fails now
    /// may work later.
    pub(crate) fn judge(&self, error: ReadError) -> BlockError {
        if !error.is_damage() {
            return BlockError::Read { block: self.id, error };
        }
        let reason = error.to_string();
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none() {
            tracing::error!(block = %self.id, reason, "a block is damaged: it is not served any more");
            *broken = Some(reason.clone());
        }
        BlockError::Broken { block: self.id, reason }
    }
}

/// Why something of a block cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("block {block} is damaged and not served: {reason}")]
    Broken { block: Uuid, reason: String },
    #[error("block {block}: {error}")]
    Read { block: Uuid, error: ReadError },
}

/// The blocks of a state; those known before stay open.
pub(crate) fn blocks_of(state: &State, before: &BlockMap) -> BlockMap {
    let known = |block: &Arc<suyuan_catalog::Block>| match before.get(&block.id) {
        Some(known) => known.clone(),
        None => Arc::new(Block::new(block)),
    };
    state.blocks.iter().map(|(id, block)| (*id, known(block))).collect()
}
