//! One tenant's live window: chunks, and for each trace where its rows are.
//!
//! Rows are numbered across the window. Each row knows the previous row of its trace, each trace
//! its last row, so a trace is walked without a sort or a search, and adding a row costs one look
//! in a hash table (`design.md 5`).

use std::hash::BuildHasher;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use suyuan_block::TimeRange;
use suyuan_block::layout::KeyCounts;
use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Publication, UnixNanosRange};

use crate::chunk_file::SpilledChunk;
use crate::chunk_keys::ChunkKeys;
use crate::metrics::Added;
use crate::row_bytes;

/// "No row": the chain of a trace ends.
const NONE: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Window {
    chunks: Vec<Slot>,
    /// The number of each chunk's first row in the window.
    chunk_starts: Vec<u32>,
    /// For each row the previous row of its trace.
    previous: Vec<u32>,
    traces: Vec<Trace>,
    /// Of the chunks that are finished.
    key_counts: KeyCounts,
    n_events: u64,
    n_links: u64,
    /// No chunk has more bytes of values for each of its rows.
    row_bytes_max: u64,
    received: Option<UnixNanosRange>,
    by_id: HashTable<u32>,
    /// Seeded at random: ids come from outside.
    hasher: RandomState,
}

/// Where a chunk is.
#[derive(Clone)]
pub(crate) enum ChunkPlace {
    Resident(Arc<Chunk>),
    Spilled(Arc<SpilledChunk>),
}

/// A chunk, and what is known of it without a look at it.
struct Slot {
    place: ChunkPlace,
    /// Made when it is first asked for; empty again when the chunk has grown.
    keys: Arc<OnceLock<ChunkKeys>>,
    /// No trace that has a row here starts later: it was so when the rows came, and starts only
    /// fall.
    newest_start_unix_nanos: i64,
    /// All moments of the traces whose first row is here, those in later chunks included.
    moments: Option<TimeRange>,
    /// The last chunk that has a row of one of them.
    last_chunk: u32,
}

/// What the rows of a chunk may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkOutlook {
    pub(crate) number: u32,
    /// That are seen.
    pub(crate) n_rows: u32,
    /// No trace that has a row here starts later.
    pub(crate) newest_start_unix_nanos: i64,
    /// Every trace that has a row here lies in it, as far as it lies in this window.
    pub(crate) moments: TimeRange,
}

/// One trace of the window.
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    last_row: u32,
    pub(crate) n_rows: u32,
    /// The chunk of its first row.
    first_chunk: u32,
    /// Of its earliest span.
    pub(crate) start_unix_nanos: i64,
    /// The latest end: of a span that came twice the later end stands.
    end_unix_nanos: i64,
    /// When spans of it were received.
    pub(crate) received: UnixNanosRange,
}

impl Window {
    pub(crate) fn publish(&mut self, publication: Publication) -> Added {
        let number = publication.chunk_number as usize;
        let n_chunks = self.chunks.len();
        assert!(number + 1 >= n_chunks && number <= n_chunks, "chunks come in order");
        let is_new = number == n_chunks;
        let chunk = publication.chunk;
        if is_new {
            self.chunk_starts.push(self.previous.len() as u32);
            self.chunks.push(Slot::new(number as u32, chunk.clone()));
        } else {
            self.chunks[number].place = ChunkPlace::Resident(chunk.clone());
            self.chunks[number].keys = Arc::default();
        }
        let linked = self.previous.len() as u32 - self.chunk_starts[number];
        let traces_before = self.traces.len();
        if linked < publication.visible_rows {
            let received = publication.received_unix_nanos;
            self.received = Some(self.received.map_or(received, |all| all.union(received)));
        }
        let (starts, ends) = (chunk.start_unix_nanos.values(), chunk.end_unix_nanos.values());
        let mut newest_start = self.chunks[number].newest_start_unix_nanos;
        for row in linked..publication.visible_rows {
            let span = NewSpan {
                id: *chunk.trace_id(row).as_bytes(),
                chunk: number as u32,
                start_unix_nanos: starts[row as usize],
                end_unix_nanos: ends[row as usize],
                received: publication.received_unix_nanos,
            };
            newest_start = newest_start.max(self.link(&span));
        }
        self.chunks[number].newest_start_unix_nanos = newest_start;
        if publication.is_final {
            self.key_counts.add_chunk(&chunk);
            self.n_events += chunk.events.span_row.len() as u64;
            self.n_links += chunk.links.span_row.len() as u64;
            let row_bytes = row_bytes::bound(&chunk) / chunk.n_rows().max(1) as u64;
            self.row_bytes_max = self.row_bytes_max.max(row_bytes);
        }
        Added {
            rows: u64::from(publication.visible_rows.saturating_sub(linked)),
            traces: (self.traces.len() - traces_before) as u64,
            chunks: u64::from(is_new),
        }
    }

