//! Which blocks become one.
//!
//! In: of each block its size, when its spans were received, and what of it is dead. Out: the
//! blocks of the next compaction, or none. A rewrite costs as much as the first writing, so there
//! must be a gain: fewer blocks, fewer traces in pieces, or bytes that must go (`design.md 5`).
//! Pure: whether two blocks share traces is asked of the caller, and only where it matters.

use std::time::Duration;

use suyuan_model::UnixNanosRange;
use suyuan_wal::Uuid;

/// Which blocks are written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Who begins compactions.
    pub start: CompactionStart,
    /// Blocks of fewer rows are small. So many of them that follow each other become one.
    pub small_rows_max: u64,
    pub small_blocks_min: usize,
    /// Of a block that a compaction writes.
    pub rows_max: u64,
    /// Of all blocks of a compaction together: it keeps 120 bytes of each trace in memory.
    pub traces_max: u64,
    /// Between the first and the last span received of blocks that become one because they are
    /// small: a block expires when its last span does. Who asks for a compaction gets it without
    /// this limit.
    pub time_max: Duration,
    /// Two blocks of about the same size become one that share more than one trace in so many of
    /// the smaller one's.
    pub traces_per_shared_max: u64,
    /// Further apart than this, blocks are not asked whether they share traces.
    pub trace_horizon: Duration,
    /// A block of which one row in so many is erased or expired is written anew without them.
    pub rows_per_dead_max: u64,
    /// Memory for rows that are being written anew; more if single slices take more.
    pub cache_bytes_max: u64,
}

/// Who begins compactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionStart {
    /// The store, when they pay.
    ByItself,
    /// Only who calls [`Store::compact`](crate::Store::compact).
    OnRequest,
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self {
            start: CompactionStart::ByItself,
            small_rows_max: 1_000_000,
            small_blocks_min: 4,
            rows_max: 4_000_000,
            traces_max: 1_000_000,
            time_max: Duration::from_hours(24),
            traces_per_shared_max: 10,
            trace_horizon: Duration::from_hours(1),
            rows_per_dead_max: 2,
            cache_bytes_max: 64 << 20,
        }
    }
}

/// No compaction reads more blocks than this.
const BLOCKS_MAX: usize = 32;
/// Blocks of one size do not differ by more than this factor.
const SIZE_FACTOR: u64 = 4;
/// Smaller blocks count as if they had so many rows: opening them costs more than their rows.
const ROWS_FLOOR: u64 = 50_000;

/// A block that may be written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    pub(crate) n_rows: u64,
    pub(crate) n_traces: u64,
    pub(crate) received: UnixNanosRange,
    /// Erased or expired rows.
    pub(crate) dead_rows: u64,
    /// Some of them must be gone from the files by now.
    pub(crate) is_due: bool,
}

impl Candidate {
    fn size(&self) -> u64 {
        self.n_rows.max(ROWS_FLOOR)
    }
}

/// The places of the blocks that become one next; nothing if no rewrite pays. `shared_traces` of
/// two places is the number of traces that have spans in both.
pub(crate) fn choose<E>(
    candidates: &[Candidate],
    policy: &CompactionPolicy,
    shared_traces: impl FnMut(usize, usize) -> Result<u64, E>,
) -> Result<Option<Vec<usize>>, E> {
    if let Some(dead) = first_dead(candidates, policy) {
        return Ok(Some(vec![dead]));
    }
    let small = small_in_time(candidates, policy);
    let mut starts = 0..small.len();
    if let Some(run) = starts.find_map(|at| small_run(candidates, &small[at..], policy)) {
        return Ok(Some(run));
    }
    first_sharing(candidates, &in_time(candidates), policy, shared_traces)
}

/// How many blocks fewer there would be if all small ones that may become one were so by now.
pub(crate) fn n_waiting(candidates: &[Candidate], policy: &CompactionPolicy) -> u64 {
    let small = small_in_time(candidates, policy);
    let mut n_waiting = 0;
    let mut rest = &small[..];
    while !rest.is_empty() {
        let n_blocks = small_run(candidates, rest, policy).map_or(1, |run| run.len());
        n_waiting += n_blocks as u64 - 1;
        rest = &rest[n_blocks..];
    }
    n_waiting
}

fn first_dead(candidates: &[Candidate], policy: &CompactionPolicy) -> Option<usize> {
    candidates.iter().position(|block| {
        let is_worth_it = block.dead_rows.saturating_mul(policy.rows_per_dead_max) > block.n_rows;
        block.dead_rows > 0 && (block.is_due || is_worth_it)
    })
}

