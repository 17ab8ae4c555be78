//! What has become of the spans so far.
//!
//! In: every attempt and its answer. Out: counts that can be read at any time, and how long
//! acknowledgements took. Bounded: latencies are kept in buckets of about 3 %, reasons by their text
//! up to `REASONS_MAX`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use suyuan_ids::TraceId;

use super::follow::Followed;
use crate::quantity::counted;
use crate::terminal::harmless;

const REASONS_MAX: usize = 32;

/// Shared by the source, the connections and whoever shows progress.
#[derive(Debug, Default)]
pub struct Tally {
    traces: AtomicU64,
    requests: AtomicU64,
    spans_sent: AtomicU64,
    spans_acknowledged: AtomicU64,
    spans_refused: AtomicU64,
    spans_failed: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
    traces_found: AtomicU64,
    details: Mutex<Details>,
}

/// What needs more than a number.
#[derive(Debug, Default)]
struct Details {
    latencies: Latencies,
    answers: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    example: Option<Example>,
    closing: Option<Closing>,
}

/// The moment after which no trace began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) at: Instant,
    pub(super) spans_acknowledged: u64,
}

/// Everything that was counted, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traces that have begun.
    pub traces: u64,
    /// Requests that were acknowledged, in part or wholly.
    pub requests: u64,
    /// Spans of requests that were sent at least once.
    pub spans_sent: u64,
    pub spans_acknowledged: u64,
    /// Refused by partial success.
    pub spans_refused: u64,
    /// Of requests that were given up.
    pub spans_failed: u64,
    /// Bodies of acknowledged requests, as sent.
    pub bytes: u64,
    pub retries: u64,
    /// By `--verify`.
    pub traces_found: u64,
}

/// A trace that was acknowledged wholly and is worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub trace_id: TraceId,
    /// The name of the root span.
    pub name: String,
    pub n_spans: usize,
    pub n_errors: usize,
}

impl std::fmt::Display for Example {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spans = counted(self.n_spans as u64, "span");
        let errors = counted(self.n_errors as u64, "error");
        write!(f, "{spans}, {errors}: {}", harmless(&self.name))
    }
}

