//! What the simulated disk holds: as programs see it, and as the medium has it.
//!
//! In: changes of names and bytes. Out: the names and bytes that are left after a power cut. Knows
//! no file handles and no paths relative to anything but the root.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use super::{Fault, SECTOR_BYTES, Survival};

/// The content of a name that is a folder.
pub(super) const FOLDER: u64 = 0;

/// Each step takes so long on the disk's own clock.
const STEP_NANOS: u64 = 1_000_000;

#[derive(Clone)]
pub(super) struct State {
    pub(super) contents: BTreeMap<u64, Content>,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) durable_names: BTreeMap<String, u64>,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) contents_made: u64,
    pub(super) capacity_bytes: u64,
    pub(super) steps: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) is_on: bool,
    pub(super) boots: u64,
    pub(super) random: Random,
    pub(super) now_unix_nanos: u64,
}

impl State {
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.is_on { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Counts the step. An error: it fails without effect. A fault: it goes wrong in part.
    pub(super) fn begin_step(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        self.steps += 1;
        self.now_unix_nanos += STEP_NANOS;
        match self.faults.get(&self.steps) {
            Some(Fault::Io) => Err(io_error()),
            Some(Fault::Full) => Err(full()),
            other => Ok(other.copied()),
        }
    }

    /// Cuts the power if this is the step.
    pub(super) fn end_step(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.steps) {
            self.is_on = false;
        }
        self.check_power()
    }

    pub(super) fn content(&mut self, id: u64) -> io::Result<&mut Content> {
        self.contents.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn add(&mut self, content: Content) -> u64 {
        self.contents_made += 1;
        self.contents.insert(self.contents_made, content);
        self.contents_made
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    /// The content of a name that is a file.
    pub(super) fn file(&self, path: &str) -> io::Result<u64> {
        match self.names.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(&FOLDER) => Err(io::ErrorKind::IsADirectory.into()),
            Some(id) => Ok(*id),
        }
    }

    /// The last parts of the names in a folder, if their content is one of those.
    pub(super) fn inside(&self, folder: &str, is_wanted: impl Fn(u64) -> bool) -> Vec<String> {
        let names = self.names.iter().filter(|(_, id)| is_wanted(**id));
        let inside = names.filter_map(|(path, _)| match path.rsplit_once('/') {
            None => folder.is_empty().then(|| path.clone()),
            Some((parent, name)) => (parent == folder).then(|| name.to_owned()),
        });
        inside.collect()
    }

    /// An error if there is no folder to put this name into.
    pub(super) fn check_folder_above(&self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((folder, _)) if self.names.get(folder) != Some(&FOLDER) => {
                Err(io::ErrorKind::NotFound.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn make_durable_folders_above(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            self.names.insert(path[..end].to_owned(), FOLDER);
            self.durable_names.insert(path[..end].to_owned(), FOLDER);
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|id| self.contents.get(id));
        named.map(|content| content.bytes.len() as u64).sum()
    }

    pub(super) fn make_all_durable(&mut self) {
        for change in std::mem::take(&mut self.unsynced_names) {
            change.apply(&mut self.durable_names);
        }
        for content in self.contents.values_mut() {
            content.make_durable();
        }
    }

    pub(super) fn restart(&mut self, survival: Survival) {
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

    /// Whether all folders above a durable name are durable too.
    fn is_reachable(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        above.into_iter().all(|folder| self.durable_names.get(folder) == Some(&FOLDER))
    }

    fn lose(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if choose(2) == 1 {
                change.apply(&mut self.durable_names);
            }
        }
        let reachable = self.durable_names.keys().filter(|path| self.is_reachable(path));
        let reachable = reachable.cloned().collect::<BTreeSet<_>>();
        self.durable_names.retain(|path, _| reachable.contains(path));
        self.names = self.durable_names.clone();
        let named: Vec<u64> = self.names.values().copied().collect();
        self.contents.retain(|id, _| named.contains(id));
        for content in self.contents.values_mut() {
            let kept = content.survivor(choose);
            *content = Content {
                spoiled: content.spoiled.clone(),
                ..Content::new(kept.clone(), kept, content.modified_unix_nanos)
            };
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Set(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
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

    pub(super) fn folder(&self) -> &str {
        let (Self::Set(path, _) | Self::Rename(_, path, _) | Self::Remove(path)) = self;
        path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// The bytes of one file: as programs see them, and as the disk has them.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// By sector, what was written there since the last sync, oldest first.
    pub(super) unsynced: BTreeMap<u64, Vec<Vec<u8>>>,
    /// What cannot be read.
    pub(super) spoiled: Range<u64>,
    pub(super) modified_unix_nanos: u64,
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>, durable: Vec<u8>, modified_unix_nanos: u64) -> Self {
        Self { bytes, durable, unsynced: BTreeMap::new(), spoiled: 0..0, modified_unix_nanos }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
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

    pub(super) fn make_durable(&mut self) {
        // Not simply a copy: what an earlier sync failed to write stays unwritten.
        self.durable = self.survivor(&mut |choices| choices - 1);
        self.unsynced.clear();
    }

    /// What the disk holds if `choose` picks, out of so many states of the size and of each sector,
    /// the oldest first, the one that reached it.
    pub(super) fn survivor(&self, choose: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
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

pub(super) fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

pub(super) fn io_error() -> io::Error {
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
