//! A disk in memory that forgets what was not synced, for tests.
//!
//! In: the steps of a program, a step at which the power goes, steps that fail. Out: what a real
//! disk might hold afterwards. Bytes are durable by sector of 512, as drives write them, and names
//! one by one; unsynced ones survive all, not at all, or each by the seed, in any order. A failed
//! fsync forgets that anything was to be written and succeeds when repeated, as kernels do.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile, Uuid};

const SECTOR_BYTES: u64 = 512;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step has no effect and fails with an I/O error.
    Io,
    /// The step has no effect and fails for want of space.
    Full,
    /// A write takes at most so many bytes. Any other step passes.
    ShortWrite(u64),
    /// A sync of a file fails after it wrote some sectors, and takes the others for written. The
    /// sync of a folder fails without effect. Any other step passes.
    Sync,
}

/// What is left of unsynced bytes and names after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them, and what was unsynced still is: the program was killed, the power stayed on.
    Everything,
    /// Some, by this seed.
    Some(u64),
}

/// The disk. A clone is another handle to it; `fork` makes another disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    /// An empty disk that holds at most `capacity_bytes`. The seed decides uuids, and what a failed
    /// sync writes.
    pub fn new(capacity_bytes: u64, seed: u64) -> Self {
        let state = State {
            contents: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            contents_made: 0,
            capacity_bytes,
            steps: 0,
            cut_at: None,
            faults: BTreeMap::new(),
            is_on: true,
            boots: 0,
            random: Random(seed),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A copy of the disk as it is now, cache and all.
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())) }
    }

    /// How many steps that change something were taken so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// The power goes in the middle of that step: a write may survive, a sync has not happened.
    pub fn cut_power_at(&self, step: u64) {
        self.state().cut_at = Some(step);
    }

    /// That step goes wrong.
    pub fn fail_at(&self, step: u64, fault: Fault) {
        self.state().faults.insert(step, fault);
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        self.state().is_on
    }

    /// From now on the disk holds so much.
    pub fn resize(&self, capacity_bytes: u64) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// Ends the program that used the disk, if it still runs, and begins anew with what survives.
    /// Cuts and faults that were planned are forgotten. Files opened before fail from now on.
    pub fn restart(&self, survival: Survival) {
        let mut state = self.state();
        state.restart(survival);
    }

    /// The bytes of a file, as a program would read them.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.contents.get(state.names.get(path)?)?.bytes.clone())
    }

    /// Makes a file hold exactly these bytes, durably: damage, or a file from elsewhere.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let id = state.add(Content::new(bytes.clone(), bytes));
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    /// From now on nobody can read these bytes of a file, until they are written again.
    pub fn spoil(&self, path: &str, offset: u64, bytes: u64) {
        let mut state = self.state();
        if let Some(id) = state.names.get(path).copied()
            && let Ok(content) = state.content(id)
        {
            content.spoiled = offset..offset + bytes;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_step()?;
        let replaced = state.names.get(path).and_then(|id| state.contents.get(id));
        let replaced = replaced.map_or(0, |content| content.bytes.len() as u64);
        if state.used_bytes() - replaced + bytes > state.capacity_bytes {
            return Err(full());
        }
        let id = state.add(Content::new(vec![0; bytes as usize], Vec::new()));
        state.change_name(NameChange::Set(path.to_owned(), id));
        state.end_step()?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id, boot: state.boots }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        state.check_power()?;
        let Some(id) = state.names.get(path) else { return Err(io::ErrorKind::NotFound.into()) };
        Ok(Box::new(SimulatedFile { disk: self.clone(), id: *id, boot: state.boots }))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_step()?;
        let Some(id) = state.names.get(source).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        state.change_name(NameChange::Rename(source.to_owned(), target.to_owned(), id));
        state.end_step()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_step()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(path.to_owned()));
        state.end_step()
    }

    /// A folder is a part of its files' names, so there is nothing to make.
    fn create_folder(&self, _: &str) -> io::Result<()> {
        self.state().check_power()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_power()?;
        let inside = state.names.keys().filter_map(|path| match path.rsplit_once('/') {
            None => folder.is_empty().then(|| path.clone()),
            Some((parent, name)) => (parent == folder).then(|| name.to_owned()),
        });
        Ok(inside.collect())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.begin_step()? == Some(Fault::Sync) {
            return Err(io_error());
        }
        state.end_step()?;
        let changes = std::mem::take(&mut state.unsynced_names);
        for change in changes {
            if change.folder() == folder {
                change.apply(&mut state.durable_names);
            } else {
                state.unsynced_names.push(change);
            }
        }
        Ok(())
    }

    fn random_uuid(&self) -> io::Result<Uuid> {
        let mut state = self.state();
        let (a, b) = (state.random.next(), state.random.next());
        Ok(Uuid((u128::from(a) << 64 | u128::from(b)).to_le_bytes()))
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
    boot: u64,
}

