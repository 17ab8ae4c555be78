//! Texts in one piece of memory, found again by their bytes.

use std::hash::BuildHasher;

use arrow_array::StringArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Memory for as much is kept when the texts are cleared.
const KEPT_BYTES: usize = 4 << 20;
const KEPT_TEXTS: usize = 1 << 17;

/// Numbered texts. Those that were interned are found again, those that were only appended not.
#[derive(Debug)]
pub(super) struct Texts {
    /// Where each text ends; starts with 0.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    table: HashTable<u32>,
    /// Seeded at random: texts come from outside.
    hasher: RandomState,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            ends: vec![0],
            bytes: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        slice(&self.ends, &self.bytes, number)
    }

    /// The number of a text, which is a new one if it was not interned before.
    #[inline]
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (ends, bytes) = (&self.ends, &self.bytes);
        match self.table.find(hash, |number| slice(ends, bytes, *number) == text) {
            Some(number) => *number,
            None => self.intern_new(hash, text),
        }
    }

    fn intern_new(&mut self, hash: u64, text: &[u8]) -> u32 {
        let number = self.append(text);
        let (ends, bytes, hasher) = (&self.ends, &self.bytes, &self.hasher);
        let hash_of = |number: &u32| hasher.hash_one(slice(ends, bytes, *number));
        self.table.insert_unique(hash, number, hash_of);
        number
    }

    #[inline]
    pub(super) fn append(&mut self, text: &[u8]) -> u32 {
        let number = self.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        number
    }

    /// What is written here becomes the next text, with [`Self::finish_text`].
    pub(super) fn next_text(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn finish_text(&mut self) -> u32 {
        let number = self.len() as u32;
        self.ends.push(self.bytes.len());
        number
    }

    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES || self.ends.capacity() > KEPT_TEXTS {
            *self = Self::default();
            return;
        }
        self.ends.truncate(1);
        self.bytes.clear();
        self.table.clear();
    }

    /// Finds none of the texts again; their numbers stay taken.
    pub(super) fn forget(&mut self) {
        self.table.clear();
    }

    /// All texts in the order of their numbers; nothing if they are too long for one array.
    pub(super) fn to_array(&self) -> Option<StringArray> {
        i32::try_from(self.bytes.len()).ok()?;
        let ends: Vec<i32> = self.ends.iter().map(|end| *end as i32).collect();
        string_array(ends, Buffer::from_slice_ref(&self.bytes))
    }

    /// The texts of these numbers; nothing if they are too long for one array.
    pub(super) fn gather(&self, numbers: &[u32]) -> Option<(OffsetBuffer<i32>, Buffer)> {
        let n_bytes: usize = numbers.iter().map(|number| self.get(*number).len()).sum();
        i32::try_from(n_bytes).ok()?;
        let mut ends = Vec::with_capacity(numbers.len() + 1);
        let mut bytes = Vec::with_capacity(n_bytes);
        ends.push(0);
        for number in numbers {
            bytes.extend_from_slice(self.get(*number));
            ends.push(bytes.len() as i32);
        }
        Some((OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes)))
    }
}

fn string_array(ends: Vec<i32>, bytes: Buffer) -> Option<StringArray> {
    StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), bytes, None).ok()
}

#[inline]
fn slice<'a>(ends: &[usize], bytes: &'a [u8], number: u32) -> &'a [u8] {
    &bytes[ends[number as usize]..ends[number as usize + 1]]
}
