//! What is known of a block without opening its files: its entry in the catalog.
//!
//! In: what the writer of a block knows when its files are closed. Out: bytes for the catalog
//! entry, and back. Every range of rows is checked on the way out and on the way in, so that
//! whoever reads a block may rely on it. Never here: a file of the block, a question about a span.
//!
//! Numbering. Slices, rows of `spans.parquet`, rows of `traces.parquet`, tenants, resources and
//! scopes all count from 0 within the block. Slices follow each other without gaps; inside a slice
//! the tenants do, by name; so the encoding says only how many rows each has.
//!
//! Size, of made-up metas: 0.8 kB for a million spans of one tenant with 60 keys, 13 kB with 10,000
//! keys; 7 kB for 2,000 tenants with the same 20 keys, 58 kB with 20 keys of their own each.

use std::fmt;
use std::ops::Range;

use suyuan_ids::TraceId;
use suyuan_model::{Tenant, UnixNanosRange};
use suyuan_wal::{Position, Uuid};
use suyuan_wire::protobuf::Malformed;

use crate::directory::KeyDirectory;
use crate::layout::OverflowColumns;

pub(crate) mod check;
mod encoding;
pub(crate) mod fields;

#[cfg(test)]
mod tests;

/// The version this program writes, and the only one so far that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Rows by tenant, trace id, then pre-order of the trace's tree (`tree.rs`).
pub const SORT_RULE: u32 = 1;
/// Of spans with equal trace id, span id, kind and start, the greatest (end, content hash) is kept.
pub const DEDUPE_RULE: u32 = 1;
/// Cells closed on the right, durations in powers of two (`rollup.rs`).
pub const ROLLUP_RULE: u32 = 1;

/// What a meta may take in memory, before compression; a block that needs more cannot be written.
pub const META_BYTES_MAX: usize = 32 << 20;
pub const SLICES_MAX: usize = 1 << 16;
pub const TENANTS_MAX: usize = 1 << 16;
/// Row ranges of all tenants together.
pub const TENANT_RANGES_MAX: usize = 1 << 20;
pub const LOG_RANGES_MAX: usize = 1 << 16;
pub const FILES_MAX: usize = 64;
/// Bytes of a text of the meta, keys of attributes apart.
pub const TEXT_BYTES_MAX: usize = 256;

/// A block's name: a uuid of version 7, so that names sort by the time of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(Uuid);

/// Why a text or 16 bytes are not a block's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a block id, which is a uuid of version 7 in lower case")]
pub struct BadBlockId;

/// What the catalog says of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMeta {
    pub id: BlockId,
    /// Name and version of the program that wrote the block.
    pub writer: String,
    pub shard: Shard,
    /// What the block holds of which log.
    pub log_ranges: Vec<LogRange>,
    /// When its spans were received.
    pub received_unix_nanos: UnixNanosRange,
    /// From the smallest start to the greatest end of its spans.
    pub span_time: TimeRange,
    /// Of its traces, as far as they lie in this block.
    pub trace_start: TimeRange,
    /// Spans that came in more than once, and were written once.
    pub n_duplicates_removed: u64,
    /// At least one.
    pub slices: Vec<SliceMeta>,
    /// By name; a tenant's place is its number in this block.
    pub tenants: Vec<TenantMeta>,
    pub keys: KeyDirectory,
    pub files: Vec<FileMeta>,
    pub sort_rule: u32,
    pub dedupe_rule: u32,
    pub rollup: Option<RollupMeta>,
    /// Of the key that the files are encrypted with; empty: they are not.
    pub key_id: String,
    /// 0: sealed from a log; else one more than the greatest of the blocks it was merged from.
    pub compaction_level: u32,
    /// Number of the catalog entry at which a compaction decided what goes in; 0 for a seal. A
    /// tombstone of a later entry is not applied to this block yet.
    pub content_seq: u64,
    /// How many columns attributes without a column of their own are spread over.
    pub overflow_columns: OverflowColumns,
}

/// The traces that a block may hold: those whose hash is in the range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub hash: ShardHash,
    pub first: u64,
    pub last: u64,
}

/// How a trace becomes the number that chooses its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardHash {
    /// `filter::TenantSeed::hash`.
    TenantAndTraceId = 1,
}

/// The records of a log from one position up to another, that one not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    pub log: Uuid,
    pub from: Position,
    pub to: Position,
}

/// The earliest and the latest of some times, in nanoseconds since 1970; both are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub min_unix_nanos: i64,
    pub max_unix_nanos: i64,
}

/// A row group of `spans.parquet`: traces that began at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceMeta {
    pub first_row: u32,
    pub n_rows: u32,
    /// In `traces.parquet`.
    pub first_trace: u32,
    pub n_traces: u32,
    pub trace_start: TimeRange,
    /// From the smallest start to the greatest end of its spans.
    pub span_time: TimeRange,
    pub events: Option<SideRows>,
    pub links: Option<SideRows>,
    /// The trace of which the next slice has rows too: it takes more bytes than a slice may have.
    pub continues: Option<TraceId>,
}

impl SliceMeta {
    /// A slice that begins there, and of which nothing else is known.
    pub(crate) fn at(first_row: u32, first_trace: u32) -> Self {
        Self {
            first_row,
            n_rows: 0,
            first_trace,
            n_traces: 0,
            trace_start: TimeRange::of(0),
            span_time: TimeRange::of(0),
            events: None,
            links: None,
            continues: None,
        }
    }
}

/// The rows of `events.parquet` or `links.parquet` that belong to a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideRows {
    pub row_group: u32,
    /// Within the row group.
    pub first_row: u32,
    pub n_rows: u32,
}

