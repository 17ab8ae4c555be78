//! Rows of chunks, in any order, to the dense columns of one slice.
//!
//! In: chunks, and the row of the slice that each of their rows goes to. Out: the columns of the
//! slice's row groups, in the order of [`crate::layout::span_columns`] and its like. Chunks are
//! taken one after the other and each column of a chunk is walked once; nothing is kept of a chunk
//! after [`SliceStage::add`] returns, so it may come from a scratch file. Which spans belong to a
//! slice, their order, and their tree are decided elsewhere.

mod attributes;
mod shared;
mod side;
mod texts;
mod values;

use arrow_array::{FixedSizeBinaryArray, StringArray};
use arrow_buffer::Buffer;
use suyuan_model::{Chunk, Strings};

use self::attributes::AttributeStage;
use self::side::{EventStage, LinkStage, add_counts, add_sparse_texts};
use self::values::{ColumnStage, NONE, Scratch, empty};
use crate::column::{Column, Kind, Values};
use crate::layout::Layout;

pub use shared::{SharedColumns, SharedRows, TenantShared};
pub use side::SideColumns;

/// Why rows cannot become a slice.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Slices must be cut so that this does not happen.
    #[error("column `{column}` of a slice takes more than 2 GiB")]
    TooManyBytes { column: String },
    #[error("a chunk has an attribute key that was not counted before the layout was decided")]
    NotCounted,
    #[error("rows of tenant {tenant} come after those of tenant {before}")]
    TenantsOutOfOrder { before: u32, tenant: u32 },
    #[error("the slice has {n_rows} rows and was given {n_added}")]
    RowsMissing { n_rows: u32, n_added: u32 },
}

/// One slice of a block after the other; its memory is kept between them.
#[derive(Debug)]
pub struct SliceStage {
    /// Where the slice begins in the block's file of spans.
    first_row: u32,
    n_rows: u32,
    n_added: u32,
    trace_id: Vec<[u8; 16]>,
    span_id: Vec<u64>,
    start_unix_nanos: Vec<i64>,
    duration_nanos: Vec<i64>,
    kind: Vec<i32>,
    status_code: Vec<i32>,
    resource: Vec<u32>,
    scope: Vec<u32>,
    name: ColumnStage,
    sparse: SparseStages,
    attributes: AttributeStage,
    events: EventStage,
    links: LinkStage,
    /// For each row of the chunk that is being added its row in the slice, or [`NONE`].
    slice_rows: Vec<u32>,
    /// For each resource and scope of that chunk its row in the block, or [`NONE`].
    resource_rows: Vec<u32>,
    scope_rows: Vec<u32>,
    scratch: Scratch,
}

/// What few spans have.
#[derive(Debug)]
struct SparseStages {
    status_message: ColumnStage,
    trace_state: ColumnStage,
    flags: ColumnStage,
    dropped_attributes: ColumnStage,
    dropped_events: ColumnStage,
    dropped_links: ColumnStage,
    cut_values: ColumnStage,
}

/// What only the trees of a slice's traces say, for all its rows in order.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a> {
    /// For each row.
    pub depth: &'a [u32],
    /// Rows of depth 0 that have a parent id, ascending, and that id.
    pub kept_parents: &'a [(u32, u64)],
}

/// The row groups of a slice.
#[derive(Debug)]
pub struct SliceColumns {
    pub spans: Vec<Column>,
    pub events: Option<SideColumns>,
    pub links: Option<SideColumns>,
    /// For each row the number of its service in [`SharedColumns::services`]; 0 is "none".
    pub service_codes: Vec<u32>,
    /// For each row the number of its name in [`SharedColumns::names`]; nothing if the block has
    /// too many different names to count by them.
    pub name_codes: Option<Vec<u32>>,
}

