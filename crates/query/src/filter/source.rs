//! What was worked out once and holds for many batches.
//!
//! In: resources, scopes and dictionaries, told apart by where they lie in memory. Out: which of
//! their rows or values fulfil a test. What is remembered keeps its array alive, so that no other
//! one can come to lie there.

use arrow_array::{Array, BinaryArray, StringArray};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use suyuan_model::{Resources, Scopes, Strings};

/// Dictionaries remembered; a slice has one for each text column that a filter reads.
const DICTIONARIES_MAX: usize = 256;
/// Memory that they keep alive; one alone may be larger.
const DICTIONARIES_BYTES_MAX: usize = 16 << 20;

/// What was worked out for one unit and one filter: which resources and dictionary values fulfil
/// what. For other units of the same filter it is never wrong, only useless.
#[derive(Debug, Default)]
pub struct SourceState {
    resources: Masks<BinaryArray>,
    scopes: Masks<Strings>,
    dictionaries: HashMap<DictionaryKey, Answers, RandomState>,
    dictionaries_bytes: usize,
}

/// For tests by their number: which rows of a small table fulfil them.
#[derive(Debug)]
struct Masks<T> {
    /// A column of the table, by which it is known again.
    table: Option<T>,
    of_test: HashMap<u32, Vec<bool>, RandomState>,
}

impl<T> Default for Masks<T> {
    fn default() -> Self {
        Self { table: None, of_test: HashMap::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct DictionaryKey {
    test: u32,
    address: usize,
    len: usize,
}

/// What a test says of the values of a dictionary.
#[derive(Debug)]
pub(super) struct Answers {
    _values: StringArray,
    /// For each code; [`Answers::UNKNOWN`] until it is asked.
    pub(super) of_code: Vec<u8>,
    pub(super) is_complete: bool,
    pub(super) n_yes: usize,
    /// The last code with a yes.
    pub(super) yes: u32,
}

impl Answers {
    pub(super) const UNKNOWN: u8 = 2;

    /// Asks for the value of every code that was not asked yet.
    pub(super) fn complete(&mut self, mut test: impl FnMut(usize) -> bool) {
        if std::mem::replace(&mut self.is_complete, true) {
            return;
        }
        self.n_yes = 0;
        for (code, answer) in self.of_code.iter_mut().enumerate() {
            if *answer == Self::UNKNOWN {
                *answer = u8::from(test(code));
            }
            if *answer == 1 {
                self.n_yes += 1;
                self.yes = code as u32;
            }
        }
    }

    #[inline]
    pub(super) fn of(&mut self, code: u32, mut test: impl FnMut(usize) -> bool) -> bool {
        let answer = &mut self.of_code[code as usize];
        if *answer == Self::UNKNOWN {
            *answer = u8::from(test(code as usize));
        }
        *answer == 1
    }
}

impl SourceState {
    /// Memory of dictionaries that it keeps alive, about.
    pub(crate) fn bytes(&self) -> usize {
        self.dictionaries_bytes
    }

    /// Which resources fulfil a test, by their number.
    pub(super) fn resources(
        &mut self,
        resources: &Resources,
        test: u32,
        fulfils: impl FnMut(u32) -> bool,
    ) -> &[bool] {
        let table = &resources.entity_refs;
        let is_same = |known: &BinaryArray| address(known) == address(table);
        self.resources.of(table, is_same, test, table.len(), fulfils)
    }

    /// Which scopes fulfil a test, by their number.
    pub(super) fn scopes(
        &mut self,
        scopes: &Scopes,
        test: u32,
        fulfils: impl FnMut(u32) -> bool,
    ) -> &[bool] {
        let table = &scopes.name;
        let is_same = |known: &Strings| address_of_strings(known) == address_of_strings(table);
        self.scopes.of(table, is_same, test, table.len(), fulfils)
    }

    /// What a test has said of a dictionary so far.
    pub(super) fn dictionary(&mut self, test: u32, values: &StringArray) -> &mut Answers {
        let address = values.value_offsets().as_ptr() as usize;
        let key = DictionaryKey { test, address, len: values.len() };
        if !self.dictionaries.contains_key(&key) {
            let bytes = values.get_buffer_memory_size() + values.len();
            let all = self.dictionaries_bytes + bytes;
            if self.dictionaries.len() >= DICTIONARIES_MAX || all > DICTIONARIES_BYTES_MAX {
                self.dictionaries.clear();
                self.dictionaries_bytes = 0;
            }
            self.dictionaries_bytes += bytes;
        }
        self.dictionaries.entry(key).or_insert_with(|| Answers {
            _values: values.clone(),
            of_code: vec![Answers::UNKNOWN; values.len()],
            is_complete: false,
            n_yes: 0,
            yes: 0,
        })
    }
}

impl<T: Clone> Masks<T> {
    fn of(
        &mut self,
        table: &T,
        is_same: impl FnOnce(&T) -> bool,
        test: u32,
        n_rows: usize,
        fulfils: impl FnMut(u32) -> bool,
    ) -> &[bool] {
        if !self.table.as_ref().is_some_and(is_same) {
            self.table = Some(table.clone());
            self.of_test.clear();
        }
        self.of_test.entry(test).or_insert_with(|| (0..n_rows as u32).map(fulfils).collect())
    }
}

fn address(array: &BinaryArray) -> (usize, usize) {
    (array.value_offsets().as_ptr() as usize, array.len())
}

fn address_of_strings(strings: &Strings) -> (usize, usize) {
    match strings {
        Strings::Dictionary { codes, .. } => (codes.as_ptr() as usize, codes.len()),
        Strings::Plain(values) => (values.value_offsets().as_ptr() as usize, values.len()),
    }
}
