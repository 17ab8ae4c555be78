//! One column of a slice while its rows come in, chunk by chunk and in any order.
//!
//! In: pairs of a row of the slice and a value. Out: a [`Column`] whose rows ascend. A value is
//! noted as a number behind its row, so that putting rows in order never moves a text; a column
//! costs what it holds, not the rows of the slice.

use arrow_array::{BinaryArray, StringArray};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use suyuan_model::Strings;

use super::StageError;
use super::texts::Texts;
use crate::column::{Column, Kind, Values};

/// "No row", "no number".
pub(super) const NONE: u32 = u32::MAX;
/// Memory for as many rows or values is kept for the next slice.
const KEPT_VALUES: usize = 1 << 17;
/// A column with values in fewer rows than one of so many is sorted; a fuller one is scattered over
/// all rows of the slice.
const ROWS_PER_VALUE_MAX: usize = 32;
/// A part with plain values for at most so many rows is interned all the same.
const PLAIN_INTERNED_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct ColumnStage {
    /// Row in the upper, number of the value in the lower half.
    pairs: Vec<u64>,
    values: StagedValues,
}

#[derive(Debug)]
enum StagedValues {
    /// Interned texts are distinct; `is_plain`: there are others.
    Text {
        texts: Texts,
        is_plain: bool,
    },
    Bytes(Texts),
    /// The number of the value is the value.
    U32,
    I64(Vec<i64>),
    F64(Vec<f64>),
    U64(Vec<u64>),
    Bool,
}

/// Memory that columns use one after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// For each code of a chunk's dictionary the number in the slice's.
    numbers: Vec<u32>,
    by_row: Vec<u32>,
}

