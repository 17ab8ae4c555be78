//! Searches while a store is being filled, sealed and compacted: each answer is that of one moment.
//!
//! One thread publishes chunk after chunk and makes blocks of them, another asks. What is answered
//! must be the obvious answer over the chunks up to one that was published while the question ran.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use suyuan_testkit::random::Random;
use suyuan_testkit::traceql::random::{RandomSpans, Shape, filter, question};
use suyuan_testkit::traceql::search::{RefFound, RefQuestion, RefTraces};
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_traceql::print;

use crate::harness::{Asker, LiveData, TestStore};

const N_SEEDS: u64 = 12;
const N_CHUNKS: usize = 24;
const CHUNKS_PER_BLOCK: usize = 5;

#[test]
fn an_answer_is_that_of_one_moment() {
    for seed in 1..=N_SEEDS {
        let mut random = Random::new(seed);
        let shape = Shape { n_traces_min: 20, n_traces_max: 30, ..Shape::default() };
        let mut spans = RandomSpans::new(&mut random, shape).sent;
        for n in (1..spans.len()).rev() {
            spans.swap(n, random.below(n as u64 + 1) as usize);
        }
        let chunks: Vec<&[RefSpan]> = spans.chunks(spans.len().div_ceil(N_CHUNKS)).collect();
        let live_data = random.pick(&[LiveData::InMemory, LiveData::InFiles]);
        let mut store = TestStore::new(live_data);
        let asker = store.asker();
        let n_published = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| fill(&mut store, &chunks, &n_published));
            ask_until_all(seed, &mut random, &asker, &spans, &chunks, &n_published);
        });
    }
}

fn fill(store: &mut TestStore, chunks: &[&[RefSpan]], n_published: &AtomicUsize) {
    for (n, chunk) in chunks.iter().enumerate() {
        store.publish_whole(chunk);
        n_published.store(n + 1, SeqCst);
        if n % CHUNKS_PER_BLOCK == CHUNKS_PER_BLOCK - 1 {
            store.flush();
        }
        if n % (2 * CHUNKS_PER_BLOCK) == 2 * CHUNKS_PER_BLOCK - 1 {
            store.compact();
        }
    }
}

fn ask_until_all(
    seed: u64,
    random: &mut Random,
    asker: &Asker,
    spans: &[RefSpan],
    chunks: &[&[RefSpan]],
    n_published: &AtomicUsize,
) {
    let all = RefTraces::of(spans);
    let mut is_all = false;
    while !is_all {
        is_all = n_published.load(SeqCst) == chunks.len();
        let Some(filter) = any_filter(random) else { continue };
        let question = question(random, filter, &all);
        let n_before = n_published.load(SeqCst);
        let answer = asker.search(&question);
        // One more may be visible before it is counted.
        let n_after = (n_published.load(SeqCst) + 1).min(chunks.len());
        let is_of = |n_chunks: usize| answer == obvious(&chunks[..n_chunks], &question);
        assert!(
            (n_before..=n_after).any(is_of),
            "seed {seed}: between {n_before} and {n_after} chunks {} answers {answer:#?}",
            print::field_expr(&question.filter)
        );
    }
}

fn any_filter(random: &mut Random) -> Option<suyuan_traceql::ast::FieldExpr> {
    let text = format!("{{ {} }}", print::field_expr(&filter(random, 2)));
    let query = suyuan_traceql::parse(&text).ok()?;
    Some(query.span_filter().ok()?.filter.clone())
}

fn obvious(chunks: &[&[RefSpan]], question: &RefQuestion) -> Result<Vec<RefFound>, String> {
    RefTraces::of(&chunks.concat()).search(question)
}
