//! One change to one entry, whatever the store answers.
//!
//! ```text
//!   judge ──does not fit──> catch up; still not: Ignored
//!     │ fits
//!   create entry N+1 ──another's is there──> catch up, judge again
//!     │ new, or ours is there
//!   look: has a snapshot reached N+1?
//!     │ no: counts            └─yes──> read anew from it: ours is in it: counts
//!                                      it is not: we slept for a day, nobody reads N+1: delete it,
//!                                      judge again
//! ```
//!
//! An unknown answer is settled by creating the same entry again: then either ours is there or
//! another's, also if the first request is still on its way. As long as it is not settled,
//! nothing else is done.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_objects::{Created, ObjectError};

use super::{Catalog, Committed};
use crate::change::{Change, CommitId, Entry, Owner};
use crate::format::{ENTRY_BODY_BYTES_MAX, encode_entry};
use crate::read::newest_snapshot;
use crate::{CatalogError, CommitError};

/// How many numbers are tried for one change while others commit.
const NUMBERS_MAX: u32 = 256;

/// How many times an entry is created to settle an unknown answer, before the caller gets to say
/// how long to wait. The store has waited and tried again each time.
const SETTLES_MAX: u32 = 4;

/// What is being committed.
pub(super) struct Attempts {
    /// Number of the last commit.
    sequence: u64,
    /// A commit whose outcome is unknown.
    open: Option<Open>,
    /// Commits whose callers were told that the outcome is unknown and that turned out to count,
    /// until they ask again.
    landed: VecDeque<Open>,
}

/// Callers who do not ask again are forgotten when so many others wait to be told.
const LANDED_MAX: usize = 16;

impl Attempts {
    pub(super) fn new(sequence: u64) -> Self {
        Self { sequence, open: None, landed: VecDeque::new() }
    }
}

/// A commit that the caller was told to be unknown.
struct Open {
    entry: Entry,
    object: Bytes,
}

/// What is at the number of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// Ours, and it counts.
    Landed,
    /// Another's, now and for ever.
    Taken,
}

/// Why that is not known.
enum PlaceError {
    /// Nothing was written.
    NotWritten(CatalogError),
    /// Ours may be there, or come to be there.
    Unknown(CatalogError),
}

impl Catalog {
    pub(super) fn commit_entry(
        &self,
        take_overs: Vec<Owner>,
        change: Change,
    ) -> Result<Committed, CommitError> {
        let mut attempts = self.attempts();
        if let Err(error) = self.settle(&mut attempts) {
            let is_same = attempts.open.as_ref().filter(|open| open.is(&take_overs, &change));
            return Err(match is_same {
                Some(open) => CommitError::Unknown { number: open.entry.number, source: error },
                None => CommitError::Store(error),
            });
        }
        let is_same = |open: &Open| open.is(&take_overs, &change);
        if let Some(at) = attempts.landed.iter().position(is_same)
            && let Some(landed) = attempts.landed.remove(at)
        {
            return Ok(Committed { number: landed.entry.number, state: self.state() });
        }
        attempts.sequence = attempts.sequence.saturating_add(1);
        let commit = CommitId { writer: self.options.writer, sequence: attempts.sequence };
        for _ in 0..NUMBERS_MAX {
            let state = self.state();
            let entry = Entry {
                shard: self.options.shard,
                number: state.number + 1,
                commit,
                take_overs: take_overs.clone(),
                change: change.clone(),
            };
            if let Err(why) = state.judge(&entry) {
                if self.catch_up().map_err(CommitError::Store)?.number == state.number {
                    return Err(CommitError::Ignored(why));
                }
                continue;
            }
            let number = entry.number;
            let object = encode_entry(&entry).map_err(|error| CommitError::TooLarge {
                bytes: error.0,
                bytes_max: ENTRY_BODY_BYTES_MAX,
            })?;
            match self.place(&entry, &object, WasTried::No) {
                Ok(Placed::Landed) => return Ok(Committed { number, state: self.state() }),
                Ok(Placed::Taken) => {}
                Err(PlaceError::NotWritten(source)) => return Err(CommitError::Store(source)),
                Err(PlaceError::Unknown(source)) => {
                    attempts.open = Some(Open { entry, object });
                    return Err(CommitError::Unknown { number, source });
                }
            }
            self.catch_up().map_err(CommitError::Store)?;
        }
        Err(CommitError::Busy { tries: NUMBERS_MAX })
    }

