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
        ("suyuan_log_written", "Bytes of these requests.", Some(Unit::Bytes), stats.bytes),
    ]
}

fn gauges(stats: &Stats, not_served: &Parts) -> [Row; 6] {
    let Parts { damaged_places, damaged_bytes, quarantined_records } = not_served;
    [
        ("suyuan_log_segments", "Files of the log.", None, stats.segments),
        ("suyuan_log_disk", "What these files take.", Some(Unit::Bytes), stats.disk_bytes),
        ("suyuan_log_queue", "Waiting for the disk.", Some(Unit::Bytes), stats.queue_bytes),
        (
            "suyuan_log_damaged_places",
            "Places where the last start found the log damaged.",
            None,
            damaged_places.load(Relaxed),
        ),
        (
            "suyuan_log_damaged",
            "What these places cover; a file that is gone counts none.",
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
mod tests {
    use expect_test::expect;
    use prometheus_client::registry::Registry;
    use suyuan_wal::{DamageKind, LocalDisk, Options, Position};

    use super::*;

    #[test]
    fn a_new_log_shows_every_number() {
        let directory = tempfile::tempdir().unwrap();
        let disk = LocalDisk::create(directory.path()).unwrap();
        let options = Options {
            segment_bytes_max: 1 << 20,
            record_bytes_max: 1 << 16,
            queue_bytes_max: 1 << 20,
            reserve_bytes: 0,
        };
        let (log, _) = suyuan_wal::open(Arc::new(disk), options).unwrap();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(LogMetrics::new(
            log.stats_reader(),
            NotServed::default(),
        )));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        expect![[r##"
            # HELP suyuan_log_records Requests that are durable in the log.
            # TYPE suyuan_log_records counter
            suyuan_log_records_total 0
            # HELP suyuan_log_written_bytes Bytes of these requests.
            # TYPE suyuan_log_written_bytes counter
            # UNIT suyuan_log_written_bytes bytes
            suyuan_log_written_bytes_total 0
            # HELP suyuan_log_segments Files of the log.
            # TYPE suyuan_log_segments gauge
            suyuan_log_segments 0
            # HELP suyuan_log_disk_bytes What these files take.
            # TYPE suyuan_log_disk_bytes gauge
            # UNIT suyuan_log_disk_bytes bytes
            suyuan_log_disk_bytes 0
            # HELP suyuan_log_queue_bytes Waiting for the disk.
            # TYPE suyuan_log_queue_bytes gauge
            # UNIT suyuan_log_queue_bytes bytes
            suyuan_log_queue_bytes 0
            # HELP suyuan_log_damaged_places Places where the last start found the log damaged.
            # TYPE suyuan_log_damaged_places gauge
            suyuan_log_damaged_places 0
            # HELP suyuan_log_damaged_bytes What these places cover; a file that is gone counts none.
            # TYPE suyuan_log_damaged_bytes gauge
            # UNIT suyuan_log_damaged_bytes bytes
            suyuan_log_damaged_bytes 0
            # HELP suyuan_log_quarantined_records Records in log/quarantine that the last start did not serve.
            # TYPE suyuan_log_quarantined_records gauge
            suyuan_log_quarantined_records 0
            # HELP suyuan_log_failures Requests the log did not take, by reason.
            # TYPE suyuan_log_failures counter
            suyuan_log_failures_total{reason="disk_full"} 0
            suyuan_log_failures_total{reason="write"} 0
            suyuan_log_failures_total{reason="sync"} 0
            suyuan_log_failures_total{reason="unsettled"} 0
            suyuan_log_failures_total{reason="too_large"} 0
            suyuan_log_failures_total{reason="queue_full"} 0
            suyuan_log_failures_total{reason="closed"} 0
            # HELP suyuan_log_fsync_seconds Time in fsync; an acknowledgement waits for one, so it is as slow as this.
            # TYPE suyuan_log_fsync_seconds histogram
            # UNIT suyuan_log_fsync_seconds seconds
            suyuan_log_fsync_seconds_sum 0.0
            suyuan_log_fsync_seconds_count 0
            suyuan_log_fsync_seconds_bucket{le="0.00025"} 0
            suyuan_log_fsync_seconds_bucket{le="0.0005"} 0
            suyuan_log_fsync_seconds_bucket{le="0.001"} 0
            suyuan_log_fsync_seconds_bucket{le="0.002"} 0
            suyuan_log_fsync_seconds_bucket{le="0.004"} 0
            suyuan_log_fsync_seconds_bucket{le="0.008"} 0
            suyuan_log_fsync_seconds_bucket{le="0.016"} 0
            suyuan_log_fsync_seconds_bucket{le="0.032"} 0
            suyuan_log_fsync_seconds_bucket{le="0.064"} 0
            suyuan_log_fsync_seconds_bucket{le="0.128"} 0
            suyuan_log_fsync_seconds_bucket{le="0.512"} 0
            suyuan_log_fsync_seconds_bucket{le="2.048"} 0
            suyuan_log_fsync_seconds_bucket{le="+Inf"} 0
            # EOF
        "##]].assert_eq(&text);
    }

    #[test]
    fn what_is_not_served_is_the_sum_of_opening_and_replay() {
        let damage =
            |bytes| Damage { segment: 1, offset: 0, bytes, kind: DamageKind::RecordHeader };
        let position = |offset| Position { segment: 1, offset };
        let report = ReplayReport {
            quarantined: vec![(position(8), "unreadable".to_owned())],
            skipped: vec![position(16), position(24)],
            damages: 2,
            damage_bytes: 300,
            ..ReplayReport::default()
        };
        let not_served = NotServed::default();
        not_served.set(&[damage(4096)], &report);
        let Parts { damaged_places, damaged_bytes, quarantined_records } = &*not_served.0;
        let found = [damaged_places, damaged_bytes, quarantined_records];
        assert_eq!(found.map(|number| number.load(Relaxed)), [3, 4396, 3]);
    }
}
