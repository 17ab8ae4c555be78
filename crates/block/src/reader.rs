//! Reads a block: rows of traces as chunks, trace rows, ids.
//!
//! In: the meta from the catalog and the object store. Out: what was asked for and no more, read
//! from the pages that hold it. Files are opened when first needed and stay open; an absent trace
//! costs a look into the id filter. Rows of other tenants are never read for a question, nor are
//! their resources part of an answer. Never panics on what a file says.

mod columns;
mod pruning;
mod shared;
mod slice_traces;
mod whole_slice;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Tenant};
use suyuan_objects::{ObjectError, Objects, ReadMeter};

use crate::column::{Column, Values};
use crate::file::read::{FileReader, Keep, ReadCache, ReadError as FileError};
use crate::filter::{FilterError, IdFilter, TenantSeed};
use crate::layout::{Layout, Scope, overflow_bucket, overflow_buckets, overflow_column_name};
use crate::meta::{BlockMeta, SideRows, SliceMeta, TenantMeta, TenantRange};
use crate::traces::{TraceTable, TraceTableError};
use crate::unstage::{Part, SpanParts, UnstageError, unstage};
use crate::writer::{EVENTS, ID_FILTER, LINKS, SPANS, TRACES, path};

pub use self::pruning::{Between, KeyPlace, Probe, TextOf};
pub use self::shared::Shared;
pub use self::slice_traces::SliceTraces;
pub use self::whole_slice::WholeSlice;

/// Why something of a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{path}: {error}")]
    Filter { path: String, error: FilterError },
    #[error("{file}: {error}")]
    Rows { file: &'static str, error: UnstageError },
    #[error(transparent)]
    Traces(#[from] TraceTableError),
    #[error("{file}: {problem}")]
    Mismatch { file: &'static str, problem: &'static str },
}

impl ReadError {
    /// Whether the block itself is at fault, so that asking again is pointless.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Object(error) | Self::File(FileError::Object(error)) => {
                matches!(error, ObjectError::Absent { .. } | ObjectError::BadRange { .. })
            }
            _ => true,
        }
    }
}

/// An open block; shared by `Arc`.
pub struct BlockReader {
    objects: Arc<dyn Objects>,
    meta: BlockMeta,
    layout: Layout,
    cache: Arc<ReadCache>,
    /// Its number among the readers of the cache.
    number: u64,
    filter: Lazy<IdFilter>,
    spans: Lazy<OpenFile>,
    traces: Lazy<OpenFile>,
    events: Lazy<OpenFile>,
    links: Lazy<OpenFile>,
    resources: Lazy<OpenFile>,
    scopes: Lazy<OpenFile>,
    /// By the number of the tenant.
    shared: Mutex<HashMap<u32, Arc<Shared>>>,
}

/// A file and the names of its columns.
struct OpenFile {
    name: &'static str,
    file: FileReader,
}

/// Made when it is first asked for; after an error it is tried again.
struct Lazy<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Lazy<T> {
    fn get(&self, make: impl FnOnce() -> Result<T, ReadError>) -> Result<Arc<T>, ReadError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        Ok(made.insert(Arc::new(make()?)).clone())
    }
}

/// What of the rows is read. A column that is not read is as if no span had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Every column, events and links.
    All,
    /// What a trace's summary is made of: ids, times, parents, names, kinds, status codes and
    /// resources.
    Outline,
}

/// The columns of spans that [`Projection::Outline`] reads.
const OUTLINE_COLUMNS: [&str; 10] = [
    "trace_id",
    "span_id",
    "depth",
    "parent_span_id",
    "start_unix_nanos",
    "duration_nanos",
    "name",
    "kind",
    "status_code",
    "resource",
];

impl Projection {
    /// Which of the columns of spans are read.
    fn columns(self, names: &[&str]) -> Vec<usize> {
        let is_read = |at: &usize| self == Self::All || OUTLINE_COLUMNS.contains(&names[*at]);
        (0..names.len()).filter(is_read).collect()
    }
}

/// A trace id and its rows of a slice.
pub type TraceIdRows = ([u8; 16], Range<u32>);

/// The rows of a trace in one slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePlace {
    pub slice: u32,
    /// Rows of the slice.
    pub rows: Range<u32>,
}

impl Drop for BlockReader {
    fn drop(&mut self) {
        self.cache.forget(self.number);
    }
}