    /// Gives the next row to its trace. Returns when that starts, as far as it is known.
    fn link(&mut self, span: &NewSpan) -> i64 {
        let row = self.previous.len() as u32;
        assert!(row != NONE, "a window holds fewer rows than its row numbers can say");
        let (traces, hasher) = (&self.traces, &self.hasher);
        let hash = hasher.hash_one(span.id);
        let found = self.by_id.find(hash, |trace| traces[*trace as usize].id == span.id).copied();
        let (first_chunk, start_unix_nanos) = match found {
            Some(trace) => {
                let trace = &mut self.traces[trace as usize];
                self.previous.push(trace.last_row);
                trace.last_row = row;
                trace.n_rows += 1;
                trace.start_unix_nanos = trace.start_unix_nanos.min(span.start_unix_nanos);
                trace.end_unix_nanos = trace.end_unix_nanos.max(span.end_unix_nanos);
                trace.received = trace.received.union(span.received);
                (trace.first_chunk, trace.start_unix_nanos)
            }
            None => {
                self.previous.push(NONE);
                let trace = self.traces.len() as u32;
                self.traces.push(Trace {
                    id: span.id,
                    last_row: row,
                    n_rows: 1,
                    first_chunk: span.chunk,
                    start_unix_nanos: span.start_unix_nanos,
                    end_unix_nanos: span.end_unix_nanos,
                    received: span.received,
                });
                let (traces, hasher) = (&self.traces, &self.hasher);
                self.by_id.insert_unique(hash, trace, |trace| {
                    hasher.hash_one(traces[*trace as usize].id)
                });
                (span.chunk, span.start_unix_nanos)
            }
        };
        self.chunks[first_chunk as usize].reach(span);
        start_unix_nanos
    }

    fn trace(&self, id: TraceId) -> Option<&Trace> {
        let id = id.as_bytes();
        let found = self
            .by_id
            .find(self.hasher.hash_one(id), |trace| self.traces[*trace as usize].id == *id)?;
        Some(&self.traces[*found as usize])
    }

    pub(crate) fn trace_rows(&self, id: TraceId) -> u64 {
        self.trace(id).map_or(0, |trace| trace.n_rows.into())
    }

    /// The chunks that have rows of a trace, in order, with the rows in each.
    pub(crate) fn find(&self, id: TraceId) -> Vec<(ChunkPlace, Vec<u32>)> {
        let Some(trace) = self.trace(id) else { return Vec::new() };
        let mut rows = Vec::with_capacity(trace.n_rows as usize);
        let mut row = trace.last_row;
        while row != NONE {
            rows.push(row);
            row = self.previous[row as usize];
        }
        rows.reverse();
        let mut places = Vec::new();
        let mut rest = &rows[..];
        while let Some(&first) = rest.first() {
            let number = self.chunk_starts.partition_point(|start| *start <= first) - 1;
            let start = self.chunk_starts[number];
            let end = self.chunk_starts.get(number + 1).copied().unwrap_or(NONE);
            let (here, later) = rest.split_at(rest.partition_point(|row| *row < end));
            let rows = here.iter().map(|row| row - start).collect();
            places.push((self.chunks[number].place.clone(), rows));
            rest = later;
        }
        places
    }

