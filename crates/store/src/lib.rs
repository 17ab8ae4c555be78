//! Live data and blocks: everything that was received, findable by trace.
//!
//! In: chunks from ingest, in the order of the log, whose rows the log has on disk, and cuts, at
//! which live data ends and becomes one block. Out: the rows of a trace, wherever they lie. Of live
//! data nothing here is the only copy, the log is; of blocks the object store is, and the catalog's
//! entries say which of them exist.
//!
//! ```text
//!   publish ──> window (chunks, row chains) ──> spill: scratch files, when memory runs short
//!                   │ cut
//!                   v
//!               seal: slices ──> block's files ──> catalog entry ──> view ──> log truncated
//! ```
//!
//! - [`view`]: live data and blocks at one moment; a reader holds one and nothing moves.
//! - [`live`], [`window`], [`spill`], [`chunk_file`], [`chunk_keys`]: what has no block yet.
//! - [`sealer`], [`seal`], [`slices`]: live data to one block.
//! - [`blocks`]: the blocks there are, opened when needed.
//! - [`snapshot`], [`split`], [`scan`]: everything of a tenant, each trace whole.
//! - [`keeper`], [`compaction`], [`retention`], [`erasure`]: blocks become fewer, older and gone.

mod blocks;
mod chunk_file;
mod chunk_keys;
mod compaction;
mod erasure;
mod find;
mod keeper;
mod live;
mod metrics;
mod retention;
mod row_bytes;
mod scan;
mod seal;
mod sealer;
mod slices;
mod snapshot;
mod spill;
mod split;
mod view;
mod window;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;
use rustix::rand::GetRandomFlags;
use suyuan_block::file::read::ReadCache;
use suyuan_block::writer::WriterOptions;
use suyuan_catalog::{Catalog, CatalogError, CommitError, Owner, State};
use suyuan_ids::TraceId;
use suyuan_model::{Publication, Tenant};
use suyuan_objects::Objects;
use suyuan_wal::{Position, Uuid};

use crate::keeper::Keeper;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::retention::Expired;
use crate::sealer::Sealer;
use crate::spill::Spill;
use crate::split::{Splits, Splitter};
use crate::view::View;

pub use crate::blocks::BlockError;
pub use crate::chunk_file::ChunkFileError;
pub use crate::compaction::{CompactionPolicy, CompactionReport, CompactionStart};
pub use crate::erasure::{EraseError, EraseReport};
pub use crate::find::{FindError, Found, Skipped};
pub use crate::keeper::{CompactError, KeepPolicy};
pub use crate::retention::{RetentionLimits, RetentionPolicy};
pub use crate::scan::{
    Assembled, AssembledPiece, OpenUnit, ScanReport, SpanStructure, TraceKey, TraceRef, Unit,
    UnitName, UnitPresence, structure_of,
};
pub use crate::sealer::{FlushError, LogControl, SealPolicy};
pub use crate::snapshot::Snapshot;
pub use crate::split::{SplitSet, SplitTrace};
pub use suyuan_block::reader::{Between, Probe, TextOf};

/// How the store works.
#[derive(Clone)]
pub struct Options {
    /// Scratch files for chunks that do not fit into memory. Emptied at start.
    pub live_directory: PathBuf,
    /// Memory for finished chunks; older ones move to scratch files.
    pub resident_bytes_max: u64,
    /// Where blocks and their catalog are.
    pub objects: Arc<dyn Objects>,
    /// The log that publications come from.
    pub log: Uuid,
    pub seal: SealPolicy,
    pub writer: WriterOptions,
    pub keep: KeepPolicy,
    /// After how many entries of the catalog a snapshot is due, and how long what it replaces stays.
    pub catalog_snapshot_every: u64,
    pub catalog_entry_keep: Duration,
    /// Memory for what is kept of blocks between questions: dictionaries, bloom filters.
    pub read_cache_bytes_max: usize,
    /// Pieces of a trace that were received within this time of each other are one trace in every
    /// answer; of those further apart, lookups by id and compactions make one.
    pub trace_horizon: Duration,
    /// Memory for traces that lie in several sources, for each tenant; what does not fit is answered
    /// as pieces, and counted.
    pub split_bytes_max: u64,
}

