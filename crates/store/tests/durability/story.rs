//! What machines live through, step by step.
//!
//! In: a world, in which machines start and time passes; steps. Out: answers in a ledger, and how
//! much went wrong on the way. A step that fails is taken again, as the server does, but not for
//! ever.

use crate::ledger::Ledger;
use crate::machine::Machine;

pub(crate) const DAY_NANOS: u64 = 24 * 3_600_000_000_000;

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send,
    Cut,
    /// Seals the oldest window and shortens the log.
    Seal,
    Compact,
    /// Deletes, forgets, takes a snapshot.
    Keep,
    /// A day passes, by the clock of the store.
    Day,
    /// A clean end and a new start.
    Restart,
}

use Step::{Compact, Cut, Day, Keep, Restart, Seal, Send};

/// Windows that wait for each other, a window over a restart, two compactions, deletions.
#[rustfmt::skip]
pub(crate) const STORY: &[Step] = &[
    Send, Send, Send, Cut, Seal,
    Send, Send, Cut, Send, Cut, Send, Seal, Seal,
    Compact, Send, Day, Keep,
    Restart, Send, Cut, Seal,
    Compact, Day, Keep, Send,
];

/// After a disaster: goes on, cleans up, and all of the story is in blocks.
#[rustfmt::skip]
pub(crate) const SEQUEL: &[Step] =
    &[Send, Cut, Seal, Seal, Seal, Day, Keep, Compact, Day, Keep, Day, Keep, Send];

/// The number of the sequel's first request.
pub(crate) const SEQUEL_FIRST: u64 = 1_000;

pub(crate) struct World<'a> {
    pub(crate) start: &'a dyn Fn() -> Result<Machine, String>,
    pub(crate) day: &'a dyn Fn(),
    /// Whether the machine runs: no power, no further step.
    pub(crate) is_on: &'a dyn Fn() -> bool,
    /// How many times a step is tried.
    pub(crate) attempts: u32,
}

/// What a run did, beside the ledger.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) compactions: u64,
    pub(crate) failures: u64,
    /// Steps that failed every time.
    pub(crate) given_up: u64,
}

impl World<'_> {
    /// Takes the steps one by one, until the end or until the machine is off.
    pub(crate) fn run(&self, steps: &[Step], first_request: u64, ledger: &mut Ledger) -> Run {
        let mut run = Run::default();
        let mut number = first_request;
        let Some(mut machine) = self.start_again(&mut run) else { return run };
        for step in steps {
            match step {
                Restart => {
                    drop(machine);
                    let Some(next) = self.start_again(&mut run) else { return run };
                    machine = next;
                }
                Send => {
                    let answer = machine.send(number);
                    ledger.note(number, &answer);
                    run.failures += u64::from(answer.is_err());
                    number += 1;
                }
                step => {
                    let compactions = self.again(&mut run, || self.take(&machine, *step));
                    run.compactions += compactions.unwrap_or(0);
                }
            }
            if !(self.is_on)() {
                break;
            }
        }
        run
    }

    fn start_again(&self, run: &mut Run) -> Option<Machine> {
        self.again(run, || (self.start)())
    }

    fn again<T>(&self, run: &mut Run, attempt: impl Fn() -> Result<T, String>) -> Option<T> {
        for _ in 0..self.attempts {
            match attempt() {
                Ok(done) => return Some(done),
                Err(_) => run.failures += 1,
            }
        }
        run.given_up += 1;
        None
    }

    /// How many compactions it made.
    fn take(&self, machine: &Machine, step: Step) -> Result<u64, String> {
        match step {
            Cut => machine.cut(),
            Seal => drop(machine.seal()?),
            Compact => return machine.compact(),
            Keep => machine.keep()?,
            Day => (self.day)(),
            Send | Restart => unreachable!("the driver's own"),
        }
        Ok(0)
    }
}