impl ColumnStage {
    pub(super) fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Text => StagedValues::Text { texts: Texts::default(), is_plain: false },
            Kind::Bytes => StagedValues::Bytes(Texts::default()),
            Kind::U32 => StagedValues::U32,
            Kind::I64 => StagedValues::I64(Vec::new()),
            Kind::F64 => StagedValues::F64(Vec::new()),
            Kind::U64 => StagedValues::U64(Vec::new()),
            Kind::Bool => StagedValues::Bool,
            Kind::Id | Kind::I32 => unreachable!("spans have those in every row: no pairs"),
        };
        Self { pairs: Vec::new(), values }
    }

    pub(super) fn clear(&mut self) {
        empty(&mut self.pairs);
        match &mut self.values {
            StagedValues::Text { texts, is_plain } => {
                texts.clear();
                *is_plain = false;
            }
            StagedValues::Bytes(texts) => texts.clear(),
            StagedValues::I64(values) => empty(values),
            StagedValues::F64(values) => empty(values),
            StagedValues::U64(values) => empty(values),
            StagedValues::U32 | StagedValues::Bool => {}
        }
    }

    /// `picks`: positions in `strings`, and the row of the slice that each goes to.
    pub(super) fn add_texts(
        &mut self,
        strings: &Strings,
        picks: impl Iterator<Item = (usize, u32)> + Clone,
        scratch: &mut Scratch,
    ) {
        let StagedValues::Text { texts, is_plain } = &mut self.values else {
            unreachable!("a column of texts is given texts");
        };
        match strings {
            Strings::Dictionary { codes, values } => {
                scratch.numbers.clear();
                scratch.numbers.resize(arrow_array::Array::len(values), NONE);
                for (position, row) in picks {
                    let code = codes[position] as usize;
                    if scratch.numbers[code] == NONE {
                        scratch.numbers[code] = texts.intern(values.value(code).as_bytes());
                    }
                    self.pairs.push(pair(row, scratch.numbers[code]));
                }
            }
            Strings::Plain(values) => {
                let is_small = picks.clone().take(PLAIN_INTERNED_MAX + 1).count();
                let is_small = is_small <= PLAIN_INTERNED_MAX && !*is_plain;
                *is_plain |= !is_small;
                for (position, row) in picks {
                    let text = values.value(position).as_bytes();
                    let number = if is_small { texts.intern(text) } else { texts.append(text) };
                    self.pairs.push(pair(row, number));
                }
            }
        }
    }

    pub(super) fn add_u32(&mut self, row: u32, value: u32) {
        debug_assert!(matches!(self.values, StagedValues::U32), "a column of counts");
        self.pairs.push(pair(row, value));
    }

    pub(super) fn add_bool(&mut self, row: u32, value: bool) {
        debug_assert!(matches!(self.values, StagedValues::Bool), "a column of truths");
        self.pairs.push(pair(row, value.into()));
    }

    pub(super) fn add_i64s(&mut self, picks: impl Iterator<Item = (i64, u32)>) {
        let StagedValues::I64(values) = &mut self.values else {
            unreachable!("a column of integers is given integers");
        };
        for (value, row) in picks {
            self.pairs.push(pair(row, values.len() as u32));
            values.push(value);
        }
    }

    pub(super) fn add_f64s(&mut self, picks: impl Iterator<Item = (f64, u32)>) {
        let StagedValues::F64(values) = &mut self.values else {
            unreachable!("a column of doubles is given doubles");
        };
        for (value, row) in picks {
            self.pairs.push(pair(row, values.len() as u32));
            values.push(value);
        }
    }

    pub(super) fn add_u64(&mut self, row: u32, value: u64) {
        let StagedValues::U64(values) = &mut self.values else {
            unreachable!("a column of ids is given ids");
        };
        self.pairs.push(pair(row, values.len() as u32));
        values.push(value);
    }

    pub(super) fn add_bytes(&mut self, row: u32, value: &[u8]) {
        let number = self.bytes_mut().append(value);
        self.pairs.push(pair(row, number));
    }

    /// The number of a value that several rows have.
    pub(super) fn value_of_many(&mut self, value: &[u8]) -> u32 {
        self.bytes_mut().append(value)
    }

    pub(super) fn add_number(&mut self, row: u32, number: u32) {
        self.pairs.push(pair(row, number));
    }

    /// The value is written by `write`; nothing is added if it writes nothing.
    pub(super) fn write_bytes(&mut self, row: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let values = self.bytes_mut();
        let bytes = values.next_text();
        let bytes_before = bytes.len();
        write(bytes);
        if bytes.len() > bytes_before {
            let number = values.finish_text();
            self.pairs.push(pair(row, number));
        }
    }

    fn bytes_mut(&mut self) -> &mut Texts {
        let StagedValues::Bytes(values) = &mut self.values else {
            unreachable!("a column of bytes is given bytes");
        };
        values
    }

    /// Gives every row another number: the one that stands at its place.
    pub(super) fn renumber_rows(&mut self, new_rows: &[u32]) {
        for pair in &mut self.pairs {
            let (row, number) = split(*pair);
            *pair = self::pair(new_rows[row as usize], number);
        }
    }

    /// The column, of a slice of so many rows. `name` is for the error.
    pub(super) fn finish(
        &mut self,
        name: &str,
        n_rows: u32,
        scratch: &mut Scratch,
    ) -> Result<Column, StageError> {
        let too_long = || StageError::TooManyBytes { column: name.to_owned() };
        let (rows, numbers) = self.in_order(n_rows, scratch);
        let values = match &self.values {
            StagedValues::Text { texts, is_plain: false } => Values::Text(Strings::Dictionary {
                codes: numbers.into(),
                values: texts.to_array().ok_or_else(too_long)?,
            }),
            StagedValues::Text { texts, is_plain: true } => {
                let (ends, bytes) = texts.gather(&numbers).ok_or_else(too_long)?;
                let values = StringArray::try_new(ends, bytes, None);
                Values::Text(Strings::Plain(values.expect("each text came out of a text array")))
            }
            StagedValues::Bytes(values) => {
                let (ends, bytes) = values.gather(&numbers).ok_or_else(too_long)?;
                Values::Bytes(BinaryArray::new(ends, bytes, None))
            }
            StagedValues::U32 => Values::U32(numbers.into()),
            StagedValues::I64(values) => Values::I64(gather(values, &numbers)),
            StagedValues::F64(values) => Values::F64(gather(values, &numbers)),
            StagedValues::U64(values) => Values::U64(gather(values, &numbers)),
            StagedValues::Bool => {
                Values::Bool(numbers.iter().map(|number| *number != 0).collect::<BooleanBuffer>())
            }
        };
        Ok(Column { rows, values })
    }

    /// Rows and numbers, by row.
    fn in_order(
        &mut self,
        n_rows: u32,
        scratch: &mut Scratch,
    ) -> (Option<ScalarBuffer<u32>>, Vec<u32>) {
        let n_values = self.pairs.len();
        let is_full = n_values == n_rows as usize;
        if n_values * ROWS_PER_VALUE_MAX < n_rows as usize || self.has_none_number() {
            self.pairs.sort_unstable();
            let rows = (!is_full).then(|| self.pairs.iter().map(|pair| split(*pair).0).collect());
            return (rows, self.pairs.iter().map(|pair| split(*pair).1).collect());
        }
        let by_row = &mut scratch.by_row;
        by_row.clear();
        by_row.resize(n_rows as usize, NONE);
        for pair in &self.pairs {
            let (row, number) = split(*pair);
            by_row[row as usize] = number;
        }
        if is_full {
            return (None, by_row.clone());
        }
        let mut rows = vec![0; n_values + 1];
        let mut numbers = vec![0; n_values + 1];
        let mut n = 0;
        for (row, number) in by_row.iter().enumerate() {
            // Written always and counted if there is a value: a branch here would be guessed wrong
            // for every other row.
            (rows[n], numbers[n]) = (row as u32, *number);
            n += usize::from(*number != NONE);
        }
        rows.truncate(n);
        numbers.truncate(n);
        (Some(rows.into()), numbers)
    }

    /// Whether [`NONE`] is a value.
    fn has_none_number(&self) -> bool {
        matches!(self.values, StagedValues::U32)
            && self.pairs.iter().any(|pair| split(*pair).1 == NONE)
    }
}

/// Empties a buffer, and gives back the memory of a giant slice.
pub(super) fn empty<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    buffer.shrink_to(KEPT_VALUES);
}

fn pair(row: u32, number: u32) -> u64 {
    u64::from(row) << 32 | u64::from(number)
}

fn split(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

fn gather<T: Copy + arrow_buffer::ArrowNativeType>(
    values: &[T],
    numbers: &[u32],
) -> ScalarBuffer<T> {
    numbers.iter().map(|number| values[*number as usize]).collect()
}
