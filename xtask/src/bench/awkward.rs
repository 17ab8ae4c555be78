//! One million spans as exporters really send them: late, twice, with wrong clocks, in eight parts
//! of which seven become blocks and the last stays live.
//!
//! Every trace that the corpus names must be whole: while its pieces lie apart, and after they
//! were merged.

use super::Bench;
use super::corpora::{Expected, N_AWKWARD_PARTS};
use super::lookup::Whole;
use super::report::{Figure, Report};
use super::server::{NO_COMPACTION, Server};

const MEBIBYTE: f64 = 1_048_576.0;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let corpus = bench.corpora.awkward()?;
    let traces = corpus.named_traces()?;
    let n_spans = corpus.n_spans()? as f64;
    report.part("One million awkward spans: late, sent twice, of wrong clocks; in eight parts");
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    let before = server.cpu_seconds()?;
    let mut n_refused = 0;
    for number in 0..N_AWKWARD_PARTS {
        let part = corpus.folder.join(format!("part-{number}"));
        n_refused += bench.loader.send(&server, &[part])?.n_refused;
        if number + 1 < N_AWKWARD_PARTS {
            server.flush()?;
        }
    }
    report.add(Figure::count("requests refused", n_refused).must(0.0));
    whole(&server, &traces, report, "seven blocks and live data")?;
    split_set(&server, report)?;

    let flush = server.flush_and_compact()?;
    whole(&server, &traces, report, "after compaction")?;
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
    server.stop()
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
