//! Walks the records of one segment, whatever its bytes are.
//!
//! In: a file, the segment's seal, and where it ends: stated by its successor, or open. Out: one
//! item after another: records, marks, damage, at last perhaps a torn tail. Memory: one window of a
//! megabyte, or one record if that is larger. Never writes, never panics, reads forward only.
//!
//! What tells damage from a torn tail is the greatest commit mark of the segment. Bytes before it
//! were synced once, so what cannot be read there is damage and what follows it still counts. Bytes
//! after it belong to one group that perhaps was never synced as a whole, in any order of sectors:
//! the first bad record there ends the log, even if a good one follows.

use std::fmt;
use std::io;

use crate::DiskFile;
use crate::format::{
    ALIGNMENT_BYTES, Kind, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, Seal,
};

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// When the disk cannot read a window, what it can read of it is found in steps of this size.
const RESCUE_BYTES: usize = 4096;

/// Bytes of the log that were durable once and cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// Where in its file the damage begins.
    pub offset: u64,
    /// How many bytes it covers.
    pub bytes: u64,
    /// What is wrong with them.
    pub kind: DamageKind,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, bytes, kind } = self;
        write!(f, "segment {segment}, bytes {offset} to {}: {kind}", offset + bytes)
    }
}

/// What is wrong with damaged bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// One copy of the segment header; the other one is whole, so nothing is lost.
    HeaderCopy,
    /// Both copies of the segment header.
    Header,
    /// No record header where one must be.
    RecordHeader,
    /// A payload that is not the one its header was written for.
    Payload,
    /// The file is shorter than what was acknowledged in it.
    Short,
    /// The file is gone.
    Missing,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderCopy => "one copy of the segment header is damaged, the other one is used",
            Self::Header => "both copies of the segment header are damaged",
            Self::RecordHeader => "no record header where one must be",
            Self::Payload => "the payload does not match its checksum",
            Self::Short => "the file is shorter than what was acknowledged in it",
            Self::Missing => "the file is missing",
        })
    }
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its successor says so.
    Stated(u64),
    /// It is the last one: the end must be found.
    Open,
}

/// One thing found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A whole record; `Scan::payload` has its bytes.
    Record { offset: u64 },
    /// A commit mark alone.
    Mark { offset: u64 },
    /// Bytes before the last commit mark that are no record.
    Damage { offset: u64, bytes: u64, payload: bool },
    /// The log ends at `offset`; `bytes` are left after it, up to the last one that is not zero.
    Torn { offset: u64, bytes: u64 },
}

impl Item {
    /// This item as a damage of segment `segment`, whose file has `file_bytes`.
    pub(crate) fn damage(self, segment: u64, file_bytes: u64) -> Option<Damage> {
        let Self::Damage { offset, bytes, payload } = self else { return None };
        let kind = match payload {
            true => DamageKind::Payload,
            false if offset >= file_bytes => DamageKind::Short,
            false => DamageKind::RecordHeader,
        };
        Some(Damage { segment, offset, bytes, kind })
    }
}

