//! What the program itself has to say, beside what a run tells: kept for the log panel.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
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

/// The latest lines, and how many there ever were.
static LINES: Mutex<(VecDeque<Line>, u64)> = Mutex::new((VecDeque::new(), 0));

/// The latest lines, oldest first.
#[must_use]
pub fn lines() -> Vec<Line> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).0.iter().cloned().collect()
}

/// How many lines there ever were, those that are no longer kept included.
#[must_use]
pub fn count() -> u64 {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).1
}

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds since the program began: the clock of all that the log shows.
#[must_use]
pub fn now() -> f64 {
    BEGIN.elapsed().as_secs_f64()
}

/// What the journal is told: all that Graft's own crates have to say, details included, and of others what may be wrong.
/// What goes to the terminal is chosen apart from it.
#[must_use]
pub fn filter() -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target("graft", LevelFilter::DEBUG)
}

/// Takes what `tracing` is told.
#[derive(Debug)]
pub struct Journal(());

impl Default for Journal {
    /// The program's clock begins here, unless it was looked at before.
    fn default() -> Self {
        LazyLock::force(&BEGIN);
        Self(())
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
        if lines.0.len() >= KEPT {
            lines.0.pop_front();
        }
        lines.0.push_back(Line { secs: now(), level, text: message.0 });
        lines.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;
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

    #[test]
    fn what_the_terminal_leaves_out_is_kept_all_the_same() {
        let terminal = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let subscriber = tracing_subscriber::registry()
            .with(terminal.with_filter(EnvFilter::new("warn")))
            .with(Journal::default().with_filter(filter()));
        let before = count();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("information of a crate of ours");
            tracing::info!(target: "winit", "information of another crate");
        });
        let kept = lines();
        let of = |text: &str| kept.iter().find(|line| line.text == text);
        assert_eq!(of("information of a crate of ours").unwrap().level, Level::Info);
        assert_eq!(of("information of another crate"), None);
        assert!(count() > before);
    }
}
