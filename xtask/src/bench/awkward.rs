//! One million spans as exporters really send them: late, twice, with wrong clocks, in eight parts
//! of which seven become blocks and the last stays live.
//!
//! Every trace that the corpus names must be whole: while its pieces lie apart, and after they
//! were merged.

use anyhow::{Context as _, ensure};

use super::Bench;
use super::corpora::{Corpus, Expected, N_AWKWARD_PARTS};
use super::lookup::Whole;
use super::report::{Figure, Report};
use super::search::{self, Bounds};
use super::server::{NO_COMPACTION, Server};

const MEBIBYTE: f64 = 1_048_576.0;

/// Wrong clocks may make a question about five minutes read so many times as much.
const BYTES_TIMES_MAX: f64 = 2.0;
const FIVE_MINUTES_SECONDS: u64 = 300;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let corpus = bench.corpora.awkward()?;
    let traces = corpus.named_traces()?;
    let n_spans = corpus.n_spans()? as f64;
    report.part("One million awkward spans: late, sent twice, of wrong clocks; in eight parts");
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    let before = server.cpu_seconds()?;
    let n_refused = send(bench, &server, &corpus)?;
    report.add(Figure::count("requests refused", n_refused).must(0.0));
    whole(&server, &traces, report, "seven blocks and live data")?;
    split_set(&server, report)?;
    search::measure(
        bench,
        &server,
        &[&corpus],
        report,
        Bounds::Unbounded,
        "seven blocks and live data",
    )?;
    let bytes_split = five_minutes(&server, &corpus)?;

    let flush = server.flush_and_compact()?;
    whole(&server, &traces, report, "after compaction")?;
    search::measure(bench, &server, &[&corpus], report, Bounds::Unbounded, "after compaction")?;
    let metrics = server.metrics()?;
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
    let what = "the last seal and the compaction take";
    report.add(Figure::new(what, flush.time.as_secs_f64(), "s"));
    report.add(Figure::new("blocks after it", metric("suyuan_store_blocks"), ""));
    let what = "split traces merged by compaction";
    report.add(Figure::new(what, metric("suyuan_store_merged_split_traces_total"), ""));
    let duplicates = metric("suyuan_store_duplicate_rows_total");
    report.add(Figure::new("duplicates removed by seals", duplicates, ""));
    let what = "spans in blocks beyond those sent, counted once";
    report.add(Figure::new(what, metric("suyuan_store_block_rows") - n_spans, ""));
    let cpu = (server.cpu_seconds()? - before) / (n_spans / 1e6);
    let what = "processor time per million spans in 68,000 small requests, with everything above";
    report.add(Figure::new(what, cpu, "s"));
    let peak = server.peak_bytes()? as f64 / MEBIBYTE;
    report.add(Figure::new("peak memory of the server", peak, "MiB").must(512.0));
    let bytes_compacted = five_minutes(&server, &corpus)?;
    server.stop()?;

    let corpus = bench.corpora.awkward_of_right_clocks()?;
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    send(bench, &server, &corpus)?;
    let right = five_minutes(&server, &corpus)?;
    server.flush_and_compact()?;
    let right_compacted = five_minutes(&server, &corpus)?;
    let states = [
        ("seven blocks and live data", bytes_split, right),
        ("after compaction", bytes_compacted, right_compacted),
    ];
    for (state, bytes, right) in states {
        let what = format!("bytes read by a question about five minutes, {state}");
        report.add(Figure::new(what, bytes, "B"));
        let what = format!("how many times what it reads with right clocks, {state}");
        report.add(Figure::new(what, bytes / right, "").must(BYTES_TIMES_MAX));
    }
    server.stop()
}

/// All parts, of which all but the last become blocks. Returns how many requests were refused.
fn send(bench: &Bench, server: &Server, corpus: &Corpus) -> anyhow::Result<u64> {
    let mut n_refused = 0;
    for number in 0..N_AWKWARD_PARTS {
        let part = corpus.folder.join(format!("part-{number}"));
        n_refused += bench.loader.send(server, &[part])?.n_refused;
        if number + 1 < N_AWKWARD_PARTS {
            server.flush()?;
        }
    }
    Ok(n_refused)
}

/// What a question about five minutes in the middle reads.
fn five_minutes(server: &Server, corpus: &Corpus) -> anyhow::Result<f64> {
    let (start, end) = corpus.time_seconds()?;
    let start = start + (end - start) / 2;
    let end = start + FIVE_MINUTES_SECONDS;
    let question = "%7B%20span.http.response.status_code%20%3D%20500%20%7D";
    let path = format!("/api/search?q={question}&start={start}&end={end}&limit=10000");
    let mut connection = server.questions()?;
    let mut bytes = 0.0;
    // The first one also opens files.
    for _ in 0..2 {
        let answer = connection.get(&path, &[])?;
        ensure!(answer.status == 200, "answered {}", answer.status);
        let read = answer.field("x-suyuan-bytes-read").context("no x-suyuan-bytes-read")?;
        bytes = read.parse().context("x-suyuan-bytes-read")?;
    }
    Ok(bytes)
}

fn whole(
    server: &Server,
    traces: &[Expected],
    report: &mut Report,
    state: &str,
) -> anyhow::Result<()> {
    let whole = Whole::count_soon(server, traces)?;
    report.add(Figure::count(format!("traces found whole, {state}"), whole.n_whole));
    let what = format!("traces missing, in part or with duplicates, {state}");
    report.add(Figure::count(what, whole.n_wrong).must(0.0));
    Ok(())
}

/// What the server says about traces whose pieces lie apart.
fn split_set(server: &Server, report: &mut Report) -> anyhow::Result<()> {
    for (name, value) in server.metrics()? {
        if name.starts_with("suyuan_store_split") {
            report.add(Figure::new(format!("`{name}`, seven blocks and live data"), value, ""));
        }
    }
    Ok(())
}
