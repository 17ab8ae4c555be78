//! What the figures were measured on, and with.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

pub(super) struct Machine {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) processor: String,
    pub(super) system: String,
}

impl Machine {
    pub(super) fn look(root: &Path) -> anyhow::Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let model = value_of(&processors, "model name").unwrap_or("unknown processor");
        let memory = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let kilobytes = value_of(&memory, "MemTotal").and_then(|value| value.split(' ').next());
        let kilobytes: u64 = kilobytes.unwrap_or("0").parse().context("MemTotal")?;
        let n_cores = std::thread::available_parallelism()?;
        let is_changed = !said(root, "git", &["status", "--porcelain"])?.is_empty();
        let commit = said(root, "git", &["rev-parse", "--short", "HEAD"])?;
        Ok(Self {
            date: said(root, "date", &["-u", "+%Y-%m-%d"])?,
            commit: if is_changed { format!("{commit} with changes") } else { commit },
            processor: format!("{n_cores} cores of {model}, {} GiB", kilobytes >> 20),
            system: said(root, "uname", &["-sr"])?,
        })
    }
}

/// What stands after `name` and a colon.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn said(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.with_context(|| format!("start {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
