//! A run's folder: `project.ron` as it ran, `events.jsonl`, `checkpoints/`, `report.md`. Valid after a kill.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::lock::RunLock;
use super::{Event, EventBody};
use crate::data::Split;
use crate::project::{Project, ProjectError, to_text};
use crate::train::Position;
use crate::weights::write_atomically;

/// A run's folder, with its log open for appending.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    log: File,
    /// Held by the run itself, not by those who only read.
    lock: Option<RunLock>,
}

/// What a run needs to be resumed beside its project.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Origin {
    base: PathBuf,
}

impl RunFolder {
    /// Makes a new folder below `runs`, with the project as it runs.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(runs: &Path, project: &Project, base: &Path) -> Result<Self, ProjectError> {
        let path = fresh(runs, &project.name)?;
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(io(&checkpoints))?;
        write_atomically(&path.join("project.ron"), to_text(project)?.as_bytes()).map_err(io(&path))?;
        write_origin(&path, base)?;
        // Before there is a log: who finds one may ask whether it goes on.
        let lock = RunLock::take(&path).map_err(io(&path))?;
        let log = open_log(&path)?;
        Ok(Self { path, log, lock })
    }

    /// Opens the folder of an earlier run: its project and the folder that relative paths start from.
    ///
    /// # Errors
    /// When it is no run folder.
    pub fn open(path: &Path) -> Result<(Self, Project, PathBuf), ProjectError> {
        let project = crate::project::load(&path.join("project.ron"))?;
        let base = Self::origin(path)?;
        let log = open_log(path)?;
        Ok((Self { path: path.to_path_buf(), log, lock: None }, project, base))
    }

    /// The folder that relative paths of an earlier run's project start from.
    ///
    /// # Errors
    /// When it is no run folder.
    pub fn origin(path: &Path) -> Result<PathBuf, ProjectError> {
        let file = path.join("origin.json");
        let text = std::fs::read_to_string(&file).map_err(io(&file))?;
        let origin: Origin = serde_json::from_str(&text).map_err(|error| ProjectError::Setting {
            field: "origin.json".to_owned(),
            why: format!("is not sound: {error}"),
        })?;
        Ok(origin.base)
    }

    /// Says that the run goes on from here; `false` when it already does, in this process or another one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn hold(&mut self) -> std::io::Result<bool> {
        self.lock = RunLock::take(&self.path)?;
        Ok(self.lock.is_some())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id: the folder's name.
    #[must_use]
    pub fn id(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Where checkpoints go.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Appends an event as one line.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn append(&mut self, event: &Event) -> std::io::Result<()> {
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        self.log.write_all(line.as_bytes())
    }

    /// All whole events of the log; a line that a kill cut short is left out.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn events(path: &Path) -> std::io::Result<Vec<Event>> {
        let file = File::open(path.join("events.jsonl"))?;
        Ok(BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect())
    }

    /// Cuts the log back to what was true at a checkpoint, so that a resumed run's log reads like one run. `turn`
    /// gives a stage's place in the run from its number and repetition.
    ///
    /// # Errors
    /// When the log cannot be rewritten.
    pub fn rewind(
        &mut self,
        at: Position,
        turn: impl Fn(usize, usize) -> Option<usize>,
    ) -> std::io::Result<()> {
        let here = turn(at.stage, at.repetition);
        let kept: Vec<Event> = Self::events(&self.path)?
            .into_iter()
            .filter(|event| match &event.body {
                // The last thing a run does, and done again.
                EventBody::Eval { split, closing: true, .. } if split == Split::Test.name() => false,
                EventBody::Step { stage, repetition, step, .. }
                | EventBody::Profile { stage, repetition, step, .. }
                | EventBody::Asked { stage, repetition, step, .. }
                | EventBody::Eval { stage, repetition, step, .. } => {
                    (turn(*stage, *repetition), *step) <= (here, at.step)
                }
                EventBody::Stage { stage, repetition, .. }
                | EventBody::Cache { stage, repetition, .. }
                | EventBody::Done { stage, repetition, .. } => turn(*stage, *repetition) <= here,
                body => !body.is_last(),
            })
            .collect();
        let mut text = String::new();
        for event in &kept {
            text.push_str(&serde_json::to_string(event)?);
            text.push('\n');
        }
        write_atomically(&self.path.join("events.jsonl"), text.as_bytes())?;
        self.log = OpenOptions::new().append(true).open(self.path.join("events.jsonl"))?;
        Ok(())
    }
}

/// Notes the folder that a project's relative paths start from, which a run must know that begins or goes on later.
pub(super) fn write_origin(path: &Path, base: &Path) -> Result<(), ProjectError> {
    let base = std::path::absolute(base).map_err(io(base))?;
    let origin = serde_json::to_string(&Origin { base }).unwrap_or_default();
    write_atomically(&path.join("origin.json"), origin.as_bytes()).map_err(io(path))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> ProjectError {
    move |error| ProjectError::Io { error, path: path.to_path_buf() }
}

fn open_log(path: &Path) -> Result<File, ProjectError> {
    let file = path.join("events.jsonl");
    OpenOptions::new().create(true).append(true).open(&file).map_err(io(&file))
}

/// What the names of a project's run folders begin with.
pub(super) fn folder_stem(name: &str) -> String {
    let safe = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' });
    safe.chain(['-']).collect()
}

/// `<name>-<date>-<time>`, with a number when that exists.
fn fresh(runs: &Path, name: &str) -> Result<PathBuf, ProjectError> {
    std::fs::create_dir_all(runs).map_err(io(runs))?;
    let stem = folder_stem(name);
    let stamp = timestamp(SystemTime::now());
    for number in 1u32.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = runs.join(format!("{stem}{stamp}{suffix}"));
        // Creating is the test, so that two runs at the same second get two folders.
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(&path)(error)),
        }
    }
    unreachable!("there is always a free number")
}

/// `20260131-235959` in UTC (civil-from-days by the usual era arithmetic).
pub(super) fn timestamp(now: SystemTime) -> String {
    let secs = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (secs / 86_400, secs % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps() {
        let at = |secs| timestamp(UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_400), "20000229-000000");
        assert_eq!(at(1_767_225_599), "20251231-235959");
    }
}
