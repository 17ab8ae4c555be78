//! The power goes at every step of the log, and steps fail, in every way a disk can.
//!
//! The rules that must hold afterwards, checked against a ledger of what each waiter was told:
//! - acknowledged: found exactly once, at its position, in order, forever;
//! - an error that is settled: never found;
//! - an unsettled error, or no answer before the cut: found whole or not at all, and what one start
//!   found every later start finds, what one start did not find none does;
//! - nothing of this is ever called damage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::options;
use crate::log::Counters;
use crate::simulated::{Fault, Random, SimulatedDisk, Survival};
use crate::writer::{Pending, Writer};
use crate::{AppendError, Position, Verdict, recovery};

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Not answered, or not settled.
    Open,
    /// Acknowledged, or found by a start.
    Kept(Option<Position>),
    /// Failed for good, or missed by a start.
    Gone,
}

/// What was done to the log and what it said, by record id.
#[derive(Clone, Default)]
struct Ledger {
    fates: Arc<Mutex<BTreeMap<u64, Fate>>>,
}

impl Ledger {
    fn fork(&self) -> Self {
        let fates = self.fates.lock().unwrap().clone();
        Self { fates: Arc::new(Mutex::new(fates)) }
    }

    fn submit(&self, payload_bytes: u64) -> Pending {
        let mut fates = self.fates.lock().unwrap();
        let id = fates.len() as u64;
        fates.insert(id, Fate::Open);
        let payload = payload(id, payload_bytes);
        let payload_checksum = crc32c::crc32c(&payload);
        let fates = Arc::clone(&self.fates);
        let done = Box::new(move |result: Result<Position, AppendError>| {
            let fate = match result {
                Ok(position) => Fate::Kept(Some(position)),
                Err(AppendError::Unsettled(_)) => Fate::Open,
                Err(_) => Fate::Gone,
            };
            fates.lock().unwrap().insert(id, fate);
        });
        let payload_bytes = payload.len() as u32;
        Pending { parts: vec![payload], payload_bytes, payload_checksum, done }
    }

    /// Holds a replay against what was promised, and settles what was open.
    fn check(&self, found: &[(Position, Vec<u8>)], tally: &mut Tally, story: &str) {
        let mut fates = self.fates.lock().unwrap();
        let mut seen = BTreeMap::new();
        for (position, bytes) in found {
            let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert_eq!(
                *bytes,
                payload(id, bytes.len() as u64),
                "{story}: record {id} is not whole"
            );
            tally.duplicated += u64::from(seen.insert(id, *position).is_some());
        }
        assert!(found.is_sorted_by_key(|(position, _)| *position), "{story}: positions in order");
        let ids = found.iter().map(|(_, bytes)| bytes[..8].to_vec());
        let ids = ids.map(|id| u64::from_le_bytes(id.try_into().unwrap()));
        assert!(ids.is_sorted(), "{story}: records in append order");
        for (id, fate) in fates.iter_mut() {
            let position = seen.remove(id);
            match (*fate, position) {
                (Fate::Kept(expected), Some(position)) => {
                    tally.acknowledged += 1;
                    tally.found += 1;
                    assert!(expected.is_none_or(|expected| expected == position), "{story}");
                }
                (Fate::Kept(_), None) => {
                    tally.acknowledged += 1;
                    tally.lost += 1;
                }
                (Fate::Gone, Some(_)) => panic!("{story}: record {id} failed and came back"),
                (Fate::Gone, None) => {}
                (Fate::Open, Some(position)) => *fate = Fate::Kept(Some(position)),
                (Fate::Open, None) => *fate = Fate::Gone,
            }
        }
        assert!(seen.is_empty(), "{story}: records nobody sent: {seen:?}");
        assert_eq!((tally.lost, tally.duplicated), (0, 0), "{story}");
    }
}

/// A payload that says whose it is and can be told from any other.
fn payload(id: u64, bytes: u64) -> Bytes {
    let mut random = Random(id);
    let mut payload = id.to_le_bytes().to_vec();
    while payload.len() < bytes as usize {
        payload.push(random.next() as u8);
    }
    payload.into()
}

