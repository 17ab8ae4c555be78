//! Traces put together from wherever they lie, each span once.
//!
//! In: traces that rows of units named, and the columns a question asks for. Out: for each trace
//! the rows that stand, as batches, in the order asked for. Traces are worked on in groups, so that
//! each chunk and each page is read once for many of them: a group is bounded in rows and units,
//! not in traces. The content of a span is read only where it decides which of two copies stands.

mod content;
mod places;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow_array::Array;
use suyuan_block::traces::TraceSummary;
use suyuan_block::tree::TreeBuilder;
use suyuan_model::{Batch, BatchRows, Chunk, Columns, Field, OutlineSorter, SpanOutline};
use suyuan_objects::ReadMeter;
use suyuan_wire::answer::content_hash;

use self::content::Contents;
use self::places::{Places, UnitKey, Wanted, WantedPiece};
use super::live::read_chunk;
use super::slice::{apart, judged, reader_of};
use super::{Place, SpanStructure, TraceRef, UnitName, structure_of};
use crate::find::{FindError, Skipped};
use crate::snapshot::Snapshot;
use crate::split::{SplitSet, TraceLine};

/// Rows of a group of traces, unless one trace alone has more.
const GROUP_ROWS: usize = 32_768;
/// Units of a group, unless one trace alone lies in more.
const GROUP_UNITS: usize = 32;
/// Traces of which the rows are looked up together.
const TRACES_AHEAD: usize = 16;
/// OTLP's `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;
/// Chunks that are kept for the next group.
const KEPT_CHUNKS: usize = 32;
/// What tells copies of a span apart, and what is said of every trace.
const OUTLINE: [Field; 7] = [
    Field::SpanId,
    Field::Start,
    Field::End,
    Field::Kind,
    Field::StatusCode,
    Field::Name,
    Field::Resource,
];

/// A trace put together from wherever it lies. Of blocks that break while they are read the rows
/// are missing: there may be no piece at all.
pub struct Assembled {
    pub trace: TraceRef,
    pub pieces: Vec<AssembledPiece>,
    line: TraceLine,
}

/// The rows of a trace in one unit that stand: no other span repeats them or replaces them.
pub struct AssembledPiece {
    pub unit: UnitName,
    pub batch: Arc<Batch>,
    /// Rows of the batch, ascending.
    pub rows: Vec<u32>,
}

impl Assembled {
    /// What is said of the trace, by the same rule as of traces of blocks.
    pub fn summary(&self) -> TraceSummary<'_> {
        self.line.summary()
    }

    /// For each piece, the structure of each of its rows. [`Field::ParentSpanId`] must have been
    /// asked for.
    pub fn structure(&self) -> Vec<Vec<SpanStructure>> {
        let rows = || {
            let pieces = self.pieces.iter();
            pieces.flat_map(|piece| piece.rows.iter().map(|row| (&*piece.batch, *row)))
        };
        let spans: Vec<SpanOutline> =
            rows().map(|(batch, row)| SpanOutline::of_row(&batch.chunk, row)).collect();
        let mut tree = TreeBuilder::default();
        // Each span is here once: no content is asked for.
        let ordered = tree.order(&spans, |_| 0);
        let in_order = structure_of(ordered.depth, |row| ordered.keeps_parent[row]);
        let mut of_row = vec![SpanStructure::default(); spans.len()];
        for (number, structure) in ordered.order.iter().zip(in_order) {
            of_row[*number as usize] = structure;
        }
        let mut of_row = of_row.into_iter();
        self.pieces.iter().map(|piece| of_row.by_ref().take(piece.rows.len()).collect()).collect()
    }
}

