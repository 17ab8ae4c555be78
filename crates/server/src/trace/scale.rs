//! From time to columns.
//!
//! In: when spans start and end, clocks right or wrong. Out: the stretch of time the picture shows
//! and the place of a bar in it. A span of 1970 among spans of today must not squeeze all others
//! into one column: the picture shows the group that most spans belong to, the rest is marked.

use super::answer::Span;

/// Groups of spans further apart than this cannot share a picture: wrong clocks are hours off
/// (time zones), honest traces seldom pause as long with nothing above the pause.
const PAUSE_NANOS_MAX: i64 = 3_600_000_000_000;

/// An end later than this after its start is a wrong clock, and says nothing about the picture.
const LENGTH_NANOS_MAX: i64 = 366 * 86_400_000_000_000;

/// The stretch of time that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub start_unix_nanos: i64,
    pub length_nanos: u64,
}

/// Where a bar lies, in half columns from the left; `to` is beyond the last half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Bar { from: usize, to: usize },
    Before,
    After,
}

impl Scale {
    pub(super) fn of(spans: &[Span]) -> Self {
        let mut stretches: Vec<_> = spans.iter().map(stretch).collect();
        stretches.sort_unstable();
        let group = largest_group(&stretches);
        let start = group.first().map_or(0, |stretch| stretch.0);
        let end = group.iter().map(|stretch| stretch.1).max().unwrap_or(start);
        Self { start_unix_nanos: start, length_nanos: start.abs_diff(end) }
    }

    /// The place of a span in `columns`. Every bar is at least half a column long.
    pub(super) fn place(&self, span: &Span, columns: usize) -> Place {
        let end = self.start_unix_nanos.saturating_add_unsigned(self.length_nanos);
        let last = span.start_unix_nanos.max(span.end_unix_nanos);
        if last < self.start_unix_nanos {
            return Place::Before;
        }
        if span.start_unix_nanos > end {
            return Place::After;
        }
        let halves = columns * 2;
        let from = self.half(span.start_unix_nanos, halves).min(halves.saturating_sub(1));
        let to = self.half(last, halves).clamp(from + 1, halves.max(from + 1));
        Place::Bar { from, to }
    }

    fn half(&self, unix_nanos: i64, halves: usize) -> usize {
        if unix_nanos <= self.start_unix_nanos || self.length_nanos == 0 {
            return 0;
        }
        let offset = u128::from(unix_nanos.abs_diff(self.start_unix_nanos));
        let half = (offset * halves as u128 + u128::from(self.length_nanos) / 2)
            / u128::from(self.length_nanos);
        usize::try_from(half).unwrap_or(halves).min(halves)
    }
}

/// Start and end as far as they can be believed.
fn stretch(span: &Span) -> (i64, i64) {
    let start = span.start_unix_nanos;
    let believable = start..=start.saturating_add(LENGTH_NANOS_MAX);
    let end = if believable.contains(&span.end_unix_nanos) { span.end_unix_nanos } else { start };
    (start, end)
}

/// Cuts the sorted stretches where nothing happens for too long and takes the part with most of
/// them; among equals the earliest.
fn largest_group(stretches: &[(i64, i64)]) -> &[(i64, i64)] {
    let mut largest = &stretches[..0];
    let mut first = 0;
    let mut busy_until = i64::MIN;
    for (place, &(start, end)) in stretches.iter().enumerate() {
        if place > first && start > busy_until.saturating_add(PAUSE_NANOS_MAX) {
            first = place;
        }
        busy_until = if place == first { end } else { busy_until.max(end) };
        if place + 1 - first > largest.len() {
            largest = &stretches[first..=place];
        }
    }
    largest
}
