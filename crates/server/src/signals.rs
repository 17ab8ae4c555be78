//! SIGTERM and SIGINT as events.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a program that a signal has ended: 128 and the number of SIGINT.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// From its making on, the two signals no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Whoever asks twice does not want to wait.
    pub fn exit_on_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(EXIT_CODE_INTERRUPTED);
        });
    }
}
