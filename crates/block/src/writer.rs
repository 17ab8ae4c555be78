//! Writes a block: slices of traces go in, a folder of files and its meta come out.
//!
//! In: for each slice its traces, and where their rows lie in chunks. Out: the block's files,
//! durable when [`BlockWriter::finish`] returns, and the meta for the catalog. In memory: one slice
//! as columns, and of the block its resources, scopes and roll-up. Who drops a writer half-way
//! leaves files that no catalog names. Which traces share a slice is decided elsewhere.
//!
//! ```text
//!   rows of chunks ──> outlines ──> TreeBuilder: order, depth, duplicates out
//!        │                              │
//!        └──────> SliceStage <──────────┘ ──> columns ──> row groups of spans, events, links
//! ```

mod counting;
mod files;
mod slice_rows;
mod tenants;

use std::sync::Arc;

use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Tenant, UnixNanosRange};
use suyuan_objects::{ObjectError, Objects};
use suyuan_wire::answer::content_hash;

use self::files::OpenFile;
pub use self::files::folder;
pub(crate) use self::files::path;
use self::slice_rows::SliceRows;
use self::tenants::{OpenTenant, union};
use crate::directory::DirectoryBuilder;
use crate::file::write::FileOptions;
use crate::filter::IdFilterBuilder;
use crate::layout::{
    Layout, event_columns, link_columns, resource_columns, scope_columns, span_columns,
};
use crate::meta::{
    BlockId, BlockMeta, DEDUPE_RULE, LogRange, MetaError, ROLLUP_RULE, RollupMeta, SORT_RULE,
    Shard, SideRows, SliceMeta, TimeRange,
};
use crate::rollup::{Rollup, RollupBuilder, rollup_columns};
use crate::stage::{SharedRows, SideColumns, SliceColumns, SliceStage, StageError, Trees};
use crate::traces::{TraceRow, trace_columns, trace_values};
use crate::tree::TreeBuilder;

/// Where all blocks lie, from the root of the store.
pub const BLOCKS_FOLDER: &str = "blocks";
/// Names of the files of a block.
pub const SPANS: &str = "spans.parquet";
pub const TRACES: &str = "traces.parquet";
pub const RESOURCES: &str = "resources.parquet";
pub const SCOPES: &str = "scopes.parquet";
pub const EVENTS: &str = "events.parquet";
pub const LINKS: &str = "links.parquet";
pub const ROLLUP: &str = "rollup.parquet";
pub const ID_FILTER: &str = "ids.filter";

/// The roll-up's share of a block's bytes: one in so many at most. At 2 % the shop would get cells of 15 s
/// and 0.34 bytes a span more than with cells of a minute.
const ROLLUP_SHARE: u64 = 100;

/// Where `name` and `service_name` stand among the columns of spans.
const NAME_COLUMN: usize = 6;
const SERVICE_COLUMN: usize = 11;

/// A row of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Number of the chunk, for [`Chunks::chunk`].
    pub chunk: u32,
    pub row: u32,
}

/// A trace that shall be in a slice. Its rows are the next `n_rows` of those given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceTrace {
    /// Place among the tenants that the writer was begun with.
    pub tenant: u32,
    pub id: [u8; 16],
    pub n_rows: u32,
    pub received_unix_nanos: UnixNanosRange,
}

/// Where a writer finds the chunks of its rows. All rows of a chunk are one tenant's, and chunks of
/// a tenant with a greater number have greater numbers. A chunk is asked for two or three times in
/// a slice.
pub trait Chunks {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError>;
}

/// Why a chunk that shall be written cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {error}")]
pub struct ChunksError {
    place: String,
    error: Box<dyn std::error::Error + Send + Sync>,
}

impl ChunksError {
    /// `place`: the file or block.
    pub fn new(place: String, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { place, error: error.into() }
    }
}

/// How blocks are written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    pub zstd_level: i32,
    /// Name and version of the program.
    pub writer: String,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { zstd_level: 1, writer: concat!("suyuan ", env!("CARGO_PKG_VERSION")).to_owned() }
    }
}

/// Where a block's rows come from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub log_ranges: Vec<LogRange>,
    /// 0 for a seal.
    pub compaction_level: u32,
    /// The catalog entry at which a compaction decided what goes in; 0 for a seal.
    pub content_seq: u64,
}

