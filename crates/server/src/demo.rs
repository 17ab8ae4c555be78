//! `suyuan demo`: a server and a shop that sends to it, gone without a trace afterwards.
//!
//! In: a rate and perhaps an end. Out: a server on a temporary directory, the shop's traces through
//! its real OTLP door, a line that counts them, and commands that can be pasted. Nothing here is
//! special: what the demo does, `suyuan serve` and `suyuan generate` do.

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use tokio::sync::watch;

use crate::config::Config;
use crate::doors::{DoorError, reachable};
use crate::generate::{self, Compression, Example, Patience, Protocol, Report, Tally};
use crate::greeting::{greeting, program, server_flag};
use crate::progress::Progress;
use crate::quantity::{counted, grouped, parse_duration, rounded_bytes};
use crate::server::{self, Running, StartError};
use crate::signals::Signals;

const REDRAW_INTERVAL: Duration = Duration::from_millis(250);
/// What was acknowledged is visible long before this is over.
const VISIBLE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Try it: a server, and a shop that sends it traces
///
/// Runs a server on a temporary directory and an invented shop that writes traces through the
/// server's OTLP port, as any service would. Shows how many there are and what to try with them.
/// Ctrl-C ends both and removes the directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  suyuan demo
  suyuan demo --rate 20000 --duration 1m")]
pub struct DemoArgs {
    /// Spans per second
    #[arg(long, value_name = "SPANS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// End after so long, such as 30s or 2m; otherwise it runs until Ctrl-C
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Which shop; the same seed gives the same traces
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Runs until the duration is over or somebody stops it.
///
/// # Errors
/// A server that does not start.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let directory = TemporaryDirectory::make().context("cannot make a temporary directory")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(demo(args, directory.path()));
    drop(runtime);
    drop(directory);
    outcome
}

async fn demo(args: &DemoArgs, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let (config, running) = start(data_dir).await?;
    let tally = Arc::new(Tally::default());
    let (stop, stopped) = watch::channel(false);
    io::stdout().write_all(greeting(running.addresses(), &config).as_bytes())?;

    let sending = generate::send(options(args, &running), Arc::clone(&tally), stopped);
    let mut watching = Watching {
        running: &running,
        tally: &tally,
        progress: Progress::on_stderr(),
        started_at: Instant::now(),
        example: None,
        shown: Shown::Nothing,
    };
    let report = watching.watch(sending, &mut signals, &stop).await?;
    watching.wait_until_visible(&report).await;
    watching.recommend()?;
    drop(watching);

    io::stdout().write_all(summary(&report, &running).as_bytes())?;
    signals.exit_on_next();
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// On the usual ports, so that what the documentation says works; on free ones where these are
/// taken, because a demo must not need a free machine.
async fn start(data_dir: &Path) -> anyhow::Result<(Config, Running)> {
    let mut config = Config::default();
    config.server.data_dir = data_dir.to_owned();
    match server::start(&config).await {
        Ok(running) => return Ok((config, running)),
        Err(StartError::Door(DoorError::InUse { port, .. })) => {
            writeln!(io::stderr(), "port {port} is in use, so the demo takes free ones\n")?;
        }
        Err(error) => return Err(error.into()),
    }
    for address in [&mut config.server.http, &mut config.otlp.grpc, &mut config.otlp.http] {
        address.port = 0;
    }
    let running = server::start(&config).await?;
    Ok((config, running))
}

fn options(args: &DemoArgs, running: &Running) -> generate::Options {
    generate::Options {
        endpoint: format!("http://{}", reachable(running.addresses().otlp_http)),
        protocol: Protocol::HttpProtobuf,
        compression: Compression::None,
        headers: Vec::new(),
        connections: 2,
        seed: args.seed,
        batch_spans_max: 512,
        spans_per_second: Some(f64::from(args.rate)),
        spans_max: None,
        duration_max: args.duration,
        patience: Patience::default(),
        verify: None,
    }
}

/// What the demo shows while the shop sends.
struct Watching<'a> {
    running: &'a Running,
    tally: &'a Tally,
    progress: Progress,
    started_at: Instant,
    /// A trace to try, and how many spans must be visible for it to be found.
    example: Option<(Example, u64)>,
    shown: Shown,
}

/// Which examples were printed: the first trace at once, then one that went wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    First,
    Failed,
}

