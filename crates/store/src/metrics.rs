//! What the store counts, as `suyuan_store_...`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use suyuan_block::meta::BlockMeta;

use crate::FlushReport;
use crate::compaction::CompactionReport;
use crate::view::View;

/// What a publication added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) rows: u64,
    pub(crate) traces: u64,
    pub(crate) chunks: u64,
}

/// What is known of split traces, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplitTotals {
    pub(crate) n_traces: u64,
    pub(crate) n_bytes: u64,
    pub(crate) n_left_out: u64,
}

/// A clone is a handle on the same counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    rows: Gauge<u64, AtomicU64>,
    traces: Gauge<u64, AtomicU64>,
    chunks: Gauge<u64, AtomicU64>,
    resident_bytes: Gauge<u64, AtomicU64>,
    spilled_bytes: Gauge<u64, AtomicU64>,
    spilled_reads: Counter,
    spill_failures: Counter,
    blocks: Gauge<u64, AtomicU64>,
    block_bytes: Gauge<u64, AtomicU64>,
    block_rows: Gauge<u64, AtomicU64>,
    unreadable_blocks: Gauge<u64, AtomicU64>,
    catalog_number: Gauge<u64, AtomicU64>,
    unsealed_windows: Gauge<u64, AtomicU64>,
    seals: Counter,
    seal_failures: Counter,
    seal_seconds: Counter<f64, AtomicU64>,
    sealed_rows: Counter,
    sealed_bytes: Counter,
    duplicate_rows: Counter,
    keeping: KeepingMetrics,
    split: SplitMetrics,
}

/// Traces that lie in several sources.
#[derive(Clone, Debug, Default)]
struct SplitMetrics {
    traces: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    left_out: Gauge<u64, AtomicU64>,
    seconds: Counter<f64, AtomicU64>,
    candidates: Counter,
    false_candidates: Counter,
}

