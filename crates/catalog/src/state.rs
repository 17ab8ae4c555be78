//! What exists after so many entries, and the one rule by which an entry counts.
//!
//! In: entries in the order of their numbers. Out: the state behind each. Every reader and the
//! writer itself judge an entry here, with nothing but the entries before it in hand, so that all
//! of them say the same. No I/O, no clock: times are the store's, of the entry's own object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use suyuan_wal::{Position, Uuid};

use crate::change::{Entry, Forgets, Owner, Tombstone, TombstoneId};

/// Writers of the past that a state remembers, 40 bytes each: every start of a server is one.
/// Beyond them goes the one whose last entry is the oldest.
const WRITERS_MAX: usize = 4096;

/// The catalog as of an entry. Its parts are shared: a copy costs one pointer for each block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Number of the last entry that is in it; 0: there is none yet.
    pub number: u64,
    /// The blocks that exist.
    pub blocks: BTreeMap<Uuid, Arc<Block>>,
    /// How far each log is in blocks, and its epoch.
    pub logs: BTreeMap<Uuid, LogState>,
    /// Erasures that hold.
    pub tombstones: BTreeMap<TombstoneId, Arc<Tombstone>>,
    /// Blocks that exist no longer, but whose files may be read by who holds an older state.
    pub removed: BTreeMap<Uuid, Moment>,
    /// Blocks that never existed and never will.
    pub forbidden: BTreeMap<Uuid, Moment>,
    /// The last commit of each writer that counted.
    pub(crate) writers: BTreeMap<Uuid, WriterState>,
}

/// A block that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name.
    pub id: Uuid,
    /// Number of the entry that added it.
    pub added: u64,
    /// What its writer said about it.
    pub meta: Bytes,
}

/// What the catalog knows about a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// How many times it was taken over.
    pub epoch: u64,
    /// Everything before this record is in blocks; `None`: nothing is yet.
    pub to: Option<Position>,
}

/// When something became so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the entry of this number.
    pub number: u64,
    /// When that entry was written by the clock of the store, in nanoseconds since 1970.
    pub unix_nanos: u64,
}

/// The last commit of a writer that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterState {
    pub(crate) sequence: u64,
    pub(crate) number: u64,
}

/// Why an entry does not count, for anybody and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Another process owns the log.
    #[error("log {log} is at epoch {epoch}, and epoch {claimed} is claimed: it was taken over")]
    Fenced {
        /// The log.
        log: Uuid,
        /// Its epoch.
        epoch: u64,
        /// The epoch that was claimed.
        claimed: u64,
    },
    /// A range of a log that has an owner, by somebody who is not said to be one.
    #[error("log {log} has an owner, and the change does not name it")]
    NoOwner {
        /// The log.
        log: Uuid,
    },
    /// A range that does not begin where the last one ended.
    #[error("log {log} is in blocks up to {expected}, and the range begins at {got}")]
    Gap {
        /// The log.
        log: Uuid,
        /// Where it must begin.
        expected: Position,
        /// Where it begins.
        got: Position,
    },
    /// A range that ends before it begins.
    #[error("the range of log {log} ends before it begins")]
    Backwards {
        /// The log.
        log: Uuid,
    },
    /// A removal of a block that does not exist.
    #[error("block {0} is to be removed and does not exist")]
    BlockGone(Uuid),
    /// An addition or prohibition of a block that exists, or did.
    #[error("block {0} is already known")]
    BlockKnown(Uuid),
    /// An addition of a block that was forbidden.
    #[error("block {0} was forbidden, its files may be deleted")]
    Forbidden(Uuid),
    /// A commit that counted before.
    #[error("writer {writer} has committed {sequence} or a later change before")]
    Repeated {
        /// The writer.
        writer: Uuid,
        /// The number of its commit.
        sequence: u64,
    },
}

impl State {
    /// The epoch of a log; 0: nobody took it over yet.
    pub fn epoch(&self, log: Uuid) -> u64 {
        self.logs.get(&log).map_or(0, |log| log.epoch)
    }

    /// Everything before this record of a log is in blocks; `None`: nothing is.
    pub fn log_end(&self, log: Uuid) -> Option<Position> {
        self.logs.get(&log)?.to
    }

    /// Whether an entry counts as the next one after this state.
    pub(crate) fn judge(&self, entry: &Entry) -> Result<(), Ignored> {
        let commit = entry.commit;
        if self.writers.get(&commit.writer).is_some_and(|last| commit.sequence <= last.sequence) {
            return Err(Ignored::Repeated { writer: commit.writer, sequence: commit.sequence });
        }
        self.judge_owners(entry)?;
        self.judge_ranges(entry)?;
        self.judge_blocks(entry)
    }

