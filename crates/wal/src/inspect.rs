//! What is in a log, for `suyuan wal inspect` and `suyuan wal verify`.
//!
//! In: a disk, also that of a running server. Out: reports. Never writes. Beside a running server
//! the last segment may show a tail that is torn only because it is being written.

use std::io::{self, IoSlice};

use crate::chain::{Chain, ChainError, SegmentFile, read_chain};
use crate::format::{HEADER_FIELDS_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::quarantine::{QUARANTINE_FOLDER, Quarantine};
use crate::recovery::TornTail;
use crate::scan::{Damage, End, Item, Scan};
use crate::{Disk, DiskFile, Position, Uuid};

/// One segment, read from the first byte to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// Its file's name.
    pub name: String,
    /// Its file's size, in bytes.
    pub file_bytes: u64,
    /// Its uuid, unless its header is lost.
    pub uuid: Option<Uuid>,
    /// Where it ends: as its successor states, or as the scan found.
    pub end: u64,
    /// Whether a successor states that end.
    pub is_closed: bool,
    /// Whole records before its end.
    pub records: u64,
    /// Their payloads, in bytes.
    pub payload_bytes: u64,
    /// Its first and last whole record.
    pub range: Option<(Position, Position)>,
    /// Commit marks: places before which everything is known to have been synced.
    pub marks: u64,
    /// The last of them.
    pub synced_end: u64,
    /// What cannot be read, headers among it.
    pub damage: Vec<Damage>,
    /// What follows the end, if that is not all zeros.
    pub torn_tail: Option<TornTail>,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its segments, in order.
    pub segments: Vec<SegmentReport>,
    /// Segments that are missing between others, and headers that are damaged.
    pub damage: Vec<Damage>,
    /// Names of the files in `quarantine/`.
    pub quarantine: Vec<String>,
    /// Files that were being made when the program stopped, or are being made now.
    pub unfinished: Vec<String>,
}

/// The short answer: is all that was acknowledged there?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Segment files.
    pub segments: u64,
    /// Number of the first one. Those before it were removed, which is no damage.
    pub first_segment: Option<u64>,
    /// Whole records.
    pub records: u64,
    /// Their payloads, in bytes.
    pub payload_bytes: u64,
    /// Everything that is damaged.
    pub damage: Vec<Damage>,
    /// What a start would cut. Not damage: none of it was acknowledged.
    pub torn_tail: Option<TornTail>,
    /// Records set aside earlier, and copies of damage.
    pub quarantined: u64,
}

impl Verification {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads all of a log.
pub fn inspect(disk: &dyn Disk) -> Result<Inspection, ChainError> {
    let Chain { segments, damage, unfinished } = read_chain(disk)?;
    let mut reports = Vec::with_capacity(segments.len());
    for segment in &segments {
        let failed = |source| ChainError::Io { file: segment.name.clone(), source };
        let file = match disk.open(&segment.name) {
            // A running server truncated it away after the look at the headers.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(failed)?,
        };
        reports.push(report(segment, file.as_ref()).map_err(failed)?);
    }
    let failed = |source| ChainError::Io { file: QUARANTINE_FOLDER.to_owned(), source };
    let quarantine = Quarantine::read(disk).map_err(failed)?.into_names();
    Ok(Inspection { segments: reports, damage, quarantine, unfinished })
}

/// Reads all of a log and says whether it is sound.
pub fn verify(disk: &dyn Disk) -> Result<Verification, ChainError> {
    let inspection = inspect(disk)?;
    let segments = &inspection.segments;
    let in_records = segments.iter().flat_map(|segment| &segment.damage);
    Ok(Verification {
        segments: segments.len() as u64,
        first_segment: segments.first().map(|segment| segment.number),
        records: segments.iter().map(|segment| segment.records).sum(),
        payload_bytes: segments.iter().map(|segment| segment.payload_bytes).sum(),
        damage: inspection.damage.iter().chain(in_records).cloned().collect(),
        torn_tail: segments.iter().find_map(|segment| segment.torn_tail),
        quarantined: inspection.quarantine.len() as u64,
    })
}

/// Scans the bytes of a segment that stands alone, whatever they are: what fuzzing calls.
pub fn scan_bytes(bytes: &[u8]) -> SegmentReport {
    let file = Bytes(bytes);
    let fields = bytes.first_chunk::<HEADER_FIELDS_BYTES>();
    let header = fields.and_then(|fields| SegmentHeader::decode(fields).ok());
    let segment = SegmentFile {
        number: header.map_or(0, |header| header.number),
        name: String::new(),
        file_bytes: bytes.len() as u64,
        uuid: header.map(|header| header.uuid),
        log: header.map(|header| header.log),
        previous: header.and_then(|header| header.previous),
        end: End::Open,
    };
    report(&segment, &file).unwrap_or_else(|_| unreachable!("bytes in memory can be read"))
}

fn report(segment: &SegmentFile, file: &dyn DiskFile) -> io::Result<SegmentReport> {
    let number = segment.number;
    let mut report = SegmentReport {
        number,
        name: segment.name.clone(),
        file_bytes: segment.file_bytes,
        uuid: segment.uuid,
        end: segment.file_bytes,
        is_closed: segment.end != End::Open,
        records: 0,
        payload_bytes: 0,
        range: None,
        marks: 0,
        synced_end: SEGMENT_HEADER_BYTES,
        damage: Vec::new(),
        torn_tail: None,
    };
    let Some(seal) = segment.seal() else { return Ok(report) };
    let mut scan = Scan::new(file, seal, segment.end)?;
    while let Some(item) = scan.next()? {
        match item {
            Item::Mark { .. } => {}
            Item::Torn { offset, bytes } => {
                report.torn_tail = Some(TornTail { segment: number, offset, bytes });
            }
            Item::Damage { .. } => report.damage.extend(item.damage(number, segment.file_bytes)),
            Item::Record { offset } => {
                let position = Position { segment: number, offset };
                let first = report.range.map_or(position, |(first, _)| first);
                report.range = Some((first, position));
                report.records += 1;
                report.payload_bytes += scan.payload().len() as u64;
            }
        }
        if scan.marked_end() > report.synced_end {
            report.synced_end = scan.marked_end();
            report.marks += 1;
        }
    }
    report.end = scan.at();
    Ok(report)
}

/// Bytes in memory, as a file to read.
struct Bytes<'a>(&'a [u8]);

impl DiskFile for Bytes<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let left = self.0.get(offset..).unwrap_or_default();
        let bytes = left.len().min(buffer.len());
        buffer.split_at_mut(bytes).0.copy_from_slice(left.split_at(bytes).0);
        Ok(bytes)
    }

    fn write_vectored_at(&self, _: u64, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
