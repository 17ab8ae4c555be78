//! Rows as ranges: what is left of a unit's rows while conditions are looked at.
//!
//! In: rows of a unit, ascending, and batches that hold some of them. Out: the same rows as rows of
//! a batch, and back. Ranges ascend, are not empty and do not touch.

use std::ops::Range;

use suyuan_model::{Batch, BatchRows};

use crate::filter::RowSet;

/// Pages are read whole anyway: where ranges are shorter than this on the average, gathering them
/// costs more than the rows between them.
const ROWS_PER_RANGE_MIN: u32 = 4;

pub(crate) fn n_rows(ranges: &[Range<u32>]) -> u32 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

pub(crate) fn rows(ranges: &[Range<u32>]) -> Vec<u32> {
    let mut rows = Vec::with_capacity(n_rows(ranges) as usize);
    ranges.iter().for_each(|range| rows.extend(range.clone()));
    rows
}

/// Adds what comes behind.
pub(crate) fn push(ranges: &mut Vec<Range<u32>>, next: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
        _ if next.is_empty() => {}
        _ => ranges.push(next),
    }
}

/// Of rows, which ascend.
pub(crate) fn of_rows(rows: &[u32]) -> Vec<Range<u32>> {
    let mut ranges = Vec::new();
    rows.iter().for_each(|row| push(&mut ranges, *row..row + 1));
    ranges
}

/// Rows that are in both.
pub(crate) fn common(ranges: &[Range<u32>], others: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut common = Vec::new();
    let mut others = others.iter().peekable();
    for range in ranges {
        while let Some(other) = others.peek() {
            let (start, end) = (range.start.max(other.start), range.end.min(other.end));
            if start < end {
                push(&mut common, start..end);
            }
            if other.end > range.end {
                break;
            }
            others.next();
        }
    }
    common
}

/// The rows to read so that these are among them.
pub(crate) fn to_read(ranges: &[Range<u32>]) -> Vec<Range<u32>> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Vec::new() };
    let covered = last.end - first.start;
    let is_crowded = ranges.len() as u32 > covered / ROWS_PER_RANGE_MIN / 2;
    if is_crowded && ranges.len() > 1 {
        return std::iter::once(first.start..last.end).collect();
    }
    ranges.to_vec()
}

/// Rows of a unit as rows of a batch; those that it has not are left out.
pub(crate) fn in_batch(ranges: &[Range<u32>], batch: &Batch) -> RowSet {
    if let BatchRows::Ranges(held) = &batch.rows
        && held == ranges
    {
        return RowSet::all(batch.n_rows);
    }
    if batch.rows == BatchRows::Same
        && let [all] = ranges
        && all.start == 0
        && all.end >= batch.n_rows
    {
        return RowSet::all(batch.n_rows);
    }
    let mut set = RowSet::none(batch.n_rows);
    for_each_common(ranges, batch, |row, len| (row..row + len).for_each(|row| set.insert(row)));
    set
}

/// Calls with each stretch of rows of the batch that are among the ranges: first row, length.
fn for_each_common(ranges: &[Range<u32>], batch: &Batch, mut visit: impl FnMut(u32, u32)) {
    let everything = 0..batch.n_rows;
    let held = match &batch.rows {
        BatchRows::Same => std::slice::from_ref(&everything),
        BatchRows::Ranges(held) => held,
    };
    let mut before = 0;
    let mut asked = ranges.iter().peekable();
    for held in held {
        while let Some(range) = asked.peek() {
            let (start, end) = (range.start.max(held.start), range.end.min(held.end));
            if start < end {
                visit(before + start - held.start, end - start);
            }
            if range.end > held.end {
                break;
            }
            asked.next();
        }
        before += held.end - held.start;
    }
}

/// Finds rows of a unit in a batch; fastest if they ascend.
pub(crate) struct Places<'a> {
    held: &'a [Range<u32>],
    /// For each of those, the rows of the batch before it.
    before: Vec<u32>,
    /// Where the row was that was looked for last.
    last: usize,
    /// Rows that stand in the batch where they stand in the unit.
    n_same: u32,
}

impl<'a> Places<'a> {
    pub(crate) fn new(batch: &'a Batch) -> Self {
        let (held, n_same) = match &batch.rows {
            BatchRows::Same => (&[][..], batch.n_rows),
            BatchRows::Ranges(held) => (&held[..], 0),
        };
        let mut next = 0;
        let before = held.iter().map(|range| {
            next += range.end - range.start;
            next - (range.end - range.start)
        });
        Self { held, before: before.collect(), last: 0, n_same }
    }