impl Options {
    /// With the defaults of a server (`design.md 10`).
    pub fn new(live_directory: PathBuf, objects: Arc<dyn Objects>, log: Uuid) -> Self {
        Self {
            live_directory,
            resident_bytes_max: 256 << 20,
            objects,
            log,
            seal: SealPolicy::default(),
            writer: WriterOptions::default(),
            keep: KeepPolicy::default(),
            catalog_snapshot_every: suyuan_catalog::Options::SNAPSHOT_EVERY,
            catalog_entry_keep: suyuan_catalog::Options::ENTRY_KEEP,
            read_cache_bytes_max: 64 << 20,
            trace_horizon: Duration::from_hours(1),
            split_bytes_max: 64 << 20,
        }
    }
}

/// What became blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    pub blocks: u64,
    /// Spans in them.
    pub rows: u64,
    /// Of all their files.
    pub bytes: u64,
    /// Spans that were received more than once and written once.
    pub duplicates_removed: u64,
    pub time: Duration,
}

/// What the catalog names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub blocks: u64,
    /// Spans, those that are hidden and wait for a compaction included.
    pub rows: u64,
    /// Of all files.
    pub bytes: u64,
}

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("live data directory {}: {error}", directory.display())]
    Live { directory: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("cannot take over the log in the catalog: {0}")]
    TakeOver(#[from] CommitError),
    #[error("the system gives no random bytes: {0}")]
    Random(std::io::Error),
}

/// A handle on the store; clones are handles on the same one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    options: Options,
    view: RwLock<Arc<View>>,
    catalog: Catalog,
    /// The right to commit what comes from the log.
    owner: Owner,
    sealer: Arc<Sealer>,
    keeper: Arc<Keeper>,
    splits: Splits,
    splitter: Arc<Splitter>,
    spill: Spill,
    read_cache: Arc<ReadCache>,
    metrics: Metrics,
}

