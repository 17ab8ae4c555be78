//! What one entry of the catalog changes.
//!
//! In: what a seal, a compaction, retention or an erasure wants. Out: plain data that an entry
//! holds. Whether it counts is decided by [`State::judge`](crate::State), never here.

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_wal::{Position, Uuid};

/// All that one entry does. It counts wholly or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Whose right this is done by: if one of these owners is no longer the log's owner, the entry
    /// is ignored. A range of a log that was ever taken over needs its owner here.
    pub owners: Vec<Owner>,
    /// What of the logs is now in blocks.
    pub ranges: Vec<LogRange>,
    /// Blocks that exist from now on. Their files are durable before the commit.
    pub adds: Vec<NewBlock>,
    /// Blocks that exist no longer. They must exist, so that of two compactions of one block
    /// only one counts.
    pub removes: Vec<Uuid>,
    /// What no scan may find any more.
    pub tombstones: Vec<Tombstone>,
    /// Blocks that are not in the catalog and shall never be: comes before the files of an
    /// orphan are deleted, because its writer may only be slow.
    pub forbids: Vec<Uuid>,
    /// What the catalog need not remember any more.
    pub forgets: Forgets,
}

/// What the catalog need not remember any more. What it does not remember is passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forgets {
    /// Removed blocks whose files are deleted.
    pub removed: Vec<Uuid>,
    /// Forbidden blocks whose files are deleted and whose writer is known to have ended.
    pub forbidden: Vec<Uuid>,
    /// Tombstones that no block holds anything for.
    pub tombstones: Vec<TombstoneId>,
}

/// The right to commit for a log, until somebody else takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The log.
    pub log: Uuid,
    /// How many times the log was taken over, this time included.
    pub epoch: u64,
}

/// A part of a log, from a record on, up to but without another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The log.
    pub log: Uuid,
    /// Where the part begins. Must be where the log's last range ended.
    pub from: Position,
    /// Where it ends; not before `from`.
    pub to: Position,
}

/// A block that comes to exist.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBlock {
    /// Its name, never given out before.
    pub id: Uuid,
    /// What there is to know about it. Not looked into here.
    pub meta: Bytes,
}

/// An erasure: of a trace, or of all that a tenant has. It is about what came before it and does
/// not touch what is ingested later.
#[derive(Clone, Debug, PartialEq)]
pub struct Tombstone {
    /// Whose data.
    pub tenant: Tenant,
    /// The trace; `None`: all traces.
    pub trace: Option<TraceId>,
    /// For each log known at that time, the first record that is spared.
    pub before: Vec<(Uuid, Position)>,
    /// What was received before this time, in nanoseconds since 1970, is erased: for what came by
    /// a log that `before` does not name.
    pub ingested_before_unix_nanos: u64,
}

/// Which tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TombstoneId {
    /// Number of the entry that holds it.
    pub number: u64,
    /// Its place in the entry, from 0.
    pub index: u32,
}

/// An entry of the catalog: a change, with what makes it one of a kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) shard: u32,
    /// Its place among all entries, from 1.
    pub(crate) number: u64,
    pub(crate) commit: CommitId,
    /// Logs that have a new owner from now on.
    pub(crate) take_overs: Vec<Owner>,
    pub(crate) change: Change,
}

impl Entry {
    /// Whether the time of the entry says when something may be deleted.
    pub(crate) fn needs_time(&self) -> bool {
        !self.change.removes.is_empty() || !self.change.forbids.is_empty()
    }
}

/// Tells a commit from every other. A writer's commits have growing sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitId {
    pub(crate) writer: Uuid,
    pub(crate) sequence: u64,
}
