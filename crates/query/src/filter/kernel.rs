//! Tight loops over the values of a column.
//!
//! In: values with the rows that have them, a predicate, the rows that are asked for. Out: the rows
//! whose value passes. Of a row that stands twice the first value decides. Predicates that cost a
//! nanosecond run over all values, without a branch; the others over the rows asked for.

use std::cmp::Ordering;

use super::rows::RowSet;
use super::scalar::{Comparison, Number};

/// With fewer rows asked for than values by this factor, each is looked up.
const FEW: usize = 16;

/// The rows of a column's values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Positions<'a> {
    /// Every row has one value, its own.
    Dense,
    /// Ascending, each once.
    Sparse(&'a [u32]),
    /// Ascending, some of them more than once.
    Repeated(&'a [u32]),
}

impl<'a> Positions<'a> {
    /// `rows` ascend. A chunk that grows has rows that are not visible yet: they are left out, so
    /// there may be fewer positions than values.
    pub(super) fn of(rows: &'a [u32], n_rows: u32) -> Self {
        let rows = &rows[..rows.partition_point(|row| *row < n_rows)];
        let repeats = rows.windows(2).fold(0u32, |n, pair| n + u32::from(pair[0] == pair[1]));
        match (repeats, rows.len() == n_rows as usize) {
            (0, true) => Self::Dense,
            (0, false) => Self::Sparse(rows),
            _ => Self::Repeated(rows),
        }
    }

    /// The row of the value at a position; one that no row set contains if it is not visible.
    #[inline]
    pub(super) fn row(&self, position: usize) -> u32 {
        match self {
            Self::Dense => position as u32,
            Self::Sparse(rows) | Self::Repeated(rows) => {
                rows.get(position).copied().unwrap_or(u32::MAX)
            }
        }
    }

    /// Whether it is the first value of its row.
    #[inline]
    pub(super) fn is_first(&self, position: usize) -> bool {
        match self {
            Self::Dense | Self::Sparse(_) => true,
            Self::Repeated(rows) => position == 0 || rows[position - 1] != rows[position],
        }
    }

    /// The rows that have a value.
    pub(super) fn rows(&self, n_rows: u32) -> RowSet {
        match self {
            Self::Dense => RowSet::all(n_rows),
            Self::Sparse(rows) | Self::Repeated(rows) => RowSet::of(n_rows, rows.iter().copied()),
        }
    }
}

/// The rows of `within` whose value passes a predicate that costs next to nothing.
pub(super) fn select<T: Copy>(
    values: &[T],
    positions: Positions<'_>,
    within: &RowSet,
    passes: impl Fn(T) -> bool,
) -> RowSet {
    let mut selected = RowSet::none(within.n_rows());
    match positions {
        Positions::Dense => {
            let words = selected.words_mut().iter_mut().zip(within.words());
            for ((word, asked), values) in words.zip(values.chunks(u64::BITS as usize)) {
                if *asked != 0 {
                    *word = bits(values, &passes) & asked;
                }
            }
        }
        Positions::Sparse(rows) if rows.len() < within.count() as usize * FEW => {
            let words = selected.words_mut();
            for (row, value) in rows.iter().zip(values) {
                words[*row as usize / 64] |= u64::from(passes(*value)) << (row % 64);
            }
            selected.intersect(within);
        }
        _ => return select_slowly(positions, within, |position| passes(values[position])),
    }
    selected
}

#[inline]
fn bits<T: Copy>(values: &[T], passes: &impl Fn(T) -> bool) -> u64 {
    let mut bits = 0;
    for (place, value) in values.iter().enumerate() {
        bits |= u64::from(passes(*value)) << place;
    }
    bits
}

/// The rows of `within` whose value, told by its position, passes.
pub(super) fn select_slowly(
    positions: Positions<'_>,
    within: &RowSet,
    mut passes: impl FnMut(usize) -> bool,
) -> RowSet {
    let mut selected = RowSet::none(within.n_rows());
    match positions {
        Positions::Dense => {
            for row in within.iter().filter(|row| passes(*row as usize)) {
                selected.insert(row);
            }
        }
        Positions::Sparse(rows) | Positions::Repeated(rows) => {
            for_each_position(rows, within, |row, position| {
                if passes(position) {
                    selected.insert(row);
                }
            });
        }
    }
    selected
}

/// Rows of `within` that a column has, with the position of their first value.
fn for_each_position(rows: &[u32], within: &RowSet, mut visit: impl FnMut(u32, usize)) {
    if rows.len() < within.count() as usize * FEW {
        for (position, row) in rows.iter().enumerate() {
            if within.contains(*row) && (position == 0 || rows[position - 1] != *row) {
                visit(*row, position);
            }
        }
        return;
    }
    let mut position = 0;
    for row in within.iter() {
        position += seek(&rows[position..], row);
        match rows.get(position).map(|found| found.cmp(&row)) {
            Some(Ordering::Equal) => visit(row, position),
            Some(_) => {}
            None => return,
        }
    }
}

/// The rows whose integer compares so with a number.
pub(super) fn select_whole(
    values: &[i64],
    positions: Positions<'_>,
    within: &RowSet,
    comparison: Comparison,
    number: Number,
) -> RowSet {
    let number = match number {
        Number::Whole(number) => number,
        Number::Float(number) => {
            return select_floats(values, |v| v as f64, positions, within, comparison, number);
        }
    };
    match comparison {
        Comparison::Equal => select(values, positions, within, |value| value == number),
        Comparison::NotEqual => select(values, positions, within, |value| value != number),
        Comparison::Less => select(values, positions, within, |value| value < number),
        Comparison::LessOrEqual => select(values, positions, within, |value| value <= number),
        Comparison::Greater => select(values, positions, within, |value| value > number),
        Comparison::GreaterOrEqual => select(values, positions, within, |value| value >= number),
    }
}

/// The same for values that compare as floats.
pub(super) fn select_floats<T: Copy>(
    values: &[T],
    float: impl Fn(T) -> f64,
    positions: Positions<'_>,
    within: &RowSet,
    comparison: Comparison,
    number: f64,
) -> RowSet {
    match comparison {
        Comparison::Equal => select(values, positions, within, |value| float(value) == number),
        Comparison::NotEqual => select(values, positions, within, |value| float(value) != number),
        Comparison::Less => select(values, positions, within, |value| float(value) < number),
        Comparison::LessOrEqual => {
            select(values, positions, within, |value| float(value) <= number)
        }
        Comparison::Greater => select(values, positions, within, |value| float(value) > number),
        Comparison::GreaterOrEqual => {
            select(values, positions, within, |value| float(value) >= number)
        }
    }
}

/// How many of ascending numbers are below a target; cheap if they are few.
pub(super) fn seek<T: PartialOrd + Copy>(numbers: &[T], target: T) -> usize {
    let mut step = 1;
    while step < numbers.len() && numbers[step] < target {
        step *= 2;
    }
    let (from, to) = (step / 2, numbers.len().min(step + 1));
    from + numbers[from..to].partition_point(|number| *number < target)
}
