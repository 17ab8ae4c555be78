//! What arrived between two cuts of the log, by tenant.
//!
//! In: publications, in the order of the log. Out: the rows of a trace, and, once the next cut has
//! come, all of it for a block. After the cut nothing changes here but chunks that move to scratch
//! files; when the block is committed the whole of it goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use suyuan_block::meta::BlockMeta;
use suyuan_catalog::Tombstone;
use suyuan_ids::TraceId;
use suyuan_model::{Publication, Tenant};
use suyuan_wal::{Position, Uuid};

use crate::metrics::Added;
use crate::window::Window;

pub(crate) type TenantWindow = Arc<RwLock<Window>>;

pub(crate) struct Live {
    /// No other one of this process has it, neither before nor after: an address would come again.
    number: u64,
    /// Where the log's records begin whose rows are here.
    begin: Position,
    windows: RwLock<HashMap<Tenant, TenantWindow>>,
    n_rows: AtomicU64,
    n_traces: AtomicU64,
    n_chunks: AtomicU64,
    first_row_at: Mutex<Option<Instant>>,
    end: OnceLock<Position>,
    /// The block of all this, when its files are written and the catalog is not asked yet, or has
    /// not answered.
    written: Mutex<Option<Arc<BlockMeta>>>,
}

impl Live {
    pub(crate) fn new(begin: Position) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Relaxed),
            begin,
            windows: RwLock::default(),
            n_rows: AtomicU64::new(0),
            n_traces: AtomicU64::new(0),
            n_chunks: AtomicU64::new(0),
            first_row_at: Mutex::default(),
            end: OnceLock::new(),
            written: Mutex::default(),
        }
    }

    /// Which live data this is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn begin(&self) -> Position {
        self.begin
    }

    /// The block that was written and is not known to exist or not.
    pub(crate) fn written(&self) -> Option<Arc<BlockMeta>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_written(&self, meta: Option<Arc<BlockMeta>>) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = meta;
    }

    /// Takes a chunk. Returns the tenant's window and what is new in it.
    pub(crate) fn publish(&self, publication: Publication) -> (TenantWindow, Added) {
        let window = self.window_or_new(&publication.tenant);
        let added = window.write().unwrap_or_else(PoisonError::into_inner).publish(publication);
        self.first_row_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(Instant::now);
        self.n_rows.fetch_add(added.rows, Relaxed);
        self.n_traces.fetch_add(added.traces, Relaxed);
        self.n_chunks.fetch_add(added.chunks, Relaxed);
        (window, added)
    }

    /// Nothing comes any more: what is here lies in the log before this position.
    pub(crate) fn set_end(&self, end: Position) {
        // A second cut of the same rows cannot be: each cut begins a new `Live`.
        let _ = self.end.set(end);
    }

    /// Where the log went on after this; `None` while it takes rows.
    pub(crate) fn end(&self) -> Option<Position> {
        self.end.get().copied()
    }

    /// Whether a tombstone is about what is here.
    pub(crate) fn is_covered_by(&self, tombstone: &Tombstone, log: Uuid) -> bool {
        let Some(end) = self.end() else { return false };
        tombstone.before.iter().any(|(of, before)| *of == log && end <= *before)
    }

    pub(crate) fn window(&self, tenant: &Tenant) -> Option<TenantWindow> {
        self.windows.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    pub(crate) fn windows(&self) -> Vec<(Tenant, TenantWindow)> {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        windows.iter().map(|(tenant, window)| (tenant.clone(), window.clone())).collect()
    }

    /// How many spans of a trace are here.
    pub(crate) fn trace_rows(&self, tenant: &Tenant, id: TraceId) -> u64 {
        let Some(window) = self.window(tenant) else { return 0 };
        window.read().unwrap_or_else(PoisonError::into_inner).trace_rows(id)
    }

    /// How many spans of a trace, or of all of a tenant's, are here.
    pub(crate) fn rows_of(&self, tenant: &Tenant, trace: Option<TraceId>) -> u64 {
        let Some(window) = self.window(tenant) else { return 0 };
        let window = window.read().unwrap_or_else(PoisonError::into_inner);
        trace.map_or(window.n_rows(), |id| window.trace_rows(id))
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows.load(Relaxed)
    }

    /// All that was published here so far.
    pub(crate) fn added(&self) -> Added {
        Added {
            rows: self.n_rows(),
            traces: self.n_traces.load(Relaxed),
            chunks: self.n_chunks.load(Relaxed),
        }
    }

    /// When the first row came.
    pub(crate) fn first_row_at(&self) -> Option<Instant> {
        *self.first_row_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window_or_new(&self, tenant: &Tenant) -> TenantWindow {
        if let Some(window) = self.window(tenant) {
            return window;
        }
        let mut windows = self.windows.write().unwrap_or_else(PoisonError::into_inner);
        windows.entry(tenant.clone()).or_default().clone()
    }
}
