//! The few numbers by which the spans of one trace are ordered, told apart and hung together.
//!
//! In: the outlines of a trace's rows, in any order. Out: which rows stand and in what order; a
//! sender repeats a request when an acknowledgement was lost, so the same span may be stored twice.
//! Of spans with equal (trace id, span id, kind, start) the one with the greatest (end, content
//! hash) stands, wherever they lie and in whatever order they came (`design.md 5`). Names and
//! attributes are never looked at here: the content hash is asked for where it decides.

use std::cmp::Ordering;

use crate::chunk::Chunk;

/// One span of a trace, without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanOutline {
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    pub span_id: u64,
    /// What was sent as parent; may be the span itself, or nobody.
    pub parent_span_id: Option<u64>,
    /// OTLP's `SpanKind`, unknown numbers included.
    pub kind: i32,
}

impl SpanOutline {
    /// Of a row of a chunk.
    pub fn of_row(chunk: &Chunk, row: u32) -> Self {
        let at = row as usize;
        Self {
            start_unix_nanos: chunk.start_unix_nanos.value(at),
            end_unix_nanos: chunk.end_unix_nanos.value(at),
            span_id: chunk.span_id.value(at),
            parent_span_id: chunk.parent_span_id(row).map(u64::from_be_bytes),
            kind: chunk.kind.value(at),
        }
    }

    /// Spans of a trace that are equal in this are one span.
    fn identity(&self) -> (i64, u64, i32) {
        (self.start_unix_nanos, self.span_id, self.kind)
    }

    /// The order of spans within a trace; equal for duplicates.
    fn compare(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// Orders traces one after another; keeps its memory between them.
#[derive(Debug, Default)]
pub struct OutlineSorter {
    /// Start and number of each span: most comparisons end here, without a look at the outline.
    keys: Vec<(i64, u32)>,
    kept: Vec<u32>,
}

impl OutlineSorter {
    /// The numbers of the spans that stand, by (start, span id, kind). No two of them are equal in
    /// these three, so the order follows from the set of spans alone.
    ///
    /// `content_hash` is asked only for duplicates that end at the same time.
    pub fn without_duplicates(
        &mut self,
        outlines: &[SpanOutline],
        mut content_hash: impl FnMut(u32) -> u64,
    ) -> &[u32] {
        let outline = |(_, number): &(i64, u32)| &outlines[*number as usize];
        self.keys.clear();
        self.keys.extend(outlines.iter().zip(0..).map(|(o, number)| (o.start_unix_nanos, number)));
        self.keys.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| outline(left).compare(outline(right)))
        });
        self.kept.clear();
        let same = |left: &(i64, u32), right: &(i64, u32)| {
            left.0 == right.0 && outline(left).identity() == outline(right).identity()
        };
        for copies in self.keys.chunk_by(same) {
            let number = match copies {
                [(_, only)] => *only,
                _ => winner(outlines, copies, &mut content_hash),
            };
            self.kept.push(number);
        }
        &self.kept
    }
}

/// Which of a span's copies stands; the first of those that say the same.
fn winner(
    outlines: &[SpanOutline],
    copies: &[(i64, u32)],
    mut content_hash: impl FnMut(u32) -> u64,
) -> u32 {
    let numbers = || copies.iter().map(|(_, number)| *number);
    let end = |number: u32| outlines[number as usize].end_unix_nanos;
    let latest_end = numbers().map(end).max().expect("a span has one copy at least");
    let mut latest = numbers().filter(|number| end(*number) == latest_end);
    let first = latest.next().expect("one of the copies ends at the latest end");
    let Some(second) = latest.next() else { return first };
    let rivals = [first, second].into_iter().chain(latest);
    rivals
        .map(|number| (content_hash(number), std::cmp::Reverse(number)))
        .max()
        .map_or(first, |(_, number)| number.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;

    fn span(span_id: u64, kind: i32, start: i64, end: i64) -> SpanOutline {
        SpanOutline {
            start_unix_nanos: start,
            end_unix_nanos: end,
            span_id,
            parent_span_id: None,
            kind,
        }
    }

    /// The numbers that stand, and those whose content was looked at.
    fn check(outlines: &[SpanOutline], hashes: &[u64], kept: &[u32], hashed: &[u32]) {
        let mut asked = Vec::new();
        let mut sorter = OutlineSorter::default();
        let found = sorter.without_duplicates(outlines, |number| {
            asked.push(number);
            hashes[number as usize]
        });
        assert_eq!(found, kept);
        asked.sort_unstable();
        assert_eq!(asked, hashed);
    }

    #[test]
    fn spans_stand_by_start_then_id_then_kind() {
        let spans = [
            span(1, SERVER, 8, 9),
            span(2, CLIENT, 7, 9),
            span(2, SERVER, 7, 9),
            span(1, CLIENT, 7, 9),
            span(9, CLIENT, -1, 9),
        ];
        check(&spans, &[], &[4, 3, 2, 1, 0], &[]);
    }

    #[test]
    fn the_latest_end_wins_without_a_look_at_the_content() {
        let copies = [span(1, SERVER, 7, 8), span(1, SERVER, 7, 10), span(1, SERVER, 7, 9)];
        check(&copies, &[9, 0, 9], &[1], &[]);
    }

    #[test]
    fn of_equal_ends_the_greatest_content_wins_and_of_equal_contents_the_first() {
        let copies = [
            span(1, SERVER, 7, 8),
            span(1, SERVER, 7, 10),
            span(1, SERVER, 7, 10),
            span(1, SERVER, 7, 10),
        ];
        check(&copies, &[9, 3, 5, 4], &[2], &[1, 2, 3]);
        check(&copies, &[9, 5, 5, 5], &[1], &[1, 2, 3]);
    }
}
