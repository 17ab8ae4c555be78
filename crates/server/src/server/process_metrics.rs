//! The process itself on `/metrics`, under the names that every Prometheus dashboard knows.
//!
//! In: `/proc/self`, where there is one. Out: which version it is, memory, CPU time, start, open
//! files. A system without `/proc` shows no numbers, rather than zeros.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

/// Reads the process's numbers when somebody asks.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("suyuan_build", "Which version runs.");
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        Info::new([("version", env!("CARGO_PKG_VERSION"))]).encode(metric)?;
        let memory = [
            ("process_resident_memory", "Memory of the process in RAM.", "VmRSS:"),
            ("process_resident_memory_peak", "The most memory in RAM it ever had.", "VmHWM:"),
        ];
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, label) in memory {
            let Some(bytes) = status_bytes(&status, label) else { continue };
            let unit = Some(&Unit::Bytes);
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(bytes).encode(metric)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let (name, help) = ("process_cpu", "CPU time in user and system mode.");
            let unit = Some(&Unit::Seconds);
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        if let Some(seconds) = start_unix_seconds() {
            let (name, help) = ("process_start_time", "When the process started, since 1970.");
            let unit = Some(&Unit::Seconds);
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(seconds).encode(metric)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let (name, help) = ("process_open_fds", "Open files and sockets.");
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(files.count() as u64).encode(metric)?;
        }
        Ok(())
    }
}

/// `VmRSS:      1234 kB` in bytes.
fn status_bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Time in user and in system mode, fields 14 and 15.
fn cpu_seconds() -> Option<f64> {
    Some(stat_seconds(14)? + stat_seconds(15)?)
}

/// Field 22 counts from when the machine was started.
fn start_unix_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted_at = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(booted_at.trim().parse::<f64>().ok()? + stat_seconds(22)?)
}

/// A field of `/proc/self/stat` that holds clock ticks. Fields are counted from 1 and found behind
/// the second one, a name that may hold blanks.
fn stat_seconds(field: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(field - 3)?.parse().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_process_shows_its_memory_and_time() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in [
            "process_resident_memory_bytes ",
            "process_resident_memory_peak_bytes ",
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
            "process_open_fds ",
            concat!("suyuan_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} "),
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{name}{value}");
        }
    }

    #[test]
    fn memory_is_read_from_its_line() {
        assert_eq!(status_bytes("VmPeak: 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12 << 10));
        assert_eq!(status_bytes("VmRSS:\t   12 MB\n", "VmRSS:"), None);
        assert_eq!(status_bytes("", "VmRSS:"), None);
    }
}
