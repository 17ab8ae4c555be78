//! Inflates the bodies of requests, within the memory that they may take.
//!
//! In: the bytes as sent and how they are compressed. Out: the bytes inside, in a reserved buffer; or
//! why not. Never runs on a thread that serves sockets: the work goes to blocking threads, as many at
//! once as there are processors.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use suyuan_wire::record::Compression;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::admission::{BudgetTaken, Reservation};
use crate::buffers::{Buffer, Pool};
use crate::codecs::{Codecs, Room, room_for};
use crate::metrics::Metrics;

pub(crate) use crate::codecs::InflateError;

/// The codecs' working memory, one set per processor, used again and again.
pub(crate) struct Inflaters {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Codecs>>,
    pool: Arc<Pool>,
    metrics: Metrics,
}

/// A context that has grown past this by a large window is not kept. The Collector's streams
/// declare windows of 8 MiB, of which only what they fill is ever touched.
const ZSTD_CONTEXT_BYTES_KEPT: usize = 10 << 20;

impl Inflaters {
    pub(crate) fn new(n_threads: usize, pool: Arc<Pool>, metrics: Metrics) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(n_threads.max(1)));
        Arc::new(Self { permits, idle: Mutex::new(Vec::new()), pool, metrics })
    }

    /// The bytes inside `sent`; `sent` itself where it is not compressed.
    pub(crate) async fn inflate(
        self: &Arc<Self>,
        compression: Compression,
        sent: Bytes,
        bytes_max: usize,
        reservation: &Arc<Reservation>,
    ) -> Result<Bytes, InflateError> {
        if compression == Compression::None {
            return Ok(sent);
        }
        let expected_bytes = room_for(compression, &sent, bytes_max)?;
        let mut buffer = Buffer::reserve(&self.pool, reservation, expected_bytes).await?;
        let permit =
            self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let inflaters = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let started_at = Instant::now();
            let mut codecs = inflaters.codecs();
            codecs.inflate(compression, &sent, bytes_max, &mut buffer)?;
            inflaters.keep(codecs);
            inflaters.metrics.inflated(started_at.elapsed());
            Ok(buffer.freeze())
        });
        match task.await {
            Ok(inflated) => inflated,
            Err(_) => Err(InflateError::Damaged { codec: "stream", why: "the codec failed" }),
        }
    }

    fn codecs(&self) -> Codecs {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(Codecs::new)
    }

    /// Only after success: what a codec looks like after an error is nobody's business.
    fn keep(&self, codecs: Codecs) {
        if codecs.bytes_held() <= ZSTD_CONTEXT_BYTES_KEPT {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(codecs);
        }
    }
}

/// On a blocking thread of the runtime, which may wait for the budget.
impl Room for Buffer {
    fn unused(&mut self) -> &mut [u8] {
        self.unused()
    }

    fn advance(&mut self, bytes: usize) {
        self.advance(bytes);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn capacity(&self) -> usize {
        self.capacity()
    }

    fn grow(&mut self, bytes: usize) -> Result<(), BudgetTaken> {
        Handle::current().block_on(self.grow(bytes))
    }
}

#[cfg(test)]
mod tests;
