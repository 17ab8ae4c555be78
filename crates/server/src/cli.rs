//! The command line: what `suyuan` can be told, and who does it.
//!
//! In: arguments and the environment. Out: an exit code. Every subcommand says in its long help
//! what it is for and shows an example; a test holds that.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::admin_command::{EraseArgs, FlushArgs};
use crate::block_command::BlockCommand;
use crate::check_command::CheckArgs;
use crate::demo::DemoArgs;
use crate::generate::GenerateArgs;
use crate::logging;
use crate::search::SearchArgs;
use crate::serve::ServeArgs;
use crate::trace::TraceArgs;
use crate::wal_command::WalCommand;
use crate::{
    admin_command, block_command, check_command, demo, generate, search, serve, trace, wal_command,
};

/// Exit code of whatever could not be done, apart from the 1 of "done, and the answer is no".
const FAILED: u8 = 2;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Suyuan (溯源), a distributed tracing server: OpenTelemetry in, traces found again
#[derive(Debug, Parser)]
#[command(
    name = "suyuan",
    version,
    styles = STYLES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Example:\n  suyuan demo\n  suyuan serve --data-dir /var/lib/suyuan\n  suyuan trace 4bf92f3577b34da6a3ce929d0e0e4736\n  suyuan search '{ status = error }' --since 1h"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(DemoArgs),
    Serve(ServeArgs),
    Trace(TraceArgs),
    Search(SearchArgs),
    Generate(GenerateArgs),
    Check(CheckArgs),
    #[command(subcommand)]
    Wal(WalCommand),
    #[command(subcommand)]
    Block(BlockCommand),
    Flush(FlushArgs),
    Erase(EraseArgs),
}

/// Reads the arguments of the process and does what they say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to be done if stderr is gone too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn refuse(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    logging::start(&logging::Options::from_environment()?)?;
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Trace(args) => one_thread()?.block_on(trace::run(&args)),
        Command::Search(args) => one_thread()?.block_on(search::run(&args)),
        Command::Generate(args) => generate::run(&args),
        Command::Check(args) => check_command::run(&args),
        Command::Wal(command) => wal_command::run(&command),
        Command::Block(command) => block_command::run(&command),
        Command::Flush(args) => one_thread()?.block_on(admin_command::flush(&args)),
        Command::Erase(args) => one_thread()?.block_on(admin_command::erase(&args)),
    }
}

/// Enough for a client that does one thing.
fn one_thread() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests;