impl BlockReader {
    /// Opens no file yet. `cache` is shared by all blocks.
    pub fn new(objects: Arc<dyn Objects>, meta: BlockMeta, cache: Arc<ReadCache>) -> Self {
        let layout = Layout::from_entries(meta.keys.entries(), meta.overflow_columns);
        Self {
            objects,
            meta,
            layout,
            number: cache.reader_number(),
            cache,
            filter: Lazy::default(),
            spans: Lazy::default(),
            traces: Lazy::default(),
            events: Lazy::default(),
            links: Lazy::default(),
            resources: Lazy::default(),
            scopes: Lazy::default(),
            shared: Mutex::default(),
        }
    }

    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// The filter of all trace ids of the block.
    pub fn filter(&self) -> Result<Arc<IdFilter>, ReadError> {
        self.filter.get(|| {
            let path = path(self.meta.id, ID_FILTER);
            let bytes = self.objects.get(&path)?;
            let bytes = bytes.ok_or_else(|| ObjectError::Absent { path: path.clone() })?;
            IdFilter::decode(bytes).map_err(|error| ReadError::Filter { path, error })
        })
    }

    /// Where a trace lies; empty if the tenant has no such trace here.
    pub fn place(&self, tenant: &Tenant, id: TraceId) -> Result<Vec<TracePlace>, ReadError> {
        let Some((_, rows)) = self.meta.tenant(tenant) else { return Ok(Vec::new()) };
        if !self.filter()?.may_contain(TenantSeed::new(tenant).hash(&id)) {
            return Ok(Vec::new());
        }
        self.place_in(rows, id)
    }

    fn place_in(&self, rows: &TenantMeta, id: TraceId) -> Result<Vec<TracePlace>, ReadError> {
        let meter = ReadMeter::default();
        let spans = self.spans()?;
        let column = spans.column("trace_id")?;
        let mut places = Vec::new();
        for range in &rows.ranges {
            let slice = range.slice;
            if !spans.file.may_contain(slice as usize, column, id.as_bytes(), &meter)? {
                continue;
            }
            let within = self.within(range)?;
            if let Some(rows) = spans.file.find_id(slice as usize, column, within, id.as_bytes())? {
                places.push(TracePlace { slice, rows });
            }
        }
        Ok(places)
    }

    /// The rows of a trace, one chunk for each slice that has some.
    pub fn find_trace(&self, tenant: &Tenant, id: TraceId) -> Result<Vec<Chunk>, ReadError> {
        let Some((number, _)) = self.meta.tenant(tenant) else { return Ok(Vec::new()) };
        let places = self.place(tenant, id)?;
        let rows = |place: TracePlace| self.rows(number, place.slice, place.rows, Projection::All);
        places.into_iter().map(rows).collect()
    }

    /// All rows of a tenant in a slice.
    pub fn slice(&self, tenant: u32, slice: u32) -> Result<Chunk, ReadError> {
        self.rows(tenant, slice, self.slice_rows(tenant, slice)?, Projection::All)
    }

    /// Which rows of a slice are a tenant's.
    pub fn slice_rows(&self, tenant: u32, slice: u32) -> Result<Range<u32>, ReadError> {
        self.within(self.range(tenant, slice)?)
    }

    /// Rows of a slice, all of them the tenant's, the first of them the first of a trace.
    pub fn rows(
        &self,
        tenant: u32,
        slice: u32,
        rows: Range<u32>,
        projection: Projection,
    ) -> Result<Chunk, ReadError> {
        let spans = self.spans()?;
        let meta = *self.slice_meta(slice)?;
        let shared = self.shared(tenant, &ReadMeter::default())?;
        let names = spans.names();
        let wanted = projection.columns(&names);
        let names: Vec<&str> = wanted.iter().map(|at| names[*at]).collect();
        let mut columns = spans.file.read(slice as usize, rows.clone(), &wanted)?;
        for (name, column) in names.iter().zip(&mut columns) {
            shared.renumber(name, column);
        }
        let first_row = meta.first_row + rows.start;
        let block_rows = first_row..meta.first_row + rows.end;
        let (events, links) = match projection {
            Projection::Outline => (None, None),
            Projection::All => (
                self.side(&self.events, EVENTS, meta.events, &block_rows)?,
                self.side(&self.links, LINKS, meta.links, &block_rows)?,
            ),
        };
        let event_names = events.as_ref().map_or(Vec::new(), |read| read.file.names());
        let link_names = links.as_ref().map_or(Vec::new(), |read| read.file.names());
        let n_rows = rows.end - rows.start;
        let parts = SpanParts {
            first_row,
            spans: Part { n_rows, names: &names, columns: &columns },
            events: events.as_ref().map(|read| read.part(&event_names)),
            links: links.as_ref().map(|read| read.part(&link_names)),
        };
        unstage(&self.layout, &parts, &shared.resources, &shared.scopes)
            .map_err(|error| ReadError::Rows { file: SPANS, error })
    }

