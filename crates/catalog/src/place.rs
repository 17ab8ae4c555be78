//! Where the objects of a shard's catalog lie, and what their names say.

use suyuan_objects::{ObjectError, ObjectInfo, Objects};

/// Below it every shard has a folder, named by its number.
pub(crate) const CATALOG: &str = "catalog";

/// Digits of a number in a name, as many as the greatest one has: names sort as numbers do.
const DIGITS: usize = 20;

/// No entry comes to have a number beyond this, so that counting on from a name is safe.
const NUMBER_MAX: u64 = 1 << 62;

/// The folder of a shard's catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folder {
    pub(crate) shard: u32,
}

/// An object whose name is a number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) info: ObjectInfo,
}

impl Folder {
    pub(crate) fn entry(self, number: u64) -> String {
        format!("{CATALOG}/{}/entries/{number:020}", self.shard)
    }

    pub(crate) fn snapshot(self, number: u64) -> String {
        format!("{CATALOG}/{}/snapshots/{number:020}", self.shard)
    }

    /// The entries there are, by number.
    pub(crate) fn entries(self, objects: &dyn Objects) -> Result<Vec<Numbered>, ObjectError> {
        numbered(objects, &format!("{CATALOG}/{}/entries", self.shard))
    }

    /// The snapshots there are, by number.
    pub(crate) fn snapshots(self, objects: &dyn Objects) -> Result<Vec<Numbered>, ObjectError> {
        numbered(objects, &format!("{CATALOG}/{}/snapshots", self.shard))
    }
}

/// The objects of a folder whose names are numbers. Other names are not ours.
fn numbered(objects: &dyn Objects, folder: &str) -> Result<Vec<Numbered>, ObjectError> {
    let named = objects.list(folder)?.into_iter().filter_map(|info| {
        let name = info.path.strip_prefix(folder)?.strip_prefix('/')?;
        let is_number = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
        let number = name.parse().ok().filter(|number| is_number && *number <= NUMBER_MAX)?;
        Some(Numbered { number, info })
    });
    Ok(named.collect())
}

/// The shards that have a catalog, in order.
pub(crate) fn shards(objects: &dyn Objects) -> Result<Vec<u32>, ObjectError> {
    let mut shards: Vec<u32> = Vec::new();
    for info in objects.list(CATALOG)? {
        let parts = info.path.strip_prefix(CATALOG).and_then(|rest| rest.strip_prefix('/'));
        let shard = parts.and_then(|rest| rest.split_once('/')).map(|(shard, _)| shard);
        if let Some(Ok(shard)) = shard.map(str::parse)
            && !shards.contains(&shard)
        {
            shards.push(shard);
        }
    }
    shards.sort_unstable();
    Ok(shards)
}