impl Store {
    /// Reads which blocks there are, and takes the log over from whoever had it before. Live data
    /// comes from the log, from [`Store::sealed_to`] on.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let metrics = Metrics::default();
        let spill = Spill::start(&options, metrics.clone()).map_err(|error| OpenError::Live {
            directory: options.live_directory.clone(),
            error,
        })?;
        let catalog_options = suyuan_catalog::Options {
            shard: 0,
            writer: random_uuid()?,
            snapshot_every: options.catalog_snapshot_every,
            entry_keep: options.catalog_entry_keep,
        };
        let catalog = Catalog::open(options.objects.clone(), catalog_options)?;
        let owner = catalog.take_over(options.log)?;
        let view = View::new(catalog.state(), options.log);
        metrics.set_blocks(&view);
        let read_cache = Arc::new(ReadCache::new(options.read_cache_bytes_max));
        Ok(Self(Arc::new(Inner {
            read_cache,
            options,
            view: RwLock::new(Arc::new(view)),
            catalog,
            owner,
            sealer: Arc::default(),
            keeper: Arc::default(),
            splits: Splits::default(),
            splitter: Arc::default(),
            spill,
            metrics,
        })))
    }

    /// Everything in the log before this position is in blocks; `None`: nothing is.
    pub fn sealed_to(&self) -> Option<Position> {
        self.0.view().state.log_end(self.0.options.log)
    }

    /// Begins to write blocks and to keep them in order, once the log has been replayed.
    pub fn start(&self, control: Arc<dyn LogControl>) -> std::io::Result<()> {
        self.0.sealer.start(&self.0, control)?;
        self.0.splitter.start(&self.0)?;
        self.0.keeper.start(&self.0)
    }

    /// Ends the threads, each after the step it is at. What has no block yet stays in the log.
    pub fn stop(&self) {
        self.0.keeper.stop();
        self.0.splitter.stop();
        self.0.sealer.stop();
    }

    /// Makes rows visible.
    pub fn publish(&self, publication: Publication) {
        let is_final = publication.is_final;
        let number = publication.chunk_number;
        let chunk = publication.chunk.clone();
        let view = self.0.view();
        let live = view.open_live();
        let (window, added) = live.publish(publication);
        self.0.metrics.published(&added);
        if is_final {
            self.0.spill.add(window, number, chunk);
        }
        if live.n_rows() >= self.0.options.seal.rows_max {
            self.0.sealer.set_full();
        }
    }

    /// Ends the live data: what was published since the last cut is the log from there up to
    /// `log_end`. Called in order with [`Store::publish`]. `None`: nothing was appended.
    pub fn cut(&self, log_end: Option<Position>) {
        if let Some(log_end) = log_end {
            let mut view = self.0.view.write().unwrap_or_else(PoisonError::into_inner);
            view.open_live().set_end(log_end);
            let mut cut = View::clone(&view);
            cut.live.push(Arc::new(Live::new(log_end)));
            *view = Arc::new(cut);
        }
        self.0.sealer.note_cut();
    }

    /// Whether the live data has as many rows as one block shall have. During a replay nobody else
    /// asks for a cut.
    pub fn is_full(&self) -> bool {
        self.0.view().open_live().n_rows() >= self.0.options.seal.rows_max
    }

    /// How many spans of a trace are live.
    pub fn live_trace_rows(&self, tenant: &Tenant, id: TraceId) -> u64 {
        let view = self.0.view();
        let is_erased = |live: &Live| view.is_erased_live(tenant, id, live, self.0.options.log);
        let live = view.live.iter().filter(|live| !is_erased(live));
        live.map(|live| live.trace_rows(tenant, id)).sum()
    }

    /// Makes a block of all that was published before, and returns when it exists. The report is
    /// about all blocks that were made of live data meanwhile.
    pub fn flush(&self) -> Result<FlushReport, FlushError> {
        let started_at = Instant::now();
        let before = self.0.metrics.flushed();
        self.0.sealer.cut_and_wait()?;
        let last_cut = {
            let view = self.0.view();
            view.live.iter().filter_map(|live| live.end()).next_back()
        };
        if let Some(last_cut) = last_cut {
            self.0.sealer.wait_until_sealed(|| self.sealed_to() >= Some(last_cut))?;
        }
        let after = self.0.metrics.flushed();
        Ok(FlushReport {
            blocks: after.blocks - before.blocks,
            rows: after.rows - before.rows,
            bytes: after.bytes - before.bytes,
            duplicates_removed: after.duplicates_removed - before.duplicates_removed,
            time: started_at.elapsed(),
        })
    }

    /// How many blocks there are and what they hold.
    pub fn totals(&self) -> Totals {
        let view = self.0.view();
        let metas = || view.blocks.values().filter_map(|block| block.meta());
        Totals {
            blocks: view.blocks.len() as u64,
            rows: metas().map(|meta| meta.n_spans()).sum(),
            bytes: metas().map(|meta| meta.bytes()).sum(),
        }
    }

    /// How long requests shall wait before they are taken, because blocks are written more slowly
    /// than spans arrive.
    pub fn pressure(&self) -> Duration {
        let n_waiting = self.0.view().live.len() as u32 - 1;
        WAIT_PER_UNSEALED * n_waiting.saturating_sub(UNSEALED_FREE) + self.0.keeper.pressure()
    }

    /// Live spans of all tenants.
    pub fn n_rows(&self) -> u64 {
        self.0.metrics.rows()
    }

    /// Why this server can write no more blocks, if so.
    pub fn fenced(&self) -> Option<String> {
        self.0.sealer.fenced()
    }

    /// Makes the store's counters part of what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }
}

/// Windows that may wait for their block without anybody being slowed down.
const UNSEALED_FREE: u32 = 1;
/// How much slower each further one makes a request.
const WAIT_PER_UNSEALED: Duration = Duration::from_millis(50);

impl Inner {
    fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hides what has expired.
    fn set_expired(&self, expired: Expired) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        *view = Arc::new(View { expired: Arc::new(expired), ..View::clone(&view) });
    }

    /// Lets readers see a later state of the catalog.
    fn install(&self, state: Arc<State>) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if state.number <= view.state.number {
            return;
        }
        let next = Arc::new(view.with_state(state, self.options.log));
        let gone = view.live.iter().filter(|live| !next.live.iter().any(|l| Arc::ptr_eq(l, live)));
        let mut is_sealed = false;
        for live in gone {
            self.metrics.unpublished(&live.added());
            is_sealed = true;
        }
        self.metrics.set_blocks(&next);
        *view = next;
        drop(view);
        if is_sealed {
            // Not only the seal itself finds out that its commit has landed.
            self.sealer.note_sealed();
        }
        self.splitter.wake();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.stop();
        self.splitter.stop();
        self.sealer.stop();
    }
}

/// Nanoseconds since 1970 by this machine's clock.
fn now_unix_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// 128 random bits.
fn random_uuid() -> Result<Uuid, OpenError> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes).map_err(OpenError::Random)?;
    Ok(Uuid(bytes))
}

fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
