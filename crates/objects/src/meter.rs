//! What reading cost: bytes and requests, counted where they are made.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared by the threads of one question.
#[derive(Debug, Default)]
pub struct ReadMeter {
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl ReadMeter {
    /// `requests`: ranges read from a file or asked of a store.
    pub fn add(&self, bytes: u64, requests: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.requests.fetch_add(requests, Relaxed);
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Ranges read so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}