impl SliceStage {
    pub fn new(layout: &Layout) -> Self {
        Self {
            first_row: 0,
            n_rows: 0,
            n_added: 0,
            trace_id: Vec::new(),
            span_id: Vec::new(),
            start_unix_nanos: Vec::new(),
            duration_nanos: Vec::new(),
            kind: Vec::new(),
            status_code: Vec::new(),
            resource: Vec::new(),
            scope: Vec::new(),
            name: ColumnStage::new(Kind::Text),
            sparse: SparseStages::new(),
            attributes: AttributeStage::new(&layout.span),
            events: EventStage::new(&layout.event),
            links: LinkStage::new(&layout.link),
            slice_rows: Vec::new(),
            resource_rows: Vec::new(),
            scope_rows: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Begins a slice of `n_rows` rows, the first of which is row `first_row` of the block.
    pub fn begin(&mut self, first_row: u32, n_rows: u32) {
        (self.first_row, self.n_rows, self.n_added) = (first_row, n_rows, 0);
        let n_rows = n_rows as usize;
        sized(&mut self.trace_id, n_rows);
        sized(&mut self.span_id, n_rows);
        sized(&mut self.start_unix_nanos, n_rows);
        sized(&mut self.duration_nanos, n_rows);
        sized(&mut self.kind, n_rows);
        sized(&mut self.status_code, n_rows);
        sized(&mut self.resource, n_rows);
        sized(&mut self.scope, n_rows);
        self.name.clear();
        self.sparse.stages().into_iter().for_each(|(_, stage)| stage.clear());
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
    }

    /// Adds rows of a chunk: each its row in the chunk, and its row in the slice. A chunk is added
    /// once to a slice, with all its rows that belong there. Tenants come in ascending order.
    pub fn add(
        &mut self,
        chunk: &Chunk,
        tenant: u32,
        rows: &[(u32, u32)],
        shared: &mut SharedRows,
    ) -> Result<(), StageError> {
        self.n_added += rows.len() as u32;
        self.slice_rows.clear();
        self.slice_rows.resize(chunk.n_rows(), NONE);
        for (row, slice_row) in rows {
            self.slice_rows[*row as usize] = *slice_row;
        }
        self.add_numbers(chunk, rows);
        self.add_shared(chunk, tenant, rows, shared)?;
        let picks = rows.iter().map(|(row, slice_row)| (*row as usize, *slice_row));
        let (slice_rows, scratch) = (&self.slice_rows, &mut self.scratch);
        self.name.add_texts(&chunk.name, picks, scratch);
        self.sparse.add(chunk, slice_rows, scratch);
        self.attributes.add(&chunk.attributes, slice_rows, scratch)?;
        self.events.add(&chunk.events, slice_rows, scratch)?;
        self.links.add(&chunk.links, slice_rows, scratch)
    }

    fn add_numbers(&mut self, chunk: &Chunk, rows: &[(u32, u32)]) {
        let ids = chunk.trace_id.value_data().as_chunks::<16>().0;
        scatter(&mut self.trace_id, ids, rows);
        scatter(&mut self.span_id, chunk.span_id.values(), rows);
        scatter(&mut self.start_unix_nanos, chunk.start_unix_nanos.values(), rows);
        scatter(&mut self.kind, chunk.kind.values(), rows);
        scatter(&mut self.status_code, chunk.status_code.values(), rows);
        let (starts, ends) = (chunk.start_unix_nanos.values(), chunk.end_unix_nanos.values());
        for (row, slice_row) in rows {
            let row = *row as usize;
            // Wraps for a span of more than 292 years; the reader's sum wraps back.
            self.duration_nanos[*slice_row as usize] = ends[row].wrapping_sub(starts[row]);
        }
    }

    fn add_shared(
        &mut self,
        chunk: &Chunk,
        tenant: u32,
        rows: &[(u32, u32)],
        shared: &mut SharedRows,
    ) -> Result<(), StageError> {
        shared.begin_tenant(tenant)?;
        for known in [&mut self.resource_rows, &mut self.scope_rows] {
            known.clear();
        }
        self.resource_rows.resize(chunk.resources.schema_url.len(), NONE);
        self.scope_rows.resize(chunk.scopes.name.len(), NONE);
        let (resources, scopes) = (chunk.resource.values(), chunk.scope.values());
        for (row, slice_row) in rows {
            let (row, slice_row) = (*row as usize, *slice_row as usize);
            let known = &mut self.resource_rows[resources[row] as usize];
            if *known == NONE {
                *known = shared.resource(chunk, resources[row]);
            }
            self.resource[slice_row] = *known;
            let known = &mut self.scope_rows[scopes[row] as usize];
            if *known == NONE {
                *known = shared.scope(chunk, scopes[row]);
            }
            self.scope[slice_row] = *known;
        }
        Ok(())
    }

    /// The columns of the slice, when all its rows were added.
    pub fn finish(
        &mut self,
        trees: Trees<'_>,
        shared: &mut SharedRows,
    ) -> Result<SliceColumns, StageError> {
        let (n_rows, n_added) = (self.n_rows, self.n_added);
        if n_rows != n_added || trees.depth.len() != n_rows as usize {
            return Err(StageError::RowsMissing { n_rows, n_added });
        }
        let scratch = &mut self.scratch;
        let name = self.name.finish("name", n_rows, scratch)?;
        let Values::Text(names) = &name.values else { unreachable!("names are texts") };
        let name_codes = shared.name_codes(names);
        let service_codes: Vec<u32> =
            self.resource.iter().map(|resource| shared.service_of(*resource)).collect();
        let ids = Buffer::from_slice_ref(self.trace_id.as_flattened());
        let mut spans = vec![
            full(Values::Id(FixedSizeBinaryArray::new(16, ids, None))),
            full(Values::U64(self.span_id.clone().into())),
            full(Values::U32(trees.depth.to_vec().into())),
            kept_parents(trees.kept_parents),
            full(Values::I64(self.start_unix_nanos.clone().into())),
            full(Values::I64(self.duration_nanos.clone().into())),
            name,
            full(Values::I32(self.kind.clone().into())),
            full(Values::I32(self.status_code.clone().into())),
            full(Values::U32(self.resource.clone().into())),
            full(Values::U32(self.scope.clone().into())),
            service_names(&service_codes, shared),
        ];
        for (name, stage) in self.sparse.stages() {
            spans.push(stage.finish(name, n_rows, scratch)?);
        }
        self.attributes.finish(n_rows, scratch, &mut spans)?;
        let events = self.events.finish(self.first_row, scratch)?;
        let links = self.links.finish(self.first_row, scratch)?;
        Ok(SliceColumns { spans, events, links, service_codes, name_codes })
    }
}

impl SparseStages {
    fn new() -> Self {
        let counts = || ColumnStage::new(Kind::U32);
        Self {
            status_message: ColumnStage::new(Kind::Text),
            trace_state: ColumnStage::new(Kind::Text),
            flags: counts(),
            dropped_attributes: counts(),
            dropped_events: counts(),
            dropped_links: counts(),
            cut_values: counts(),
        }
    }

    /// In the order of the file.
    fn stages(&mut self) -> [(&'static str, &mut ColumnStage); 7] {
        [
            ("status_message", &mut self.status_message),
            ("trace_state", &mut self.trace_state),
            ("flags", &mut self.flags),
            ("dropped_attributes", &mut self.dropped_attributes),
            ("dropped_events", &mut self.dropped_events),
            ("dropped_links", &mut self.dropped_links),
            ("cut_values", &mut self.cut_values),
        ]
    }

    fn add(&mut self, chunk: &Chunk, slice_rows: &[u32], scratch: &mut Scratch) {
        add_sparse_texts(&mut self.status_message, &chunk.status_message, slice_rows, scratch);
        add_sparse_texts(&mut self.trace_state, &chunk.trace_state, slice_rows, scratch);
        add_counts(&mut self.flags, &chunk.flags, slice_rows);
        add_counts(&mut self.dropped_attributes, &chunk.dropped_attributes, slice_rows);
        add_counts(&mut self.dropped_events, &chunk.dropped_events, slice_rows);
        add_counts(&mut self.dropped_links, &chunk.dropped_links, slice_rows);
        add_counts(&mut self.cut_values, &chunk.cut_values, slice_rows);
    }
}

/// Makes a buffer as long as the slice.
fn sized<T: Copy + Default>(buffer: &mut Vec<T>, n_rows: usize) {
    empty(buffer);
    buffer.resize(n_rows, T::default());
}

fn scatter<T: Copy>(slice: &mut [T], values: &[T], rows: &[(u32, u32)]) {
    for (row, slice_row) in rows {
        slice[*slice_row as usize] = values[*row as usize];
    }
}

fn full(values: Values) -> Column {
    Column { rows: None, values }
}

fn kept_parents(kept: &[(u32, u64)]) -> Column {
    let (rows, ids): (Vec<u32>, Vec<u64>) = kept.iter().copied().unzip();
    Column { rows: Some(rows.into()), values: Values::U64(ids.into()) }
}

/// The service of each row by name; rows without one have no value.
fn service_names(codes: &[u32], shared: &SharedRows) -> Column {
    let mut new_codes = vec![NONE; shared.n_services()];
    let mut names = Vec::new();
    let (mut rows, mut in_slice) = (Vec::new(), Vec::with_capacity(codes.len()));
    let is_full = !codes.contains(&0);
    for (row, code) in codes.iter().enumerate().filter(|(_, code)| **code != 0) {
        let new_code = &mut new_codes[*code as usize];
        if *new_code == NONE {
            *new_code = names.len() as u32;
            names.push(shared.service(*code));
        }
        in_slice.push(*new_code);
        if !is_full {
            rows.push(row as u32);
        }
    }
    let values = StringArray::from_iter_values(names);
    let values = Values::Text(Strings::Dictionary { codes: in_slice.into(), values });
    Column { rows: (!is_full).then(|| rows.into()), values }
}
