//! Reads a shard's catalog: the newest snapshot, then the entries after it.
//!
//! In: the store. Out: a state that every other reader has had or will have. Nothing is written.
//!
//! An entry is deleted when a snapshot that holds it is a day old, and then a writer that slept
//! since before can create its number anew. So what was read of entries counts only if, looked at
//! afterwards, no snapshot has reached them: then none of them was ever deleted, since the newest
//! snapshot always stays. Otherwise everything is read again from that snapshot.

use std::sync::Arc;

use suyuan_objects::Objects;

use crate::CatalogError;
use crate::change::Entry;
use crate::format::{FormatError, decode_entry, decode_snapshot};
use crate::place::Folder;
use crate::state::State;

/// How many times a catalog is read from its newest snapshot before giving up. Another time is
/// needed only if somebody takes a snapshot during it.
const LOADS_MAX: u32 = 16;

/// What the catalog holds now.
pub(crate) fn load(objects: &dyn Objects, folder: Folder) -> Result<State, CatalogError> {
    let mut missing = None;
    for _ in 0..LOADS_MAX {
        let (mut state, newest) = newest_readable_snapshot(objects, folder)?;
        let read = read_entries(objects, folder, &mut state);
        if newest_snapshot(objects, folder)? > newest {
            continue;
        }
        read?;
        if state.number < newest {
            // Only an older snapshot can be read, and the entries after it do not lead here.
            return Err(read_snapshot(objects, folder, newest).err().unwrap_or(
                CatalogError::MissingEntry { path: folder.entry(state.number + 1), later: newest },
            ));
        }
        let last = folder.entries(objects)?.last().map_or(0, |entry| entry.number);
        if last <= state.number {
            return Ok(Arc::unwrap_or_clone(state));
        }
        // Entries came meanwhile, or one is lost: the next round tells.
        missing =
            Some(CatalogError::MissingEntry { path: folder.entry(state.number + 1), later: last });
    }
    Err(missing.unwrap_or(CatalogError::Restless { tries: LOADS_MAX }))
}

/// Takes the entries after `state` that are there. They count only if [`newest_snapshot`],
/// asked after this, is not beyond where `state` began.
pub(crate) fn read_entries(
    objects: &dyn Objects,
    folder: Folder,
    state: &mut Arc<State>,
) -> Result<(), CatalogError> {
    loop {
        let number = state.number + 1;
        let Some(entry) = read_entry(objects, folder, number)? else { return Ok(()) };
        let mut written_unix_nanos = 0;
        if entry.needs_time() {
            // Gone since: a snapshot has passed it, which the caller's look will show.
            let Some(info) = objects.head(&folder.entry(number))? else { return Ok(()) };
            written_unix_nanos = info.modified_unix_nanos;
        }
        if let Err(why) = Arc::make_mut(state).advance(entry, written_unix_nanos) {
            tracing::debug!(shard = folder.shard, number, %why, "an entry does not count");
        }
    }
}

/// The entry of a number; `None` if there is none.
pub(crate) fn read_entry(
    objects: &dyn Objects,
    folder: Folder,
    number: u64,
) -> Result<Option<Entry>, CatalogError> {
    let path = folder.entry(number);
    let Some(object) = objects.get(&path)? else { return Ok(None) };
    let entry = decode_entry(&object).map_err(|error| unusable(&path, error))?;
    if entry.number != number || entry.shard != folder.shard {
        return Err(CatalogError::Misplaced { path, number: entry.number, shard: entry.shard });
    }
    Ok(Some(entry))
}

/// The number of the newest snapshot; 0: there is none.
pub(crate) fn newest_snapshot(objects: &dyn Objects, folder: Folder) -> Result<u64, CatalogError> {
    Ok(folder.snapshots(objects)?.last().map_or(0, |snapshot| snapshot.number))
}

/// The state of the newest snapshot that is whole, and the number of the newest one. Without any
/// snapshot it is the empty state.
fn newest_readable_snapshot(
    objects: &dyn Objects,
    folder: Folder,
) -> Result<(Arc<State>, u64), CatalogError> {
    let snapshots = folder.snapshots(objects)?;
    let newest = snapshots.last().map_or(0, |snapshot| snapshot.number);
    for snapshot in snapshots.iter().rev() {
        match read_snapshot(objects, folder, snapshot.number) {
            Ok(Some(state)) => return Ok((Arc::new(state), newest)),
            // Deleted since, because a newer one is a day old.
            Ok(None) => {}
            Err(error @ (CatalogError::Damaged { .. } | CatalogError::Misplaced { .. })) => {
                tracing::error!(%error, "reading the snapshot before it");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((Arc::default(), newest))
}

/// The state that a snapshot holds; `None` if there is none of that number.
pub(crate) fn read_snapshot(
    objects: &dyn Objects,
    folder: Folder,
    number: u64,
) -> Result<Option<State>, CatalogError> {
    let path = folder.snapshot(number);
    let Some(object) = objects.get(&path)? else { return Ok(None) };
    let (shard, state) = decode_snapshot(&object).map_err(|error| unusable(&path, error))?;
    if state.number != number || shard != folder.shard {
        return Err(CatalogError::Misplaced { path, number: state.number, shard });
    }
    Ok(Some(state))
}

fn unusable(path: &str, source: FormatError) -> CatalogError {
    let path = path.to_owned();
    match source.is_too_new() {
        true => CatalogError::TooNew { path, source },
        false => CatalogError::Damaged { path, source },
    }
}
