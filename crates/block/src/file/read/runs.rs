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

/// Numbers that follow each other in a run, and whether they are asked for.
struct Segment {
    range: Range<usize>,
    is_asked: bool,
}

/// Cuts runs at the borders of what is asked for: ranges that ascend.
struct Segments<'a> {
    asked: &'a [Range<usize>],
    place: usize,
}

impl<'a> Segments<'a> {
    fn new(asked: &'a [Range<usize>]) -> Self {
        Self { asked, place: 0 }
    }

    /// Whether nothing is asked for behind what was seen.
    fn is_done(&self) -> bool {
        self.asked.last().is_none_or(|last| last.end <= self.place)
    }

    /// The next numbers of a run that ends at `run_end`; nothing at its end, and behind all that is
    /// asked for.
    fn next_before(&mut self, run_end: usize) -> Option<Segment> {
        while self.asked.first().is_some_and(|first| first.end <= self.place) {
            self.asked = &self.asked[1..];
        }
        let first = self.asked.first()?;
        if self.place >= run_end {
            return None;
        }
        let is_asked = first.start <= self.place;
        let end = if is_asked { first.end } else { first.start };
        let range = self.place..end.min(run_end);
        self.place = range.end;
        Some(Segment { range, is_asked })
    }
}

/// Reads the definition levels of a page of a flat optional column. Adds those of `rows` (in the
/// page) that have a value to `present`, the first of `rows` as row `first_row`, and puts into
/// `selected` which of the page's values are theirs.
pub(super) fn select(
    levels: &[u8],
    rows: &[Range<usize>],
    first_row: u32,
    present: &mut Present,
    selected: &mut Vec<Range<usize>>,
) -> Result<(), Damage> {
    let mut runs = Runs::new(levels, 1)?;
    let mut segments = Segments::new(rows);
    let mut n_values = 0;
    let mut out_row = first_row;
    while !segments.is_done() {
        let run_start = segments.place;
        let run = runs.next()?;
        let run_end = run_start.saturating_add(run.len());
        while let Some(Segment { range, is_asked }) = segments.next_before(run_end) {
            let n_rows = range.len();
            let bits = range.start - run_start..range.end - run_start;
            let n_present = match &run {
                Run::Repeated { value: 0, .. } => 0,
                Run::Repeated { .. } if is_asked => {
                    present.push_run(out_row, n_rows as u32);
                    n_rows
                }
                Run::Repeated { .. } => n_rows,
                Run::Packed { bytes, .. } if is_asked => push_bits(bytes, bits, out_row, present),
                Run::Packed { bytes, .. } => count_bits(bytes, bits),
            };
            if is_asked {
                out_row += n_rows as u32;
                push_range(selected, n_values..n_values + n_present);
            }
            n_values += n_present;
        }
    }
    Ok(())
}

/// Appends a range, as part of the last one where they touch.
fn push_range(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
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

/// Appends the codes of the values `ranges` of a page to `codes`. The bytes begin with the width of
/// a code. Every code is below `n_values`, the length of the dictionary.
pub(super) fn unpack_codes(
    bytes: &[u8],
    ranges: &[Range<usize>],
    n_values: usize,
    codes: &mut Vec<u32>,
) -> Result<(), Damage> {
    if ranges.is_empty() {
        return Ok(());
    }
    let Some((bit_width, bytes)) = bytes.split_first() else {
        return damaged("a page of codes without their width");
    };
    let first = codes.len();
    unpack(bytes, *bit_width, ranges, codes)?;
    // `Iterator::max` compares one by one; this is done four at a time.
    match codes[first..].iter().fold(0, |greatest, code| greatest.max(*code)) {
        code if code as usize >= n_values && codes.len() > first => {
            damaged(format!("code {code} in a dictionary of {n_values} values"))
        }
        _ => Ok(()),
    }
}

/// Appends the numbers `ranges` of the runs in `bytes`.
pub(super) fn unpack(
    bytes: &[u8],
    bit_width: u8,
    ranges: &[Range<usize>],
    numbers: &mut Vec<u32>,
) -> Result<(), Damage> {
    let mut runs = Runs::new(bytes, bit_width)?;
    let mut segments = Segments::new(ranges);
    while !segments.is_done() {
        let run_start = segments.place;
        let run = runs.next()?;
        let run_end = run_start.saturating_add(run.len());
        while let Some(Segment { range, is_asked }) = segments.next_before(run_end) {
            if !is_asked {
                continue;
            }
            match &run {
                Run::Repeated { value, .. } => numbers.resize(numbers.len() + range.len(), *value),
                Run::Packed { bytes, .. } => {
                    let places = range.start - run_start..range.end - run_start;
                    unpack_bits(bytes, bit_width, places, numbers);
                }
            }
        }
    }
    Ok(())
}

fn unpack_bits(bytes: &[u8], bit_width: u8, range: Range<usize>, numbers: &mut Vec<u32>) {
    // Eight numbers end at a border of bytes.
    let first_eight = range.start.next_multiple_of(8).min(range.end);
    unpack_single(bytes, bit_width, range.start..first_eight, numbers);
    let width = usize::from(bit_width);
    let bytes_of_eights = bytes.get(first_eight / 8 * width..range.end / 8 * width);
    let eights = match bytes_of_eights.unwrap_or_default() {
        [] => 0,
        eights => unpack_eights(eights, width, numbers),
    };
    unpack_single(bytes, bit_width, first_eight + eights * 8..range.end, numbers);
}

/// Unpacks whole eights of numbers of the usual widths and returns how many eights that were; of
/// other widths it leaves all to do.
fn unpack_eights(bytes: &[u8], bit_width: usize, numbers: &mut Vec<u32>) -> usize {
    fn unpack<const WIDTH: usize>(bytes: &[u8], numbers: &mut Vec<u32>) -> usize {
        let (eights, _) = bytes.as_chunks::<WIDTH>();
        numbers.reserve(eights.len() * 8);
        for eight in eights {
            let mut padded = [0; 16];
            padded[..WIDTH].copy_from_slice(eight);
            let (low, high) = (padded.as_chunks::<8>().0[0], padded.as_chunks::<8>().0[1]);
            let (low, high) = (u64::from_le_bytes(low), u64::from_le_bytes(high));
            let number = |place: usize| {
                let (bit, mask) = (place * WIDTH, (1 << WIDTH) - 1);
                let bits = match bit {
                    0 => low,
                    1..64 => low >> bit | high << (64 - bit),
                    _ => high >> (bit - 64),
                };
                (bits & mask) as u32
            };
            numbers.extend_from_slice(&std::array::from_fn::<u32, 8, _>(number));
        }
        eights.len()
    }
    match bit_width {
        1 => unpack::<1>(bytes, numbers),
        2 => unpack::<2>(bytes, numbers),
        3 => unpack::<3>(bytes, numbers),
        4 => unpack::<4>(bytes, numbers),
        5 => unpack::<5>(bytes, numbers),
        6 => unpack::<6>(bytes, numbers),
        7 => unpack::<7>(bytes, numbers),
        8 => unpack::<8>(bytes, numbers),
        9 => unpack::<9>(bytes, numbers),
        10 => unpack::<10>(bytes, numbers),
        11 => unpack::<11>(bytes, numbers),
        12 => unpack::<12>(bytes, numbers),
        13 => unpack::<13>(bytes, numbers),
        14 => unpack::<14>(bytes, numbers),
        _ => 0,
    }
}

fn unpack_single(bytes: &[u8], bit_width: u8, range: Range<usize>, numbers: &mut Vec<u32>) {
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
