//! Tests of text columns: dictionaries are asked value by value, not row by row; plain columns are
//! searched as one text.
//!
//! In: a column, a test of texts, the rows asked for. Out: the rows whose text passes.

use arrow_array::{Array, StringArray};
use memchr::memmem::Finder;
use suyuan_model::Strings;

use super::kernel::{Positions, seek, select, select_slowly};
use super::matcher::Matcher;
use super::rows::RowSet;
use super::scalar::Comparison;
use super::source::{Answers, SourceState};

/// Dictionaries of this many times the rows asked for are not asked as a whole.
const DICTIONARY_PER_ROW: u32 = 4;
/// A plain column is searched as one text if at least one in so many of its rows is asked for.
const SEARCH_ROWS_PER_ASKED: usize = 4;
/// Texts that are looked at before a whole column is searched.
const SAMPLE: usize = 16;

/// A test of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum TextTest<'a> {
    Compare(Comparison, &'a str),
    Matches { matcher: &'a Matcher, is_negated: bool },
}

impl TextTest<'_> {
    #[inline]
    pub(super) fn passes(&self, text: &str) -> bool {
        match self {
            Self::Compare(Comparison::Equal, other) => text == *other,
            Self::Compare(comparison, other) => comparison.accepts(text.cmp(other)),
            Self::Matches { matcher, is_negated } => matcher.is_match(text) != *is_negated,
        }
    }
}

/// The rows of `within` that have a text which passes. `number` is the test's own.
pub(super) fn select_texts(
    strings: &Strings,
    positions: Positions<'_>,
    within: &RowSet,
    test: TextTest<'_>,
    number: u32,
    source: &mut SourceState,
) -> RowSet {
    match strings {
        Strings::Dictionary { codes, values } => {
            let answers = source.dictionary(number, values);
            let passes = |code: usize| test.passes(values.value(code));
            if values.len() as u64 > u64::from(within.count()) * u64::from(DICTIONARY_PER_ROW) {
                return select_slowly(positions, within, |position| {
                    answers.of(codes[position], passes)
                });
            }
            complete(answers, values, test);
            select_codes(codes, positions, within, answers)
        }
        Strings::Plain(values) => select_plain(values, positions, within, test),
    }
}

/// Asks the whole dictionary.
fn complete(answers: &mut Answers, values: &StringArray, test: TextTest<'_>) {
    if !answers.is_complete
        && let TextTest::Matches { matcher, is_negated } = test
        && let Some(literal) = rarest(matcher, values)
    {
        answers.of_code.fill(u8::from(is_negated));
        search(
            values,
            matcher,
            literal,
            |_| true,
            |code| {
                answers.of_code[code] = u8::from(!is_negated);
            },
        );
    }
    answers.complete(|code| test.passes(values.value(code)));
}

fn select_codes(
    codes: &[u32],
    positions: Positions<'_>,
    within: &RowSet,
    answers: &Answers,
) -> RowSet {
    let of_code = &answers.of_code[..];
    match answers.n_yes {
        0 => RowSet::none(within.n_rows()),
        1 => select(codes, positions, within, |code| code == answers.yes),
        _ => select(codes, positions, within, |code| of_code[code as usize] == 1),
    }
}

fn select_plain(
    values: &StringArray,
    positions: Positions<'_>,
    within: &RowSet,
    test: TextTest<'_>,
) -> RowSet {
    let is_searched = within.count() as usize * SEARCH_ROWS_PER_ASKED >= values.len();
    match test {
        TextTest::Compare(Comparison::Equal, text) => {
            let offsets = values.value_offsets();
            let len = text.len() as i32;
            select_slowly(positions, within, |position| {
                offsets[position + 1] - offsets[position] == len && values.value(position) == text
            })
        }
        TextTest::Matches { matcher, is_negated }
            if is_searched && let Some(literal) = rarest(matcher, values) =>
        {
            let mut matching = RowSet::none(within.n_rows());
            let is_wanted = |position: usize| {
                within.contains(positions.row(position)) && positions.is_first(position)
            };
            search(values, matcher, literal, is_wanted, |position| {
                matching.insert(positions.row(position));
            });
            if !is_negated {
                return matching;
            }
            let mut others = positions.rows(within.n_rows());
            others.intersect(within);
            others.subtract(&matching);
            others
        }
        _ => select_slowly(positions, within, |position| test.passes(values.value(position))),
    }
}

/// Calls with each text that matches, of those that are wanted. All texts are searched at once for
/// what a match must contain; only where that stands the expression has to run.
fn search(
    values: &StringArray,
    matcher: &Matcher,
    literal: &Finder<'_>,
    is_wanted: impl Fn(usize) -> bool,
    mut visit: impl FnMut(usize),
) {
    let (offsets, bytes) = (values.value_offsets(), values.value_data());
    let end = offsets[values.len()] as usize;
    let len = literal.needle().len();
    let (mut position, mut from) = (0, offsets[0] as usize);
    while let Some(place) = literal.find(&bytes[from..end]) {
        let hit = from + place;
        // The text that ends behind the hit's first byte; empty texts have none.
        position += seek(&offsets[position + 1..], hit as i32 + 1);
        let text_end = offsets[position + 1] as usize;
        if hit + len > text_end {
            // It stands across a border.
            from = hit + 1;
            continue;
        }
        if is_wanted(position) && matcher.is_match(values.value(position)) {
            visit(position);
        }
        from = text_end;
    }
}

/// Of what every match contains that which the first texts have least; none if they all have it.
fn rarest<'a>(matcher: &'a Matcher, values: &StringArray) -> Option<&'a Finder<'static>> {
    let sample = values.len().min(SAMPLE);
    let hits = |literal: &Finder<'_>| {
        let has = |position: &usize| literal.find(values.value(*position).as_bytes()).is_some();
        (0..sample).filter(has).count()
    };
    let counted = matcher.literals().iter().map(|literal| (hits(literal), literal));
    let (n_hits, rarest) =
        counted.min_by_key(|(n_hits, literal)| (*n_hits, usize::MAX - literal.needle().len()))?;
    (n_hits < sample).then_some(rarest)
}
