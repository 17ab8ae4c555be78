//! What the server says about itself, on stderr.
//!
//! In: `SUYUAN_LOG` (a filter; `RUST_LOG` is read when it is not set) and `SUYUAN_LOG_FORMAT`. Out:
//! `tracing` events as lines for people or JSON for machines. Stdout stays free for what a command
//! was asked for.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::terminal::{ColourChoice, wants_colour};

/// Our own progress; others only when something is wrong.
const DEFAULT_FILTER: &str = "warn,suyuan=info,suyuan_server=info,suyuan_ingest=info,\
                              suyuan_store=info,suyuan_wal=info,suyuan_query=info,suyuan_api=info";

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
         SUYUAN_LOG=info,suyuan_wal=debug"
    )]
    Filter { filter: String, reason: String },
    #[error("the log format `{0}` is unknown: write SUYUAN_LOG_FORMAT=text or json")]
    Format(String),
    #[error("logging has been started already: {0}")]
    Twice(#[from] TryInitError),
}

impl Options {
    pub fn from_environment() -> Result<Self, LoggingError> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let filter = set("SUYUAN_LOG").or_else(|| set("RUST_LOG"));
        Ok(Self {
            filter: filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned()),
            format: parse_format(&set("SUYUAN_LOG_FORMAT").unwrap_or_default())?,
        })
    }
}

/// Starts logging for the whole process.
pub fn start(options: &Options) -> Result<(), LoggingError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(&options.filter)?)
        .with_writer(io::stderr)
        .with_ansi(wants_colour(ColourChoice::Auto, &io::stderr()));
    match options.format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    Ok(())
}

fn parse_format(format: &str) -> Result<LogFormat, LoggingError> {
    match format {
        "" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(LoggingError::Format(other.to_owned())),
    }
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
    fn formats_are_text_and_json() {
        assert_eq!(parse_format("").unwrap(), LogFormat::Text);
        assert_eq!(parse_format("text").unwrap(), LogFormat::Text);
        assert_eq!(parse_format("json").unwrap(), LogFormat::Json);
        let error = parse_format("xml").unwrap_err().to_string();
        assert!(error.contains("`xml`") && error.ends_with("text or json"), "{error}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_with_an_example() {
        parse_filter(DEFAULT_FILTER).unwrap();
        parse_filter("info,suyuan_wal=debug").unwrap();
        let error = parse_filter("suyuan_wal=loud").unwrap_err().to_string();
        assert!(error.contains("`suyuan_wal=loud`") && error.contains("write it like"), "{error}");
    }
}
