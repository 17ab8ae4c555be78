//! What was sent, what was said about it, and what is there.
//!
//! Request `n` carries three spans of a trace of its own and one of a trace that four requests in a
//! row share, so that traces lie in several windows and blocks. In: answers. Out: a count of what
//! lookups and a scan of every block find, or a panic with the story when a span is lost, doubled
//! or came back.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use suyuan_block::file::read::ReadCache;
use suyuan_block::meta::BlockMeta;
use suyuan_block::reader::BlockReader;
use suyuan_catalog::{Catalog, State};
use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Tenant};
use suyuan_objects::Objects;
use suyuan_store::Store;
use suyuan_testkit::sample::{full_span, plain_span, request, trace_id};
use suyuan_wal::Uuid;

pub(crate) const SPANS_PER_REQUEST: u64 = 4;
/// Requests in a row that share a trace.
const SHARING: u64 = 4;
/// The first of the traces that are shared; below it are those that are not.
const SHARED_TRACES: u64 = 1 << 32;

/// Attempts to look a trace up.
const LOOKUPS: u32 = 100;

/// A trace and a span in it.
type SpanKey = ([u8; 16], u64);

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Answered well: its spans are there once, for ever.
    Acknowledged,
    /// Answered badly or not at all: there wholly, or not at all.
    Open,
    /// It was open, and not there after a restart: it never comes back.
    Gone,
}

/// Everything that was sent to one log.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    fates: BTreeMap<u64, Fate>,
}

/// Spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) found: u64,
    pub(crate) unanswered: u64,
    pub(crate) unanswered_found: u64,
    pub(crate) block_rows: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.found += other.found;
        self.unanswered += other.unanswered;
        self.unanswered_found += other.unanswered_found;
        self.block_rows += other.block_rows;
    }
}

pub(crate) fn request_of(number: u64) -> ExportTraceServiceRequest {
    let shared = SHARED_TRACES + number / SHARING;
    let spans = vec![
        plain_span(number, 1),
        full_span(number, 2, 1),
        full_span(number, 3, 9),
        plain_span(shared, 100 + number),
    ];
    request("shop", spans)
}

/// Requests that share a trace have one tenant.
pub(crate) fn tenant_of(number: u64) -> Tenant {
    match (number / SHARING) % 2 {
        0 => Tenant::single(),
        _ => Tenant::parse("other").expect("a good name"),
    }
}

/// The spans of a request, by trace.
fn traces_of(number: u64) -> [(TraceId, Vec<u64>); 2] {
    let id = |trace| {
        TraceId::from_bytes(trace_id(trace).try_into().expect("a trace id has sixteen bytes"))
    };
    let shared = SHARED_TRACES + number / SHARING;
    [(id(number), vec![1, 2, 3]), (id(shared), vec![100 + number])]
}

impl Ledger {
    /// Notes how a request was answered.
    pub(crate) fn note<E>(&mut self, number: u64, answer: &Result<(), E>) {
        let fate = if answer.is_ok() { Fate::Acknowledged } else { Fate::Open };
        assert_eq!(self.fates.insert(number, fate), None, "every request has a number of its own");
    }

    pub(crate) fn n_acknowledged(&self) -> u64 {
        self.fates.values().filter(|fate| **fate == Fate::Acknowledged).count() as u64
    }

    /// All of another log's requests too.
    pub(crate) fn join(&mut self, other: &Self) {
        for (number, fate) in &other.fates {
            assert_eq!(self.fates.insert(*number, *fate), None, "logs share no request");
        }
    }

    /// Looks everything up that was ever sent, and scans all blocks. `is_restarted`: what nobody
    /// answered is settled now.
    pub(crate) fn check(
        &mut self,
        store: &Store,
        objects: &Arc<dyn Objects>,
        is_restarted: bool,
        story: &str,
    ) -> Counts {
        let mut counts = self.check_lookups(store, is_restarted, story);
        let mut n_per_span: BTreeMap<SpanKey, u32> = BTreeMap::new();
        for chunk in chunks_of_blocks(objects) {
            count_spans(&chunk, 0..chunk.n_rows() as u32, &mut n_per_span);
        }
        for (span, n) in &n_per_span {
            assert_eq!(*n, 1, "{story}: span {span:?} is in blocks {n} times");
        }
        counts.block_rows = n_per_span.len() as u64;
        let n_known = counts.found + counts.unanswered_found;
        assert_eq!(counts.block_rows + store.n_rows(), n_known, "{story}: rows of all sources");
        counts
    }

