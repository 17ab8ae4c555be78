//! The power goes at every step of a catalog on a local disk, and steps fail.
//!
//! What was said to be committed is there after the restart, what was said to have failed is not,
//! and every other change is there wholly or not at all. The catalog goes on from there.

use suyuan_objects::LocalObjects;
use suyuan_wal::simulated::{Fault, SimulatedDisk, Survival};

use super::*;

/// The changes of a workload, by the number of the block that each adds.
const CHANGES: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Failed,
}

/// What was said about each change, and the furthest that anybody saw.
#[derive(Default)]
struct Ledger {
    fates: Vec<(u8, Fate)>,
    number: u64,
}

/// Even changes seal, odd ones replace the block before, every third one is followed by a day and
/// maintenance.
fn change(number: u8, state: &State) -> Change {
    let end = state.log_end(log(1)).map_or(0, |end| end.offset);
    let owners = vec![Owner { log: log(1), epoch: state.epoch(log(1)) }];
    let last = state.blocks.keys().next_back();
    match last {
        Some(last) if number % 2 == 1 => Change {
            owners,
            removes: vec![*last],
            adds: vec![new_block(number)],
            ..Change::default()
        },
        _ => Change { owners, ..seal(log(1), end, end + 1, number) },
    }
}

fn start(disk: &SimulatedDisk, writer: u8) -> Option<Catalog> {
    let objects = LocalObjects::open(Arc::new(disk.clone())).ok()?;
    Catalog::open(Arc::new(objects), Options { snapshot_every: 3, ..options(writer) }).ok()
}

/// Runs the workload from a change on, until its end or until nothing works any more.
fn run(disk: &SimulatedDisk, writer: u8, changes: std::ops::Range<u8>, ledger: &mut Ledger) {
    let Some(catalog) = start(disk, writer) else { return };
    if catalog.take_over(log(1)).is_err() {
        return;
    }
    for number in changes {
        let change = change(number, &catalog.state());
        let mut fate = Fate::Open;
        for _ in 0..3 {
            fate = match catalog.commit(change.clone()) {
                Ok(_) => Fate::Committed,
                Err(CommitError::Unknown { .. }) => Fate::Open,
                Err(_) => Fate::Failed,
            };
            if fate == Fate::Committed {
                break;
            }
        }
        ledger.fates.push((number, fate));
        if number.is_multiple_of(3) {
            // A failure is of no consequence.
            let _ = catalog.maintain();
            disk.advance_clock(DAY_NANOS + 1);
            let _ = catalog.maintain();
        }
        ledger.number = ledger.number.max(catalog.state().number);
        if !disk.is_on() {
            return;
        }
    }
}

fn check(disk: &SimulatedDisk, writer: u8, ledger: &mut Ledger, story: &str) -> Arc<State> {
    let state = start(disk, writer).unwrap_or_else(|| panic!("{story}: does not start")).state();
    assert!(state.number >= ledger.number, "{story}: {} < {}", state.number, ledger.number);
    for (number, fate) in &mut ledger.fates {
        let id = block(*number);
        let is_there = state.blocks.contains_key(&id) || state.removed.contains_key(&id);
        match *fate {
            Fate::Open if is_there => *fate = Fate::Committed,
            Fate::Open => *fate = Fate::Failed,
            Fate::Committed => assert!(is_there, "{story}: block {number} is lost"),
            Fate::Failed => assert!(!is_there, "{story}: block {number} came back"),
        }
    }
    let seals = state.log_end(log(1)).map_or(0, |end| end.offset);
    assert!(seals as usize <= ledger.fates.len(), "{story}");
    state
}

fn steps_of_a_workload() -> u64 {
    let disk = SimulatedDisk::new(16 << 20, 1);
    run(&disk, 1, 0..CHANGES, &mut Ledger::default());
    disk.steps()
}

#[test]
fn the_power_goes_at_every_step() {
    let steps = steps_of_a_workload();
    assert!(steps > 100, "{steps} steps");
    let mut starts = 0;
    for step in 1..=steps {
        let cut = SimulatedDisk::new(16 << 20, 1);
        cut.cut_power_at(step);
        let mut before = Ledger::default();
        run(&cut, 1, 0..CHANGES, &mut before);
        let some = (0..3).map(|seed| Survival::Some(step * 3 + seed));
        for survival in [Survival::Nothing, Survival::Everything].into_iter().chain(some) {
            let story = format!("cut at step {step}, survives {survival:?}");
            let disk = cut.fork();
            let mut ledger = Ledger { fates: before.fates.clone(), number: before.number };
            disk.restart(survival);
            check(&disk, 2, &mut ledger, &story);
            run(&disk, 3, CHANGES..CHANGES + 4, &mut ledger);
            assert!(ledger.fates.iter().rev().take(4).all(|(_, fate)| *fate == Fate::Committed));
            let state = check(&disk, 4, &mut ledger, &story);
            disk.restart(Survival::Nothing);
            assert_eq!(check(&disk, 5, &mut ledger, &story), state, "{story}");
            starts += 5;
        }
    }
    println!("{steps} cuts, {starts} starts");
}

#[test]
fn any_step_fails() {
    let steps = steps_of_a_workload();
    for step in 1..=steps {
        for fault in [Fault::Io, Fault::Full, Fault::Sync, Fault::ShortWrite(7)] {
            let story = format!("{fault:?} at step {step}");
            let disk = SimulatedDisk::new(16 << 20, 1);
            disk.fail_at(step, fault);
            let mut ledger = Ledger::default();
            run(&disk, 1, 0..CHANGES, &mut ledger);
            disk.restart(Survival::Nothing);
            let state = check(&disk, 2, &mut ledger, &story);
            run(&disk, 3, CHANGES..CHANGES + 4, &mut ledger);
            let after = check(&disk, 4, &mut ledger, &story);
            assert!(after.number > state.number, "{story}");
        }
    }
}
