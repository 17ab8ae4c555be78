//! Counts spans by numbers, and makes the cells longer while there are too many of them.
//!
//! In: spans in the order of their rows. Out: a [`Rollup`], or nothing if even five minutes leave
//! too many cells.
//!
//! Neighbours in a block are neighbours in time, so a row is counted up in a hash table that stays
//! in the processor's cache; when it is full it is emptied to a list, which is sorted and added up
//! when that is full, and at the end (measured: half of what one large table costs).

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::table::{Cells, Rollup};
use super::{Step, duration_bucket};

/// Rows of the hash table: 600 kB.
const RECENT_ROWS: usize = 7 << 12;
/// Rows of the list: 8 MB.
const ROWS_MAX: usize = 1 << 19;
/// Different (tenant, service, name, kind, status, root).
const SERIES_MAX: usize = 1 << 17;
/// Series that are found without hashing them.
const RECENT_SERIES: usize = 1 << 12;
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

impl Series {
    /// One of `n_places`, a power of two. Spans that are told apart by the numbers of OTLP's enums
    /// get neighbouring places; whoever sends others finds them taken, no more.
    fn place(&self, n_places: usize) -> usize {
        let enums =
            (self.kind as u32) << 3 ^ (self.status_code as u32) << 1 ^ u32::from(self.is_root);
        let texts = u64::from(self.service) << 32 | u64::from(self.name);
        let mixed = (texts ^ u64::from(self.tenant) << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 40) as usize ^ enums as usize) & (n_places - 1)
    }
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
    recent_series: Vec<u32>,
    recent: HashTable<Row>,
    /// A key may stand here several times; none of `recent` is counted in.
    rows: Vec<Row>,
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
            recent_series: vec![0; RECENT_SERIES],
            recent: HashTable::new(),
            rows: Vec::new(),
            hasher: RandomState::default(),
            has_given_up: false,
        }
    }
}

impl RollupBuilder {
    pub fn push(&mut self, span: &RollupSpan) {
        if self.recent.len() == RECENT_ROWS {
            self.empty_recent();
        }
        if self.has_given_up {
            return;
        }
        let Some(series) = self.series_number(span) else {
            self.give_up();
            return;
        };
        let cell = cell_of(span.start_unix_nanos, self.step);
        let key = CellKey::new(series, cell, duration_bucket(span.duration_nanos));
        let hash = self.hasher.hash_one(key.0);
        if let Some(row) = self.recent.find_mut(hash, |row| row.key == key) {
            row.n_spans += 1;
            return;
        }
        let row = Row { key, n_spans: 1, exemplar_row: span.row };
        self.recent.insert_unique(hash, row, |row| self.hasher.hash_one(row.key.0));
    }

    /// The block gets no roll-up: too many different names, say.
    pub fn give_up(&mut self) {
        *self = Self { has_given_up: true, recent_series: Vec::new(), ..Self::default() };
    }

    /// The roll-up at the finest step that keeps it under about `bytes_max`; `None` if there is no
    /// such step. `services` and `names` are those by whose numbers the spans came.
    pub fn finish(
        mut self,
        services: &[String],
        names: &[String],
        bytes_max: u64,
    ) -> Option<Rollup> {
        self.empty_recent();
        self.sort_series();
        self.add_up();
        while !self.rows.is_empty() {
            let cells = self.cells();
            if cells.estimated_bytes(services, names) <= bytes_max {
                return Some(cells.into_rollup(self.step, services, names));
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
        let place = series.place(RECENT_SERIES);
        let number = self.recent_series[place];
        if self.series.get(number as usize) == Some(&series) {
            return Some(number);
        }
        let number = self.known_or_new(series)?;
        self.recent_series[place] = number;
        Some(number)
    }

    fn known_or_new(&mut self, series: Series) -> Option<u32> {
        let hash = self.hasher.hash_one(series);
        let is_known = |number: &u32| self.series[*number as usize] == series;
        if let Some(number) = self.series_numbers.find(hash, is_known) {
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

    /// Makes room for other rows; while the list stays nearly full cells grow.
    pub(super) fn empty_recent(&mut self) {
        self.rows.extend(self.recent.drain());
        if self.rows.len() + RECENT_ROWS <= ROWS_MAX {
            return;
        }
        self.add_up();
        while self.rows.len() > ROWS_MAX / 2 {
            self.coarsen();
        }
    }

    /// Every key once, in ascending order.
    pub(super) fn add_up(&mut self) {
        self.rows.sort_unstable_by_key(|row| row.key);
        self.rows.dedup_by(|later, row| {
            let is_same = later.key == row.key;
            if is_same {
                row.n_spans += later.n_spans;
                row.exemplar_row = row.exemplar_row.min(later.exemplar_row);
            }
            is_same
        });
    }

    /// Makes all cells longer, or gives up. Needs and leaves rows that are added up, with none in
    /// `recent`.
    pub(super) fn coarsen(&mut self) {
        let Some(coarser) = self.step.coarser() else {
            self.give_up();
            return;
        };
        let n_merged = (coarser.seconds() / self.step.seconds()) as i32;
        self.step = coarser;
        for row in &mut self.rows {
            // Closed on the right at both lengths: the end of the longer one is not before.
            let cell = row.key.cell();
            let merged = cell.div_euclid(n_merged) + i32::from(cell.rem_euclid(n_merged) != 0);
            row.key = CellKey::new(row.key.series(), merged, row.key.bucket());
        }
        self.add_up();
    }

    /// Numbers the series by what they are; rows must be sorted again.
    fn sort_series(&mut self) {
        let mut order: Vec<u32> = (0..self.series.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.series[*number as usize]);
        let mut new_numbers = vec![0; order.len()];
        for (number, new_number) in order.iter().zip(0..) {
            new_numbers[*number as usize] = new_number;
        }
        for row in &mut self.rows {
            let series = new_numbers[row.key.series() as usize];
            row.key = CellKey::new(series, row.key.cell(), row.key.bucket());
        }
        self.series.sort_unstable();
    }

    fn cells(&self) -> Cells {
        let cell = |row: &Row| (row.key.series(), row.key.cell());
        let n_rows = self.rows.len();
        let mut cells = Cells::with_capacity(n_rows);
        for (at, row) in self.rows.iter().enumerate() {
            let is_slowest = self.rows.get(at + 1).is_none_or(|next| cell(next) != cell(row));
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
