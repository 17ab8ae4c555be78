//! The catalog by example: what is committed, what is ignored, what a restart finds. Answers that
//! get lost, histories at random and power cuts have files of their own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_wal::{Position, Uuid};

use crate::*;

mod answers;
mod bytes_of;
mod gated;
mod histories;
mod keeping;
mod power;
mod random;
mod rules;
mod turnstile;

const DAY_NANOS: u64 = 24 * 3600 * 1_000_000_000;

fn options(writer: u8) -> Options {
    Options {
        shard: 0,
        writer: uuid(0xee, writer),
        snapshot_every: 4,
        entry_keep: Options::ENTRY_KEEP,
    }
}

fn open(objects: &MemoryObjects, writer: u8) -> Catalog {
    Catalog::open(Arc::new(objects.clone()), options(writer)).unwrap()
}

fn uuid(kind: u8, number: u8) -> Uuid {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[15] = number;
    Uuid(bytes)
}

fn log(number: u8) -> Uuid {
    uuid(0x10, number)
}

fn block(number: u8) -> Uuid {
    uuid(0xb0, number)
}

fn at(offset: u64) -> Position {
    Position { segment: 1, offset }
}

fn range(log: Uuid, from: u64, to: u64) -> LogRange {
    LogRange { log, from: at(from), to: at(to) }
}

fn new_block(number: u8) -> NewBlock {
    NewBlock { id: block(number), meta: Bytes::from(format!("meta of block {number}")) }
}

/// A seal: a range of a log becomes a block.
fn seal(log: Uuid, from: u64, to: u64, number: u8) -> Change {
    Change {
        ranges: vec![range(log, from, to)],
        adds: vec![new_block(number)],
        ..Change::default()
    }
}

/// A change of blocks alone.
fn add(number: u8) -> Change {
    Change { adds: vec![new_block(number)], ..Change::default() }
}

fn remove(number: u8) -> Change {
    Change { removes: vec![block(number)], ..Change::default() }
}

fn tombstone(trace: Option<u8>) -> Tombstone {
    Tombstone {
        tenant: Tenant::parse("mall").unwrap(),
        trace: trace.map(|byte| TraceId::from_bytes([byte; 16])),
        before: vec![(log(1), at(20))],
        ingested_before_unix_nanos: 1_767_225_600_000_000_000,
    }
}

/// Why a change is ignored; panics if it is not.
fn ignored(result: Result<Committed, CommitError>) -> Ignored {
    match result {
        Err(CommitError::Ignored(why)) => why,
        other => panic!("not ignored: {other:?}"),
    }
}

/// The last digits of the blocks that exist.
fn blocks(state: &State) -> Vec<u8> {
    state.blocks.keys().map(|id| id.0[15]).collect()
}

#[test]
fn what_one_commits_the_other_reads() {
    let objects = MemoryObjects::new();
    let (a, b) = (open(&objects, 1), open(&objects, 2));
    assert_eq!(*a.state(), State::default());
    let first = a.commit(seal(log(1), 0, 10, 1)).unwrap();
    assert_eq!((first.number, blocks(&first.state)), (1, vec![1]));
    let second = b.commit(seal(log(2), 5, 6, 2)).unwrap();
    assert_eq!((second.number, blocks(&second.state)), (2, vec![1, 2]));
    assert_eq!(blocks(&a.state()), [1], "a reader's state is its own until it asks");
    assert_eq!(a.refresh().unwrap(), second.state);
    let state = open(&objects, 3).state();
    assert_eq!(state, second.state);
    assert_eq!(state.log_end(log(1)), Some(at(10)));
    assert_eq!(state.log_end(log(2)), Some(at(6)));
    assert_eq!(state.log_end(log(3)), None);
    assert_eq!(state.blocks[&block(2)].added, 2);
    assert_eq!(state.blocks[&block(2)].meta, "meta of block 2");
}

#[test]
fn a_compaction_replaces_blocks_whose_files_stay_for_a_while() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    for number in 1..=3 {
        catalog.commit(add(number)).unwrap();
    }
    objects.advance_clock(DAY_NANOS);
    let compaction =
        Change { removes: vec![block(1), block(3)], adds: vec![new_block(9)], ..Change::default() };
    let state = catalog.commit(compaction).unwrap().state;
    assert_eq!(blocks(&state), [2, 9]);
    let grace = Duration::from_mins(16);
    assert_eq!(catalog.deletable(grace).unwrap(), []);
    objects.advance_clock(grace.as_nanos() as u64);
    assert_eq!(catalog.deletable(grace).unwrap(), [], "not longer ago than that");
    objects.advance_clock(1);
    assert_eq!(catalog.deletable(grace).unwrap(), [block(1), block(3)]);
    assert_eq!(open(&objects, 2).deletable(grace).unwrap(), [block(1), block(3)]);

    let forgets = Forgets { removed: vec![block(1), block(7)], ..Forgets::default() };
    let state = catalog.commit(Change { forgets, ..Change::default() }).unwrap().state;
    assert_eq!(state.removed.keys().collect::<Vec<_>>(), [&block(3)]);
    assert_eq!(catalog.deletable(grace).unwrap(), [block(3)]);
}

#[test]
fn an_erasure_has_a_number_by_which_it_is_forgotten() {
    let objects = MemoryObjects::new();
    let catalog = open(&objects, 1);
    catalog.commit(add(1)).unwrap();
    let tombstones = vec![tombstone(None), tombstone(Some(7))];
    let state = catalog.commit(Change { tombstones, ..Change::default() }).unwrap().state;
    let id = |index| TombstoneId { number: 2, index };
    assert_eq!(state.tombstones.keys().collect::<Vec<_>>(), [&id(0), &id(1)]);
    assert_eq!(*state.tombstones[&id(1)], tombstone(Some(7)));
    let forgets = Forgets { tombstones: vec![id(0)], ..Forgets::default() };
    catalog.commit(Change { forgets, ..Change::default() }).unwrap();
    assert_eq!(open(&objects, 2).state().tombstones.keys().collect::<Vec<_>>(), [&id(1)]);
}

#[test]
fn shards_have_catalogs_of_their_own() {
    let objects = MemoryObjects::new();
    let shared: Arc<dyn suyuan_objects::Objects> = Arc::new(objects.clone());
    let shard =
        |shard| Catalog::open(Arc::clone(&shared), Options { shard, ..options(1) }).unwrap();
    let (zero, seven) = (shard(0), shard(7));
    zero.commit(add(1)).unwrap();
    seven.commit(add(2)).unwrap();
    assert_eq!(blocks(&shard(0).state()), [1]);
    assert_eq!(blocks(&shard(7).state()), [2]);
    let reports = inspect(&objects).unwrap();
    assert_eq!(reports.iter().map(|report| report.shard).collect::<Vec<_>>(), [0, 7]);
}
