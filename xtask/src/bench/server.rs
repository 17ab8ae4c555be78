//! A server under measurement: started on free ports, asked what it used, stopped.
//!
//! In: the program and the variables it is configured by. Out: its addresses, its processor time
//! and peak memory as the kernel counts them, its own counters, the bytes of its objects. The data
//! directory is made empty at the start.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::http::Connection;

/// Linux tells user programs processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What no background work may change between two looks at it.
pub(super) const NO_COMPACTION: (&str, &str) = ("SUYUAN_COMPACTION_ENABLED", "false");

pub(super) struct Program {
    file: PathBuf,
}

pub(super) struct Server {
    child: Child,
    /// Held, for whoever writes to a closed pipe fails.
    stdout: BufReader<ChildStdout>,
    data: PathBuf,
    http: String,
    otlp: String,
}

/// What a flush took.
pub(super) struct Flush {
    pub(super) time: Duration,
}

impl Program {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Starts with nothing in it, and returns when it is ready. What it says goes to `said` in
    /// `folder`.
    pub(super) fn start(&self, folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
        let data = folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data).with_context(|| format!("empty {}", data.display()))?;
        }
        let said = std::fs::File::create(folder.join("said"))?;
        let mut child = Command::new(&self.file)
            .args(["serve", "--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--otlp-http", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .with_context(|| format!("start {}", self.file.display()))?;
        let stdout = BufReader::new(child.stdout.take().context("its standard output")?);
        let mut server = Server { child, stdout, data, http: String::new(), otlp: String::new() };
        for line in server.stdout.by_ref().lines() {
            let line = line?;
            let Some(doors) = line.strip_prefix("ready ") else { continue };
            let door = |name: &str| {
                let doors = doors.split(' ').filter_map(|door| door.split_once('='));
                let mut named = doors.filter(|(known, _)| *known == name);
                named.next().map(|(_, address)| address.to_owned())
            };
            server.http = door("http").context("`ready` names no http")?;
            server.otlp = door("otlp_http").context("`ready` names no otlp_http")?;
            return Ok(server);
        }
        anyhow::bail!("the server ended before it was ready: see {}", folder.display())
    }
}

impl Server {
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn http(&self) -> &str {
        &self.http
    }

    pub(super) fn otlp_url(&self) -> String {
        format!("http://{}/v1/traces", self.otlp)
    }

    pub(super) fn questions(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.http)
    }

    pub(super) fn otlp(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.otlp)
    }

    /// Processor time of all its threads since its start, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process()))?;
        // The second field is a name in parentheses, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let mut ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) else {
            anyhow::bail!("/proc/PID/stat names no processor time");
        };
        Ok((user + system) / TICKS_PER_SECOND)
    }

    /// The most memory that it ever had, in bytes.
    pub(super) fn peak_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kilobytes.context("/proc/PID/status names no VmHWM")? * 1024)
    }

    /// Size of everything in `objects/`.
    pub(super) fn object_bytes(&self) -> anyhow::Result<u64> {
        folder_bytes(&self.data.join("objects"))
    }

    /// Its counters without labels, by name.
    pub(super) fn metrics(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let answer = self.questions()?.get("/metrics", &[])?.accepted()?;
        let lines = String::from_utf8(answer).context("/metrics")?;
        let pairs = lines.lines().filter(|line| !line.starts_with('#'));
        let pairs = pairs.filter_map(|line| line.split_once(' '));
        Ok(pairs.filter_map(|(name, value)| Some((name.into(), value.parse().ok()?))).collect())
    }

    /// Returns when so many spans are live: the last ones become visible a quarter of a second after
    /// their request.
    pub(super) fn await_live(&self, n_spans: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let n_live = self.metrics()?.get("suyuan_store_live_rows").copied().unwrap_or(0.0);
            if n_live >= n_spans as f64 {
                return Ok(());
            }
            ensure!(
                began.elapsed().as_secs() < 10,
                "{n_live} of {n_spans} spans are live after 10 s"
            );
        }
    }

    /// Everything acknowledged before becomes blocks.
    pub(super) fn flush(&self) -> anyhow::Result<Flush> {
        self.admin("/api/admin/flush")
    }

    /// The same, and then blocks become fewer as far as it pays.
    pub(super) fn flush_and_compact(&self) -> anyhow::Result<Flush> {
        self.admin("/api/admin/flush?compact=true")
    }

    pub(super) fn admin(&self, path: &str) -> anyhow::Result<Flush> {
        let began = Instant::now();
        self.questions()?.post(path, &[], &[])?.accepted()?;
        Ok(Flush { time: began.elapsed() })
    }

    /// Ends it as a service manager does, and holds that it ends well.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let process = self.process().to_string();
        Command::new("kill").args(["-TERM", &process]).status().context("start kill")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(std::fs::remove_dir_all(&self.data)?)
    }
}

impl Drop for Server {
    /// Only a measurement that failed finds it alive.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Nothing is left to do about an error: the failure that led here is being told.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
