//! Start-up: all of the log goes through the lane's tables before the first request.
//!
//! In: the log as recovery found it. Out: the lane's tables, filled, and what was wrong said once.
//! A record that gives no rows is set aside by the log; the rest is served. What
//! is in blocks already is skipped.

use std::time::Instant;

use suyuan_api::Readiness;
use suyuan_ingest::Replay;
use suyuan_store::Store;
use suyuan_wal::{Position, Recovered, ReplayError, ReplayReport, Verdict};

use super::log_metrics::NotServed;
use crate::progress::Progress;
use crate::quantity::{grouped, rounded_bytes};

/// Reasons said one by one; the rest is in `quarantine/` and in `suyuan wal inspect`.
const REASONS_SAID_MAX: usize = 10;

pub(super) fn replay(
    store: &Store,
    mut replay: Replay,
    mut recovered: Recovered,
    from: Option<Position>,
    readiness: &Readiness,
    not_served: &NotServed,
) -> Result<Replay, ReplayError> {
    let started_at = Instant::now();
    let bytes_total = recovered.bytes_from(from);
    let mut bytes = 0;
    let mut progress = Progress::on_stderr();
    report_recovery(&recovered);
    let mut erasures = store.replay_cuts().into_iter().peekable();
    let report = recovered.replay_from(from, |position, record| {
        // What an erasure is about and what came after it must not share a window.
        if erasures.next_if(|cut| *cut <= position).is_some() {
            while erasures.next_if(|cut| *cut <= position).is_some() {}
            replay.cut();
        }
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
        match replay.record(position, record) {
            Ok(()) => {
                // What a stuck object store left behind may be more than one block shall have.
                if store.is_full() {
                    replay.cut();
                }
                Verdict::Taken
            }
            Err(error) => Verdict::Quarantine(error.to_string()),
        }
    })?;
    if erasures.next().is_some() {
        replay.cut();
    }
    drop(progress);
    not_served.set(&recovered.damage, &report);
    report_replay(&recovered, &report);
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

fn report_replay(recovered: &Recovered, report: &ReplayReport) {
    for damage in report.damage.iter().take(REASONS_SAID_MAX) {
        tracing::error!(%damage, "the log is damaged; copied to log/quarantine, the rest is served");
    }
    for (position, reason) in report.quarantined.iter().take(REASONS_SAID_MAX) {
        tracing::error!(%position, reason, "set a record aside in log/quarantine");
    }
    for reason in report.not_set_aside.iter().take(REASONS_SAID_MAX) {
        tracing::error!(reason, "could not write to log/quarantine");
    }
    let damages = recovered.damage.len() as u64 + report.damages;
    if damages > 0 || !report.quarantined.is_empty() || !report.skipped.is_empty() {
        tracing::warn!(
            damaged_places = damages,
            damaged_bytes = report.damage_bytes,
            set_aside_now = report.quarantined.len(),
            set_aside_before = report.skipped.len(),
            "parts of the log are damaged or not served: see `suyuan wal inspect`, and \
             suyuan_log_damaged_bytes and suyuan_log_quarantined_records on /metrics"
        );
    }
}
