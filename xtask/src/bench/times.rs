//! Spans of any time are stored and found; an erased trace is gone at once.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Bench;
use super::corpora::Expected;
use super::lookup::Whole;
use super::made_up::{CONTENT_TYPE, MadeUp, request};
use super::report::{Figure, Report};
use super::server::Server;

const HOUR_NANOS: u64 = 3_600_000_000_000;
const DAY_NANOS: u64 = 24 * HOUR_NANOS;
/// 2106-02-07, the end of a 32-bit second.
const LATE_UNIX_NANOS: u64 = 4_294_967_295_000_000_000;
const N_SPANS: u64 = 20;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 1_000_000_000;
    let starts = [now, now - 365 * DAY_NANOS, now + HOUR_NANOS, DAY_NANOS, LATE_UNIX_NANOS];
    report.part("Spans of now, a year ago, an hour ahead, 1970 and 2106; erasure");
    let server = bench.program.start(&bench.folder, &[])?;
    let mut traces = Vec::new();
    for (number, start) in starts.into_iter().enumerate() {
        let trace_id = format!("{:032x}", number + 1);
        send(&server, &trace_id, start)?;
        traces.push(Expected { id: trace_id, n_spans: N_SPANS });
    }
    server.flush()?;
    let whole = Whole::count(&server, &traces)?;
    report.add(Figure::count("traces found whole, in a block", whole.n_whole));
    let what = "traces missing or in part, in a block";
    report.add(Figure::count(what, whole.n_wrong).must(0.0));

    server.admin(&format!("/api/admin/erase?trace={}", traces[0].id))?;
    traces[0].n_spans = 0;
    let whole = Whole::count(&server, &traces)?;
    let what = "one trace erased: traces that are there and shall not be, or the reverse";
    report.add(Figure::count(what, whole.n_wrong).must(0.0));
    server.flush_and_compact()?;
    let whole = Whole::count(&server, &traces)?;
    report.add(Figure::count("the same after compaction", whole.n_wrong).must(0.0));
    let n_rows = server.metrics()?.get("suyuan_store_block_rows").copied().unwrap_or(f64::NAN);
    let n_kept = traces.iter().map(|trace| trace.n_spans).sum::<u64>();
    let what = "erased spans that are still in a block after compaction";
    report.add(Figure::new(what, n_rows - n_kept as f64, "").must(0.0));
    server.stop()
}

fn send(server: &Server, trace_id: &str, start_unix_nanos: u64) -> anyhow::Result<()> {
    let spans: Vec<MadeUp<'_>> = (1..=N_SPANS)
        .map(|span_id| MadeUp {
            trace_id,
            span_id,
            start_unix_nanos: start_unix_nanos + span_id,
            attributes: Vec::new(),
        })
        .collect();
    server.otlp()?.post("/v1/traces", &[CONTENT_TYPE], &request("times", &spans))?.accepted()?;
    Ok(())
}