#[derive(Debug, Default)]
struct Tally {
    workloads: u64,
    cuts: u64,
    faults: u64,
    starts: u64,
    acknowledged: u64,
    found: u64,
    lost: u64,
    duplicated: u64,
}

/// One thing that a workload does.
#[derive(Clone, Debug)]
enum Action {
    /// Records of these sizes, handed to the writer at once.
    Group(Vec<u64>),
    /// The program is killed and starts again.
    Kill,
    /// The program stops in order and starts again.
    Close,
    /// The disk holds so much from now on.
    Resize(u64),
}

/// A program that uses the log, started anew after each restart.
struct Program {
    disk: SimulatedDisk,
    ledger: Ledger,
    writer: Option<Writer>,
}

impl Program {
    fn new(disk: SimulatedDisk, ledger: Ledger) -> Self {
        Self { disk, ledger, writer: None }
    }

    /// Runs until the end or until the power is off.
    fn run(&mut self, actions: &[Action], tally: &mut Tally, story: &str) {
        for action in actions {
            if !self.disk.is_on() {
                return;
            }
            if self.writer.is_none() && !self.start(tally, story) {
                return;
            }
            self.act(action);
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Group(sizes) => {
                let group: VecDeque<_> =
                    sizes.iter().map(|bytes| self.ledger.submit(*bytes)).collect();
                if let Some(writer) = &mut self.writer {
                    writer.commit(group);
                }
            }
            Action::Kill => self.writer = None,
            Action::Close => {
                if let Some(mut writer) = self.writer.take() {
                    writer.close();
                }
            }
            Action::Resize(bytes) => self.disk.resize(*bytes),
        }
    }

    /// Recovers, checks what is found, goes on. `false` if the power went meanwhile. A disk that
    /// fails is tried again, as an operator would.
    fn start(&mut self, tally: &mut Tally, story: &str) -> bool {
        for _ in 0..3 {
            match self.try_start(tally, story) {
                Ok(()) => return true,
                Err(_) if !self.disk.is_on() => return false,
                Err(error) => {
                    let planned = ["(os error 5)", "no storage space", "write zero"];
                    assert!(planned.iter().any(|one| error.contains(one)), "{story}: {error}");
                }
            }
        }
        panic!("{story}: the log does not open");
    }

    fn try_start(&mut self, tally: &mut Tally, story: &str) -> Result<(), String> {
        let disk = Arc::new(self.disk.clone());
        let mut recovered = recovery::recover(disk.clone()).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        let replayed = recovered.replay(|position, payload| {
            found.push((position, payload.to_vec()));
            Verdict::Taken
        });
        let report = replayed.map_err(|error| error.to_string())?;
        assert_eq!(recovered.damage, [], "{story}");
        assert_eq!(report.damage, [], "{story}");
        tally.starts += 1;
        self.ledger.check(&found, tally, story);
        let (log, last) = (recovered.log_uuid(), recovered.last());
        let mut writer = Writer::new(disk, options(), log, last, Arc::new(Counters::default()));
        let _ = writer.take_reserve();
        self.writer = Some(writer);
        Ok(())
    }
}

const DISK_BYTES: u64 = 1 << 20;

fn survivals(seeds: u64) -> impl Iterator<Item = Survival> {
    let some = (0..seeds).map(Survival::Some);
    [Survival::Nothing, Survival::Everything].into_iter().chain(some)
}

/// After a cut: two more starts, each with some appends and itself cut at a step by the seed.
fn chain(
    disk: &SimulatedDisk,
    ledger: &Ledger,
    survival: Survival,
    seed: u64,
    tally: &mut Tally,
    story: &str,
) {
    let disk = disk.fork();
    let mut random = Random(seed);
    disk.restart(survival);
    disk.resize(DISK_BYTES);
    let ledger = ledger.fork();
    for round in 0..3 {
        let cut_at = disk.steps() + 1 + random.below(14);
        if round < 2 {
            disk.cut_power_at(cut_at);
        }
        let story = format!("{story}, {survival:?}, round {round} cut at step {cut_at}");
        let mut program = Program::new(disk.clone(), ledger.clone());
        let sizes = vec![8 + random.below(300), 8 + random.below(2000)];
        let actions = [Action::Group(sizes.clone()), Action::Group(sizes), Action::Close];
        program.run(&actions, tally, &story);
        tally.cuts += u64::from(!disk.is_on());
        disk.restart(Survival::Some(random.next()));
    }
    let mut program = Program::new(disk, ledger);
    assert!(program.start(tally, story), "{story}");
}

