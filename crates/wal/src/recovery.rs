//! What start-up finds, and how it is read again.
//!
//! In: the disk of a log that was closed, killed or cut off from power. Out: where the log ends, and
//! every durable record once, in order. Before anything is given out, the last group is written
//! again in place and synced: after a failed fsync the page cache shows bytes that the disk does not
//! have. Never changes a byte before the last commit mark, and never guesses where the disk fails.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::chain::{Chain, ChainError, SegmentFile, read_chain};
use crate::disk::write_all_at;
use crate::format::{Previous, SEGMENT_HEADER_BYTES};
use crate::quarantine::{QUARANTINE_FOLDER, Quarantine, Range, Set};
use crate::scan::{Damage, DamageKind, End, Item, Scan};
use crate::{Disk, DiskFile, Position, Uuid};

/// How many damages a report lists; the rest is counted.
const DAMAGE_LISTED_MAX: usize = 1000;

/// How much is written again at once.
const REWRITE_BYTES: u64 = 1 << 20;

/// Why a log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The files are not one log that this program can read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The disk failed.
    #[error("{file}: {source}")]
    Io {
        /// Name of the file, or of the folder.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk cannot read the last segment, so where the log ends cannot be told. Cutting it there
    /// would lose what was acknowledged.
    #[error(
        "{file}: the disk cannot read it before byte {unreadable_end}, so the end of the log is \
         unknown: save the folder, then move that file away to start without it"
    )]
    Unreadable {
        /// Name of the segment's file.
        file: String,
        /// Where what cannot be read ends.
        unreadable_end: u64,
    },
    /// The log's thread cannot be started.
    #[error("the log's thread: {0}")]
    Thread(io::Error),
}

/// Why a replay stopped. What was visited before stays valid.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The disk failed.
    #[error("{file}: {source}")]
    Io {
        /// Name of the segment's file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// The log is older than what was made of it. Its next records would get positions that count
    /// as read.
    #[error(
        "the log ends in segment {last_segment}, but all of it before {position} was read once: \
         this is an older copy of it; move it away to begin a new log, what it holds is stored"
    )]
    Older {
        /// Number of the last segment, 0 if there is none.
        last_segment: u64,
        /// Where the replay was to begin.
        position: Position,
    },
}

/// What a reader says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Taken,
    /// It cannot take it, for the reason given: set it aside and never bring it again.
    Quarantine(String),
}

/// The end of the last segment where a group was not written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Number of the segment.
    pub segment: u64,
    /// Where the log ends.
    pub offset: u64,
    /// Bytes after it, up to the last one that is not zero. None of them was acknowledged.
    pub bytes: u64,
}

/// What start-up found.
pub struct Recovered {
    /// Segment files.
    pub segments: u64,
    /// What they take on the disk, in bytes.
    pub disk_bytes: u64,
    /// What was cut.
    pub torn_tail: Option<TornTail>,
    /// Bytes written again because no commit mark covered them.
    pub rewritten_bytes: u64,
    /// Damage to headers, and files that are missing between others. Replay finds damage to
    /// records, and what is missing at the front.
    pub damage: Vec<Damage>,
    disk: Arc<dyn Disk>,
    log: Uuid,
    files: Vec<SegmentFile>,
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Records given to the reader.
    pub records: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// Records that the reader set aside this time.
    pub quarantined: Vec<(Position, String)>,
    /// Records passed over because they were set aside before.
    pub skipped: Vec<Position>,
    /// Damaged places, those of `Recovered::damage` not among them; the first 1,000.
    pub damage: Vec<Damage>,
    /// How many there are, and how many bytes they cover.
    pub damages: u64,
    /// Bytes in damaged places.
    pub damage_bytes: u64,
    /// Files that could not be written to `quarantine/`, with why: the bytes stay in the log, and
    /// the next start meets them again.
    pub not_set_aside: Vec<String>,
}

/// Before every record.
const BEGINNING: Position = Position { segment: 0, offset: 0 };

impl Position {
    /// Where in a segment that is not before it the records at or after it begin.
    fn offset_in(self, segment: &SegmentFile) -> u64 {
        let offset = if segment.number == self.segment { self.offset } else { 0 };
        offset.max(SEGMENT_HEADER_BYTES)
    }
}

impl Recovered {
    /// Bytes of log that a replay from `position` reads.
    pub fn bytes_from(&self, position: Option<Position>) -> u64 {
        let start = position.unwrap_or(BEGINNING);
        let files = self.files.iter().filter(|file| file.number >= start.segment);
        let bytes = files.map(|file| file.end_offset().saturating_sub(start.offset_in(file)));
        bytes.fold(0, u64::saturating_add)
    }

    /// As `replay_from`, for a log of which nothing is kept elsewhere.
    pub fn replay(
        &mut self,
        visit: impl FnMut(Position, &[u8]) -> Verdict,
    ) -> Result<ReplayReport, ReplayError> {
        self.replay_from(None, visit)
    }

