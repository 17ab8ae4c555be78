//! Histories at random: two to four servers on one store that fails, each call of each in any
//! order, with days of sleep between any two of them, and servers killed and started again.
//!
//! Everything that is ever written is kept aside, and at the end the entries are judged one after
//! the other, without snapshots and without deletions. Then:
//! - every state that anybody ever saw is the state after that many entries;
//! - every row of a log that is in blocks is there once, without a hole;
//! - what was said to be committed is in the entry of that number and counts;
//! - what was said to have failed is nowhere, also when requests on their way arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use suyuan_objects::Objects;
use suyuan_objects::faulty::{FaultyObjects, MemoryObjects, Plan};

use super::gated::{Gate, GatedObjects, Moment as When};
use super::random::Random;
use super::turnstile::Turnstile;
use super::*;
use crate::change::Entry;
use crate::format::decode_entry;
use crate::place::Folder;
use crate::read::newest_snapshot;

const SEEDS: u64 = 1500;
const ACTIONS_MAX: u64 = 16;
const FAULT_ONE_IN: u64 = 14;
const FOLDER: Folder = Folder { shard: 0 };
const HOUR_NANOS: u64 = 3600 * 1_000_000_000;

/// What a server was told about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing yet, or that it is unknown, and it did not ask again.
    Open,
    Committed(u64),
    Failed,
}

/// How often what happened, to see that it happens.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// What all servers of a history share.
struct World {
    store: MemoryObjects,
    /// Whether servers take their logs over. Otherwise only gaps keep them apart.
    is_fenced: bool,
    turnstile: Turnstile,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    /// By the number that is in the change's block or tombstone.
    fates: Vec<Fate>,
    /// Every entry that stood in its time, with the time it was written.
    entries: BTreeMap<u64, (Bytes, u64)>,
    /// Every state that somebody saw.
    states: BTreeMap<u64, Arc<State>>,
    /// All connections to the store, also of servers that were killed: requests may be on their
    /// way.
    connections: Vec<FaultyObjects<MemoryObjects>>,
    tally: Tally,
}

impl World {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps new entries aside.
    fn keep(&self) {
        let newest = newest_snapshot(&self.store, FOLDER).unwrap();
        let mut records = self.records();
        for found in FOLDER.entries(&self.store).unwrap() {
            let object = self.store.get(&found.info.path).unwrap().unwrap();
            match records.entries.get(&found.number) {
                Some((known, _)) if *known == object => {}
                None if newest < found.number => {
                    let kept = (object, found.info.modified_unix_nanos);
                    records.entries.insert(found.number, kept);
                }
                _ => {
                    assert!(newest >= found.number, "entry {} was replaced", found.number);
                    records.tally.count("entry out of its time");
                }
            }
        }
    }

    fn see(&self, state: &Arc<State>) {
        let mut records = self.records();
        let known = records.states.entry(state.number).or_insert_with(|| Arc::clone(state));
        assert_eq!(known, state, "two states of number {}", state.number);
    }
}

/// One server.
struct Server<'a> {
    world: &'a Arc<World>,
    index: usize,
    random: Random,
    catalog: Catalog,
    owner: Option<Owner>,
    open: Option<(Change, Option<usize>)>,
}

/// Connects and reads the catalog, until the store lets it.
fn start(world: &Arc<World>, index: usize, random: &mut Random) -> Catalog {
    let plan = Plan::random(random.next(), FAULT_ONE_IN);
    let connection = FaultyObjects::new(world.store.clone(), plan);
    world.records().connections.push(connection.clone());
    let gate = Gate(Box::new({
        let world = Arc::clone(world);
        move |when, call, _| match (when, call) {
            (When::Before, _) => world.turnstile.wait(index),
            (When::After, "create" | "delete") => world.keep(),
            (When::After, _) => {}
        }
    }));
    let objects = Arc::new(GatedObjects { objects: connection, gate });
    let writer = Uuid(u128::from(random.next()).to_le_bytes());
    let options = Options { writer, snapshot_every: 1 + random.below(6), ..options(0) };
    loop {
        if let Ok(catalog) = Catalog::open(Arc::clone(&objects) as Arc<dyn Objects>, options) {
            return catalog;
        }
    }
}

