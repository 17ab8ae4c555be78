//! The configuration: one TOML file, the environment above it, flags above both.
//!
//! In: a file's text, `SUYUAN_...` variables, flags of `serve`. Out: a [`Config`] in which every
//! value is within its bounds, or an error that names the place, the key and the fix. The only
//! module that reads the configuration file; each package takes its own plain options.
//!
//! Every key stands once, in [`keys::KEYS`]: reading, `--print-config` and
//! `docs/configuration.md` all come from that table.

pub mod address;
mod file;
pub mod keys;
mod reference;
mod slot;
pub mod storage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use address::Address;
use keys::{KEYS, Key};
pub use reference::{effective_toml, reference_markdown};
use slot::Given;
use storage::{CompactionConfig, ObjectsConfig, RetentionConfig, SealConfig};

/// What the server runs with. The defaults need no file (`design.md 10`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub server: ServerConfig,
    pub otlp: OtlpConfig,
    pub tenancy: TenancyConfig,
    pub limits: LimitsConfig,
    pub log: LogConfig,
    pub objects: ObjectsConfig,
    pub seal: SealConfig,
    pub retention: RetentionConfig,
    pub compaction: CompactionConfig,
    pub query: QueryConfig,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    pub data_dir: PathBuf,
    pub http: Address,
    pub drain_wait_max: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OtlpConfig {
    pub grpc: Address,
    pub http: Address,
    pub cors_allowed_origins: Vec<String>,
    pub body_bytes_max: u64,
    pub inflated_bytes_max: u64,
    pub in_flight_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TenancyConfig {
    pub enabled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    pub attribute_value_bytes_max: u64,
    pub attributes_per_span_max: u64,
    pub events_per_span_max: u64,
    pub links_per_span_max: u64,
    pub spans_per_trace_max: u64,
    /// Zero is unlimited.
    pub tenant_bytes_per_second: u64,
    pub memory_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub segment_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QueryConfig {
    pub trace_horizon: Duration,
    pub timeout: Duration,
    pub memory_bytes_max: u64,
    /// Zero: as many as there are processors.
    pub concurrency: u64,
    pub queue_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig {
                data_dir: PathBuf::from("./suyuan-data"),
                http: Address::localhost(3200),
                drain_wait_max: Duration::from_secs(10),
            },
            otlp: OtlpConfig {
                grpc: Address::localhost(4317),
                http: Address::localhost(4318),
                cors_allowed_origins: Vec::new(),
                body_bytes_max: 20 << 20,
                inflated_bytes_max: 100 << 20,
                in_flight_bytes_max: 64 << 20,
            },
            tenancy: TenancyConfig { enabled: false },
            limits: LimitsConfig {
                attribute_value_bytes_max: 64 << 10,
                attributes_per_span_max: 1024,
                events_per_span_max: 1024,
                links_per_span_max: 1024,
                spans_per_trace_max: 1_000_000,
                tenant_bytes_per_second: 0,
                memory_bytes_max: 512 << 20,
            },
            log: LogConfig { segment_bytes_max: 64 << 20 },
            objects: ObjectsConfig::default(),
            seal: SealConfig {
                rows_max: 2_000_000,
                age_max: Duration::from_mins(2),
                log_bytes_max: 1 << 30,
            },
            retention: RetentionConfig { age_max: Duration::from_hours(14 * 24), bytes_max: 0 },
            compaction: CompactionConfig {
                enabled: true,
                delete_after: Duration::from_secs(15 * 60 + 30),
                erase_after: Duration::from_hours(24),
            },
            query: QueryConfig {
                trace_horizon: Duration::from_hours(1),
                timeout: Duration::from_secs(30),
                memory_bytes_max: 128 << 20,
                concurrency: 0,
                queue_max: 64,
            },
        }
    }
}

/// Why there is no configuration. Each names where it stands and what to write instead.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {reason}", path = path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the configuration file {path} is larger than {bytes_max} bytes", path = path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
    #[error("{place}: not TOML: {message}")]
    Syntax { place: String, message: String },
    #[error("{place}: unknown section `[{section}]`{hint}")]
    UnknownSection { place: String, section: String, hint: Hint },
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey { place: String, key: String, hint: Hint },
    #[error("{place}: `{key}` {problem}")]
    BadValue { place: String, key: String, problem: String },
    #[error(
        "`otlp.body_bytes_max` is {body_bytes_max} bytes, more than `otlp.inflated_bytes_max` with \
         {inflated_bytes_max}: a request that is not compressed has to pass both, raise the second"
    )]
    BodyAboveInflated { body_bytes_max: u64, inflated_bytes_max: u64 },
    #[error(
        "`otlp.in_flight_bytes_max` is {in_flight_bytes_max} bytes, more than half of \
         `limits.memory_bytes_max` with {memory_bytes_max}: live data needs room too, lower the \
         first or raise the second"
    )]
    InFlightAboveMemory { in_flight_bytes_max: u64, memory_bytes_max: u64 },
    #[error("`objects.kind` is \"s3\" and `objects.bucket` is not set: name the bucket")]
    NoBucket,
    #[error(
        "`objects.bucket` is \"{bucket}\" and `objects.kind` is \"local\", so the bucket would not be \
         used: set `objects.kind` to \"s3\", or leave the bucket out"
    )]
    BucketUnused { bucket: String },
    #[error(
        "of `objects.access_key_id` and `objects.secret_access_key` one is set: set both, or neither \
         to use what the environment or the machine has"
    )]
    HalfAKey,
    #[error(
        "`objects.endpoint` is \"{endpoint}\", which is not encrypted: use https, or set \
         `objects.allow_http` to true if you trust the network in between"
    )]
    PlainHttp { endpoint: String },
}

