//! Counts spans by numbers, and makes the cells longer while there are too many of them.
//!
//! In: spans in the order of their rows. Out: a [`Rollup`], or nothing if even five minutes leave
//! too many cells. A span costs two looks into hash tables: what it is (a series), and its series'
//! cell and bucket.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::table::{Cells, Rollup};
use super::{Step, duration_bucket};

/// Rows while building: as many as a hash table of half a million places takes, 9 MB.
const ROWS_MAX: usize = (1 << 19) / 8 * 7;
/// Different (tenant, service, name, kind, status, root).
const SERIES_MAX: usize = 1 << 17;
/// Places of a packed [`CellKey`].
const BUCKET_BITS: u32 = 6;
const CELL_BITS: u32 = 32;

/// One span, as the roll-up sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupSpan {
    pub tenant: u32,
    /// A number in the list of services that comes at the end; 0 is "none".
    pub service: u32,
    /// A number in the list of names that comes at the end.
    pub name: u32,
    pub kind: i32,
    pub status_code: i32,
    /// It names no parent.
    pub is_root: bool,
    pub start_unix_nanos: i64,
    pub duration_nanos: i64,
    /// In the spans file; greater than that of the span before.
    pub row: u32,
}

/// What the spans of some cells have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) tenant: u32,
    pub(super) service: u32,
    pub(super) name: u32,
    pub(super) kind: i32,
    pub(super) status_code: i32,
    pub(super) is_root: bool,
}

/// A row of the table while it is built.
#[derive(Clone, Copy, Debug)]
struct Row {
    key: CellKey,
    n_spans: u32,
    /// The first span of it.
    exemplar_row: u32,
}

/// Series, cell and bucket in one number, sorted as they are. A cell is the number of its step
/// since 1970, at its end: of 15 s up to the year 2262 are fewer than `i32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct CellKey(u64);

impl CellKey {
    fn new(series: u32, cell: i32, bucket: u32) -> Self {
        let cell = (cell as u32) ^ (1 << 31);
        Self(
            u64::from(series) << (CELL_BITS + BUCKET_BITS)
                | u64::from(cell) << BUCKET_BITS
                | u64::from(bucket),
        )
    }

    fn series(self) -> u32 {
        (self.0 >> (CELL_BITS + BUCKET_BITS)) as u32
    }

    fn cell(self) -> i32 {
        ((self.0 >> BUCKET_BITS) as u32 ^ (1 << 31)) as i32
    }

    fn bucket(self) -> u32 {
        self.0 as u32 & ((1 << BUCKET_BITS) - 1)
    }
}

/// Takes the spans of one block.
#[derive(Debug)]
pub struct RollupBuilder {
    step: Step,
    series: Vec<Series>,
    /// Numbers of `series`.
    series_numbers: HashTable<u32>,
    rows: HashTable<Row>,
    /// Seeded at random: names come from outside.
    hasher: RandomState,
    has_given_up: bool,
}

impl Default for RollupBuilder {
    fn default() -> Self {
        Self {
            step: Step::ALL[0],
            series: Vec::new(),
            series_numbers: HashTable::new(),
            rows: HashTable::new(),
            hasher: RandomState::default(),
            has_given_up: false,
        }
    }
}

impl RollupBuilder {
    pub fn push(&mut self, span: &RollupSpan) {
        if self.has_given_up {
            return;
        }
        let Some(series) = self.series_number(span) else {
            self.give_up();
            return;
        };
        let cell = cell_of(span.start_unix_nanos, self.step);
        let key = CellKey::new(series, cell, duration_bucket(span.duration_nanos));
        let row = Row { key, n_spans: 1, exemplar_row: span.row };
        self.add(row);
        while self.rows.len() > ROWS_MAX && !self.has_given_up {
            self.coarsen();
        }
    }

    /// The block gets no roll-up: too many different names, say.
    pub fn give_up(&mut self) {
        self.has_given_up = true;
        self.series = Vec::new();
        self.series_numbers = HashTable::new();
        self.rows = HashTable::new();
    }