    /// Gives every durable record at or after `position` to `visit`, once and in append order, but
    /// for those set aside. One record is in memory at a time. Damage is copied to `quarantine/` and
    /// passed over. What lies before `position` is not read and may be missing; without a position
    /// nothing may.
    pub fn replay_from(
        &mut self,
        position: Option<Position>,
        mut visit: impl FnMut(Position, &[u8]) -> Verdict,
    ) -> Result<ReplayReport, ReplayError> {
        let start = position.unwrap_or(BEGINNING);
        let last_segment = self.files.last().map_or(0, |last| last.number);
        if let Some(position) = position
            && position.segment > last_segment
        {
            return Err(ReplayError::Older { last_segment, position });
        }
        let disk = Arc::clone(&self.disk);
        let failed = |file: &str| {
            let file = file.to_owned();
            move |source| ReplayError::Io { file, source }
        };
        let mut report = ReplayReport::default();
        let quarantine = Quarantine::read(disk.as_ref()).map_err(failed(QUARANTINE_FOLDER))?;
        let mut replay = Replay { disk: disk.as_ref(), quarantine, report: &mut report };
        if let Some(damage) = self.missing_front(start) {
            replay.count(damage);
        }
        for segment in self.files.iter().filter(|segment| segment.number >= start.segment) {
            let offset = start.offset_in(segment);
            replay.segment(segment, offset, &mut visit).map_err(failed(&segment.name))?;
        }
        Ok(report)
    }

    /// What is missing between `start` and the first segment. Of several segments only the last one
    /// is known, from the header of the first that is there.
    fn missing_front(&self, start: Position) -> Option<Damage> {
        let first = self.files.first()?;
        let segment = first.number.checked_sub(1).filter(|last| *last >= start.segment.max(1))?;
        let stated = first.previous.filter(|previous| previous.number == segment);
        let offset = match segment == start.segment {
            true => start.offset.max(SEGMENT_HEADER_BYTES),
            false => SEGMENT_HEADER_BYTES,
        };
        let bytes = stated.map_or(0, |previous| previous.end.saturating_sub(offset));
        let nothing_missing = segment == start.segment && stated.is_some() && bytes == 0;
        let kind = DamageKind::Missing;
        (!nothing_missing).then_some(Damage { segment, offset, bytes, kind })
    }

    pub(crate) fn log_uuid(&self) -> Uuid {
        self.log
    }

    /// The end of the log, for the segment after it to state.
    pub(crate) fn last(&self) -> Option<Previous> {
        let last = self.files.last()?;
        let End::Stated(end) = last.end else { return None };
        Some(Previous { uuid: last.uuid.unwrap_or(Uuid([0; 16])), number: last.number, end })
    }
}

/// Finds the end of the log and makes everything before it durable.
pub(crate) fn recover(disk: Arc<dyn Disk>) -> Result<Recovered, OpenError> {
    let chain = read_chain(disk.as_ref())?;
    let failed = |source| OpenError::Io { file: "the log's folder".to_owned(), source };
    // A name seen here may not be durable yet, and what follows relies on it.
    disk.sync_folder("").map_err(failed)?;
    for name in &chain.unfinished {
        disk.remove(name).map_err(failed)?;
    }
    let Chain { mut segments, damage, .. } = chain;
    let log = match segments.iter().find_map(|segment| segment.log) {
        Some(log) => log,
        None => disk.random_uuid().map_err(failed)?,
    };
    let disk_bytes = segments.iter().map(|segment| segment.file_bytes).sum();
    let mut torn_tail = None;
    let mut rewritten_bytes = 0;
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.iter_mut().enumerate() {
        if segment.end != End::Open {
            continue;
        }
        let found = find_end(disk.as_ref(), segment, at == last)?;
        segment.end = End::Stated(found.end);
        torn_tail = found.torn_tail.or(torn_tail);
        rewritten_bytes += found.rewritten_bytes;
    }
    Ok(Recovered {
        segments: segments.len() as u64,
        disk_bytes,
        torn_tail,
        rewritten_bytes,
        damage,
        disk,
        log,
        files: segments,
    })
}

struct FoundEnd {
    end: u64,
    torn_tail: Option<TornTail>,
    rewritten_bytes: u64,
}

