//! The segments of a log, in order, each with where it ends.
//!
//! In: a disk. Out: one `SegmentFile` per segment, linked: the header of a segment says how far the
//! one before it is valid. Refuses files that do not belong together, for mixing two logs is the
//! operator's slip and must not be answered by guessing. Never writes, never reads records.

use std::io;

use thiserror::Error;

use crate::format::{
    HEADER_COPY_OFFSET, HEADER_FIELDS_BYTES, HeaderFault, Previous, SEGMENT_HEADER_BYTES, Seal,
    SegmentHeader, VERSION,
};
use crate::scan::{Damage, DamageKind, End};
use crate::{Disk, Uuid};

/// What a segment's file is called: its number, so that names sort as segments do.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}{SEGMENT_SUFFIX}")
}

const SEGMENT_SUFFIX: &str = ".wal";

/// What a file is called until it is whole.
pub(crate) fn unfinished_name(name: &str) -> String {
    format!("{name}{UNFINISHED_SUFFIX}")
}

pub(crate) const UNFINISHED_SUFFIX: &str = ".new";

/// Why the files of a folder are not one log that this program can read.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The disk failed.
    #[error("{file}: {source}")]
    Io {
        /// Name of the file, or of the folder.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// A later program wrote it.
    #[error("{file} has format version {found}, this program reads {VERSION}: start a newer one")]
    Version {
        /// Name of the segment's file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// A later program wrote it, with something that must not be ignored.
    #[error("{file} needs features {bits:#x} that this program lacks: start a newer one")]
    MustUnderstand {
        /// Name of the segment's file.
        file: String,
        /// Its must-understand bits.
        bits: u32,
    },
    /// The name is another segment's.
    #[error("{file} is segment {found} by its header: give it back its name, or move it away")]
    Misnamed {
        /// Name of the segment's file.
        file: String,
        /// The number in its header.
        found: u64,
    },
    /// It is another log's.
    #[error("{file} belongs to log {found}, those before it to log {expected}: move it away")]
    Foreign {
        /// Name of the segment's file.
        file: String,
        /// The log it belongs to.
        found: Uuid,
        /// The log of the segments before it.
        expected: Uuid,
    },
    /// It continues another segment than the one that is there, as after restoring an old copy.
    #[error(
        "{file} continues segment {number} with uuid {expected}, the one here has uuid {found}: \
         the folder mixes two histories of one log, move one of them away"
    )]
    Forked {
        /// Name of the segment's file.
        file: String,
        /// Number of the segment it continues.
        number: u64,
        /// Uuid of the segment it continues.
        expected: Uuid,
        /// Uuid of the segment that is there.
        found: Uuid,
    },
}

/// A segment as its header and its neighbours describe it.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) file_bytes: u64,
    /// `None` if its header is lost and no successor names it.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) log: Option<Uuid>,
    pub(crate) previous: Option<Previous>,
    pub(crate) end: End,
}

impl SegmentFile {
    /// Where its records end, or may.
    pub(crate) fn end_offset(&self) -> u64 {
        match self.end {
            End::Stated(end) => end,
            End::Open => self.file_bytes,
        }
    }

    pub(crate) fn seal(&self) -> Option<Seal> {
        self.uuid.map(Seal::new)
    }
}

/// The segments of a folder, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) segments: Vec<SegmentFile>,
    /// Headers and whole files that are damaged.
    pub(crate) damage: Vec<Damage>,
    /// Files that were being made when the program stopped.
    pub(crate) unfinished: Vec<String>,
}

/// How often a look is begun again because a running server removed a segment under it.
const LOOKS_MAX: u32 = 5;

