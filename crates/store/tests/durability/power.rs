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

const DISK_BYTES: u64 = 64 << 20;
const DAY_NANOS: u64 = 24 * 3_600_000_000_000;
/// Attempts of a step that may be tried again: the server tries for ever.
const ATTEMPTS: u32 = 3;
/// Cuts if the environment does not say.
const CUTS: u64 = 60;

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Send,
    Cut,
    /// Seals the oldest window and shortens the log.
    Seal,
    Compact,
    /// Deletes, forgets, takes a snapshot.
    Keep,
    /// A day passes, by the disk's clock.
    Day,
    /// A clean end and a new start.
    Restart,
}

use Step::{Compact, Cut, Day, Keep, Restart, Seal, Send};

/// Windows that wait for each other, a window over a restart, two compactions, deletions.
#[rustfmt::skip]
const STORY: &[Step] = &[
    Send, Send, Send, Cut, Seal,
    Send, Send, Cut, Send, Cut, Send, Seal, Seal,
    Compact, Send, Day, Keep,
    Restart, Send, Cut, Seal,
    Compact, Day, Keep, Send,
];

/// After a cut: goes on, cleans up, and everything is in blocks at last.
#[rustfmt::skip]
const SEQUEL: &[Step] = &[Send, Cut, Seal, Seal, Seal, Day, Keep, Compact, Send];

/// The number of the sequel's first request.
const SEQUEL_FIRST: u64 = 1_000;

fn objects_of(disk: &SimulatedDisk) -> Result<Arc<dyn Objects>, String> {
    let objects = LocalObjects::open(Arc::new(disk.inside("objects")));
    Ok(Arc::new(objects.map_err(|error| error.to_string())?))
}

fn start(disk: &SimulatedDisk) -> Result<Machine, String> {
    Machine::start(Arc::new(disk.inside("log")), objects_of(disk)?)
}

/// What a run did, beside the ledger.
#[derive(Default)]
struct Run {
    compactions: u64,
    failures: u64,
}

/// Takes the steps one by one, until the end or until the power goes.
fn run(disk: &SimulatedDisk, steps: &[Step], first_request: u64, ledger: &mut Ledger) -> Run {
    let mut run = Run::default();
    let mut number = first_request;
    let Some(mut machine) = start_again(disk, &mut run) else { return run };
    for step in steps {
        if *step == Restart {
            drop(machine);
            let Some(next) = start_again(disk, &mut run) else { return run };
            machine = next;
            continue;
        }
        if *step == Send {
            let answer = machine.send(number);
            ledger.note(number, &answer);
            run.failures += u64::from(answer.is_err());
            number += 1;
        } else {
            for _ in 0..ATTEMPTS {
                match take(&machine, disk, *step) {
                    Ok(compactions) => {
                        run.compactions += compactions;
                        break;
                    }
                    Err(_) => run.failures += 1,
                }
            }
        }
        if !disk.is_on() {
            break;
        }
    }
    run
}

/// Starts, again if the disk failed.
fn start_again(disk: &SimulatedDisk, run: &mut Run) -> Option<Machine> {
    for _ in 0..ATTEMPTS {
        match start(disk) {
            Ok(machine) => return Some(machine),
            Err(_) => run.failures += 1,
        }
    }
    None
}

/// How many compactions it made.
fn take(machine: &Machine, disk: &SimulatedDisk, step: Step) -> Result<u64, String> {
    match step {
        Cut => machine.cut(),
        Seal => drop(machine.seal()?),
        Compact => return machine.compact(),
        Keep => machine.keep()?,
        Day => disk.advance_clock(DAY_NANOS),
        Send | Restart => unreachable!("the driver's own"),
    }
    Ok(0)
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
    let n_sent = SEQUEL.iter().filter(|step| **step == Send).count() as u64;
    assert_eq!(ledger.n_acknowledged(), n_acknowledged + n_sent, "{story}");
    disk.restart(Survival::Nothing);
    check(disk, ledger, story);
    counts
}

/// The steps of an undisturbed run: from the first one, and from where a request was sent.
fn steps_of_the_story() -> u64 {
    let disk = SimulatedDisk::new(DISK_BYTES, 1);
    let mut ledger = Ledger::default();
    let undisturbed = run(&disk, STORY, 0, &mut ledger);
    assert_eq!((undisturbed.failures, undisturbed.compactions), (0, 2));
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