    /// As `check`, of the lookups alone: for a store that is not the only one to have live data.
    pub(crate) fn check_lookups(
        &mut self,
        store: &Store,
        is_restarted: bool,
        story: &str,
    ) -> Counts {
        let mut counts = Counts::default();
        let mut traces: BTreeMap<TraceId, BTreeMap<SpanKey, u32>> = BTreeMap::new();
        for (number, fate) in &mut self.fates {
            let mut n_found = 0;
            for (trace, spans) in traces_of(*number) {
                let found = traces
                    .entry(trace)
                    .or_insert_with(|| look_up(store, &tenant_of(*number), trace, story));
                for span in spans {
                    let n = found.get(&(*trace.as_bytes(), span)).copied().unwrap_or(0);
                    assert!(n <= 1, "{story}: request {number}: span {span} is there {n} times");
                    n_found += u64::from(n);
                }
            }
            let is_there = n_found == SPANS_PER_REQUEST;
            assert!(is_there || n_found == 0, "{story}: {n_found} spans of request {number}");
            match *fate {
                Fate::Acknowledged => {
                    assert!(is_there, "{story}: request {number} is lost");
                    counts.acknowledged += SPANS_PER_REQUEST;
                    counts.found += n_found;
                }
                Fate::Open => {
                    counts.unanswered += SPANS_PER_REQUEST;
                    counts.unanswered_found += n_found;
                    if is_restarted {
                        *fate = if is_there { Fate::Acknowledged } else { Fate::Gone };
                    }
                }
                Fate::Gone => assert!(!is_there, "{story}: request {number} came back"),
            }
        }
        let n_found: usize = traces.values().map(BTreeMap::len).sum();
        let n_known = counts.found + counts.unanswered_found;
        assert_eq!(n_found as u64, n_known, "{story}: spans that nobody sent");
        counts
    }
}

fn look_up(store: &Store, tenant: &Tenant, trace: TraceId, story: &str) -> BTreeMap<SpanKey, u32> {
    // The store may be one that fails now and then.
    let mut attempts = (0..LOOKUPS).map(|_| store.find_trace(tenant, trace));
    let found = attempts.find_map(Result::ok);
    let found = found.unwrap_or_else(|| panic!("{story}: cannot look up {trace:?}"));
    assert_eq!(found.skipped, [], "{story}");
    let mut n_per_span = BTreeMap::new();
    for piece in &found.rows.pieces {
        count_spans(&piece.chunk, piece.rows.iter().copied(), &mut n_per_span);
    }
    n_per_span
}

fn count_spans(
    chunk: &Chunk,
    rows: impl IntoIterator<Item = u32>,
    n_per_span: &mut BTreeMap<SpanKey, u32>,
) {
    for row in rows {
        let span = u64::from_be_bytes(*chunk.span_id(row).as_bytes());
        *n_per_span.entry((*chunk.trace_id(row).as_bytes(), span)).or_default() += 1;
    }
}

/// The catalog as a stranger reads it.
pub(crate) fn catalog_state(objects: &Arc<dyn Objects>) -> Arc<State> {
    let options = suyuan_catalog::Options {
        shard: 0,
        writer: Uuid([0xee; 16]),
        snapshot_every: suyuan_catalog::Options::SNAPSHOT_EVERY,
        entry_keep: suyuan_catalog::Options::ENTRY_KEEP,
    };
    Catalog::open(objects.clone(), options).expect("a catalog").state()
}

/// Every row of every block.
fn chunks_of_blocks(objects: &Arc<dyn Objects>) -> Vec<Chunk> {
    let cache = Arc::new(ReadCache::new(1 << 20));
    let mut chunks = Vec::new();
    for block in catalog_state(objects).blocks.values() {
        let meta = BlockMeta::decode(&block.meta).expect("a block's meta");
        let reader = BlockReader::new(objects.clone(), meta, cache.clone());
        for (tenant, rows) in (0..).zip(&reader.meta().tenants) {
            for range in &rows.ranges {
                chunks.push(reader.slice(tenant, range.slice).expect("a readable slice"));
            }
        }
    }
    chunks
}
