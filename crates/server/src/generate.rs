//! `suyuan generate`: the shop towards any OTLP endpoint, or into a folder.
//!
//! In: an endpoint, a rate, an end. Out: requests on the wire and a report of what became of them.
//! The schedule is open-loop: a request is due when its last span ends, whether or not the server
//! has answered the ones before, and its latency counts from then; so a server that falls behind
//! shows it. Only `--rate 0` sends each request when a connection is free. Retries are those of an
//! SDK, and counted. Memory is bounded: a few requests wait in front of the connections.

mod args;
mod folder;
mod report;

mod follow;
mod sender;
mod source;
mod tally;
mod verify;

mod answer;
mod grpc;
mod target;

#[cfg(test)]
mod tests;

pub use args::GenerateArgs;
pub use report::{Latency, Report, Verified};
pub use tally::{Counts, Example, Tally};
pub use target::{Compression, Protocol, TargetError};

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use crate::progress::Progress;
use crate::signals::Signals;
use follow::Following;
use sender::Sender;
use target::Target;

/// Requests that are ready and wait for their time, for each connection.
const REQUESTS_AHEAD: usize = 4;

/// What is sent, where to, and until when.
#[derive(Clone, Debug)]
pub struct Options {
    /// As `OTEL_EXPORTER_OTLP_ENDPOINT`: without `/v1/traces`, which is added for HTTP.
    pub endpoint: String,
    pub protocol: Protocol,
    pub compression: Compression,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Each has at most one request under way.
    pub connections: usize,
    pub seed: u64,
    pub batch_spans_max: usize,
    /// `None`: as fast as it goes.
    pub spans_per_second: Option<f64>,
    pub spans_max: Option<u64>,
    pub duration_max: Option<Duration>,
    pub patience: Patience,
    /// Where acknowledged traces are looked up: `http://127.0.0.1:3200`.
    pub verify: Option<String>,
}

/// How long the client waits and how often it tries again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Of one request, the first attempt included.
    pub attempts_max: u32,
    /// For one answer.
    pub answer_wait_max: Duration,
    /// Before the first retry; doubled before each further one.
    pub pause: Duration,
    /// Also bounds what a server may ask for.
    pub pause_max: Duration,
    /// After the acknowledgement, until a trace that is not found counts as lost.
    pub visible_wait_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            answer_wait_max: Duration::from_secs(10),
            pause: Duration::from_millis(250),
            pause_max: Duration::from_secs(10),
            visible_wait_max: Duration::from_secs(30),
        }
    }
}

/// Why nothing could be sent.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("making requests: {0}")]
    Source(#[from] tokio::task::JoinError),
}

/// Runs the subcommand. Success means that nothing was lost: every span was acknowledged and, with
/// `--verify`, every sampled trace was found whole.
pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = args.out()? {
        let truth = folder::write(&folder)?;
        folder::print_summary(&truth)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = args.options()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(send_with_progress(options))?;
    report.print(args.json())?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn send_with_progress(options: Options) -> anyhow::Result<Report> {
    const REDRAW_INTERVAL: Duration = Duration::from_millis(250);
    let tally = Arc::new(Tally::default());
    let (stop, stopped) = watch::channel(false);
    let mut signals = Signals::listen()?;
    let started_at = Instant::now();
    let mut progress = Progress::on_stderr();
    let mut redraw =
        tokio::time::interval_at(tokio::time::Instant::now() + REDRAW_INTERVAL, REDRAW_INTERVAL);
    let sending = send(options, Arc::clone(&tally), stopped);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            report = &mut sending => return Ok(report?),
            _ = signals.next() => {
                // The report still comes: what was sent until now.
                stop.send_replace(true);
            }
            _ = redraw.tick() => {
                progress.show(|| report::progress_line(&tally.counts(), started_at.elapsed()));
            }
        }
    }
}

/// Sends until the options say that it is enough or `stopped` becomes true. Requests under way are
/// brought to their end; `tally` can be read meanwhile.
pub async fn send(
    options: Options,
    tally: Arc<Tally>,
    stopped: watch::Receiver<bool>,
) -> Result<Report, GenerateError> {
    let following = Arc::new(Following::default());
    let (acknowledged, verifier) = match &options.verify {
        Some(server) => {
            let (found, lookups) = verify::channel();
            let verifier = verify::Verifier::new(server, &options, Arc::clone(&tally))?;
            (Some(found), Some(tokio::spawn(verifier.run(lookups))))
        }
        None => (None, None),
    };
    let n_connections = options.connections.max(1);
    let mut senders = JoinSet::new();
    let (requests, ready) = mpsc::channel(REQUESTS_AHEAD * n_connections);
    let ready = Arc::new(Mutex::new(ready));
    let started_at = Instant::now();
    for _ in 0..n_connections {
        let sender = Sender {
            target: Target::new(&options)?,
            patience: options.patience,
            tally: Arc::clone(&tally),
            following: Arc::clone(&following),
            acknowledged: acknowledged.clone(),
            stopped: stopped.clone(),
        };
        senders.spawn(sender.run(Arc::clone(&ready)));
    }
    drop((acknowledged, ready));
    let source = source::Source::new(&options, Arc::clone(&tally), following, stopped);
    let made = tokio::task::spawn_blocking(move || source.run(&requests));
    while let Some(sent) = senders.join_next().await {
        sent?;
    }
    made.await?;
    let sent_at = Instant::now();
    let verified = match verifier {
        Some(verifier) => Some(verifier.await?),
        None => None,
    };
    Ok(Report::new(&options, &tally, started_at..sent_at, verified))
}