    /// When its rows were received; `None`: there are none.
    pub(crate) fn received(&self) -> Option<UnixNanosRange> {
        self.received
    }

    /// The place of a trace among [`Window::traces`].
    pub(crate) fn trace_number(&self, id: &[u8; 16]) -> Option<u32> {
        let is_it = |trace: &u32| self.traces[*trace as usize].id == *id;
        self.by_id.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// The rows of a trace, by its number, that are among the first `n_rows` of the window, in
    /// order: chunk and row in it.
    pub(crate) fn rows_of(&self, trace: u32, n_rows: u32) -> Vec<(u32, u32)> {
        self.rows_of_each(&[trace], n_rows).pop().unwrap_or_default()
    }

    /// The same for several traces. Rows of a trace lie apart in memory: while one is waited for,
    /// those of others are fetched.
    pub(crate) fn rows_of_each(&self, traces: &[u32], n_rows: u32) -> Vec<Vec<(u32, u32)>> {
        let trace = |number: &u32| &self.traces[*number as usize];
        let mut next: Vec<u32> = traces.iter().map(|number| trace(number).last_row).collect();
        let mut found: Vec<Vec<u32>> =
            traces.iter().map(|number| Vec::with_capacity(trace(number).n_rows as usize)).collect();
        while next.iter().any(|row| *row != NONE) {
            for (row, found) in next.iter_mut().zip(&mut found) {
                if *row != NONE {
                    found.push(*row);
                    *row = self.previous[*row as usize];
                }
            }
        }
        found.into_iter().map(|rows| self.in_chunks(rows, n_rows)).collect()
    }

    /// Chunk and row in it of rows of the window, the last one first, that are among the first
    /// `n_rows`; in order.
    fn in_chunks(&self, rows: Vec<u32>, n_rows: u32) -> Vec<(u32, u32)> {
        let (mut chunk, mut start, mut end) = (0, 0, 0);
        let rows = rows.into_iter().rev().take_while(|row| *row < n_rows);
        let place = |row: u32| {
            if row >= end {
                chunk = self.chunk_starts.partition_point(|start| *start <= row) - 1;
                start = self.chunk_starts[chunk];
                end = self.chunk_starts.get(chunk + 1).copied().unwrap_or(NONE);
            }
            (chunk as u32, row - start)
        };
        rows.map(place).collect()
    }

    /// The same by chunk, with where each chunk is.
    pub(crate) fn places_of(&self, trace: u32, n_rows: u32) -> Vec<(u32, ChunkPlace, Vec<u32>)> {
        let mut places: Vec<(u32, ChunkPlace, Vec<u32>)> = Vec::new();
        for (number, row) in self.rows_of(trace, n_rows) {
            match places.last_mut() {
                Some((last, _, rows)) if *last == number => rows.push(row),
                _ => places.push((number, self.chunk(number), vec![row])),
            }
        }
        places
    }

    /// From the first chunk that has a row of a trace, by its number, to the last one.
    pub(crate) fn chunks_of(&self, trace: u32) -> RangeInclusive<u32> {
        let trace = &self.traces[trace as usize];
        let behind = self.chunk_starts.partition_point(|start| *start <= trace.last_row);
        trace.first_chunk..=(behind - 1) as u32
    }

    /// The chunk was written to a scratch file.
    pub(crate) fn set_spilled(&mut self, number: u32, spilled: Arc<SpilledChunk>) {
        let slot = &mut self.chunks[number as usize];
        slot.place = ChunkPlace::Spilled(spilled);
        // The file's directory has them.
        slot.keys = Arc::default();
    }

    /// The attribute keys of a chunk, if they are not in its file's directory.
    pub(crate) fn chunk_keys(&self, number: u32) -> Arc<OnceLock<ChunkKeys>> {
        self.chunks[number as usize].keys.clone()
    }

    /// The chunks that have some of the first `n_rows` rows, in order.
    pub(crate) fn outlooks(&self, n_rows: u32) -> Vec<ChunkOutlook> {
        let n_chunks = self.chunk_starts.partition_point(|start| *start < n_rows);
        let outlook = |number: usize| {
            let slot = &self.chunks[number];
            // Whoever has a row here has its first row here, or before, and reaches this far.
            let homes = self.chunks[..=number].iter();
            let moments = (homes.filter(|home| home.last_chunk >= number as u32))
                .filter_map(|home| home.moments)
                .reduce(TimeRange::union)
                .unwrap_or(EVER);
            ChunkOutlook {
                number: number as u32,
                n_rows: self.rows_seen(number as u32, n_rows),
                newest_start_unix_nanos: slot.newest_start_unix_nanos,
                moments,
            }
        };
        (0..n_chunks).map(outlook).filter(|outlook| outlook.n_rows > 0).collect()
    }

    /// How many rows of a chunk are among the first `n_rows` of the window.
    pub(crate) fn rows_seen(&self, number: u32, n_rows: u32) -> u32 {
        let start = self.chunk_starts[number as usize];
        let next = self.chunk_starts.get(number as usize + 1).copied();
        let end = next.unwrap_or(self.previous.len() as u32).min(n_rows);
        end.saturating_sub(start)
    }

    /// Start and end of a trace, by its number, as the first `n_rows` rows of the window say it;
    /// `None`: rows came later, so that they themselves must be asked.
    pub(crate) fn times_of(&self, trace: u32, n_rows: u32) -> Option<(i64, i64)> {
        let trace = &self.traces[trace as usize];
        (trace.last_row < n_rows).then_some((trace.start_unix_nanos, trace.end_unix_nanos))
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.previous.len() as u64
    }

    pub(crate) fn n_chunks(&self) -> u32 {
        self.chunks.len() as u32
    }

    pub(crate) fn n_events(&self) -> u64 {
        self.n_events
    }

    pub(crate) fn n_links(&self) -> u64 {
        self.n_links
    }

    /// A bound on the bytes of values of a row, on the average of its chunk.
    pub(crate) fn row_bytes_max(&self) -> u64 {
        self.row_bytes_max
    }

    /// How often each attribute key occurs in the chunks that are finished.
    pub(crate) fn key_counts(&self) -> &KeyCounts {
        &self.key_counts
    }

    /// In the order in which they came.
    pub(crate) fn traces(&self) -> &[Trace] {
        &self.traces
    }

    pub(crate) fn chunk(&self, number: u32) -> ChunkPlace {
        self.chunks[number as usize].place.clone()
    }

    /// Chunk and row in it of each row of a trace, the last one first.
    pub(crate) fn for_each_row(&self, trace: &Trace, mut visit: impl FnMut(u32, u32)) {
        let mut row = trace.last_row;
        let mut chunk = self.chunk_starts.len();
        let mut start = u32::MAX;
        while row != NONE {
            if row < start {
                chunk = self.chunk_starts[..chunk].partition_point(|start| *start <= row) - 1;
                start = self.chunk_starts[chunk];
            }
            visit(chunk as u32, row - start);
            row = self.previous[row as usize];
        }
    }
}

/// A row that is new in the window.
struct NewSpan {
    id: [u8; 16],
    chunk: u32,
    start_unix_nanos: i64,
    end_unix_nanos: i64,
    received: UnixNanosRange,
}

/// The bounds of a chunk of which nothing is known.
const EVER: TimeRange = TimeRange { min_unix_nanos: i64::MIN, max_unix_nanos: i64::MAX };

impl Slot {
    fn new(number: u32, chunk: Arc<Chunk>) -> Self {
        Self {
            place: ChunkPlace::Resident(chunk),
            keys: Arc::default(),
            newest_start_unix_nanos: i64::MIN,
            moments: None,
            last_chunk: number,
        }
    }

    /// A trace that came first here has a row more.
    fn reach(&mut self, span: &NewSpan) {
        let (start, end) = (span.start_unix_nanos, span.end_unix_nanos);
        // A trace that ends before it starts has one moment: its start.
        let moments = TimeRange { min_unix_nanos: start, max_unix_nanos: end.max(start) };
        self.moments = Some(self.moments.map_or(moments, |all| all.union(moments)));
        self.last_chunk = span.chunk;
    }
}
