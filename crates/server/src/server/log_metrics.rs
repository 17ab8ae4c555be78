//! The log's numbers on `/metrics`, as `suyuan_log_...`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use suyuan_wal::{Damage, FSYNC_BUCKETS_SECONDS, ReplayReport, Stats, StatsReader};

/// Reads the log's counters when somebody asks.
pub(super) struct LogMetrics {
    stats: StatsReader,
    not_served: NotServed,
}

/// What start-up found in the log and cannot serve; all zero until the log has been read.
#[derive(Clone, Debug, Default)]
pub(super) struct NotServed(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    damaged_places: AtomicU64,
    damaged_bytes: AtomicU64,
    quarantined_records: AtomicU64,
}

impl NotServed {
    /// `recovered`: the damage that was found when the log was opened, before its replay.
    pub(super) fn set(&self, recovered: &[Damage], report: &ReplayReport) {
        let recovered_bytes: u64 = recovered.iter().map(|damage| damage.bytes).sum();
        let Parts { damaged_places, damaged_bytes, quarantined_records } = &*self.0;
        damaged_places.store(recovered.len() as u64 + report.damages, Relaxed);
        damaged_bytes.store(recovered_bytes.saturating_add(report.damage_bytes), Relaxed);
        let set_aside = report.quarantined.len() + report.skipped.len();
        quarantined_records.store(set_aside as u64, Relaxed);
    }
}

impl LogMetrics {
    pub(super) fn new(stats: StatsReader, not_served: NotServed) -> Self {
        Self { stats, not_served }
    }
}

impl fmt::Debug for LogMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogMetrics").field(&self.stats.stats()).field(&self.not_served).finish()
    }
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.stats.stats();
        for (name, help, unit, value) in counters(&stats) {
            let counter = ConstCounter::new(value);
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            counter.encode(metric)?;
        }
        for (name, help, unit, value) in gauges(&stats, &self.not_served.0) {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            gauge.encode(metric)?;
        }
        encode_failures(&mut encoder, &stats)?;
        encode_fsyncs(&mut encoder, &stats)
    }
}

type Row = (&'static str, &'static str, Option<Unit>, u64);

fn counters(stats: &Stats) -> [Row; 2] {
    [
        ("suyuan_log_records", "Requests that are durable in the log.", None, stats.records),
        (
            "suyuan_log_written",
            "Bytes of requests that are durable in the log.",
            Some(Unit::Bytes),
            stats.bytes,
        ),
    ]
}

fn gauges(stats: &Stats, not_served: &Parts) -> [Row; 6] {
    let Parts { damaged_places, damaged_bytes, quarantined_records } = not_served;
    [
        ("suyuan_log_segments", "Files of the log.", None, stats.segments),
        (
            "suyuan_log_disk",
            "What the files of the log take on the disk.",
            Some(Unit::Bytes),
            stats.disk_bytes,
        ),
        (
            "suyuan_log_queue",
            "Requests that wait to be written to the log.",
            Some(Unit::Bytes),
            stats.queue_bytes,
        ),
        (
            "suyuan_log_damaged_places",
            "Places where the last start found the log damaged.",
            None,
            damaged_places.load(Relaxed),
        ),
        (
            "suyuan_log_damaged",
            "What the damaged places cover; a file that is gone counts none.",
            Some(Unit::Bytes),
            damaged_bytes.load(Relaxed),
        ),
        (
            "suyuan_log_quarantined_records",
            "Records in log/quarantine that the last start did not serve.",
            None,
            quarantined_records.load(Relaxed),
        ),
    ]
}

fn encode_failures(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let failures = stats.failures;
    let rows = [
        ("disk_full", failures.disk_full),
        ("write", failures.write),
        ("sync", failures.sync),
        ("unsettled", failures.unsettled),
        ("too_large", failures.too_large),
        ("queue_full", failures.queue_full),
        ("closed", failures.closed),
    ];
    let help = "Requests the log did not take, by reason.";
    let mut family =
        encoder.encode_descriptor("suyuan_log_failures", help, None, MetricType::Counter)?;
    for (reason, value) in rows {
        ConstCounter::new(value).encode(family.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}

fn encode_fsyncs(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let bounds = FSYNC_BUCKETS_SECONDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(stats.fsync_buckets).collect();
    let help = "Time in fsync; an acknowledgement waits for one, so it is as slow as this.";
    let mut histogram = encoder.encode_descriptor(
        "suyuan_log_fsync",
        help,
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    let seconds = stats.fsync_time.as_secs_f64();
    histogram.encode_histogram::<NoLabelSet>(seconds, stats.fsyncs, &buckets, None)
}

#[cfg(test)]
mod tests;
