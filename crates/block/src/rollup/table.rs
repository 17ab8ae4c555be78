//! The rows of a roll-up, as columns and back.

use arrow_array::StringArray;
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use suyuan_model::Strings;

use super::builder::Series;
use super::{Step, rollup_columns};
use crate::column::{Column, Kind, Values};

/// "Not among the texts yet".
const NONE: u32 = u32::MAX;

/// What `rollup.parquet` is written from.
#[derive(Clone, Debug)]
pub struct Rollup {
    pub step: Step,
    pub n_rows: u32,
    /// As [`rollup_columns`] says.
    pub columns: Vec<Column>,
}

/// Rows that are counted, sorted, one field beside the other.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) series: Vec<Series>,
    pub(super) cell_end_unix_seconds: Vec<i64>,
    pub(super) duration_bucket: Vec<u32>,
    pub(super) n_spans: Vec<u32>,
    pub(super) exemplar_row: Vec<Option<u32>>,
}

impl Cells {
    pub(super) fn with_capacity(n_rows: usize) -> Self {
        Self {
            series: Vec::with_capacity(n_rows),
            cell_end_unix_seconds: Vec::with_capacity(n_rows),
            duration_bucket: Vec::with_capacity(n_rows),
            n_spans: Vec::with_capacity(n_rows),
            exemplar_row: Vec::with_capacity(n_rows),
        }
    }

    /// What the file will have, within a third: measured on the shop corpus at all three steps.
    pub(super) fn estimated_bytes(&self, services: &[String], names: &[String]) -> u64 {
        const FILE_BYTES: usize = 3_000;
        const ROW_BYTES: usize = 1;
        const CELL_BYTES: usize = 3;
        const SERIES_BYTES: usize = 4;
        let n_cells = self.exemplar_row.iter().flatten().count();
        let n_series = self.series.chunk_by(|left, right| left == right).count();
        let text_bytes: usize = services.iter().chain(names).map(String::len).sum();
        let bytes = FILE_BYTES
            + ROW_BYTES * self.series.len()
            + CELL_BYTES * n_cells
            + SERIES_BYTES * n_series
            + text_bytes / 2;
        bytes as u64
    }

    pub(super) fn into_rollup(self, step: Step, services: &[String], names: &[String]) -> Rollup {
        let n_rows = self.series.len() as u32;
        let numbers =
            |value: fn(&Series) -> u32| Values::U32(self.series.iter().map(value).collect());
        let codes =
            |value: fn(&Series) -> i32| Values::I32(self.series.iter().map(value).collect());
        let rows_with = |is_present: &dyn Fn(usize) -> bool| -> ScalarBuffer<u32> {
            (0..n_rows).filter(|row| is_present(*row as usize)).collect()
        };
        let services_of_rows = self.series.iter().map(|series| series.service);
        let columns = vec![
            dense(numbers(|series| series.tenant)),
            Column {
                rows: Some(rows_with(&|row| self.series[row].service != 0)),
                values: texts(services_of_rows.filter(|service| *service != 0), services),
            },
            dense(texts(self.series.iter().map(|series| series.name), names)),
            dense(codes(|series| series.kind)),
            dense(codes(|series| series.status_code)),
            dense(Values::Bool(BooleanBuffer::from_iter(
                self.series.iter().map(|series| series.is_root),
            ))),
            dense(Values::I64(self.cell_end_unix_seconds.into())),
            dense(Values::U32(self.duration_bucket.into())),
            dense(Values::U32(self.n_spans.into())),
            Column {
                rows: Some(rows_with(&|row| self.exemplar_row[row].is_some())),
                values: Values::U32(self.exemplar_row.iter().flatten().copied().collect()),
            },
        ];
        Rollup { step, n_rows, columns }
    }
}

fn dense(values: Values) -> Column {
    Column { rows: None, values }
}

/// The texts of numbers, those alone that occur.
fn texts(numbers: impl Iterator<Item = u32>, texts: &[String]) -> Values {
    let mut code_of_number = vec![NONE; texts.len()];
    let mut values: Vec<&str> = Vec::new();
    let codes = numbers.map(|number| {
        let code = &mut code_of_number[number as usize];
        if *code == NONE {
            *code = values.len() as u32;
            values.push(&texts[number as usize]);
        }
        *code
    });
    let codes: ScalarBuffer<u32> = codes.collect();
    Values::Text(Strings::Dictionary { codes, values: StringArray::from_iter_values(values) })
}

