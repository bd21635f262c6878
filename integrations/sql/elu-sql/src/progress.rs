//! Progress on standard error: one line that changes if it is a terminal, else a line every ten seconds.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Between two lines that stay.
const PAUSE: Duration = Duration::from_secs(10);

/// Prints the progress of a query.
#[derive(Debug)]
pub(crate) struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    start: Instant,
    last: Instant,
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            is_terminal: io::stderr().is_terminal(),
            start: Instant::now(),
            last: Instant::now(),
            is_shown: false,
        }
    }

    /// Prints how far the query is. `state` is a part of a sentence.
    pub(crate) fn update(&mut self, state: &str) {
        let is_due = self.is_terminal || self.last.elapsed() >= PAUSE;
        // A query of a second shows nothing.
        if self.is_quiet || !is_due || self.start.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last = Instant::now();
        let line = format!("{state}, {} s", self.start.elapsed().as_secs());
        // If standard error is closed, nobody waits for progress.
        let _ = match self.is_terminal {
            true => write!(io::stderr(), "\r\x1b[K{line}"),
            false => writeln!(io::stderr(), "elu-sql: {line}"),
        };
        self.is_shown = true;
    }

    /// Prints an event on a line that stays.
    pub(crate) fn event(&mut self, event: &str) {
        self.clear();
        if !self.is_quiet {
            let _ = writeln!(io::stderr(), "elu-sql: {event}");
        }
    }

    /// Removes the line that changes.
    pub(crate) fn clear(&mut self) {
        if self.is_terminal && self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.is_shown = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
