//! One line that says how far something is.
//!
//! In: a text, as often as the caller likes. Out: on a terminal one line on stderr that is written
//! over; elsewhere a line every few seconds, so that a log file stays readable.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::terminal::{columns, fitted};

const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A line of progress; what it wrote last is cleared when it is dropped.
#[derive(Debug)]
pub struct Progress {
    on_terminal: bool,
    shown_at: Option<Instant>,
    is_drawn: bool,
}

impl Progress {
    pub fn on_stderr() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), shown_at: None, is_drawn: false }
    }

    /// Shows the text if it is time to. The text is made only then.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let interval = if self.on_terminal { TERMINAL_INTERVAL } else { LINE_INTERVAL };
        if self.shown_at.is_some_and(|shown_at| shown_at.elapsed() < interval) {
            return;
        }
        self.shown_at = Some(Instant::now());
        self.write(&text());
    }

    /// Takes the line away, so that something else can be written; the next [`Progress::show`]
    /// draws it again.
    pub fn clear(&mut self) {
        if self.is_drawn {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[2K").and_then(|()| stderr.flush());
            (self.is_drawn, self.shown_at) = (false, None);
        }
    }

    /// Progress is a courtesy: whether stderr takes it changes nothing.
    fn write(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = if self.on_terminal {
            self.is_drawn = true;
            write!(stderr, "\r\x1b[2K{}", fitted(text, columns().saturating_sub(1)))
                .and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{text}")
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
