//! Whether a block may hold a trace: the object `ids.filter`.
//!
//! In: the tenants and trace ids of a block. Out: about ten bits for each, in which a missing id is
//! found missing 79 times in 80 with one touch of memory. Never here: an id that was put in and is
//! denied, nor a tenant's id that another tenant's question finds: the tenant is part of the hash.
//!
//! ```text
//!   0   8  magic "SUYUANIF"
//!   8   4  version, 1
//!  12   4  must-understand bits, 0
//!  16   8  number of ids
//!  24   4  CRC32C of the blocks
//!  28   4  CRC32C of bytes 0..28
//!  32      blocks of 32 bytes: eight words of 32 bits, little-endian
//! ```
//!
//! The filter is Parquet's (a split block filter after Putze, Sanders and Singler), so one id is one
//! cache line. Two things differ: the hash, which costs two multiplications for an id instead of
//! xxHash over its bytes, and the number of blocks, which need not be a power of two (0.04 bytes for
//! every span of a block of 67,000 traces).

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::Tenant;

#[cfg(test)]
mod tests;

/// The version this program writes, and the only one so far that it reads.
pub const FILTER_VERSION: u32 = 1;

/// 1.3 % of missing ids are not denied (measured); eight bits would leave 3.3 %, twelve 0.5 %.
const BITS_PER_ID: u64 = 10;

/// 53 million ids; more than that share the bits.
const FILTER_BYTES_MAX: u64 = 64 << 20;

const MAGIC: [u8; 8] = *b"SUYUANIF";
const HEADER_BYTES: usize = 32;
const BLOCK_BYTES: usize = 32;

/// Must-understand bits this program knows. None are given out yet.
const KNOWN_BITS: u32 = 0;

/// Why bytes are not an id filter that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("id filter: {bytes} bytes are not a header and whole blocks")]
    BadLength { bytes: usize },
    #[error("id filter: {part} is damaged")]
    Damaged { part: &'static str },
    #[error("id filter: version {version} was written by a later program than this")]
    Version { version: u32 },
    #[error("id filter: must-understand bits {bits:#x} are unknown to this program")]
    UnknownBits { bits: u32 },
}

/// A tenant's part of the hash of its trace ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantSeed(u64);

/// The hash of a tenant's trace id; the same in every block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdHash(pub(crate) u64);

/// The trace ids of a block while it is written.
#[derive(Debug)]
pub struct IdFilterBuilder {
    n_ids: u64,
    filter: SplitBlockFilter,
}

/// The trace ids of a block.
#[derive(Clone, Debug)]
pub struct IdFilter {
    n_ids: u64,
    blocks: Bytes,
}

/// A filter in memory while it is filled.
#[derive(Clone, Debug)]
pub(crate) struct SplitBlockFilter {
    blocks: Vec<u8>,
}

impl TenantSeed {
    pub fn new(tenant: &Tenant) -> Self {
        Self(mix(fnv1a(tenant.as_str().as_bytes())))
    }

    #[inline]
    pub fn hash(self, id: &TraceId) -> IdHash {
        let (high, low) = id.as_bytes().split_at(8);
        let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("half of 16 bytes"));
        IdHash(mix(mix(self.0 ^ word(high)) ^ word(low)))
    }
}

impl IdFilterBuilder {
    /// More ids than expected make more false positives, nothing worse.
    pub fn new(n_ids_expected: u64) -> Self {
        let filter = SplitBlockFilter::new(n_ids_expected, BITS_PER_ID, FILTER_BYTES_MAX);
        Self { n_ids: 0, filter }
    }

    #[inline]
    pub fn insert(&mut self, hash: IdHash) {
        self.n_ids += 1;
        self.filter.insert(hash.0);
    }

    pub fn finish(self) -> IdFilter {
        IdFilter { n_ids: self.n_ids, blocks: self.filter.into_bytes().into() }
    }
}

impl IdFilter {
    /// False: no trace of that tenant and id has a span in the block.
    #[inline]
    pub fn may_contain(&self, hash: IdHash) -> bool {
        may_contain(&self.blocks, hash.0)
    }

    /// How many ids were put in.
    pub fn n_ids(&self) -> u64 {
        self.n_ids
    }