/// A walk through one segment.
pub(crate) struct Scan<'a> {
    window: Window<'a>,
    seal: Seal,
    at: u64,
    /// Where reading stops: the stated end or the end of the file, whichever comes first.
    limit: u64,
    /// The greatest commit mark seen. Of a segment with a stated end, that end.
    synced_end: u64,
    /// Whether `synced_end` is known to be the greatest one of the segment.
    surveyed: bool,
    /// Where the last byte that is not zero ends; known after the survey.
    last_byte_end: u64,
    /// The greatest commit mark of the headers that `next` went over.
    marked_end: u64,
    /// End of the last record that carries a payload.
    records_end: u64,
    payload: (u64, usize),
    done: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, seal: Seal, end: End) -> io::Result<Self> {
        Self::starting_at(SEGMENT_HEADER_BYTES, file, seal, end)
    }

    /// A walk from `offset` on, where a record begins.
    pub(crate) fn starting_at(
        offset: u64,
        file: &'a dyn DiskFile,
        seal: Seal,
        end: End,
    ) -> io::Result<Self> {
        let at = (offset - offset % ALIGNMENT_BYTES).max(SEGMENT_HEADER_BYTES);
        let file_bytes = file.size()?;
        let limit = match end {
            End::Stated(end) => end.min(file_bytes),
            End::Open => file_bytes,
        };
        let stated = match end {
            End::Stated(end) => Some(end),
            End::Open => None,
        };
        Ok(Self {
            window: Window { file, bytes: Vec::new(), start: 0, unreadable_end: 0 },
            seal,
            at,
            limit,
            synced_end: stated.unwrap_or(SEGMENT_HEADER_BYTES),
            surveyed: stated.is_some(),
            last_byte_end: limit,
            marked_end: SEGMENT_HEADER_BYTES,
            records_end: SEGMENT_HEADER_BYTES,
            payload: (0, 0),
            done: false,
        })
    }

    /// The next item; `None` at the end. An error is the disk's: nothing was concluded from it.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        if self.done {
            return Ok(None);
        }
        let offset = self.at;
        let Some(header) = self.header_at(offset)? else {
            return self.no_header(offset);
        };
        let next = offset + header.record_bytes();
        if !self.payload_matches(offset, &header)? {
            self.survey(offset)?;
            if offset >= self.synced_end {
                return Ok(self.torn(offset));
            }
            self.at = next;
            return Ok(Some(Item::Damage { offset, bytes: next - offset, payload: true }));
        }
        self.synced_end = self.synced_end.max(header.synced_end);
        self.marked_end = self.marked_end.max(header.synced_end);
        self.at = next;
        match header.kind {
            Kind::Mark => Ok(Some(Item::Mark { offset })),
            Kind::Record => {
                self.records_end = next;
                self.payload = (offset + RECORD_HEADER_BYTES, header.payload_bytes as usize);
                Ok(Some(Item::Record { offset }))
            }
        }
    }

    /// The payload of the record that `next` returned last.
    pub(crate) fn payload(&self) -> &[u8] {
        let (offset, bytes) = self.payload;
        self.window.held(offset, bytes).unwrap_or_default()
    }

    /// The greatest commit mark seen so far.
    pub(crate) fn synced_end(&self) -> u64 {
        self.synced_end
    }

    /// The greatest commit mark of the headers that `next` went over, a stated end left out.
    pub(crate) fn marked_end(&self) -> u64 {
        self.marked_end
    }

    /// Where the last record with a payload ends.
    pub(crate) fn records_end(&self) -> u64 {
        self.records_end
    }

    /// Where the walk stands: after `next` returned `None`, the segment's end.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Where the last bytes end that the disk refused to read; the scan took them for zeros.
    pub(crate) fn unreadable_end(&self) -> u64 {
        self.window.unreadable_end
    }

    fn no_header(&mut self, offset: u64) -> io::Result<Option<Item>> {
        self.survey(offset)?;
        if offset >= self.synced_end {
            return Ok(self.torn(offset));
        }
        let found = self.next_header_after(offset)?;
        let resume = found.unwrap_or(self.synced_end).min(self.synced_end);
        self.at = resume;
        Ok(Some(Item::Damage { offset, bytes: resume - offset, payload: false }))
    }

    fn torn(&mut self, offset: u64) -> Option<Item> {
        self.done = true;
        let bytes = self.last_byte_end.saturating_sub(offset);
        (bytes > 0).then_some(Item::Torn { offset, bytes })
    }

    /// The header at `offset` if there is one whose record ends before the limit.
    fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        if offset.saturating_add(RECORD_HEADER_BYTES) > self.limit {
            return Ok(None);
        }
        let bytes = self.window.read(offset, RECORD_HEADER_BYTES as usize)?;
        let Some(bytes) = bytes.first_chunk() else {
            return Ok(None);
        };
        let header = self.seal.decode(offset, bytes);
        Ok(header.filter(|header| header.record_bytes() <= self.limit - offset))
    }

    fn payload_matches(&mut self, offset: u64, header: &RecordHeader) -> io::Result<bool> {
        let bytes = header.payload_bytes as usize;
        let payload = self.window.read(offset + RECORD_HEADER_BYTES, bytes)?;
        Ok(payload.len() == bytes && crc32c::crc32c(payload) == header.payload_checksum)
    }

    /// Reads on from `offset` to the end for the greatest commit mark and the last byte that is not
    /// zero. Done once, and only where a record is missing.
    fn survey(&mut self, offset: u64) -> io::Result<()> {
        if self.surveyed {
            return Ok(());
        }
        self.surveyed = true;
        self.last_byte_end = offset;
        let mut at = offset;
        while at < self.limit {
            let seal = self.seal;
            let window = self.window.from(at, self.limit)?;
            if window.is_empty() {
                break;
            }
            if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
                self.last_byte_end = at + last as u64 + 1;
                let marks = headers(seal, at, window).map(|(_, header)| header.synced_end);
                self.synced_end = marks.fold(self.synced_end, u64::max);
            }
            at += step(window.len());
        }
        Ok(())
    }

    /// Where the next record begins after damage at `offset`, if one does before the last mark.
    fn next_header_after(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let limit = self.limit.min(self.synced_end);
        let mut at = offset + ALIGNMENT_BYTES;
        while at < limit {
            let seal = self.seal;
            let window = self.window.from(at, limit)?;
            if window.is_empty() {
                break;
            }
            if let Some((found, _)) = headers(seal, at, window).next() {
                return Ok(Some(found));
            }
            at += step(window.len());
        }
        Ok(None)
    }
}

