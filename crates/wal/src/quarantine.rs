//! Files of their own for bytes that no replay gives out: damage, and records no reader can take.
//!
//! In: bytes of a segment and a reason. Out: `quarantine/<segment uuid>-<offset>.record` or
//! `.damage`: some lines of text that a person can read, an empty line, the bytes. The name alone
//! is what a replay goes by. Nothing here is ever removed by the log.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;

use thiserror::Error;

use crate::chain::{ChainError, UNFINISHED_SUFFIX, read_chain, unfinished_name};
use crate::disk::write_all_at;
use crate::format::Kind;
use crate::{Disk, DiskFile, Position, RECORD_HEADER_BYTES, Uuid};

/// The folder, inside the log's.
pub(crate) const QUARANTINE_FOLDER: &str = "quarantine";

/// The longest reason that is kept; the rest is cut.
const REASON_CHARS_MAX: usize = 4096;

/// How much is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Why a record could not be set aside.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// No record begins at that position.
    #[error("no record begins at {0}")]
    NoRecord(Position),
    /// The disk failed, or is full.
    #[error("cannot set the record at {position} aside: {source}")]
    Io {
        /// The record.
        position: Position,
        /// What the disk said.
        source: io::Error,
    },
    /// The log's folder cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// What is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Record,
    Damage,
}

/// A range of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Range<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) uuid: Uuid,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The files that are there.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    names: HashSet<String>,
}

impl Quarantine {
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let names = disk.list(QUARANTINE_FOLDER)?.into_iter();
        let finished = names.filter(|name| !name.ends_with(UNFINISHED_SUFFIX));
        Ok(Self { names: finished.collect() })
    }

    /// Whether the record there is not to be given out.
    pub(crate) fn has_record(&self, uuid: Uuid, offset: u64) -> bool {
        !self.names.is_empty() && self.names.contains(&file_name(uuid, offset, Set::Record))
    }

    /// Names of the files, sorted.
    pub(crate) fn into_names(self) -> Vec<String> {
        let mut names: Vec<String> = self.names.into_iter().collect();
        names.sort_unstable();
        names
    }

    /// Copies a range into a file of its own, unless it was before. Durable on return.
    pub(crate) fn set_aside(
        &mut self,
        disk: &dyn Disk,
        range: Range<'_>,
        set: Set,
        reason: &str,
    ) -> io::Result<()> {
        let name = file_name(range.uuid, range.offset, set);
        if self.names.contains(&name) {
            return Ok(());
        }
        disk.create_folder(QUARANTINE_FOLDER)?;
        disk.sync_folder("")?;
        let target = format!("{QUARANTINE_FOLDER}/{name}");
        let source = unfinished_name(&target);
        let written = write_copy(disk, &source, range, reason)
            .and_then(|()| disk.rename(&source, &target))
            .and_then(|()| disk.sync_folder(QUARANTINE_FOLDER));
        if let Err(error) = written {
            let _ = disk.remove(&source);
            return Err(error);
        }
        self.names.insert(name);
        Ok(())
    }
}

/// Sets one record of the log aside.
pub(crate) fn set_record_aside(
    disk: &dyn Disk,
    position: Position,
    reason: &str,
) -> Result<(), QuarantineError> {
    let Position { segment, offset } = position;
    let chain = read_chain(disk)?;
    let found = (chain.segments.iter()).find(|found| found.number == segment);
    let Some((found, uuid)) = found.and_then(|found| Some((found, found.uuid?))) else {
        return Err(QuarantineError::NoRecord(position));
    };
    let failed = |source| QuarantineError::Io { position, source };
    let file = disk.open(&found.name).map_err(failed)?;
    let mut bytes = [0; RECORD_HEADER_BYTES as usize];
    file.read_at(offset, &mut bytes).map_err(failed)?;
    let header = found.seal().and_then(|seal| seal.decode(offset, &bytes));
    let Some(header) = header.filter(|header| header.kind == Kind::Record) else {
        return Err(QuarantineError::NoRecord(position));
    };
    let bytes = header.record_bytes();
    let range = Range { file: file.as_ref(), uuid, segment, offset, bytes };
    let mut quarantine = Quarantine::read(disk).map_err(failed)?;
    quarantine.set_aside(disk, range, Set::Record, reason).map_err(failed)
}

fn file_name(uuid: Uuid, offset: u64, set: Set) -> String {
    let suffix = match set {
        Set::Record => "record",
        Set::Damage => "damage",
    };
    format!("{uuid}-{offset:016x}.{suffix}")
}

fn write_copy(disk: &dyn Disk, path: &str, range: Range<'_>, reason: &str) -> io::Result<()> {
    let head = head(range, reason);
    let size = range.file.size()?;
    let bytes = range.bytes.min(size.saturating_sub(range.offset));
    let copy = disk.create(path, head.len() as u64 + bytes)?;
    write_all_at(copy.as_ref(), 0, head.as_bytes())?;
    let mut buffer = vec![0; COPY_BYTES.min(bytes as usize)];
    let mut copied = 0;
    while copied < bytes {
        let step = buffer.len().min((bytes - copied) as usize);
        let part = buffer.split_at_mut(step).0;
        // What the disk cannot read cannot be kept either; its place in the copy stays zero.
        if range.file.read_at(range.offset + copied, part).is_ok() {
            write_all_at(copy.as_ref(), head.len() as u64 + copied, part)?;
        }
        copied += step as u64;
    }
    copy.sync_data()
}

fn head(range: Range<'_>, reason: &str) -> String {
    let Range { uuid, segment, offset, bytes, .. } = range;
    let one_line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    let reason: String = one_line.take(REASON_CHARS_MAX).collect();
    let mut head = String::from("suyuan quarantine 1\n");
    let _ = writeln!(head, "segment {segment} {uuid}");
    let _ = writeln!(head, "offset {offset}");
    let _ = writeln!(head, "bytes {bytes}");
    let _ = writeln!(head, "reason {reason}\n");
    head
}
