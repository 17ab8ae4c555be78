//! A chunk of live data as a unit of a scan.
//!
//! In: a window and how many of its rows the snapshot sees. Out: the rows of a chunk in the order of
//! the log, as they lie in memory or as a scratch file has them, and which trace each belongs to.
//! The window's lock is held for moments: ingest waits for it.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLockReadGuard};

use arrow_array::{Array, FixedSizeBinaryArray};
use suyuan_block::layout::Scope;
use suyuan_block::meta::TimeRange;
use suyuan_block::reader::{Between, Probe, TextOf};
use suyuan_ids::TraceId;
use suyuan_model::{
    AttributeOwner, AttributeTable, Batch, Chunk, Columns, Field, Resources, Scopes, Strings,
    ValueType, Values,
};
use suyuan_objects::ReadMeter;

use super::{Place, TraceRef, Unit, UnitName, UnitPlace, UnitPresence, is_split_within, split_ref};
use crate::chunk_file::{ChunkFileError, ColumnReader, SpilledChunk};
use crate::chunk_keys::{ChunkKeys, owner_of, scope_of};
use crate::find::FindError;
use crate::snapshot::{LiveSource, Snapshot};
use crate::split::SplitSet;
use crate::window::{ChunkPlace, Window};

/// Rows whose traces are looked up while the window is locked.
const LOOKUP_ROWS: usize = 512;

/// A chunk with more keys gives those asked for apart: to look for one among ten thousand costs more
/// than its values.
const COLUMNS_SOUGHT_MAX: usize = 128;

/// Before any time that can be said in OTLP.
const UNKNOWN_START: i64 = i64::MIN;

/// A chunk of a window.
pub(super) struct LiveChunk {
    snapshot: Arc<Snapshot>,
    /// The window's place among the snapshot's live data.
    source: u32,
    number: u32,
    /// That the snapshot sees.
    n_rows: u32,
}

/// The same, in memory or with its file open.
pub(super) struct OpenLive<'a> {
    unit: &'a LiveChunk,
    split: &'a SplitSet,
    content: LiveContent,
    trace_ids: OnceLock<FixedSizeBinaryArray>,
}

enum LiveContent {
    Resident(Arc<Chunk>),
    Spilled(Box<SpilledContent>),
}

struct SpilledContent {
    file: ColumnReader,
    resources: Resources,
    scopes: Scopes,
}

/// Adds the chunks of all live data. Returns how many were left out.
pub(super) fn add_units(
    snapshot: &Arc<Snapshot>,
    split: &Arc<SplitSet>,
    range: Option<TimeRange>,
    units: &mut Vec<Unit>,
) -> u64 {
    let mut n_outside = 0;
    for (number, source) in (0..).zip(&snapshot.live) {
        let window = read(source);
        let outlooks = window.outlooks(source.n_rows);
        // Looked up only if a chunk lies outside: there may be many split traces.
        let of_split =
            LazyCell::new(|| range.map(|range| chunks_within(source, &window, split, range)));
        for outlook in outlooks {
            let is_outside = range.is_some_and(|range| !outlook.moments.overlaps(range));
            let is_of_split = || {
                let has_traces = of_split.as_ref();
                has_traces.is_some_and(|chunks| chunks[outlook.number as usize])
            };
            if is_outside && !is_of_split() {
                n_outside += 1;
                continue;
            }
            let place = LiveChunk {
                snapshot: snapshot.clone(),
                source: number,
                number: outlook.number,
                n_rows: outlook.n_rows,
            };
            units.push(Unit {
                snapshot: snapshot.clone(),
                split: split.clone(),
                newest_start_unix_nanos: outlook.newest_start_unix_nanos,
                n_rows: outlook.n_rows,
                place: UnitPlace::Live(place),
            });
        }
    }
    n_outside
}

/// For each chunk whether it may have rows of split traces with a moment in the range, wherever
/// their other rows lie.
fn chunks_within(
    source: &LiveSource,
    window: &Window,
    split: &SplitSet,
    range: TimeRange,
) -> Vec<bool> {
    // How many traces begin in each chunk, less those that ended before it: there may be as many
    // traces as there are rows, and the window is locked.
    let mut changes = vec![0i64; window.n_chunks() as usize + 1];
    for (there, here) in split.live_traces(source.key()) {
        if is_split_within(split, here, range) {
            let chunks = window.chunks_of(there);
            changes[*chunks.start() as usize] += 1;
            changes[*chunks.end() as usize + 1] -= 1;
        }
    }
    let mut n_traces = 0;
    let has_traces = changes.into_iter().map(|change| {
        n_traces += change;
        n_traces > 0
    });
    has_traces.collect()
}

