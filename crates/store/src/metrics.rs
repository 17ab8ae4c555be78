//! What the store counts, as `suyuan_store_...`.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What a publication added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) rows: u64,
    pub(crate) traces: u64,
    pub(crate) chunks: u64,
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
