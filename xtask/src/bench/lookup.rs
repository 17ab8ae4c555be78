//! Traces by id over HTTP: how long one takes, and whether it is whole.
//!
//! Answers are protobuf, as Grafana asks for them; the time is from the request's first byte to
//! the answer's last, on a connection that is open.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::corpora::{Corpus, Expected};
use super::http::{Answer, Connection};
use super::server::Server;

/// Enough that a median does not move by the noise of one machine.
const N_TIMES: usize = 101;

/// Medians of one state of the data.
pub(super) struct LookupTimes {
    pub(super) of_46_ms: f64,
    pub(super) biggest_ms: f64,
    pub(super) absent_ms: f64,
}

/// Of how many traces as many spans were found as were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) n_whole: u64,
    pub(super) n_wrong: u64,
}

impl LookupTimes {
    pub(super) fn measure(server: &Server, corpus: &Corpus) -> anyhow::Result<Self> {
        let mut connection = server.questions()?;
        let mut median = |ids: &mut dyn FnMut() -> String, n_spans: u64| {
            let mut times = Vec::with_capacity(N_TIMES);
            for _ in 0..N_TIMES {
                let id = ids();
                let began = Instant::now();
                let answer = ask(&mut connection, &id, &[])?;
                times.push(began.elapsed().as_secs_f64() * 1e3);
                let n_found = n_spans_of(&answer)?;
                anyhow::ensure!(n_found == n_spans, "trace {id}: {n_found} of {n_spans} spans");
            }
            times.sort_by(f64::total_cmp);
            Ok(times[N_TIMES / 2])
        };
        let of_46 = corpus.trace_of_46()?;
        let biggest = corpus.biggest()?;
        // A golden ratio's multiples are spread over all ids and never met by chance.
        let mut absent = 0_u128;
        let mut absent_id = || {
            absent = absent.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            format!("{absent:032x}")
        };
        Ok(Self {
            of_46_ms: median(&mut || of_46.id.clone(), of_46.n_spans)?,
            biggest_ms: median(&mut || biggest.id.clone(), biggest.n_spans)?,
            absent_ms: median(&mut absent_id, 0)?,
        })
    }
}

/// What is acknowledged is found within this time.
const VISIBLE_AFTER: Duration = Duration::from_secs(1);

impl Whole {
    /// As `count`, but data that was sent just now has the time it is promised to need.
    pub(super) fn count_soon(server: &Server, traces: &[Expected]) -> anyhow::Result<Self> {
        let began = Instant::now();
        loop {
            let is_last = began.elapsed() > VISIBLE_AFTER;
            let whole = Self::count(server, traces)?;
            if is_last || whole.n_wrong == 0 {
                return Ok(whole);
            }
        }
    }

    pub(super) fn count(server: &Server, traces: &[Expected]) -> anyhow::Result<Self> {
        let mut connection = server.questions()?;
        let mut whole = Self::default();
        for trace in traces {
            let answer = ask(&mut connection, &trace.id, &[])?;
            if n_spans_of(&answer)? == trace.n_spans {
                whole.n_whole += 1;
            } else {
                whole.n_wrong += 1;
            }
        }
        Ok(whole)
    }
}

impl std::ops::AddAssign for Whole {
    fn add_assign(&mut self, other: Self) {
        self.n_whole += other.n_whole;
        self.n_wrong += other.n_wrong;
    }
}

/// The answer to a question by id; `fields` are further header fields.
pub(super) fn ask(
    connection: &mut Connection,
    id: &str,
    fields: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let fields = [fields, &[("Accept", "application/protobuf")]].concat();
    let answer = connection.get(&format!("/api/v2/traces/{id}"), &fields)?;
    anyhow::ensure!(answer.status == 200, "trace {id}: answered {}", answer.status);
    Ok(answer)
}

pub(super) fn n_spans_of(answer: &Answer) -> anyhow::Result<u64> {
    let n_spans = answer.field("x-suyuan-spans").context("no x-suyuan-spans in an answer")?;
    n_spans.parse().context("x-suyuan-spans")
}
