//! The files of a block that is being written.

use bytes::Bytes;
use suyuan_objects::{ObjectWriter, Objects};

use super::{BLOCKS_FOLDER, WriteError};
use crate::column::{Column, ColumnSpec};
use crate::file::write::{FileOptions, FileWriter};
use crate::meta::{BlockId, FileMeta};

/// Where the files of a block lie, from the root of the store.
pub fn folder(id: BlockId) -> String {
    format!("{BLOCKS_FOLDER}/{id}")
}

/// Where a file of a block lies.
pub(crate) fn path(id: BlockId, name: &str) -> String {
    format!("{BLOCKS_FOLDER}/{id}/{name}")
}

pub(super) struct OpenFile {
    name: &'static str,
    writer: FileWriter<Box<dyn ObjectWriter>>,
    n_row_groups: u32,
}

impl OpenFile {
    pub(super) fn create(
        objects: &dyn Objects,
        id: BlockId,
        name: &'static str,
        columns: Vec<ColumnSpec>,
        options: &FileOptions,
    ) -> Result<Self, WriteError> {
        let sink = objects.writer(&path(id, name))?;
        let writer = FileWriter::new(sink, columns, options.clone())
            .map_err(|error| WriteError::File { file: name, error })?;
        Ok(Self { name, writer, n_row_groups: 0 })
    }

    pub(super) fn n_row_groups(&self) -> u32 {
        self.n_row_groups
    }

    pub(super) fn write(&mut self, n_rows: u32, columns: &[Column]) -> Result<(), WriteError> {
        let file = self.name;
        self.n_row_groups += 1;
        self.writer
            .write_row_group(n_rows, columns)
            .map_err(|error| WriteError::File { file, error })
    }

    /// Closes the file; it is durable then.
    pub(super) fn finish(self) -> Result<FileMeta, WriteError> {
        let file = self.name;
        let written = self.writer.finish().map_err(|error| WriteError::File { file, error })?;
        written.sink.finish()?;
        Ok(FileMeta { name: file.to_owned(), bytes: written.bytes, crc32c: written.crc32c })
    }
}

/// Writes a file that is in memory.
pub(super) fn put(
    objects: &dyn Objects,
    id: BlockId,
    name: &str,
    bytes: Vec<u8>,
) -> Result<FileMeta, WriteError> {
    let meta = FileMeta {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
    };
    objects.put(&path(id, name), Bytes::from(bytes))?;
    Ok(meta)
}
