//! Values of a column, gathered page by page.
//!
//! In: the values of a page and which of them are asked for. Out: [`Values`]. What is not asked for
//! is jumped over where values have a fixed width, walked over where they have a length. A text
//! column stays codes beside a dictionary as long as its pages are.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{BinaryType, ByteArrayType, Utf8Type};
use arrow_array::{FixedSizeBinaryArray, GenericByteArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use suyuan_model::Strings;

use super::damage::{Damage, damaged};
use super::fixed::{Fixed, ID_BYTES};
use super::page::PageEncoding;
use super::runs;
use crate::column::{Kind, Values};

/// What the texts or bytes of a column may take in one answer; a dictionary's long value that is
/// repeated for every row would take more.
const COLUMN_BYTES_MAX: usize = 512 << 20;

pub(super) enum ValuesBuilder {
    Text(TextBuilder),
    Bytes(Variable),
    Id(Vec<[u8; ID_BYTES]>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
}

/// Texts or bytes one behind the other; `ends` begins with 0.
pub(super) struct Variable {
    ends: Vec<i32>,
    bytes: Vec<u8>,
    expected: Expected,
}

/// Codes while there is no other page, bytes from then on.
pub(super) enum TextBuilder {
    Codes { codes: Vec<u32>, dictionary: Arc<Values> },
    Plain(Variable),
}

/// A page's values, and which of them are asked for.
#[derive(Clone, Copy)]
pub(super) struct PageValues<'a> {
    pub(super) encoding: PageEncoding,
    pub(super) bytes: &'a [u8],
    pub(super) dictionary: Option<&'a Arc<Values>>,
}

/// How much is to come, as far as that is known: what is set aside for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected {
    pub(super) n_values: usize,
    /// Pages of which the column will be made.
    pub(super) n_pages: usize,
}

/// Values and bytes that are set aside before there is a page, at most: claims are cheap.
const EXPECTED_VALUES_MAX: usize = 1 << 16;
const EXPECTED_BYTES_MAX: usize = 4 << 20;

impl ValuesBuilder {
    pub(super) fn new(kind: Kind, expected: Expected) -> Self {
        let n_values = expected.n_values.min(EXPECTED_VALUES_MAX);
        match kind {
            Kind::Text => Self::Text(TextBuilder::Plain(Variable::new(expected))),
            Kind::Bytes => Self::Bytes(Variable::new(expected)),
            Kind::Id => Self::Id(Vec::with_capacity(n_values)),
            Kind::U64 => Self::U64(Vec::with_capacity(n_values)),
            Kind::I64 => Self::I64(Vec::with_capacity(n_values)),
            Kind::U32 => Self::U32(Vec::with_capacity(n_values)),
            Kind::I32 => Self::I32(Vec::with_capacity(n_values)),
            Kind::F64 => Self::F64(Vec::with_capacity(n_values)),
            Kind::Bool => Self::Bool(Vec::with_capacity(n_values)),
        }
    }

    /// Appends the values `ranges` of a page, which ascend, none of them empty.
    pub(super) fn append(
        &mut self,
        page: PageValues,
        ranges: &[Range<usize>],
        codes: &mut Vec<u32>,
    ) -> Result<(), Damage> {
        if ranges.is_empty() {
            return Ok(());
        }
        match self {
            Self::Text(texts) => texts.append(page, ranges, codes),
            Self::Bytes(values) => values.append(page, ranges, codes),
            Self::Id(values) => append_ids(values, page, ranges, codes),
            Self::U64(values) => append_numbers(values, page, ranges, codes, |dictionary| {
                if let Values::U64(values) = dictionary { Some(values) } else { None }
            }),
            Self::I64(values) => append_numbers(values, page, ranges, codes, |dictionary| {
                if let Values::I64(values) = dictionary { Some(values) } else { None }
            }),
            Self::U32(values) => append_numbers(values, page, ranges, codes, |dictionary| {
                if let Values::U32(values) = dictionary { Some(values) } else { None }
            }),
            Self::I32(values) => append_numbers(values, page, ranges, codes, |dictionary| {
                if let Values::I32(values) = dictionary { Some(values) } else { None }
            }),
            Self::F64(values) => append_numbers(values, page, ranges, codes, |dictionary| {
                if let Values::F64(values) = dictionary { Some(values) } else { None }
            }),
            Self::Bool(values) => append_bools(values, page, ranges, codes),
        }
    }

