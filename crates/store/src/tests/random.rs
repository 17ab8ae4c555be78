//! Random traces in random pieces against the obvious store.
//!
//! A case is a list of steps from a seed: spans are published, live data ends and becomes blocks,
//! blocks become fewer, time passes. Spans repeat, change, come shuffled, have several roots or
//! none, parents that are not there, themselves or their own children; a trace may be a giant. The
//! obvious store is a map by (trace, span id, kind, start) in which the greatest (end, content
//! hash) stands. Lookups, the rows of traces and a scan of all spans must say what it says. A case
//! that fails is made smaller as long as it still fails, and printed with its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use suyuan_ids::TraceId;
use suyuan_model::{Chunk, TracePiece};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_wire::answer::content_hash;

use super::driver::{Driver, Random, TestSpan, chunk, keep_nothing_but_order, tenant, text_of_row};
use crate::{CompactionPolicy, CompactionStart, KeepPolicy};

const N_CASES: u64 = 300;
/// One case in so many has a trace of twenty thousand spans.
const GIANT_EVERY: u64 = 100;
const GIANT_SPANS: u64 = 20_000;
const TENANTS: [&str; 2] = ["anna", "berta"];
const HORIZON: Duration = Duration::from_hours(1);
/// When the first spans of a case are received.
const FIRST_RECEIVED: Duration = Duration::from_secs(1_700_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// Spans of a tenant come.
    Publish(usize, Vec<TestSpan>),
    /// Live data ends; its block is made some time.
    EndLive,
    /// Everything becomes blocks.
    Flush,
    Compact,
    /// What comes next is received at so much after the first.
    At(Duration),
    /// From now on live data stays live.
    PauseSeals,
}

/// What a span is known by: its trace, id, kind and start.
type Key = (TraceId, u64, i32, i64);

/// What stands of a span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    end: i64,
    content_hash: u64,
    status_code: i32,
    has_parent: bool,
    service: String,
    text: String,
}

/// What a search says of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TraceLine {
    n_spans: u32,
    n_errors: u32,
    start: i64,
    end: i64,
    root_service: Option<String>,
}

/// The obvious store, of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Obvious(BTreeMap<Key, Standing>);

impl Obvious {
    fn add(&mut self, chunk: &Chunk, row: u32) {
        let (key, span) = read(chunk, row);
        let best = self.0.entry(key).or_insert_with(|| span.clone());
        if (best.end, best.content_hash) < (span.end, span.content_hash) {
            *best = span;
        }
    }

    fn of_pieces(pieces: &[TracePiece]) -> Self {
        let mut spans = Self::default();
        for piece in pieces {
            piece.rows.iter().for_each(|row| spans.add(&piece.chunk, *row));
        }
        spans
    }

    fn traces(&self) -> BTreeSet<TraceId> {
        self.0.keys().map(|key| key.0).collect()
    }

    fn trace(&self, id: TraceId) -> Self {
        let spans = self.0.iter().filter(|(key, _)| key.0 == id);
        Self(spans.map(|(key, span)| (*key, span.clone())).collect())
    }

    fn lines(&self) -> BTreeMap<TraceId, TraceLine> {
        let mut lines: BTreeMap<TraceId, TraceLine> = BTreeMap::new();
        let mut roots: BTreeMap<TraceId, (i64, u64, i32)> = BTreeMap::new();
        for ((trace, id, kind, start), span) in &self.0 {
            let line = lines.entry(*trace).or_insert(TraceLine {
                n_spans: 0,
                n_errors: 0,
                start: i64::MAX,
                end: i64::MIN,
                root_service: None,
            });
            line.n_spans += 1;
            line.n_errors += u32::from(span.status_code == 2);
            line.start = line.start.min(*start);
            line.end = line.end.max(span.end);
            let place = (*start, *id, *kind);
            if !span.has_parent && roots.get(trace).is_none_or(|first| place < *first) {
                roots.insert(*trace, place);
                line.root_service = Some(span.service.clone());
            }
        }
        lines
    }
}

fn read(chunk: &Chunk, row: u32) -> (Key, Standing) {
    let at = row as usize;
    let key = (
        chunk.trace_id(row),
        chunk.span_id.value(at),
        chunk.kind.value(at),
        chunk.start_unix_nanos.value(at),
    );
    let service = chunk.resources.service_name(chunk.resource.value(at)).unwrap_or_default();
    let span = Standing {
        end: chunk.end_unix_nanos.value(at),
        content_hash: content_hash(chunk, row),
        status_code: chunk.status_code.value(at),
        has_parent: chunk.parent_span_id(row).is_some(),
        service: service.to_owned(),
        text: text_of_row(chunk, row),
    };
    (key, span)
}

