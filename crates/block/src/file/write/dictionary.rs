//! The dictionary of one column chunk: which of the values occur, and the code each row gets.
//!
//! In: values, which may be codes of a larger dictionary already. Out: the values as a page's bytes
//! and the codes of any range of rows, or nothing where plain values take fewer bytes. No text is
//! hashed that came with a code.

use std::ops::Range;

use arrow_array::{Array, StringArray};
use hashbrown::HashMap;
use suyuan_model::Strings;

use crate::column::Values;
use crate::file::write::hybrid::code_bits;

/// Above this share of distinct texts a dictionary saves nothing after compression and costs every
/// lookup (storage probe C: dictionary below 20 to 30 %).
const TEXT_PERCENT_MAX: usize = 30;
/// The same of numbers, of which zstd takes most bytes by itself: with 17 % distinct, user ids took
/// 0.51 bytes per span as codes and 0.40 plain.
const NUMBER_PERCENT_MAX: usize = 10;
/// Plain texts are tried as a dictionary when so few of the first ones differ.
const SAMPLE_VALUES: usize = 1_024;
const SAMPLE_DISTINCT_MAX: usize = 128;
/// A number below this finds its code in an array, above in a hash table.
const DIRECT_NUMBERS: u64 = 1 << 16;

/// A column chunk's dictionary, and its values as codes.
#[derive(Debug)]
pub(crate) struct Dictionary {
    pub(crate) n_values: usize,
    /// The values as `PLAIN`.
    pub(crate) page: Vec<u8>,
    codes: Codes,
}

/// Where the code of a value comes from.
#[derive(Debug)]
enum Codes {
    /// By the code that the value came with.
    Mapped(Vec<u32>),
    Own(Vec<u32>),
}

impl Dictionary {
    /// Puts the codes of a range of the values that the dictionary was built from into `codes`.
    pub(crate) fn codes(&self, values: &Values, range: Range<usize>, codes: &mut Vec<u32>) {
        codes.clear();
        match (&self.codes, values) {
            (Codes::Own(own), _) => codes.extend_from_slice(&own[range]),
            (Codes::Mapped(map), Values::Text(Strings::Dictionary { codes: old, .. })) => {
                codes.extend(old[range].iter().map(|old| map[*old as usize]));
            }
            (Codes::Mapped(_), _) => unreachable!("only a dictionary's codes are mapped"),
        }
    }
}

/// Why values cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CodeOutOfRange;

/// Builds the dictionary of a chunk, if it pays.
pub(crate) fn build(values: &Values) -> Result<Option<Dictionary>, CodeOutOfRange> {
    Ok(match values {
        Values::Text(Strings::Dictionary { codes, values }) => return of_codes(codes, values),
        Values::Text(Strings::Plain(values)) => {
            of_texts(values.len(), |at| values.value(at).as_bytes())
        }
        Values::Bytes(values) => of_texts(values.len(), |at| values.value(at)),
        Values::U64(values) => of_numbers(values, |value| *value, 8),
        Values::I64(values) => of_numbers(values, |value| value.cast_unsigned(), 8),
        Values::F64(values) => of_numbers(values, |value| value.to_bits(), 8),
        Values::U32(values) => of_numbers(values, |value| u64::from(*value), 4),
        Values::I32(values) => of_numbers(values, |value| u64::from(value.cast_unsigned()), 4),
        Values::Id(_) | Values::Bool(_) => None,
    })
}

/// Checks that every code has a value, for a column that stays plain.
pub(crate) fn check_codes(codes: &[u32], n_values: usize) -> Result<(), CodeOutOfRange> {
    match codes.iter().max() {
        Some(&greatest) if greatest as usize >= n_values => Err(CodeOutOfRange),
        _ => Ok(()),
    }
}

/// Whether so many distinct values are few enough.
fn is_few(n_distinct: usize, n_values: usize, percent_max: usize) -> bool {
    n_distinct == 1 || n_distinct * 100 <= n_values * percent_max
}

