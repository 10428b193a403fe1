//! What the program itself has to say, beside what a run tells: kept for the log panel.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
const KEPT: usize = 1000;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What a developer wants to know.
    Detail,
    /// What happened.
    Info,
    /// What may be wrong.
    Warning,
    /// What is wrong.
    Error,
}

impl Level {
    /// All, from the least.
    pub const ALL: [Self; 4] = [Self::Detail, Self::Info, Self::Warning, Self::Error];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Detail => "details",
            Self::Info => "info",
            Self::Warning => "warnings",
            Self::Error => "errors",
        }
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Seconds since the program began.
    pub secs: f64,
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
}

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

/// The latest lines, oldest first.
#[must_use]
pub fn lines() -> Vec<Line> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Takes what `tracing` is told.
#[derive(Debug)]
pub struct Journal {
    begin: Instant,
}

impl Default for Journal {
    fn default() -> Self {
        Self { begin: Instant::now() }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}

impl<S: tracing::Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            _ => Level::Detail,
        };
        let mut message = Message::default();
        event.record(&mut message);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= KEPT {
            lines.pop_front();
        }
        lines.push_back(Line { secs: self.begin.elapsed().as_secs_f64(), level, text: message.0 });
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn what_is_traced_is_kept_with_its_level() {
        let subscriber = tracing_subscriber::registry().with(Journal::default());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(count = 3, "a test of the journal");
        });
        let kept = lines();
        let line = kept.iter().find(|line| line.text.contains("a test of the journal")).unwrap();
        assert_eq!(line.level, Level::Warning);
        assert!(line.text.contains("count=3"), "{}", line.text);
    }
}
