//! Blocks in, fewer blocks out: every span that is not erased or expired comes out once.
//!
//! In: blocks and what of them is dead. Out: new blocks' files and metas; until the catalog names
//! them they do not exist. First the trace tables of all inputs are merged by trace id, so that the
//! pieces of a trace meet, but for one that a seal has cut for its size; then slices are cut as for
//! a seal, and rows flow from decoded slices to the writer, which orders each trace anew and drops
//! duplicates. In memory: 120 bytes of each trace, a few decoded slices, the slice that is being
//! written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use suyuan_block::directory::Presence;
use suyuan_block::layout::{KeyCounts, KeyEntry, Layout, Scope};
use suyuan_block::meta::{BlockId, BlockMeta, LogRange, SideRows, SliceMeta};
use suyuan_block::reader::ReadError;
use suyuan_block::traces::TraceTable;
use suyuan_block::writer::{
    BlockWriter, Chunks, Origin, RowRef, SliceTrace, TRACES, WriteError, WriterOptions,
};
use suyuan_ids::TraceId;
use suyuan_model::{Tenant, UnixNanosRange};
use suyuan_objects::Objects;

use super::sources::{Input, Part, Sources};
use crate::blocks::BlockError;
use crate::slices::{self, PlannedTrace, SLICE_BYTES, Slice, TenantTraces};

/// A tenant with so many rows gets a block of its own.
const OWN_BLOCK_ROWS_MIN: u64 = 1_000_000;
/// The keys of blocks with fewer rows are counted row by row: their directory does not say which
/// keys a row has twice.
const COUNTED_ROWS_MAX: u64 = 10_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Why blocks were not merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(
        "{n_in} rows went in and {n_out} came out, {n_duplicates} of them left out as duplicates"
    )]
    RowsLost { n_in: u64, n_out: u64, n_duplicates: u64 },
    #[error("the system gives no random bytes: {0}")]
    Random(std::io::Error),
    #[error("the server is stopping")]
    Stopping,
}

/// What a merge does, decided before a row is read.
#[derive(Default)]
pub(super) struct MergePlan {
    /// By name.
    tenants: Vec<TenantPlan>,
    /// Traces of which more than one input had spans.
    pub(super) n_split_traces: u64,
    /// Rows that come in, duplicates among them.
    pub(super) n_rows: u64,
}

struct TenantPlan {
    tenant: Tenant,
    parts: Vec<Part>,
    /// For each of them, about how many bytes of values a row has.
    part_row_bytes: Vec<u64>,
    /// By trace id.
    pieces: Vec<Piece>,
    n_rows: u64,
    n_traces: u64,
}

/// How much values shrink when they are stored: long ones more than short ones.
const VALUES_PER_STORED_BYTE: u64 = 16;

/// What an input has of a trace, in one slice.
#[derive(Clone, Copy, Debug)]
struct Piece {
    id: [u8; 16],
    start_unix_nanos: i64,
    /// Place among the tenant's parts.
    part: u32,
    /// In the part.
    first_row: u32,
    n_rows: u32,
    received: UnixNanosRange,
}

impl MergePlan {
    /// Reads the trace tables of all inputs.
    pub(super) fn read(inputs: &[Input]) -> Result<Self, BlockError> {
        let mut tenants: BTreeMap<Tenant, TenantPlan> = BTreeMap::new();
        for (number, input) in (0..).zip(inputs) {
            for slice in 0..input.reader.meta().slices.len() as u32 {
                add_slice(&mut tenants, number, input, slice)
                    .map_err(|error| input.block.judge(error))?;
            }
        }
        let mut merged = Self::default();
        for mut plan in tenants.into_values().filter(|plan| !plan.pieces.is_empty()) {
            merged.n_split_traces += plan.join();
            merged.n_rows += plan.n_rows;
            merged.tenants.push(plan);
        }
        Ok(merged)
    }

    /// Who shares a block with whom: places among the tenants. Large ones are alone.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let is_large = |place: &usize| self.tenants[*place].n_rows >= OWN_BLOCK_ROWS_MIN;
        let (large, small): (Vec<usize>, Vec<usize>) = (0..self.tenants.len()).partition(is_large);
        let mut groups: Vec<Vec<usize>> = large.into_iter().map(|place| vec![place]).collect();
        if !small.is_empty() {
            groups.push(small);
        }
        groups
    }
}

/// The traces of a slice, of all tenants.
struct Traces {
    ids: Vec<[u8; 16]>,
    table: TraceTable,
}

