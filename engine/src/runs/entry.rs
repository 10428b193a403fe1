//! One run of a folder of runs in a row of a table, read cheaply: of its steps only the last one is parsed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::event::{Event, EventBody};
use super::lock::is_running;
use super::sweep::SweepMark;
use super::tail::Tail;
use super::tested::Tests;
use crate::data::Split;
use crate::train::{Ask, headline};

/// What has become of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunState {
    /// It goes on, here or in another process.
    Running,
    /// It waits, on request.
    Paused,
    /// It ended without a word: its process was killed. It can be resumed.
    #[default]
    Interrupted,
    /// Stopped on request. It can be resumed.
    Stopped,
    /// Done.
    Finished,
    /// It ended with an error.
    Failed,
}

impl RunState {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Whether the run goes on.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// A run in a row. Numbers that its log does not tell are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunEntry {
    /// The folder's name.
    pub id: String,
    /// The folder.
    pub path: PathBuf,
    /// The project's name.
    pub project: String,
    /// Compute device.
    pub device: String,
    /// Seed.
    pub seed: u64,
    /// What has become of it.
    pub state: RunState,
    /// When it began: `2026-01-31 23:59` in UTC; empty where the folder's name does not say.
    pub began: String,
    /// What its evaluations are compared by (see [`headline`]): `top-1`, or `Dice` of masks; empty before the first.
    pub metric: &'static str,
    /// That on the test split, as a share: at the run's end, or else by the first stage that evaluates behind the last
    /// one that trains.
    pub score: Option<f64>,
    /// The best of it on the validation split in the last training stage, as a share.
    pub validation: Option<f64>,
    /// Loss on the test split, or the latest one on the validation split.
    pub loss: Option<f64>,
    /// Weights that the last training stage trains.
    pub trainable: Option<u64>,
    /// Largest live bytes.
    pub peak_bytes: Option<u64>,
    /// Seconds in all.
    pub secs: f64,
    /// Steps of all stages.
    pub steps: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// What was asked of it while it went on.
    pub asked: Vec<Ask>,
    /// The sweep that it belongs to.
    pub sweep: Option<SweepMark>,
}

impl RunEntry {
    fn score_of(&mut self, metrics: &BTreeMap<String, f64>) -> Option<f64> {
        let (metric, score) = headline(metrics)?;
        self.metric = metric;
        Some(score)
    }
}

/// Follows one run folder.
#[derive(Clone, Debug)]
pub struct RunReader {
    entry: RunEntry,
    tail: Tail,
    /// What the log says last: ended, waits, or neither.
    last: Option<RunState>,
    step: String,
    tests: Tests,
}

impl RunReader {
    /// Nothing read yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let entry = blank(folder);
        Self { entry, tail: Tail::new(folder), last: None, step: String::new(), tests: Tests::default() }
    }

    /// What was read.
    #[must_use]
    pub const fn entry(&self) -> &RunEntry {
        &self.entry
    }

    /// Reads on; `false` when the folder has no log that can be read.
    pub fn refresh(&mut self) -> bool {
        loop {
            let Ok(found) = self.tail.look() else { return false };
            if found.again {
                self.entry = blank(&self.entry.path);
                self.last = None;
                self.tests = Tests::default();
            }
            for line in found.lines {
                self.line(line);
            }
            if !found.more {
                break;
            }
        }
        if let Ok(event) = serde_json::from_str::<Event>(&std::mem::take(&mut self.step)) {
            // The log may have gone on behind its last step.
            self.entry.secs = self.entry.secs.max(event.time);
            if let EventBody::Step { peak_bytes, .. } = event.body {
                self.entry.peak_bytes = self.entry.peak_bytes.max(Some(peak_bytes));
            }
        }
        self.entry.sweep = SweepMark::read(&self.entry.path);
        self.entry.state = match self.last {
            Some(ended) if ended != RunState::Paused => ended,
            waits if is_running(&self.entry.path) => waits.unwrap_or(RunState::Running),
            _ => RunState::Interrupted,
        };
        true
    }

    fn line(&mut self, line: String) {
        // Nearly all lines are steps; they only count.
        if line.contains("\"event\":\"step\"") {
            self.entry.steps += 1;
            self.step = line;
            return;
        }
        if line.contains("\"event\":\"profile\"") {
            return;
        }
        let Ok(event) = serde_json::from_str::<Event>(&line) else { return };
        self.tests.take(&event.body);
        let entry = &mut self.entry;
        entry.secs = event.time;
        self.last = None;
        match event.body {
            EventBody::Started { project, device, seed, .. } => {
                (entry.project, entry.device, entry.seed) = (project, device, seed);
            }
            EventBody::Stage { trainable, kind, .. } if kind == "train" => {
                entry.trainable = Some(trainable);
                // What was found before is of another model.
                (entry.validation, entry.score, entry.loss) = (None, None, None);
            }
            EventBody::Eval { split, loss, metrics, .. } => {
                if split == Split::Validation.name() {
                    let score = entry.score_of(&metrics);
                    entry.validation = entry.validation.max_of(score);
                    entry.loss = Some(loss);
                } else if let Some(test) = self.tests.main() {
                    entry.score = entry.score_of(&test.metrics);
                    entry.loss = Some(test.loss);
                }
            }
            EventBody::Asked { ask, .. } => entry.asked.push(ask),
            EventBody::Paused {} => self.last = Some(RunState::Paused),
            EventBody::Stopped { .. } => self.last = Some(RunState::Stopped),
            EventBody::Finished { secs, metrics, peak_bytes, .. } => {
                entry.secs = secs;
                entry.score = entry.score_of(&metrics).or(entry.score);
                entry.peak_bytes = Some(peak_bytes);
                self.last = Some(RunState::Finished);
            }
            EventBody::Failed { error } => {
                entry.error = Some(error);
                self.last = Some(RunState::Failed);
            }
            _ => {}
        }
    }
}

trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

impl MaxOf for Option<f64> {
    fn max_of(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }
}

fn blank(folder: &Path) -> RunEntry {
    let id = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    RunEntry { began: began(&id), id, path: folder.to_path_buf(), ..RunEntry::default() }
}

/// `…-20260131-235959` or `…-20260131-235959-2` as `2026-01-31 23:59`.
fn began(id: &str) -> String {
    let parts: Vec<&str> = id.rsplit('-').collect();
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    for pair in parts.windows(2).take(2) {
        let [time, day] = pair else { continue };
        if digits(day, 8) && digits(time, 6) {
            return format!("{}-{}-{} {}:{}", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4]);
        }
    }
    String::new()
}

/// All run folders below `runs`, by name. The trash and the queue are none.
#[must_use]
pub fn run_folders(runs: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(runs) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("events.jsonl").is_file() && path.join("project.ron").is_file())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn days_and_times() {
        assert_eq!(began("tiny-20260131-235959"), "2026-01-31 23:59");
        assert_eq!(began("a-b-20260131-235959-2"), "2026-01-31 23:59");
        assert_eq!(began("copied by hand"), "");
    }

    #[test]
    fn a_log_in_one_row_and_on_from_there() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("tiny-20260131-235959");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("project.ron"), "").unwrap();
        let mut log = std::fs::File::create(folder.join("events.jsonl")).unwrap();
        writeln!(
            log,
            r#"{{"run":"r","time":0.5,"event":"started","project":"tiny","device":"flex","seed":7,"params_total":9,"params_trainable":4,"stages":1,"folder":"f"}}
{{"run":"r","time":1.0,"event":"stage","stage":0,"name":"one","trainable":4,"loaded":{{"copied":0,"resized":0,"new":3}},"epochs":1,"steps":2}}
{{"run":"r","time":2.0,"event":"step","stage":0,"epoch":0,"step":1,"loss":2.0,"lr":0.1,"grad_norm":1.0,"samples_per_sec":9.0,"data_secs":0.1,"forward_secs":0.1,"frozen_forward_secs":0.0,"backward_secs":0.1,"optimizer_secs":0.1,"live_bytes":5,"peak_bytes":77}}"#
        )
        .unwrap();
        assert_eq!(run_folders(runs.path()), std::slice::from_ref(&folder));
        let mut reader = RunReader::new(&folder);
        assert!(reader.refresh());
        let entry = reader.entry();
        assert_eq!((entry.project.as_str(), entry.seed, entry.steps), ("tiny", 7, 1));
        assert_eq!((entry.trainable, entry.peak_bytes, entry.secs), (Some(4), Some(77), 2.0));
        assert_eq!(entry.state, RunState::Interrupted, "nobody holds its lock");
        writeln!(
            log,
            r#"{{"run":"r","time":3.0,"event":"eval","stage":0,"epoch":1,"step":2,"split":"test","closing":true,"loss":1.5,"metrics":{{"top1":0.25}},"samples":8}}
{{"run":"r","time":4.0,"event":"finished","secs":4.0,"steps":2,"metrics":{{"top1":0.25}},"peak_bytes":99,"samples_per_sec":3.0}}"#
        )
        .unwrap();
        assert!(reader.refresh());
        let entry = reader.entry();
        assert_eq!((entry.state, entry.score, entry.loss), (RunState::Finished, Some(0.25), Some(1.5)));
        assert_eq!((entry.metric, entry.peak_bytes), ("top-1", Some(99)));
        // Read as a whole it says the same: the last step is not its last word.
        let mut again = RunReader::new(&folder);
        assert!(again.refresh());
        assert_eq!(again.entry(), entry);
        assert_eq!(entry.secs, 4.0);
    }
}
