//! Sends a corpus with `otlpload`, the same program that measured the other servers.
//!
//! In: its source, built once in a folder of ours. Out: what it says about the requests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::server::Server;

/// As many as the other servers got.
const CONNECTIONS: &str = "2";

pub(super) struct Loader {
    program: PathBuf,
}

/// How the requests of one corpus went.
pub(super) struct Load {
    pub(super) seconds: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) n_refused: u64,
}

impl Loader {
    pub(super) fn build(source: &Path, folder: &Path) -> anyhow::Result<Self> {
        // Cargo writes a lock file beside the manifest, and the tools are not ours to write to.
        let copy = folder.join("otlpload");
        std::fs::create_dir_all(copy.join("src"))?;
        for file in ["Cargo.toml", "src/main.rs"] {
            let text = std::fs::read(source.join(file)).with_context(|| format!("read {file}"))?;
            write_if_changed(&copy.join(file), &text)?;
        }
        // A workspace of its own, or cargo would look for it in the one around.
        let manifest = copy.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        if !text.contains("[workspace]") {
            std::fs::write(&manifest, format!("{text}\n[workspace]\n"))?;
        }
        let mut build = Command::new("cargo");
        build.args(["build", "--release", "--quiet", "--manifest-path"]).arg(&manifest);
        build.arg("--target-dir").arg(copy.join("target"));
        ensure!(build.status().context("start cargo")?.success(), "otlpload does not build");
        Ok(Self { program: copy.join("target/release/otlpload") })
    }

    /// Sends every request of the folders, in order, and returns when all are answered.
    pub(super) fn send(&self, server: &Server, folders: &[PathBuf]) -> anyhow::Result<Load> {
        let folders: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let output = Command::new(&self.program)
            .args([&server.otlp_url(), &folders.join(","), "--conns", CONNECTIONS])
            .output()
            .context("start otlpload")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "otlpload ended with {}: {errors}", output.status);
        let said: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("what otlpload says")?;
        let number = |name: &str| said[name].as_f64().with_context(|| format!("no `{name}`"));
        Ok(Load {
            seconds: number("seconds")?,
            p99_ms: number("p99_ms")?,
            max_ms: number("max_ms")?,
            n_refused: number("not_2xx")? as u64,
        })
    }
}

/// Leaves the time of a file alone that says the same already, so that cargo builds nothing.
fn write_if_changed(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let has_it = std::fs::read(path).is_ok_and(|old| old.starts_with(text));
    if !has_it {
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