/// The end of a segment that no successor states: the last one, or one before a lost header.
fn find_end(disk: &dyn Disk, segment: &SegmentFile, is_last: bool) -> Result<FoundEnd, OpenError> {
    let failed = |source| OpenError::Io { file: segment.name.clone(), source };
    let Some(seal) = segment.seal() else {
        // Without its uuid nothing in it can be told from noise. Replay sets all of it aside.
        return Ok(FoundEnd { end: segment.file_bytes, torn_tail: None, rewritten_bytes: 0 });
    };
    let file = disk.open(&segment.name).map_err(failed)?;
    let mut scan = Scan::new(file.as_ref(), seal, End::Open).map_err(failed)?;
    let mut torn_tail = None;
    while let Some(item) = scan.next().map_err(failed)? {
        if let Item::Torn { offset, bytes } = item {
            torn_tail = Some(TornTail { segment: segment.number, offset, bytes });
        }
    }
    let unmarked = scan.synced_end()..scan.records_end();
    // A closing mark stays outside: nobody knows whether it was synced.
    let end = unmarked.start.max(unmarked.end);
    let unreadable_end = scan.unreadable_end();
    if is_last && unreadable_end > end {
        return Err(OpenError::Unreadable { file: segment.name.clone(), unreadable_end });
    }
    if !unmarked.is_empty() {
        rewrite(file.as_ref(), unmarked.start, unmarked.end).map_err(failed)?;
    }
    let rewritten_bytes = unmarked.end.saturating_sub(unmarked.start);
    Ok(FoundEnd { end, torn_tail, rewritten_bytes })
}

/// Writes a range of a file with the bytes it has and syncs it. Each sector holds the same bytes
/// before, during and after, so a power cut on the way changes nothing.
fn rewrite(file: &dyn DiskFile, start: u64, end: u64) -> io::Result<()> {
    let mut at = start;
    let mut buffer = Vec::new();
    while at < end {
        buffer.resize((end - at).min(REWRITE_BYTES) as usize, 0);
        if file.read_at(at, &mut buffer)? != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(file, at, &buffer)?;
        at += buffer.len() as u64;
    }
    file.sync_data()
}

/// A replay on its way.
struct Replay<'a> {
    disk: &'a dyn Disk,
    quarantine: Quarantine,
    report: &'a mut ReplayReport,
}

impl Replay<'_> {
    fn segment(
        &mut self,
        segment: &SegmentFile,
        offset: u64,
        visit: &mut impl FnMut(Position, &[u8]) -> Verdict,
    ) -> io::Result<()> {
        let file = self.disk.open(&segment.name)?;
        let number = segment.number;
        let Some((uuid, seal)) = segment.uuid.zip(segment.seal()) else {
            return self.lost_segment(segment, file.as_ref());
        };
        let mut scan = Scan::starting_at(offset, file.as_ref(), seal, segment.end)?;
        while let Some(item) = scan.next()? {
            match item {
                Item::Mark { .. } | Item::Torn { .. } => {}
                Item::Damage { .. } => {
                    if let Some(damage) = item.damage(number, segment.file_bytes) {
                        self.damage(damage, file.as_ref(), uuid);
                    }
                }
                Item::Record { offset } => {
                    let position = Position { segment: number, offset };
                    if self.quarantine.has_record(uuid, offset) {
                        self.report.skipped.push(position);
                        continue;
                    }
                    let payload = scan.payload();
                    self.report.records += 1;
                    self.report.bytes += payload.len() as u64;
                    let Verdict::Quarantine(reason) = visit(position, payload) else { continue };
                    let bytes = scan.at() - offset;
                    let range = Range { file: file.as_ref(), uuid, segment: number, offset, bytes };
                    self.set_aside(range, Set::Record, &reason);
                    self.report.quarantined.push((position, reason));
                }
            }
        }
        Ok(())
    }

    /// A segment whose header is lost in both copies and that no successor names.
    fn lost_segment(&mut self, segment: &SegmentFile, file: &dyn DiskFile) -> io::Result<()> {
        let bytes = segment.file_bytes;
        let kind = DamageKind::Header;
        // It has no uuid; its number takes that place in the name of the copy.
        let mut uuid = Uuid([0; 16]);
        uuid.0.split_at_mut(8).1.copy_from_slice(&segment.number.to_be_bytes());
        self.damage(Damage { segment: segment.number, offset: 0, bytes, kind }, file, uuid);
        Ok(())
    }

    fn damage(&mut self, damage: Damage, file: &dyn DiskFile, uuid: Uuid) {
        let Damage { segment, offset, bytes, .. } = damage;
        tracing::error!("the log is damaged: {damage}");
        let range = Range { file, uuid, segment, offset, bytes };
        self.set_aside(range, Set::Damage, &damage.kind.to_string());
        self.count(damage);
    }

    fn count(&mut self, damage: Damage) {
        let Damage { bytes, .. } = damage;
        self.report.damages += 1;
        self.report.damage_bytes += bytes;
        if self.report.damage.len() < DAMAGE_LISTED_MAX {
            self.report.damage.push(damage);
        }
    }

    fn set_aside(&mut self, range: Range<'_>, set: Set, reason: &str) {
        let Err(error) = self.quarantine.set_aside(self.disk, range, set, reason) else { return };
        let Range { segment, offset, .. } = range;
        tracing::error!(%error, "segment {segment}, offset {offset}: not set aside");
        if self.report.not_set_aside.len() < DAMAGE_LISTED_MAX {
            self.report.not_set_aside.push(format!("segment {segment}, offset {offset}: {error}"));
        }
    }
}
