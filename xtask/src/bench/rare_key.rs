//! One rare attribute key among ten thousand, over a million spans.
//!
//! Every span has ten of the keys, so each key is on a thousand spans, and one span has a key that
//! no other has. Found must be what was sent, and little may be read for it.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Bench;
use super::made_up::{CONTENT_TYPE, MadeUp, request};
use super::report::{Figure, Report};
use super::server::{NO_COMPACTION, Server};

const N_KEYS: u64 = 10_000;
const N_KEYS_PER_SPAN: u64 = 10;
const N_SPANS_PER_REQUEST: u64 = 1_000;
const N_SPANS_PER_TRACE: u64 = 20;
const START_UNIX_NANOS: u64 = 1_760_000_000_000_000_000;
const N_TIMES: usize = 31;
const MILLISECONDS_MAX: f64 = 5.0;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let n_spans = if bench.is_quick { 100_000 } else { 1_000_000 };
    report.part("A rare attribute key among 10,000, one million spans");
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    send(&server, n_spans)?;
    // One value of a key that a thousandth of the spans has, and a key that one span has.
    let questions = [
        (
            "a key of a thousand spans, one value",
            format!("{{ span.key.{} = \"{}\" }}", 17, value(n_spans / 2 + 1, 17)),
        ),
        ("a key that one span has", "{ span.seldom = \"here\" }".to_owned()),
    ];
    for state in ["live", "one block"] {
        if state == "one block" {
            server.flush()?;
        }
        for (what, question) in &questions {
            ask(&server, question, &format!("{what}, {state}"), report)?;
        }
    }
    server.stop()
}

fn ask(server: &Server, question: &str, what: &str, report: &mut Report) -> anyhow::Result<()> {
    let mut connection = server.questions()?;
    let path = format!("/api/search?q={}", escaped(question));
    let mut times = Vec::with_capacity(N_TIMES);
    let mut bytes_read = 0.0;
    for _ in 0..N_TIMES {
        let began = Instant::now();
        let answer = connection.get(&path, &[])?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == 200, "{question}: answered {}", answer.status);
        let read = answer.field("x-suyuan-bytes-read").context("no x-suyuan-bytes-read")?;
        bytes_read = read.parse().context("x-suyuan-bytes-read")?;
        let body: serde_json::Value = serde_json::from_slice(&answer.body).context("answer")?;
        let n_traces = body["traces"].as_array().map_or(0, Vec::len);
        ensure!(n_traces == 1, "{question}: {n_traces} traces instead of one");
    }
    times.sort_by(f64::total_cmp);
    report.add(
        Figure::new(format!("{what}: median"), times[N_TIMES / 2], "ms").must(MILLISECONDS_MAX),
    );
    report.add(Figure::new(format!("{what}: bytes read"), bytes_read, "B"));
    Ok(())
}

fn send(server: &Server, n_spans: u64) -> anyhow::Result<()> {
    let mut otlp = server.otlp()?;
    for first in (0..n_spans).step_by(N_SPANS_PER_REQUEST as usize) {
        let ids: Vec<String> = (0..N_SPANS_PER_REQUEST / N_SPANS_PER_TRACE)
            .map(|trace| format!("{:032x}", first + trace + 1))
            .collect();
        let spans: Vec<MadeUp<'_>> = (first..first + N_SPANS_PER_REQUEST)
            .map(|span| MadeUp {
                trace_id: &ids[((span - first) / N_SPANS_PER_TRACE) as usize],
                span_id: span + 1,
                start_unix_nanos: START_UNIX_NANOS + span,
                attributes: attributes(span, n_spans),
            })
            .collect();
        otlp.post("/v1/traces", &[CONTENT_TYPE], &request("keys", &spans))?.accepted()?;
    }
    server.await_live(n_spans)
}

fn attributes(span: u64, n_spans: u64) -> Vec<(String, String)> {
    let keys = span * N_KEYS_PER_SPAN..(span + 1) * N_KEYS_PER_SPAN;
    let keys = keys.map(|key| key % N_KEYS);
    let mut attributes: Vec<_> = keys.map(|key| (format!("key.{key}"), value(span, key))).collect();
    if span == n_spans / 3 {
        attributes.push(("seldom".to_owned(), "here".to_owned()));
    }
    attributes
}

fn value(span: u64, key: u64) -> String {
    format!("value-{span}-{key}.")
}

/// For a question's part of an address.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(
            |byte| {
                if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
