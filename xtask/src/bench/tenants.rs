//! Two thousand tenants in one block, and one tenant with ten thousand attribute keys.
//!
//! All tenants use the same trace id, each with a value of its own, so that whoever sees another
//! one's rows is found out.

use super::Bench;
use super::lookup::{ask, n_spans_of};
use super::made_up::{CONTENT_TYPE, MadeUp, request};
use super::report::{Figure, Report};
use super::server::{NO_COMPACTION, Server};

const N_TENANTS: u64 = 2_000;
const N_SPANS_EACH: u64 = 50;
const N_KEYS: u64 = 10_000;
const N_KEYS_PER_SPAN: u64 = 10;
const N_REQUESTS_OF_KEYS: u64 = 40;
const N_SPANS_PER_REQUEST: u64 = 1_000;
const TRACE: &str = "0123456789abcdef0123456789abcdef";
/// A time that any clock of today is near enough to.
const START_UNIX_NANOS: u64 = 1_760_000_000_000_000_000;
const SEAL_SECONDS_MAX: f64 = 10.0;
const MEBIBYTE: f64 = 1_048_576.0;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    report.part("2,000 tenants with 50 spans each; one tenant with 10,000 attribute keys");
    tenants(bench, report)?;
    keys(bench, report)
}

fn tenants(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let settings = [NO_COMPACTION, ("SUYUAN_TENANCY_ENABLED", "true")];
    let server = bench.program.start(&bench.folder, &settings)?;
    let mut otlp = server.otlp()?;
    for tenant in 0..N_TENANTS {
        let spans: Vec<MadeUp<'_>> = (0..N_SPANS_EACH)
            .map(|number| MadeUp {
                trace_id: TRACE,
                span_id: number + 1,
                start_unix_nanos: START_UNIX_NANOS + number,
                attributes: vec![("owner".to_owned(), secret(tenant))],
            })
            .collect();
        let fields = [CONTENT_TYPE, ("X-Scope-OrgID", &name(tenant))];
        otlp.post("/v1/traces", &fields, &request("shop", &spans))?.accepted()?;
    }
    let flush = server.flush()?;
    let blocks = server.metrics()?.get("suyuan_store_blocks").copied().unwrap_or(f64::NAN);
    report.add(Figure::new("2,000 tenants: blocks", blocks, "").must(1.0));
    let seconds = flush.time.as_secs_f64();
    report.add(Figure::new("2,000 tenants: the seal", seconds, "s").must(SEAL_SECONDS_MAX));

    let mut n_wrong = 0;
    let mut questions = server.questions()?;
    for tenant in 0..N_TENANTS {
        let answer = ask(&mut questions, TRACE, &[("X-Scope-OrgID", &name(tenant))])?;
        let n_spans = n_spans_of(&answer)?;
        let body = String::from_utf8_lossy(&answer.body);
        let n_own = body.matches(&secret(tenant)).count() as u64;
        let n_any = body.matches("secret-").count() as u64;
        n_wrong += u64::from([n_spans, n_own, n_any] != [N_SPANS_EACH; 3]);
    }
    report.add(Figure::count("2,000 tenants: asked each for its trace", N_TENANTS));
    let what = "2,000 tenants: not all of one's own, or something of another";
    report.add(Figure::count(what, n_wrong).must(0.0));
    let peak = server.peak_bytes()? as f64 / MEBIBYTE;
    report.add(Figure::new("2,000 tenants: peak memory", peak, "MiB").must(512.0));
    server.stop()
}

fn keys(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    let mut otlp = server.otlp()?;
    for number in 0..N_REQUESTS_OF_KEYS {
        let first = number * N_SPANS_PER_REQUEST;
        let trace_id = trace_of_keys(number);
        let spans: Vec<MadeUp<'_>> = (first..first + N_SPANS_PER_REQUEST)
            .map(|span| MadeUp {
                trace_id: &trace_id,
                span_id: span + 1,
                start_unix_nanos: START_UNIX_NANOS + span,
                attributes: attributes(span),
            })
            .collect();
        otlp.post("/v1/traces", &[CONTENT_TYPE], &request("keys", &spans))?.accepted()?;
    }
    let flush = server.flush()?;
    let seconds = flush.time.as_secs_f64();
    report.add(Figure::new("10,000 keys: the seal", seconds, "s").must(SEAL_SECONDS_MAX));
    let n_wrong = wrong_traces_of_keys(&server)?;
    report.add(Figure::count("10,000 keys: traces that lost a span or value", n_wrong).must(0.0));
    let peak = server.peak_bytes()? as f64 / MEBIBYTE;
    report.add(Figure::new("10,000 keys: peak memory", peak, "MiB").must(512.0));
    server.stop()
}

fn wrong_traces_of_keys(server: &Server) -> anyhow::Result<u64> {
    let mut n_wrong = 0;
    let mut questions = server.questions()?;
    for number in 0..N_REQUESTS_OF_KEYS {
        let answer = ask(&mut questions, &trace_of_keys(number), &[])?;
        let body = String::from_utf8_lossy(&answer.body);
        let mut spans = number * N_SPANS_PER_REQUEST..(number + 1) * N_SPANS_PER_REQUEST;
        let has_all = spans.all(|span| body.contains(&attributes(span)[0].1));
        n_wrong += u64::from(!has_all || n_spans_of(&answer)? != N_SPANS_PER_REQUEST);
    }
    Ok(n_wrong)
}

fn attributes(span: u64) -> Vec<(String, String)> {
    let keys = span * N_KEYS_PER_SPAN..(span + 1) * N_KEYS_PER_SPAN;
    keys.map(|key| (format!("key.{}", key % N_KEYS), format!("value-{span}-{key}."))).collect()
}

fn trace_of_keys(number: u64) -> String {
    format!("{:032x}", number + 1)
}

fn name(tenant: u64) -> String {
    format!("tenant-{tenant}")
}

/// With an end, so that no value is the beginning of another.
fn secret(tenant: u64) -> String {
    format!("secret-{tenant}.")
}
