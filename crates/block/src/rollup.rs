//! Counts of spans by time, service, name, kind and status: `rollup.parquet`.
//!
//! In: every span of a block, by numbers. Out: a table from which rates, errors and quantiles of
//! durations are answered without a look at the spans, at the finest step that keeps it small; or
//! none, where spans have too little in common. Never here: which question it may answer.
//!
//! A cell is a time, a service, a name, a kind, a status, and whether the span is a root; cells are
//! closed on the right as those of TraceQL metrics are (`tempo.md 1.7.1`): a span that starts at `t`
//! is in the cell that ends at `c` if `c - step < t <= c`. One row for each cell and bucket of
//! durations that has spans. Tenants ascend; the rows of one (service, name, kind, status, root)
//! stand together, by cell and bucket:
//!
//! | column | type | null | what |
//! |---|---|---|---|
//! | `tenant` | u32 | | number of the tenant in the block |
//! | `service_name` | text | none | of the span's resource |
//! | `name` | text | | of the span |
//! | `kind`, `status_code` | i32 | | OTLP's numbers |
//! | `is_root` | bool | | it names no parent |
//! | `cell_end_unix_seconds` | i64 | | a multiple of the step |
//! | `duration_bucket` | u32 | | `b`: over `2^(b-1)` and up to `2^b` ns; 0: 1 ns or less |
//! | `n_spans` | u32 | | |
//! | `exemplar_row` | u32 | but in a cell's slowest bucket | a span of it: its row in the spans file |
//!
//! Memory while building: 9 MB; beyond, the step grows.

mod builder;
mod table;

use crate::column::{ColumnSpec, Encoding, Kind};

pub use builder::{RollupBuilder, RollupSpan};
pub use table::{Rollup, RollupRow, RollupTable, RollupTableError};

/// How much time a cell covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Seconds15,
    Seconds60,
    Seconds300,
}

impl Step {
    pub const ALL: [Self; 3] = [Self::Seconds15, Self::Seconds60, Self::Seconds300];

    pub fn seconds(self) -> i64 {
        match self {
            Self::Seconds15 => 15,
            Self::Seconds60 => 60,
            Self::Seconds300 => 300,
        }
    }

    pub fn nanos(self) -> u64 {
        self.seconds() as u64 * 1_000_000_000
    }

    fn coarser(self) -> Option<Self> {
        match self {
            Self::Seconds15 => Some(Self::Seconds60),
            Self::Seconds60 => Some(Self::Seconds300),
            Self::Seconds300 => None,
        }
    }
}

/// The bucket of a duration: `b` holds those over `2^(b-1)` and up to `2^b` nanoseconds, as
/// TraceQL's histograms have them; 0 holds 1 ns and less, which those leave out.
pub fn duration_bucket(duration_nanos: i64) -> u32 {
    match duration_nanos {
        ..=1 => 0,
        _ => u64::BITS - (duration_nanos as u64 - 1).leading_zeros(),
    }
}

/// The columns of `rollup.parquet`.
pub fn rollup_columns() -> Vec<ColumnSpec> {
    let required = ColumnSpec::required;
    let optional = ColumnSpec::optional;
    vec![
        required("tenant", Kind::U32, Encoding::Dictionary),
        optional("service_name", Kind::Text, Encoding::Dictionary),
        required("name", Kind::Text, Encoding::Dictionary),
        required("kind", Kind::I32, Encoding::Dictionary),
        required("status_code", Kind::I32, Encoding::Dictionary),
        required("is_root", Kind::Bool, Encoding::Plain),
        required("cell_end_unix_seconds", Kind::I64, Encoding::Dictionary),
        required("duration_bucket", Kind::U32, Encoding::Dictionary),
        required("n_spans", Kind::U32, Encoding::Dictionary),
        optional("exemplar_row", Kind::U32, Encoding::Split),
    ]
}

#[cfg(test)]
mod tests;