    /// What it takes in memory and, with a header, in the object store.
    pub fn bytes(&self) -> usize {
        self.blocks.len()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(HEADER_BYTES + self.blocks.len());
        encoded.extend_from_slice(&MAGIC);
        encoded.extend_from_slice(&FILTER_VERSION.to_le_bytes());
        encoded.extend_from_slice(&KNOWN_BITS.to_le_bytes());
        encoded.extend_from_slice(&self.n_ids.to_le_bytes());
        encoded.extend_from_slice(&crc32c::crc32c(&self.blocks).to_le_bytes());
        encoded.extend_from_slice(&crc32c::crc32c(&encoded).to_le_bytes());
        encoded.extend_from_slice(&self.blocks);
        encoded
    }

    /// Checks everything; keeps the bytes without a copy.
    pub fn decode(encoded: Bytes) -> Result<Self, FilterError> {
        let bad_length = FilterError::BadLength { bytes: encoded.len() };
        let (header, rest) = encoded.split_first_chunk::<HEADER_BYTES>().ok_or(bad_length)?;
        let number = |offset: usize| {
            u32::from_le_bytes([0, 1, 2, 3].map(|i| header.get(offset + i).copied().unwrap_or(0)))
        };
        if !header.starts_with(&MAGIC) {
            return Err(FilterError::Damaged { part: "the magic" });
        }
        if crc32c::crc32c(&header[..HEADER_BYTES - 4]) != number(28) {
            return Err(FilterError::Damaged { part: "the header" });
        }
        let (version, bits) = (number(8), number(12));
        if version != FILTER_VERSION {
            return Err(FilterError::Version { version });
        }
        if bits & !KNOWN_BITS != 0 {
            return Err(FilterError::UnknownBits { bits });
        }
        if !rest.len().is_multiple_of(BLOCK_BYTES) {
            return Err(bad_length);
        }
        if crc32c::crc32c(rest) != number(24) {
            return Err(FilterError::Damaged { part: "a block" });
        }
        let n_ids = u64::from(number(20)) << 32 | u64::from(number(16));
        Ok(Self { n_ids, blocks: encoded.slice(HEADER_BYTES..) })
    }
}

impl SplitBlockFilter {
    /// Sized for `n_values`, at least one block, at most `bytes_max`.
    pub(crate) fn new(n_values: u64, bits_per_value: u64, bytes_max: u64) -> Self {
        let bytes = n_values.saturating_mul(bits_per_value).div_ceil(8).min(bytes_max);
        let n_blocks = bytes.div_ceil(BLOCK_BYTES as u64).max(1);
        Self { blocks: vec![0; n_blocks as usize * BLOCK_BYTES] }
    }

    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) {
        let start = block_start(self.blocks.len(), hash);
        let block = &mut self.blocks[start..start + BLOCK_BYTES];
        for (word, mask) in block.chunks_exact_mut(4).zip(masks(hash)) {
            for (byte, mask) in word.iter_mut().zip(mask.to_le_bytes()) {
                *byte |= mask;
            }
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.blocks
    }
}

/// Whether `blocks`, whole blocks of a filter, may have been given `hash`. No blocks: nothing is in.
#[inline]
pub(crate) fn may_contain(blocks: &[u8], hash: u64) -> bool {
    let start = block_start(blocks.len(), hash);
    let Some(block) = blocks.get(start..start + BLOCK_BYTES) else {
        return false;
    };
    let mut missing = 0;
    for (word, mask) in block.chunks_exact(4).zip(masks(hash)) {
        let word = u32::from_le_bytes(word.try_into().expect("chunks of four bytes"));
        missing |= mask & !word;
    }
    missing == 0
}

/// Where the block of a hash begins: its upper half, scaled to the number of blocks.
#[inline]
fn block_start(filter_bytes: usize, hash: u64) -> usize {
    let n_blocks = (filter_bytes / BLOCK_BYTES) as u64;
    (((hash >> 32) * n_blocks) >> 32) as usize * BLOCK_BYTES
}

/// One bit for each word of a block, from the lower half of the hash and Parquet's eight factors.
#[inline]
fn masks(hash: u64) -> [u32; 8] {
    const FACTORS: [u32; 8] = [
        0x47b6_137b,
        0x4497_4d91,
        0x8824_ad5b,
        0xa2b7_289d,
        0x7054_95c7,
        0x2df1_424b,
        0x9efc_4947,
        0x5c6b_fb31,
    ];
    FACTORS.map(|factor| 1 << ((hash as u32).wrapping_mul(factor) >> 27))
}

/// FNV-1a of 64 bits; [`mix`] must follow where the upper bits count.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The finaliser of splitmix64: every bit of the input moves every bit of the result.
#[inline]
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