impl Server<'_> {
    fn run(&mut self) {
        for _ in 0..1 + self.random.below(ACTIONS_MAX) {
            self.act();
            self.world.see(&self.catalog.state());
        }
    }

    fn act(&mut self) {
        if let Some((change, number)) = self.open.take() {
            if self.random.is_one_in(3) {
                let _ = self.catalog.refresh();
            }
            if !self.random.is_one_in(4) {
                return self.commit(change, number);
            }
        }
        let state = self.catalog.state();
        match self.random.below(24) {
            0..6 => self.seal(&state),
            6..10 => self.compact(&state),
            10 => self.erase(),
            11 => self.forbid(&state),
            12 => self.forget(&state),
            13 => self.take_over(),
            14 => self.maintain(),
            15..19 => {
                self.maintain();
                self.world.store.advance_clock(25 * HOUR_NANOS);
                self.maintain();
            }
            19..21 => {
                if let Ok(state) = self.catalog.refresh() {
                    self.world.see(&state);
                }
            }
            21 | 22 => self.world.store.advance_clock(HOUR_NANOS),
            _ => {
                self.world.records().tally.count("restart");
                self.catalog = start(self.world, self.index, &mut self.random);
                self.owner = None;
                self.take_over();
            }
        }
    }

    /// Two servers each take the same log for theirs.
    fn log(&self) -> Uuid {
        log(self.index as u8 / 2)
    }

    fn owners(&self) -> Vec<Owner> {
        self.owner.into_iter().collect()
    }

    fn seal(&mut self, state: &State) {
        let log = self.log();
        let from = state.log_end(log).map_or(0, |end| end.offset);
        let to = from + 1 + self.random.below(3);
        let rows: Vec<Row> = (from..to).map(|offset| (log.0[15], offset)).collect();
        let (number, adds) = self.block(&rows);
        let ranges = vec![range(log, from, to)];
        let change = Change { owners: self.owners(), ranges, adds, ..Change::default() };
        self.commit(change, Some(number));
    }

    fn compact(&mut self, state: &State) {
        let mut removes = Vec::new();
        let mut found = Vec::new();
        for block in state.blocks.values() {
            if removes.len() < 3 && self.random.is_one_in(2) {
                removes.push(block.id);
                found.extend(rows(block));
            }
        }
        let (number, adds) = self.block(&found);
        let owners = if self.random.is_one_in(2) { self.owners() } else { Vec::new() };
        self.commit(Change { owners, removes, adds, ..Change::default() }, Some(number));
    }

    fn erase(&mut self) {
        let number = self.number();
        let trace = Some(TraceId::from_bytes((number as u128 + 1).to_le_bytes()));
        let tombstones = vec![Tombstone { trace, ..tombstone(None) }];
        self.commit(Change { tombstones, ..Change::default() }, Some(number));
    }

    /// Forbids blocks that are not in the catalog, as if their files had been found.
    fn forbid(&mut self, state: &State) {
        let n_changes = self.world.records().fates.len() as u64;
        let id = block_id(self.random.below(n_changes) as usize);
        if !state.blocks.contains_key(&id) && !state.removed.contains_key(&id) {
            self.commit(Change { forbids: vec![id], ..Change::default() }, None);
        }
    }

    fn forget(&mut self, state: &State) {
        let Ok(removed) = self.catalog.deletable(Duration::from_hours(1)) else { return };
        let forbidden = state.forbidden.keys().copied().take(1).collect();
        let tombstones = state.tombstones.keys().copied().take(1).collect();
        let forgets = Forgets { removed, forbidden, tombstones };
        self.commit(Change { forgets, ..Change::default() }, None);
    }

    fn take_over(&mut self) {
        if !self.world.is_fenced {
            return;
        }
        match self.catalog.take_over(self.log()) {
            Ok(owner) => self.owner = Some(owner),
            Err(CommitError::Unknown { .. }) => self.world.records().tally.count("unknown"),
            Err(_) => {}
        }
    }

    fn maintain(&mut self) {
        let Ok(done) = self.catalog.maintain() else { return };
        let tally = &mut self.world.records().tally;
        if done.snapshot.is_some() {
            tally.count("snapshot");
        }
        if done.deleted > 0 {
            tally.count("deletion");
        }
    }

    /// A number for a change, by which it is found again.
    fn number(&self) -> usize {
        let fates = &mut self.world.records().fates;
        fates.push(Fate::Open);
        fates.len() - 1
    }

    fn block(&self, rows: &[Row]) -> (usize, Vec<NewBlock>) {
        let number = self.number();
        let meta: Vec<u8> = rows
            .iter()
            .flat_map(|(log, offset)| [[*log].as_slice(), &offset.to_le_bytes()].concat())
            .collect();
        (number, vec![NewBlock { id: block_id(number), meta: meta.into() }])
    }

    fn commit(&mut self, change: Change, number: Option<usize>) {
        let result = self.catalog.commit(change.clone());
        let (fate, what) = match &result {
            Ok(committed) => (Fate::Committed(committed.number), "committed"),
            Err(CommitError::Unknown { .. }) => (Fate::Open, "unknown"),
            Err(CommitError::Ignored(why)) => (Fate::Failed, name(*why)),
            Err(_) => (Fate::Failed, "store failed"),
        };
        {
            let mut records = self.world.records();
            records.tally.count(what);
            if let Some(number) = number {
                records.fates[number] = fate;
            }
        }
        match result {
            Ok(committed) => {
                assert!(committed.state.number >= committed.number);
                self.world.see(&committed.state);
            }
            Err(CommitError::Unknown { .. }) => self.open = Some((change, number)),
            Err(_) => {}
        }
    }
}

fn name(why: Ignored) -> &'static str {
    match why {
        Ignored::Fenced { .. } => "fenced",
        Ignored::NoOwner { .. } => "no owner",
        Ignored::Gap { .. } => "gap",
        Ignored::Backwards { .. } => "backwards",
        Ignored::BlockGone(_) => "block gone",
        Ignored::BlockKnown(_) => "block known",
        Ignored::Forbidden(_) => "forbidden",
        Ignored::Repeated { .. } => "repeated",
    }
}