/// The number of steps a workload takes when nothing goes wrong.
fn steps(actions: &[Action]) -> u64 {
    let disk = SimulatedDisk::new(DISK_BYTES, 7);
    Program::new(disk.clone(), Ledger::default()).run(actions, &mut Tally::default(), "whole");
    disk.steps()
}

/// Cuts a workload at every step, with `seeds` ways to survive each.
fn cut_everywhere(actions: &[Action], faults: &[(u64, Fault)], seeds: u64, tally: &mut Tally) {
    tally.workloads += 1;
    let last = steps(actions) + 8;
    for cut_at in 1..=last {
        let disk = SimulatedDisk::new(DISK_BYTES, 7);
        for (step, fault) in faults {
            disk.fail_at(*step, *fault);
        }
        disk.cut_power_at(cut_at);
        let ledger = Ledger::default();
        let story = format!("{actions:?}, {faults:?}, cut at step {cut_at}");
        Program::new(disk.clone(), ledger.clone()).run(actions, tally, &story);
        let whole = disk.is_on();
        tally.cuts += u64::from(!whole);
        for (seed, survival) in survivals(seeds).enumerate() {
            chain(&disk, &ledger, survival, cut_at * 1000 + seed as u64, tally, &story);
        }
        if whole {
            return;
        }
    }
}

/// Several groups, rolls of segments, both kinds of restart, a record larger than a segment.
fn script() -> Vec<Action> {
    vec![
        Action::Group(vec![100, 8, 900]),
        Action::Group(vec![3000]),
        Action::Kill,
        Action::Group(vec![5000, 5000]),
        Action::Group(vec![5000, 20, 700]),
        Action::Close,
        Action::Group(vec![20_000]),
        Action::Group(vec![64]),
        Action::Kill,
        Action::Kill,
        Action::Group(vec![512, 512]),
    ]
}

fn random_workload(seed: u64) -> Vec<Action> {
    let mut random = Random(seed);
    let mut actions = Vec::new();
    for _ in 0..4 + random.below(6) {
        actions.push(match random.below(8) {
            0 => Action::Kill,
            1 => Action::Close,
            _ => {
                let bytes_max = [64, 600, 4000, 14_000][random.below(4) as usize];
                let sizes = (0..1 + random.below(4)).map(|_| 8 + random.below(bytes_max));
                Action::Group(sizes.collect())
            }
        });
    }
    actions
}

const FAULTS: [Fault; 6] = [
    Fault::Io,
    Fault::Full,
    Fault::ShortWrite(0),
    Fault::ShortWrite(40),
    Fault::ShortWrite(700),
    Fault::Sync,
];

#[test]
fn power_cut_at_every_step() {
    let mut tally = Tally::default();
    cut_everywhere(&script(), &[], 12, &mut tally);
    for seed in 0..12 {
        cut_everywhere(&random_workload(seed), &[], 3, &mut tally);
    }
    println!("power cuts: {tally:?}");
    assert!(tally.cuts > 1000 && tally.found > 10_000, "{tally:?}");
    assert_eq!(tally.acknowledged, tally.found);
}

#[test]
fn every_step_fails_in_every_way() {
    let mut tally = Tally::default();
    for actions in [script(), rolls()] {
        tally.workloads += 1;
        for (step, fault) in
            (1..=steps(&actions)).flat_map(|step| FAULTS.map(|fault| (step, fault)))
        {
            tally.faults += 1;
            let disk = SimulatedDisk::new(DISK_BYTES, 7);
            disk.fail_at(step, fault);
            let ledger = Ledger::default();
            let story = format!("{fault:?} at step {step}");
            Program::new(disk.clone(), ledger.clone()).run(&actions, &mut tally, &story);
            for (seed, survival) in survivals(2).enumerate() {
                chain(&disk, &ledger, survival, step * 100 + seed as u64, &mut tally, &story);
            }
        }
    }
    println!("failing steps: {tally:?}");
    assert!(tally.faults > 200 && tally.found > 10_000, "{tally:?}");
}