/// Small blocks by when their spans were received.
fn small_in_time(candidates: &[Candidate], policy: &CompactionPolicy) -> Vec<usize> {
    let is_small = |place: &usize| candidates[*place].n_rows < policy.small_rows_max;
    in_time(candidates).into_iter().filter(is_small).collect()
}

fn in_time(candidates: &[Candidate]) -> Vec<usize> {
    let mut in_time: Vec<usize> = (0..candidates.len()).collect();
    in_time.sort_by_key(|place| (candidates[*place].received.min, candidates[*place].id));
    in_time
}

/// Small blocks of one size at the beginning of those that follow each other, if they are enough.
fn small_run(
    candidates: &[Candidate],
    small: &[usize],
    policy: &CompactionPolicy,
) -> Option<Vec<usize>> {
    let mut run = Set::default();
    for place in small {
        if !run.takes(candidates, *place, policy)
            || run.received_nanos(candidates, *place) > policy.time_max.as_nanos()
        {
            break;
        }
        run.add(candidates, *place);
    }
    (run.places.len() >= policy.small_blocks_min.max(2)).then_some(run.places)
}

/// Blocks that share many traces, as many of them as may become one.
fn first_sharing<E>(
    candidates: &[Candidate],
    in_time: &[usize],
    policy: &CompactionPolicy,
    mut shared_traces: impl FnMut(usize, usize) -> Result<u64, E>,
) -> Result<Option<Vec<usize>>, E> {
    // Small blocks become one soon enough, four at a time; two at a time each row would be written
    // two or three times until they are large. Who asks for a compaction does not want to wait.
    let waits = |block: &Candidate| {
        policy.start == CompactionStart::ByItself && block.n_rows < policy.small_rows_max
    };
    let mut shares_many = |one: usize, other: usize| -> Result<bool, E> {
        let (one_block, other_block) = (&candidates[one], &candidates[other]);
        if waits(one_block) || waits(other_block) {
            return Ok(false);
        }
        if gap_nanos(one_block.received, other_block.received) > policy.trace_horizon.as_nanos() {
            return Ok(false);
        }
        let n_traces = one_block.n_traces.min(other_block.n_traces);
        let shared = shared_traces(one, other)?;
        Ok(shared.saturating_mul(policy.traces_per_shared_max) > n_traces)
    };
    for (at, first) in in_time.iter().enumerate() {
        let mut set = Set::default();
        set.add(candidates, *first);
        for place in &in_time[at + 1..] {
            if !set.takes(candidates, *place, policy) {
                continue;
            }
            for member in set.places.clone() {
                if shares_many(member, *place)? {
                    set.add(candidates, *place);
                    break;
                }
            }
        }
        if set.places.len() > 1 {
            return Ok(Some(set.places));
        }
    }
    Ok(None)
}

/// Blocks that shall become one.
#[derive(Default)]
struct Set {
    places: Vec<usize>,
    n_rows: u64,
    n_traces: u64,
    size_min: u64,
    size_max: u64,
    received: Option<UnixNanosRange>,
}

impl Set {
    fn takes(&self, candidates: &[Candidate], place: usize, policy: &CompactionPolicy) -> bool {
        let block = &candidates[place];
        if self.places.is_empty() {
            return block.n_rows < policy.rows_max && block.n_traces < policy.traces_max;
        }
        let (least, most) = (self.size_min.min(block.size()), self.size_max.max(block.size()));
        self.places.len() < BLOCKS_MAX
            && most <= least.saturating_mul(SIZE_FACTOR)
            && self.n_rows + block.n_rows <= policy.rows_max
            && self.n_traces + block.n_traces <= policy.traces_max
    }

    fn received_nanos(&self, candidates: &[Candidate], place: usize) -> u128 {
        let block = candidates[place].received;
        let range = self.received.map_or(block, |received| received.union(block));
        range.max.saturating_sub(range.min).into()
    }

    fn add(&mut self, candidates: &[Candidate], place: usize) {
        let block = &candidates[place];
        self.size_min =
            if self.places.is_empty() { block.size() } else { self.size_min.min(block.size()) };
        self.size_max = self.size_max.max(block.size());
        self.n_rows += block.n_rows;
        self.n_traces += block.n_traces;
        self.received =
            Some(self.received.map_or(block.received, |range| range.union(block.received)));
        self.places.push(place);
    }
}

/// Between the end of one and the beginning of the other.
fn gap_nanos(one: UnixNanosRange, other: UnixNanosRange) -> u128 {
    let after = |early: UnixNanosRange, late: UnixNanosRange| late.min.saturating_sub(early.max);
    after(one, other).max(after(other, one)).into()
}

#[cfg(test)]
mod tests;