/// Adds what an input has in a slice to the plans of its tenants.
fn add_slice(
    tenants: &mut BTreeMap<Tenant, TenantPlan>,
    number: u32,
    input: &Input,
    slice: u32,
) -> Result<(), ReadError> {
    let meta = input.reader.meta();
    let first_trace = meta.slices.get(slice as usize).map_or(0, |slice| slice.first_trace);
    let mut traces = None;
    for (tenant_number, tenant) in (0..).zip(&meta.tenants) {
        let Some(range) = tenant.range_in(slice) else { continue };
        if input.gone.is_tenant_gone(tenant_number) {
            continue;
        }
        let traces = match &mut traces {
            Some(traces) => traces,
            none => {
                let (ids, table) = input.reader.whole_traces(slice)?;
                none.insert(Traces { ids, table })
            }
        };
        let start = range.first_trace.wrapping_sub(first_trace) as usize;
        let of_tenant = start..start.saturating_add(range.n_traces as usize);
        let n_spans = traces.table.n_spans.get(of_tenant.clone());
        let n_rows = n_spans.map(|n_spans| n_spans.iter().map(|n| u64::from(*n)).sum());
        if n_rows != Some(u64::from(range.n_rows)) {
            let problem = "a tenant's traces do not have as many spans as it has rows";
            return Err(ReadError::Mismatch { file: TRACES, problem });
        }
        let plan = tenants
            .entry(tenant.tenant.clone())
            .or_insert_with(|| TenantPlan::new(tenant.tenant.clone()));
        let part = Part { input: number, tenant: tenant_number, slice };
        plan.add(input, part, of_tenant, traces);
    }
    Ok(())
}

impl TenantPlan {
    fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            parts: Vec::new(),
            part_row_bytes: Vec::new(),
            pieces: Vec::new(),
            n_rows: 0,
            n_traces: 0,
        }
    }

    /// Adds the traces of a part: places `of_part` of a slice's.
    fn add(&mut self, input: &Input, part: Part, of_part: Range<usize>, traces: &Traces) {
        let number = self.parts.len() as u32;
        self.parts.push(part);
        let meta = input.reader.meta();
        self.part_row_bytes.push(meta.bytes() / meta.n_spans().max(1) * VALUES_PER_STORED_BYTE);
        let mut first_row = 0;
        let received = input.reader.meta().tenants[part.tenant as usize].received_unix_nanos;
        for trace in of_part {
            let id = traces.ids[trace];
            let n_rows = traces.table.n_spans[trace];
            if !input.gone.is_trace_gone(part.tenant, TraceId::from_bytes(id)) {
                self.pieces.push(Piece {
                    id,
                    start_unix_nanos: traces.table.start_unix_nanos[trace],
                    part: number,
                    first_row,
                    n_rows,
                    received: received_of(
                        traces.table.first_seen_unix_seconds[trace],
                        traces.table.last_seen_unix_seconds[trace],
                        received,
                    ),
                });
            }
            first_row += n_rows;
        }
    }

    /// Puts the pieces of each trace beside each other. Returns how many traces have several.
    fn join(&mut self) -> u64 {
        self.pieces.sort_unstable_by_key(|piece| (piece.id, piece.part));
        self.n_rows = self.pieces.iter().map(|piece| u64::from(piece.n_rows)).sum();
        let traces = self.pieces.chunk_by(|one, next| one.id == next.id);
        let (n_traces, n_split) = traces.fold((0, 0), |(n_traces, n_split), pieces| {
            let is_split = pieces.windows(2).any(|pair| self.belong_together(&pair[0], &pair[1]));
            (n_traces + 1, n_split + u64::from(is_split))
        });
        self.n_traces = n_traces;
        n_split
    }

    fn traces(&self) -> TenantTraces {
        let mut traces = Vec::with_capacity(self.n_traces as usize);
        let mut source = 0;
        for pieces in self.pieces.chunk_by(|one, next| one.id == next.id) {
            let starts = pieces.iter().map(|piece| piece.start_unix_nanos);
            let start_unix_nanos = starts.min().unwrap_or_default();
            let mut first_row = 0;
            for part in pieces.chunk_by(|one, next| self.belong_together(one, next)) {
                let n_rows = part.iter().map(|piece| piece.n_rows).sum();
                let bytes = part.iter().map(|piece| self.bytes_of(piece)).sum();
                let is_cut = part.len() < pieces.len();
                traces.push(PlannedTrace {
                    id: part[0].id,
                    start_unix_nanos,
                    n_rows,
                    // Whoever cut it looked at every value.
                    bytes: if is_cut { SLICE_BYTES.max(bytes) } else { bytes },
                    source,
                    first_row,
                });
                source += part.len() as u32;
                first_row += n_rows;
            }
        }
        TenantTraces { traces }
    }

    /// Whether a piece goes into the same slice as the one before. Two of one input do not: there
    /// the trace was cut, because it takes more bytes than a slice may have.
    fn belong_together(&self, one: &Piece, next: &Piece) -> bool {
        let input = |piece: &Piece| self.parts[piece.part as usize].input;
        one.id == next.id && input(one) != input(next)
    }

    /// Of the values of a piece, about.
    fn bytes_of(&self, piece: &Piece) -> u64 {
        self.part_row_bytes[piece.part as usize] * u64::from(piece.n_rows)
    }

    /// The pieces of a trace, or of a part of it, from the place of the first one on.
    fn pieces_of(&self, trace: &PlannedTrace) -> &[Piece] {
        let pieces = &self.pieces[trace.source as usize..];
        pieces.chunk_by(|one, next| self.belong_together(one, next)).next().unwrap_or_default()
    }
}