/// A span that others will contradict: few ids, starts and ends.
fn random_span(random: &mut Random, trace: u32, n_ids: u64) -> TestSpan {
    let keys = (0..random.below(4)).map(|_| format!("key.{}", random.below(9)));
    let keys: Vec<String> = keys.collect();
    TestSpan {
        trace,
        id: random.below(n_ids) + 1,
        // Its own, a descendant's or one that never comes.
        parent: (random.below(4) > 0).then(|| random.below(n_ids + 3) + 1),
        start: random.below(3) as i64 * 1_000_000,
        // Some end before they start.
        end: random.below(4) as i64 * 700_000,
        kind: random.below(3) as i32,
        attributes: keys.into_iter().map(|key| (key, random.below(50) as i64)).collect(),
        n_events: u32::from(random.below(9) == 0),
        n_links: u32::from(random.below(9) == 0),
        service: random.below(4) as u32,
    }
}

fn random_steps(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let n_traces = random.below(12) + 1;
    let mut steps = Vec::new();
    let mut sent: [Vec<TestSpan>; 2] = Default::default();
    let is_giant = seed % GIANT_EVERY == GIANT_EVERY - 1;
    let n_steps = random.below(12) + 4;
    for number in 0..n_steps {
        match random.below(10) {
            0 => steps.push(Step::EndLive),
            1 | 2 => steps.push(Step::Flush),
            3 => steps.push(Step::Compact),
            4 => steps.push(Step::At(Duration::from_secs(random.below(HORIZON.as_secs())))),
            _ => {
                let of = random.below(2) as usize;
                let n_spans = random.below(30);
                let mut spans: Vec<TestSpan> = (0..n_spans)
                    .map(|_| {
                        let trace = random.below(n_traces) as u32;
                        random_span(&mut random, trace, 6)
                    })
                    .collect();
                for _ in 0..random.below(10) {
                    let Some(again) = sent[of].len().checked_sub(1) else { break };
                    spans.push(sent[of][random.below(again as u64 + 1) as usize].clone());
                }
                if is_giant && number < 4 {
                    let giant = |_| random_span(&mut random, 99, 4 * GIANT_SPANS);
                    spans.extend((0..GIANT_SPANS / 4).map(giant));
                }
                sent[of].extend(spans.iter().take(100).cloned());
                steps.push(Step::Publish(of, spans));
            }
        }
    }
    if random.below(3) == 0 {
        let spans = |random: &mut Random| {
            let n_spans = random.below(30);
            (0..n_spans).map(|_| random_span(random, 0, 6)).collect()
        };
        let (first, second) = (spans(&mut random), spans(&mut random));
        steps.push(Step::PauseSeals);
        steps.push(Step::Publish(0, first));
        steps.push(Step::EndLive);
        steps.push(Step::Publish(0, second));
    }
    steps
}

/// Takes the steps, looks at everything in the middle and at the end.
fn run(steps: &[Step]) -> Result<(), String> {
    let mut driver = Driver::new();
    driver.set_received(nanos(FIRST_RECEIVED));
    let mut obvious: [Obvious; 2] = Default::default();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Publish(of, spans) => {
                driver.publish(&tenant(TENANTS[*of]), spans);
                let chunk = chunk(spans);
                (0..chunk.n_rows() as u32).for_each(|row| obvious[*of].add(&chunk, row));
            }
            Step::EndLive => driver.end_live(),
            Step::Flush => driver.flush(),
            Step::Compact => {
                driver.store.compact().map_err(|error| error.to_string())?;
            }
            Step::At(time) => driver.set_received(nanos(FIRST_RECEIVED + *time)),
            Step::PauseSeals => driver.pause_seals(),
        }
        if number == steps.len() / 2 {
            check(&driver, &obvious)
                .map_err(|problem| format!("after step {number}: {problem}"))?;
        }
    }
    check(&driver, &obvious)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a time of this century")
}

fn check(driver: &Driver, obvious: &[Obvious; 2]) -> Result<(), String> {
    for (name, expected) in TENANTS.iter().zip(obvious) {
        check_lookups(driver, name, expected)?;
        check_lines(driver, name, expected)?;
        check_spans(driver, name, expected)?;
    }
    Ok(())
}

fn check_lookups(driver: &Driver, name: &str, expected: &Obvious) -> Result<(), String> {
    for id in expected.traces() {
        let found = driver.store.find_trace(&tenant(name), id).map_err(|e| e.to_string())?;
        let found = Obvious::of_pieces(&found.rows.pieces);
        let expected = expected.trace(id);
        if found != expected {
            return Err(format!("{name}: lookup of {id}:\n{found:#?}\ninstead of\n{expected:#?}"));
        }
    }
    Ok(())
}

fn check_lines(driver: &Driver, name: &str, expected: &Obvious) -> Result<(), String> {
    let (lines, twice) = lines(driver, name)?;
    if let Some(id) = twice.first() {
        return Err(format!("{name}: two rows for trace {id}"));
    }
    let expected = expected.lines();
    if lines != expected {
        return Err(format!("{name}: rows of traces\n{lines:#?}\ninstead of\n{expected:#?}"));
    }
    Ok(())
}

