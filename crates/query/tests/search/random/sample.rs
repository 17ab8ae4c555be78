//! Spans, and how they come into a store: partitioned, shuffled, apart.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use suyuan_model::Chunk;
use suyuan_testkit::random::Random;
use suyuan_testkit::traceql::random::{RandomSpans, Shape};
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_testkit::traceql::table::chunk;

use crate::harness::{LiveData, TestStore};

/// All that is received within it is one trace in every answer.
const HORIZON: Duration = Duration::from_hours(1);
/// From so many rows on a block has a column for each attribute.
const N_ROWS_OF_ANOTHER: usize = 10_000;

/// What a store holds, and how it got there.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) spans: Vec<Placed>,
    pub(super) sources: Vec<Source>,
    pub(super) live_data: LiveData,
    /// Rows of another tenant in the first source, so many that its block has columns.
    pub(super) has_neighbour: bool,
    /// After which source a trace was erased, as far as it had come.
    pub(super) erased: Option<(usize, u128)>,
    /// The last chunk is still growing, and holds rows that nobody may see.
    pub(super) has_unseen_rows: bool,
}

#[derive(Clone)]
pub(super) struct Placed {
    pub(super) span: RefSpan,
    pub(super) source: usize,
}

/// A part of the spans, received together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) end: End,
    pub(super) n_chunks: usize,
    /// Until the next one.
    pub(super) wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Becomes a block.
    Flush,
    /// Becomes a block, and all blocks fewer.
    FlushAndCompact,
    /// Ends, and becomes a block sooner or later.
    Cut,
    /// Stays live; the next source comes into the same live data.
    None,
}

/// What happened to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    AsSent,
    Flushed,
    Compacted,
    Reopened,
}

impl Stage {
    pub(super) const ALL: [Self; 4] =
        [Self::AsSent, Self::Flushed, Self::Compacted, Self::Reopened];

    /// From the stage before.
    pub(super) fn reach(self, mut store: TestStore) -> TestStore {
        match self {
            Self::AsSent => {}
            Self::Flushed => store.flush(),
            Self::Compacted => store.compact(),
            Self::Reopened => return store.reopen(),
        }
        store
    }

    pub(super) fn reach_from(self, store: TestStore, from: Self) -> TestStore {
        let between = Self::ALL.into_iter().filter(|stage| *stage > from && *stage <= self);
        between.fold(store, |store, stage| stage.reach(store))
    }
}

/// Of a tenant whose spans have the same keys.
static NEIGHBOUR: LazyLock<Arc<Chunk>> = LazyLock::new(|| {
    let mut random = Random::new(0);
    let shape = Shape { n_traces_min: 200, n_traces_max: 400, ..Shape::default() };
    let mut spans = Vec::new();
    while spans.len() < N_ROWS_OF_ANOTHER {
        spans.extend(RandomSpans::new(&mut random, shape).sent);
    }
    spans.truncate(N_ROWS_OF_ANOTHER);
    Arc::new(chunk(&spans))
});

impl Sample {
    pub(super) fn new(random: &mut Random, sent: Vec<RefSpan>) -> Self {
        let n_sources = 1 + random.below(4) as usize;
        let mut spans: Vec<Placed> = sent
            .into_iter()
            .map(|span| Placed { span, source: random.below(n_sources as u64) as usize })
            .collect();
        for n in (1..spans.len()).rev() {
            spans.swap(n, random.below(n as u64 + 1) as usize);
        }
        let wait_most = HORIZON / (n_sources as u32);
        let sources = (0..n_sources).map(|_| Source {
            end: random.pick(&[End::Flush, End::Flush, End::FlushAndCompact, End::Cut, End::None]),
            n_chunks: 1 + random.below(3) as usize,
            wait: random.pick(&[Duration::ZERO, wait_most]),
        });
        let sources: Vec<Source> = sources.collect();
        let erased = random.one_in(6).then(|| {
            let span = &spans[random.below(spans.len() as u64) as usize].span;
            (random.below(n_sources as u64) as usize, span.trace_id)
        });
        Self {
            sources,
            spans,
            erased,
            live_data: random.pick(&[LiveData::InMemory, LiveData::InMemory, LiveData::InFiles]),
            has_neighbour: random.one_in(16),
            has_unseen_rows: random.one_in(4),
        }
    }

    /// What must be found, in the order in which it is sent.
    pub(super) fn sent(&self) -> Vec<RefSpan> {
        let is_erased = |source: usize, span: &RefSpan| {
            self.erased.is_some_and(|(last, id)| source <= last && span.trace_id == id)
        };
        let mut sent = Vec::new();
        for source in 0..self.sources.len() {
            sent.extend(self.sent_by(source).into_iter().filter(|span| !is_erased(source, span)));
        }
        sent
    }

    fn sent_by(&self, source: usize) -> Vec<RefSpan> {
        let of_source = self.spans.iter().filter(|placed| placed.source == source);
        of_source.map(|placed| placed.span.clone()).collect()
    }

    /// A store that has received it.
    pub(super) fn store(&self) -> TestStore {
        let mut store = TestStore::new(self.live_data);
        if self.has_neighbour {
            store.publish_other(NEIGHBOUR.clone());
        }
        let n_sources = self.sources.len();
        for (number, source) in self.sources.iter().enumerate() {
            let spans = self.sent_by(number);
            let is_last = number + 1 == n_sources;
            let chunks: Vec<&[RefSpan]> =
                spans.chunks(spans.len().div_ceil(source.n_chunks).max(1)).collect();
            for (n, chunk) in chunks.iter().enumerate() {
                if is_last && self.has_unseen_rows && n + 1 == chunks.len() {
                    store.publish_growing(chunk, &unseen(chunk));
                } else {
                    store.publish(chunk);
                }
            }
            match source.end {
                End::Flush if !is_last => store.flush(),
                End::FlushAndCompact if !is_last => {
                    store.flush();
                    store.compact();
                }
                End::Cut if !is_last => store.end_live(),
                _ => {}
            }
            if let Some((last, id)) = self.erased
                && last == number
            {
                store.erase(id);
            }
            store.wait(source.wait);
        }
        store
    }

    /// For people.
    pub(super) fn plan(&self) -> String {
        let number = |placed: &Placed| placed.source.to_string();
        let sources: Vec<String> = self.spans.iter().map(number).collect();
        format!(
            "{:?}, {:?}, erased {:x?}, neighbour {}, unseen rows {}, sources of the spans {}",
            self.sources,
            self.live_data,
            self.erased,
            self.has_neighbour,
            self.has_unseen_rows,
            sources.join(" ")
        )
    }
}

/// Rows that would change answers if they were seen.
fn unseen(spans: &[RefSpan]) -> Vec<RefSpan> {
    let news = |span: &RefSpan| {
        let mut span = span.clone();
        span.end_unix_nanos += 1;
        span.name = "unseen".to_owned();
        span
    };
    spans.iter().map(news).collect()
}
