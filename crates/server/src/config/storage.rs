//! What the configuration says about blocks: where they lie, when they are made, how long they stay.
//!
//! In: values that are within their bounds each. Out: errors where two of them contradict each
//! other, and plain options for the packages that do the work.

use std::fmt;
use std::time::Duration;

use suyuan_objects::S3Options;

use super::ConfigError;

/// Where blocks and their catalog are.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectsConfig {
    pub kind: ObjectsKind,
    pub bucket: String,
    pub prefix: String,
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub allow_http: bool,
    pub virtual_hosted: bool,
    pub request_time_max: Duration,
    pub cache_bytes_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectsKind {
    /// `objects/` in the data directory.
    Local,
    S3,
}

/// What is never shown.
#[derive(Clone, Default, PartialEq)]
pub struct Secret(pub String);

/// When live data becomes a block: at the first of these.
#[derive(Debug, Clone, PartialEq)]
pub struct SealConfig {
    pub rows_max: u64,
    pub age_max: Duration,
    pub log_bytes_max: u64,
}

/// How long what was received stays; zero is for ever, and however much.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionConfig {
    pub age_max: Duration,
    pub bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CompactionConfig {
    pub enabled: bool,
    pub delete_after: Duration,
    pub erase_after: Duration,
}

impl ObjectsKind {
    pub(super) const NAMES: [&str; 2] = ["local", "s3"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "local" => Some(Self::Local),
            "s3" => Some(Self::S3),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(not shown)" })
    }
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        let s3 = S3Options::for_bucket("");
        Self {
            kind: ObjectsKind::Local,
            bucket: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            allow_http: s3.allow_http,
            virtual_hosted: s3.virtual_hosted,
            request_time_max: s3.request_timeout,
            cache_bytes_max: 64 << 20,
        }
    }
}

impl ObjectsConfig {
    /// How the bucket is reached; what is not said is left to the environment's `AWS_...`.
    pub fn s3_options(&self) -> S3Options {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        S3Options {
            prefix: self.prefix.trim_matches('/').to_owned(),
            endpoint: given(&self.endpoint),
            region: given(&self.region),
            access_key_id: given(&self.access_key_id),
            secret_access_key: given(&self.secret_access_key.0),
            allow_http: self.allow_http,
            virtual_hosted: self.virtual_hosted,
            request_timeout: self.request_time_max,
            ..S3Options::for_bucket(self.bucket.clone())
        }
    }

    /// For people: which store it is.
    pub fn place(&self) -> String {
        match (self.kind, self.prefix.trim_matches('/')) {
            (ObjectsKind::Local, _) => "objects/ in the data directory".to_owned(),
            (ObjectsKind::S3, "") => format!("s3://{}", self.bucket),
            (ObjectsKind::S3, prefix) => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_s3 = self.kind == ObjectsKind::S3;
        if is_s3 && self.bucket.is_empty() {
            return Err(ConfigError::NoBucket);
        }
        if !is_s3 && !self.bucket.is_empty() {
            return Err(ConfigError::BucketUnused { bucket: self.bucket.clone() });
        }
        if is_s3 && self.access_key_id.is_empty() != self.secret_access_key.0.is_empty() {
            return Err(ConfigError::HalfAKey);
        }
        if is_s3 && self.endpoint.starts_with("http://") && !self.allow_http {
            return Err(ConfigError::PlainHttp { endpoint: self.endpoint.clone() });
        }
        Ok(())
    }
}