    /// Texts are checked to be UTF-8 here, at once.
    pub(super) fn finish(self) -> Result<Values, Damage> {
        Ok(match self {
            Self::Text(texts) => Values::Text(texts.finish()?),
            Self::Bytes(values) => Values::Bytes(values.finish::<BinaryType>()?),
            Self::Id(values) => {
                let bytes = Buffer::from_vec(values.into_flattened());
                Values::Id(FixedSizeBinaryArray::new(ID_BYTES as i32, bytes, None))
            }
            Self::U64(values) => Values::U64(values.into()),
            Self::I64(values) => Values::I64(values.into()),
            Self::U32(values) => Values::U32(values.into()),
            Self::I32(values) => Values::I32(values.into()),
            Self::F64(values) => Values::F64(values.into()),
            Self::Bool(values) => Values::Bool(BooleanBuffer::from(values)),
        })
    }
}

fn append_numbers<T>(
    values: &mut Vec<T>,
    page: PageValues,
    ranges: &[Range<usize>],
    codes: &mut Vec<u32>,
    of_kind: impl FnOnce(&Values) -> Option<&ScalarBuffer<T>>,
) -> Result<(), Damage>
where
    T: Fixed + ArrowNativeType,
{
    if page.encoding != PageEncoding::Codes {
        return append_fixed(values, page, ranges);
    }
    let Some(dictionary) = page.dictionary.and_then(|dictionary| of_kind(dictionary)) else {
        return damaged("codes without a dictionary");
    };
    codes.clear();
    runs::unpack_codes(page.bytes, ranges, dictionary.len(), codes)?;
    values.extend(codes.iter().map(|code| dictionary[*code as usize]));
    Ok(())
}

fn append_ids(
    values: &mut Vec<[u8; ID_BYTES]>,
    page: PageValues,
    ranges: &[Range<usize>],
    codes: &mut Vec<u32>,
) -> Result<(), Damage> {
    if page.encoding != PageEncoding::Codes {
        return append_fixed(values, page, ranges);
    }
    let Some(Values::Id(dictionary)) = page.dictionary.map(AsRef::as_ref) else {
        return damaged("codes without a dictionary");
    };
    codes.clear();
    runs::unpack_codes(page.bytes, ranges, arrow_array::Array::len(dictionary), codes)?;
    values.extend(
        codes.iter().map(|code| <[u8; ID_BYTES]>::from_bytes(dictionary.value(*code as usize))),
    );
    Ok(())
}

fn append_fixed<T: Fixed>(
    values: &mut Vec<T>,
    page: PageValues,
    ranges: &[Range<usize>],
) -> Result<(), Damage> {
    let n_values = page.bytes.len() / T::BYTES;
    if ranges.last().is_some_and(|last| last.end > n_values) {
        return damaged("fewer values than their page claims");
    }
    values.reserve(ranges.iter().map(ExactSizeIterator::len).sum());
    match page.encoding {
        PageEncoding::Plain => {
            for range in ranges {
                let bytes = &page.bytes[range.start * T::BYTES..range.end * T::BYTES];
                values.extend(bytes.chunks_exact(T::BYTES).map(T::from_bytes));
            }
            Ok(())
        }
        PageEncoding::Split if page.bytes.len().is_multiple_of(T::BYTES) => {
            for range in ranges {
                T::append_split(values, page.bytes, n_values, range.clone());
            }
            Ok(())
        }
        _ => damaged("an encoding that the column's kind does not have"),
    }
}

fn append_bools(
    values: &mut Vec<bool>,
    page: PageValues,
    ranges: &[Range<usize>],
    codes: &mut Vec<u32>,
) -> Result<(), Damage> {
    match page.encoding {
        PageEncoding::Plain => {
            if ranges.last().is_some_and(|last| last.end > page.bytes.len() * 8) {
                return damaged("fewer values than their page claims");
            }
            let places = ranges.iter().flat_map(Range::clone);
            values.extend(places.map(|place| page.bytes[place / 8] >> (place % 8) & 1 == 1));
        }
        PageEncoding::RunLengths => {
            let Some((_, bytes)) = page.bytes.split_first_chunk::<4>() else {
                return damaged("truth values without their length");
            };
            codes.clear();
            runs::unpack(bytes, 1, ranges, codes)?;
            values.extend(codes.iter().map(|code| *code == 1));
        }
        _ => return damaged("an encoding that the column's kind does not have"),
    }
    Ok(())
}

impl Variable {
    fn new(expected: Expected) -> Self {
        Self { ends: vec![0], bytes: Vec::new(), expected }
    }

