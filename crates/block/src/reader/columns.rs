//! Some columns of some rows of a slice: what a search reads.
//!
//! In: rows and [`Columns`]. Out: a [`Batch`] in which those are filled and all others are empty,
//! read from the pages that hold the rows. Never here: what a value means; the order in which a
//! row's attributes were received, and repeated keys, of which the first value alone is given.

use std::ops::Range;

use suyuan_model::{Batch, Columns};
use suyuan_objects::ReadMeter;

use super::{BlockReader, ReadError};

impl BlockReader {
    /// Columns of rows of a slice, which must be the tenant's, ascend and not touch. A whole slice
    /// costs less than its pages one by one.
    ///
    /// Of an attribute every type is given; of a key that a row has twice with one type, the first
    /// value. A row stands once in a column of attributes, and never has a shape. Events and links
    /// name their spans by the rows of the batch. [`Field::ParentSpanId`] asks for whole traces:
    /// every range must begin with the first row of a trace and end with the last row of one.
    ///
    /// [`Field::ParentSpanId`]: suyuan_model::Field::ParentSpanId
    pub fn columns(
        &self,
        tenant: u32,
        slice: u32,
        rows: &[Range<u32>],
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Batch, ReadError> {
        let _ = (tenant, slice, rows, columns, meter);
        todo!()
    }
}