    /// The row of the batch; `None`: it has not this one.
    pub(crate) fn find(&mut self, row: u32) -> Option<u32> {
        if row < self.n_same {
            return Some(row);
        }
        let is_near = |place: usize| self.held.get(place).is_some_and(|held| held.contains(&row));
        if is_near(self.last + 1) {
            self.last += 1;
        } else if !is_near(self.last) {
            self.last = self.held.partition_point(|held| held.end <= row);
        }
        let held = self.held.get(self.last)?;
        held.contains(&row).then(|| self.before[self.last] + row - held.start)
    }
}

/// Rows of a batch as rows of its unit.
pub(crate) fn of_set(set: &RowSet, batch: &Batch) -> Vec<Range<u32>> {
    let mut ranges = Vec::new();
    match &batch.rows {
        BatchRows::Same => set.iter().for_each(|row| push(&mut ranges, row..row + 1)),
        BatchRows::Ranges(held) => {
            let mut held = held.iter();
            let (mut current, mut before) = (held.next(), 0);
            for row in set.iter() {
                while let Some(range) = current
                    && row - before >= range.end - range.start
                {
                    before += range.end - range.start;
                    current = held.next();
                }
                let Some(range) = current else { break };
                let row = range.start + row - before;
                push(&mut ranges, row..row + 1);
            }
        }
    }
    ranges
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges may have one")]
mod tests {
    use std::sync::Arc;

    use suyuan_model::TableBuilder;

    use super::*;

    fn batch(held: &[Range<u32>]) -> Batch {
        let chunk = Arc::new(TableBuilder::default().freeze());
        let rows = BatchRows::Ranges(held.to_vec());
        Batch { rows, ..Batch::of_chunk(chunk, n_rows(held)) }
    }

    /// Which rows of the batch the ranges are; the way back gives what the batch has of them.
    fn check(ranges: &[Range<u32>], held: &[Range<u32>], expected: &[u32]) {
        let batch = batch(held);
        let set = in_batch(ranges, &batch);
        assert_eq!(set.iter().collect::<Vec<_>>(), expected);
        let common: Vec<u32> =
            rows(ranges).into_iter().filter(|row| held.iter().any(|h| h.contains(row))).collect();
        assert_eq!(of_set(&set, &batch), of_rows(&common));
        let mut places = Places::new(&batch);
        let found: Vec<u32> = rows(ranges).iter().filter_map(|row| places.find(*row)).collect();
        assert_eq!(found, expected);
        let back = rows(ranges).into_iter().rev().filter_map(|row| places.find(row));
        assert!(back.eq(expected.iter().rev().copied()));
    }

    #[test]
    fn rows_of_a_unit_are_found_in_a_batch_and_back() {
        check(&[2..4, 7..9], &[2..4, 7..9], &[0, 1, 2, 3]);
        check(&[2..4, 7..9], &[0..10], &[2, 3, 7, 8]);
        check(&[2..4, 7..9], &[3..4, 5..6, 8..12], &[0, 2]);
        check(&[0..20], &[3..4, 5..6, 8..12], &[0, 1, 2, 3, 4, 5]);
        check(&[], &[3..4], &[]);
        check(&[3..4], &[], &[]);
    }

    #[test]
    fn rows_become_ranges_that_do_not_touch() {
        assert_eq!(of_rows(&[1, 2, 3, 5, 9, 10]), [1..4, 5..6, 9..11]);
        assert_eq!(rows(&[1..4, 5..6]), [1, 2, 3, 5]);
        let mut ranges = vec![0..4];
        push(&mut ranges, 4..6);
        push(&mut ranges, 7..7);
        push(&mut ranges, 8..9);
        assert_eq!(ranges, [0..6, 8..9]);
    }

    #[test]
    fn rows_of_both_are_common() {
        assert_eq!(common(&[0..4, 6..9], &[2..7, 8..20]), [2..4, 6..7, 8..9]);
        assert_eq!(common(&[2..7, 8..20], &[0..4, 6..9]), [2..4, 6..7, 8..9]);
        assert_eq!(common(&[0..4], &[4..6]), []);
        assert_eq!(common(&[0..4], &[0..2, 2..4]), std::slice::from_ref(&(0..4)));
        assert_eq!(common(&[], &[0..2]), []);
    }

    #[test]
    fn crowded_rows_are_read_with_what_lies_between() {
        let single = |step: usize| of_rows(&(0..800).step_by(step).collect::<Vec<u32>>());
        assert_eq!(to_read(&single(2)).len(), 1);
        assert_eq!(to_read(&single(100)), single(100));
        assert_eq!(to_read(&[]), []);
    }
}
