//! Decides whether a request may take memory, and whether its tenant may send more.
//!
//! In: how many bytes a request wants to hold, and whose it is. Out: a [`Reservation`] that gives
//! the bytes back when the last buffer of the request is dropped, or how long to wait. Nothing is
//! ever taken beyond the budget, whoever asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use suyuan_model::Tenant;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// The bytes that all requests in flight may hold together.
///
/// First come, first served: a large request at the head of the queue is not overtaken by small
/// ones, so it gets its turn.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In units of [`UNIT_BYTES`], since the semaphore hands out at most `u32` permits at once.
    units: Semaphore,
    units_max: u32,
    wait_max: Duration,
    held_bytes: Gauge,
}

/// What one request holds of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    units: AtomicU32,
}

/// The budget was taken by other requests for all of the time that a request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for requests in flight ({budget_bytes} bytes) is taken by other requests")]
pub(crate) struct BudgetTaken {
    budget_bytes: u64,
}

/// How fast one tenant may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes of request bodies after inflating, per second, in the long run.
    pub bytes_per_second: u64,
    /// Bytes that may come at once after a pause. A larger body passes when the whole burst is
    /// there, and is paid for afterwards.
    pub burst_bytes: u64,
}

/// One token bucket per tenant.
#[derive(Debug)]
pub(crate) struct Rates {
    limit: Option<Rate>,
    buckets: Mutex<HashMap<Tenant, Bucket>>,
}

/// A tenant has sent more than its rate; the request may be tried again after `wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("RATE_LIMITED: over the rate of {} bytes/s with a burst of {} bytes",
        rate.bytes_per_second, rate.burst_bytes)]
pub(crate) struct OverRate {
    pub(crate) rate: Rate,
    pub(crate) wait: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Below zero after a body larger than the burst.
    tokens_bytes: f64,
    filled_at: Instant,
}

const UNIT_BYTES: usize = 1024;

/// Buckets kept at most; a bucket that is full again is no different from none.
const BUCKETS_MAX: usize = 10_000;

impl Budget {
    pub(crate) fn new(bytes_max: usize, wait_max: Duration, held_bytes: Gauge) -> Arc<Self> {
        let units_max = u32::try_from(bytes_max / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let units = Semaphore::new(units_max as usize);
        Arc::new(Self { units, units_max, wait_max, held_bytes })
    }

    /// A reservation of nothing yet.
    pub(crate) fn reserve(self: &Arc<Self>) -> Arc<Reservation> {
        Arc::new(Reservation { budget: self.clone(), units: AtomicU32::new(0) })
    }
}

impl Reservation {
    /// Takes `bytes` more, waiting a little if others hold them.
    ///
    /// A request never takes more than the whole budget: one that needs more is admitted when it is
    /// alone, since it would never be otherwise.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), BudgetTaken> {
        let budget = &self.budget;
        let held = self.units.load(Ordering::Relaxed);
        let wanted = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let wanted = wanted.min(budget.units_max - held);
        if wanted == 0 {
            return Ok(());
        }
        let permits = match budget.units.try_acquire_many(wanted) {
            Ok(permits) => permits,
            Err(_) => match timeout(budget.wait_max, budget.units.acquire_many(wanted)).await {
                Ok(Ok(permits)) => permits,
                Ok(Err(_)) | Err(_) => {
                    let budget_bytes = u64::from(budget.units_max) * UNIT_BYTES as u64;
                    return Err(BudgetTaken { budget_bytes });
                }
            },
        };
        permits.forget();
        self.units.fetch_add(wanted, Ordering::Relaxed);
        budget.held_bytes.inc_by(i64::from(wanted) * UNIT_BYTES as i64);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let units = *self.units.get_mut();
        self.budget.held_bytes.dec_by(i64::from(units) * UNIT_BYTES as i64);
        self.budget.units.add_permits(units as usize);
    }
}

impl Rates {
    pub(crate) fn new(limit: Option<Rate>) -> Self {
        let limit = limit.map(|rate| Rate {
            bytes_per_second: rate.bytes_per_second.max(1),
            burst_bytes: rate.burst_bytes.max(1),
        });
        Self { limit, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes `bytes` from the tenant's bucket; with 0 it only asks whether anything is left, which
    /// spares reading a body that would be refused.
    pub(crate) fn take(&self, tenant: &Tenant, bytes: usize, now: Instant) -> Result<(), OverRate> {
        let Some(rate) = self.limit else {
            return Ok(());
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.tokens_at(rate, now) < rate.burst_bytes as f64);
        }
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(tenant) {
            return Err(OverRate { rate, wait: Duration::from_secs(1) });
        }
        let full = Bucket { tokens_bytes: rate.burst_bytes as f64, filled_at: now };
        let bucket = buckets.entry(tenant.clone()).or_insert(full);
        bucket.tokens_bytes = bucket.tokens_at(rate, now);
        bucket.filled_at = now;
        let needed = bytes.clamp(1, usize::try_from(rate.burst_bytes).unwrap_or(usize::MAX)) as f64;
        if bucket.tokens_bytes < needed {
            let wait = (needed - bucket.tokens_bytes) / rate.bytes_per_second as f64;
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
            return Err(OverRate { rate, wait });
        }
        bucket.tokens_bytes -= bytes as f64;
        Ok(())
    }
}

impl Bucket {
    fn tokens_at(&self, rate: Rate, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let gained = elapsed.as_secs_f64() * rate.bytes_per_second as f64;
        (self.tokens_bytes + gained).min(rate.burst_bytes as f64)
    }
}

#[cfg(test)]
mod tests;
