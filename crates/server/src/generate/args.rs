//! What `suyuan generate` can be told.
//!
//! In: arguments. Out: `Options` for the network or for a folder, or which argument is wrong and
//! how to write it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;

use super::folder::FolderOptions;
use super::{Compression, Options, Patience, Protocol};
use crate::quantity::parse_duration;

/// Write the traces of an invented shop to an OTLP endpoint, or into a folder
///
/// The shop has two gateways, two dozen services, databases and queues; it errs, it is slow, it tries
/// again. The same seed gives the same traces. At the end a report says what was acknowledged,
/// refused and lost; latencies count from the moment at which a request should have left, so that a
/// slow server shows. The exit code is 1 if anything was lost.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  suyuan generate --rate 1000 --duration 1m
  suyuan generate --endpoint http://collector:4317 --protocol grpc --count 1000000 --rate 0
  suyuan generate --rate 50000 --duration 1m --verify http://127.0.0.1:3200
  suyuan generate --out corpus --count 1000000 --minutes 15")]
pub struct GenerateArgs {
    /// Where to send; `/v1/traces` is added for HTTP [default: http://127.0.0.1:4318, or :4317 for grpc]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    endpoint: Option<String>,
    /// How to send
    #[arg(long, value_enum, default_value = "http/protobuf", env = "OTEL_EXPORTER_OTLP_PROTOCOL")]
    protocol: Protocol,
    /// How to compress requests
    #[arg(long, value_enum, default_value = "none", env = "OTEL_EXPORTER_OTLP_COMPRESSION")]
    compression: Compression,
    /// A header for every request; may be repeated
    #[arg(long = "header", value_name = "KEY=VALUE")]
    headers: Vec<String>,
    /// The tenant to send as: the header X-Scope-OrgID, also for --verify
    #[arg(long)]
    tenant: Option<String>,
    /// Spans per second; 0 sends as fast as it goes
    #[arg(long, value_name = "SPANS", default_value_t = 1000.0)]
    rate: f64,
    /// Stop after so many spans; the last trace is completed [default with --out: 100000]
    #[arg(long, value_name = "SPANS")]
    count: Option<u64>,
    /// Stop after so long, such as 30s or 2m; without --count and --duration it runs until Ctrl-C
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Connections, each with one request under way at most
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Which shop; the same seed gives the same traces
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Spans in a request at most; a request leaves after 200 ms in any case
    #[arg(long, value_name = "SPANS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// Look sampled traces up by id once they are acknowledged, and measure when they are visible
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:3200")]
    verify: Option<String>,
    /// Write request files and truth.json into this folder instead of sending
    #[arg(long, value_name = "DIR", conflicts_with_all = ["verify", "duration"])]
    out: Option<PathBuf>,
    /// With --out: the time that the spans are spread over
    #[arg(long, default_value_t = 20.0, requires = "out")]
    minutes: f64,
    /// With --out: when the spans end, in seconds since 1970 [default: now]
    #[arg(long, value_name = "UNIX_SECONDS", requires = "out")]
    end: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

const COUNT_OF_FOLDER: u64 = 100_000;
/// Spans per second that leave room for arithmetic on nanoseconds.
const RATES: RangeInclusive<f64> = 0.01..=1e8;

impl GenerateArgs {
    /// Whether the report is for machines.
    pub fn json(&self) -> bool {
        self.json
    }

    /// What to send over the network.
    pub fn options(&self) -> anyhow::Result<Options> {
        if self.rate != 0.0 && !RATES.contains(&self.rate) {
            bail!(
                "--rate {}: write spans per second from {} to {}, or 0 for as fast as it goes",
                self.rate,
                RATES.start(),
                RATES.end()
            );
        }
        let default_endpoint = match self.protocol {
            Protocol::Grpc => "http://127.0.0.1:4317",
            Protocol::HttpProtobuf | Protocol::HttpJson => "http://127.0.0.1:4318",
        };
        let mut headers = Vec::new();
        for header in &self.headers {
            let (key, value) = header
                .split_once('=')
                .with_context(|| format!("--header {header}: write it as KEY=VALUE"))?;
            headers.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(tenant) = &self.tenant {
            headers.push(("X-Scope-OrgID".to_owned(), tenant.clone()));
        }
        Ok(Options {
            endpoint: self.endpoint.clone().unwrap_or_else(|| default_endpoint.to_owned()),
            protocol: self.protocol,
            compression: self.compression,
            headers,
            connections: usize::from(self.connections),
            seed: self.seed,
            batch_spans_max: self.batch as usize,
            spans_per_second: (self.rate > 0.0).then_some(self.rate),
            spans_max: self.count,
            duration_max: self.duration,
            patience: Patience::default(),
            verify: self.verify.clone(),
        })
    }

    /// What to write into a folder, if that was asked for.
    pub(super) fn out(&self) -> anyhow::Result<Option<FolderOptions>> {
        let Some(folder) = &self.out else { return Ok(None) };
        if !self.minutes.is_finite() || self.minutes < 2.0 || self.minutes > 1e6 {
            bail!("--minutes {}: write at least 2 (a trace may last one)", self.minutes);
        }
        let protobuf = match self.protocol {
            Protocol::HttpJson => false,
            Protocol::HttpProtobuf | Protocol::Grpc => true,
        };
        let end_unix_nanos = match self.end {
            Some(seconds) => seconds
                .checked_mul(1_000_000_000)
                .with_context(|| format!("--end {seconds}: that is beyond the year 2554"))?,
            None => unix_nanos(SystemTime::now()),
        };
        let duration_nanos = (self.minutes * 60e9) as u64;
        let Some(start_unix_nanos) = end_unix_nanos.checked_sub(duration_nanos) else {
            bail!("--minutes {}: that begins before 1970", self.minutes);
        };
        Ok(Some(FolderOptions {
            folder: folder.clone(),
            protobuf,
            seed: self.seed,
            batch_spans_max: self.batch as usize,
            spans_max: self.count.unwrap_or(COUNT_OF_FOLDER).max(1),
            start_unix_nanos,
            end_unix_nanos,
        }))
    }
}

/// 0 for a clock before 1970.
pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