    /// Finds out what became of a commit whose outcome is unknown.
    pub(super) fn settle(&self, attempts: &mut Attempts) -> Result<(), CatalogError> {
        let Some(open) = attempts.open.take() else { return Ok(()) };
        match self.place(&open.entry, &open.object, WasTried::Yes) {
            Ok(Placed::Landed) => {
                attempts.landed.truncate(LANDED_MAX - 1);
                attempts.landed.push_front(open);
                Ok(())
            }
            Ok(Placed::Taken) => Ok(()),
            Err(PlaceError::NotWritten(source) | PlaceError::Unknown(source)) => {
                let number = open.entry.number;
                attempts.open = Some(open);
                Err(CatalogError::Unsettled { number, source: Box::new(source) })
            }
        }
    }

    /// Puts an entry that counts after the present state at its number, and takes it into the
    /// state.
    fn place(
        &self,
        entry: &Entry,
        object: &Bytes,
        was_tried: WasTried,
    ) -> Result<Placed, PlaceError> {
        let objects = self.objects.as_ref();
        let number = entry.number;
        let path = self.folder.entry(number);
        let is_ours = match self.create(&path, object, was_tried)? {
            Created::New => true,
            Created::Exists => {
                let found = objects.get(&path).map_err(unknown)?;
                found.is_some_and(|found| found == *object)
            }
        };
        // Invariant: what stands at a number that no snapshot has reached stands there for ever.
        let newest = newest_snapshot(objects, self.folder).map_err(PlaceError::Unknown)?;
        if newest >= number {
            return self.place_behind_snapshot(entry, &path);
        }
        if !is_ours {
            return Ok(Placed::Taken);
        }
        let mut written_unix_nanos = 0;
        if entry.needs_time() {
            let info = objects.head(&path).map_err(unknown)?;
            let absent = || PlaceError::Unknown(ObjectError::Absent { path: path.clone() }.into());
            written_unix_nanos = info.ok_or_else(absent)?.modified_unix_nanos;
        }
        let mut state = self.state();
        let advanced = Arc::make_mut(&mut state).advance(entry.clone(), written_unix_nanos);
        assert_eq!(advanced, Ok(()), "an entry is written only if it counts");
        self.publish(state);
        Ok(Placed::Landed)
    }

    /// A snapshot has reached the number: the entry counts if the snapshot has it, and otherwise
    /// stands where nobody reads.
    fn place_behind_snapshot(&self, entry: &Entry, path: &str) -> Result<Placed, PlaceError> {
        let state = self.reload().map_err(PlaceError::Unknown)?;
        let last = state.writers.get(&entry.commit.writer);
        if last.is_some_and(|last| last.sequence >= entry.commit.sequence) {
            return Ok(Placed::Landed);
        }
        tracing::warn!(
            shard = self.options.shard,
            number = entry.number,
            "the entry came after its time, trying again"
        );
        if let Err(error) = self.objects.delete(path) {
            // Maintenance deletes it later.
            tracing::debug!(%error, "an entry that nobody reads stays");
        }
        Ok(Placed::Taken)
    }

    /// Creates the object until the store says something certain.
    fn create(
        &self,
        path: &str,
        object: &Bytes,
        was_tried: WasTried,
    ) -> Result<Created, PlaceError> {
        let mut was_tried = was_tried;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.objects.create(path, object.clone()) {
                Ok(created) => return Ok(created),
                Err(error @ ObjectError::Unsettled { .. }) if tries >= SETTLES_MAX => {
                    return Err(PlaceError::Unknown(error.into()));
                }
                Err(ObjectError::Unsettled { .. }) => was_tried = WasTried::Yes,
                Err(error) if was_tried == WasTried::Yes => {
                    return Err(PlaceError::Unknown(error.into()));
                }
                Err(error) => return Err(PlaceError::NotWritten(error.into())),
            }
        }
    }
}

/// Whether the entry may have been written by an earlier call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WasTried {
    No,
    Yes,
}

impl Open {
    fn is(&self, take_overs: &[Owner], change: &Change) -> bool {
        self.entry.take_overs == take_overs && self.entry.change == *change
    }
}

fn unknown(error: ObjectError) -> PlaceError {
    PlaceError::Unknown(error.into())
}
