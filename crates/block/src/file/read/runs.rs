//! The hybrid of run lengths and bit packing in which Parquet writes definition levels, codes of
//! dictionaries and truth values.
//!
//! In: the bytes of a page. Out: which rows have a value, or the codes of the values asked for.
//! What is not asked for is counted and not unpacked.

use std::ops::Range;

use super::damage::{Damage, damaged};
use super::present::Present;

/// Runs of numbers of the same width.
struct Runs<'a> {
    rest: &'a [u8],
    bit_width: u8,
}

enum Run<'a> {
    Repeated { value: u32, len: usize },
    Packed { bytes: &'a [u8], len: usize },
}

impl Run<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Repeated { len, .. } | Self::Packed { len, .. } => *len,
        }
    }
}

impl<'a> Runs<'a> {
    fn new(bytes: &'a [u8], bit_width: u8) -> Result<Self, Damage> {
        if bit_width > 32 {
            return damaged(format!("numbers of {bit_width} bits"));
        }
        Ok(Self { rest: bytes, bit_width })
    }

    /// The next run, which the caller needs: the end of the bytes is an error.
    fn next(&mut self) -> Result<Run<'a>, Damage> {
        let head = self.varint()?;
        let count = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if head & 1 == 0 {
            return self.repeated(count);
        }
        let n_bytes = count.saturating_mul(usize::from(self.bit_width));
        if n_bytes == 0 {
            return Ok(Run::Repeated { value: 0, len: count.saturating_mul(8) });
        }
        // Some writers end the last run at its last value.
        let (bytes, rest) = self.rest.split_at(n_bytes.min(self.rest.len()));
        self.rest = rest;
        Ok(Run::Packed { bytes, len: bytes.len() * 8 / usize::from(self.bit_width) })
    }

    fn repeated(&mut self, len: usize) -> Result<Run<'a>, Damage> {
        let n_bytes = usize::from(self.bit_width.div_ceil(8));
        let Some((bytes, rest)) = self.rest.split_at_checked(n_bytes) else {
            return damaged("a run ends before its value");
        };
        self.rest = rest;
        let mut value = [0; 4];
        value[..n_bytes].copy_from_slice(bytes);
        Ok(Run::Repeated { value: u32::from_le_bytes(value), len })
    }

    fn varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.rest.split_first() else {
                return damaged("fewer runs than values");
            };
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        damaged("a run beyond 64 bits")
    }
}

/// Reads the definition levels of a page of a flat optional column. Adds the rows of `rows` (in the
/// page) that have a value to `present`, the first one as row `first_row`, and returns which of
/// the page's values are theirs.
pub(super) fn select(
    levels: &[u8],
    rows: Range<usize>,
    first_row: u32,
    present: &mut Present,
) -> Result<Range<usize>, Damage> {
    let mut runs = Runs::new(levels, 1)?;
    let (mut n_before, mut n_selected) = (0, 0);
    let mut row = 0;
    while row < rows.end {
        let run = runs.next()?;
        let run_end = row.saturating_add(run.len()).min(rows.end);
        let split = rows.start.clamp(row, run_end);
        let out_row = first_row + (split - rows.start.min(split)) as u32;
        match run {
            Run::Repeated { value: 0, .. } => {}
            Run::Repeated { .. } => {
                n_before += split - row;
                n_selected += run_end - split;
                present.push_run(out_row, (run_end - split) as u32);
            }
            Run::Packed { bytes, .. } => {
                n_before += count_bits(bytes, 0..split - row);
                n_selected += push_bits(bytes, split - row..run_end - row, out_row, present);
            }
        }
        row = run_end;
    }
    Ok(n_before..n_before + n_selected)
}

