//! `suyuan trace <id>`: one trace of a running server as a waterfall in the terminal.
//!
//! In: an id as people have it. Out: text on stdout, drawn for the terminal that is there. Asks the
//! same public door as everyone (`/api/v2/traces/{id}`), so it works towards any Tempo as well.

mod answer;
mod draw;
mod scale;
mod style;
mod tree;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use suyuan_ids::{IdError, TraceId};

use style::Style;

use crate::fetch;
use crate::terminal::{ColourChoice, columns, draws_unicode, wants_colour};

/// Exit code for "the server has no such trace", apart from "it could not be asked".
const NOT_FOUND: u8 = 1;

/// Below this nothing can be drawn; above it bars only grow longer.
const WIDTHS: std::ops::RangeInclusive<i64> = 20..=1_000;

/// Draw one trace as a waterfall in the terminal
///
/// Asks a running server. Every span is a line: who did what, when, how long; errors are red, and
/// what is odd about a span is said below it.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 drawn, 1 the server has no such trace, 2 it could not be asked.

Example:
  suyuan trace 4bf92f3577b34da6a3ce929d0e0e4736
  suyuan trace 4bf92f3577b34da6a3ce929d0e0e4736 --color always | less -R
  suyuan trace 4bf92f3577b34da6a3ce929d0e0e4736 --server https://traces.example.com --json")]
pub struct TraceArgs {
    /// Trace id: up to 32 hexadecimal digits, with or without leading zeros, or a whole
    /// `traceparent`
    id: String,
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
    /// Print the server's answer as it is
    #[arg(long)]
    json: bool,
    /// Colour the drawing
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: ColourChoice,
    /// Columns to draw in, instead of the terminal's
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(WIDTHS))]
    width: Option<u16>,
}

/// Fetches and draws.
///
/// # Errors
/// An id that is none, a server that does not answer, an answer that cannot be read.
pub async fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let id = parse_id(&args.id).with_context(|| format!("`{}` is no trace id", args.id))?;
    let body = fetch::trace_json(&args.server, id, args.tenant.as_deref()).await?;
    let trace = answer::parse(&body)
        .with_context(|| format!("{} gave an answer that is no trace", args.server))?;
    if args.json {
        print(|out| out.write_all(&body))?;
    } else if !trace.spans.is_empty() {
        let style = style(args);
        print(|out| draw::waterfall(out, id, &trace, style))?;
    }
    if trace.spans.is_empty() {
        report_absence(args, id)?;
        return Ok(ExitCode::from(NOT_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

fn report_absence(args: &TraceArgs, id: TraceId) -> io::Result<()> {
    writeln!(
        io::stderr(),
        "trace {id} is not at {server}. What was acknowledged is found within a second; if it \
         should be there, look at the exporter's own log{tenant}.",
        server = args.server,
        tenant = if args.tenant.is_none() { " and, with tenants, at --tenant" } else { "" },
    )
}

fn style(args: &TraceArgs) -> Style {
    Style {
        columns: args.width.map_or_else(columns, usize::from),
        colour: wants_colour(args.color, &io::stdout()),
        unicode: draws_unicode(),
    }
}

/// Writes to stdout through a buffer. A reader that has seen enough (`| head`) is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The id itself, or the one inside `00-<trace>-<span>-<flags>`, which is what people copy.
fn parse_id(text: &str) -> Result<TraceId, IdError> {
    let parts: Vec<_> = text.trim().split('-').collect();
    match parts[..] {
        [_version, trace, _span, _flags] => TraceId::parse(trace),
        _ => TraceId::parse(text.trim()),
    }
}

#[cfg(test)]
mod tests;