/// What becomes of blocks.
#[derive(Clone, Debug, Default)]
struct KeepingMetrics {
    failures: Counter,
    compactions: Counter,
    compaction_failures: Counter,
    lost_compactions: Counter,
    compaction_seconds: Counter<f64, AtomicU64>,
    compacted_blocks: Counter,
    compacted_rows: Counter,
    compacted_bytes: Counter,
    merged_split_traces: Counter,
    dead_rows: Counter,
    expired_blocks: Counter,
    expired_rows: Counter,
    deleted_blocks: Counter,
    deleted_orphans: Counter,
    erasures: Gauge<u64, AtomicU64>,
    waiting_deletions: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("suyuan_store");
        registry.register("live_rows", "Spans that can be found", self.rows.clone());
        registry.register(
            "live_traces",
            "Traces that can be found, counted for each tenant",
            self.traces.clone(),
        );
        registry.register("live_chunks", "Tables that hold the spans", self.chunks.clone());
        registry.register_with_unit(
            "live_resident",
            "Memory of finished tables; those beyond the budget are moved to scratch files",
            Unit::Bytes,
            self.resident_bytes.clone(),
        );
        registry.register_with_unit(
            "live_spilled",
            "Size of finished tables in scratch files",
            Unit::Bytes,
            self.spilled_bytes.clone(),
        );
        registry.register(
            "live_spilled_reads",
            "Scratch files read to answer a question",
            self.spilled_reads.clone(),
        );
        registry.register(
            "live_spill_failures",
            "Scratch files that could not be written; their tables stay in memory",
            self.spill_failures.clone(),
        );
        self.register_blocks(registry);
        self.register_seals(registry);
        self.keeping.register(registry);
        self.split.register(registry);
    }

    fn register_blocks(&self, registry: &mut Registry) {
        registry.register("blocks", "Blocks that the catalog names", self.blocks.clone());
        registry.register_with_unit(
            "block",
            "Size of all files of these blocks",
            Unit::Bytes,
            self.block_bytes.clone(),
        );
        registry.register("block_rows", "Spans in blocks", self.block_rows.clone());
        registry.register(
            "unreadable_blocks",
            "Blocks whose entry in the catalog this program cannot read; they are not served",
            self.unreadable_blocks.clone(),
        );
        registry.register(
            "catalog_entry_number",
            "Number of the last entry of the catalog that is known here",
            self.catalog_number.clone(),
        );
    }

    fn register_seals(&self, registry: &mut Registry) {
        registry.register(
            "unsealed_windows",
            "Live data that was cut and waits for its block",
            self.unsealed_windows.clone(),
        );
        registry.register("seals", "Times live data became a block", self.seals.clone());
        registry.register(
            "seal_failures",
            "Times it did not; each is tried again",
            self.seal_failures.clone(),
        );
        registry.register_with_unit(
            "seal_duration",
            "Time in which blocks were written from live data",
            Unit::Seconds,
            self.seal_seconds.clone(),
        );
        registry.register("sealed_rows", "Spans written to blocks", self.sealed_rows.clone());
        registry.register_with_unit(
            "sealed",
            "Size of the blocks written from live data",
            Unit::Bytes,
            self.sealed_bytes.clone(),
        );
        registry.register(
            "duplicate_rows",
            "Spans that were received more than once and stored once",
            self.duplicate_rows.clone(),
        );
    }

    pub(crate) fn set_blocks(&self, view: &View) {
        let metas = || view.blocks.values().filter_map(|block| block.meta());
        self.blocks.set(view.blocks.len() as u64);
        self.block_bytes.set(metas().map(BlockMeta::bytes).sum());
        self.block_rows.set(metas().map(BlockMeta::n_spans).sum());
        self.unreadable_blocks.set((view.blocks.len() - metas().count()) as u64);
        self.catalog_number.set(view.state.number);
        self.unsealed_windows.set(view.live.len() as u64 - 1);
        self.keeping.erasures.set(view.state.tombstones.len() as u64);
        self.keeping.waiting_deletions.set(view.state.removed.len() as u64);
    }

    pub(crate) fn compacted(&self, report: &CompactionReport) {
        let keeping = &self.keeping;
        keeping.compactions.inc();
        keeping.compaction_seconds.inc_by(report.time.as_secs_f64());
        keeping.compacted_blocks.inc_by(report.blocks_removed);
        keeping.compacted_rows.inc_by(report.rows_out);
        keeping.compacted_bytes.inc_by(report.bytes_out);
        keeping.merged_split_traces.inc_by(report.split_traces_merged);
        keeping.dead_rows.inc_by(report.dead_rows_removed);
        self.duplicate_rows.inc_by(report.duplicates_removed);
    }

    pub(crate) fn compaction_lost(&self) {
        self.keeping.lost_compactions.inc();
    }

    pub(crate) fn compaction_failed(&self) {
        self.keeping.compaction_failures.inc();
    }

    pub(crate) fn keep_failed(&self) {
        self.keeping.failures.inc();
    }

    pub(crate) fn expired(&self, n_blocks: u64, n_rows: u64) {
        self.keeping.expired_blocks.inc_by(n_blocks);
        self.keeping.expired_rows.inc_by(n_rows);
    }

    pub(crate) fn deleted(&self, n_blocks: u64) {
        self.keeping.deleted_blocks.inc_by(n_blocks);
    }

    pub(crate) fn orphans_deleted(&self, n_blocks: u64) {
        self.keeping.deleted_orphans.inc_by(n_blocks);
    }

    pub(crate) fn sealed(&self, time: Duration) {
        self.seal_seconds.inc_by(time.as_secs_f64());
    }

    pub(crate) fn seal_failed(&self) {
        self.seal_failures.inc();
    }

    pub(crate) fn block_written(&self, meta: &BlockMeta) {
        self.seals.inc();
        self.sealed_rows.inc_by(meta.n_spans());
        self.sealed_bytes.inc_by(meta.bytes());
        self.duplicate_rows.inc_by(meta.n_duplicates_removed);
    }

    /// What has become blocks since the start.
    pub(crate) fn flushed(&self) -> FlushReport {
        FlushReport {
            blocks: self.seals.get(),
            rows: self.sealed_rows.get(),
            bytes: self.sealed_bytes.get(),
            duplicates_removed: self.duplicate_rows.get(),
            time: Duration::ZERO,
        }
    }

    /// Live data is in a block now.
    pub(crate) fn unpublished(&self, added: &Added) {
        self.rows.dec_by(added.rows);
        self.traces.dec_by(added.traces);
        self.chunks.dec_by(added.chunks);
    }

    /// Time spent to find out which traces are split.
    pub(crate) fn split_computed(&self, time: Duration) {
        self.split.seconds.inc_by(time.as_secs_f64());
    }

    /// Two sources were held against each other.
    pub(crate) fn split_probed(&self, n_candidates: u64, n_false: u64) {
        self.split.candidates.inc_by(n_candidates);
        self.split.false_candidates.inc_by(n_false);
    }

    pub(crate) fn set_split(&self, totals: SplitTotals) {
        self.split.traces.set(totals.n_traces);
        self.split.bytes.set(totals.n_bytes);
        self.split.left_out.set(totals.n_left_out);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.get()
    }

    pub(crate) fn published(&self, added: &Added) {
        self.rows.inc_by(added.rows);
        self.traces.inc_by(added.traces);
        self.chunks.inc_by(added.chunks);
    }

    pub(crate) fn set_resident_bytes(&self, bytes: u64) {
        self.resident_bytes.set(bytes);
    }

    pub(crate) fn spilled(&self, bytes: u64) {
        self.spilled_bytes.inc_by(bytes);
    }

    pub(crate) fn read_spilled(&self) {
        self.spilled_reads.inc();
    }

    pub(crate) fn spill_failed(&self) {
        self.spill_failures.inc();
    }
}

