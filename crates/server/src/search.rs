//! `suyuan search '<TraceQL>'`: traces of a running server as a table in the terminal.
//!
//! In: a query as people type it. Out: a line for each trace, the newest first; or the server's
//! JSON. Asks the same public door as everyone (`/api/search`), so it works towards any Tempo as
//! well; only `--explain` is our own.

mod answer;
mod explained;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use http::StatusCode;
use tokio::time::interval;

use crate::fetch::{self, Answer, FetchError};
use crate::progress::Progress;
use crate::terminal::columns;

/// Exit code for "there is no such trace", apart from "the server could not be asked".
const NOT_FOUND: u8 = 1;

/// A search that takes longer says that it is still at it.
const QUIET_TIME: Duration = Duration::from_millis(500);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Below this nothing can be drawn; above it columns only grow longer.
const WIDTHS: std::ops::RangeInclusive<i64> = 40..=1_000;

/// Find traces that have a span like this, the newest first
///
/// Asks a running server in TraceQL. Every trace is a line: its id, when it began, how long it
/// took, its root, how many of its spans match, and the first of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 found, 1 there is no such trace, 2 the server could not be asked, or refused.

Example:
  suyuan search '{ status = error }' --since 1h
  suyuan search '{ resource.service.name = \"payment\" && duration > 500ms }' --limit 100
  suyuan search '{ span.http.response.status_code >= 500 }' --json | jq '.traces[].traceID'
  suyuan search '{ name =~ \"GET .*\" }' --explain")]
pub struct SearchArgs {
    /// What a span of the trace must fulfil; without it the newest traces are listed
    #[arg(value_name = "TRACEQL", default_value = "{}")]
    query: String,
    /// Traces of the last so long: 15m, 1h, 7d
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["start", "end"])]
    since: Option<String>,
    /// Traces that ended at or after this: seconds or nanoseconds since 1970, or
    /// 2026-11-22T22:30:00Z
    #[arg(long, value_name = "TIME", requires = "end")]
    start: Option<String>,
    /// Traces that began at or before this
    #[arg(long, value_name = "TIME", requires = "start")]
    end: Option<String>,
    /// Traces to list, at most
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Spans of each trace to fetch, at most
    #[arg(long, value_name = "SPANS", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    spss: u32,
    /// Print the server's answer as it is
    #[arg(long)]
    json: bool,
    /// Say what the server read to answer, what it did not read, and why
    #[arg(long)]
    explain: bool,
    /// Server to ask
    #[arg(
        long,
        value_name = "URL",
        env = "SUYUAN_SERVER",
        default_value = "http://127.0.0.1:3200"
    )]
    server: String,
    /// Tenant to ask for, sent as X-Scope-OrgID
    #[arg(long, env = "SUYUAN_TENANT")]
    tenant: Option<String>,
    /// Columns to draw in, instead of the terminal's
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(WIDTHS))]
    width: Option<u16>,
}

/// Asks and shows.
///
/// # Errors
/// A query that is refused, a server that does not answer, an answer that cannot be read.
pub async fn run(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let path = if args.explain { "/api/suyuan/explain" } else { "/api/search" };
    let answer = asked(args, path).await?;
    let foreign = || format!("{} gave an answer that is not one to a search", args.server);
    let width = args.width.map_or_else(columns, usize::from);
    if args.explain {
        let explained = explained::parse(&answer.body).with_context(foreign)?;
        match args.json {
            true => print(&answer.body)?,
            false => print(explained::text(&explained).as_bytes())?,
        }
        return Ok(found(explained.found.traces > 0));
    }
    let traces = answer::parse(&answer.body).with_context(foreign)?;
    if args.json {
        print(&answer.body)?;
        return Ok(found(!traces.is_empty()));
    }
    if !traces.is_empty() {
        print(table::draw(&traces, width).as_bytes())?;
    }
    report(args, traces.len(), &answer)?;
    Ok(found(!traces.is_empty()))
}

fn found(is_found: bool) -> ExitCode {
    if is_found { ExitCode::SUCCESS } else { ExitCode::from(NOT_FOUND) }
}

async fn asked(args: &SearchArgs, path: &str) -> anyhow::Result<Answer> {
    let parameters = parameters(args);
    let tenant = args.tenant.as_deref();
    match with_progress(fetch::get(&args.server, path, &parameters, tenant)).await {
        // The server says what is wrong with the query, and draws the place.
        Err(FetchError::Refused { status: StatusCode::BAD_REQUEST, reason, .. })
            if !reason.is_empty() =>
        {
            bail!("{reason}")
        }
        answer => Ok(answer?),
    }
}

fn parameters(args: &SearchArgs) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("q", args.query.clone()),
        ("limit", args.limit.to_string()),
        ("spss", args.spss.to_string()),
    ];
    let times = [("since", &args.since), ("start", &args.start), ("end", &args.end)];
    parameters.extend(times.into_iter().filter_map(|(name, time)| Some((name, time.clone()?))));
    parameters
}

/// Waits; on a terminal it says so, once that takes longer than people notice.
async fn with_progress<T>(answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    if !io::stderr().is_terminal() {
        return answer.await;
    }
    let started_at = Instant::now();
    let mut progress = Progress::on_stderr();
    let mut ticks = interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            _ = ticks.tick() => {
                let elapsed = started_at.elapsed();
                if elapsed >= QUIET_TIME {
                    progress.show(|| format!("searching for {:.1} s", elapsed.as_secs_f64()));
                }
            }
        }
    }
}

/// What else there is to say, beside the table: on stderr.
fn report(args: &SearchArgs, n_traces: usize, answer: &Answer) -> io::Result<()> {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let mut stderr = io::stderr().lock();
    if let Some(missing) = header("x-suyuan-incomplete") {
        writeln!(
            stderr,
            "warning: something may be missing: {}",
            crate::terminal::harmless(missing)
        )?;
    }
    if n_traces == 0 {
        return writeln!(
            stderr,
            "no trace at {server} has such a span{when}",
            server = args.server,
            when = if args.since.is_some() || args.start.is_some() { " in that time" } else { "" },
        );
    }
    if n_traces == args.limit as usize {
        writeln!(stderr, "the newest {n_traces}; there may be more, ask with --limit")?;
    }
    Ok(())
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
