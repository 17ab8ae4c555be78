//! What lies in a store of catalogs, for tools: nothing is changed, and damage is a line of the
//! report instead of the end of it.

use suyuan_objects::Objects;
use suyuan_wal::Uuid;

use crate::CatalogError;
use crate::change::Entry;
use crate::place::{Folder, Numbered, shards};
use crate::read::{load, read_entry, read_snapshot};
use crate::state::State;

/// A shard's catalog as it lies in the store.
#[derive(Debug)]
pub struct ShardReport {
    /// The shard.
    pub shard: u32,
    /// The state a server would start with, or why it would not start.
    pub state: Result<State, CatalogError>,
    /// Snapshots, oldest first.
    pub snapshots: Vec<SnapshotReport>,
    /// Entries, oldest first.
    pub entries: Vec<EntryReport>,
}

/// A snapshot as it lies in the store.
#[derive(Debug)]
pub struct SnapshotReport {
    /// The last entry that is in it.
    pub number: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was taken, by the store's clock.
    pub modified_unix_nanos: u64,
    /// How many blocks existed, or why it cannot be read.
    pub blocks: Result<usize, CatalogError>,
}

/// An entry as it lies in the store.
#[derive(Debug)]
pub struct EntryReport {
    /// Its number.
    pub number: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified_unix_nanos: u64,
    /// What it says, or why it cannot be read.
    pub content: Result<EntryContent, CatalogError>,
}

/// What an entry says, in numbers. Whether it counts is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryContent {
    /// The process that wrote it.
    pub writer: Uuid,
    /// How many changes that process had committed or tried to, this one included.
    pub sequence: u64,
    /// Logs taken over.
    pub take_overs: usize,
    /// Ranges of logs.
    pub ranges: usize,
    /// Blocks added.
    pub adds: usize,
    /// Blocks removed.
    pub removes: usize,
    /// Erasures.
    pub tombstones: usize,
    /// Blocks forbidden.
    pub forbids: usize,
}

/// Looks at every shard's catalog.
pub fn inspect(objects: &dyn Objects) -> Result<Vec<ShardReport>, CatalogError> {
    shards(objects)?.into_iter().map(|shard| inspect_shard(objects, Folder { shard })).collect()
}

fn inspect_shard(objects: &dyn Objects, folder: Folder) -> Result<ShardReport, CatalogError> {
    let snapshots = folder.snapshots(objects)?.into_iter();
    let entries = folder.entries(objects)?.into_iter();
    Ok(ShardReport {
        shard: folder.shard,
        state: load(objects, folder),
        snapshots: snapshots.filter_map(|found| report_snapshot(objects, folder, found)).collect(),
        entries: entries.filter_map(|found| report_entry(objects, folder, found)).collect(),
    })
}

/// `None`: deleted since it was listed.
fn report_snapshot(
    objects: &dyn Objects,
    folder: Folder,
    found: Numbered,
) -> Option<SnapshotReport> {
    let blocks = read_snapshot(objects, folder, found.number).transpose()?;
    Some(SnapshotReport {
        number: found.number,
        bytes: found.info.bytes,
        modified_unix_nanos: found.info.modified_unix_nanos,
        blocks: blocks.map(|state| state.blocks.len()),
    })
}

/// `None`: deleted since it was listed.
fn report_entry(objects: &dyn Objects, folder: Folder, found: Numbered) -> Option<EntryReport> {
    let entry = read_entry(objects, folder, found.number).transpose()?;
    Some(EntryReport {
        number: found.number,
        bytes: found.info.bytes,
        modified_unix_nanos: found.info.modified_unix_nanos,
        content: entry.map(|entry| EntryContent::of(&entry)),
    })
}

impl EntryContent {
    fn of(entry: &Entry) -> Self {
        Self {
            writer: entry.commit.writer,
            sequence: entry.commit.sequence,
            take_overs: entry.take_overs.len(),
            ranges: entry.change.ranges.len(),
            adds: entry.change.adds.len(),
            removes: entry.change.removes.len(),
            tombstones: entry.change.tombstones.len(),
            forbids: entry.change.forbids.len(),
        }
    }
}
