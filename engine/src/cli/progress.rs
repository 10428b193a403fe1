//! Progress for people, from the same events as the JSON lines.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::runs::{Event, EventBody};
use crate::train::headline;

/// Prints events to stderr: a line that is rewritten on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    last: Option<Instant>,
    stage: (String, u64),
    /// When the cache was last shown, and how many samples it had computed.
    cached: Option<(Instant, u64)>,
    /// What was told to be wrong with it.
    trouble: Option<String>,
    open_line: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: None,
            stage: (String::new(), 0),
            cached: None,
            trouble: None,
            open_line: false,
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match &event.body {
            EventBody::Started { project, device, seed, params_total, folder, resumed_at, .. } => {
                let resumed =
                    resumed_at.map_or_else(String::new, |step| format!(", going on at step {step}"));
                self.say(&format!(
                    "{project} on {device}, seed {seed}, {params_total} parameters{resumed}\nrun folder {folder}"
                ));
            }
            EventBody::Stage { stage, name, trainable, loaded, steps, .. } => {
                self.stage = (name.clone(), *steps);
                self.say(&format!(
                    "stage {}: {name}, {trainable} trainable; weights: {} copied, {} resized, {} new",
                    stage + 1,
                    loaded.copied,
                    loaded.resized,
                    loaded.new
                ));
            }
            EventBody::Step { step, loss, samples_per_sec, peak_bytes, .. } => {
                let due = self.last.is_none_or(|last| {
                    last.elapsed() > Duration::from_millis(if self.terminal { 100 } else { 10_000 })
                });
                if due || *step == self.stage.1 {
                    self.last = Some(Instant::now());
                    self.status(&format!(
                        "{} {step}/{}  loss {loss:.4}  {samples_per_sec:.1} samples/s  peak {} MiB",
                        self.stage.0,
                        self.stage.1,
                        peak_bytes >> 20
                    ));
                }
            }
            EventBody::Eval { epoch, split, loss, metrics, samples, .. } => {
                let metrics: Vec<String> =
                    metrics.iter().map(|(name, value)| format!("{name} {:.2} %", value * 100.0)).collect();
                self.say(&format!(
                    "epoch {epoch}: {split} loss {loss:.4}, {} on {samples} samples",
                    metrics.join(", ")
                ));
            }
            EventBody::Cache { built, hits, bytes, secs, trouble, .. } => {
                if let Some(trouble) =
                    trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(trouble))
                {
                    self.trouble = Some(trouble.clone());
                    self.say(&format!("what memory has no room for is computed again: {trouble}"));
                }
                let text = format!(
                    "cache: {built} samples computed in {secs:.1} s, {hits} found, {} MiB",
                    bytes >> 20
                );
                let due = self.cached.is_none_or(|(last, count)| {
                    // While it is built, now and then; what is only found tells itself by the speed.
                    count != *built
                        && last.elapsed() > Duration::from_secs(if self.terminal { 1 } else { 10 })
                });
                if due {
                    self.cached = Some((Instant::now(), *built));
                    self.status(&text);
                }
            }
            EventBody::Done { changed, samples, .. } => {
                let seen = if *samples > 0 { format!(", {samples} samples") } else { String::new() };
                let first = changed.first().map_or_else(String::new, |first| format!(", first {first}"));
                self.say(&format!("{} changed{first}{seen}", changed.len()));
            }
            EventBody::Skipped { count, example } => {
                self.say(&format!("{count} samples skipped so far, as {example}"));
            }
            EventBody::Stopped { steps } => self.say(&format!("stopped after {steps} steps, saved")),
            EventBody::Finished { secs, steps, metrics, peak_bytes, samples_per_sec } => {
                let score = headline(metrics).map_or_else(String::new, |(name, value)| {
                    format!(", test {name} {:.2} %", value * 100.0)
                });
                self.say(&format!(
                    "finished in {secs:.1} s, {steps} steps, {samples_per_sec:.1} samples/s, peak {} MiB{score}",
                    peak_bytes >> 20
                ));
            }
            EventBody::Asked { ask, .. } => self.say(&format!("asked for: {}", ask.words())),
            EventBody::Checkpoint { .. }
            | EventBody::Profile { .. }
            | EventBody::Paused {}
            | EventBody::Continued {}
            | EventBody::Failed { .. } => {}
        }
    }

    fn say(&mut self, text: &str) {
        if std::mem::take(&mut self.open_line) {
            eprintln!();
        }
        eprintln!("{text}");
    }

    fn status(&mut self, text: &str) {
        if !self.terminal {
            return self.say(text);
        }
        let mut err = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop training.
        drop(write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush()));
        self.open_line = true;
    }
}