/// Words of up to 64 bits, the lowest first, with the number of bits that count.
fn bit_words(bytes: &[u8], bits: Range<usize>) -> impl Iterator<Item = (u64, usize)> {
    let mut bit = bits.start;
    std::iter::from_fn(move || {
        if bit >= bits.end {
            return None;
        }
        let shift = bit % 8;
        let n_bits = (64 - shift).min(bits.end - bit);
        let mask = u64::MAX >> (64 - n_bits);
        let word = (word_at(bytes, bit / 8) >> shift) & mask;
        bit += n_bits;
        Some((word, n_bits))
    })
}

/// Eight bytes from `place` on, zeros behind the end.
#[inline]
fn word_at(bytes: &[u8], place: usize) -> u64 {
    match bytes.get(place..).and_then(<[u8]>::first_chunk) {
        Some(word) => u64::from_le_bytes(*word),
        None => {
            let mut word = [0; 8];
            let tail = bytes.get(place..).unwrap_or_default();
            word[..tail.len()].copy_from_slice(tail);
            u64::from_le_bytes(word)
        }
    }
}

fn count_bits(bytes: &[u8], bits: Range<usize>) -> usize {
    bit_words(bytes, bits).map(|(word, _)| word.count_ones() as usize).sum()
}

fn push_bits(bytes: &[u8], bits: Range<usize>, first_row: u32, present: &mut Present) -> usize {
    let mut n_pushed = 0;
    let mut row = first_row;
    for (word, n_bits) in bit_words(bytes, bits) {
        present.push_word(row, word, n_bits as u32);
        n_pushed += word.count_ones() as usize;
        row += n_bits as u32;
    }
    n_pushed
}

/// Appends the codes of the values `range` of a page to `codes`. The bytes begin with the width of
/// a code. Every code is below `n_values`, the length of the dictionary.
pub(super) fn unpack_codes(
    bytes: &[u8],
    range: Range<usize>,
    n_values: usize,
    codes: &mut Vec<u32>,
) -> Result<(), Damage> {
    if range.is_empty() {
        return Ok(());
    }
    let Some((bit_width, bytes)) = bytes.split_first() else {
        return damaged("a page of codes without their width");
    };
    let first = codes.len();
    unpack(bytes, *bit_width, range, codes)?;
    match codes[first..].iter().max() {
        Some(code) if *code as usize >= n_values => {
            damaged(format!("code {code} in a dictionary of {n_values} values"))
        }
        _ => Ok(()),
    }
}

/// Appends the numbers `range` of the runs in `bytes`.
pub(super) fn unpack(
    bytes: &[u8],
    bit_width: u8,
    range: Range<usize>,
    numbers: &mut Vec<u32>,
) -> Result<(), Damage> {
    let mut runs = Runs::new(bytes, bit_width)?;
    let mut place = 0;
    while place < range.end {
        let run = runs.next()?;
        let run_end = place.saturating_add(run.len()).min(range.end);
        let split = range.start.clamp(place, run_end);
        match run {
            Run::Repeated { value, .. } => numbers.resize(numbers.len() + run_end - split, value),
            Run::Packed { bytes, .. } => {
                unpack_bits(bytes, bit_width, split - place..run_end - place, numbers);
            }
        }
        place = run_end;
    }
    Ok(())
}

fn unpack_bits(bytes: &[u8], bit_width: u8, range: Range<usize>, numbers: &mut Vec<u32>) {
    let bit_width = usize::from(bit_width);
    let mask = (1_u64 << bit_width) - 1;
    let number = |place: usize, word: u64| ((word >> (place * bit_width % 8)) & mask) as u32;
    // Words that lie wholly inside the bytes need no care.
    let n_whole = bytes.len().saturating_sub(7) * 8 / bit_width;
    let split = n_whole.clamp(range.start, range.end);
    numbers.extend((range.start..split).map(|place| {
        let start = place * bit_width / 8;
        number(place, u64::from_le_bytes(bytes[start..start + 8].try_into().expect("8 bytes")))
    }));
    numbers.extend(
        (split..range.end).map(|place| number(place, word_at(bytes, place * bit_width / 8))),
    );
}
