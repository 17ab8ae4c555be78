//! Live data to one block, once.
//!
//! In: what arrived between two cuts of the log. Out: a block's files, durable, then the catalog's
//! entry, without which they do not exist, then the view with the block in place of the rows. The
//! row chains of the windows stand in for a sort: traces are ordered, their rows are walked. A step
//! that failed is taken again where it failed: files that are written are not written twice while
//! nobody knows whether the catalog has them. Never touches the log.

use std::sync::{Arc, PoisonError};

use suyuan_block::layout::{KeyCounts, Layout};
use suyuan_block::meta::{BlockId, BlockMeta, LogRange};
use suyuan_block::stage::StageError;
use suyuan_block::writer::{
    BlockWriter, Chunks, ChunksError, Origin, RowRef, SliceTrace, WriteError,
};
use suyuan_catalog::{CatalogError, Change, CommitError, Ignored, NewBlock};
use suyuan_model::{Chunk, Tenant};
use suyuan_wal::Position;

use crate::chunk_file::SpilledChunk;
use crate::live::{Live, TenantWindow};
use crate::metrics::Metrics;
use crate::row_bytes;
use crate::slices::{self, PlannedTrace, SLICE_BYTES, Slice, TenantTraces};
use crate::window::ChunkPlace;
use crate::{Inner, fill_random, now_unix_nanos};

/// Scratch files that stay loaded while slices are written.
const LOADED_CHUNKS_MAX: usize = 12;
/// How much shorter slices become when one has more bytes than a column can hold, and from where on
/// no more.
const SLICE_ROWS_DIVISOR: u32 = 8;
const SLICE_ROWS_MIN: u32 = 96;
/// Where a chunk may have more bytes of values for each of its rows than this, rows are looked at
/// one by one.
const LONG_ROW_BYTES: u64 = 1_024;
/// What a row takes beside its values.
const ROW_BYTES: u64 = 200;

/// Why live data did not become a block; it may be tried again unless somebody else owns the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Commit(CommitError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the system gives no random bytes: {0}")]
    Random(std::io::Error),
    #[error("the code that writes blocks panicked: please report it")]
    Panicked,
    #[error("{0}")]
    Fenced(String),
}

impl Inner {
    /// Makes a block of live data that takes no more rows. Returns where the log goes on.
    pub(crate) fn seal(&self, live: &Live) -> Result<Position, SealError> {
        let log = self.options.log;
        let end = live.end().expect("live data is sealed after its cut");
        let state = self.catalog.refresh()?;
        let (epoch, claimed) = (state.epoch(log), self.owner.epoch);
        if epoch != claimed {
            // How far the log is in blocks is about the other one's records, not about these.
            return Err(SealError::Fenced(Ignored::Fenced { log, epoch, claimed }.to_string()));
        }
        if state.log_end(log) >= Some(end) {
            // A commit of unknown outcome has turned out well.
            self.install(state);
            return Ok(end);
        }
        let meta = match live.written() {
            Some(meta) => Some(meta),
            None => self.write_block(live, end)?.map(Arc::new),
        };
        live.set_written(meta.clone());
        let adds = match &meta {
            Some(meta) => {
                let encoded = meta.encode().map_err(WriteError::from)?;
                vec![NewBlock { id: meta.id.uuid(), meta: encoded.into() }]
            }
            None => Vec::new(),
        };
        let change = Change {
            owners: vec![self.owner],
            ranges: vec![suyuan_catalog::LogRange { log, from: live.begin(), to: end }],
            adds,
            ..Change::default()
        };
        match self.catalog.commit(change) {
            Ok(committed) => {
                // Before anybody can see that the seal is done.
                if let Some(meta) = &meta {
                    self.metrics.block_written(meta);
                }
                self.install(committed.state);
                Ok(end)
            }
            Err(CommitError::Ignored(ignored @ (Ignored::Fenced { .. } | Ignored::Gap { .. }))) => {
                Err(SealError::Fenced(ignored.to_string()))
            }
            Err(CommitError::Ignored(ignored)) => {
                // The name is of no use any more; the next attempt takes another.
                live.set_written(None);
                Err(SealError::Commit(CommitError::Ignored(ignored)))
            }
            Err(error) => Err(SealError::Commit(error)),
        }
    }