impl Tally {
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            traces: read(&self.traces),
            requests: read(&self.requests),
            spans_sent: read(&self.spans_sent),
            spans_acknowledged: read(&self.spans_acknowledged),
            spans_refused: read(&self.spans_refused),
            spans_failed: read(&self.spans_failed),
            bytes: read(&self.bytes),
            retries: read(&self.retries),
            traces_found: read(&self.traces_found),
        }
    }

    /// A trace to look at; with errors and of a size that a screen holds, once one was sent.
    pub fn example(&self) -> Option<Example> {
        self.details().example.clone()
    }

    pub(super) fn count_trace(&self) {
        self.traces.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, n_spans: usize) {
        self.spans_sent.fetch_add(n_spans as u64, Ordering::Relaxed);
    }

    pub(super) fn count_acknowledged(
        &self,
        n_spans: u64,
        n_refused: u64,
        n_bytes: usize,
        latency: Duration,
    ) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.spans_acknowledged.fetch_add(n_spans, Ordering::Relaxed);
        self.spans_refused.fetch_add(n_refused, Ordering::Relaxed);
        self.bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
        self.details().latencies.add(latency);
    }

    pub(super) fn count_failed(&self, n_spans: usize) {
        self.spans_failed.fetch_add(n_spans as u64, Ordering::Relaxed);
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_found(&self) {
        self.traces_found.fetch_add(1, Ordering::Relaxed);
    }

    /// One answer (or the lack of one): its status, and what the server said when it was not fine.
    pub(super) fn count_answer(&self, status: &str, reason: Option<&str>) {
        let mut details = self.details();
        *details.answers.entry(status.to_owned()).or_default() += 1;
        let Some(reason) = reason.filter(|reason| !reason.is_empty()) else { return };
        if details.reasons.len() < REASONS_MAX || details.reasons.contains_key(reason) {
            *details.reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn offer_example(&self, trace_id: TraceId, followed: &Followed) {
        let Followed { name, n_spans, n_errors, .. } = followed;
        let (n_spans, n_errors) = (*n_spans, *n_errors);
        let offered = Example { trace_id, name: name.clone(), n_spans, n_errors };
        let mut details = self.details();
        if details.example.as_ref().is_none_or(|shown| offered.worth() > shown.worth()) {
            details.example = Some(offered);
        }
    }

    /// From the first request on that left after the last trace began.
    pub(super) fn note_closing(&self) {
        let spans_acknowledged = self.spans_acknowledged.load(Ordering::Relaxed);
        let mut details = self.details();
        details.closing.get_or_insert(Closing { at: Instant::now(), spans_acknowledged });
    }

    pub(super) fn closing(&self) -> Option<Closing> {
        self.details().closing
    }

    pub(super) fn latencies(&self) -> Latencies {
        self.details().latencies.clone()
    }

    pub(super) fn answers(&self) -> BTreeMap<String, u64> {
        self.details().answers.clone()
    }

    pub(super) fn reasons(&self) -> BTreeMap<String, u64> {
        self.details().reasons.clone()
    }

    fn details(&self) -> std::sync::MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Example {
    fn worth(&self) -> (bool, bool) {
        let fits_a_screen = (15..=60).contains(&self.n_spans);
        (fits_a_screen, fits_a_screen && self.n_errors > 0)
    }
}

/// 32 buckets for each power of two.
const SUB_BUCKET_BITS: u32 = 5;

/// Durations in microseconds: buckets of equal width within each power of two, 32 of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    counts: BTreeMap<u64, u64>,
    n: u64,
    max_micros: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        *self.counts.entry(bucket_end(micros)).or_default() += 1;
        self.n += 1;
        self.max_micros = self.max_micros.max(micros);
    }

    /// The duration that `per_mille` of 1,000 do not exceed, rounded up to the end of its bucket.
    pub(super) fn quantile_ms(&self, per_mille: u64) -> f64 {
        let rank = (self.n * per_mille).div_ceil(1000).max(1);
        let mut n_below = 0;
        for (end, count) in &self.counts {
            n_below += count;
            if n_below >= rank {
                return (*end).min(self.max_micros) as f64 / 1000.0;
            }
        }
        self.max_ms()
    }

    pub(super) fn max_ms(&self) -> f64 {
        self.max_micros as f64 / 1000.0
    }
}

/// The greatest number in the bucket of `micros`.
fn bucket_end(micros: u64) -> u64 {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(SUB_BUCKET_BITS + 1);
    micros | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(durations_ms: impl Iterator<Item = u64>, per_mille: u64, expected_ms: f64) {
        let mut latencies = Latencies::default();
        for ms in durations_ms {
            latencies.add(Duration::from_millis(ms));
        }
        let found = latencies.quantile_ms(per_mille);
        let error = (found - expected_ms).abs() / expected_ms;
        assert!(error < 1.0 / 32.0, "{found} ms instead of {expected_ms}");
    }

    #[test]
    fn quantiles_are_within_three_per_cent() {
        check(1..=1000, 500, 500.0);
        check(1..=1000, 990, 990.0);
        check(1..=1000, 1000, 1000.0);
        check([7].into_iter(), 500, 7.0);
        check([1, 1, 1, 60_000].into_iter(), 500, 1.0);
        check([1, 1, 1, 60_000].into_iter(), 990, 60_000.0);
    }

    #[test]
    fn buckets_hold_their_numbers() {
        for micros in [0, 1, 31, 32, 33, 63, 64, 65, 1000, 123_456, u64::MAX / 2, u64::MAX] {
            let end = bucket_end(micros);
            assert!(end >= micros && end - micros <= micros / 32, "{micros} {end}");
        }
    }
}