fn read(source: &LiveSource) -> RwLockReadGuard<'_, Window> {
    source.window.read().unwrap_or_else(PoisonError::into_inner)
}

impl LiveChunk {
    fn source(&self) -> &LiveSource {
        &self.snapshot.live[self.source as usize]
    }

    pub(super) fn name(&self) -> UnitName {
        UnitName::Chunk { live: self.source().live.number(), chunk: self.number }
    }

    pub(super) fn has_erased(&self) -> bool {
        !self.source().erased.is_empty()
    }

    pub(super) fn presence(
        &self,
        owner: AttributeOwner,
        key: &str,
        value_type: ValueType,
    ) -> UnitPresence {
        match self.with_keys(|keys| keys.has(scope_of(owner), key, value_type)) {
            true => UnitPresence::Maybe,
            false => UnitPresence::Absent,
        }
    }

    pub(super) fn for_each_key(
        &self,
        visit: &mut dyn FnMut(AttributeOwner, &Arc<str>, ValueType),
    ) -> bool {
        self.with_keys(|keys| {
            for (scope, key, value_type) in keys.iter() {
                visit(owner_of(scope), key, value_type);
            }
        });
        true
    }

    /// Traces have a table, integers bounds; other values are as cheap to look at as to rule out.
    pub(super) fn may_contain(&self, probe: &Probe<'_>) -> bool {
        match probe {
            Probe::TraceId(id) => read(self.source()).trace_number(id.as_bytes()).is_some(),
            _ => self.with_keys(|keys| keys.may_contain(probe)),
        }
    }

    pub(super) fn may_lie_between(&self, between: &Between<'_>) -> bool {
        self.with_keys(|keys| keys.may_lie_between(between))
    }

    /// A chunk without the attributes that are not asked for. `None`: it is not the chunk whose keys
    /// are known by now.
    fn narrowed(&self, chunk: &Chunk, columns: &Columns) -> Option<Chunk> {
        let asked = columns.span_keys();
        let places = |keys: &ChunkKeys| -> BTreeSet<u32> {
            asked.iter().flat_map(|key| keys.columns_of(Scope::Span, key)).collect()
        };
        let column = |place: u32| {
            let column = chunk.attributes.columns.get(place as usize);
            column.filter(|column| asked.contains(&column.key)).cloned()
        };
        // A chunk that grows has more keys later, never fewer: if all of them are where they were
        // found, none is missing.
        let found: Option<Vec<_>> = self.with_keys(places).into_iter().map(column).collect();
        Some(chunk.with_attributes(AttributeTable::of_columns(found?)))
    }

    fn with_keys<T>(&self, look: impl FnOnce(&ChunkKeys) -> T) -> T {
        let (place, keys) = {
            let window = read(self.source());
            (window.chunk(self.number), window.chunk_keys(self.number))
        };
        match place {
            ChunkPlace::Resident(chunk) => look(keys.get_or_init(|| ChunkKeys::of(&chunk))),
            ChunkPlace::Spilled(spilled) => look(spilled.keys()),
        }
    }
}

/// An error of a scratch file.
pub(super) fn failed(spilled: &SpilledChunk) -> impl Fn(ChunkFileError) -> FindError {
    |error| FindError::Live { path: spilled.path().to_owned(), error }
}

impl<'a> OpenLive<'a> {
    pub(super) fn open(
        snapshot: &Snapshot,
        split: &'a SplitSet,
        unit: &'a LiveChunk,
        meter: &ReadMeter,
    ) -> Result<Self, FindError> {
        let place = read(unit.source()).chunk(unit.number);
        let content = LiveContent::open(snapshot, place, meter)?;
        Ok(Self { unit, split, content, trace_ids: OnceLock::new() })
    }

    pub(super) fn resources(&self) -> &Resources {
        match &self.content {
            LiveContent::Resident(chunk) => &chunk.resources,
            LiveContent::Spilled(spilled) => &spilled.resources,
        }
    }

