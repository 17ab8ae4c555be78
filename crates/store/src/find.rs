//! The rows of a trace, wherever they lie.
//!
//! In: a view, a tenant, an id. Out: rows of live chunks and of blocks, duplicates included, and
//! what could not be read. An absent trace costs a look into each block's id filter.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use suyuan_ids::TraceId;
use suyuan_model::{Tenant, TracePiece, TraceRows};
use suyuan_wal::Uuid;

use crate::blocks::{Block, BlockError};
use crate::chunk_file::{ChunkFileError, SpilledChunk};
use crate::live::Live;
use crate::window::ChunkPlace;
use crate::{Inner, Store};

/// What was found of a trace.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Empty if nobody knows the trace.
    pub rows: TraceRows,
    /// Blocks that may hold a part of it and cannot be read.
    pub skipped: Vec<Skipped>,
}

/// A block whose part of an answer is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub block: Uuid,
    pub reason: String,
}

impl From<BlockError> for Skipped {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Broken { block, reason } => Self { block, reason },
            BlockError::Read { block, error } => Self { block, reason: error.to_string() },
        }
    }
}

/// Why a trace that may exist cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("live chunk {}: {error}", path.display())]
    Live { path: PathBuf, error: ChunkFileError },
    #[error(transparent)]
    Block(BlockError),
}

impl Store {
    /// The rows of a trace; duplicates included. Reads files: not for threads that must not wait.
    pub fn find_trace(&self, tenant: &Tenant, id: TraceId) -> Result<Found, FindError> {
        let view = self.0.view();
        let mut found = Found::default();
        for live in &view.live {
            if !view.is_erased_live(tenant, id, live, self.0.options.log) {
                self.0.find_live(live, tenant, id, &mut found.rows)?;
            }
        }
        // Names of blocks ascend with the time they were made.
        for block in view.blocks.values().rev() {
            let number =
                block.meta().and_then(|meta| meta.tenant(tenant)).map(|(number, _)| number);
            let is_expired = number.is_some_and(|number| view.is_expired(number, block));
            if is_expired || view.is_erased(tenant, id, block) {
                continue;
            }
            match self.0.find_in_block(block, tenant, id, &mut found.rows) {
                Ok(()) => {}
                Err(BlockError::Broken { block, reason }) => {
                    found.skipped.push(Skipped { block, reason });
                }
                Err(error) => return Err(FindError::Block(error)),
            }
        }
        Ok(found)
    }
}

impl Inner {
    fn find_live(
        &self,
        live: &Live,
        tenant: &Tenant,
        id: TraceId,
        rows: &mut TraceRows,
    ) -> Result<(), FindError> {
        let Some(window) = live.window(tenant) else { return Ok(()) };
        // The lock is held while places are noted, not while scratch files are read.
        let places = window.read().unwrap_or_else(PoisonError::into_inner).find(id);
        for (place, rows_of_chunk) in places {
            let chunk = match place {
                ChunkPlace::Resident(chunk) => chunk,
                ChunkPlace::Spilled(spilled) => Arc::new(self.read(&spilled)?),
            };
            rows.pieces.push(TracePiece { chunk, rows: rows_of_chunk });
        }
        Ok(())
    }

    fn find_in_block(
        &self,
        block: &Block,
        tenant: &Tenant,
        id: TraceId,
        rows: &mut TraceRows,
    ) -> Result<(), BlockError> {
        if block.meta().is_some_and(|meta| meta.tenant(tenant).is_none()) {
            return Ok(());
        }
        let reader = block.reader(&self.options.objects, &self.read_cache)?;
        let chunks = reader.find_trace(tenant, id).map_err(|error| block.judge(error))?;
        for chunk in chunks {
            let n_rows = chunk.n_rows() as u32;
            rows.pieces.push(TracePiece { chunk: Arc::new(chunk), rows: (0..n_rows).collect() });
        }
        Ok(())
    }

    pub(crate) fn read(&self, spilled: &SpilledChunk) -> Result<suyuan_model::Chunk, FindError> {
        self.metrics.read_spilled();
        let path = || spilled.path().to_owned();
        spilled.read().map_err(|error| FindError::Live { path: path(), error })
    }
}
