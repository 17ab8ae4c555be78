//! What ingest hands to the store: a chunk, and how much of it may be seen.

use std::sync::Arc;

use crate::chunk::Chunk;
use crate::tenant::Tenant;

/// The state of one chunk of a tenant's live window.
///
/// Chunks are numbered from 0 for each tenant and window, without gaps. While a chunk grows it is published
/// again and again with the same number and more rows; those that were visible never change. Only
/// the last chunk of a tenant can be one that is not final.
#[derive(Clone, Debug)]
pub struct Publication {
    pub tenant: Tenant,
    pub chunk_number: u32,
    pub chunk: Arc<Chunk>,
    /// Rows from the start of the chunk that the log has on disk; rows behind them do not exist
    /// for readers.
    pub visible_rows: u32,
    /// When the visible rows were received, as the log says it: also after a restart.
    pub received_unix_nanos: UnixNanosRange,
    /// No more rows will come.
    pub is_final: bool,
}

/// The earliest and the latest of some times, in nanoseconds since 1970; both are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixNanosRange {
    pub min: u64,
    pub max: u64,
}

impl UnixNanosRange {
    /// The range of one time.
    pub fn of(unix_nanos: u64) -> Self {
        Self { min: unix_nanos, max: unix_nanos }
    }

    /// The range of the times of both.
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
