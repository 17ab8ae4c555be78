//! The bytes of a segment, version 1. `docs/formats/wal.md` draws them; a test holds the two equal.
//!
//! In: header fields. Out: bytes, and back. Never touches a file. All numbers are little-endian.
//!
//! ```text
//! segment   0     header, 128 bytes used of 4,096, the same again at 2,048
//!           4096  records, each at a multiple of 8:
//!                   0  4  magic "rec1"
//!                   4  4  first 4 bytes of the segment's uuid
//!                   8  4  payload length
//!                  12  4  CRC32C of the payload
//!                  16  8  commit mark: every byte of the segment before this offset was synced
//!                  24  1  kind: 1 record, 2 a mark alone
//!                  25  3  zero
//!                  28  4  CRC32C of uuid, offset and bytes 0..28
//!                  32     payload, then zeros up to a multiple of 8
//! ```

use std::fmt;

/// The version this program writes, and the only one so far that it reads.
pub const VERSION: u32 = 1;

/// Bytes before the first record. A whole page, so that no later write touches the header's
/// sectors.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;

/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: u64 = 32;

/// The part of the segment header that holds fields. Its magic, version, must-understand bits and
/// checksum keep their places in every future version, so that a damaged header is never taken for
/// a new version, nor the other way round.
pub(crate) const HEADER_FIELDS_BYTES: usize = 128;

/// Where the second copy of the segment header stands: four sectors away from the first.
pub(crate) const HEADER_COPY_OFFSET: u64 = 2048;

/// Every record begins at a multiple of this, so that a reader can find its way again after damage.
pub(crate) const ALIGNMENT_BYTES: u64 = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"SUYUANWL";
const RECORD_MAGIC: [u8; 4] = *b"rec1";

/// Must-understand bits this program knows. None are given out yet.
const KNOWN_BITS: u32 = 0;

/// 128 random bits that name a log or a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a record begins. Stays the same for as long as the log keeps the record, and grows in
/// append order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Offset of the record's header in the segment's file, in bytes.
    pub offset: u64,
}

impl Position {
    /// Just behind a record that begins here. Invariant: the next record, in this segment or in a
    /// later one, begins at or after this position, so "at or after" it means "all later ones".
    pub fn after_record(self, payload_bytes: u64) -> Self {
        let offset = self.offset.saturating_add(record_bytes(payload_bytes));
        Self { offset, ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// What a segment says about the one before it. This is how a segment ends: nothing at or after
/// `end` in that segment was ever acknowledged, so nothing there is ever replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) uuid: Uuid,
    pub(crate) number: u64,
    pub(crate) end: u64,
}

/// The fields of a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) uuid: Uuid,
    pub(crate) log: Uuid,
    pub(crate) number: u64,
    pub(crate) previous: Option<Previous>,
}

/// Why 128 bytes are not a segment header that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Magic or checksum do not match.
    Damaged,
    /// Whole, but of another version.
    Version(u32),
    /// Whole, but asks for something this program does not know.
    MustUnderstand(u32),
}

impl SegmentHeader {
    /// The first page of a segment: the header twice, zeros around it.
    pub(crate) fn page(&self) -> Vec<u8> {
        let fields = self.encode();
        let mut page = fields.to_vec();
        page.resize(HEADER_COPY_OFFSET as usize, 0);
        page.extend_from_slice(&fields);
        page.resize(SEGMENT_HEADER_BYTES as usize, 0);
        page
    }

