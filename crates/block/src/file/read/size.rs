//! What the columns of a file take, for people who wonder where the bytes go.
//!
//! In: an open file. Out: sizes, from the footer alone. No page is read.

use super::FileReader;
use super::page::Codec;

/// How a column lies in a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSize {
    /// Of its pages, without a bloom filter.
    pub bytes: u64,
    /// Of its dictionary, which is among them; 0: there is none.
    pub dictionary_bytes: u64,
    pub n_pages: u32,
    pub is_compressed: bool,
}

impl FileReader {
    /// What a column takes in a row group; `None` if there is none of these numbers.
    pub fn stored_size(&self, row_group: usize, column: usize) -> Option<StoredSize> {
        let group = self.footer.row_groups.get(row_group)?;
        if column >= self.footer.columns.len() {
            return None;
        }
        let chunk = &self.footer.chunks[self.footer.chunk_number(row_group, column)];
        let n_pages = group.first_rows[usize::from(chunk.first_rows)].len();
        let end = match n_pages.checked_sub(1) {
            Some(last) => self.footer.page_range(chunk, last).end,
            None => chunk.start + u64::from(chunk.dictionary_bytes),
        };
        Some(StoredSize {
            bytes: end - chunk.start,
            dictionary_bytes: u64::from(chunk.dictionary_bytes),
            n_pages: n_pages as u32,
            is_compressed: chunk.codec != Codec::None,
        })
    }
}