/// Rows of a roll-up as read: a column for each field.
#[derive(Clone, Debug)]
pub struct RollupTable {
    pub tenant: ScalarBuffer<u32>,
    /// Rows without a service are left out.
    pub service_name: Column,
    pub name: Strings,
    pub kind: ScalarBuffer<i32>,
    pub status_code: ScalarBuffer<i32>,
    pub is_root: BooleanBuffer,
    pub cell_end_unix_seconds: ScalarBuffer<i64>,
    pub duration_bucket: ScalarBuffer<u32>,
    pub n_spans: ScalarBuffer<u32>,
    /// On the row of a cell's slowest bucket alone.
    pub exemplar_row: Column,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupRow<'a> {
    pub tenant: u32,
    pub service_name: Option<&'a str>,
    pub name: &'a str,
    pub kind: i32,
    pub status_code: i32,
    pub is_root: bool,
    pub cell_end_unix_seconds: i64,
    pub duration_bucket: u32,
    pub n_spans: u32,
    pub exemplar_row: Option<u32>,
}

/// Why columns are no roll-up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollupTableError {
    #[error("roll-up has {columns} columns instead of {expected}")]
    WrongColumns { columns: usize, expected: usize },
    #[error("roll-up: column {column} holds {found:?}")]
    WrongKind { column: usize, found: Kind },
    #[error("roll-up: column {column} has {values} values for {rows} rows")]
    WrongRows { column: usize, values: usize, rows: usize },
}

impl RollupTable {
    /// Rows as read from `rollup.parquet`, all columns of one range of rows.
    pub fn read(columns: Vec<Column>) -> Result<Self, RollupTableError> {
        let expected = rollup_columns();
        let n_rows = columns.first().map_or(0, |tenant| tenant.values.len());
        for (number, (column, spec)) in columns.iter().zip(&expected).enumerate() {
            let (found, values) = (column.values.kind(), column.values.len());
            if found != spec.kind {
                return Err(RollupTableError::WrongKind { column: number, found });
            }
            let fits = match &column.rows {
                None => values == n_rows,
                Some(rows) => rows.len() == values && (spec.is_optional || values == n_rows),
            };
            if !fits {
                return Err(RollupTableError::WrongRows { column: number, values, rows: n_rows });
            }
        }
        let n_columns = columns.len();
        Self::from_checked(columns)
            .ok_or(RollupTableError::WrongColumns { columns: n_columns, expected: expected.len() })
    }

    /// `None` unless the columns are as many as they should be; their kinds are right.
    fn from_checked(columns: Vec<Column>) -> Option<Self> {
        let columns: [Column; 10] = columns.try_into().ok()?;
        let [
            tenant,
            service_name,
            name,
            kind,
            status_code,
            is_root,
            cell_end,
            bucket,
            n_spans,
            row,
        ] = columns;
        Some(Self {
            tenant: numbers(tenant)?,
            service_name,
            name: match name.values {
                Values::Text(name) => name,
                _ => return None,
            },
            kind: signed_numbers(kind)?,
            status_code: signed_numbers(status_code)?,
            is_root: match is_root.values {
                Values::Bool(is_root) => is_root,
                _ => return None,
            },
            cell_end_unix_seconds: match cell_end.values {
                Values::I64(seconds) => seconds,
                _ => return None,
            },
            duration_bucket: numbers(bucket)?,
            n_spans: numbers(n_spans)?,
            exemplar_row: row,
        })
    }

    pub fn len(&self) -> usize {
        self.tenant.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tenant.is_empty()
    }

    /// One row; panics if there is none of this number.
    pub fn row(&self, row: usize) -> RollupRow<'_> {
        RollupRow {
            tenant: self.tenant[row],
            service_name: match &self.service_name.values {
                Values::Text(names) => {
                    position(&self.service_name, row).map(|position| names.value(position))
                }
                _ => None,
            },
            name: self.name.value(row),
            kind: self.kind[row],
            status_code: self.status_code[row],
            is_root: self.is_root.value(row),
            cell_end_unix_seconds: self.cell_end_unix_seconds[row],
            duration_bucket: self.duration_bucket[row],
            n_spans: self.n_spans[row],
            exemplar_row: match &self.exemplar_row.values {
                Values::U32(rows) => position(&self.exemplar_row, row).map(|place| rows[place]),
                _ => None,
            },
        }
    }
}

/// Where in a column's values a row has its own.
fn position(column: &Column, row: usize) -> Option<usize> {
    match &column.rows {
        Some(rows) => rows.binary_search(&(row as u32)).ok(),
        None => Some(row),
    }
}

fn numbers(column: Column) -> Option<ScalarBuffer<u32>> {
    match column.values {
        Values::U32(numbers) => Some(numbers),
        _ => None,
    }
}

fn signed_numbers(column: Column) -> Option<ScalarBuffer<i32>> {
    match column.values {
        Values::I32(numbers) => Some(numbers),
        _ => None,
    }
}