/// What a tenant has in a block.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantMeta {
    pub tenant: Tenant,
    /// By slice, at most one for each.
    pub ranges: Vec<TenantRange>,
    /// Rows of `resources.parquet`.
    pub resources: Range<u32>,
    /// Rows of `scopes.parquet`.
    pub scopes: Range<u32>,
    pub received_unix_nanos: UnixNanosRange,
    pub span_time: TimeRange,
    /// Its share of the bytes of the block, estimated.
    pub bytes_estimate: u64,
}

/// A tenant's rows in one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantRange {
    pub slice: u32,
    pub first_row: u32,
    pub n_rows: u32,
    pub first_trace: u32,
    pub n_traces: u32,
}

/// An object in the block's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Small letters, digits, `_`, `-` and `.`; it begins with a letter.
    pub name: String,
    pub bytes: u64,
    pub crc32c: u32,
}

/// `rollup.parquet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupMeta {
    pub rule: u32,
    pub step_nanos: u64,
}

/// Why bytes are not the meta of a block that this program can read, or a meta cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    #[error("block meta: {bytes} bytes, more than {META_BYTES_MAX}")]
    TooLarge { bytes: u64 },
    #[error("block meta: format version {version}, this program reads {FORMAT_VERSION}")]
    Version { version: u64 },
    #[error("block meta: needs the feature `{feature}`, which only a later program knows")]
    UnknownFeature { feature: String },
    #[error("block meta: `{message}` {error}")]
    Malformed { message: &'static str, error: Malformed },
    #[error("block meta: `{field}` {problem}")]
    BadValue { field: &'static str, problem: &'static str },
    #[error("block meta: its body does not inflate to the {bytes} bytes it should have")]
    Body { bytes: u64 },
    #[error("block meta: zstd: {problem}")]
    Compress { problem: String },
}

impl BlockId {
    /// A new name, from the time of writing and 80 random bits (six of them are not used).
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&unix_millis.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self(Uuid(bytes))
    }

    pub fn from_uuid(uuid: Uuid) -> Result<Self, BadBlockId> {
        let is_version_7 = uuid.0[6] >> 4 == 7 && uuid.0[8] >> 6 == 0b10;
        is_version_7.then_some(Self(uuid)).ok_or(BadBlockId)
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// As [`fmt::Display`] says it, and in no other way: the text is a folder's name.
    pub fn parse(text: &str) -> Result<Self, BadBlockId> {
        let mut bytes = [0; 16];
        let mut nibbles = text.bytes().filter(|byte| *byte != b'-');
        for byte in &mut bytes {
            let (high, low) = (nibbles.next().and_then(nibble), nibbles.next().and_then(nibble));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or(BadBlockId)?;
        }
        let id = Self::from_uuid(Uuid(bytes))?;
        (id.to_string() == text).then_some(id).ok_or(BadBlockId)
    }

    /// When it was written, in milliseconds since 1970.
    pub fn unix_millis(self) -> u64 {
        self.0.0[..6].iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BlockMeta {
    pub fn n_spans(&self) -> u64 {
        self.slices.iter().map(|slice| u64::from(slice.n_rows)).sum()
    }

    pub fn n_traces(&self) -> u64 {
        self.slices.iter().map(|slice| u64::from(slice.n_traces)).sum()
    }

    /// Of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// A tenant's number in this block and what it has there.
    pub fn tenant(&self, tenant: &Tenant) -> Option<(u32, &TenantMeta)> {
        let number = self.tenants.binary_search_by(|other| other.tenant.cmp(tenant)).ok()?;
        Some((number as u32, &self.tenants[number]))
    }

    pub fn file(&self, name: &str) -> Option<&FileMeta> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The bytes for the catalog; an error if a reader would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, MetaError> {
        check::check(self)?;
        encoding::encode(self)
    }

    /// Total: whatever the bytes are, a meta that holds together or an error that says where.
    pub fn decode(encoded: &[u8]) -> Result<Self, MetaError> {
        let meta = encoding::decode(encoded)?;
        check::check(&meta)?;
        Ok(meta)
    }

    /// As [`Self::decode`], of what the frame holds; for fuzzing.
    #[doc(hidden)]
    pub fn decode_body(body: &[u8]) -> Result<Self, MetaError> {
        let meta = encoding::decode_body(body)?;
        check::check(&meta)?;
        Ok(meta)
    }
}

impl Shard {
    /// Every trace: the only shard of a single machine.
    pub const WHOLE: Self = Self { hash: ShardHash::TenantAndTraceId, first: 0, last: u64::MAX };
}

impl TenantMeta {
    pub fn n_spans(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.n_rows)).sum()
    }

    pub fn n_traces(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.n_traces)).sum()
    }

    /// Its rows in a slice.
    pub fn range_in(&self, slice: u32) -> Option<&TenantRange> {
        let place = self.ranges.binary_search_by_key(&slice, |range| range.slice).ok()?;
        self.ranges.get(place)
    }
}

impl TenantRange {
    /// Rows of `spans.parquet`.
    pub fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row + self.n_rows
    }

    /// Rows of `traces.parquet`.
    pub fn traces(&self) -> Range<u32> {
        self.first_trace..self.first_trace + self.n_traces
    }
}

impl TimeRange {
    /// The range of one time.
    pub fn of(unix_nanos: i64) -> Self {
        Self { min_unix_nanos: unix_nanos, max_unix_nanos: unix_nanos }
    }

    /// The range of the times of both.
    pub fn union(self, other: Self) -> Self {
        Self {
            min_unix_nanos: self.min_unix_nanos.min(other.min_unix_nanos),
            max_unix_nanos: self.max_unix_nanos.max(other.max_unix_nanos),
        }
    }

    /// Whether some time is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.min_unix_nanos <= other.max_unix_nanos && other.min_unix_nanos <= self.max_unix_nanos
    }
}