impl Snapshot {
    /// Puts traces together and gives the columns asked for of their spans, each span once, besides
    /// start, end, span id, kind, status code, name and resource, which are always there. In the
    /// order of `traces`; reads each chunk and page about once. Returns the blocks that broke
    /// meanwhile, whose rows are missing.
    pub fn assemble(
        &self,
        split: &SplitSet,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(Assembled) -> ControlFlow<()>,
    ) -> Result<Vec<Skipped>, FindError> {
        let mut assembler = Assembler::new(self, split, columns, meter);
        let mut places = Places::new(self, split, meter);
        let mut group: Vec<Wanted> = Vec::new();
        let (mut n_rows, mut units) = (0, BTreeSet::new());
        for (number, trace) in traces.iter().enumerate() {
            if number % TRACES_AHEAD == 0 {
                places.expect(&traces[number..traces.len().min(number + TRACES_AHEAD)]);
            }
            let wanted = places.of(trace, &mut assembler.skipped)?;
            n_rows += wanted.n_rows();
            units.extend(wanted.pieces.iter().map(|piece| piece.unit));
            let is_full = n_rows > GROUP_ROWS || units.len() > GROUP_UNITS;
            if is_full && !group.is_empty() {
                if assembler.give(&mut group, visit)?.is_break() {
                    return Ok(assembler.skipped);
                }
                n_rows = wanted.n_rows();
                units = wanted.pieces.iter().map(|piece| piece.unit).collect();
            }
            group.push(wanted);
        }
        // Whether the visitor wants more does not matter any more.
        let _ = assembler.give(&mut group, visit)?;
        Ok(assembler.skipped)
    }
}

/// Names a block that something is missing of.
fn skip(skipped: &mut Vec<Skipped>, error: FindError) -> Result<(), FindError> {
    let FindError::Block(error) = error else { return Err(error) };
    let missing = Skipped::from(error);
    if !skipped.iter().any(|known| known.block == missing.block) {
        skipped.push(missing);
    }
    Ok(())
}

/// Reads groups of traces.
struct Assembler<'a> {
    snapshot: &'a Snapshot,
    split: &'a SplitSet,
    columns: Columns,
    /// Nothing is said of traces of live data but what their rows say: who is the root, too.
    live_columns: Columns,
    meter: &'a ReadMeter,
    units: HashMap<UnitKey, UnitBatch>,
    contents: Contents<'a>,
    skipped: Vec<Skipped>,
    sorter: OutlineSorter,
}

/// Rows of a unit that were read, and where each of them is.
struct UnitBatch {
    batch: Arc<Batch>,
    /// For each range of rows of the unit its first row in the batch; empty: all rows are there.
    first_rows: Vec<(Range<u32>, u32)>,
}

impl<'a> Assembler<'a> {
    fn new(
        snapshot: &'a Snapshot,
        split: &'a SplitSet,
        columns: &Columns,
        meter: &'a ReadMeter,
    ) -> Self {
        let columns = OUTLINE.into_iter().fold(columns.clone(), Columns::with);
        Self {
            snapshot,
            split,
            live_columns: columns.clone().with(Field::ParentSpanId),
            columns,
            meter,
            units: HashMap::new(),
            contents: Contents::new(snapshot),
            skipped: Vec::new(),
            sorter: OutlineSorter::default(),
        }
    }