impl Watching<'_> {
    async fn watch<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        sending: impl Future<Output = Result<Report, E>>,
        signals: &mut Signals,
        stop: &watch::Sender<bool>,
    ) -> anyhow::Result<Report> {
        let mut sending = pin!(sending);
        let mut redraw = tokio::time::interval(REDRAW_INTERVAL);
        loop {
            tokio::select! {
                report = &mut sending => return Ok(report?),
                // What is under way is still brought to its end.
                _ = signals.next() => drop(stop.send_replace(true)),
                _ = redraw.tick() => self.redraw()?,
            }
        }
    }

    fn redraw(&mut self) -> io::Result<()> {
        self.recommend()?;
        let counts = self.tally.counts();
        let visible = self.running.visible_spans();
        let seconds = self.started_at.elapsed().as_secs_f64();
        self.progress.show(|| {
            let per_second = counts.spans_acknowledged as f64 / seconds.max(0.001);
            format!(
                "{} received, {} a second, {} can be found, {} begun",
                counted(counts.spans_acknowledged, "span"),
                grouped(per_second as u64),
                grouped(visible),
                counted(counts.traces, "trace"),
            )
        });
        Ok(())
    }

    fn recommend(&mut self) -> io::Result<()> {
        self.choose_example();
        self.show_example()
    }

    fn choose_example(&mut self) {
        if self.example.is_some() || self.shown == Shown::Failed {
            return;
        }
        let Some(example) = self.tally.example() else { return };
        if self.shown == Shown::Nothing || example.n_errors > 0 {
            self.example = Some((example, self.tally.counts().spans_acknowledged));
        }
    }

    /// Only when it can be found: what is printed must work.
    fn show_example(&mut self) -> io::Result<()> {
        let visible = self.running.visible_spans();
        let Some((example, _)) = self.example.take_if(|(_, needed)| visible >= *needed) else {
            return Ok(());
        };
        self.progress.clear();
        let text = recommendation(&example, self.running, self.shown);
        self.shown = if example.n_errors > 0 { Shown::Failed } else { Shown::First };
        let mut stdout = io::stdout();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// So that the summary counts everything.
    async fn wait_until_visible(&self, report: &Report) {
        let mut interval = tokio::time::interval(REDRAW_INTERVAL);
        let wait = async {
            while self.running.visible_spans() < report.spans_acknowledged {
                interval.tick().await;
            }
        };
        // The summary says how many there are, also if that is too few.
        let _ = tokio::time::timeout(VISIBLE_WAIT_MAX, wait).await;
    }
}

/// The first one comes with everything that can be tried.
fn recommendation(example: &Example, running: &Running, shown: Shown) -> String {
    let http = reachable(running.addresses().http);
    let id = example.trace_id;
    let command = format!("{} trace {id}{}", program(), server_flag(http));
    match shown {
        Shown::Nothing => format!(
            "\nTry   {command}\n      ({example})\n      curl http://{http}/api/v2/traces/{id}\n      \
             curl http://{http}/metrics\n\n"
        ),
        Shown::First | Shown::Failed => format!("Try   {command}\n      ({example})\n\n"),
    }
}

fn summary(report: &Report, running: &Running) -> String {
    format!(
        "Sent {traces} of {sent}, {bytes} in {seconds:.0} s; acknowledged {acknowledged}, half of \
         the requests within {p50:.1} ms, 99 of 100 within {p99:.1} ms; {visible} could be found.\n",
        traces = counted(report.traces, "trace"),
        sent = counted(report.spans_sent, "span"),
        bytes = rounded_bytes(report.bytes),
        seconds = report.seconds,
        acknowledged = grouped(report.spans_acknowledged),
        p50 = report.latency_ms.p50,
        p99 = report.latency_ms.p99,
        visible = grouped(running.visible_spans()),
    )
}

/// A directory of our own, removed with all that is in it.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn make() -> io::Result<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("suyuan-demo-{}-{}", std::process::id(), since_epoch.as_nanos());
        let path = std::env::temp_dir().join(name);
        // Fails where it exists: what somebody put there is not removed.
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the demo's directory is still there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_gone_with_its_owner() {
        let directory = TemporaryDirectory::make().unwrap();
        let path = directory.path().to_owned();
        std::fs::write(path.join("file"), "x").unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
