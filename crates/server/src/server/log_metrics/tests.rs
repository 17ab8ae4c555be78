//! What a new log shows, and what a damaged one adds up to.

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
    registry
        .register_collector(Box::new(LogMetrics::new(log.stats_reader(), NotServed::default())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    expect![[r##"
        # HELP suyuan_log_records Requests that are durable in the log.
        # TYPE suyuan_log_records counter
        suyuan_log_records_total 0
        # HELP suyuan_log_written_bytes Bytes of requests that are durable in the log.
        # TYPE suyuan_log_written_bytes counter
        # UNIT suyuan_log_written_bytes bytes
        suyuan_log_written_bytes_total 0
        # HELP suyuan_log_segments Files of the log.
        # TYPE suyuan_log_segments gauge
        suyuan_log_segments 0
        # HELP suyuan_log_disk_bytes What the files of the log take on the disk.
        # TYPE suyuan_log_disk_bytes gauge
        # UNIT suyuan_log_disk_bytes bytes
        suyuan_log_disk_bytes 0
        # HELP suyuan_log_queue_bytes Requests that wait to be written to the log.
        # TYPE suyuan_log_queue_bytes gauge
        # UNIT suyuan_log_queue_bytes bytes
        suyuan_log_queue_bytes 0
        # HELP suyuan_log_damaged_places Places where the last start found the log damaged.
        # TYPE suyuan_log_damaged_places gauge
        suyuan_log_damaged_places 0
        # HELP suyuan_log_damaged_bytes What the damaged places cover; a file that is gone counts none.
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
    let damage = |bytes| Damage { segment: 1, offset: 0, bytes, kind: DamageKind::RecordHeader };
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
