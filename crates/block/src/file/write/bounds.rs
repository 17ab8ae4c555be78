//! The least and the greatest value of a page and of a column chunk.
//!
//! In: values. Out: bounds for the page index and the footer. Numbers, ids and booleans have exact
//! bounds for each page. Texts have bounds for the chunk, cut short: rows stand in the order of
//! traces, so that every page holds any text, and a bound per page would cost 0.1 bytes per span to
//! prune nothing. `Bytes` have none, they are opaque.

use std::ops::Range;

use arrow_array::Array;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::statistics::{Statistics, ValueStatistics};
use suyuan_model::Strings;

use crate::column::{Kind, Values};

/// Bytes of a text that a bound keeps.
const TEXT_BYTES_MAX: usize = 16;

/// Least and greatest of some values, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bounds {
    Unsigned(u64, u64),
    Signed(i64, i64),
    Double(f64, f64),
    Id([u8; 16], [u8; 16]),
    Bool(bool, bool),
}

/// Bounds of texts: the least one cut short, and something not below any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextBounds {
    pub(crate) min: Vec<u8>,
    /// None if nothing short is above all.
    pub(crate) max: Option<Vec<u8>>,
    pub(crate) is_min_exact: bool,
    pub(crate) is_max_exact: bool,
}

impl Bounds {
    /// The bounds of a page; `None` if no value of it can be compared.
    pub(crate) fn of(values: &Values, range: Range<usize>) -> Option<Self> {
        match values {
            Values::U64(values) => {
                let (min, max) = least_and_greatest(&values[range])?;
                Some(Self::Unsigned(min, max))
            }
            Values::U32(values) => {
                let (min, max) = least_and_greatest(&values[range])?;
                Some(Self::Unsigned(min.into(), max.into()))
            }
            Values::I64(values) => {
                let (min, max) = least_and_greatest(&values[range])?;
                Some(Self::Signed(min, max))
            }
            Values::I32(values) => {
                let (min, max) = least_and_greatest(&values[range])?;
                Some(Self::Signed(min.into(), max.into()))
            }
            Values::F64(values) => of_doubles(&values[range]),
            Values::Id(values) => {
                let data = &values.value_data()[range.start * 16..range.end * 16];
                let (ids, _) = data.as_chunks::<16>();
                let mut ids = ids.iter().map(|id| u128::from_be_bytes(*id));
                let first = ids.next()?;
                let (min, max) =
                    ids.fold((first, first), |(min, max), id| (min.min(id), max.max(id)));
                Some(Self::Id(min.to_be_bytes(), max.to_be_bytes()))
            }
            Values::Bool(values) => {
                let n_true = values.slice(range.start, range.len()).count_set_bits();
                (!range.is_empty()).then_some(Self::Bool(n_true == range.len(), n_true > 0))
            }
            Values::Text(_) | Values::Bytes(_) => None,
        }
    }

    /// Bounds of both.
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unsigned(a, b), Self::Unsigned(c, d)) => Self::Unsigned(a.min(c), b.max(d)),
            (Self::Signed(a, b), Self::Signed(c, d)) => Self::Signed(a.min(c), b.max(d)),
            (Self::Double(a, b), Self::Double(c, d)) => Self::Double(a.min(c), b.max(d)),
            (Self::Id(a, b), Self::Id(c, d)) => Self::Id(a.min(c), b.max(d)),
            (Self::Bool(a, b), Self::Bool(c, d)) => Self::Bool(a & c, b | d),
            (first, _) => first,
        }
    }

    /// As `PLAIN` bytes of a kind: least, greatest.
    pub(crate) fn to_bytes(self, kind: Kind) -> (Vec<u8>, Vec<u8>) {
        let width = if matches!(kind, Kind::U32 | Kind::I32) { 4 } else { 8 };
        let number = |bits: u64| bits.to_le_bytes()[..width].to_vec();
        match self {
            Self::Unsigned(min, max) => (number(min), number(max)),
            Self::Signed(min, max) => (number(min.cast_unsigned()), number(max.cast_unsigned())),
            Self::Double(min, max) => (number(min.to_bits()), number(max.to_bits())),
            Self::Id(min, max) => (min.to_vec(), max.to_vec()),
            Self::Bool(min, max) => (vec![u8::from(min)], vec![u8::from(max)]),
        }
    }
}