    /// Hands over the traces of a group, which is empty then.
    fn give(
        &mut self,
        group: &mut Vec<Wanted>,
        visit: &mut dyn FnMut(Assembled) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FindError> {
        self.read(group)?;
        for wanted in group.drain(..) {
            let assembled = self.assembled(wanted)?;
            if visit(assembled).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads what a group needs of each unit.
    fn read(&mut self, group: &[Wanted]) -> Result<(), FindError> {
        let mut rows: BTreeMap<UnitKey, Vec<Range<u32>>> = BTreeMap::new();
        for piece in group.iter().flat_map(|wanted| &wanted.pieces) {
            let rows = rows.entry(piece.unit).or_default();
            if !piece.unit.is_chunk() {
                rows.extend_from_slice(&piece.rows);
            }
        }
        // A chunk is read whole, so it serves the next group as well; a slice is not.
        let has_room = self.units.len() + rows.len() <= KEPT_CHUNKS;
        self.units.retain(|unit, _| unit.is_chunk() && (has_room || rows.contains_key(unit)));
        for (unit, rows) in rows {
            if self.units.contains_key(&unit) {
                continue;
            }
            match self.read_unit(unit, apart(rows)) {
                Ok(batch) => drop(self.units.insert(unit, UnitBatch::new(batch))),
                Err(error) => skip(&mut self.skipped, error)?,
            }
        }
        Ok(())
    }

    fn read_unit(&self, unit: UnitKey, rows: Vec<Range<u32>>) -> Result<Batch, FindError> {
        match unit {
            UnitKey::Slice { source, slice } => {
                let source = &self.snapshot.blocks[source as usize];
                let reader = reader_of(self.snapshot, source)?;
                reader
                    .columns(source.tenant, slice, &rows, &self.columns, self.meter)
                    .map_err(judged(source))
            }
            UnitKey::Chunk { source, chunk } => {
                let source = &self.snapshot.live[source as usize];
                read_chunk(self.snapshot, source, chunk, &self.live_columns, self.meter)
            }
        }
    }

    fn assembled(&mut self, wanted: Wanted) -> Result<Assembled, FindError> {
        let trace = wanted.trace;
        let mut pieces = Vec::with_capacity(wanted.pieces.len());
        let mut read = Vec::with_capacity(wanted.pieces.len());
        for piece in wanted.pieces {
            let Some(unit) = self.units.get(&piece.unit) else { continue };
            pieces.push(AssembledPiece {
                unit: piece.unit.name(self.snapshot),
                batch: unit.batch.clone(),
                rows: unit.rows_of(&piece.rows),
            });
            read.push(piece);
        }
        if let Some(line) = wanted.line {
            return Ok(Assembled { trace, pieces, line });
        }
        let places: Vec<(usize, u32)> = (pieces.iter().enumerate())
            .flat_map(|(number, piece)| piece.rows.iter().map(move |row| (number, *row)))
            .collect();
        let kept = self.standing(&read, &pieces, &places)?;
        let line = match trace.place {
            Place::Split { trace } => self.split.trace(trace).map(|split| split.line().clone()),
            _ => None,
        };
        let line = line.unwrap_or_else(|| self.line_of(&trace, &read, &pieces, &places, &kept));
        if kept.len() < places.len() {
            pieces.iter_mut().for_each(|piece| piece.rows.clear());
            let mut kept = kept;
            kept.sort_unstable();
            for number in kept {
                let (piece, row) = places[number as usize];
                pieces[piece].rows.push(row);
            }
            pieces.retain(|piece| !piece.rows.is_empty());
        }
        Ok(Assembled { trace, pieces, line })
    }

    /// The numbers of the rows that stand, by start. Only of rows that start at once, which may be
    /// copies of each other, more than the start is looked at.
    fn standing(
        &mut self,
        read: &[WantedPiece],
        pieces: &[AssembledPiece],
        places: &[(usize, u32)],
    ) -> Result<Vec<u32>, FindError> {
        let chunk = |number: u32| {
            let (piece, row) = places[number as usize];
            (&*pieces[piece].batch.chunk, row)
        };
        let start = |number: u32| {
            let (chunk, row) = chunk(number);
            chunk.start_unix_nanos.value(row as usize)
        };
        let numbers = 0..places.len() as u32;
        let mut starts: Vec<(i64, u32)> = numbers.map(|number| (start(number), number)).collect();
        starts.sort_unstable();
        let mut kept = Vec::with_capacity(starts.len());
        let mut content = None;
        for at_once in starts.chunk_by(|one, next| one.0 == next.0) {
            if let [only] = at_once {
                kept.push(only.1);
                continue;
            }
            let span_id = |(_, number): &(i64, u32)| {
                let (chunk, row) = chunk(*number);
                (chunk.span_id.value(row as usize), *number)
            };
            let mut ids: Vec<(u64, u32)> = at_once.iter().map(span_id).collect();
            ids.sort_unstable();
            if ids.windows(2).all(|pair| pair[0].0 != pair[1].0) {
                kept.extend(ids.into_iter().map(|(_, number)| number));
                continue;
            }
            let spans: Vec<SpanOutline> =
                at_once.iter().map(|(_, number)| outline_of(chunk(*number))).collect();
            let mut has_rivals = false;
            let mut standing = self.sorter.without_duplicates(&spans, |_| {
                has_rivals = true;
                0
            });
            if has_rivals {
                let content = match &content {
                    Some(content) => content,
                    None => content.insert(self.contents.of(read, &mut self.skipped)?),
                };
                standing = self.sorter.without_duplicates(&spans, |place| {
                    match content.get(at_once[place as usize].1 as usize) {
                        Some(Some((chunk, row))) => content_hash(chunk, *row),
                        _ => 0,
                    }
                });
            }
            kept.extend(standing.iter().map(|place| at_once[*place as usize].1));
        }
        Ok(kept)
    }

    /// What is said of a trace whose rows lie in live data alone. `kept`: those that stand, by start.
    fn line_of(
        &self,
        trace: &TraceRef,
        read: &[WantedPiece],
        pieces: &[AssembledPiece],
        places: &[(usize, u32)],
        kept: &[u32],
    ) -> TraceLine {
        let place = |number: &u32| places[*number as usize];
        let is_error = |(piece, row): (usize, u32)| {
            pieces[piece].batch.chunk.status_code.value(row as usize) == STATUS_ERROR
        };
        let names_no_parent = |(piece, row): &(usize, u32)| {
            pieces[*piece].batch.chunk.parent_span_id.is_null(*row as usize)
        };
        // The earliest root; of those that start at once the ids and kinds decide.
        let root = kept.iter().map(place).find(names_no_parent).map(|(piece, row)| {
            let (chunk, at) = (&pieces[piece].batch.chunk, row as usize);
            let unit = self.units.get(&read[piece].unit);
            let service = unit.and_then(|unit| unit.service(chunk.resource.value(at)));
            (service, Arc::from(chunk.name.value(at)))
        });
        TraceLine {
            n_spans: kept.len() as u32,
            n_errors: kept.iter().map(place).filter(|place| is_error(*place)).count() as u32,
            start_unix_nanos: trace.start_unix_nanos,
            end_unix_nanos: trace.end_unix_nanos,
            root,
        }
    }
}

/// What tells a row from its copies; its parent does not.
fn outline_of((chunk, row): (&Chunk, u32)) -> SpanOutline {
    let at = row as usize;
    SpanOutline {
        start_unix_nanos: chunk.start_unix_nanos.value(at),
        end_unix_nanos: chunk.end_unix_nanos.value(at),
        span_id: chunk.span_id.value(at),
        parent_span_id: None,
        kind: chunk.kind.value(at),
    }
}

impl UnitBatch {
    fn new(batch: Batch) -> Self {
        let mut first_rows = Vec::new();
        if let BatchRows::Ranges(ranges) = &batch.rows {
            let mut next = 0;
            for range in ranges {
                first_rows.push((range.clone(), next));
                next += range.end - range.start;
            }
        }
        Self { batch: Arc::new(batch), first_rows }
    }

    /// What a resource names as its service.
    fn service(&self, resource: u32) -> Option<Arc<str>> {
        self.batch.chunk.resources.service_name(resource).map(Arc::from)
    }

    /// The batch's rows of rows of the unit.
    fn rows_of(&self, ranges: &[Range<u32>]) -> Vec<u32> {
        let mut rows = Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
        for range in ranges {
            rows.extend(self.place_of(range));
        }
        rows
    }

    fn place_of(&self, rows: &Range<u32>) -> Range<u32> {
        if self.batch.rows == BatchRows::Same {
            return rows.clone();
        }
        let after = self.first_rows.partition_point(|(range, _)| range.start <= rows.start);
        let (range, first) = &self.first_rows[after - 1];
        let start = first + (rows.start - range.start);
        start..start + (rows.end - rows.start)
    }
}