    fn encode(&self) -> [u8; HEADER_FIELDS_BYTES] {
        let none = Previous { uuid: Uuid([0; 16]), number: 0, end: 0 };
        let previous = self.previous.unwrap_or(none);
        let mut bytes = [0; HEADER_FIELDS_BYTES];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&0_u32.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uuid.0);
        bytes[32..48].copy_from_slice(&self.log.0);
        bytes[48..56].copy_from_slice(&self.number.to_le_bytes());
        bytes[56..72].copy_from_slice(&previous.uuid.0);
        bytes[72..80].copy_from_slice(&previous.number.to_le_bytes());
        bytes[80..88].copy_from_slice(&previous.end.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_FIELDS_BYTES]) -> Result<Self, HeaderFault> {
        if bytes[0..8] != SEGMENT_MAGIC || crc32c::crc32c(&bytes[..124]) != u32_at(bytes, 124) {
            return Err(HeaderFault::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let bits = u32_at(bytes, 12);
        if bits & !KNOWN_BITS != 0 {
            return Err(HeaderFault::MustUnderstand(bits));
        }
        let previous = Previous {
            uuid: uuid_at(bytes, 56),
            number: u64_at(bytes, 72),
            end: u64_at(bytes, 80),
        };
        Ok(Self {
            uuid: uuid_at(bytes, 16),
            log: uuid_at(bytes, 32),
            number: u64_at(bytes, 48),
            previous: (previous.number != 0).then_some(previous),
        })
    }
}

/// What a record header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A payload follows.
    Record = 1,
    /// A commit mark alone, as a closed log ends with one.
    Mark = 2,
}

/// The fields of a record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) payload_bytes: u32,
    pub(crate) payload_checksum: u32,
    /// The commit mark: every byte of the segment before this offset was synced when this header
    /// was written.
    pub(crate) synced_end: u64,
}

impl RecordHeader {
    /// Header, payload and padding, in bytes.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(u64::from(self.payload_bytes))
    }
}

/// What a record of `payload_bytes` takes in a segment.
pub(crate) fn record_bytes(payload_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT_BYTES)
}

/// Ties record headers to one segment: a header written under one seal is no header under another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    /// The first eight bytes of every record header of the segment.
    prefix: [u8; 8],
    /// CRC32C of the segment's uuid, continued over offset and header.
    seed: u32,
}

impl Seal {
    pub(crate) fn new(uuid: Uuid) -> Self {
        let [a, b, c, d] = RECORD_MAGIC;
        let [e, f, g, h, ..] = uuid.0;
        Self { prefix: [a, b, c, d, e, f, g, h], seed: crc32c::crc32c(&uuid.0) }
    }

    pub(crate) fn encode(&self, offset: u64, header: &RecordHeader) -> [u8; 32] {
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.prefix);
        bytes[8..12].copy_from_slice(&header.payload_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&header.payload_checksum.to_le_bytes());
        bytes[16..24].copy_from_slice(&header.synced_end.to_le_bytes());
        bytes[24] = header.kind as u8;
        let checksum = self.checksum(offset, &bytes);
        bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at `offset`, if these bytes are one that was written there in this segment.
    pub(crate) fn decode(&self, offset: u64, bytes: &[u8; 32]) -> Option<RecordHeader> {
        if bytes[0..8] != self.prefix || self.checksum(offset, bytes) != u32_at(bytes, 28) {
            return None;
        }
        let kind = match bytes[24] {
            1 => Kind::Record,
            2 => Kind::Mark,
            _ => return None,
        };
        let synced_end = u64_at(bytes, 16);
        if synced_end < SEGMENT_HEADER_BYTES || synced_end > offset {
            return None;
        }
        Some(RecordHeader {
            kind,
            payload_bytes: u32_at(bytes, 8),
            payload_checksum: u32_at(bytes, 12),
            synced_end,
        })
    }

    fn checksum(&self, offset: u64, bytes: &[u8; 32]) -> u32 {
        let seed = crc32c::crc32c_append(self.seed, &offset.to_le_bytes());
        crc32c::crc32c_append(seed, &bytes[..28])
    }
}

fn uuid_at<const N: usize>(bytes: &[u8; N], at: usize) -> Uuid {
    Uuid(array_at(bytes, at))
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// `at` is one of the constants above, so the range always lies inside.
fn array_at<const N: usize, const M: usize>(bytes: &[u8; N], at: usize) -> [u8; M] {
    let mut array = [0; M];
    array.copy_from_slice(&bytes[at..at + M]);
    array
}
