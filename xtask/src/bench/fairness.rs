//! Whether questions slow down what comes in: fifty thousand spans a second arrive while four
//! heavy questions are asked without pause.
//!
//! Requests leave at their time, whether or not the ones before are answered, so a server that
//! falls behind is found out. Latency counts from the time at which a request should have left.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Bench;
use super::report::{Figure, Report};
use super::server::{NO_COMPACTION, Server};

const SPANS_PER_SECOND: f64 = 50_000.0;
/// Of the corpus.
const SPANS_PER_REQUEST: f64 = 1_500.0;
const N_ASKERS: usize = 4;
/// Each looks at every span and finds little: sending large answers is another matter.
const QUESTIONS: [&str; N_ASKERS] = [
    "%7B%20span.db.statement%20%3D~%20%22.*FROM%20orders%20WHERE%20id%20%3D%20.*7%5B0-9%5D*%20.*%22%20%7D",
    "%7B%20span.http.response.status_code%20%3E%3D%20400%20%7C%7C%20duration%20%3E%201s%20%7D",
    "%7B%20name%20%3D~%20%22.*nothing.*%22%20%7C%7C%20span.url.path%20%3D~%20%22.*x%5B0-9%5D%2Bx.*%22%20%7D",
    "%7B%20span.http.response.status_code%20%2B%201%20%3D%20501%20%7D",
];
/// With questions, acknowledgements may take so many times as long at the 99th percentile.
const TIMES_MAX: f64 = 2.0;
const SENDERS: usize = 4;
const CONTENT_TYPE: (&str, &str) = ("Content-Type", "application/x-protobuf");

pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let corpus = bench.corpora.shop()?;
    report.part("50,000 spans a second, and four heavy questions without pause");
    let server = bench.program.start(&bench.folder, &[NO_COMPACTION])?;
    // Something to ask about: a block and live data.
    bench.loader.send(&server, std::slice::from_ref(&corpus.folder))?;
    server.flush()?;
    // Spans that were not sent before: copies are another measurement's concern.
    let paced_corpora = bench.corpora.first_of_twenty(2)?;
    let first = requests(&paced_corpora[0].folder)?;
    let second = requests(&paced_corpora[1].folder)?;

    let alone = paced(&server, &first)?;
    let is_over = AtomicBool::new(false);
    let n_answers = AtomicU64::new(0);
    let beside = std::thread::scope(|scope| {
        let askers: Vec<_> = QUESTIONS
            .iter()
            .map(|question| scope.spawn(|| ask(&server, question, &is_over, &n_answers)))
            .collect();
        let beside = paced(&server, &second);
        is_over.store(true, Relaxed);
        for asker in askers {
            asker.join().map_err(|_| anyhow::anyhow!("an asker panicked"))??;
        }
        beside
    })?;

    report.add(Figure::new("acknowledged after, median, alone", alone.median_ms, "ms"));
    report.add(Figure::new("acknowledged after, 99th percentile, alone", alone.p99_ms, "ms"));
    report.add(Figure::new("acknowledged after, median, beside questions", beside.median_ms, "ms"));
    let what = "acknowledged after, 99th percentile, beside questions";
    report.add(Figure::new(what, beside.p99_ms, "ms"));
    let times = beside.p99_ms / alone.p99_ms;
    report.add(Figure::new("the one divided by the other", times, "").must(TIMES_MAX));
    report.add(Figure::count("questions answered meanwhile", n_answers.load(Relaxed)));
    server.stop()
}

struct Latencies {
    median_ms: f64,
    p99_ms: f64,
}

#[expect(clippy::disallowed_methods, reason = "a rate is kept by waiting for the clock")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Sends requests at the rate.
fn paced(server: &Server, requests: &[Vec<u8>]) -> anyhow::Result<Latencies> {
    let period = Duration::from_secs_f64(SPANS_PER_REQUEST / SPANS_PER_SECOND);
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| scope.spawn(|| send_in_turn(server, requests, &next, began, period)))
            .collect();
        let mut times = Vec::new();
        for sender in senders {
            times.extend(sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??);
        }
        anyhow::Ok(times)
    })?;
    times.sort_by(f64::total_cmp);
    ensure!(!times.is_empty(), "nothing was sent");
    Ok(Latencies { median_ms: times[times.len() / 2], p99_ms: times[times.len() * 99 / 100] })
}

fn send_in_turn(
    server: &Server,
    requests: &[Vec<u8>],
    next: &AtomicU64,
    began: Instant,
    period: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut otlp = server.otlp()?;
    let mut times = Vec::new();
    loop {
        let number = next.fetch_add(1, Relaxed) as u32;
        let Some(request) = requests.get(number as usize) else { return Ok(times) };
        let due = began + period * number;
        pause(due.saturating_duration_since(Instant::now()));
        otlp.post("/v1/traces", &[CONTENT_TYPE], request)?.accepted()?;
        times.push(due.elapsed().as_secs_f64() * 1e3);
    }
}

fn ask(
    server: &Server,
    question: &str,
    is_over: &AtomicBool,
    n_answers: &AtomicU64,
) -> anyhow::Result<()> {
    let mut connection = server.questions()?;
    while !is_over.load(Relaxed) {
        let answer = connection.get(&format!("/api/search?q={question}&limit=1000"), &[])?;
        ensure!(answer.status == 200, "{question}: answered {}", answer.status);
        n_answers.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn requests(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pb") {
            files.push(path);
        }
    }
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).with_context(|| file.display().to_string()))
        .collect()
}