/// How far to go after a window in which no header was found: headers may straddle its end.
fn step(window_bytes: usize) -> u64 {
    let whole = (window_bytes as u64).saturating_sub(RECORD_HEADER_BYTES - ALIGNMENT_BYTES);
    if (window_bytes) < WINDOW_BYTES { window_bytes as u64 } else { whole }.max(ALIGNMENT_BYTES)
}

/// Every record header in `window`, which begins at `offset`, a multiple of 8.
fn headers(
    seal: Seal,
    offset: u64,
    window: &[u8],
) -> impl Iterator<Item = (u64, RecordHeader)> + '_ {
    let places = (0..window.len()).step_by(ALIGNMENT_BYTES as usize);
    places.filter_map(move |place| {
        let at = offset + place as u64;
        let header = seal.decode(at, window.get(place..)?.first_chunk()?)?;
        Some((at, header))
    })
}

/// The part of a file that is in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    bytes: Vec<u8>,
    start: u64,
    unreadable_end: u64,
}

impl Window<'_> {
    /// `bytes` from `offset`, or fewer at the end of the file.
    fn read(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        if self.held(offset, bytes).is_none() {
            self.fill(offset, bytes.max(WINDOW_BYTES))?;
        }
        let held = self.bytes.get((offset - self.start) as usize..).unwrap_or_default();
        Ok(held.get(..bytes).unwrap_or(held))
    }

    /// A window's worth of bytes from `offset`, none of them at or after `limit`.
    fn from(&mut self, offset: u64, limit: u64) -> io::Result<&[u8]> {
        let bytes = (limit - offset).min(WINDOW_BYTES as u64) as usize;
        self.read(offset, bytes)
    }

    /// The bytes, if all of them are in memory.
    fn held(&self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(bytes)?)
    }

    fn fill(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        let left = self.file.size()?.saturating_sub(offset);
        let bytes = left.min(bytes as u64) as usize;
        self.bytes.resize(bytes, 0);
        self.start = offset;
        let read = match self.file.read_at(offset, &mut self.bytes) {
            Ok(read) => read,
            Err(error) if is_bad_sector(&error) => self.rescue(offset)?,
            Err(error) => return Err(error),
        };
        self.bytes.truncate(read);
        Ok(())
    }

    /// Reads a window block by block; blocks that the disk has lost become zeros.
    fn rescue(&mut self, offset: u64) -> io::Result<usize> {
        let mut at = offset;
        let mut filled = 0;
        for block in self.bytes.chunks_mut(RESCUE_BYTES) {
            match self.file.read_at(at, block) {
                Ok(read) => filled += read,
                Err(error) if is_bad_sector(&error) => {
                    self.unreadable_end = self.unreadable_end.max(at + block.len() as u64);
                    block.fill(0);
                    filled += block.len();
                }
                Err(error) => return Err(error),
            }
            at += block.len() as u64;
        }
        Ok(filled)
    }
}

/// `EIO` has no kind of its own.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