/// When the spans of a trace were received, as exactly as it is known.
fn received_of(first_seconds: i64, last_seconds: i64, of_tenant: UnixNanosRange) -> UnixNanosRange {
    let nanos = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(NANOS_PER_SECOND);
    let within = |nanos: u64| nanos.clamp(of_tenant.min, of_tenant.max.max(of_tenant.min));
    let (min, max) = (within(nanos(first_seconds)), within(nanos(last_seconds)));
    UnixNanosRange { min, max: max.max(min) }
}

/// Writes the files of one block.
pub(super) struct Output<'a> {
    pub(super) inputs: &'a [Input],
    pub(super) plan: &'a MergePlan,
    /// Places among the plan's tenants.
    pub(super) group: &'a [usize],
    pub(super) objects: &'a Arc<dyn Objects>,
    pub(super) options: &'a WriterOptions,
    pub(super) cache_bytes_max: u64,
    /// Whether to give up.
    pub(super) is_stopping: &'a dyn Fn() -> bool,
}

impl Output<'_> {
    pub(super) fn write(&self, id: BlockId, origin: Origin) -> Result<BlockMeta, MergeError> {
        let mut parts = Vec::new();
        let mut first_parts = Vec::with_capacity(self.group.len());
        for tenant in self.tenants() {
            first_parts.push(parts.len() as u32);
            parts.extend_from_slice(&tenant.parts);
        }
        let mut sources = Sources::new(self.inputs, parts, self.cache_bytes_max);
        let layout = self.layout(&mut sources)?;
        let names = self.tenants().map(|tenant| tenant.tenant.clone()).collect();
        let n_traces = self.tenants().map(|tenant| tenant.n_traces).sum();
        let objects = self.objects.clone();
        let mut writer =
            BlockWriter::begin(objects, id, names, layout, n_traces, self.options.clone())?;
        let (mut traces, mut rows) = (Vec::new(), Vec::new());
        for slice in slices::plan(self.tenants().map(TenantPlan::traces).collect()) {
            if (self.is_stopping)() {
                return Err(MergeError::Stopping);
            }
            self.gather(&slice, &first_parts, &mut traces, &mut rows);
            writer.write_slice(&traces, &rows, &mut sources)?;
        }
        let meta = writer.finish(origin)?;
        let n_in: u64 = self.tenants().map(|tenant| tenant.n_rows).sum();
        let (n_out, n_duplicates) = (meta.n_spans(), meta.n_duplicates_removed);
        if n_in != n_out + n_duplicates {
            return Err(MergeError::RowsLost { n_in, n_out, n_duplicates });
        }
        tracing::debug!(
            block = %meta.id,
            parts = sources.parts().len(),
            decoded = sources.n_decoded,
            "wrote blocks anew"
        );
        Ok(meta)
    }

    fn tenants(&self) -> impl Iterator<Item = &TenantPlan> {
        self.group.iter().map(|place| &self.plan.tenants[*place])
    }

    /// The rows of a slice's traces, trace by trace.
    fn gather(
        &self,
        slice: &Slice,
        first_parts: &[u32],
        traces: &mut Vec<SliceTrace>,
        rows: &mut Vec<RowRef>,
    ) {
        traces.clear();
        rows.clear();
        for (number, planned) in &slice.tenants {
            let tenant = &self.plan.tenants[self.group[*number as usize]];
            let first_part = first_parts[*number as usize];
            for trace in planned {
                let mut received: Option<UnixNanosRange> = None;
                for piece in tenant.pieces_of(trace) {
                    let chunk = first_part + piece.part;
                    let range = piece.first_row..piece.first_row + piece.n_rows;
                    rows.extend(range.map(|row| RowRef { chunk, row }));
                    received =
                        Some(received.map_or(piece.received, |all| all.union(piece.received)));
                }
                traces.push(SliceTrace {
                    tenant: *number,
                    id: trace.id,
                    n_rows: trace.n_rows,
                    received_unix_nanos: received.unwrap_or(UnixNanosRange::of(0)),
                });
            }
        }
    }

    /// Counts keys by what the inputs' directories say of them; where they do not say enough, by
    /// the rows themselves.
    fn layout(&self, sources: &mut Sources<'_>) -> Result<Layout, MergeError> {
        let mut counts = KeyCounts::default();
        let (mut n_events, mut n_links) = (0, 0);
        for (number, input) in (0..).zip(self.inputs) {
            let meta = input.reader.meta();
            n_events += n_side_rows(meta, |slice| slice.events);
            n_links += n_side_rows(meta, |slice| slice.links);
            let has_part = |part: &usize| sources.parts()[*part].input == number;
            let parts: Vec<usize> = (0..sources.parts().len()).filter(has_part).collect();
            let Some(first_part) = parts.first().copied() else { continue };
            counts.add_overflow_columns(meta.overflow_columns);
            if meta.n_spans() < COUNTED_ROWS_MAX {
                for part in parts {
                    let chunk = sources.chunk(part as u32).map_err(WriteError::from)?;
                    counts.add_chunk(&chunk);
                }
                continue;
            }
            let alone = (self.group.len() == 1).then(|| sources.parts()[first_part].tenant);
            for scope in [Scope::Span, Scope::Event, Scope::Link] {
                let buckets = input.reader.overflow_buckets(scope);
                let buckets = buckets.map_err(|error| input.block.judge(error))?;
                let may_occur = |entry: &&KeyEntry| {
                    let presence = |tenant| {
                        meta.keys.may_have(tenant, entry.scope, &entry.key, entry.value_type)
                    };
                    alone.is_none_or(|tenant| presence(tenant) != Presence::Absent)
                };
                let entries = meta.keys.entries().iter().filter(may_occur);
                // Keys that have no line are told to the new directory by the rows themselves.
                counts.add_entries(scope, entries, buckets);
            }
        }
        let n_rows = self.tenants().map(|tenant| tenant.n_rows).sum();
        Ok(Layout::decide(&counts, n_rows, n_events, n_links))
    }
}

