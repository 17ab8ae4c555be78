//! What a program did to the log, what it was told, and what every start must find of it.
//!
//! The rules that must hold afterwards, checked against a ledger of what each waiter was told:
//! - acknowledged: found exactly once, at its position, in order, forever;
//! - an error that is settled: never found;
//! - an unsettled error, or no answer before the cut: found whole or not at all, and what one start
//!   found every later start finds, what one start did not find none does;
//! - nothing of this is ever called damage;
//! - what was released to truncation may be there or not, but what is there has no gap behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::options;
use crate::log::Counters;
use crate::simulated::{Random, SimulatedDisk};
use crate::truncate::truncate;
use crate::writer::{Pending, Writer};
use crate::{AppendError, Position, Recovered, Verdict, recovery, verify};

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Not answered, or not settled.
    Open,
    /// Acknowledged, or found by a start.
    Kept { start: Position, end: Position },
    /// Failed for good, or missed by a start.
    Gone,
}

/// What was done to the log and what it said, by record id.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    fates: Arc<Mutex<BTreeMap<u64, Fate>>>,
    /// Everything before it is kept elsewhere.
    released: Arc<Mutex<Option<Position>>>,
}

impl Ledger {
    pub(super) fn fork(&self) -> Self {
        let fates = self.fates.lock().unwrap().clone();
        let released = *self.released.lock().unwrap();
        Self { fates: Arc::new(Mutex::new(fates)), released: Arc::new(Mutex::new(released)) }
    }

    fn released(&self) -> Option<Position> {
        *self.released.lock().unwrap()
    }

    /// Gives up all but so many of the records that are kept. Says what is given up by now.
    pub(super) fn release_all_but(&self, n_records: u64) -> Option<Position> {
        let fates = self.fates.lock().unwrap();
        let mut ends = fates.values().rev().filter_map(|fate| match fate {
            Fate::Kept { end, .. } => Some(*end),
            Fate::Open | Fate::Gone => None,
        });
        let mut released = self.released.lock().unwrap();
        *released = ends.nth(n_records as usize).max(*released);
        *released
    }

    pub(super) fn submit(&self, payload_bytes: u64) -> Pending {
        let mut fates = self.fates.lock().unwrap();
        let id = fates.len() as u64;
        fates.insert(id, Fate::Open);
        let payload = payload(id, payload_bytes);
        let payload_checksum = crc32c::crc32c(&payload);
        let fates = Arc::clone(&self.fates);
        let payload_bytes = payload.len() as u32;
        let done = Box::new(move |result: Result<Position, AppendError>| {
            let fate = match result {
                Ok(start) => Fate::Kept { start, end: start.after_record(payload_bytes.into()) },
                Err(AppendError::Unsettled(_)) => Fate::Open,
                Err(_) => Fate::Gone,
            };
            fates.lock().unwrap().insert(id, fate);
        });
        Pending { parts: vec![payload], payload_bytes, payload_checksum, done }
    }

    /// Holds a replay from what is released against what was promised, and settles what was open.
    fn check(&self, found: &[(Position, Vec<u8>)], tally: &mut Tally, story: &str) {
        let released = self.released();
        let mut fates = self.fates.lock().unwrap();
        let mut seen = BTreeMap::new();
        for (position, bytes) in found {
            let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert_eq!(
                *bytes,
                payload(id, bytes.len() as u64),
                "{story}: record {id} is not whole"
            );
            let end = position.after_record(bytes.len() as u64);
            tally.duplicated += u64::from(seen.insert(id, (*position, end)).is_some());
        }
        assert!(found.is_sorted_by_key(|(position, _)| *position), "{story}: positions in order");
        assert!(found.iter().all(|(position, _)| Some(*position) >= released), "{story}");
        let ids = found.iter().map(|(_, bytes)| bytes[..8].to_vec());
        let ids = ids.map(|id| u64::from_le_bytes(id.try_into().unwrap()));
        assert!(ids.is_sorted(), "{story}: records in append order");
        for (id, fate) in fates.iter_mut() {
            match (*fate, seen.remove(id)) {
                (Fate::Kept { start, .. }, Some((position, _))) => {
                    tally.acknowledged += 1;
                    tally.found += 1;
                    assert_eq!(start, position, "{story}");
                }
                (Fate::Kept { start, .. }, None) if Some(start) < released => tally.released += 1,
                (Fate::Kept { .. }, None) => {
                    tally.acknowledged += 1;
                    tally.lost += 1;
                }
                (Fate::Gone, Some(_)) => panic!("{story}: record {id} failed and came back"),
                (Fate::Gone, None) => {}
                (Fate::Open, Some((start, end))) => *fate = Fate::Kept { start, end },
                (Fate::Open, None) => *fate = Fate::Gone,
            }
        }
        assert!(seen.is_empty(), "{story}: records nobody sent: {seen:?}");
        assert_eq!((tally.lost, tally.duplicated), (0, 0), "{story}");
    }