/// A row of a log that is in a block: the log, and which one.
type Row = (u8, u64);

fn rows(block: &Block) -> Vec<Row> {
    let row = |row: &[u8]| (row[0], u64::from_le_bytes(row[1..].try_into().unwrap()));
    block.meta.chunks(9).map(row).collect()
}

fn block_id(number: usize) -> Uuid {
    let mut bytes = [0xb0; 16];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Uuid(bytes)
}

/// Leaves the turnstile also when a test fails, so that the others do not wait for ever.
struct Presence<'a>(&'a Turnstile, usize);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

fn run(seed: u64) -> Tally {
    let mut random = Random(seed);
    let servers = 2 + random.below(3) as usize;
    let turnstile = Turnstile::new(servers, random.clone());
    let records = Mutex::default();
    let world = Arc::new(World {
        store: MemoryObjects::new(),
        is_fenced: random.is_one_in(2),
        turnstile,
        records,
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..servers)
            .map(|index| {
                let (world, mut random) = (&world, Random(random.next()));
                scope.spawn(move || {
                    let _presence = Presence(&world.turnstile, index);
                    let catalog = start(world, index, &mut random);
                    let mut server =
                        Server { world, index, random, catalog, owner: None, open: None };
                    server.take_over();
                    server.run();
                    // Nothing stays unsettled.
                    while server.catalog.refresh().is_err() {}
                    world.see(&server.catalog.state());
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    finish(&world);
    std::mem::take(&mut world.records().tally)
}

/// Lets arrive what is on its way, and holds everything against the entries alone.
fn finish(world: &World) {
    let connections = world.records().connections.clone();
    for connection in connections {
        for _ in 0..8 {
            let _ = connection.delete("nothing");
            world.keep();
        }
    }
    let state = open(&world.store, 99).state();
    world.see(&state);
    let records = world.records();
    let mut judged = State::default();
    let mut counted = BTreeMap::new();
    for (number, (object, written_unix_nanos)) in &records.entries {
        let entry = decode_entry(object).unwrap();
        assert_eq!(entry.number, *number);
        if judged.advance(entry.clone(), *written_unix_nanos).is_ok() {
            counted.insert(*number, entry);
        }
        if let Some(seen) = records.states.get(number) {
            assert_eq!(**seen, judged, "the state after entry {number}");
        }
        check_rows(&judged);
    }
    assert_eq!(*state, judged, "the last state");
    check_fates(&records.fates, &counted);
}

/// Every row of a log up to its end is in one block.
fn check_rows(state: &State) {
    let mut found = BTreeSet::new();
    for block in state.blocks.values() {
        for row in rows(block) {
            assert!(found.insert(row), "{row:?} is there twice after entry {}", state.number);
        }
    }
    let ends = state.logs.iter().map(|(log, log_state)| (log.0[15], log_state.to));
    let expected =
        ends.flat_map(|(log, to)| (0..to.map_or(0, |to| to.offset)).map(move |at| (log, at)));
    assert_eq!(found, expected.collect(), "the rows after entry {}", state.number);
}

fn check_fates(fates: &[Fate], counted: &BTreeMap<u64, Entry>) {
    let mut places: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (number, entry) in counted {
        let blocks = entry.change.adds.iter().map(|block| &block.id.0[..8]);
        let blocks = blocks.map(|id| u64::from_be_bytes(id.try_into().unwrap()) as usize);
        let traces = entry.change.tombstones.iter().filter_map(|tombstone| tombstone.trace);
        let traces = traces.map(|trace| u128::from_le_bytes(*trace.as_bytes()) as usize - 1);
        for change in blocks.chain(traces) {
            places.entry(change).or_default().push(*number);
        }
    }
    for (change, fate) in fates.iter().enumerate() {
        let found = places.get(&change).map_or(&[][..], Vec::as_slice);
        match fate {
            Fate::Committed(number) => assert_eq!(found, [*number], "change {change}"),
            Fate::Failed => assert_eq!(found, [0_u64; 0], "change {change} failed"),
            Fate::Open => assert!(found.len() <= 1, "change {change} is in {found:?}"),
        }
    }
}

#[test]
fn histories_at_random_have_one_truth() {
    let seeds = std::env::var("SUYUAN_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut total = Tally::default();
    for seed in 0..seeds {
        let tally = thread::spawn(move || run(seed)).join().unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            resume_unwind(panic)
        });
        for (what, count) in tally.counts {
            *total.counts.entry(what).or_default() += count;
        }
    }
    println!("{seeds} histories: {:?}", total.counts);
    for what in [
        "committed",
        "unknown",
        "store failed",
        "fenced",
        "gap",
        "block gone",
        "block known",
        "forbidden",
        "snapshot",
        "deletion",
        "restart",
        "entry out of its time",
    ] {
        assert!(total.counts.contains_key(what), "never happened: {what}");
    }
}