    /// The roll-up at the finest step that keeps it under about `bytes_max`; `None` if there is no
    /// such step. `services` and `names` are those by whose numbers the spans came.
    pub fn finish(
        mut self,
        services: &[String],
        names: &[String],
        bytes_max: u64,
    ) -> Option<Rollup> {
        while !self.has_given_up {
            let cells = self.cells();
            if cells.estimated_bytes(services, names) <= bytes_max {
                return (!cells.is_empty()).then(|| cells.into_rollup(self.step, services, names));
            }
            self.coarsen();
        }
        None
    }

    fn series_number(&mut self, span: &RollupSpan) -> Option<u32> {
        let series = Series {
            tenant: span.tenant,
            service: span.service,
            name: span.name,
            kind: span.kind,
            status_code: span.status_code,
            is_root: span.is_root,
        };
        let hash = self.hasher.hash_one(series);
        let known = |number: &u32| self.series[*number as usize] == series;
        if let Some(number) = self.series_numbers.find(hash, known) {
            return Some(*number);
        }
        if self.series.len() == SERIES_MAX {
            return None;
        }
        let number = self.series.len() as u32;
        self.series.push(series);
        self.series_numbers.insert_unique(hash, number, |number| {
            self.hasher.hash_one(self.series[*number as usize])
        });
        Some(number)
    }

    fn add(&mut self, row: Row) {
        let hash = self.hasher.hash_one(row.key.0);
        let is_same = |other: &Row| other.key == row.key;
        match self.rows.entry(hash, is_same, |row| self.hasher.hash_one(row.key.0)) {
            Entry::Occupied(mut present) => {
                let present = present.get_mut();
                present.n_spans += row.n_spans;
                present.exemplar_row = present.exemplar_row.min(row.exemplar_row);
            }
            Entry::Vacant(vacant) => {
                vacant.insert(row);
            }
        }
    }

    /// Makes all cells longer, or gives up.
    pub(super) fn coarsen(&mut self) {
        let Some(coarser) = self.step.coarser() else {
            self.give_up();
            return;
        };
        let n_merged = (coarser.seconds() / self.step.seconds()) as i32;
        self.step = coarser;
        for row in std::mem::take(&mut self.rows) {
            // Closed on the right at both lengths: the end of the longer one is not before.
            let cell = row.key.cell();
            let merged = cell.div_euclid(n_merged) + i32::from(cell.rem_euclid(n_merged) != 0);
            self.add(Row { key: CellKey::new(row.key.series(), merged, row.key.bucket()), ..row });
        }
    }

    /// The rows in order.
    fn cells(&self) -> Cells {
        let mut rows: Vec<Row> = self.rows.iter().copied().collect();
        rows.sort_unstable_by_key(|row| (self.series[row.key.series() as usize], row.key));
        let mut cells = Cells::default();
        for (at, row) in rows.iter().enumerate() {
            let same_cell = |other: &Row| {
                (other.key.series(), other.key.cell()) == (row.key.series(), row.key.cell())
            };
            let is_slowest = !rows.get(at + 1).is_some_and(same_cell);
            let end = i64::from(row.key.cell()) * self.step.seconds();
            cells.series.push(self.series[row.key.series() as usize]);
            cells.cell_end_unix_seconds.push(end);
            cells.duration_bucket.push(row.key.bucket());
            cells.n_spans.push(row.n_spans);
            cells.exemplar_row.push(is_slowest.then_some(row.exemplar_row));
        }
        cells
    }
}

/// The number of the cell of a time, counted by the cells' ends.
fn cell_of(unix_nanos: i64, step: Step) -> i32 {
    const SECOND: i64 = 1_000_000_000;
    // A constant divisor for each step: a division costs a tenth of the whole span otherwise.
    let (cell, rest) = match step {
        Step::Seconds15 => (unix_nanos.div_euclid(15 * SECOND), unix_nanos.rem_euclid(15 * SECOND)),
        Step::Seconds60 => (unix_nanos.div_euclid(60 * SECOND), unix_nanos.rem_euclid(60 * SECOND)),
        Step::Seconds300 => {
            (unix_nanos.div_euclid(300 * SECOND), unix_nanos.rem_euclid(300 * SECOND))
        }
    };
    (cell + i64::from(rest != 0)) as i32
}
