//! One million spans: from the first byte of a request to the final block, and back by id.
//!
//! The servers are new ones each time: one becomes one block, one keeps everything live, one makes
//! eight blocks that nobody merges.

use super::Bench;
use super::corpora::{Corpus, Expected};
use super::lookup::{LookupTimes, Whole};
use super::report::{Figure, Peers, Report};
use super::search::{self, Bounds};
use super::server::{NO_COMPACTION, Server};

const N_BLOCKS: usize = 8;
const MEBIBYTE: f64 = 1_048_576.0;

/// What lookups must not exceed: a trace of 46 spans, the biggest one of 2,929, an id that is not
/// there, in milliseconds.
const OF_46_MS_MAX: f64 = 2.0;
const BIGGEST_MS_MAX: f64 = 12.0;
const ABSENT_MS_MAX: f64 = 0.3;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let corpus = bench.corpora.shop()?;
    report.part("One million spans of a shop, two connections");
    one_block(bench, &corpus, report)?;
    live(bench, &corpus, report)?;
    eight_blocks(bench, &corpus, report)
}

fn one_block(bench: &Bench, corpus: &Corpus, report: &mut Report) -> anyhow::Result<()> {
    let n_spans = corpus.n_spans()?;
    let millions = n_spans as f64 / 1e6;
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    let before = server.cpu_seconds()?;
    let load = bench.loader.send(&server, std::slice::from_ref(&corpus.folder))?;
    let flush = server.flush()?;
    let cpu = (server.cpu_seconds()? - before) / millions;
    let metrics = server.metrics()?;
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);

    let peers = Peers { tempo: Some(52.0), victoria: Some(26.8), clickhouse: Some(5.0) };
    let what = "processor time per million spans, received to final block";
    report.add(Figure::new(what, cpu, "s").must(2.0).goal(1.4).peers(peers));
    let peers = Peers { tempo: Some(130.0), victoria: Some(90.0), clickhouse: Some(74.0) };
    let bytes = server.object_bytes()? as f64 / n_spans as f64;
    let what = "bytes per span in `objects/`";
    report.add(Figure::new(what, bytes, "B").must(35.0).goal(30.0).peers(peers));
    report.add(Figure::new("spans received per second", n_spans as f64 / load.seconds, ""));
    report.add(Figure::new("a request takes, 99th percentile", load.p99_ms, "ms"));
    report.add(Figure::new("a request takes, at most", load.max_ms, "ms"));
    report.add(Figure::count("requests refused", load.n_refused).must(0.0));
    report.add(Figure::new("the flush takes", flush.time.as_secs_f64(), "s"));
    report.add(Figure::new("blocks of one flush", metric("suyuan_store_blocks"), "").must(1.0));
    let missing = n_spans as f64 - metric("suyuan_store_block_rows");
    report.add(Figure::new("spans sent that are in no block", missing.abs(), "").must(0.0));

    whole(&server, &corpus.named_traces()?, report, "one block")?;
    times(&server, corpus, report, "one block")?;
    search::measure(bench, &server, &[corpus], report, Bounds::OneMillion, "one block")?;
    let peak = server.peak_bytes()? as f64 / MEBIBYTE;
    let peers = Peers { tempo: Some(3_900.0), victoria: Some(310.0), clickhouse: None };
    let what = "peak memory of the server over all of this";
    report.add(Figure::new(what, peak, "MiB").must(512.0).goal(300.0).peers(peers));
    server.stop()
}

fn live(bench: &Bench, corpus: &Corpus, report: &mut Report) -> anyhow::Result<()> {
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    bench.loader.send(&server, std::slice::from_ref(&corpus.folder))?;
    server.await_live(corpus.n_spans()?)?;
    times(&server, corpus, report, "live")?;
    search::measure(bench, &server, &[corpus], report, Bounds::OneMillion, "live")?;
    server.stop()
}

fn eight_blocks(bench: &Bench, corpus: &Corpus, report: &mut Report) -> anyhow::Result<()> {
    let parts = corpus.in_parts(&bench.folder.join("parts"), N_BLOCKS)?;
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    for part in &parts {
        bench.loader.send(&server, std::slice::from_ref(part))?;
        server.flush()?;
    }
    whole(&server, &corpus.named_traces()?, report, "eight blocks")?;
    times(&server, corpus, report, "eight blocks")?;
    server.stop()
}

fn whole(
    server: &Server,
    traces: &[Expected],
    report: &mut Report,
    state: &str,
) -> anyhow::Result<()> {
    let whole = Whole::count(server, traces)?;
    report.add(Figure::count(format!("traces found whole, {state}"), whole.n_whole));
    let what = format!("traces missing or in part, {state}");
    report.add(Figure::count(what, whole.n_wrong).must(0.0));
    Ok(())
}

fn times(server: &Server, corpus: &Corpus, report: &mut Report, state: &str) -> anyhow::Result<()> {
    let times = LookupTimes::measure(server, corpus)?;
    let small = Peers { tempo: Some(98.0), victoria: None, clickhouse: Some(105.0) };
    let n_spans = corpus.trace_of_46()?.n_spans;
    let what = format!("trace by id of {n_spans} spans, {state}, median");
    report.add(Figure::new(what, times.of_46_ms, "ms").must(OF_46_MS_MAX).goal(1.0).peers(small));
    let big = Peers { tempo: Some(290.0), victoria: None, clickhouse: Some(332.0) };
    let what = format!("trace by id of {} spans, {state}, median", corpus.biggest()?.n_spans);
    report.add(Figure::new(what, times.biggest_ms, "ms").must(BIGGEST_MS_MAX).goal(8.0).peers(big));
    let what = format!("an id that is not there, {state}, median");
    report.add(Figure::new(what, times.absent_ms, "ms").must(ABSENT_MS_MAX));
    Ok(())
}
