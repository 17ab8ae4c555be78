//! Text columns that intern their values while that pays.
//!
//! A column begins as a dictionary: codes beside distinct values, so that UTF-8 is checked and
//! bytes are copied only when a value is new. It falls back to plain values when the dictionary
//! does not pay, which halves the cost of ingest (measured: 0.40 against 0.19 CPU seconds per
//! million spans, `design.md 4`). Whether it pays is decided by bytes, at the end of every chunk
//! and once early in it, and is remembered across chunks: a count of distinct values alone stands
//! on a knife's edge for columns such as `url.path`.

use std::hash::BuildHasher;

use arrow_array::{Array, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// An immutable text column.
#[derive(Clone, Debug)]
pub enum Strings {
    /// `codes` index into `values`, which holds every distinct text once.
    Dictionary {
        codes: ScalarBuffer<u32>,
        values: StringArray,
    },
    Plain(StringArray),
}

impl Strings {
    pub fn value(&self, position: usize) -> &str {
        match self {
            Self::Dictionary { codes, values } => values.value(codes[position] as usize),
            Self::Plain(values) => values.value(position),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Dictionary { codes, .. } => codes.len(),
            Self::Plain(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes that a code or an offset costs in a column.
const CODE_BYTES: usize = 4;
/// Texts remembered by fingerprint: most columns have few values that take turns.
const RECENT: usize = 32;
/// A dictionary is judged for the first time when it has seen this many values.
const EARLY_VALUES: usize = 2_048;
/// After this many chunks as plain values a column tries a dictionary again.
const RETRY_CHUNKS: u32 = 64;

#[derive(Debug)]
pub(crate) struct StringsBuilder {
    /// Codes while interning; empty for a plain column.
    codes: Vec<u32>,
    table: HashTable<u32>,
    /// Seeded at random: texts come from outside.
    hasher: RandomState,
    /// Ends of the distinct values (interning) or of all values (plain); starts with 0.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    /// The code that a text with this fingerprint had last time.
    recent: [u32; RECENT],
    /// What the values would take as plain bytes.
    plain_bytes: usize,
    is_interning: bool,
    was_judged_early: bool,
    plain_chunks: u32,
}

impl Default for StringsBuilder {
    fn default() -> Self {
        Self {
            codes: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            ends: vec![0],
            bytes: Vec::new(),
            recent: [0; RECENT],
            plain_bytes: 0,
            is_interning: true,
            was_judged_early: false,
            plain_chunks: 0,
        }
    }
}

/// Tells most texts of a column apart by their length and three of their bytes.
#[inline]
fn fingerprint(text: &[u8]) -> usize {
    let (Some(first), Some(last)) = (text.first(), text.last()) else { return 0 };
    let middle = text[text.len() / 2];
    (text.len() ^ usize::from(*first) ^ usize::from(middle) << 1 ^ usize::from(*last) << 2) % RECENT
}

/// Whether two texts are equal. Keys and values are short: comparing words in place is cheaper than
/// a call of `memcmp` (5 % of the whole ingest).
#[inline(always)]
pub(crate) fn is_equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left_words, left_rest) = left.as_chunks::<8>();
    let (right_words, right_rest) = right.as_chunks::<8>();
    for (left, right) in left_words.iter().zip(right_words) {
        if u64::from_ne_bytes(*left) != u64::from_ne_bytes(*right) {
            return false;
        }
    }
    match (left.last_chunk::<8>(), right.last_chunk::<8>()) {
        (Some(left), Some(right)) => u64::from_ne_bytes(*left) == u64::from_ne_bytes(*right),
        _ => left_rest.iter().zip(right_rest).all(|(left, right)| left == right),
    }
}

#[inline]
fn slice<'a>(bytes: &'a [u8], ends: &[i32], position: usize) -> &'a [u8] {
    &bytes[ends[position] as usize..ends[position + 1] as usize]
}

impl StringsBuilder {
    /// Appends a text as received. Returns false if it was not UTF-8: then every bad sequence is
    /// replaced by U+FFFD.
    #[must_use]
    pub(crate) fn push(&mut self, text: &[u8]) -> bool {
        if !self.is_interning {
            return self.append_checked(text);
        }
        self.plain_bytes += text.len();
        if let Some(code) = self.find(text) {
            self.codes.push(code);
            return true;
        }
        let is_valid = match std::str::from_utf8(text) {
            Ok(_) => {
                self.intern_new(text);
                true
            }
            Err(_) => {
                let repaired = String::from_utf8_lossy(text).into_owned();
                match self.find(repaired.as_bytes()) {
                    Some(code) => self.codes.push(code),
                    None => self.intern_new(repaired.as_bytes()),
                }
                false
            }
        };
        if !self.was_judged_early && self.codes.len() >= EARLY_VALUES {
            self.was_judged_early = true;
            if !self.dictionary_pays() {
                self.turn_plain();
            }
        }
        is_valid
    }

    fn find(&mut self, text: &[u8]) -> Option<u32> {
        // Hashing a long text costs more than comparing it with a good guess.
        let recent = fingerprint(text);
        let guess = self.recent[recent];
        if (guess as usize) < self.ends.len() - 1
            && is_equal(slice(&self.bytes, &self.ends, guess as usize), text)
        {
            return Some(guess);
        }
        let (bytes, ends) = (&self.bytes, &self.ends);
        let is_it = |code: &u32| is_equal(slice(bytes, ends, *code as usize), text);
        let code = *self.table.find(self.hasher.hash_one(text), is_it)?;
        self.recent[recent] = code;
        Some(code)
    }

    fn intern_new(&mut self, text: &[u8]) {
        let code = (self.ends.len() - 1) as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as i32);
        let (bytes, ends) = (&self.bytes, &self.ends);
        let hasher = &self.hasher;
        self.table.insert_unique(hasher.hash_one(text), code, |code| {
            hasher.hash_one(slice(bytes, ends, *code as usize))
        });
        self.codes.push(code);
    }

    fn append_checked(&mut self, text: &[u8]) -> bool {
        let is_valid = match std::str::from_utf8(text) {
            Ok(_) => {
                self.bytes.extend_from_slice(text);
                true
            }
            Err(_) => {
                self.bytes.extend_from_slice(String::from_utf8_lossy(text).as_bytes());
                false
            }
        };
        self.ends.push(self.bytes.len() as i32);
        is_valid
    }

    /// A dictionary pays while its distinct values and codes take under 70 % of the plain form.
    fn dictionary_pays(&self) -> bool {
        let n_distinct = self.ends.len() - 1;
        let dictionary = self.bytes.len() + (n_distinct + self.codes.len()) * CODE_BYTES;
        let plain = self.plain_bytes + self.codes.len() * CODE_BYTES;
        dictionary * 10 <= plain * 7 || n_distinct * 16 < self.codes.len()
    }

    fn turn_plain(&mut self) {
        let mut bytes = Vec::with_capacity(self.plain_bytes * 2);
        let mut ends = Vec::with_capacity(self.codes.len() * 2);
        ends.push(0);
        for code in self.codes.drain(..) {
            bytes.extend_from_slice(slice(&self.bytes, &self.ends, code as usize));
            ends.push(bytes.len() as i32);
        }
        (self.bytes, self.ends) = (bytes, ends);
        self.table = HashTable::new();
        self.is_interning = false;
    }

    /// Forgets the values after the first `len`. Distinct values stay in the dictionary.
    pub(crate) fn truncate(&mut self, len: usize) {
        if self.is_interning {
            self.codes.truncate(len);
        } else if len + 1 < self.ends.len() {
            self.ends.truncate(len + 1);
            self.bytes.truncate(self.ends[len] as usize);
        }
    }

    /// Empties the column for the next chunk and keeps what was learnt about its values.
    pub(crate) fn clear(&mut self) {
        if self.is_interning {
            let is_judgeable = self.codes.len() >= EARLY_VALUES / 8;
            if is_judgeable && !self.dictionary_pays() {
                self.is_interning = false;
                self.plain_chunks = 0;
            }
        } else {
            self.plain_chunks += 1;
            if self.plain_chunks >= RETRY_CHUNKS {
                self.is_interning = true;
            }
        }
        self.codes.clear();
        self.table.clear();
        self.ends.truncate(1);
        self.bytes.clear();
        self.plain_bytes = 0;
        self.was_judged_early = false;
    }

    pub(crate) fn freeze(&self) -> Strings {
        let values = StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(self.ends.clone())),
            Buffer::from_slice_ref(&self.bytes),
            None,
        );
        if self.is_interning {
            Strings::Dictionary { codes: self.codes.clone().into(), values }
        } else {
            Strings::Plain(values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(texts: &[&[u8]]) -> (StringsBuilder, Vec<bool>) {
        let mut builder = StringsBuilder::default();
        let valid = texts.iter().map(|text| builder.push(text)).collect();
        (builder, valid)
    }

    #[test]
    fn values_come_back_in_order_and_equal_ones_share_a_code() {
        let (builder, valid) = build(&[b"a", b"b", b"a", b""]);
        assert_eq!(valid, [true; 4]);
        let Strings::Dictionary { codes, values } = builder.freeze() else { panic!("dictionary") };
        assert_eq!(&codes[..], [0, 1, 0, 2]);
        assert_eq!(values.iter().flatten().collect::<Vec<_>>(), ["a", "b", ""]);
    }

    #[test]
    fn what_is_not_utf8_is_repaired_and_reported() {
        let (builder, valid) = build(&[b"caf\xff", b"ok"]);
        assert_eq!(valid, [false, true]);
        assert_eq!(builder.freeze().value(0), "caf\u{fffd}");
        assert_eq!(builder.freeze().value(1), "ok");
    }

    #[test]
    fn a_column_of_distinct_values_turns_plain_and_stays_so_in_the_next_chunk() {
        let mut builder = StringsBuilder::default();
        for n in 0..EARLY_VALUES + 10 {
            assert!(builder.push(format!("/items/{n}").as_bytes()));
        }
        let strings = builder.freeze();
        assert!(matches!(strings, Strings::Plain(_)));
        assert_eq!(strings.len(), EARLY_VALUES + 10);
        assert_eq!(strings.value(7), "/items/7");
        assert_eq!(strings.value(EARLY_VALUES + 9), format!("/items/{}", EARLY_VALUES + 9));
        builder.clear();
        assert!(builder.push(b"x"));
        assert!(matches!(builder.freeze(), Strings::Plain(_)));
    }

    #[test]
    fn texts_of_every_length_are_equal_only_to_themselves() {
        for len in 0..40 {
            let text = vec![b'a'; len];
            assert!(is_equal(&text, &text));
            assert!(!is_equal(&text, &vec![b'a'; len + 1]));
            for place in 0..len {
                let mut other = text.clone();
                other[place] = b'b';
                assert!(!is_equal(&text, &other), "{len} bytes, place {place}");
            }
        }
    }

    #[test]
    fn truncating_forgets_the_last_values_in_both_forms() {
        let (mut builder, _) = build(&[b"one", b"two", b"three"]);
        builder.truncate(1);
        assert!(builder.push(b"four"));
        let strings = builder.freeze();
        assert_eq!((strings.len(), strings.value(0), strings.value(1)), (2, "one", "four"));
        builder.turn_plain();
        builder.truncate(1);
        assert!(builder.push(b"five"));
        let strings = builder.freeze();
        assert_eq!((strings.len(), strings.value(0), strings.value(1)), (2, "one", "five"));
    }
}
