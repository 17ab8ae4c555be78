//! What the server says about itself, on stderr.
//!
//! In: a filter and a form. Out: `tracing` events as lines for people or JSON for machines. Stdout
//! stays free for what a command was asked for.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::terminal::{ColourChoice, wants_colour};

/// Our own progress; others only when something is wrong.
const DEFAULT_FILTER: &str = "warn,suyuan=info,suyuan_server=info,suyuan_ingest=info,\
                              suyuan_store=info,suyuan_wal=info,suyuan_query=info,suyuan_api=info";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object per line.
    Json,
}

/// Why there is no logging.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error(
        "the log filter `{filter}` cannot be read: {reason}; write it like \
         \"info,suyuan_wal=debug\""
    )]
    Filter { filter: String, reason: String },
    #[error("logging has been started already: {0}")]
    Twice(#[from] TryInitError),
}

/// Starts logging for the whole process.
pub fn start(filter: Option<&str>, format: LogFormat) -> Result<(), LoggingError> {
    let filter = parse_filter(filter.unwrap_or(DEFAULT_FILTER))?;
    let colour = wants_colour(ColourChoice::Auto, &io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour && io::stderr().is_terminal());
    use tracing_subscriber::util::SubscriberInitExt;
    match format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    Ok(())
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(filter).map_err(|error| LoggingError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_with_an_example() {
        parse_filter(DEFAULT_FILTER).unwrap();
        parse_filter("info,suyuan_wal=debug").unwrap();
        let error = parse_filter("suyuan_wal=loud").unwrap_err().to_string();
        assert!(error.contains("`suyuan_wal=loud`") && error.contains("write it like"), "{error}");
    }
}
