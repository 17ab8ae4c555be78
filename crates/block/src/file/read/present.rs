//! Which of the rows asked for have a value, gathered page by page.

use arrow_buffer::ScalarBuffer;

/// Rows with a value, ascending. While there is no gap they are only counted.
#[derive(Debug, Default)]
pub(super) struct Present {
    n_dense: u32,
    sparse: Option<Vec<u32>>,
}

impl Present {
    pub(super) fn push_run(&mut self, first_row: u32, len: u32) {
        match &mut self.sparse {
            None if first_row == self.n_dense => self.n_dense += len,
            None if len > 0 => self.sparse().extend(first_row..first_row + len),
            None => {}
            Some(rows) => rows.extend(first_row..first_row + len),
        }
    }

    /// The set bits of `word`, of which `n_bits` stand for a row each.
    pub(super) fn push_word(&mut self, first_row: u32, word: u64, n_bits: u32) {
        if word.count_ones() == n_bits {
            return self.push_run(first_row, n_bits);
        }
        let rows = self.sparse();
        let mut word = word;
        while word != 0 {
            rows.push(first_row + word.trailing_zeros());
            word &= word - 1;
        }
    }

    fn sparse(&mut self) -> &mut Vec<u32> {
        self.sparse.get_or_insert_with(|| (0..self.n_dense).collect())
    }

    /// `None` if all of the rows asked for have a value.
    pub(super) fn finish(self, n_rows: u32) -> Option<ScalarBuffer<u32>> {
        match self.sparse {
            None if self.n_dense == n_rows && n_rows > 0 => None,
            None => Some((0..self.n_dense).collect::<Vec<_>>().into()),
            Some(rows) => Some(rows.into()),
        }
    }
}
