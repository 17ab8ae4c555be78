//! The power goes at every step of one disk that holds log, blocks and catalog; and every step
//! fails once.
//!
//! `SUYUAN_POWER_CUTS` says at how many steps, spread evenly; unset, at enough of them for every
//! kind of step. `all` is every step, with more ways to survive.

use std::sync::Arc;

use suyuan_objects::{LocalObjects, Objects};
use suyuan_wal::simulated::{Fault, SimulatedDisk, Survival};

use crate::ledger::{Counts, Ledger};
use crate::machine::Machine;
use crate::story::{DAY_NANOS, Run, SEQUEL, SEQUEL_FIRST, STORY, Step, World};

const DISK_BYTES: u64 = 64 << 20;
/// Attempts of a step that may be tried again: the server tries for ever.
const ATTEMPTS: u32 = 3;
/// Cuts if the environment does not say.
const CUTS: u64 = 60;

fn objects_of(disk: &SimulatedDisk) -> Result<Arc<dyn Objects>, String> {
    let objects = LocalObjects::open(Arc::new(disk.inside("objects")));
    Ok(Arc::new(objects.map_err(|error| error.to_string())?))
}

fn start(disk: &SimulatedDisk) -> Result<Machine, String> {
    Machine::start(Arc::new(disk.inside("log")), objects_of(disk)?)
}

/// Takes the steps one by one, until the end or until the power goes.
fn run(disk: &SimulatedDisk, steps: &[Step], first_request: u64, ledger: &mut Ledger) -> Run {
    let world = World {
        start: &|| start(disk),
        day: &|| disk.advance_clock(DAY_NANOS),
        is_on: &|| disk.is_on(),
        attempts: ATTEMPTS,
    };
    world.run(steps, first_request, ledger)
}

/// Starts what is left and looks at everything.
fn check(disk: &SimulatedDisk, ledger: &mut Ledger, story: &str) -> Counts {
    let machine = start(disk).unwrap_or_else(|error| panic!("{story}: does not start: {error}"));
    let objects = objects_of(disk).unwrap_or_else(|error| panic!("{story}: {error}"));
    ledger.check(&machine.store, &objects, true, story)
}

/// Looks, goes on, looks again, after another power cut too.
fn check_and_go_on(disk: &SimulatedDisk, ledger: &mut Ledger, story: &str) -> Counts {
    let counts = check(disk, ledger, story);
    let n_acknowledged = ledger.n_acknowledged();
    let sequel = run(disk, SEQUEL, SEQUEL_FIRST, ledger);
    assert_eq!(sequel.failures, 0, "{story}: nothing fails any more");
    let n_sent = SEQUEL.iter().filter(|step| **step == Step::Send).count() as u64;
    assert_eq!(ledger.n_acknowledged(), n_acknowledged + n_sent, "{story}");
    disk.restart(Survival::Nothing);
    check(disk, ledger, story);
    counts
}

/// How many steps of the disk an undisturbed run takes.
fn steps_of_the_story() -> u64 {
    let disk = SimulatedDisk::new(DISK_BYTES, 1);
    let mut ledger = Ledger::default();
    let undisturbed = run(&disk, STORY, 0, &mut ledger);
    assert_eq!(undisturbed, Run { compactions: 2, ..Run::default() });
    let steps = disk.steps();
    let counts = check(&disk, &mut ledger, "undisturbed");
    assert!(counts.block_rows > 0 && counts.block_rows < counts.found, "{counts:?}");
    steps
}

/// Which steps are disturbed, and whether the environment asks for all there is.
fn chosen_steps(steps: u64) -> (impl Iterator<Item = u64>, bool) {
    let asked = std::env::var("SUYUAN_POWER_CUTS").ok();
    let is_all = asked.as_deref() == Some("all");
    let n = match asked {
        _ if is_all => steps,
        Some(text) => text.parse().expect("SUYUAN_POWER_CUTS is a number or `all`"),
        None => CUTS,
    };
    // An odd stride meets every kind of step, for they come in rounds.
    let stride = (steps / n.max(1)).max(1) | 1;
    let stride = if is_all { 1 } else { stride };
    ((1..=steps).step_by(stride as usize), is_all)
}

#[test]
fn the_power_goes_at_every_step() {
    let steps = steps_of_the_story();
    let (chosen, is_all) = chosen_steps(steps);
    let mut counts = Counts::default();
    let mut n_cuts = 0;
    for step in chosen {
        let cut = SimulatedDisk::new(DISK_BYTES, 1);
        cut.cut_power_at(step);
        let mut before = Ledger::default();
        run(&cut, STORY, 0, &mut before);
        assert!(!cut.is_on(), "the power goes at step {step} of {steps}");
        let n_more = if is_all { 2 } else { 0 };
        let some = (0..=n_more).map(|seed| Survival::Some(step * 3 + seed));
        for survival in [Survival::Nothing, Survival::Everything].into_iter().chain(some) {
            let story = format!("cut at step {step}, survives {survival:?}");
            let disk = cut.fork();
            disk.restart(survival);
            counts.add(&check_and_go_on(&disk, &mut before.clone(), &story));
            n_cuts += 1;
        }
    }
    println!("{steps} steps, {n_cuts} power cuts: {counts:?}");
}

#[test]
fn every_step_fails_once() {
    let steps = steps_of_the_story();
    let (chosen, is_all) = chosen_steps(steps);
    let mut counts = Counts::default();
    let mut n_faults = 0;
    let faults = [Fault::Io, Fault::Full, Fault::Sync, Fault::ShortWrite(7)];
    for step in chosen {
        let faults = if is_all { &faults[..] } else { &faults[step as usize % 4..][..1] };
        for fault in faults {
            let story = format!("{fault:?} at step {step}");
            let disk = SimulatedDisk::new(DISK_BYTES, 1);
            disk.fail_at(step, *fault);
            let mut ledger = Ledger::default();
            run(&disk, STORY, 0, &mut ledger);
            disk.restart(Survival::Nothing);
            counts.add(&check_and_go_on(&disk, &mut ledger, &story));
            n_faults += 1;
        }
    }
    println!("{steps} steps, {n_faults} faults: {counts:?}");
}
