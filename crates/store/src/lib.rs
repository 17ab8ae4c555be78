//! Live data, findable by trace; later also blocks and the one scan over both.
//!
//! In: chunks from ingest, in the order of the log, whose rows the log has on disk. Out: the rows
//! of a trace. Chunks that do not fit the memory budget move to scratch files; nothing here is the
//! only copy of anything, the log is.

mod chunk_file;
mod metrics;
mod spill;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::registry::Registry;
use suyuan_ids::TraceId;
use suyuan_model::{Publication, Tenant, TracePiece, TraceRows};

use crate::chunk_file::SpilledChunk;
use crate::metrics::Metrics;
use crate::spill::Spill;
use crate::window::{ChunkPlace, Window};

pub use crate::chunk_file::ChunkFileError;

/// How the store works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Scratch files for chunks that do not fit into memory. Emptied at start.
    pub live_directory: PathBuf,
    /// Memory for finished chunks; older ones move to scratch files.
    pub resident_bytes_max: u64,
}

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
#[error("live data directory {}: {error}", directory.display())]
pub struct OpenError {
    pub directory: PathBuf,
    pub error: std::io::Error,
}

/// Why a trace that may exist cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error("live chunk {}: {error}", path.display())]
pub struct FindError {
    pub path: PathBuf,
    pub error: ChunkFileError,
}

/// A handle on the store; clones are handles on the same one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    windows: RwLock<HashMap<Tenant, Arc<RwLock<Window>>>>,
    spill: Spill,
    metrics: Metrics,
}

impl Store {
    /// Starts with nothing: live data comes from the log.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let metrics = Metrics::default();
        let spill = Spill::start(&options, metrics.clone())
            .map_err(|error| OpenError { directory: options.live_directory.clone(), error })?;
        Ok(Self(Arc::new(Inner { windows: RwLock::default(), spill, metrics })))
    }

    /// Makes rows visible.
    pub fn publish(&self, publication: Publication) {
        let window = self.window_or_new(&publication.tenant);
        let is_final = publication.is_final;
        let number = publication.chunk_number;
        let chunk = publication.chunk.clone();
        let added = window.write().unwrap_or_else(PoisonError::into_inner).publish(publication);
        self.0.metrics.published(&added);
        if is_final {
            self.0.spill.add(window, number, chunk);
        }
    }

    /// The rows of a trace, wherever they lie; duplicates included.
    pub fn find_trace(&self, tenant: &Tenant, id: TraceId) -> Result<Option<TraceRows>, FindError> {
        let Some(window) = self.window(tenant) else { return Ok(None) };
        // The lock is held while places are noted, not while scratch files are read.
        let places = window.read().unwrap_or_else(PoisonError::into_inner).find(id);
        if places.is_empty() {
            return Ok(None);
        }
        let mut pieces = Vec::with_capacity(places.len());
        for (place, rows) in places {
            let chunk = match place {
                ChunkPlace::Resident(chunk) => chunk,
                ChunkPlace::Spilled(spilled) => Arc::new(self.read(&spilled)?),
            };
            pieces.push(TracePiece { chunk, rows });
        }
        Ok(Some(TraceRows { pieces }))
    }

    /// How many spans of a trace are visible.
    pub fn trace_rows(&self, tenant: &Tenant, id: TraceId) -> u64 {
        let Some(window) = self.window(tenant) else { return 0 };
        window.read().unwrap_or_else(PoisonError::into_inner).trace_rows(id)
    }

    /// Visible spans of all tenants.
    pub fn n_rows(&self) -> u64 {
        self.0.metrics.rows()
    }

    /// Makes the store's counters part of what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    fn read(&self, spilled: &SpilledChunk) -> Result<suyuan_model::Chunk, FindError> {
        self.0.metrics.read_spilled();
        spilled.read().map_err(|error| FindError { path: spilled.path().to_owned(), error })
    }

    fn window(&self, tenant: &Tenant) -> Option<Arc<RwLock<Window>>> {
        self.0.windows.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn window_or_new(&self, tenant: &Tenant) -> Arc<RwLock<Window>> {
        if let Some(window) = self.window(tenant) {
            return window;
        }
        let mut windows = self.0.windows.write().unwrap_or_else(PoisonError::into_inner);
        windows.entry(tenant.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests;
