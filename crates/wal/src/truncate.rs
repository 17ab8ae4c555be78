//! Takes segments that nobody needs any more from the front of the log.
//!
//! In: a position; every record before it is kept elsewhere. Out: fewer files, whole ones, the
//! oldest first, each gone durably before the next: whenever the power goes, what is left is the end
//! of the log without a gap. Never removes the last segment, whose header says which log this is and
//! at which number it goes on, and never touches `quarantine/`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use crate::chain::{ChainError, SegmentFile, read_chain};
use crate::log::Counters;
use crate::scan::End;
use crate::{Disk, Position};

/// What a truncation removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Segment files.
    pub segments: u64,
    /// What they took on the disk, in bytes.
    pub bytes: u64,
}

/// Why a truncation stopped. What it did not remove the next one does.
#[derive(Debug, Error)]
pub enum TruncateError {
    /// The log's folder cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A file could not be removed.
    #[error("cannot remove {file} from the log: {source}")]
    Remove {
        /// Name of the segment's file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Files were removed, but a power cut may bring the last of them back.
    #[error("the log's folder could not be synced: {source}")]
    Sync {
        /// What the disk said.
        source: io::Error,
    },
}

/// Removes the front of a log that may be written meanwhile. Clones take turns.
#[derive(Clone)]
pub struct Truncator {
    disk: Arc<dyn Disk>,
    counters: Arc<Counters>,
    turn: Arc<Mutex<()>>,
}

impl Truncator {
    pub(crate) fn new(disk: Arc<dyn Disk>, counters: Arc<Counters>) -> Self {
        Self { disk, counters, turn: Arc::default() }
    }

    /// Removes the segments all of whose records lie before `before`: with the position just behind
    /// a record ([`Position::after_record`]), up to that record. Waits for the disk.
    ///
    /// Records before `before` may stay, for a segment goes as a whole; none at or after it goes.
    pub fn truncate(&self, before: Position) -> Result<Truncated, TruncateError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        truncate(self.disk.as_ref(), &self.counters, before)
    }
}

pub(crate) fn truncate(
    disk: &dyn Disk,
    counters: &Counters,
    before: Position,
) -> Result<Truncated, TruncateError> {
    let chain = read_chain(disk)?;
    let sync_names = || {
        let failed = |source| TruncateError::Sync { source };
        disk.sync_folder("").map_err(failed)
    };
    let mut truncated = Truncated::default();
    for segment in removable(&chain.segments, before) {
        let failed = |source| TruncateError::Remove { file: segment.name.clone(), source };
        let remove = || {
            let bytes = disk.open(&segment.name)?.size()?;
            disk.remove(&segment.name)?;
            Ok(bytes)
        };
        // The removal of the segment before it, also one that an earlier call left unsynced.
        sync_names()?;
        truncated.bytes += counters.files_shrink(1, remove).map_err(failed)?;
        truncated.segments += 1;
    }
    sync_names()?;
    Ok(truncated)
}

/// The segments before `before`, as long as a later one still says which log this is.
fn removable(segments: &[SegmentFile], before: Position) -> &[SegmentFile] {
    let last = segments.iter().rposition(|segment| segment.log.is_some()).unwrap_or(0);
    let segments = segments.split_at(last).0;
    let is_before = |segment: &SegmentFile| match segment.end {
        End::Stated(end) => Position { segment: segment.number, offset: end } <= before,
        End::Open => segment.number < before.segment,
    };
    let n_before = segments.iter().take_while(|segment| is_before(segment)).count();
    segments.split_at(n_before).0
}