    fn write_block(&self, live: &Live, end: Position) -> Result<Option<BlockMeta>, SealError> {
        let range = LogRange { log: self.options.log, from: live.begin(), to: end };
        let mut slice_rows = slices::SLICE_ROWS;
        loop {
            let id = self.new_block_id().map_err(SealError::Random)?;
            let origin = Origin { log_ranges: vec![range], compaction_level: 0, content_seq: 0 };
            // A name that was never asked to be committed: its files are nobody's.
            let written = write_block(self, live, id, origin, slice_rows)
                .inspect_err(|_| self.drop_files(id));
            match written {
                // Long values in every row: the rows of a slice are too many for their bytes.
                Err(WriteError::Stage(error @ StageError::TooManyBytes { .. }))
                    if slice_rows > SLICE_ROWS_MIN =>
                {
                    slice_rows /= SLICE_ROWS_DIVISOR;
                    tracing::warn!(%error, slice_rows, "writing the block again in shorter slices");
                }
                result => return Ok(result?),
            }
        }
    }

    /// A name that no block has.
    pub(crate) fn new_block_id(&self) -> std::io::Result<BlockId> {
        let mut random = [0; 10];
        fill_random(&mut random)?;
        Ok(BlockId::new(now_unix_nanos() / 1_000_000, random))
    }
}

/// Writes the files of a block. `Ok(None)`: there are no rows.
fn write_block(
    inner: &Inner,
    live: &Live,
    id: BlockId,
    origin: Origin,
    slice_rows: u32,
) -> Result<Option<BlockMeta>, WriteError> {
    let mut tenants = live.windows();
    tenants.retain(|(_, window)| read(window).n_rows() > 0);
    if tenants.is_empty() {
        return Ok(None);
    }
    // A tenant's place is its number in the block.
    tenants.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let mut chunks = LiveChunks::new(&tenants, &inner.metrics);
    let mut traces = Vec::with_capacity(tenants.len());
    for number in 0..tenants.len() {
        traces.push(TenantTraces { traces: traces_of(number, &mut chunks)? });
    }
    let n_traces = traces.iter().map(|tenant| tenant.traces.len() as u64).sum();

    let layout = layout_of(&tenants);
    let (objects, options) = (&inner.options.objects, &inner.options.writer);
    let names = tenants.iter().map(|(tenant, _)| tenant.clone()).collect();
    let mut writer =
        BlockWriter::begin(objects.clone(), id, names, layout, n_traces, options.clone())?;
    let mut rows = Vec::new();
    let mut slice_traces = Vec::new();
    for slice in slices::plan_with(traces, slice_rows) {
        gather(&slice, &chunks, &mut slice_traces, &mut rows);
        writer.write_slice(&slice_traces, &rows, &mut chunks)?;
    }
    writer.finish(origin).map(Some)
}

fn read(window: &TenantWindow) -> std::sync::RwLockReadGuard<'_, crate::window::Window> {
    window.read().unwrap_or_else(PoisonError::into_inner)
}

/// The traces of a tenant, by its number among those of the chunks.
fn traces_of(number: usize, chunks: &mut LiveChunks<'_>) -> Result<Vec<PlannedTrace>, ChunksError> {
    let window = chunks.windows[number].clone();
    if read(&window).row_bytes_max() > LONG_ROW_BYTES {
        return long_traces_of(number, &window, chunks);
    }
    let window = read(&window);
    let traces = window.traces().iter().zip(0..);
    Ok(traces
        .map(|(trace, source)| PlannedTrace {
            id: trace.id,
            start_unix_nanos: trace.start_unix_nanos,
            n_rows: trace.n_rows,
            bytes: u64::from(trace.n_rows) * LONG_ROW_BYTES,
            source,
            first_row: 0,
        })
        .collect())
}