    fn push(&mut self, value: &[u8]) -> Result<(), Damage> {
        if self.bytes.len() + value.len() > COLUMN_BYTES_MAX {
            return damaged("more than 512 MiB of values at once: ask for fewer rows");
        }
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as i32);
        Ok(())
    }

    fn append(
        &mut self,
        page: PageValues,
        ranges: &[Range<usize>],
        codes: &mut Vec<u32>,
    ) -> Result<(), Damage> {
        if page.encoding != PageEncoding::Codes {
            return self.append_plain(page, ranges);
        }
        codes.clear();
        match page.dictionary.map(AsRef::as_ref) {
            Some(Values::Bytes(dictionary)) => {
                runs::unpack_codes(page.bytes, ranges, values_len(dictionary), codes)?;
                self.append_codes(codes, dictionary)
            }
            Some(Values::Text(Strings::Plain(dictionary))) => {
                runs::unpack_codes(page.bytes, ranges, values_len(dictionary), codes)?;
                self.append_codes(codes, dictionary)
            }
            _ => damaged("codes without a dictionary"),
        }
    }

    fn append_plain(&mut self, page: PageValues, ranges: &[Range<usize>]) -> Result<(), Damage> {
        if page.encoding != PageEncoding::Plain {
            return damaged("an encoding that the column's kind does not have");
        }
        let n_asked: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let n_values = ranges.last().map_or(1, |last| last.end.max(1));
        if self.bytes.capacity() == 0 {
            // Pages of a column are about as long as each other, and as much is asked of them.
            let n_bytes_asked = page.bytes.len().saturating_mul(n_asked) / n_values;
            let n_bytes = n_bytes_asked.saturating_mul(self.expected.n_pages);
            self.bytes.reserve(n_bytes.min(EXPECTED_BYTES_MAX));
        }
        // Every value has at least its length, which bounds what is set aside.
        self.ends.reserve(n_asked.min(page.bytes.len() / 4));
        let mut rest = page.bytes;
        let mut place = 0;
        for range in ranges {
            for _ in place..range.start {
                rest = split_value(rest)?.1;
            }
            for _ in range.clone() {
                let (value, behind) = split_value(rest)?;
                self.push(value)?;
                rest = behind;
            }
            place = range.end;
        }
        Ok(())
    }

    fn append_codes<T>(
        &mut self,
        codes: &[u32],
        dictionary: &GenericByteArray<T>,
    ) -> Result<(), Damage>
    where
        T: ByteArrayType<Offset = i32>,
        T::Native: AsRef<[u8]>,
    {
        codes.iter().try_for_each(|code| self.push(dictionary.value(*code as usize).as_ref()))
    }

    fn finish<T: ByteArrayType<Offset = i32>>(self) -> Result<GenericByteArray<T>, Damage> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        GenericByteArray::try_new(ends, Buffer::from_vec(self.bytes), None)
            .map_err(|_| "a text is not UTF-8".into())
    }
}

fn values_len<T: ByteArrayType>(values: &GenericByteArray<T>) -> usize {
    arrow_array::Array::len(values)
}

/// A value behind its length of four bytes, and what follows.
#[inline]
fn split_value(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damage> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return damaged("fewer values than their page claims");
    };
    match rest.split_at_checked(u32::from_le_bytes(*len) as usize) {
        Some(split) => Ok(split),
        None => damaged("a value is longer than its page"),
    }
}

impl TextBuilder {
    fn append(
        &mut self,
        page: PageValues,
        ranges: &[Range<usize>],
        codes: &mut Vec<u32>,
    ) -> Result<(), Damage> {
        if let (Self::Plain(plain), PageEncoding::Codes, Some(dictionary)) =
            (&*self, page.encoding, page.dictionary)
            && plain.ends.len() == 1
        {
            let n_values = plain.expected.n_values.min(EXPECTED_VALUES_MAX);
            let codes = Vec::with_capacity(n_values);
            *self = Self::Codes { codes, dictionary: Arc::clone(dictionary) };
        }
        match self {
            Self::Codes { codes, dictionary } if page.encoding == PageEncoding::Codes => {
                runs::unpack_codes(page.bytes, ranges, dictionary.len(), codes)
            }
            Self::Codes { .. } => self.turn_plain()?.append(page, ranges, codes),
            Self::Plain(plain) => plain.append(page, ranges, codes),
        }
    }

    /// A writer has given up its dictionary.
    fn turn_plain(&mut self) -> Result<&mut Variable, Damage> {
        if let Self::Codes { codes, dictionary } = self {
            let mut plain = Variable::new(Expected::default());
            let Values::Text(Strings::Plain(dictionary)) = dictionary.as_ref() else {
                return damaged("codes without a dictionary");
            };
            plain.append_codes(codes, dictionary)?;
            *self = Self::Plain(plain);
        }
        match self {
            Self::Plain(plain) => Ok(plain),
            Self::Codes { .. } => damaged("codes without a dictionary"),
        }
    }

    fn finish(self) -> Result<Strings, Damage> {
        match self {
            Self::Plain(plain) => Ok(Strings::Plain(plain.finish::<Utf8Type>()?)),
            Self::Codes { codes, dictionary } => match dictionary.as_ref() {
                Values::Text(Strings::Plain(values)) => {
                    Ok(Strings::Dictionary { codes: codes.into(), values: values.clone() })
                }
                _ => damaged("codes without a dictionary"),
            },
        }
    }
}