/// Reads the headers of all segments and links them.
pub(crate) fn read_chain(disk: &dyn Disk) -> Result<Chain, ChainError> {
    for _ in 1..LOOKS_MAX {
        match look(disk) {
            Err(ChainError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            looked => return looked,
        }
    }
    look(disk)
}

fn look(disk: &dyn Disk) -> Result<Chain, ChainError> {
    let folder = |source| ChainError::Io { file: "the log's folder".to_owned(), source };
    let mut chain = Chain::default();
    let mut numbers = Vec::new();
    for name in disk.list("").map_err(folder)? {
        if name.ends_with(UNFINISHED_SUFFIX) {
            chain.unfinished.push(name);
            continue;
        }
        let number = name.strip_suffix(SEGMENT_SUFFIX).and_then(|digits| digits.parse().ok());
        if let Some(number) = number
            && name == segment_name(number)
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    for number in numbers {
        let segment = read_segment(disk, number, &mut chain.damage)?;
        chain.segments.push(segment);
    }
    check_log(&chain.segments)?;
    link(&mut chain)?;
    Ok(chain)
}

fn read_segment(
    disk: &dyn Disk,
    number: u64,
    damage: &mut Vec<Damage>,
) -> Result<SegmentFile, ChainError> {
    let name = segment_name(number);
    let failed = |source| ChainError::Io { file: segment_name(number), source };
    let file = disk.open(&name).map_err(failed)?;
    let file_bytes = file.size().map_err(failed)?;
    let mut header = None;
    let mut damaged = Vec::new();
    for offset in [0, HEADER_COPY_OFFSET] {
        let mut bytes = [0; HEADER_FIELDS_BYTES];
        file.read_at(offset, &mut bytes).map_err(failed)?;
        match SegmentHeader::decode(&bytes) {
            Ok(found) => header = Some(found),
            Err(HeaderFault::Damaged) => damaged.push(offset),
            Err(HeaderFault::Version(found)) => {
                return Err(ChainError::Version { file: name, found });
            }
            Err(HeaderFault::MustUnderstand(bits)) => {
                return Err(ChainError::MustUnderstand { file: name, bits });
            }
        }
    }
    for offset in damaged {
        let kind = if header.is_some() { DamageKind::HeaderCopy } else { DamageKind::Header };
        let bytes = HEADER_FIELDS_BYTES as u64;
        damage.push(Damage { segment: number, offset, bytes, kind });
    }
    if let Some(header) = header
        && header.number != number
    {
        return Err(ChainError::Misnamed { file: name, found: header.number });
    }
    Ok(SegmentFile {
        number,
        name,
        file_bytes,
        uuid: header.map(|header| header.uuid),
        log: header.map(|header| header.log),
        previous: header.and_then(|header| header.previous),
        end: End::Open,
    })
}

/// All segments with a header must belong to the log of the first of them.
fn check_log(segments: &[SegmentFile]) -> Result<(), ChainError> {
    let mut expected = None;
    for segment in segments {
        let Some(found) = segment.log else { continue };
        let expected = *expected.get_or_insert(found);
        if found != expected {
            return Err(ChainError::Foreign { file: segment.name.clone(), found, expected });
        }
    }
    Ok(())
}

/// Gives each segment the end that its successor states, and its uuid if its own header is lost.
fn link(chain: &mut Chain) -> Result<(), ChainError> {
    let first = chain.segments.first().map_or(0, |first| first.number);
    let stated: Vec<(String, Previous)> = (chain.segments.iter())
        .filter_map(|segment| Some((segment.name.clone(), segment.previous?)))
        .collect();
    for (file, previous) in stated {
        let number = previous.number;
        if number < first {
            // What stood before the first segment was removed, or is missing: a replay knows from
            // where on it needs the log.
            continue;
        }
        let Ok(at) = chain.segments.binary_search_by_key(&number, |segment| segment.number) else {
            let bytes = previous.end.saturating_sub(SEGMENT_HEADER_BYTES);
            let offset = SEGMENT_HEADER_BYTES;
            let kind = DamageKind::Missing;
            chain.damage.push(Damage { segment: number, offset, bytes, kind });
            continue;
        };
        let Some(segment) = chain.segments.get_mut(at) else { continue };
        let found = *segment.uuid.get_or_insert(previous.uuid);
        if found != previous.uuid {
            return Err(ChainError::Forked { file, number, expected: previous.uuid, found });
        }
        segment.end = End::Stated(previous.end.max(SEGMENT_HEADER_BYTES));
    }
    Ok(())
}