    pub(super) fn scopes(&self) -> &Scopes {
        match &self.content {
            LiveContent::Resident(chunk) => &chunk.scopes,
            LiveContent::Spilled(spilled) => &spilled.scopes,
        }
    }

    pub(super) fn read(&self, columns: &Columns, meter: &ReadMeter) -> Result<Batch, FindError> {
        let mut chunk = self.content.read(columns, meter)?;
        if chunk.attributes.columns.len() > COLUMNS_SOUGHT_MAX
            && let Some(narrow) = self.unit.narrowed(&chunk, columns)
        {
            chunk = Arc::new(narrow);
        }
        Ok(Batch::of_chunk(chunk, self.unit.n_rows))
    }

    fn trace_ids(&self, meter: &ReadMeter) -> Result<&FixedSizeBinaryArray, FindError> {
        if let Some(ids) = self.trace_ids.get() {
            return Ok(ids);
        }
        let ids = match &self.content {
            LiveContent::Resident(chunk) => chunk.trace_id.clone(),
            LiveContent::Spilled(spilled) => {
                let file = &spilled.file;
                let columns = Columns::default().with(Field::TraceId);
                file.read(&columns, meter).map_err(failed(file.spilled()))?.trace_id
            }
        };
        Ok(self.trace_ids.get_or_init(|| ids))
    }

    pub(super) fn traces_of(
        &self,
        rows: &[u32],
        meter: &ReadMeter,
    ) -> Result<Vec<Option<TraceRef>>, FindError> {
        let ids = self.trace_ids(meter)?;
        let (ids, _) = ids.value_data().as_chunks::<16>();
        let source = self.unit.source();
        let mut found: Vec<Option<TraceRef>> = Vec::with_capacity(rows.len());
        // The id of the row before, and its trace.
        let mut last = (None, None);
        for rows in rows.chunks(LOOKUP_ROWS) {
            let window = read(source);
            for row in rows {
                let id = ids.get(*row as usize).filter(|_| *row < self.unit.n_rows);
                if id != last.0 {
                    last = (id, id.and_then(|id| self.trace_ref(&window, id)));
                }
                found.push(last.1);
            }
        }
        let mut grown: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        // Traces that grow together lie in the same chunks.
        let mut chunks: BTreeMap<u32, Arc<Chunk>> = BTreeMap::new();
        for trace in found.iter_mut().flatten() {
            let Place::Live { trace: number, .. } = trace.place else { continue };
            if trace.start_unix_nanos != UNKNOWN_START {
                continue;
            }
            let times = match grown.get(&number) {
                Some(times) => *times,
                None => {
                    let times = grown_times(source, number, &mut chunks, meter)?;
                    grown.insert(number, times);
                    times
                }
            };
            (trace.start_unix_nanos, trace.end_unix_nanos) = times;
        }
        Ok(found)
    }

    /// A trace of the window, unless it was erased; with [`UNKNOWN_START`] if it has grown since the
    /// snapshot.
    fn trace_ref(&self, window: &Window, id: &[u8; 16]) -> Option<TraceRef> {
        let source = self.unit.source();
        let number = window.trace_number(id)?;
        if let Some(split) = self.split.live_trace(source.key(), number) {
            return self.split.trace(split).map(|trace| split_ref(split, trace));
        }
        let id = TraceId::from_bytes(*id);
        if source.erased.contains(&id) {
            return None;
        }
        let times = window.times_of(number, source.n_rows);
        let (start_unix_nanos, end_unix_nanos) = times.unwrap_or((UNKNOWN_START, UNKNOWN_START));
        Some(TraceRef {
            id,
            start_unix_nanos,
            end_unix_nanos,
            is_whole: false,
            place: Place::Live { source: self.unit.source, trace: number },
        })
    }

    pub(super) fn dictionary_texts(
        &self,
        of: TextOf<'_>,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), FindError> {
        let columns = match of {
            TextOf::Name => Columns::default().with(Field::Name),
            TextOf::SpanKey(key) => {
                let mut columns = Columns::default();
                columns.add_span_key(&Arc::from(key));
                columns
            }
        };
        let batch = self.read(&columns, meter)?;
        let n_rows = self.unit.n_rows;
        match of {
            TextOf::Name => visit_texts(&batch.chunk.name, n_rows as usize, visit),
            TextOf::SpanKey(key) => {
                let column = batch.chunk.attributes.column(key, ValueType::String);
                if let Some(column) = column
                    && let Values::String(texts) = &column.values
                {
                    let n_seen = column.rows.partition_point(|row| *row < n_rows);
                    visit_texts(texts, n_seen, visit);
                }
            }
        }
        Ok(())
    }
}

