//! Twenty million spans at the default seals: whether the cost of a span stays what it was when
//! blocks are sealed, merged and looked up beside each other.

use super::Bench;
use super::corpora::Corpus;
use super::lookup::{LookupTimes, Whole};
use super::report::{Figure, Report};
use super::search::{self, Bounds};

const MEBIBYTE: f64 = 1_048_576.0;

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let corpora = bench.corpora.twenty()?;
    let mut n_spans = 0;
    for corpus in &corpora {
        n_spans += corpus.n_spans()?;
    }
    report.part("Twenty million spans, default seals, compaction in the background");
    let server = bench.program.start(&bench.folder, &[])?;
    let before = server.cpu_seconds()?;
    let folders: Vec<_> = corpora.iter().map(|corpus| corpus.folder.clone()).collect();
    let load = bench.loader.send(&server, &folders)?;
    let flush = server.flush_and_compact()?;
    let cpu = (server.cpu_seconds()? - before) / (n_spans as f64 / 1e6);
    let metrics = server.metrics()?;
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);

    let what = "processor time per million spans, with compaction";
    report.add(Figure::new(what, cpu, "s").must(2.5));
    let bytes = metric("suyuan_store_block_bytes") / n_spans as f64;
    report.add(Figure::new("bytes per span of the blocks there are", bytes, "B").must(35.0));
    let on_disk = server.object_bytes()? as f64 / n_spans as f64;
    let what = "bytes per span in `objects/`, with removed blocks that wait for their readers";
    report.add(Figure::new(what, on_disk, "B"));
    report.add(Figure::new("spans received per second", n_spans as f64 / load.seconds, ""));
    report.add(Figure::new("a request takes, 99th percentile", load.p99_ms, "ms"));
    report.add(Figure::new("a request takes, at most", load.max_ms, "ms"));
    report.add(Figure::count("requests refused", load.n_refused).must(0.0));
    let what = "the last flush, with compaction, takes";
    report.add(Figure::new(what, flush.time.as_secs_f64(), "s"));
    report.add(Figure::new("blocks sealed", metric("suyuan_store_seals_total"), ""));
    report.add(Figure::new("compactions", metric("suyuan_store_compactions_total"), ""));
    report.add(Figure::new("spans written anew", metric("suyuan_store_compacted_rows_total"), ""));
    let what = "split traces merged by compaction";
    report.add(Figure::new(what, metric("suyuan_store_merged_split_traces_total"), ""));
    report.add(Figure::new("blocks at the end", metric("suyuan_store_blocks"), ""));
    let missing = n_spans as f64 - metric("suyuan_store_block_rows");
    report.add(Figure::new("spans sent that are in no block", missing.abs(), "").must(0.0));

    let mut whole = Whole::default();
    for corpus in &corpora {
        whole += Whole::count(&server, &corpus.named_traces()?)?;
    }
    report.add(Figure::count("traces found whole", whole.n_whole));
    report.add(Figure::count("traces missing or in part", whole.n_wrong).must(0.0));
    let middle = &corpora[corpora.len() / 2];
    let times = LookupTimes::measure(&server, middle)?;
    let n_spans = middle.trace_of_46()?.n_spans;
    let what = format!("trace by id of {n_spans} spans, median");
    report.add(Figure::new(what, times.of_46_ms, "ms").must(4.0));
    let what = format!("trace by id of {} spans, median", middle.biggest()?.n_spans);
    report.add(Figure::new(what, times.biggest_ms, "ms").must(24.0));
    let what = "an id that is not there, median";
    report.add(Figure::new(what, times.absent_ms, "ms").must(0.6));
    let all: Vec<&Corpus> = corpora.iter().collect();
    search::measure(bench, &server, &all, report, Bounds::Unbounded, "twenty million")?;
    let peak = server.peak_bytes()? as f64 / MEBIBYTE;
    report.add(Figure::new("peak memory of the server", peak, "MiB").must(512.0));
    server.stop()
}