    /// What a search answers about the traces of a tenant in a slice, without their spans.
    pub fn traces(&self, tenant: u32, slice: u32) -> Result<TraceTable, ReadError> {
        self.trace_table(tenant, slice, Keep::Nothing, &ReadMeter::default())
    }

    fn trace_table(
        &self,
        tenant: u32,
        slice: u32,
        keep: Keep,
        meter: &ReadMeter,
    ) -> Result<TraceTable, ReadError> {
        let range = self.range(tenant, slice)?;
        let meta = self.slice_meta(slice)?;
        let traces = self.traces.get(|| self.open(TRACES, meter))?;
        let all: Vec<usize> = (0..traces.file.columns().len()).collect();
        let first = range.first_trace.wrapping_sub(meta.first_trace);
        let rows = first..first.saturating_add(range.n_traces);
        let rows = std::slice::from_ref(&rows);
        let columns = traces.file.read_rows(slice as usize, rows, &all, keep, meter)?;
        let table = TraceTable::read(columns, range.first_row)?;
        let n_rows: u64 = table.n_spans.iter().map(|n| u64::from(*n)).sum();
        if n_rows != u64::from(range.n_rows) {
            let problem = "its traces do not have as many spans as the slice has rows";
            return Err(ReadError::Mismatch { file: TRACES, problem });
        }
        Ok(table)
    }

    /// The ids of the traces of a tenant in a slice, in the order of [`BlockReader::traces`].
    pub fn trace_ids(&self, tenant: u32, slice: u32) -> Result<Vec<[u8; 16]>, ReadError> {
        Ok(self.trace_places(tenant, slice)?.into_iter().map(|(id, _)| id).collect())
    }

    /// The same ids, which ascend, each with its rows of the slice.
    pub fn trace_places(&self, tenant: u32, slice: u32) -> Result<Vec<TraceIdRows>, ReadError> {
        self.trace_id_rows(tenant, slice, &ReadMeter::default())
    }

    fn trace_id_rows(
        &self,
        tenant: u32,
        slice: u32,
        meter: &ReadMeter,
    ) -> Result<Vec<TraceIdRows>, ReadError> {
        let range = self.range(tenant, slice)?;
        let spans = self.spans_metered(meter)?;
        let within = self.within(range)?;
        let mut next_row = within.start;
        let column = [spans.column("trace_id")?];
        let rows = std::slice::from_ref(&within);
        let columns = spans.file.read_rows(slice as usize, rows, &column, Keep::Nothing, meter)?;
        let Some(Values::Id(ids)) = columns.first().map(|column| &column.values) else {
            return Err(ReadError::Mismatch { file: SPANS, problem: "`trace_id` holds no ids" });
        };
        let (ids, _) = ids.value_data().as_chunks::<16>();
        let mut traces = Vec::with_capacity(ids.len().min(range.n_traces as usize));
        for rows in ids.chunk_by(|one, next| one == next) {
            let first_row = next_row;
            next_row += rows.len() as u32;
            traces.push((rows[0], first_row..next_row));
        }
        if traces.len() != range.n_traces as usize {
            let problem = "it does not have as many traces as the meta says";
            return Err(ReadError::Mismatch { file: SPANS, problem });
        }
        Ok(traces)
    }

    /// Where attributes without a column of their own lie: bit `n` says that there may be some
    /// whose key has the number `n` of 64. All bits of a list, in which nothing is told apart; of
    /// resources and scopes none.
    pub fn overflow_buckets(&self, scope: Scope) -> Result<u64, ReadError> {
        let file = match scope {
            Scope::Span => self.spans()?,
            Scope::Event if self.meta.file(EVENTS).is_some() => {
                self.events.get(|| self.open(EVENTS, &ReadMeter::default()))?
            }
            Scope::Link if self.meta.file(LINKS).is_some() => {
                self.links.get(|| self.open(LINKS, &ReadMeter::default()))?
            }
            _ => return Ok(0),
        };
        Ok(overflow_buckets(file.names(), self.meta.overflow_columns))
    }

    /// The column of a file that holds a key among others: its list, or the key's overflow. Nothing
    /// if no row has such a key.
    fn shared_column(&self, file: &FileReader, key: &str) -> Option<usize> {
        let bucket = || overflow_bucket(key, self.meta.overflow_columns);
        file.column("attributes").or_else(|| file.column(&overflow_column_name(bucket())))
    }