    fn judge_owners(&self, entry: &Entry) -> Result<(), Ignored> {
        let fenced = |owner: &Owner| Ignored::Fenced {
            log: owner.log,
            epoch: self.epoch(owner.log),
            claimed: owner.epoch,
        };
        for owner in &entry.change.owners {
            if owner.epoch != self.epoch(owner.log) {
                return Err(fenced(owner));
            }
        }
        let mut taken = BTreeSet::new();
        for owner in &entry.take_overs {
            let is_next = Some(owner.epoch) == self.epoch(owner.log).checked_add(1);
            if !is_next || !taken.insert(owner.log) {
                return Err(fenced(owner));
            }
        }
        Ok(())
    }

    fn judge_ranges(&self, entry: &Entry) -> Result<(), Ignored> {
        let owners = &entry.change.owners;
        let mut ends = BTreeMap::new();
        for range in &entry.change.ranges {
            let log = range.log;
            if self.epoch(log) > 0 && !owners.iter().any(|owner| owner.log == log) {
                return Err(Ignored::NoOwner { log });
            }
            let expected = ends.get(&log).copied().or_else(|| self.log_end(log));
            if let Some(expected) = expected
                && expected != range.from
            {
                return Err(Ignored::Gap { log, expected, got: range.from });
            }
            if range.to < range.from {
                return Err(Ignored::Backwards { log });
            }
            ends.insert(log, range.to);
        }
        Ok(())
    }

    fn judge_blocks(&self, entry: &Entry) -> Result<(), Ignored> {
        let mut removes = BTreeSet::new();
        for id in &entry.change.removes {
            if !self.blocks.contains_key(id) || !removes.insert(*id) {
                return Err(Ignored::BlockGone(*id));
            }
        }
        let is_known = |id| self.blocks.contains_key(id) || self.removed.contains_key(id);
        let mut adds = BTreeSet::new();
        for block in &entry.change.adds {
            if self.forbidden.contains_key(&block.id) {
                return Err(Ignored::Forbidden(block.id));
            }
            if is_known(&block.id) || !adds.insert(block.id) {
                return Err(Ignored::BlockKnown(block.id));
            }
        }
        match entry.change.forbids.iter().find(|id| is_known(id) || adds.contains(id)) {
            Some(id) => Err(Ignored::BlockKnown(*id)),
            None => Ok(()),
        }
    }

    /// The state behind the next entry. One that does not count only moves the number.
    /// `written_unix_nanos`: when, by the store's clock; needed if [`Entry::needs_time`].
    pub(crate) fn advance(&mut self, entry: Entry, written_unix_nanos: u64) -> Result<(), Ignored> {
        assert_eq!(entry.number, self.number + 1, "entries come one after the other");
        let verdict = self.judge(&entry);
        self.number = entry.number;
        if verdict.is_ok() {
            self.apply(entry, written_unix_nanos);
        }
        verdict
    }

    fn apply(&mut self, entry: Entry, unix_nanos: u64) {
        let number = entry.number;
        let moment = Moment { number, unix_nanos };
        let change = entry.change;
        for owner in entry.take_overs {
            self.logs.entry(owner.log).or_default().epoch = owner.epoch;
        }
        for range in change.ranges {
            self.logs.entry(range.log).or_default().to = Some(range.to);
        }
        for id in change.removes {
            self.blocks.remove(&id);
            self.removed.insert(id, moment);
        }
        for block in change.adds {
            let block = Block { id: block.id, added: number, meta: block.meta };
            self.blocks.insert(block.id, Arc::new(block));
        }
        for (index, tombstone) in (0..).zip(change.tombstones) {
            self.tombstones.insert(TombstoneId { number, index }, Arc::new(tombstone));
        }
        for id in change.forbids {
            self.forbidden.entry(id).or_insert(moment);
        }
        self.forget(&change.forgets);
        let writer = WriterState { sequence: entry.commit.sequence, number };
        self.writers.insert(entry.commit.writer, writer);
        self.forget_a_writer();
    }

    fn forget(&mut self, forgets: &Forgets) {
        for id in &forgets.removed {
            self.removed.remove(id);
        }
        for id in &forgets.forbidden {
            self.forbidden.remove(id);
        }
        for id in &forgets.tombstones {
            self.tombstones.remove(id);
        }
    }

    fn forget_a_writer(&mut self) {
        if self.writers.len() <= WRITERS_MAX {
            return;
        }
        let oldest = self.writers.iter().min_by_key(|(_, writer)| writer.number);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.writers.remove(&id);
        }
    }
}