impl LiveContent {
    fn open(snapshot: &Snapshot, place: ChunkPlace, meter: &ReadMeter) -> Result<Self, FindError> {
        let spilled = match place {
            ChunkPlace::Resident(chunk) => return Ok(Self::Resident(chunk)),
            ChunkPlace::Spilled(spilled) => spilled,
        };
        snapshot.inner.metrics.read_spilled();
        let file = spilled.open().map_err(failed(&spilled))?;
        let resources = file.resources(meter).map_err(failed(&spilled))?;
        let scopes = file.scopes(meter).map_err(failed(&spilled))?;
        Ok(Self::Spilled(Box::new(SpilledContent { file, resources, scopes })))
    }

    fn read(&self, columns: &Columns, meter: &ReadMeter) -> Result<Arc<Chunk>, FindError> {
        let spilled = match self {
            Self::Resident(chunk) => return Ok(chunk.clone()),
            Self::Spilled(spilled) => spilled,
        };
        let file = &spilled.file;
        let mut chunk = file.read(columns, meter).map_err(failed(file.spilled()))?;
        chunk.resources = spilled.resources.clone();
        chunk.scopes = spilled.scopes.clone();
        Ok(Arc::new(chunk))
    }
}

/// Columns of a chunk, and how many of its rows the snapshot sees.
pub(super) fn read_chunk(
    snapshot: &Snapshot,
    source: &LiveSource,
    number: u32,
    columns: &Columns,
    meter: &ReadMeter,
) -> Result<Batch, FindError> {
    let (place, n_rows) = {
        let window = read(source);
        (window.chunk(number), window.rows_seen(number, source.n_rows))
    };
    let chunk = LiveContent::open(snapshot, place, meter)?.read(columns, meter)?;
    Ok(Batch::of_chunk(chunk, n_rows))
}

/// Start and end of a trace as the rows say them that the snapshot sees. `chunks`: times of chunks in
/// scratch files that were read already.
fn grown_times(
    source: &LiveSource,
    trace: u32,
    chunks: &mut BTreeMap<u32, Arc<Chunk>>,
    meter: &ReadMeter,
) -> Result<(i64, i64), FindError> {
    // The lock is held while places are noted, not while scratch files are read.
    let places = read(source).places_of(trace, source.n_rows);
    let mut times = (i64::MAX, i64::MIN);
    for (number, place, rows) in places {
        let chunk = match (place, chunks.get(&number)) {
            (ChunkPlace::Resident(chunk), _) => chunk,
            (ChunkPlace::Spilled(_), Some(chunk)) => chunk.clone(),
            (ChunkPlace::Spilled(spilled), None) => {
                let columns = Columns::default().with(Field::Start).with(Field::End);
                let file = spilled.open().map_err(failed(&spilled))?;
                let chunk = Arc::new(file.read(&columns, meter).map_err(failed(&spilled))?);
                chunks.insert(number, chunk.clone());
                chunk
            }
        };
        for row in rows {
            times.0 = times.0.min(chunk.start_unix_nanos.value(row as usize));
            times.1 = times.1.max(chunk.end_unix_nanos.value(row as usize));
        }
    }
    Ok(times)
}

/// The texts of the first values of a column; of a dictionary those that rows use, each once.
fn visit_texts(texts: &Strings, n_values: usize, visit: &mut dyn FnMut(&str)) {
    match texts {
        Strings::Plain(values) => values.iter().take(n_values).flatten().for_each(visit),
        Strings::Dictionary { codes, values } => {
            let mut is_used = vec![false; values.len()];
            for code in codes.iter().take(n_values) {
                if let Some(is_used) = is_used.get_mut(*code as usize) {
                    *is_used = true;
                }
            }
            let used = values.iter().zip(is_used).filter(|(_, is_used)| *is_used);
            used.filter_map(|(text, _)| text).for_each(visit);
        }
    }
}