/// Why a block could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{file}: {error}")]
    File { file: &'static str, error: crate::file::write::WriteError },
    #[error(transparent)]
    Chunks(#[from] ChunksError),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error("a block has at most {} rows", u32::MAX)]
    TooManyRows,
    #[error("a block without rows")]
    NoRows,
}

/// A block that is being written.
pub struct BlockWriter {
    objects: Arc<dyn Objects>,
    id: BlockId,
    options: WriterOptions,
    layout: Layout,
    tenants: Vec<OpenTenant>,
    stage: SliceStage,
    shared: SharedRows,
    tree: TreeBuilder,
    directory: DirectoryBuilder,
    /// For each chunk whether the directory has seen it.
    is_noted: Vec<bool>,
    filter: IdFilterBuilder,
    rollup: RollupBuilder,
    spans: OpenFile,
    traces: OpenFile,
    events: Option<OpenFile>,
    links: Option<OpenFile>,
    slices: Vec<SliceMeta>,
    /// Tenants and ids of the last slice, ascending.
    traces_before: Vec<(u32, [u8; 16])>,
    n_rows: u32,
    n_traces: u32,
    n_duplicates: u64,
    rows: SliceRows,
}

impl BlockWriter {
    /// `tenants`: by name. `n_traces_expected`: sizes the filter of ids.
    pub fn begin(
        objects: Arc<dyn Objects>,
        id: BlockId,
        tenants: Vec<Tenant>,
        layout: Layout,
        n_traces_expected: u64,
        options: WriterOptions,
    ) -> Result<Self, WriteError> {
        let file_options = FileOptions { zstd_level: options.zstd_level, ..FileOptions::default() };
        let open = |name, columns| OpenFile::create(&*objects, id, name, columns, &file_options);
        let tenants = tenants.into_iter().map(OpenTenant::new).collect();
        Ok(Self {
            spans: open(SPANS, span_columns(&layout))?,
            traces: open(TRACES, trace_columns())?,
            events: None,
            links: None,
            stage: SliceStage::new(&layout),
            directory: DirectoryBuilder::new(&layout),
            filter: IdFilterBuilder::new(n_traces_expected),
            rollup: RollupBuilder::default(),
            shared: SharedRows::default(),
            tree: TreeBuilder::default(),
            is_noted: Vec::new(),
            slices: Vec::new(),
            traces_before: Vec::new(),
            n_rows: 0,
            n_traces: 0,
            n_duplicates: 0,
            rows: SliceRows::default(),
            objects,
            id,
            options,
            layout,
            tenants,
        })
    }

    /// Writes the next slice: traces by tenant and id, their rows one trace behind the other.
    pub fn write_slice(
        &mut self,
        traces: &[SliceTrace],
        rows: &[RowRef],
        chunks: &mut dyn Chunks,
    ) -> Result<(), WriteError> {
        let mut slice = std::mem::take(&mut self.rows);
        let result = self.write_slice_with(&mut slice, traces, rows, chunks);
        self.rows = slice;
        result
    }

    fn write_slice_with(
        &mut self,
        slice: &mut SliceRows,
        traces: &[SliceTrace],
        rows: &[RowRef],
        chunks: &mut dyn Chunks,
    ) -> Result<(), WriteError> {
        slice.read(rows, traces, chunks)?;
        self.note_keys(slice, chunks)?;
        let trace_rows = self.order(slice, traces, rows, chunks)?;
        let n_rows = slice.depth.len() as u32;
        self.n_rows.checked_add(n_rows).ok_or(WriteError::TooManyRows)?;
        if n_rows == 0 {
            return Ok(());
        }
        self.note_continued(traces);
        self.stage.begin(self.n_rows, n_rows);
        let mut pairs = Vec::new();
        for bucket in &slice.buckets {
            pairs.clear();
            slice.pairs(bucket, rows, &mut pairs);
            let chunk = chunks.chunk(bucket.chunk)?;
            self.stage.add(&chunk, bucket.tenant, &pairs, &mut self.shared)?;
        }
        let trees = Trees { depth: &slice.depth, kept_parents: &slice.kept_parents };
        let columns = self.stage.finish(trees, &mut self.shared)?;
        counting::count(&mut self.rollup, self.n_rows, &columns, slice, traces, &trace_rows);
        self.write_columns(&columns, &trace_rows, n_rows)
    }

    /// The directory learns the keys of chunks that it has not seen.
    fn note_keys(&mut self, slice: &SliceRows, chunks: &mut dyn Chunks) -> Result<(), ChunksError> {
        for bucket in &slice.buckets {
            let number = bucket.chunk as usize;
            if self.is_noted.len() <= number {
                self.is_noted.resize(number + 1, false);
            }
            if !std::mem::replace(&mut self.is_noted[number], true) {
                self.directory.add_chunk(bucket.tenant, &*chunks.chunk(bucket.chunk)?);
            }
        }
        Ok(())
    }

    /// Puts every trace's rows in their order, and says of each trace what there is to say.
    fn order(
        &mut self,
        slice: &mut SliceRows,
        traces: &[SliceTrace],
        rows: &[RowRef],
        chunks: &mut dyn Chunks,
    ) -> Result<Vec<TraceRow>, ChunksError> {
        let number = self.slices.len() as u32;
        let mut trace_rows = Vec::with_capacity(traces.len());
        let mut start = 0;
        let mut slice_times = None;
        let mut trace_starts: Option<TimeRange> = None;
        let (first_row, first_trace) = (self.n_rows, self.n_traces);
        for trace in traces {
            let end = start + trace.n_rows as usize;
            let mut failed = None;
            let hash = |span: u32| {
                let at = rows[start + span as usize];
                match chunks.chunk(at.chunk) {
                    Ok(chunk) => content_hash(&chunk, at.row),
                    Err(error) => {
                        failed = Some(error);
                        0
                    }
                }
            };
            let spans = &slice.outlines[start..end];
            let ordered = self.tree.order(spans, hash);
            if let Some(error) = failed {
                return Err(error);
            }
            let slice_row = slice.depth.len() as u32;
            let statuses = &slice.status_codes[start..end];
            let row = TraceRow::of(
                slice_row,
                spans,
                &ordered,
                |span| statuses[span as usize],
                trace.received_unix_nanos,
            );
            self.n_duplicates += u64::from(trace.n_rows - row.n_spans);
            let time = TimeRange {
                min_unix_nanos: row.start_unix_nanos,
                max_unix_nanos: row.end_unix_nanos.max(row.start_unix_nanos),
            };
            let tenant = &mut self.tenants[trace.tenant as usize];
            self.filter.insert(tenant.seed.hash(&TraceId::from_bytes(trace.id)));
            tenant.add(
                number,
                first_row + slice_row,
                first_trace + trace_rows.len() as u32,
                &row,
                time,
            );
            slice_times = Some(union(slice_times, time));
            trace_starts = Some(union(trace_starts, TimeRange::of(row.start_unix_nanos)));
            trace_rows.push(row);
            slice.place(start, &ordered);
            start = end;
        }
        if let (Some(span_time), Some(trace_start)) = (slice_times, trace_starts) {
            self.slices.push(SliceMeta {
                n_rows: slice.depth.len() as u32,
                n_traces: trace_rows.len() as u32,
                trace_start,
                span_time,
                ..SliceMeta::at(first_row, first_trace)
            });
        }
        Ok(trace_rows)
    }

    /// Tells the slice before which of its traces goes on in the one that was just begun.
    fn note_continued(&mut self, traces: &[SliceTrace]) {
        let now: Vec<(u32, [u8; 16])> =
            traces.iter().map(|trace| (trace.tenant, trace.id)).collect();
        let before = std::mem::replace(&mut self.traces_before, now);
        let is_here = |trace: &&(u32, [u8; 16])| self.traces_before.binary_search(trace).is_ok();
        let continued = before.iter().find(is_here).map(|(_, id)| TraceId::from_bytes(*id));
        if let [.., before, _] = &mut self.slices[..] {
            before.continues = continued;
        }
    }

    fn write_columns(
        &mut self,
        columns: &SliceColumns,
        traces: &[TraceRow],
        n_rows: u32,
    ) -> Result<(), WriteError> {
        self.spans.write(n_rows, &columns.spans)?;
        let (services, names) = (&columns.spans[SERVICE_COLUMN], &columns.spans[NAME_COLUMN]);
        self.traces.write(traces.len() as u32, &trace_values(traces, services, names))?;
        let events = self.write_side(Side::Events, columns.events.as_ref())?;
        let links = self.write_side(Side::Links, columns.links.as_ref())?;
        if let Some(slice) = self.slices.last_mut() {
            slice.events = events;
            slice.links = links;
        }
        self.n_rows += n_rows;
        self.n_traces += traces.len() as u32;
        Ok(())
    }

    fn write_side(
        &mut self,
        side: Side,
        columns: Option<&SideColumns>,
    ) -> Result<Option<SideRows>, WriteError> {
        let Some(SideColumns { n_rows, columns }) = columns else { return Ok(None) };
        let (file, name, specs): (_, _, fn(&Layout) -> _) = match side {
            Side::Events => (&mut self.events, EVENTS, event_columns),
            Side::Links => (&mut self.links, LINKS, link_columns),
        };
        let file = match file {
            Some(file) => file,
            None => {
                let options =
                    FileOptions { zstd_level: self.options.zstd_level, ..FileOptions::default() };
                let specs = specs(&self.layout);
                file.insert(OpenFile::create(&*self.objects, self.id, name, specs, &options)?)
            }
        };
        let row_group = file.n_row_groups();
        file.write(*n_rows, columns)?;
        Ok(Some(SideRows { row_group, first_row: 0, n_rows: *n_rows }))
    }

    /// Writes what is about the whole block and closes all files.
    pub fn finish(self, origin: Origin) -> Result<BlockMeta, WriteError> {
        let Some(received_unix_nanos) =
            self.tenants.iter().filter_map(|tenant| tenant.received).reduce(UnixNanosRange::union)
        else {
            return Err(WriteError::NoRows);
        };
        let options = FileOptions { zstd_level: self.options.zstd_level, ..FileOptions::default() };
        let shared = self.shared.finish()?;
        let mut files = vec![self.spans.finish()?, self.traces.finish()?];
        for (name, specs, n_rows, columns) in [
            (RESOURCES, resource_columns(), shared.n_resources, &shared.resources),
            (SCOPES, scope_columns(), shared.n_scopes, &shared.scopes),
        ] {
            let mut file = OpenFile::create(&*self.objects, self.id, name, specs, &options)?;
            file.write(n_rows, columns)?;
            files.push(file.finish()?);
        }
        for file in [self.events, self.links].into_iter().flatten() {
            files.push(file.finish()?);
        }
        let filter = self.filter.finish().encode();
        files.push(files::put(&*self.objects, self.id, ID_FILTER, filter)?);

        let n_bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let rollup = self.rollup.finish(&shared.services, &shared.names, n_bytes / ROLLUP_SHARE);
        if let Some(Rollup { n_rows, columns, .. }) = &rollup {
            let specs = rollup_columns();
            let mut file = OpenFile::create(&*self.objects, self.id, ROLLUP, specs, &options)?;
            file.write(*n_rows, columns)?;
            files.push(file.finish()?);
        }
        let n_rows = u64::from(self.n_rows);
        let times = |time: fn(&SliceMeta) -> TimeRange| {
            self.slices.iter().map(time).reduce(TimeRange::union)
        };
        let (Some(span_time), Some(trace_start)) =
            (times(|slice| slice.span_time), times(|slice| slice.trace_start))
        else {
            return Err(WriteError::NoRows);
        };
        let n_tenants = self.tenants.len() as u32;
        let tenants = self.tenants.into_iter().zip(0..).map(|(tenant, number)| {
            let rows = shared.tenants.iter().find(|rows| rows.tenant == number);
            tenant.into_meta(rows, n_bytes, n_rows)
        });
        Ok(BlockMeta {
            id: self.id,
            writer: self.options.writer,
            shard: Shard::WHOLE,
            log_ranges: origin.log_ranges,
            received_unix_nanos,
            span_time,
            trace_start,
            n_duplicates_removed: self.n_duplicates,
            slices: self.slices,
            tenants: tenants.collect(),
            keys: self.directory.finish(n_tenants),
            files,
            sort_rule: SORT_RULE,
            dedupe_rule: DEDUPE_RULE,
            rollup: rollup
                .map(|rollup| RollupMeta { rule: ROLLUP_RULE, step_nanos: rollup.step.nanos() }),
            key_id: String::new(),
            compaction_level: origin.compaction_level,
            content_seq: origin.content_seq,
            overflow_columns: self.layout.overflow_columns(),
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    Events,
    Links,
}

#[cfg(test)]
mod tests;