impl SplitMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "split_traces",
            "Traces whose spans lie in several blocks and live windows, as last looked at",
            self.traces.clone(),
        );
        registry.register_with_unit(
            "split",
            "Memory for what is known of these",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "split_left_out",
            "Shared traces that are answered as pieces, because memory for them is short",
            self.left_out.clone(),
        );
        registry.register_with_unit(
            "split_duration",
            "Time spent to find these traces",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "split_candidates",
            "Traces that two sources may share, by their fingerprints",
            self.candidates.clone(),
        );
        registry.register(
            "split_false_candidates",
            "Those that they do not share",
            self.false_candidates.clone(),
        );
    }
}

impl KeepingMetrics {
    fn register(&self, registry: &mut Registry) {
        self.register_compactions(registry);
        registry.register(
            "expired_blocks",
            "Blocks removed because they were older or more than retention allows",
            self.expired_blocks.clone(),
        );
        registry.register("expired_rows", "Spans in them", self.expired_rows.clone());
        registry.register(
            "deleted_blocks",
            "Removed blocks whose files were deleted, after their readers had their time",
            self.deleted_blocks.clone(),
        );
        registry.register(
            "waiting_deletions",
            "Removed blocks whose files are still there",
            self.waiting_deletions.clone(),
        );
        registry.register(
            "deleted_orphans",
            "Blocks never committed whose files were deleted",
            self.deleted_orphans.clone(),
        );
        registry.register(
            "erasures",
            "Erasures whose spans are hidden and may still be in files",
            self.erasures.clone(),
        );
        registry.register(
            "keep_failures",
            "Times that compaction, retention or deletion failed; each is tried again",
            self.failures.clone(),
        );
    }

    fn register_compactions(&self, registry: &mut Registry) {
        registry.register(
            "compactions",
            "Times blocks were written anew",
            self.compactions.clone(),
        );
        registry.register(
            "compaction_failures",
            "Compactions asked for that failed",
            self.compaction_failures.clone(),
        );
        registry.register(
            "lost_compactions",
            "Compactions thrown away because another server was faster",
            self.lost_compactions.clone(),
        );
        registry.register_with_unit(
            "compaction_duration",
            "Time in which blocks were written anew",
            Unit::Seconds,
            self.compaction_seconds.clone(),
        );
        registry.register(
            "compacted_blocks",
            "Blocks that were replaced",
            self.compacted_blocks.clone(),
        );
        registry.register("compacted_rows", "Spans written anew", self.compacted_rows.clone());
        registry.register_with_unit(
            "compacted",
            "Size of the blocks written anew",
            Unit::Bytes,
            self.compacted_bytes.clone(),
        );
        registry.register(
            "merged_split_traces",
            "Traces whose pieces lay in several blocks and came together",
            self.merged_split_traces.clone(),
        );
        registry.register(
            "dead_rows",
            "Erased or expired spans that a compaction left out",
            self.dead_rows.clone(),
        );
    }
}
