//! A disk in memory that forgets what was not synced, for tests.
//!
//! In: the steps of a program, a step at which the power goes, steps that fail. Out: what a real
//! disk might hold afterwards. Bytes are durable by sector of 512, as drives write them, and names
//! one by one; unsynced ones survive all, not at all, or each by the seed, in any order, and what is
//! in a folder whose own name did not survive is gone with it. A failed fsync forgets that anything was to be written and succeeds when repeated, as kernels do.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile, FileInfo, Uuid};

mod state;

pub(crate) use state::Random;
use state::{Content, FOLDER, NameChange, State, full, io_error};

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

/// Where the disk's clock begins: 2026-01-01.
const FIRST_UNIX_NANOS: u64 = 1_767_225_600_000_000_000;

/// The disk. A clone is another handle to it; `fork` makes another disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// What stands before every path: empty, or a folder with its slash.
    prefix: String,
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
            now_unix_nanos: FIRST_UNIX_NANOS,
        };
        Self { state: Arc::new(Mutex::new(state)), prefix: String::new() }
    }

    /// A copy of the disk as it is now, cache and all.
    pub fn fork(&self) -> Self {
        let state = Arc::new(Mutex::new(self.state().clone()));
        Self { state, prefix: self.prefix.clone() }
    }

    /// A handle to a folder of the same disk, which is made durably: one power for several users.
    pub fn inside(&self, folder: &str) -> Self {
        let prefix = format!("{}{folder}/", self.prefix);
        let mut state = self.state();
        state.make_durable_folders_above(&prefix);
        Self { state: Arc::clone(&self.state), prefix }
    }

    /// Sets the disk's clock forward. Every step takes a millisecond of it.
    pub fn advance_clock(&self, nanos: u64) {
        self.state().now_unix_nanos += nanos;
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
        Some(state.contents.get(state.names.get(&self.full_path(path))?)?.bytes.clone())
    }

    /// Makes a file hold exactly these bytes, durably: damage, or a file from elsewhere.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let path = self.full_path(path);
        let mut state = self.state();
        state.make_durable_folders_above(&path);
        let modified_unix_nanos = state.now_unix_nanos;
        let id = state.add(Content::new(bytes.clone(), bytes, modified_unix_nanos));
        state.names.insert(path.clone(), id);
        state.durable_names.insert(path, id);
    }

    /// From now on nobody can read these bytes of a file, until they are written again.
    pub fn spoil(&self, path: &str, offset: u64, bytes: u64) {
        let mut state = self.state();
        if let Some(id) = state.names.get(&self.full_path(path)).copied()
            && let Ok(content) = state.content(id)
        {
            content.spoiled = offset..offset + bytes;
        }
    }

    /// A path, or the name of a folder, from the root of the disk.
    fn full_path(&self, path: &str) -> String {
        let path = format!("{}{path}", self.prefix);
        path.strip_suffix('/').map_or(path.clone(), str::to_owned)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.full_path(path);
        let mut state = self.state();
        state.begin_step()?;
        state.check_folder_above(&path)?;
        let replaced = state.names.get(&path).and_then(|id| state.contents.get(id));
        let replaced = replaced.map_or(0, |content| content.bytes.len() as u64);
        if state.used_bytes() - replaced + bytes > state.capacity_bytes {
            return Err(full());
        }
        let modified_unix_nanos = state.now_unix_nanos;
        let content = Content::new(vec![0; bytes as usize], Vec::new(), modified_unix_nanos);
        let id = state.add(content);
        state.change_name(NameChange::Set(path, id));
        state.end_step()?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id, boot: state.boots }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        state.check_power()?;
        let id = state.file(&self.full_path(path))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id, boot: state.boots }))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        self.rename_to(source, self.full_path(target), Replace::Yes)
    }

    fn rename_new(&self, source: &str, target: &str) -> io::Result<()> {
        self.rename_to(source, self.full_path(target), Replace::No)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.full_path(path);
        let mut state = self.state();
        state.begin_step()?;
        state.file(&path)?;
        state.change_name(NameChange::Remove(path));
        state.end_step()
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        let path = self.full_path(path);
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            let folder = &path[..end];
            let mut state = self.state();
            state.check_power()?;
            match state.names.get(folder) {
                Some(&FOLDER) => continue,
                Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {}
            }
            state.begin_step()?;
            state.change_name(NameChange::Set(folder.to_owned(), FOLDER));
            state.end_step()?;
        }
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let path = self.full_path(path);
        let mut state = self.state();
        state.begin_step()?;
        if state.names.get(&path) != Some(&FOLDER) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = format!("{path}/");
        if state.names.keys().any(|name| name.starts_with(&inside)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.change_name(NameChange::Remove(path));
        state.end_step()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_power()?;
        Ok(state.inside(&self.full_path(folder), |id| id != FOLDER))
    }

    fn list_folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_power()?;
        Ok(state.inside(&self.full_path(folder), |id| id == FOLDER))
    }

    fn info(&self, path: &str) -> io::Result<FileInfo> {
        let mut state = self.state();
        state.check_power()?;
        let id = state.file(&self.full_path(path))?;
        let content = state.content(id)?;
        let bytes = content.bytes.len() as u64;
        Ok(FileInfo { bytes, modified_unix_nanos: content.modified_unix_nanos })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let folder = self.full_path(folder);
        let mut state = self.state();
        if state.begin_step()? == Some(Fault::Sync) {
            return Err(io_error());
        }
        state.end_step()?;
        if !folder.is_empty() && state.names.get(&folder) != Some(&FOLDER) {
            return Err(io::ErrorKind::NotFound.into());
        }
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

    fn sync_all(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.begin_step()? == Some(Fault::Sync) {
            return Err(io_error());
        }
        state.end_step()?;
        state.make_all_durable();
        Ok(())
    }

    fn random_uuid(&self) -> io::Result<Uuid> {
        let mut state = self.state();
        let (a, b) = (state.random.next(), state.random.next());
        Ok(Uuid((u128::from(a) << 64 | u128::from(b)).to_le_bytes()))
    }

    fn now_unix_nanos(&self) -> u64 {
        self.state().now_unix_nanos
    }
}

/// Whether a name that exists may be given to another file.
#[derive(Clone, Copy, PartialEq)]
enum Replace {
    Yes,
    No,
}

impl SimulatedDisk {
    fn rename_to(&self, source: &str, target: String, replace: Replace) -> io::Result<()> {
        let source = self.full_path(source);
        let mut state = self.state();
        state.begin_step()?;
        let id = state.file(&source)?;
        state.check_folder_above(&target)?;
        if replace == Replace::No && state.names.contains_key(&target) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change_name(NameChange::Rename(source, target, id));
        state.end_step()
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
        let now_unix_nanos = state.now_unix_nanos;
        let content = state.content(self.id)?;
        content.write(offset, &bytes);
        content.modified_unix_nanos = now_unix_nanos;
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
        state.content(self.id)?.make_durable();
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
