//! The log's numbers on `/metrics`, as `suyuan_log_...`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use suyuan_wal::{FSYNC_BUCKETS_SECONDS, Stats, StatsReader};

/// Reads the log's counters when somebody asks.
pub(super) struct LogMetrics(StatsReader);

impl LogMetrics {
    pub(super) fn new(stats: StatsReader) -> Self {
        Self(stats)
    }
}

impl fmt::Debug for LogMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogMetrics").field(&self.0.stats()).finish()
    }
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        for (name, help, unit, value) in counters(&stats) {
            let counter = ConstCounter::new(value);
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            counter.encode(metric)?;
        }
        for (name, help, unit, value) in gauges(&stats) {
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

fn gauges(stats: &Stats) -> [Row; 3] {
    [
        ("suyuan_log_segments", "Files of the log.", None, stats.segments),
        ("suyuan_log_disk", "What these files take.", Some(Unit::Bytes), stats.disk_bytes),
        ("suyuan_log_queue", "Waiting for the disk.", Some(Unit::Bytes), stats.queue_bytes),
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
    use std::sync::Arc;

    use expect_test::expect;
    use prometheus_client::registry::Registry;
    use suyuan_wal::{LocalDisk, Options};

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
        registry.register_collector(Box::new(LogMetrics::new(log.stats_reader())));
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
}
