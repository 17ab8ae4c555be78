//! Start-up: all of the log goes through the lane's tables before the first request.
//!
//! In: the log as recovery found it. Out: the lane's tables, filled, and what was wrong said once.
//! A record that gives no rows is set aside by the log; the rest is served. Until blocks exist the
//! log keeps everything, so this reads all that was ever received.

use std::time::Instant;

use suyuan_api::Readiness;
use suyuan_ingest::Replay;
use suyuan_wal::{Position, Recovered, ReplayError, ReplayReport, Verdict};

use crate::progress::Progress;
use crate::quantity::{grouped, rounded_bytes};

/// Reasons said one by one; the rest is in `quarantine/` and in `suyuan wal inspect`.
const REASONS_SAID_MAX: usize = 10;

pub(super) fn replay(
    mut replay: Replay,
    mut recovered: Recovered,
    readiness: &Readiness,
) -> Result<Replay, ReplayError> {
    let started_at = Instant::now();
    let bytes_total = recovered.bytes_total();
    let mut bytes = 0;
    let mut progress = Progress::on_stderr();
    report_recovery(&recovered);
    let report = recovered.replay(|_: Position, record| {
        bytes += record.len() as u64;
        progress.show(|| {
            let text = format!(
                "reading the log: {} of {}, {} spans",
                rounded_bytes(bytes),
                rounded_bytes(bytes_total.max(bytes)),
                grouped(replay.spans())
            );
            readiness.set_not_yet(&text);
            text
        });
        match replay.record(record) {
            Ok(()) => Verdict::Taken,
            Err(error) => Verdict::Quarantine(error.to_string()),
        }
    })?;
    drop(progress);
    report_replay(&report);
    if bytes_total == 0 {
        return Ok(replay);
    }
    tracing::info!(
        records = report.records,
        spans = replay.spans(),
        bytes = report.bytes,
        duration_ms = started_at.elapsed().as_millis() as u64,
        "read the log"
    );
    Ok(replay)
}

fn report_recovery(recovered: &Recovered) {
    if let Some(tail) = recovered.torn_tail {
        tracing::info!(
            segment = tail.segment,
            offset = tail.offset,
            bytes = tail.bytes,
            "cut the torn end of the log; none of it was acknowledged"
        );
    }
    for damage in recovered.damage.iter().take(REASONS_SAID_MAX) {
        tracing::error!(%damage, "the log is damaged; the rest is served");
    }
}

fn report_replay(report: &ReplayReport) {
    for damage in report.damage.iter().take(REASONS_SAID_MAX) {
        tracing::error!(%damage, "the log is damaged; copied to log/quarantine, the rest is served");
    }
    for (position, reason) in report.quarantined.iter().take(REASONS_SAID_MAX) {
        tracing::error!(%position, reason, "set a record aside in log/quarantine");
    }
    for reason in report.not_set_aside.iter().take(REASONS_SAID_MAX) {
        tracing::error!(reason, "could not write to log/quarantine");
    }
    if report.damages > 0 || !report.quarantined.is_empty() || !report.skipped.is_empty() {
        tracing::warn!(
            damaged_places = report.damages,
            damaged_bytes = report.damage_bytes,
            set_aside_now = report.quarantined.len(),
            set_aside_before = report.skipped.len(),
            "parts of the log are not served: see `suyuan wal inspect`"
        );
    }
}
