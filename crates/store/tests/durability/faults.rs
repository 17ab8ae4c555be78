//! The object store fails: at every call in every way, at random, and for good.
//!
//! The log's disk is sound. A seal that failed is repeated until it stands; nothing is lost or
//! doubled, no range of the log is in two blocks, and no files stay that nobody knows.
//!
//! `SUYUAN_FAULTS=all` disturbs every call in every way; else every few calls, each in one way.
//! `SUYUAN_FAULT_SEED` repeats a run of random faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use suyuan_block::meta::BlockMeta;
use suyuan_objects::Objects;
use suyuan_objects::faulty::{Fault, FaultyObjects, MemoryObjects, Plan};
use suyuan_wal::Position;
use suyuan_wal::simulated::{SimulatedDisk, Survival};

use crate::ledger::{Counts, Ledger, catalog_state};
use crate::machine::Machine;
use crate::story::{DAY_NANOS, Run, SEQUEL, SEQUEL_FIRST, STORY, Step, World};

const DISK_BYTES: u64 = 64 << 20;
/// Attempts of a step when one call fails: a request on its way may be met twice.
const ATTEMPTS: u32 = 4;
/// And when one in so many fails.
const RANDOM_ONE_IN: u64 = 8;
const RANDOM_ATTEMPTS: u32 = 400;
const RANDOM_RUNS: u64 = 12;

const FAULTS: [Fault; 6] = [
    Fault::Refused,
    Fault::LostRequest,
    Fault::LostAnswer,
    Fault::Repeated,
    Fault::Late(1),
    Fault::Late(3),
];

/// A sound disk for the log, and a store in memory.
struct Site {
    disk: SimulatedDisk,
    objects: MemoryObjects,
}

impl Site {
    fn new() -> Self {
        Self { disk: SimulatedDisk::new(DISK_BYTES, 1), objects: MemoryObjects::new() }
    }

    fn run(
        &self,
        faulty: &FaultyObjects<MemoryObjects>,
        attempts: u32,
        (steps, first_request): (&[Step], u64),
        ledger: &mut Ledger,
    ) -> Run {
        let world = World {
            start: &|| Machine::start(Arc::new(self.disk.clone()), Arc::new(faulty.clone())),
            day: &|| self.objects.advance_clock(DAY_NANOS),
            is_on: &|| !faulty.is_stopped(),
            attempts,
        };
        world.run(steps, first_request, ledger)
    }

    fn sound(&self) -> FaultyObjects<MemoryObjects> {
        FaultyObjects::new(self.objects.clone(), Plan::default())
    }

    /// Starts without faults and looks at everything, goes on, and looks again.
    fn check_and_go_on(&self, ledger: &mut Ledger, story: &str) -> Counts {
        let counts = self.check(ledger, story);
        let sequel = self.run(&self.sound(), 1, (SEQUEL, SEQUEL_FIRST), ledger);
        assert_eq!(sequel.failures, 0, "{story}: nothing fails any more");
        self.check(ledger, story);
        self.check_folders(story);
        counts
    }

    fn check(&self, ledger: &mut Ledger, story: &str) -> Counts {
        let objects: Arc<dyn Objects> = Arc::new(self.objects.clone());
        let machine = Machine::start(Arc::new(self.disk.clone()), objects.clone());
        let machine = machine.unwrap_or_else(|error| panic!("{story}: {error}"));
        check_ranges(&objects, story);
        ledger.check(&machine.store, &objects, true, story)
    }

    /// Every folder is a block's that exists: what was abandoned was found and deleted.
    fn check_folders(&self, story: &str) {
        let objects: Arc<dyn Objects> = Arc::new(self.objects.clone());
        let listed = objects.list("blocks").expect("a store in memory can be listed");
        let folders: BTreeSet<String> = (listed.iter())
            .map(|object| object.path.split('/').nth(1).expect("a folder").to_owned())
            .collect();
        let blocks = catalog_state(&objects).blocks.keys().map(|id| id.to_string()).collect();
        assert_eq!(folders, blocks, "{story}: folders, and the blocks there are");
    }
}

/// No part of the log is in two blocks.
fn check_ranges(objects: &Arc<dyn Objects>, story: &str) {
    let mut ends: BTreeMap<Position, Position> = BTreeMap::new();
    for block in catalog_state(objects).blocks.values() {
        let meta = BlockMeta::decode(&block.meta).expect("a block's meta");
        for range in &meta.log_ranges {
            let before = ends.insert(range.from, range.to);
            assert_eq!(before, None, "{story}: two blocks begin at {:?}", range.from);
        }
    }
    let mut last_end = Position { segment: 0, offset: 0 };
    for (from, to) in ends {
        assert!(last_end <= from, "{story}: blocks overlap before {from:?}");
        last_end = to;
    }
}