impl SimulatedFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.check_power()?;
        if state.boots != self.boot {
            return Err(io::Error::other("this file was opened before the restart"));
        }
        Ok(state)
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.content(self.id)?.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        let content = state.content(self.id)?;
        let held = &content.bytes;
        let end = offset.saturating_add(buffer.len() as u64).min(held.len() as u64);
        if offset < content.spoiled.end && content.spoiled.start < end {
            return Err(io_error());
        }
        let from = held.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let bytes = buffer.len().min(held.len() - from);
        buffer[..bytes].copy_from_slice(&held[from..from + bytes]);
        Ok(bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state()?;
        let fault = state.begin_step()?;
        let mut bytes = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>();
        if let Some(Fault::ShortWrite(bytes_max)) = fault {
            bytes.truncate(bytes_max as usize);
        }
        let grown = (offset + bytes.len() as u64)
            .saturating_sub(state.content(self.id)?.bytes.len() as u64);
        if grown > 0 && state.used_bytes() + grown > state.capacity_bytes {
            return Err(full());
        }
        state.content(self.id)?.write(offset, &bytes);
        state.end_step()?;
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let fault = state.begin_step()?;
        state.end_step()?;
        if fault == Some(Fault::Sync) {
            let mut random = Random(state.random.next());
            let content = state.content(self.id)?;
            content.durable = content.survivor(&mut |choices| random.below(choices));
            content.unsynced.clear();
            return Err(io_error());
        }
        let content = state.content(self.id)?;
        // Not simply a copy: what an earlier sync failed to write stays unwritten.
        let kept = content.survivor(&mut |choices| choices - 1);
        content.durable = kept;
        content.unsynced.clear();
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.begin_step()?;
        let content = state.content(self.id)?;
        content.bytes.resize(bytes as usize, 0);
        content.unsynced.retain(|sector, _| sector * SECTOR_BYTES < bytes);
        state.end_step()
    }
}

#[derive(Clone)]
struct State {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    contents_made: u64,
    capacity_bytes: u64,
    steps: u64,
    cut_at: Option<u64>,
    faults: BTreeMap<u64, Fault>,
    is_on: bool,
    boots: u64,
    random: Random,
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.is_on { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Counts the step. An error: it fails without effect. A fault: it goes wrong in part.
    fn begin_step(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        self.steps += 1;
        match self.faults.get(&self.steps) {
            Some(Fault::Io) => Err(io_error()),
            Some(Fault::Full) => Err(full()),
            other => Ok(other.copied()),
        }
    }

    /// Cuts the power if this is the step.
    fn end_step(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.steps) {
            self.is_on = false;
        }
        self.check_power()
    }

    fn content(&mut self, id: u64) -> io::Result<&mut Content> {
        self.contents.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn add(&mut self, content: Content) -> u64 {
        self.contents_made += 1;
        self.contents.insert(self.contents_made, content);
        self.contents_made
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|id| self.contents.get(id));
        named.map(|content| content.bytes.len() as u64).sum()
    }

    fn restart(&mut self, survival: Survival) {
        match survival {
            Survival::Nothing => self.lose(&mut |_| 0),
            Survival::Everything => {}
            Survival::Some(seed) => {
                let mut random = Random(seed);
                self.lose(&mut |choices| random.below(choices));
            }
        }
        self.is_on = true;
        self.boots += 1;
        self.cut_at = None;
        self.faults.clear();
    }

    fn lose(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if choose(2) == 1 {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let named: Vec<u64> = self.names.values().copied().collect();
        self.contents.retain(|id, _| named.contains(id));
        for content in self.contents.values_mut() {
            let kept = content.survivor(choose);
            *content =
                Content { spoiled: content.spoiled.clone(), ..Content::new(kept.clone(), kept) };
        }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Rename(source, target, id) => {
                if names.get(source) == Some(id) {
                    names.remove(source);
                }
                names.insert(target.clone(), *id);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn folder(&self) -> &str {
        let (Self::Set(path, _) | Self::Rename(_, path, _) | Self::Remove(path)) = self;
        path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// The bytes of one file: as programs see them, and as the disk has them.
#[derive(Clone)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// By sector, what was written there since the last sync, oldest first.
    unsynced: BTreeMap<u64, Vec<Vec<u8>>>,
    /// What cannot be read.
    spoiled: Range<u64>,
}

impl Content {
    fn new(bytes: Vec<u8>, durable: Vec<u8>) -> Self {
        Self { bytes, durable, unsynced: BTreeMap::new(), spoiled: 0..0 }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset as usize + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset as usize..end].copy_from_slice(bytes);
        if offset < self.spoiled.end && self.spoiled.start < end as u64 {
            self.spoiled = 0..0;
        }
        for sector in offset / SECTOR_BYTES..(end as u64).div_ceil(SECTOR_BYTES) {
            let from = (sector * SECTOR_BYTES) as usize;
            let to = self.bytes.len().min(from + SECTOR_BYTES as usize);
            self.unsynced.entry(sector).or_default().push(self.bytes[from..to].to_vec());
        }
    }

    /// What the disk holds if `choose` picks, out of so many states of the size and of each sector,
    /// the oldest first, the one that reached it.
    fn survivor(&self, choose: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
        let mut kept = self.durable.clone();
        if self.durable.len() != self.bytes.len() && choose(2) == 1 {
            kept.resize(self.bytes.len(), 0);
        }
        for (sector, versions) in &self.unsynced {
            let from = (sector * SECTOR_BYTES) as usize;
            let Some(version) = (choose(versions.len() as u64 + 1) as usize).checked_sub(1) else {
                continue;
            };
            let bytes = &versions[version];
            let to = kept.len().min(from + bytes.len());
            if from < to {
                kept[from..to].copy_from_slice(&bytes[..to - from]);
            }
        }
        kept
    }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

/// SplitMix64: small, and every seed gives another sequence.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