/// The statistics of a column chunk.
pub(crate) fn statistics(
    kind: Kind,
    bounds: Option<Bounds>,
    texts: Option<TextBounds>,
    n_nulls: u64,
) -> Statistics {
    let nulls = Some(n_nulls);
    match (kind, bounds) {
        (Kind::Text | Kind::Bytes, _) => of_texts(texts, nulls),
        (Kind::Id, Some(Bounds::Id(min, max))) => {
            let id = |bytes: [u8; 16]| Some(FixedLenByteArray::from(bytes.to_vec()));
            Statistics::fixed_len_byte_array(id(min), id(max), None, nulls, false)
        }
        (Kind::Id, _) => Statistics::fixed_len_byte_array(None, None, None, nulls, false),
        (Kind::U64, Some(Bounds::Unsigned(min, max))) => {
            Statistics::int64(Some(min.cast_signed()), Some(max.cast_signed()), None, nulls, false)
        }
        (Kind::I64, Some(Bounds::Signed(min, max))) => {
            Statistics::int64(Some(min), Some(max), None, nulls, false)
        }
        (Kind::U64 | Kind::I64, _) => Statistics::int64(None, None, None, nulls, false),
        (Kind::U32, Some(Bounds::Unsigned(min, max))) => {
            Statistics::int32(Some(min as i32), Some(max as i32), None, nulls, false)
        }
        (Kind::I32, Some(Bounds::Signed(min, max))) => {
            Statistics::int32(Some(min as i32), Some(max as i32), None, nulls, false)
        }
        (Kind::U32 | Kind::I32, _) => Statistics::int32(None, None, None, nulls, false),
        (Kind::F64, Some(Bounds::Double(min, max))) => {
            Statistics::double(Some(min), Some(max), None, nulls, false)
        }
        (Kind::F64, _) => Statistics::double(None, None, None, nulls, false),
        (Kind::Bool, Some(Bounds::Bool(min, max))) => {
            Statistics::boolean(Some(min), Some(max), None, nulls, false)
        }
        (Kind::Bool, _) => Statistics::boolean(None, None, None, nulls, false),
    }
}

/// The bounds of all texts of a chunk; of a dictionary's `page` if it has one.
pub(crate) fn of_chunk(values: &Values, dictionary_page: Option<&[u8]>) -> Option<TextBounds> {
    let Values::Text(strings) = values else { return None };
    let (min, max) = match (dictionary_page, strings) {
        (Some(page), _) => ends(PlainTexts(page)),
        (None, Strings::Plain(values)) => {
            ends((0..values.len()).map(|at| values.value(at).as_bytes()))
        }
        (None, Strings::Dictionary { codes, values }) => {
            ends(codes.iter().map(|code| values.value(*code as usize).as_bytes()))
        }
    }?;
    let short_min = cut(min);
    let short_max = cut(max);
    let is_max_exact = short_max.len() == max.len();
    let max = if is_max_exact { Some(max.to_vec()) } else { above(short_max) };
    Some(TextBounds {
        is_min_exact: short_min.len() == min.len(),
        min: short_min.to_vec(),
        max,
        is_max_exact,
    })
}

fn of_texts(texts: Option<TextBounds>, n_nulls: Option<u64>) -> Statistics {
    let Some(TextBounds { min, max, is_min_exact, is_max_exact }) = texts else {
        return Statistics::byte_array(None, None, None, n_nulls, false);
    };
    let bound = |bytes: Vec<u8>| ByteArray::from(bytes);
    ValueStatistics::new(Some(bound(min)), max.map(bound), None, n_nulls, false)
        .with_min_is_exact(is_min_exact)
        .with_max_is_exact(is_max_exact)
        .into()
}

/// Texts one after the other as a dictionary page holds them.
struct PlainTexts<'a>(&'a [u8]);

impl<'a> Iterator for PlainTexts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(text)
    }
}

fn least_and_greatest<T: Copy + Ord>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(min, max), v| (min.min(*v), max.max(*v))))
}

/// NaN has no place in an order, and a zero bound has the sign that keeps both zeros inside
/// (`parquet.thrift`, `ColumnOrder`).
fn of_doubles(values: &[f64]) -> Option<Bounds> {
    let mut numbers = values.iter().copied().filter(|value| !value.is_nan());
    let first = numbers.next()?;
    let (min, max) =
        numbers.fold((first, first), |(min, max), value| (value.min(min), value.max(max)));
    let min = if min == 0.0 { -0.0 } else { min };
    let max = if max == 0.0 { 0.0 } else { max };
    Some(Bounds::Double(min, max))
}

fn ends<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> Option<(&'a [u8], &'a [u8])> {
    let first = texts.next()?;
    let (mut min, mut max) = (first, first);
    let (mut min_head, mut max_head) = (head(first), head(first));
    for text in texts {
        // Most texts are decided by their first bytes, without a call.
        let text_head = head(text);
        if text_head <= min_head && text < min {
            (min, min_head) = (text, text_head);
        } else if text_head >= max_head && text > max {
            (max, max_head) = (text, text_head);
        }
    }
    Some((min, max))
}

/// The first eight bytes as a number that orders as they do.
fn head(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => text.iter().rfold(0, |head, byte| (head >> 8) | u64::from(*byte) << 56),
    }
}

/// The beginning of a text, whole characters.
fn cut(text: &[u8]) -> &[u8] {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let is_boundary = |at: &usize| (text[*at] as i8) >= -0x40;
    let end = (0..=TEXT_BYTES_MAX).rev().find(is_boundary).unwrap_or(0);
    &text[..end]
}

/// A short text above every one that begins with `prefix`: an ASCII character raised by one.
fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let at = prefix.iter().rposition(|byte| *byte < 0x7f)?;
    let mut bound = prefix[..=at].to_vec();
    bound[at] += 1;
    Some(bound)
}
