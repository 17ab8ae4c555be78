//! The memory into which bodies are read and inflated.
//!
//! In: chunks of a body, or a codec that writes into a slice. Out: one contiguous [`Bytes`] whose
//! last clone gives the memory back to the pool and the reservation back to the budget. The pages
//! of a fresh 512 kB buffer cost more (128 page faults) than filling it again, hence the pool. No
//! buffer exists without a reservation of its whole capacity.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::admission::{BudgetTaken, Reservation};

/// Buffers at rest, by size.
#[derive(Debug)]
pub(crate) struct Pool {
    /// One shelf for each power of two from [`SMALLEST_BYTES`] to [`LARGEST_BYTES`].
    shelves: [Mutex<Vec<Vec<u8>>>; N_SHELVES],
    kept_bytes: AtomicUsize,
    kept_bytes_max: usize,
}

/// A body being filled.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// All of it initialised once, so that a codec can be given the rest as a slice.
    storage: Vec<u8>,
    used: usize,
    pool: Arc<Pool>,
    reservation: Arc<Reservation>,
}

const SMALLEST_BYTES: usize = 4 << 10;
const LARGEST_BYTES: usize = 4 << 20;
const N_SHELVES: usize =
    (LARGEST_BYTES.trailing_zeros() - SMALLEST_BYTES.trailing_zeros()) as usize + 1;

impl Pool {
    pub(crate) fn new(kept_bytes_max: usize) -> Arc<Self> {
        let shelves = std::array::from_fn(|_| Mutex::new(Vec::new()));
        Arc::new(Self { shelves, kept_bytes: AtomicUsize::new(0), kept_bytes_max })
    }

    fn take(&self, capacity: usize) -> Vec<u8> {
        let Some(shelf) = self.shelf(capacity) else {
            return vec![0; capacity];
        };
        let kept = shelf.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(storage) = kept else {
            return vec![0; capacity];
        };
        self.kept_bytes.fetch_sub(storage.len(), Ordering::Relaxed);
        storage
    }

    fn give_back(&self, storage: Vec<u8>) {
        let bytes = storage.len();
        let Some(shelf) = self.shelf(bytes) else {
            return;
        };
        let kept_bytes = self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if kept_bytes > self.kept_bytes_max {
            self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        shelf.lock().unwrap_or_else(PoisonError::into_inner).push(storage);
    }

    fn shelf(&self, capacity: usize) -> Option<&Mutex<Vec<Vec<u8>>>> {
        let pooled = capacity.is_power_of_two() && capacity >= SMALLEST_BYTES;
        let place = (capacity / SMALLEST_BYTES).checked_ilog2()? as usize;
        if pooled { self.shelves.get(place) } else { None }
    }
}

impl Buffer {
    /// A buffer for at least `bytes`, once the budget has room for it.
    pub(crate) async fn reserve(
        pool: &Arc<Pool>,
        reservation: &Arc<Reservation>,
        bytes: usize,
    ) -> Result<Self, BudgetTaken> {
        let capacity = capacity_for(bytes);
        reservation.grow(capacity).await?;
        Ok(Self {
            storage: pool.take(capacity),
            used: 0,
            pool: pool.clone(),
            reservation: reservation.clone(),
        })
    }

    /// Makes room for at least `bytes` in all; what is written already stays.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), BudgetTaken> {
        if bytes <= self.storage.len() {
            return Ok(());
        }
        let capacity = capacity_for(bytes);
        self.reservation.grow(capacity - self.storage.len()).await?;
        let mut storage = self.pool.take(capacity);
        storage[..self.used].copy_from_slice(&self.storage[..self.used]);
        let outgrown = std::mem::replace(&mut self.storage, storage);
        self.pool.give_back(outgrown);
        Ok(())
    }

    /// Appends a chunk, doubling the room as often as needed but not beyond `bytes_max`, which the
    /// caller has made sure the chunk does not pass.
    pub(crate) async fn push(&mut self, chunk: &[u8], bytes_max: usize) -> Result<(), BudgetTaken> {
        let end = self.used + chunk.len();
        debug_assert!(end <= bytes_max, "the caller checks the limit first");
        if end > self.storage.len() {
            self.grow(end.max((self.storage.len() * 2).min(bytes_max))).await?;
        }
        self.storage[self.used..end].copy_from_slice(chunk);
        self.used = end;
        Ok(())
    }

    /// Where a codec writes next.
    pub(crate) fn unused(&mut self) -> &mut [u8] {
        &mut self.storage[self.used..]
    }

    /// Says that a codec has filled `bytes` of [`Self::unused`].
    pub(crate) fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.storage.len() - self.used, "a codec writes into the buffer's room");
        self.used += bytes;
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn capacity(&self) -> usize {
        self.storage.len()
    }

    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.storage[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.storage));
    }
}

/// Pooled sizes are powers of two; what is larger is rare and gets what it asked for.
fn capacity_for(bytes: usize) -> usize {
    if bytes > LARGEST_BYTES {
        return bytes;
    }
    bytes.next_power_of_two().max(SMALLEST_BYTES)
}

#[cfg(test)]
mod tests;