fn n_side_rows(meta: &BlockMeta, side: fn(&SliceMeta) -> Option<SideRows>) -> u64 {
    meta.slices.iter().filter_map(side).map(|rows| u64::from(rows.n_rows)).sum()
}

/// What all inputs hold of the logs; ranges that touch become one.
pub(super) fn log_ranges(inputs: &[Input]) -> Vec<LogRange> {
    let mut ranges: Vec<LogRange> =
        inputs.iter().flat_map(|input| input.reader.meta().log_ranges.iter().copied()).collect();
    ranges.sort_by_key(|range| (range.log, range.from, range.to));
    let mut joined: Vec<LogRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.log == range.log && last.to >= range.from => {
                last.to = last.to.max(range.to);
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tenants_get_blocks_of_their_own_and_the_others_share_one() {
        let plan = |n_rows: u64| {
            let tenant = Tenant::parse("anybody").expect("a name");
            TenantPlan { n_rows, ..TenantPlan::new(tenant) }
        };
        let groups = |rows: &[u64]| {
            let tenants = rows.iter().map(|n_rows| plan(*n_rows)).collect();
            MergePlan { tenants, n_split_traces: 0, n_rows: 0 }.groups()
        };
        assert_eq!(groups(&[5, 1_000_000, 7, 2_000_000]), [vec![1], vec![3], vec![0, 2]]);
        assert_eq!(groups(&[999_999, 999_999]), [vec![0, 1]]);
        assert_eq!(groups(&[]), Vec::<Vec<usize>>::new());
    }
}