    /// A tenant's rows of a slice in pieces of which each is one page of most columns. Nothing is
    /// read.
    pub fn pieces(&self, tenant: u32, slice: u32) -> Result<Vec<Range<u32>>, ReadError> {
        let rows = self.slice_rows(tenant, slice)?;
        let piece =
            |start: u32| start.max(rows.start)..start.saturating_add(PAGE_ROWS).min(rows.end);
        let first = rows.start - rows.start % PAGE_ROWS;
        Ok((first..rows.end).step_by(PAGE_ROWS as usize).map(piece).collect())
    }

    /// The events or links of some rows.
    fn side(
        &self,
        file: &Lazy<OpenFile>,
        name: &'static str,
        rows: Option<SideRows>,
        span_rows: &Range<u32>,
    ) -> Result<Option<SideRead>, ReadError> {
        let Some(SideRows { row_group, first_row, n_rows }) = rows else { return Ok(None) };
        let file = file.get(|| self.open(name, &ReadMeter::default()))?;
        let group = row_group as usize;
        let all = first_row..first_row.saturating_add(n_rows);
        let columns = file.file.read(group, all, &[file.column("span_row")?])?;
        let Some(Values::U32(owners)) = columns.first().map(|column| &column.values) else {
            return Err(ReadError::Mismatch { file: name, problem: "`span_row` holds no rows" });
        };
        let start = owners.partition_point(|row| *row < span_rows.start) as u32;
        let end = owners.partition_point(|row| *row < span_rows.end) as u32;
        if start >= end {
            return Ok(None);
        }
        let wanted: Vec<usize> = (0..file.file.columns().len()).collect();
        let columns = file.file.read(group, first_row + start..first_row + end, &wanted)?;
        Ok(Some(SideRead { n_rows: end - start, file, columns }))
    }

    fn spans(&self) -> Result<Arc<OpenFile>, ReadError> {
        self.spans_metered(&ReadMeter::default())
    }

    fn spans_metered(&self, meter: &ReadMeter) -> Result<Arc<OpenFile>, ReadError> {
        self.spans.get(|| self.open(SPANS, meter))
    }

    fn open(&self, name: &'static str, meter: &ReadMeter) -> Result<OpenFile, ReadError> {
        let problem = "the block's meta does not name it";
        let meta = self.meta.file(name).ok_or(ReadError::Mismatch { file: name, problem })?;
        let path = path(self.meta.id, name);
        let objects = self.objects.clone();
        let file = FileReader::open_with(objects, &path, meta.bytes, self.cache.clone(), meter)?;
        Ok(OpenFile { name, file })
    }

    fn slice_meta(&self, slice: u32) -> Result<&SliceMeta, ReadError> {
        let problem = "the block has no such slice";
        self.meta.slices.get(slice as usize).ok_or(ReadError::Mismatch { file: SPANS, problem })
    }

    fn tenant_meta(&self, tenant: u32) -> Result<&TenantMeta, ReadError> {
        let problem = "the block has no such tenant";
        self.meta.tenants.get(tenant as usize).ok_or(ReadError::Mismatch { file: SPANS, problem })
    }

    fn range(&self, tenant: u32, slice: u32) -> Result<&TenantRange, ReadError> {
        let problem = "the tenant has no rows in that slice";
        let range = self.tenant_meta(tenant)?.range_in(slice);
        range.ok_or(ReadError::Mismatch { file: SPANS, problem })
    }

    /// A tenant's rows, counted from the first row of their slice.
    fn within(&self, range: &TenantRange) -> Result<Range<u32>, ReadError> {
        let slice = self.slice_meta(range.slice)?;
        let start = range.first_row.wrapping_sub(slice.first_row);
        Ok(start..start.saturating_add(range.n_rows))
    }
}

/// Borders between pages are multiples of it, or lie between two of them.
const PAGE_ROWS: u32 = 8_192;

/// Events or links as read.
struct SideRead {
    n_rows: u32,
    file: Arc<OpenFile>,
    columns: Vec<Column>,
}

impl SideRead {
    fn part<'a>(&'a self, names: &'a [&'a str]) -> Part<'a> {
        Part { n_rows: self.n_rows, names, columns: &self.columns }
    }
}

impl OpenFile {
    fn column(&self, name: &str) -> Result<usize, ReadError> {
        let problem = "a column that the format asks for is missing";
        self.file.column(name).ok_or(ReadError::Mismatch { file: self.name, problem })
    }

    fn names(&self) -> Vec<&str> {
        self.file.columns().iter().map(|column| &*column.name).collect()
    }
}
