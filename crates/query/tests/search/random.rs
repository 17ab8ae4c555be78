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

use suyuan_query::search::QueryError;
use suyuan_testkit::random::Random;
use suyuan_testkit::traceql::drawing::draw;
use suyuan_testkit::traceql::random::{RandomSpans, Shape, filter, question};
use suyuan_testkit::traceql::script;
use suyuan_testkit::traceql::search::{RefFound, RefQuestion, RefTraces};
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_traceql::ast::FieldExpr;
use suyuan_traceql::print;

use crate::harness::{SearchError, TestStore};
use sample::{Sample, Stage};

const N_PAIRS: u64 = 50_000;
/// Questions to a store as it was filled, and in each of its later stages.
const N_QUESTIONS: [u64; 4] = [100, 40, 40, 20];
/// Of every so many small stores one is of this shape: many traces, of which few are answered.
const MEDIUM_EVERY: u64 = 8;
const MEDIUM: Shape =
    Shape { n_traces_min: 60, n_traces_max: 120, n_spans_max: 8, n_resources: 4, n_starts: 40 };
/// Stores so large that their blocks have columns for attributes, and several pages of rows.
const LARGE: Shape = Shape {
    n_traces_min: 2_800,
    n_traces_max: 3_000,
    n_spans_max: 12,
    n_resources: 12,
    n_starts: 900,
};
const N_LARGE: u64 = 2;
const N_QUESTIONS_LARGE: [u64; 4] = [20, 12, 12, 6];
/// Traces that reach over several pages.
const GIANT: Shape =
    Shape { n_traces_min: 4, n_traces_max: 8, n_spans_max: 4_000, n_resources: 12, n_starts: 4 };
/// Failures with more spans are told without them.
const N_SPANS_SHOWN: usize = 100;
const FILTER_DEPTH_MAX: u64 = 3;
const N_THREADS: usize = 2;

/// A question that was not answered as it must be.
struct Failure {
    seed: u64,
    sample: Sample,
    stage: Stage,
    question: RefQuestion,
}

type Answer = Result<Vec<RefFound>, String>;

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
    check(small_or_medium, N_QUESTIONS, n_pairs);
}

#[test]
fn large_stores_answer_as_the_obvious_evaluator() {
    check(|_| LARGE, N_QUESTIONS_LARGE, N_LARGE * N_QUESTIONS_LARGE.iter().sum::<u64>());
}

#[test]
fn stores_of_giant_traces_answer_as_the_obvious_evaluator() {
    check(|_| GIANT, N_QUESTIONS_LARGE, N_LARGE * N_QUESTIONS_LARGE.iter().sum::<u64>());
}

fn small_or_medium(seed: u64) -> Shape {
    if seed.is_multiple_of(MEDIUM_EVERY) { MEDIUM } else { Shape::default() }
}

fn check(shape_of: impl Fn(u64) -> Shape + Sync, n_questions: [u64; 4], n_pairs: u64) {
    let first_seed = number_of("SUYUAN_RANDOM_SEED").unwrap_or(1);
    let (counts, next_seed) = (Counts::default(), AtomicU64::new(first_seed));
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..N_THREADS {
            scope.spawn(|| {
                while counts.pairs.load(Relaxed) < n_pairs && is_none(&failure) {
                    let seed = next_seed.fetch_add(1, Relaxed);
                    let shape = shape_of(seed);
                    if let Err(found) = run(seed, shape, n_questions, &counts) {
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
    eprintln!("{pairs} pairs, {found} of them with an answer, {refused} filters refused");
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
fn run(
    seed: u64,
    shape: Shape,
    n_questions: [u64; 4],
    counts: &Counts,
) -> Result<(), Box<Failure>> {
    let mut random = Random::new(seed);
    let sample = Sample::new(&mut random, RandomSpans::new(&mut Random::new(seed), shape).sent);
    let sent = sample.sent();
    let traces = RefTraces::of(&sent);
    if traces.is_empty() {
        return Ok(());
    }
    let mut store = sample.store();
    for (stage, n_questions) in Stage::ALL.into_iter().zip(n_questions) {
        store = stage.reach(store);
        for _ in 0..n_questions {
            let Some(filter) = any_filter(&mut random, counts) else { continue };
            let question = question(&mut random, filter, &traces);
            let (expected, found) = (traces.search(&question), answer_of(&store, &question));
            counts.pairs.fetch_add(1, Relaxed);
            counts.found.fetch_add(u64::from(found.as_ref().is_ok_and(|f| !f.is_empty())), Relaxed);
            if found != expected {
                return Err(Box::new(Failure { seed, sample, stage, question }));
            }
            if random.one_in(16) {
                let memory_bytes = random.pick(&[0, 500, 5_000, 50_000]);
                check_short_of_memory(seed, &store, &question, memory_bytes, &traces);
            }
        }
    }
    Ok(())
}

/// With too little memory there is no answer, or the same.
fn check_short_of_memory(
    seed: u64,
    store: &TestStore,
    question: &RefQuestion,
    memory_bytes: usize,
    traces: &RefTraces<'_>,
) {
    match store.search_within(question, memory_bytes) {
        Err(SearchError::Query(QueryError::TooMuchMemory { .. })) => {}
        Ok(found) => {
            let expected = traces.search(question).expect("was answered before");
            assert_eq!(found, expected, "seed {seed}: {question:?}");
        }
        Err(error) => panic!("seed {seed}, {memory_bytes} bytes: {error}: {question:?}"),
    }
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
fn answer_of(store: &TestStore, question: &RefQuestion) -> Answer {
    let searched = catch_unwind(AssertUnwindSafe(|| store.search(question)));
    searched.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn report(failure: Failure) -> String {
    // Of one panic it was said enough.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let Failure { seed, sample, stage, question } = shrink::smaller(failure);
    let sent = sample.sent();
    let store = stage.reach_from(sample.store(), Stage::AsSent);
    let (expected, found) = (RefTraces::of(&sent).search(&question), answer_of(&store, &question));
    std::panic::set_hook(hook);
    let mut report = format!("seed {seed}, {stage:?}, {}\n", sample.plan());
    let query = text_of(&question.filter);
    if sent.len() > N_SPANS_SHOWN {
        let _ = writeln!(report, "{} spans, {query}\n{question:?}", sent.len());
        return report + &first_difference(&expected, &found, &sent);
    }
    match &expected {
        Ok(expected) => report += &script::write(&sent, &query, &question, expected),
        Err(error) => _ = writeln!(report, "{query}: the obvious evaluator: {error}"),
    }
    let _ = writeln!(report, "but the store says\n{found:#?}\ninstead of\n{expected:#?}");
    report
}

/// Of answers that are too long to be shown.
fn first_difference(expected: &Answer, found: &Answer, sent: &[RefSpan]) -> String {
    let (Ok(expected), Ok(found)) = (expected, found) else {
        return format!("{:?} instead of {:?}", found.as_ref().err(), expected.as_ref().err());
    };
    let n_equal = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
    let differs = expected.get(n_equal).or(found.get(n_equal)).map(|found| found.trace_id);
    let of_trace = sent.iter().filter(|span| Some(span.trace_id) == differs);
    let of_trace: Vec<RefSpan> = of_trace.cloned().collect();
    draw(&of_trace, |_| 1)
        + &format!(
            "{} traces instead of {}, trace {n_equal} is\n{:#?}\ninstead of\n{:#?}",
            found.len(),
            expected.len(),
            found.get(n_equal),
            expected.get(n_equal)
        )
}
