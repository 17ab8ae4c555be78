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
    /// Counts a row.
    pub(super) fn add(&mut self, trace_id: &[u8; 16]) {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        let slot = self.slot(trace_id);
        self.slots[slot] = self.slots[slot].saturating_add(1);
    }

    /// Whether a trace may have more rows than the limit.
    pub(super) fn may_exceed(&self, trace_id: &[u8; 16], rows_max: u32) -> bool {
        self.slots.get(self.slot(trace_id)).is_some_and(|slot| *slot > rows_max)
    }

    fn slot(&self, trace_id: &[u8; 16]) -> usize {
        self.hasher.hash_one(trace_id) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_over_the_limit_is_always_noticed() {
        let mut sizes = TraceSizes::default();
        assert!(!sizes.may_exceed(&[7; 16], 3), "nothing was counted");
        let noticed = (0..5).map(|_| {
            sizes.add(&[7; 16]);
            sizes.may_exceed(&[7; 16], 3)
        });
        assert_eq!(noticed.collect::<Vec<bool>>(), [false, false, false, true, true]);
    }
}