#[test]
fn power_cut_after_a_failing_step() {
    let mut tally = Tally::default();
    let mut random = Random(11);
    for seed in 100..130 {
        let actions = random_workload(seed);
        let steps = steps(&actions);
        let mut fault = || (1 + random.below(steps), FAULTS[random.below(6) as usize]);
        let faults = [fault(), fault(), fault()];
        tally.faults += 3;
        cut_everywhere(&actions, &faults, 1, &mut tally);
    }
    println!("power cuts after failing steps: {tally:?}");
    assert!(tally.cuts > 1000 && tally.found > 10_000, "{tally:?}");
}

/// A failed roll to a new segment, then records small enough for the old one.
fn rolls() -> Vec<Action> {
    [9000, 50, 9000, 50, 600].map(|bytes| Action::Group(vec![bytes])).to_vec()
}

#[test]
fn two_power_cuts_after_a_failing_step() {
    let mut tally = Tally::default();
    let actions = rolls();
    let last = steps(&actions) + 6;
    for step in 1..=last {
        for fault in [Fault::Sync, Fault::Io] {
            tally.faults += 1;
            // The cuts right after the failure, and none before the end.
            for first in (step + 1..step + 8).chain([u64::MAX]) {
                let disk = SimulatedDisk::new(DISK_BYTES, step);
                disk.fail_at(step, fault);
                disk.cut_power_at(first);
                let ledger = Ledger::default();
                let story = format!("{fault:?} at step {step}, cut at {first}");
                Program::new(disk.clone(), ledger.clone()).run(&actions, &mut tally, &story);
                tally.cuts += u64::from(!disk.is_on());
                for survival in survivals(1) {
                    second_cut(&disk, &ledger, survival, &mut tally, &story);
                }
            }
        }
    }
    println!("two power cuts after a failing step: {tally:?}");
    assert!(tally.cuts > 1000 && tally.found > 10_000, "{tally:?}");
}

/// Goes on after a cut and is cut again at each of the next steps.
fn second_cut(
    disk: &SimulatedDisk,
    ledger: &Ledger,
    survival: Survival,
    tally: &mut Tally,
    story: &str,
) {
    for second in 1..=6 {
        let (disk, ledger) = (disk.fork(), ledger.fork());
        disk.restart(survival);
        disk.cut_power_at(disk.steps() + second);
        let story = format!("{story}, {survival:?}, cut again after {second} steps");
        let actions = [Action::Group(vec![30])];
        Program::new(disk.clone(), ledger.clone()).run(&actions, tally, &story);
        tally.cuts += u64::from(!disk.is_on());
        for seed in 0..2 {
            let (disk, ledger) = (disk.fork(), ledger.fork());
            disk.restart(Survival::Some(second * 10 + seed));
            assert!(Program::new(disk, ledger).start(tally, &story));
        }
    }
}

#[test]
fn power_cut_around_a_full_disk() {
    let mut tally = Tally::default();
    let group = || Action::Group(vec![3000, 3000]);
    let actions = [
        group(),
        Action::Resize(28 << 10),
        group(),
        group(),
        group(),
        Action::Kill,
        group(),
        Action::Resize(DISK_BYTES),
        group(),
        Action::Close,
        group(),
    ];
    cut_everywhere(&actions, &[], 6, &mut tally);
    for step in 5..20 {
        let full = [(step, Fault::ShortWrite(100)), (step + 1, Fault::Full)];
        cut_everywhere(&actions, &full, 1, &mut tally);
    }
    println!("power cuts around a full disk: {tally:?}");
    assert!(tally.cuts > 300 && tally.found > 1000, "{tally:?}");
}
