//! The power goes at every step of the log, and steps fail, in every way a disk can. What must hold
//! afterwards is the ledger's.

use super::ledger::{Action, Ledger, Program, Tally};
use crate::simulated::{Fault, Random, SimulatedDisk, Survival};

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

/// Truncation after each kind of end: of a segment, of the log, in the middle, of nothing.
fn truncations() -> Vec<Action> {
    vec![
        Action::Group(vec![100, 9000]),
        Action::Truncate(0),
        Action::Group(vec![5000, 5000]),
        Action::Group(vec![5000, 20, 700]),
        Action::Truncate(3),
        Action::Kill,
        Action::Group(vec![20_000]),
        Action::Group(vec![64]),
        Action::Truncate(1),
        Action::Close,
        Action::Truncate(0),
        Action::Group(vec![9000, 9000, 9000]),
        Action::Truncate(0),
        Action::Kill,
        Action::Group(vec![512, 512]),
    ]
}

#[test]
fn power_cut_at_every_step_of_truncations() {
    let mut tally = Tally::default();
    cut_everywhere(&truncations(), &[], 12, &mut tally);
    for seed in 0..8 {
        let mut random = Random(seed);
        let mut actions = random_workload(200 + seed);
        for _ in 0..3 {
            let at = 1 + random.below(actions.len() as u64);
            actions.insert(at as usize, Action::Truncate(random.below(4)));
        }
        cut_everywhere(&actions, &[], 3, &mut tally);
    }
    println!("power cuts in truncations: {tally:?}");
    assert!(tally.cuts > 1000 && tally.found > 5_000 && tally.released > 5_000, "{tally:?}");
}

#[test]
fn every_step_of_a_truncation_fails_in_every_way() {
    let mut tally = Tally::default();
    let actions = truncations();
    for (step, fault) in (1..=steps(&actions)).flat_map(|step| FAULTS.map(|fault| (step, fault))) {
        tally.faults += 1;
        let disk = SimulatedDisk::new(DISK_BYTES, 7);
        disk.fail_at(step, fault);
        let ledger = Ledger::default();
        let story = format!("{fault:?} at step {step}");
        Program::new(disk.clone(), ledger.clone()).run(&actions, &mut tally, &story);
        for (seed, survival) in survivals(1).enumerate() {
            chain(&disk, &ledger, survival, step * 100 + seed as u64, &mut tally, &story);
        }
    }
    println!("failing steps in truncations: {tally:?}");
    assert!(tally.faults > 200 && tally.released > 1_000, "{tally:?}");
}

/// The power goes while one thread appends and another truncates: any interleaving of their steps.
#[test]
fn power_cut_while_another_thread_truncates() {
    let mut tally = Tally::default();
    let sizes = [100, 5000, 7000, 9000, 3000, 12_000, 40, 9000];
    for cut_at in (1..140).step_by(2) {
        let disk = SimulatedDisk::new(DISK_BYTES, cut_at);
        let ledger = Ledger::default();
        let story = format!("two threads, cut at step {cut_at}");
        let mut program = Program::new(disk.clone(), ledger.clone());
        assert!(program.start(&mut tally, &story));
        disk.cut_power_at(disk.steps() + cut_at);
        let truncator = program.truncator();
        let (appended, appends) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for () in appends {
                    truncator.truncate(0);
                }
            });
            for size in sizes.repeat(2) {
                program.run(&[Action::Group(vec![size, size])], &mut tally, &story);
                let _ = appended.send(());
            }
            drop(appended);
        });
        tally.cuts += u64::from(!disk.is_on());
        for (seed, survival) in survivals(2).enumerate() {
            chain(&disk, &ledger, survival, cut_at * 100 + seed as u64, &mut tally, &story);
        }
    }
    println!("power cuts beside a truncating thread: {tally:?}");
    assert!(tally.cuts > 100 && tally.released > 100, "{tally:?}");
}
