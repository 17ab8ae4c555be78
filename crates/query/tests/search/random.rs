//! Random traces, random filters: the store's answer against the obvious one, wherever spans lie.
//!
//! A **pair** is a store and a question. Each store holds a dozen traces, partitioned over up to
//! four sources in shuffled order, and is asked as it was filled, after a flush, after a compaction
//! and after it was opened again. `SUYUAN_RANDOM_PAIRS` says how many pairs (50,000 if not),
//! `SUYUAN_RANDOM_SEED` where their seeds begin. A failure is made smaller and printed with its
//! seed, as a script.

mod sample;
mod shrink;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use suyuan_testkit::random::Random;
use suyuan_testkit::traceql::random::{RandomSpans, Shape, filter, question};
use suyuan_testkit::traceql::script;
use suyuan_testkit::traceql::search::{RefFound, RefQuestion, RefTraces};
use suyuan_traceql::ast::FieldExpr;
use suyuan_traceql::print;

use crate::harness::TestStore;
use sample::{Sample, Stage};

const N_PAIRS: u64 = 50_000;
/// Questions to a store as it was filled, and in each of its later stages.
const N_QUESTIONS: [(Stage, u64); 4] =
    [(Stage::AsSent, 100), (Stage::Flushed, 40), (Stage::Compacted, 40), (Stage::Reopened, 20)];
const FILTER_DEPTH_MAX: u64 = 3;
const N_THREADS: usize = 2;

/// A question that was not answered as it must be.
struct Failure {
    seed: u64,
    sample: Sample,
    stage: Stage,
    question: RefQuestion,
}

/// How many there were.
#[derive(Default)]
struct Counts {
    pairs: AtomicU64,
    /// Pairs whose answer holds a trace.
    found: AtomicU64,
    /// Filters that break the rules of types.
    refused: AtomicU64,
}

#[test]
fn stores_answer_as_the_obvious_evaluator() {
    let n_pairs = number_of("SUYUAN_RANDOM_PAIRS").unwrap_or(N_PAIRS);
    let first_seed = number_of("SUYUAN_RANDOM_SEED").unwrap_or(1);
    let (counts, next_seed) = (Counts::default(), AtomicU64::new(first_seed));
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..N_THREADS {
            scope.spawn(|| {
                while counts.pairs.load(Relaxed) < n_pairs && is_none(&failure) {
                    let found = run(next_seed.fetch_add(1, Relaxed), Shape::default(), &counts);
                    if let Err(found) = found {
                        failure.lock().expect("not poisoned").get_or_insert(*found);
                    }
                }
            });
        }
    });
    if let Some(failure) = failure.into_inner().expect("not poisoned") {
        panic!("{}", report(failure));
    }
    let [pairs, found, refused] =
        [&counts.pairs, &counts.found, &counts.refused].map(|count| count.load(Relaxed));
    println!("{pairs} pairs, {found} of them with an answer, {refused} filters refused");
    assert!(found * 4 > pairs, "a test in which hardly anything is found says little");
    assert!(refused < pairs / 4, "a test in which most filters are refused says little");
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn is_none(failure: &Mutex<Option<Failure>>) -> bool {
    failure.lock().expect("not poisoned").is_none()
}

/// All pairs of a seed; the first that fails.
fn run(seed: u64, shape: Shape, counts: &Counts) -> Result<(), Box<Failure>> {
    let mut random = Random::new(seed);
    let sample = Sample::new(&mut random, RandomSpans::new(&mut Random::new(seed), shape).sent);
    let sent = sample.sent();
    let traces = RefTraces::of(&sent);
    let mut store = sample.store();
    for (stage, n_questions) in N_QUESTIONS {
        store = stage.reach(store);
        for _ in 0..n_questions {
            let Some(filter) = any_filter(&mut random, counts) else { continue };
            let question = question(&mut random, filter, &traces);
            let expected = traces.search(&question);
            let found = answer_of(&store, &question);
            counts.pairs.fetch_add(1, Relaxed);
            counts.found.fetch_add(u64::from(found.as_ref().is_ok_and(|f| !f.is_empty())), Relaxed);
            if found != expected {
                return Err(Box::new(Failure { seed, sample, stage, question }));
            }
        }
    }
    Ok(())
}

/// A filter as it comes out of its own text.
fn any_filter(random: &mut Random, counts: &Counts) -> Option<FieldExpr> {
    let depth = random.below(FILTER_DEPTH_MAX + 1) as u32;
    let parsed = parsed(&filter(random, depth));
    counts.refused.fetch_add(u64::from(parsed.is_none()), Relaxed);
    parsed
}

fn parsed(filter: &FieldExpr) -> Option<FieldExpr> {
    let query = suyuan_traceql::parse(&text_of(filter)).ok()?;
    Some(query.span_filter().ok()?.filter.clone())
}

fn text_of(filter: &FieldExpr) -> String {
    format!("{{ {} }}", print::field_expr(filter))
}

/// A panic is an answer too: a wrong one.
fn answer_of(store: &TestStore, question: &RefQuestion) -> Result<Vec<RefFound>, String> {
    let searched = catch_unwind(AssertUnwindSafe(|| store.search(question)));
    searched.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn report(failure: Failure) -> String {
    let Failure { seed, .. } = failure;
    let Failure { sample, stage, question, .. } = shrink::smaller(failure);
    let sent = sample.sent();
    let expected = RefTraces::of(&sent).search(&question);
    let found = answer_of(&stage.reach_from(sample.store(), Stage::AsSent), &question);
    let mut report = format!("seed {seed}, {stage:?}, {}\n", sample.plan());
    let query = text_of(&question.filter);
    match &expected {
        Ok(expected) => report += &script::write(&sent, &query, &question, expected),
        Err(error) => _ = writeln!(report, "{query}: the obvious evaluator: {error}"),
    }
    let _ = writeln!(report, "but the store says\n{found:#?}\ninstead of\n{expected:#?}");
    report
}