/// As [`traces_of`] where values are long: each row's are added up, and a trace that has more than
/// a slice may have is cut into parts. Each part is a trace of its own to whoever reads slices;
/// lookups and searches put them together.
fn long_traces_of(
    number: usize,
    window: &TenantWindow,
    chunks: &mut LiveChunks<'_>,
) -> Result<Vec<PlannedTrace>, ChunksError> {
    let n_chunks = read(window).n_chunks();
    let first_chunk = chunks.first_chunks[number];
    let mut row_bytes = Vec::with_capacity(n_chunks as usize);
    for chunk in 0..n_chunks {
        row_bytes.push(row_bytes::of_each_row(&*chunks.chunk(first_chunk + chunk)?));
    }
    let window = read(window);
    let mut planned = Vec::new();
    let mut of_trace = Vec::new();
    for (trace, source) in window.traces().iter().zip(0..) {
        of_trace.clear();
        window.for_each_row(trace, |chunk, row| {
            of_trace.push(row_bytes[chunk as usize][row as usize] + ROW_BYTES);
        });
        of_trace.reverse();
        let mut part = PlannedTrace {
            id: trace.id,
            start_unix_nanos: trace.start_unix_nanos,
            n_rows: 0,
            bytes: 0,
            source,
            first_row: 0,
        };
        for bytes in &of_trace {
            if part.n_rows > 0 && part.bytes + bytes > SLICE_BYTES {
                planned.push(part);
                part = PlannedTrace {
                    first_row: part.first_row + part.n_rows,
                    n_rows: 0,
                    bytes: 0,
                    ..part
                };
            }
            part.n_rows += 1;
            part.bytes += bytes;
        }
        planned.push(part);
    }
    Ok(planned)
}

fn layout_of(tenants: &[(Tenant, TenantWindow)]) -> Layout {
    let mut counts = KeyCounts::default();
    let (mut n_spans, mut n_events, mut n_links) = (0, 0, 0);
    for (_, window) in tenants {
        let window = read(window);
        counts.merge(window.key_counts());
        n_spans += window.n_rows();
        n_events += window.n_events();
        n_links += window.n_links();
    }
    Layout::decide(&counts, n_spans, n_events, n_links)
}

/// The rows of a slice's traces, trace by trace.
fn gather(
    slice: &Slice,
    chunks: &LiveChunks<'_>,
    traces: &mut Vec<SliceTrace>,
    rows: &mut Vec<RowRef>,
) {
    traces.clear();
    rows.clear();
    for (tenant, planned) in &slice.tenants {
        let at = *tenant as usize;
        let window = read(&chunks.windows[at]);
        let first_chunk = chunks.first_chunks[at];
        for planned in planned {
            let trace = &window.traces()[planned.source as usize];
            let start = rows.len();
            window.for_each_row(trace, |chunk, row| {
                rows.push(RowRef { chunk: first_chunk + chunk, row });
            });
            rows[start..].reverse();
            rows.truncate(start + (planned.first_row + planned.n_rows) as usize);
            rows.drain(start..start + planned.first_row as usize);
            traces.push(SliceTrace {
                tenant: *tenant,
                id: trace.id,
                n_rows: planned.n_rows,
                received_unix_nanos: trace.received,
            });
        }
    }
}

/// The chunks of all windows, numbered through.
struct LiveChunks<'a> {
    windows: Vec<TenantWindow>,
    first_chunks: Vec<u32>,
    /// Read from scratch files, the latest last.
    loaded: Vec<(u32, Arc<Chunk>)>,
    metrics: &'a Metrics,
}

impl<'a> LiveChunks<'a> {
    fn new(tenants: &[(Tenant, TenantWindow)], metrics: &'a Metrics) -> Self {
        let mut first_chunks = Vec::with_capacity(tenants.len());
        let mut next = 0;
        for (_, window) in tenants {
            first_chunks.push(next);
            next += read(window).n_chunks();
        }
        let windows = tenants.iter().map(|(_, window)| window.clone()).collect();
        Self { windows, first_chunks, loaded: Vec::new(), metrics }
    }

    fn load(&mut self, number: u32, spilled: &SpilledChunk) -> Result<Arc<Chunk>, ChunksError> {
        if let Some(at) = self.loaded.iter().position(|(loaded, _)| *loaded == number) {
            let found = self.loaded.remove(at);
            self.loaded.push(found.clone());
            return Ok(found.1);
        }
        self.metrics.read_spilled();
        let chunk = spilled.read().map_err(|error| {
            ChunksError::new(format!("scratch file {}", spilled.path().display()), error)
        })?;
        let chunk = Arc::new(chunk);
        if self.loaded.len() >= LOADED_CHUNKS_MAX {
            self.loaded.remove(0);
        }
        self.loaded.push((number, chunk.clone()));
        Ok(chunk)
    }
}

impl Chunks for LiveChunks<'_> {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        let at = self.first_chunks.partition_point(|first| *first <= number) - 1;
        let place = read(&self.windows[at]).chunk(number - self.first_chunks[at]);
        match place {
            ChunkPlace::Resident(chunk) => Ok(chunk),
            ChunkPlace::Spilled(spilled) => self.load(number, &spilled),
        }
    }
}
