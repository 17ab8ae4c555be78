//! One value of the configuration: where it lives, what it may be, how it is written.
//!
//! In: a value as it was given (text from outside, or typed by TOML). Out: the field set, or what
//! is wrong with it and what to write instead. Reading and writing go through one accessor, so a
//! key cannot be read into one field and printed from another.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::address::Address;
use super::storage::{ObjectsKind, Secret};
use crate::quantity::{format_bytes, format_duration, parse_bytes, parse_duration};

/// A value as it was given.
#[derive(Debug)]
pub(super) enum Given<'a> {
    /// From TOML text, the environment or a flag.
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    Texts(Vec<&'a str>),
    /// A TOML type that no key has.
    Other(&'static str),
}

/// The kind of a key and the field it fills. Ranges are inclusive and checked at the edge.
pub(super) enum Slot {
    Path(fn(&mut Config) -> &mut PathBuf),
    Address(fn(&mut Config) -> &mut Address),
    Bytes(fn(&mut Config) -> &mut u64, RangeInclusive<u64>),
    Count(fn(&mut Config) -> &mut u64, RangeInclusive<u64>),
    Milliseconds(fn(&mut Config) -> &mut Duration, RangeInclusive<u64>),
    Seconds(fn(&mut Config) -> &mut Duration, RangeInclusive<u64>),
    Switch(fn(&mut Config) -> &mut bool),
    /// Empty is "not given".
    Text(fn(&mut Config) -> &mut String),
    /// As `Text`, and never written out.
    Secret(fn(&mut Config) -> &mut Secret),
    ObjectsKind(fn(&mut Config) -> &mut ObjectsKind),
    Texts(fn(&mut Config) -> &mut Vec<String>),
}

impl Slot {
    /// Sets the field; the error continues a sentence that begins with the key.
    pub(super) fn set(&self, config: &mut Config, given: &Given<'_>) -> Result<(), String> {
        match self {
            Self::Path(field) => *field(config) = path(given)?,
            Self::Address(field) => {
                *field(config) = text(given, "an address such as \"127.0.0.1:3200\"")?
                    .parse()
                    .map_err(|error| format!("= {} {error}", quoted(given)))?;
            }
            Self::Bytes(field, range) => *field(config) = bytes(given, range)?,
            Self::Count(field, range) => *field(config) = count(given, range)?,
            Self::Milliseconds(field, range) => *field(config) = milliseconds(given, range)?,
            Self::Seconds(field, range) => *field(config) = seconds(given, range)?,
            Self::Switch(field) => *field(config) = switch(given)?,
            Self::Text(field) => *field(config) = text(given, "a text")?.trim().to_owned(),
            Self::Secret(field) => field(config).0 = secret(given)?,
            Self::ObjectsKind(field) => *field(config) = objects_kind(given)?,
            Self::Texts(field) => *field(config) = texts(given)?,
        }
        Ok(())
    }

    /// Whether there is a value that must not be shown.
    pub(super) fn is_hidden(&self, config: &Config) -> bool {
        match self {
            Self::Secret(field) => !field(&mut config.clone()).0.is_empty(),
            _ => false,
        }
    }

    /// The value as TOML, which [`Slot::set`] reads back to the same value, a secret excepted.
    pub(super) fn show(&self, config: &Config) -> String {
        let mut config = config.clone();
        match self {
            Self::Path(field) => toml_text(&field(&mut config).display().to_string()),
            Self::Address(field) => toml_text(&field(&mut config).to_string()),
            Self::Bytes(field, _) => match *field(&mut config) {
                0 => "0".to_owned(),
                bytes => toml_text(&format_bytes(bytes)),
            },
            Self::Count(field, _) => field(&mut config).to_string(),
            Self::Milliseconds(field, _) | Self::Seconds(field, _) => {
                toml_text(&format_duration(*field(&mut config)))
            }
            Self::Switch(field) => field(&mut config).to_string(),
            Self::Text(field) => toml_text(field(&mut config)),
            Self::Secret(_) => toml_text(""),
            Self::ObjectsKind(field) => toml_text(field(&mut config).name()),
            Self::Texts(field) => {
                let items: Vec<_> = field(&mut config).iter().map(|item| toml_text(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// What a value looks like, with its unit and bounds.
    pub(super) fn unit(&self) -> String {
        match self {
            Self::Path(_) => "path".to_owned(),
            Self::Address(_) => "address, `host:port`".to_owned(),
            Self::Bytes(_, range) => format!(
                "bytes, an integer or text such as `\"64 MiB\"`, {} to {}",
                format_bytes(*range.start()),
                format_bytes(*range.end())
            ),
            Self::Count(_, range) => format!("count, {} to {}", range.start(), range.end()),
            Self::Milliseconds(_, range) => format!(
                "milliseconds, an integer or text such as `\"5ms\"`, {} to {}",
                range.start(),
                range.end()
            ),
            Self::Seconds(_, range) => format!(
                "seconds, an integer or text such as `\"90s\"` or `\"14d\"`, {} to {}",
                format_duration(Duration::from_secs(*range.start())),
                format_duration(Duration::from_secs(*range.end()))
            ),
            Self::Switch(_) => "`true` or `false`".to_owned(),
            Self::Text(_) => "text; empty is not given".to_owned(),
            Self::Secret(_) => "text, never shown; empty is not given".to_owned(),
            Self::ObjectsKind(_) => {
                ObjectsKind::NAMES.map(|name| format!("`\"{name}\"`")).join(" or ")
            }
            Self::Texts(_) => "list of texts; in the environment parted by commas".to_owned(),
        }
    }
}

fn path(given: &Given<'_>) -> Result<PathBuf, String> {
    match text(given, "a path")? {
        "" => Err("is empty: name a directory".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

fn bytes(given: &Given<'_>, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = match given {
        Given::Text(text) => parse_bytes(text).map_err(|error| format!("= {error}"))?,
        Given::Integer(bytes) => u64::try_from(*bytes).map_err(|_| "is negative".to_owned())?,
        other => return Err(wrong_kind(other, "a size such as \"64 MiB\" or a number of bytes")),
    };
    within(bytes, range, format_bytes)
}

fn count(given: &Given<'_>, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let count = match given {
        Given::Text(text) => {
            text.trim().parse().map_err(|_| format!("= {} is not a whole number", quoted(given)))?
        }
        Given::Integer(count) => u64::try_from(*count).map_err(|_| "is negative".to_owned())?,
        other => return Err(wrong_kind(other, "a whole number")),
    };
    within(count, range, |count| count.to_string())
}

fn milliseconds(given: &Given<'_>, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    let duration = match given {
        Given::Text(text) => match text.trim().parse() {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            Err(_) => parse_duration(text).map_err(|error| format!("= {error}"))?,
        },
        Given::Integer(milliseconds) => {
            let milliseconds = u64::try_from(*milliseconds);
            Duration::from_millis(milliseconds.map_err(|_| "is negative".to_owned())?)
        }
        other => return Err(wrong_kind(other, "milliseconds or a duration such as \"5ms\"")),
    };
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    within(milliseconds, range, |milliseconds| format!("{milliseconds}ms"))?;
    Ok(duration)
}

fn seconds(given: &Given<'_>, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    let duration = match given {
        Given::Text(text) => match text.trim().parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => parse_duration(text).map_err(|error| format!("= {error}"))?,
        },
        Given::Integer(seconds) => {
            let seconds = u64::try_from(*seconds).map_err(|_| "is negative".to_owned())?;
            Duration::from_secs(seconds)
        }
        other => return Err(wrong_kind(other, "seconds or a duration such as \"14d\"")),
    };
    within(duration.as_secs(), range, |seconds| format_duration(Duration::from_secs(seconds)))?;
    Ok(duration)
}

/// Nothing of what was given is repeated.
fn secret(given: &Given<'_>) -> Result<String, String> {
    match given {
        Given::Text(text) => Ok(text.trim().to_owned()),
        _ => Err("is of the wrong kind: write a text".to_owned()),
    }
}

fn objects_kind(given: &Given<'_>) -> Result<ObjectsKind, String> {
    let name = text(given, "\"local\" or \"s3\"")?;
    let kind = ObjectsKind::parse(name.trim());
    kind.ok_or_else(|| {
        format!("= {} is no kind of store: write \"local\" or \"s3\"", quoted(given))
    })
}

fn switch(given: &Given<'_>) -> Result<bool, String> {
    match given {
        Given::Boolean(on) => Ok(*on),
        Given::Text("true" | "1") => Ok(true),
        Given::Text("false" | "0") => Ok(false),
        other => Err(wrong_kind(other, "true or false")),
    }
}

fn texts(given: &Given<'_>) -> Result<Vec<String>, String> {
    match given {
        Given::Texts(items) => Ok(items.iter().map(|item| (*item).to_owned()).collect()),
        Given::Text(text) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(str::to_owned).collect())
        }
        other => Err(wrong_kind(other, "a list of texts such as [\"https://shop.example\"]")),
    }
}

fn text<'a>(given: &Given<'a>, expected: &str) -> Result<&'a str, String> {
    match given {
        Given::Text(text) => Ok(text),
        other => Err(wrong_kind(other, expected)),
    }
}

fn within(
    value: u64,
    range: &RangeInclusive<u64>,
    show: impl Fn(u64) -> String,
) -> Result<u64, String> {
    if value < *range.start() {
        return Err(format!("= {} is below the least, {}", show(value), show(*range.start())));
    }
    if value > *range.end() {
        return Err(format!("= {} is above the most, {}", show(value), show(*range.end())));
    }
    Ok(value)
}

fn wrong_kind(given: &Given<'_>, expected: &str) -> String {
    format!("= {} is of the wrong kind: write {expected}", quoted(given))
}

fn quoted(given: &Given<'_>) -> String {
    match given {
        Given::Text(text) => toml_text(text),
        Given::Integer(number) => number.to_string(),
        Given::Boolean(on) => on.to_string(),
        Given::Texts(_) => "[...]".to_owned(),
        Given::Other(kind) => format!("({kind})"),
    }
}

/// A TOML basic string.
fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