    /// Of what is released some is left: the newest of it.
    fn check_rest(&self, all: &[Position], story: &str) {
        let released = self.released();
        let left: Vec<Position> =
            all.iter().copied().filter(|start| Some(*start) < released).collect();
        let fates = self.fates.lock().unwrap();
        let given_up: Vec<Position> = (fates.values())
            .filter_map(|fate| match fate {
                Fate::Kept { start, .. } if Some(*start) < released => Some(*start),
                _ => None,
            })
            .collect();
        assert!(given_up.ends_with(&left), "{story}: {left:?} is not the end of {given_up:?}");
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
pub(super) struct Tally {
    pub(super) workloads: u64,
    pub(super) cuts: u64,
    pub(super) faults: u64,
    pub(super) starts: u64,
    pub(super) acknowledged: u64,
    pub(super) found: u64,
    /// Given up by then, and not found.
    pub(super) released: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
}

/// One thing that a workload does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Records of these sizes, handed to the writer at once.
    Group(Vec<u64>),
    /// The program is killed and starts again.
    Kill,
    /// The program stops in order and starts again.
    Close,
    /// The disk holds so much from now on.
    Resize(u64),
    /// All but so many records are kept elsewhere, and the log is truncated.
    Truncate(u64),
}

/// A program that uses the log, started anew after each restart.
pub(super) struct Program {
    disk: SimulatedDisk,
    ledger: Ledger,
    writer: Option<Writer>,
}

impl Program {
    pub(super) fn new(disk: SimulatedDisk, ledger: Ledger) -> Self {
        Self { disk, ledger, writer: None }
    }

    /// Runs until the end or until the power is off.
    pub(super) fn run(&mut self, actions: &[Action], tally: &mut Tally, story: &str) {
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
            Action::Truncate(n_records) => self.truncator().truncate(*n_records),
        }
    }

    /// A handle for another thread.
    pub(super) fn truncator(&self) -> Truncations {
        Truncations { disk: self.disk.clone(), ledger: self.ledger.clone() }
    }

    /// Recovers, checks what is found, goes on. `false` if the power went meanwhile. A disk that
    /// fails is tried again, as an operator would.
    pub(super) fn start(&mut self, tally: &mut Tally, story: &str) -> bool {
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
        let replayed = recovered.replay_from(self.ledger.released(), |position, payload| {
            found.push((position, payload.to_vec()));
            Verdict::Taken
        });
        let report = replayed.map_err(|error| error.to_string())?;
        assert_eq!(recovered.damage, [], "{story}");
        assert_eq!(report.damage, [], "{story}");
        tally.starts += 1;
        self.ledger.check(&found, tally, story);
        if self.ledger.released().is_some() {
            self.check_rest(&mut recovered, story)?;
        }
        let (log, last) = (recovered.log_uuid(), recovered.last());
        let mut writer = Writer::new(disk, options(), log, last, Arc::new(Counters::default()));
        let _ = writer.take_reserve();
        self.writer = Some(writer);
        Ok(())
    }

    /// What is released may be there, and is never called damage.
    fn check_rest(&self, recovered: &mut Recovered, story: &str) -> Result<(), String> {
        let mut all = Vec::new();
        let replayed = recovered.replay(|position, _| {
            all.push(position);
            Verdict::Taken
        });
        replayed.map_err(|error| error.to_string())?;
        let verification = verify(&self.disk).map_err(|error| error.to_string())?;
        assert!(verification.is_sound(), "{story}: {verification:?}");
        self.ledger.check_rest(&all, story);
        Ok(())
    }
}

/// Who truncates, once the ledger says what is kept elsewhere.
pub(super) struct Truncations {
    disk: SimulatedDisk,
    ledger: Ledger,
}

impl Truncations {
    /// A disk that fails here is no matter: the next truncation removes what this one did not.
    pub(super) fn truncate(&self, n_records: u64) {
        if let Some(before) = self.ledger.release_all_but(n_records) {
            let _ = truncate(&self.disk, &Counters::default(), before);
        }
    }
}
