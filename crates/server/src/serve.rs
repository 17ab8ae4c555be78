//! `suyuan serve`: the server, from its configuration to its end.
//!
//! In: flags, the environment, a file. Out: a server that runs until SIGTERM or SIGINT, then
//! finishes what it has begun. A second signal ends it at once.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Config, Loaded, Sources, effective_toml};
use crate::greeting::greeting;
use crate::server;
use crate::signals::Signals;

/// Run the server: receive OpenTelemetry, keep it, answer questions
///
/// Needs no configuration: OTLP over gRPC on port 4317, OTLP over HTTP on 4318, questions on 3200,
/// on this machine only, data in ./suyuan-data. SIGTERM and Ctrl-C finish what was begun and end
/// with exit code 0; a second one ends at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Environment: SUYUAN_LOG=info,suyuan_wal=debug says what is logged on stderr (without it RUST_LOG
does), SUYUAN_LOG_FORMAT=json how.

Example:
  suyuan serve
  suyuan serve --data-dir /var/lib/suyuan --http 0.0.0.0:3200
  suyuan serve --config suyuan.toml --print-config")]
pub struct ServeArgs {
    /// Directory of everything the server keeps
    #[arg(long, value_name = "DIR")]
    data_dir: Option<OsString>,
    /// Where questions are answered
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Where OTLP over gRPC is received
    #[arg(long, value_name = "HOST:PORT")]
    otlp_grpc: Option<String>,
    /// Where OTLP over HTTP is received
    #[arg(long, value_name = "HOST:PORT")]
    otlp_http: Option<String>,
    /// TOML file with every other key; SUYUAN_<SECTION>_<KEY> and flags stand above it
    #[arg(long, value_name = "FILE", env = "SUYUAN_CONFIG")]
    config: Option<PathBuf>,
    /// Print the configuration in effect, every key explained, and exit
    #[arg(long)]
    print_config: bool,
}

impl ServeArgs {
    fn sources(&self) -> Sources {
        let data_dir = self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
        let flags = [
            ("--data-dir", data_dir),
            ("--http", self.http.clone()),
            ("--otlp-grpc", self.otlp_grpc.clone()),
            ("--otlp-http", self.otlp_http.clone()),
        ];
        // Names and values that are no UTF-8 belong to others.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources {
            file: self.config.clone(),
            environment,
            flags: flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect(),
        }
    }
}

/// Runs the server to its end.
///
/// # Errors
/// A configuration that cannot be read, a directory or port that is taken, a log that cannot be
/// opened.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings } = config::load(&args.sources())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if args.print_config {
        io::stdout().write_all(effective_toml(&config).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config));
    // A replay that a signal has interrupted still reads in the background: nothing waits for it.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        started = server::start(&config) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped while starting: nothing had been accepted");
            return Ok(ExitCode::SUCCESS);
        }
    };
    io::stdout().write_all(greeting(running.addresses(), &config).as_bytes())?;

    let signal = signals.next().await;
    tracing::info!(signal, "draining; a second signal ends at once");
    signals.exit_on_next();
    running.shutdown().await;
    tracing::info!("everything that was acknowledged is on the disk");
    Ok(ExitCode::SUCCESS)
}
