//! The trace ids of blocks: fingerprints of all of them, and the ids of single slices.
//!
//! A fingerprint is 48 bits of a hash seeded at random, with the number of the slice: sorted, two
//! blocks are held against each other in one pass, and what agrees by accident (one pair of traces
//! in 280,000 million) is settled by the ids.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use suyuan_block::reader::TraceIdRows;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::blocks::BlockError;
use crate::snapshot::BlockSource;

use super::reader_of;

const SLICE_BITS: u32 = 16;
/// Memory for fingerprints of one tenant: 8 million traces. More are read again when needed.
const IDS_BYTES_MAX: u64 = 64 << 20;
/// Slices of one tenant whose ids are kept.
const SLICES_MAX: usize = 128;

/// Fingerprints of the traces of a block, ascending.
pub(super) struct Ids(Vec<u64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u64);

/// Fingerprints of blocks; the newest stay.
#[derive(Default)]
pub(super) struct IdCache {
    hasher: RandomState,
    blocks: BTreeMap<Uuid, Arc<Ids>>,
}

/// Traces of a slice by id, with their rows.
pub(super) type Places = Vec<TraceIdRows>;

/// Ids of slices.
#[derive(Default)]
pub(super) struct PlaceCache {
    slices: HashMap<(Uuid, u32), Arc<Places>>,
}

impl Ids {
    /// The slices that may have a trace.
    pub(super) fn find(&self, fingerprint: Fingerprint) -> impl Iterator<Item = u32> {
        let first = self.0.partition_point(|entry| entry >> SLICE_BITS < fingerprint.0);
        let same = self.0[first..].iter().take_while(move |e| *e >> SLICE_BITS == fingerprint.0);
        same.map(|entry| slice_of(*entry))
    }

    /// For each trace that two blocks may share, the slice of each.
    pub(super) fn shared(&self, other: &Self) -> Vec<(u32, u32)> {
        let (mut one, mut two) = (&self.0[..], &other.0[..]);
        let mut shared = Vec::new();
        while let (Some(first), Some(second)) = (one.first(), two.first()) {
            let (left, right) = (first >> SLICE_BITS, second >> SLICE_BITS);
            if left < right {
                one = &one[1..];
            } else if right < left {
                two = &two[1..];
            } else {
                let same = two.iter().take_while(|entry| *entry >> SLICE_BITS == left);
                shared.extend(same.map(|entry| (slice_of(*first), slice_of(*entry))));
                one = &one[1..];
            }
        }
        shared
    }

    fn bytes(&self) -> u64 {
        self.0.len() as u64 * 8
    }
}

fn slice_of(entry: u64) -> u32 {
    u32::from(entry as u16)
}

impl IdCache {
    pub(super) fn fingerprint(&self, id: &[u8; 16]) -> Fingerprint {
        Fingerprint(self.hasher.hash_one(id) >> SLICE_BITS)
    }

    /// The fingerprints of a block.
    pub(super) fn of(
        &mut self,
        inner: &Inner,
        source: &BlockSource,
    ) -> Result<Arc<Ids>, BlockError> {
        if let Some(ids) = self.blocks.get(&source.block.id) {
            return Ok(ids.clone());
        }
        let reader = reader_of(inner, source)?;
        let ranges = reader.meta().tenants.get(source.tenant as usize).map(|rows| &rows.ranges);
        let mut entries = Vec::new();
        for range in ranges.into_iter().flatten() {
            let ids = reader
                .trace_ids(source.tenant, range.slice)
                .map_err(|error| source.block.judge(error))?;
            let slice = u64::from(range.slice as u16);
            entries.extend(ids.iter().map(|id| self.fingerprint(id).0 << SLICE_BITS | slice));
        }
        entries.sort_unstable();
        let ids = Arc::new(Ids(entries));
        self.blocks.insert(source.block.id, ids.clone());
        // Names of blocks ascend with the time they were made.
        while self.bytes() > IDS_BYTES_MAX && self.blocks.len() > 1 {
            self.blocks.pop_first();
        }
        Ok(ids)
    }

    pub(super) fn retain(&mut self, exists: impl Fn(&Uuid) -> bool) {
        self.blocks.retain(|id, _| exists(id));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.blocks.values().map(|ids| ids.bytes()).sum()
    }
}

impl PlaceCache {
    /// The ids of a slice.
    pub(super) fn of(
        &mut self,
        inner: &Inner,
        source: &BlockSource,
        slice: u32,
    ) -> Result<Arc<Places>, BlockError> {
        let key = (source.block.id, slice);
        if let Some(places) = self.slices.get(&key) {
            return Ok(places.clone());
        }
        let places = reader_of(inner, source)?
            .trace_places(source.tenant, slice)
            .map_err(|error| source.block.judge(error))?;
        if self.slices.len() >= SLICES_MAX {
            self.slices.clear();
        }
        let places = Arc::new(places);
        self.slices.insert(key, places.clone());
        Ok(places)
    }

    pub(super) fn retain(&mut self, exists: impl Fn(&Uuid) -> bool) {
        self.slices.retain(|(id, _), _| exists(id));
    }

    pub(super) fn bytes(&self) -> u64 {
        let bytes = |places: &Arc<Places>| size_of_val(&places[..]) as u64;
        self.slices.values().map(bytes).sum()
    }
}

/// The rows of a trace among the ids of a slice.
pub(super) fn rows_of(places: &Places, id: &[u8; 16]) -> Option<Range<u32>> {
    let at = places.binary_search_by_key(id, |(id, _)| *id).ok()?;
    Some(places[at].1.clone())
}
