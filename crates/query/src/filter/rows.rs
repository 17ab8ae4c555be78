//! A set of rows of a batch: one bit for each.
//!
//! In: rows that are added, or a word of 64 answers at a time. Out: counts and ascending rows.
//! Bits behind the last row are always 0, so that counting and comparing need no care.

const WORD_BITS: usize = u64::BITS as usize;

/// Rows `0..n_rows`, each in it or not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RowSet {
    n_rows: u32,
    words: Vec<u64>,
}

impl RowSet {
    pub fn none(n_rows: u32) -> Self {
        Self { n_rows, words: vec![0; (n_rows as usize).div_ceil(WORD_BITS)] }
    }

    pub fn all(n_rows: u32) -> Self {
        let mut all = Self { n_rows, words: vec![!0; (n_rows as usize).div_ceil(WORD_BITS)] };
        all.trim();
        all
    }

    /// Of `rows`, in any order, those below `n_rows`.
    pub fn of(n_rows: u32, rows: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::none(n_rows);
        rows.into_iter().filter(|row| *row < n_rows).for_each(|row| set.insert(row));
        set
    }

    /// How many rows there are, in it or not.
    pub fn n_rows(&self) -> u32 {
        self.n_rows
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many rows are in it.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    pub fn contains(&self, row: u32) -> bool {
        row < self.n_rows
            && self.words[row as usize / WORD_BITS] >> (row as usize % WORD_BITS) & 1 == 1
    }

    /// The row must be below [`Self::n_rows`].
    #[inline]
    pub fn insert(&mut self, row: u32) {
        debug_assert!(row < self.n_rows, "row {row} of {}", self.n_rows);
        self.words[row as usize / WORD_BITS] |= 1 << (row as usize % WORD_BITS);
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some((place * WORD_BITS) as u32 + bit)
            })
        })
    }

    /// Rows that are in both.
    pub fn intersect(&mut self, other: &Self) {
        debug_assert_eq!(self.n_rows, other.n_rows);
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Rows that are in either.
    pub fn unite(&mut self, other: &Self) {
        debug_assert_eq!(self.n_rows, other.n_rows);
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Takes out the rows of the other.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert_eq!(self.n_rows, other.n_rows);
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// 64 rows each; bits behind the last row must stay 0.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    fn trim(&mut self) {
        let used = self.n_rows as usize % WORD_BITS;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}
