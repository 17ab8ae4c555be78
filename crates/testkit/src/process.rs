//! A server as a child process: started on free ports, killed without warning, started again.
//!
//! In: the path of the program (an integration test of the server knows it from Cargo) and a data
//! directory. Out: the addresses it printed, or all that it said before it gave up. What it
//! prints is read to the end, so that a full pipe never blocks it.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::client::{Addresses, PATIENCE};

/// A running server; dropped, it is killed.
pub struct ServerProcess {
    child: Child,
    addresses: Addresses,
    said: Vec<String>,
    lines: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts `suyuan serve` on free loopback ports and waits until it says where it listens.
    /// Settings are environment variables, `SUYUAN_<SECTION>_<KEY>` and a value.
    ///
    /// The error is everything it said, if it ended or stayed silent instead.
    pub fn start(
        program: &Path,
        data_dir: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut child = spawn(program, data_dir, settings)?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = vec![pass_lines(stdout, sender.clone()), pass_lines(stderr, sender)];
        let mut said = Vec::new();
        let addresses = wait_for_addresses(&lines, &mut said);
        match addresses {
            Some(addresses) => Ok(Self { child, addresses, said, lines, readers }),
            None => {
                let _already_gone = child.kill();
                let status = child.wait().map_err(|error| error.to_string())?;
                said.extend(lines.iter());
                Err(format!("{status}\n{}", said.join("\n")))
            }
        }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut of the process would: SIGKILL, no word of warning.
    pub fn kill(mut self) {
        self.child.kill().expect("the child was not waited for yet");
        self.ended();
    }

    /// Asks it to end (SIGTERM) and waits until it has; also returns all it said. The runtime goes
    /// on meanwhile, so that a client can hear the server say goodbye.
    pub async fn terminate(mut self) -> (ExitStatus, String) {
        let asked = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill -TERM failed");
        let wait = move || {
            let status = self.ended();
            (status, self.said.join("\n"))
        };
        tokio::task::spawn_blocking(wait).await.expect("waiting for a child does not panic")
    }

    fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a child can be waited for");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader only passes lines on");
        }
        self.said.extend(self.lines.try_iter());
        status
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// Starts `suyuan serve` without waiting for anything; what it says goes into pipes.
pub fn spawn(program: &Path, data_dir: &Path, settings: &[(&str, &str)]) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--data-dir").arg(data_dir);
    for flag in ["--http", "--otlp-grpc", "--otlp-http"] {
        command.arg(flag).arg("127.0.0.1:0");
    }
    // Only what the test says: not what somebody has set for a server of their own.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SUYUAN_") {
            command.env_remove(name);
        }
    }
    command.envs(settings.iter().copied()).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("{command:?}: {error}"))
}

fn pass_lines(from: impl Read + Send + 'static, to: Sender<String>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    })
}

/// Reads lines until all three addresses were said.
fn wait_for_addresses(lines: &Receiver<String>, said: &mut Vec<String>) -> Option<Addresses> {
    let deadline = Instant::now() + PATIENCE;
    let (mut http, mut otlp_grpc, mut otlp_http) = (None, None, None);
    loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        http = http.or_else(|| address_after(&line, "http="));
        otlp_grpc = otlp_grpc.or_else(|| address_after(&line, "otlp_grpc="));
        otlp_http = otlp_http.or_else(|| address_after(&line, "otlp_http="));
        said.push(line);
        if let (Some(http), Some(otlp_grpc), Some(otlp_http)) = (http, otlp_grpc, otlp_http) {
            return Some(Addresses { http, otlp_grpc, otlp_http });
        }
    }
}

/// The address behind a label that starts a word.
fn address_after(line: &str, label: &str) -> Option<SocketAddr> {
    line.split_whitespace().find_map(|word| word.strip_prefix(label)?.parse().ok())
}
