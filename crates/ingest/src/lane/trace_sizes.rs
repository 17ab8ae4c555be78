//! Finds the rare trace that may have too many spans without counting every trace.
//!
//! Each trace id falls into one of some thousand slots that count rows. A slot is never below the
//! true size of any of its traces, so while it is under the limit nobody needs to look; only above
//! it are traces counted exactly, by whoever knows the rows.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

const SLOTS: usize = 4_096;

/// Counts of rows by slot; allocated with the first row.
#[derive(Debug, Default)]
pub(super) struct TraceSizes {
    slots: Vec<u32>,
    /// Seeded at random, as every table whose keys come from outside.
    hasher: RandomState,
}

impl TraceSizes {
    /// Counts a row. Returns true if its trace may now have more rows than the limit.
    pub(super) fn add(&mut self, trace_id: &[u8; 16], rows_max: u32) -> bool {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        let slot = &mut self.slots[self.hasher.hash_one(trace_id) as usize % SLOTS];
        *slot = slot.saturating_add(1);
        *slot > rows_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_over_the_limit_is_always_noticed() {
        let mut sizes = TraceSizes::default();
        let noticed: Vec<bool> = (0..5).map(|_| sizes.add(&[7; 16], 3)).collect();
        assert_eq!(noticed, [false, false, false, true, true]);
    }
}