/// The end of an error about an unknown name: what the writer probably meant.
#[derive(Debug, PartialEq)]
pub struct Hint(Option<String>);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(nearest) => write!(f, ", did you mean `{nearest}`?"),
            None => write!(f, "; `suyuan serve --print-config` lists every key"),
        }
    }
}

/// Where values come from, weakest first.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Variables of the environment; others than `SUYUAN_<SECTION>_<KEY>` are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags that were given: their name with dashes, their value.
    pub flags: Vec<(&'static str, String)>,
}

/// A configuration, and what its reader should hear about how it came to be.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Variables that look like keys and are none. Only a warning: a container platform may set
    /// `SUYUAN_SERVER_SERVICE_HOST` of its own accord for a service called `suyuan-server`.
    pub warnings: Vec<String>,
}

/// Reads the file, the environment and the flags, in this order, onto the defaults.
///
/// # Errors
/// The first value that cannot be taken.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut config = Config::default();
    if let Some(path) = &sources.file {
        file::read_onto(&mut config, path)?;
    }
    let warnings = apply_environment(&mut config, &sources.environment)?;
    apply_flags(&mut config, &sources.flags)?;
    check_together(&config)?;
    Ok(Loaded { config, warnings })
}

fn apply_environment(
    config: &mut Config,
    environment: &[(String, String)],
) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    for (name, value) in environment {
        let Some(key) = KEYS.iter().find(|key| key.variable() == *name) else {
            warnings.extend(misspelt_variable(name));
            continue;
        };
        let place = format!("environment variable {name}");
        apply(config, key, &Given::Text(value), &place)?;
    }
    Ok(warnings)
}

/// Speaks up only for what begins like a key: `SUYUAN_`, a section, `_`.
fn misspelt_variable(name: &str) -> Option<String> {
    /// Variables of the command line that happen to begin like a section.
    const OTHERS: [&str; 1] = ["SUYUAN_LOG_FORMAT"];
    let rest = name.strip_prefix("SUYUAN_")?;
    let begins_like = |key: &Key| {
        let section = rest.get(..key.section.len()).unwrap_or_default();
        section.eq_ignore_ascii_case(key.section) && rest[section.len()..].starts_with('_')
    };
    if OTHERS.contains(&name) || !KEYS.iter().any(begins_like) {
        return None;
    }
    let nearest = nearest(name, KEYS.iter().map(Key::variable))?;
    Some(format!("environment variable {name} is no key and was ignored, did you mean {nearest}?"))
}

fn apply_flags(config: &mut Config, flags: &[(&str, String)]) -> Result<(), ConfigError> {
    for (flag, value) in flags {
        let key = KEYS
            .iter()
            .find(|key| key.flag == Some(*flag))
            .expect("a test holds that every flag of `serve` stands in the table");
        apply(config, key, &Given::Text(value), &format!("flag {flag}"))?;
    }
    Ok(())
}

fn apply(
    config: &mut Config,
    key: &Key,
    given: &Given<'_>,
    place: &str,
) -> Result<(), ConfigError> {
    key.slot.set(config, given).map_err(|problem| ConfigError::BadValue {
        place: place.to_owned(),
        key: key.path(),
        problem,
    })
}

fn check_together(config: &Config) -> Result<(), ConfigError> {
    let OtlpConfig { body_bytes_max, inflated_bytes_max, in_flight_bytes_max, .. } = config.otlp;
    if body_bytes_max > inflated_bytes_max {
        return Err(ConfigError::BodyAboveInflated { body_bytes_max, inflated_bytes_max });
    }
    let memory_bytes_max = config.limits.memory_bytes_max;
    if in_flight_bytes_max > memory_bytes_max / 2 {
        return Err(ConfigError::InFlightAboveMemory { in_flight_bytes_max, memory_bytes_max });
    }
    config.objects.check()
}

/// The known name that is closest to what was written, if it is close enough to be meant.
fn nearest(written: &str, known: impl Iterator<Item = String>) -> Option<String> {
    const SIMILARITY_MIN: f64 = 0.75;
    known
        .map(|name| (strsim::jaro_winkler(written, &name), name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

/// `suyuan.toml:7`.
fn place_in(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

#[cfg(test)]
mod tests;