/// The rows of a tenant's traces, and the traces that have more than one.
fn lines(
    driver: &Driver,
    name: &str,
) -> Result<(BTreeMap<TraceId, TraceLine>, Vec<TraceId>), String> {
    let (mut lines, mut twice) = (BTreeMap::new(), Vec::new());
    let report = driver.store.snapshot(&tenant(name)).trace_rows(None, |id, row| {
        let line = TraceLine {
            n_spans: row.n_spans,
            n_errors: row.n_errors,
            start: row.start_unix_nanos,
            end: row.end_unix_nanos,
            root_service: row.root.and_then(|root| root.service).map(str::to_owned),
        };
        if lines.insert(id, line).is_some() {
            twice.push(id);
        }
        ControlFlow::Continue(())
    });
    let report = report.map_err(|error| error.to_string())?;
    match &report.skipped[..] {
        [] => Ok((lines, twice)),
        skipped => Err(format!("{name}: not read: {skipped:?}")),
    }
}

fn check_spans(driver: &Driver, name: &str, expected: &Obvious) -> Result<(), String> {
    let mut found = Obvious::default();
    let mut problem = None;
    let report = driver.store.snapshot(&tenant(name)).spans(None, |pieces| {
        let batch = Obvious::of_pieces(pieces);
        let n_rows: usize = pieces.iter().map(|piece| piece.rows.len()).sum();
        if n_rows != batch.0.len() {
            problem.get_or_insert(format!("{name}: a batch of {n_rows} rows repeats spans"));
        }
        if let Some(id) = batch.traces().intersection(&found.traces()).next() {
            problem.get_or_insert(format!("{name}: trace {id} is in two batches"));
        }
        found.0.extend(batch.0);
        ControlFlow::Continue(())
    });
    let report = report.map_err(|error| error.to_string())?;
    if !report.skipped.is_empty() {
        return Err(format!("{name}: not read: {:?}", report.skipped));
    }
    if let Some(problem) = problem {
        return Err(problem);
    }
    if found != *expected {
        return Err(format!("{name}: a scan\n{found:#?}\ninstead of\n{expected:#?}"));
    }
    Ok(())
}

/// What is wrong with the answers, a panic included.
fn failure(steps: &[Step]) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run(steps))) {
        Ok(result) => result.err(),
        Err(_) => Some("it panics, see above".to_owned()),
    }
}

/// Leaves out steps, then spans, as long as it still fails.
fn smaller(mut steps: Vec<Step>) -> Vec<Step> {
    let mut number = 0;
    while number < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(number);
        if failure(&fewer).is_some() {
            steps = fewer;
        } else {
            number += 1;
        }
    }
    for number in 0..steps.len() {
        let Step::Publish(of, mut spans) = steps[number].clone() else { continue };
        let mut n_out = spans.len().div_ceil(2);
        while n_out > 0 {
            let mut from = 0;
            while from < spans.len() {
                let mut fewer = spans.clone();
                fewer.drain(from..(from + n_out).min(spans.len()));
                steps[number] = Step::Publish(of, fewer.clone());
                if failure(&steps).is_some() {
                    spans = fewer;
                } else {
                    from += n_out;
                }
            }
            n_out /= 2;
        }
        steps[number] = Step::Publish(of, spans);
    }
    steps
}

#[test]
fn random_traces_in_random_pieces_are_what_the_obvious_store_says() {
    for seed in 0..N_CASES {
        let steps = random_steps(seed);
        if failure(&steps).is_none() {
            continue;
        }
        let steps = smaller(steps);
        let problem = failure(&steps).unwrap_or_else(|| "it does not fail every time".to_owned());
        panic!("seed {seed}, at its smallest:\n{steps:#?}\n{problem}");
    }
}

#[test]
fn pieces_days_apart_are_whole_by_id_at_once_and_everywhere_after_compaction() {
    let anna = tenant(TENANTS[0]);
    // By default blocks stay apart that received their spans more than a day apart.
    let compaction = CompactionPolicy {
        start: CompactionStart::OnRequest,
        time_max: Duration::from_hours(24 * 30),
        ..CompactionPolicy::default()
    };
    let keep = KeepPolicy { compaction, ..keep_nothing_but_order() };
    let mut driver = Driver::on(MemoryObjects::new(), 1, keep);
    let mut obvious = Obvious::default();
    let n_pieces = 4;
    for piece in 0..n_pieces {
        driver.set_received(nanos(FIRST_RECEIVED + Duration::from_hours(72 * piece)));
        let span = TestSpan { id: piece + 1, end: 5, ..TestSpan::default() };
        let spans = [TestSpan { parent: (piece > 0).then_some(1), ..span }];
        driver.publish(&anna, &spans);
        obvious.add(&chunk(&spans), 0);
        driver.flush();
    }
    check_lookups(&driver, TENANTS[0], &obvious).expect("whole");
    let (_, twice) = lines(&driver, TENANTS[0]).expect("rows");
    assert_eq!(twice.len() as u64, n_pieces - 1, "pieces are rows of their own");
    driver.store.compact().expect("compacts");
    check(&driver, &[obvious, Obvious::default()]).expect("whole");
}