/// How many calls an undisturbed run makes.
fn calls_of_the_story() -> u64 {
    let site = Site::new();
    let sound = site.sound();
    let mut ledger = Ledger::default();
    let undisturbed = site.run(&sound, 1, (STORY, 0), &mut ledger);
    assert_eq!(undisturbed, Run { compactions: 2, ..Run::default() });
    let calls = sound.calls();
    site.check_and_go_on(&mut ledger, "undisturbed");
    calls
}

/// Every call, or every so many: an odd number, and no divisor of the ways to fail.
fn chosen_calls(calls: u64) -> impl Iterator<Item = u64> {
    (1..=calls).step_by(if is_all_asked_for() { 1 } else { 5 })
}

fn is_all_asked_for() -> bool {
    std::env::var("SUYUAN_FAULTS").is_ok_and(|asked| asked == "all")
}

#[test]
fn every_call_fails_once() {
    let calls = calls_of_the_story();
    let mut counts = Counts::default();
    let mut n_faults = BTreeMap::new();
    for call in chosen_calls(calls) {
        let first = call as usize % FAULTS.len();
        let faults = if is_all_asked_for() { &FAULTS[..] } else { &FAULTS[first..=first] };
        for fault in faults {
            let story = format!("{fault:?} at call {call}");
            let site = Site::new();
            let faulty = FaultyObjects::new(site.objects.clone(), Plan::fault_at(call, *fault));
            let mut ledger = Ledger::default();
            let run = site.run(&faulty, ATTEMPTS, (STORY, 0), &mut ledger);
            assert_eq!(run.given_up, 0, "{story}: {run:?}");
            counts.add(&site.check_and_go_on(&mut ledger, &story));
            for (name, n) in faulty.faults() {
                *n_faults.entry(name).or_insert(0) += n;
            }
        }
    }
    assert_eq!(counts.unanswered, 0, "the store has no part in answers");
    println!("{calls} calls, faults {n_faults:?}: {counts:?}");
}

#[test]
fn the_program_is_killed_at_every_call() {
    let calls = calls_of_the_story();
    let (mut counts, mut n_kills) = (Counts::default(), 0);
    for call in chosen_calls(calls) {
        let takes_effect = call % 2 == 0;
        let both = [takes_effect, !takes_effect];
        let effects = if is_all_asked_for() { &both[..] } else { &both[..1] };
        for takes_effect in effects {
            let story = format!("killed at call {call}, takes effect: {takes_effect}");
            let site = Site::new();
            let plan = Plan::stop_at(call, *takes_effect);
            let faulty = FaultyObjects::new(site.objects.clone(), plan);
            let mut ledger = Ledger::default();
            site.run(&faulty, 1, (STORY, 0), &mut ledger);
            assert!(faulty.is_stopped(), "{story} of {calls}");
            n_kills += 1;
            site.disk.restart(Survival::Everything);
            counts.add(&site.check_and_go_on(&mut ledger, &story));
        }
    }
    println!("{calls} calls, {n_kills} kills: {counts:?}");
}

#[test]
fn faults_at_random() {
    let seed = std::env::var("SUYUAN_FAULT_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let first = seed.unwrap_or(now.as_nanos() as u64);
    let mut counts = Counts::default();
    let mut n_faults = BTreeMap::new();
    for seed in first..first + RANDOM_RUNS {
        let story = format!("SUYUAN_FAULT_SEED={seed}");
        println!("{story}");
        let site = Site::new();
        let plan = Plan::random(seed, RANDOM_ONE_IN);
        let faulty = FaultyObjects::new(site.objects.clone(), plan);
        let mut ledger = Ledger::default();
        let run = site.run(&faulty, RANDOM_ATTEMPTS, (STORY, 0), &mut ledger);
        assert_eq!(run.given_up, 0, "{story}: {run:?}");
        counts.add(&site.check_and_go_on(&mut ledger, &story));
        for (name, n) in faulty.faults() {
            *n_faults.entry(name).or_insert(0) += n;
        }
    }
    println!("{RANDOM_RUNS} runs, faults {n_faults:?}: {counts:?}");
}
