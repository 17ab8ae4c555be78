//! What is sent: corpora that `shop.py` makes, and what it says must be found of them.
//!
//! In: the script. Out: folders of requests with their `truth.json`. A corpus is made once and
//! kept; the same arguments give the same spans, but for their times, which end when it was made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Corpora of the long measurement, and how far apart in time they are.
pub(super) const N_TWENTY: u64 = 20;
const TWENTY_STEP_SECONDS: u64 = 300;
pub(super) const N_AWKWARD_PARTS: usize = 8;

pub(super) struct Corpora {
    script: PathBuf,
    folder: PathBuf,
    is_quick: bool,
}

/// One corpus on the disk.
pub(super) struct Corpus {
    pub(super) folder: PathBuf,
    truth: Value,
}

/// A trace that must be found with as many spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) id: String,
    pub(super) n_spans: u64,
}

impl Corpora {
    pub(super) fn new(script: PathBuf, folder: PathBuf, is_quick: bool) -> Self {
        Self { script, folder, is_quick }
    }

    /// One million spans of a quarter of an hour.
    pub(super) fn shop(&self) -> anyhow::Result<Corpus> {
        let minutes = if self.is_quick { "1.5" } else { "15" };
        self.corpus("shop", &["--spans", self.n_spans(), "--minutes", minutes])
    }

    /// One million spans of an hour as real exporters send them, in eight parts.
    pub(super) fn awkward(&self) -> anyhow::Result<Corpus> {
        self.in_eight_parts("awkward", &[])
    }

    /// The same with no span of a wrong clock.
    pub(super) fn awkward_of_right_clocks(&self) -> anyhow::Result<Corpus> {
        self.in_eight_parts("right_clocks", &["--right-clocks"])
    }

    fn in_eight_parts(&self, name: &str, further: &[&str]) -> anyhow::Result<Corpus> {
        let minutes = if self.is_quick { "20" } else { "60" };
        let parts = N_AWKWARD_PARTS.to_string();
        let size = ["--awkward", "--spans", self.n_spans(), "--minutes", minutes];
        self.corpus(name, &[size.as_slice(), &["--parts", &parts], further].concat())
    }

    /// Twenty times one million spans, each five minutes that follow the last, up to now.
    pub(super) fn twenty(&self) -> anyhow::Result<Vec<Corpus>> {
        self.first_of_twenty(N_TWENTY)
    }

    /// Some of them.
    pub(super) fn first_of_twenty(&self, n_corpora: u64) -> anyhow::Result<Vec<Corpus>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let corpus = |seed: u64| {
            let end = (now - (N_TWENTY - seed) * TWENTY_STEP_SECONDS).to_string();
            let seed = seed.to_string();
            let minutes = if self.is_quick { "0.5" } else { "5" };
            let size = ["--spans", self.n_spans(), "--minutes", minutes];
            let arguments = [size.as_slice(), &["--seed", &seed, "--end", &end]].concat();
            self.corpus(&format!("twenty/{seed}"), &arguments)
        };
        (1..=n_corpora).map(corpus).collect()
    }

    fn n_spans(&self) -> &'static str {
        if self.is_quick { "100000" } else { "1000000" }
    }

    fn corpus(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Corpus> {
        let size = if self.is_quick { "quick" } else { "" };
        let folder = self.folder.join(size).join(name);
        let truth = folder.join("truth.json");
        // The truth is written last: without it the corpus is not whole.
        if !truth.exists() {
            super::say(&format!("make the corpus {name} ..."))?;
            self.make(&folder, arguments)?;
        }
        let truth = std::fs::read(&truth).with_context(|| format!("read {}", truth.display()))?;
        Ok(Corpus { folder, truth: serde_json::from_slice(&truth).context("truth.json")? })
    }

    fn make(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut python = Command::new("python3");
        python.arg(&self.script).arg(folder).args(arguments).stdout(std::io::stderr());
        let status = python.status().context("start python3")?;
        ensure!(
            status.success(),
            "{} failed; it needs `pip install opentelemetry-proto`",
            self.script.display()
        );
        Ok(())
    }
}

impl Corpus {
    pub(super) fn n_spans(&self) -> anyhow::Result<u64> {
        self.truth["spans"].as_u64().context("truth.json names no `spans`")
    }

    /// From the first to the last moment, clocks that were wrong aside; seconds since 1970.
    pub(super) fn time_seconds(&self) -> anyhow::Result<(u64, u64)> {
        let seconds = |name: &str| {
            let nanos = self.truth[name].as_u64();
            nanos.map(|nanos| nanos / 1_000_000_000).with_context(|| format!("no `{name}`"))
        };
        Ok((seconds("start_ns")?, seconds("end_ns")?))
    }

    /// Every trace that it names.
    pub(super) fn named_traces(&self) -> anyhow::Result<Vec<Expected>> {
        let mut traces = Vec::new();
        for name in ["trace_of_46", "biggest", "long_trace"] {
            if let Some(trace) = self.truth.get(name) {
                traces.push(expected(trace)?);
            }
        }
        for name in ["sample_traces", "clock_traces"] {
            for trace in self.truth.get(name).and_then(Value::as_array).into_iter().flatten() {
                traces.push(expected(trace)?);
            }
        }
        Ok(traces)
    }

    pub(super) fn trace_of_46(&self) -> anyhow::Result<Expected> {
        expected(&self.truth["trace_of_46"]).context("trace_of_46")
    }

    pub(super) fn biggest(&self) -> anyhow::Result<Expected> {
        expected(&self.truth["biggest"]).context("biggest")
    }

    /// The same requests in `n_parts` folders, in their order, as links below `folder`.
    pub(super) fn in_parts(&self, folder: &Path, n_parts: usize) -> anyhow::Result<Vec<PathBuf>> {
        let mut requests = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "pb") {
                requests.push(std::path::absolute(path)?);
            }
        }
        requests.sort();
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let mut parts = Vec::new();
        for (number, requests) in requests.chunks(requests.len().div_ceil(n_parts)).enumerate() {
            let part = folder.join(number.to_string());
            std::fs::create_dir_all(&part)?;
            for request in requests {
                let name = request.file_name().context("a request without a name")?;
                std::os::unix::fs::symlink(request, part.join(name))?;
            }
            parts.push(part);
        }
        Ok(parts)
    }
}

/// `[id, number of spans]`.
fn expected(trace: &Value) -> anyhow::Result<Expected> {
    let id = trace[0].as_str().context("a trace without an id")?;
    let n_spans = trace[1].as_u64().context("a trace without a number of spans")?;
    Ok(Expected { id: id.to_owned(), n_spans })
}