fn saves(n_distinct: usize, n_values: usize, dictionary_bytes: usize, plain_bytes: usize) -> bool {
    let code_bytes = n_values * usize::from(code_bits(n_distinct)) / 8;
    dictionary_bytes + code_bytes < plain_bytes
}

fn of_codes(codes: &[u32], values: &StringArray) -> Result<Option<Dictionary>, CodeOutOfRange> {
    let mut n_uses = vec![0u32; values.len()];
    for &code in codes {
        *n_uses.get_mut(code as usize).ok_or(CodeOutOfRange)? += 1;
    }
    let mut n_distinct = 0;
    let mut dictionary_bytes = 0;
    let mut plain_bytes = 0;
    for (&n, length) in n_uses.iter().zip(values.offsets().lengths()) {
        if n > 0 {
            n_distinct += 1;
            dictionary_bytes += length + 4;
            plain_bytes += n as usize * (length + 4);
        }
    }
    if !is_few(n_distinct, codes.len(), TEXT_PERCENT_MAX)
        || !saves(n_distinct, codes.len(), dictionary_bytes, plain_bytes)
    {
        return Ok(None);
    }
    let mut page = Vec::with_capacity(dictionary_bytes);
    let mut next = 0;
    // From here on the counts become the new codes.
    for (old, n) in n_uses.iter_mut().enumerate() {
        if *n > 0 {
            append(&mut page, values.value(old).as_bytes());
            *n = next;
            next += 1;
        }
    }
    Ok(Some(Dictionary { n_values: n_distinct, page, codes: Codes::Mapped(n_uses) }))
}

/// A dictionary of texts that have no codes yet: given up as soon as it does not pay.
fn of_texts<'a>(n_values: usize, value: impl Fn(usize) -> &'a [u8]) -> Option<Dictionary> {
    let mut seen: HashMap<&[u8], u32, foldhash::fast::RandomState> = HashMap::default();
    let mut codes = Vec::new();
    let mut page = Vec::new();
    let mut plain_bytes = 0;
    for at in 0..n_values {
        let text = value(at);
        let next = seen.len() as u32;
        let code = *seen.entry(text).or_insert_with(|| {
            append(&mut page, text);
            next
        });
        codes.push(code);
        plain_bytes += text.len() + 4;
        if (at < SAMPLE_VALUES && seen.len() > SAMPLE_DISTINCT_MAX)
            || !is_few(seen.len(), n_values, TEXT_PERCENT_MAX)
        {
            return None;
        }
    }
    saves(seen.len(), n_values, page.len(), plain_bytes).then(|| Dictionary {
        n_values: seen.len(),
        page,
        codes: Codes::Own(codes),
    })
}

fn of_numbers<T>(values: &[T], bits: impl Fn(&T) -> u64, width: usize) -> Option<Dictionary> {
    let mut codes = Vec::with_capacity(values.len());
    let mut distinct = Vec::new();
    let mut direct: Vec<u32> = Vec::new();
    let mut hashed: HashMap<u64, u32, foldhash::fast::RandomState> = HashMap::default();
    for value in values {
        let number = bits(value);
        let code = if number < DIRECT_NUMBERS {
            let number = number as usize;
            if number >= direct.len() {
                direct.resize((number + 1).next_power_of_two(), u32::MAX);
            }
            &mut direct[number]
        } else {
            hashed.entry(number).or_insert(u32::MAX)
        };
        if *code == u32::MAX {
            *code = distinct.len() as u32;
            distinct.push(number);
            if !is_few(distinct.len(), values.len(), NUMBER_PERCENT_MAX) {
                return None;
            }
        }
        codes.push(*code);
    }
    if !saves(distinct.len(), values.len(), distinct.len() * width, values.len() * width) {
        return None;
    }
    let mut page = Vec::with_capacity(distinct.len() * width);
    for number in &distinct {
        page.extend_from_slice(&number.to_le_bytes()[..width]);
    }
    Some(Dictionary { n_values: distinct.len(), page, codes: Codes::Own(codes) })
}

fn append(page: &mut Vec<u8>, text: &[u8]) {
    page.extend_from_slice(&(text.len() as u32).to_le_bytes());
    page.extend_from_slice(text);
}
