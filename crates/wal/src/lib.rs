//! A durable ordered log of opaque records; knows nothing of spans.
//!
//! In: records, as byte slices that are written back to back without a copy. Out: one answer per
//! record, after the fsync that covers it; at start-up every durable record again, once, in order.
//! Never here: decoding, a clock, a network, an acknowledgement of bytes that are not on the disk.
//!
//! ```text
//!   append ──> queue ──> Writer (one thread): one vectored write, one fdatasync, answers in order
//!                           │
//!                           v
//!      log/00000000000000000001.wal   closed; how far it is valid stands in the next one's header
//!      log/00000000000000000002.wal   being written, preallocated
//!      log/reserve                    space that lets a full disk still say what failed
//!      log/quarantine/                damage and records no reader can take, as files of their own
//!                           │
//!   replay <── chain ── scan┘         open: find the end, cut a torn tail, set damage aside
//! ```
//!
//! The format is documented byte for byte in `docs/formats/wal.md`.
//!
//! Whoever keeps the records elsewhere gives the place up to which it has them: a replay begins
//! there, and a `Truncator` removes the segments before it.

#![warn(missing_docs, clippy::indexing_slicing)]

mod log;
mod truncate;
mod writer;

mod recovery;
mod scan;

mod chain;
mod format;
mod quarantine;

mod inspect;

mod disk;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test panics when it fails")]
mod tests;

pub use chain::ChainError;
pub use disk::{Disk, DiskFile, FileInfo, LocalDisk, write_all_at};
pub use format::{Position, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Uuid, VERSION};
pub use inspect::{Inspection, SegmentReport, Verification, inspect, scan_bytes, verify};
pub use log::{
    AppendError, FSYNC_BUCKETS_SECONDS, Failures, Log, Options, Stats, StatsReader, open,
};
pub use quarantine::QuarantineError;
pub use recovery::{OpenError, Recovered, ReplayError, ReplayReport, TornTail, Verdict};
pub use scan::{Damage, DamageKind};
pub use truncate::{TruncateError, Truncated, Truncator};
