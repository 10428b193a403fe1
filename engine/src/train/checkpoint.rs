//! Checkpoints: what a run has changed so far, enough to go on with the same bits.
//!
//! A checkpoint is a folder `step-…` with `params.safetensors` (parameters and states that any stage has changed),
//! `optimizer.safetensors`, `folds.safetensors` (what a measurement has folded so far) and `state.json`. It is written under a temporary name and renamed; `last.json` and
//! `best.json` beside it name the current ones and are replaced atomically, so a kill leaves the old ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stages::Folded;
use crate::weights::{Tensor, WeightsError, read_tensors, write_atomically, write_tensors};

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Stage, from 0, in the order in which the project lists them.
    pub stage: usize,
    /// How often it was repeated before.
    #[serde(default)]
    pub repetition: usize,
    /// Steps done in it.
    pub step: u64,
}

/// A run's state at one position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Where.
    pub position: Position,
    /// Parameters and states that any stage has changed, by path.
    pub params: BTreeMap<String, Tensor>,
    /// Optimiser state of the current stage.
    pub optimizer: BTreeMap<String, Tensor>,
    /// Its step counts.
    pub optimizer_steps: BTreeMap<String, u64>,
    /// What a measurement has folded so far.
    pub folded: Folded,
    /// Best validation metric so far in this stage.
    pub best: Option<f64>,
    /// Steps of all stages.
    pub total_steps: u64,
    /// Seconds that the run had taken.
    pub secs: f64,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{error}: {}", path.display())]
    Io {
        /// What it said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The state file is not sound.
    #[error("the checkpoint's state is not sound ({why}): {}", path.display())]
    State {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The tensors are not sound.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    position: Position,
    optimizer_steps: BTreeMap<String, u64>,
    /// Samples and walks of a measurement.
    #[serde(default)]
    folded: (u64, u64),
    best: Option<f64>,
    total_steps: u64,
    secs: f64,
}

#[derive(Serialize, Deserialize)]
struct Pointer {
    checkpoint: String,
}

impl Checkpoint {
    /// Writes the checkpoint below `folder`, makes it the last one (and the best, if it is), and removes those
    /// that neither points to. Returns the checkpoint's own folder.
    ///
    /// # Errors
    /// When anything cannot be written.
    pub fn write(&self, folder: &Path, is_best: bool) -> Result<PathBuf, CheckpointError> {
        let (name, path) = self.free(folder);
        let temporary = folder.join(format!("{name}.partial"));
        let io = |error, path: &Path| CheckpointError::Io { error, path: path.to_path_buf() };
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(|error| io(error, &temporary))?;
        }
        std::fs::create_dir_all(&temporary).map_err(|error| io(error, &temporary))?;
        write_tensors(&self.params, &temporary.join("params.safetensors"))?;
        write_tensors(&self.optimizer, &temporary.join("optimizer.safetensors"))?;
        write_tensors(&self.folded.sums, &temporary.join("folds.safetensors"))?;
        let state = StateFile {
            position: self.position,
            optimizer_steps: self.optimizer_steps.clone(),
            folded: (self.folded.samples, self.folded.batches),
            best: self.best,
            total_steps: self.total_steps,
            secs: self.secs,
        };
        write_json(&state, &temporary.join("state.json"))?;
        std::fs::rename(&temporary, &path).map_err(|error| io(error, &path))?;
        let pointer = Pointer { checkpoint: name };
        if is_best {
            write_json(&pointer, &folder.join("best.json"))?;
        }
        write_json(&pointer, &folder.join("last.json"))?;
        sweep(folder);
        Ok(path)
    }

    /// Reads the checkpoint that `last.json` or `best.json` names; `None` when there is none yet.
    ///
    /// # Errors
    /// When it is there but not sound.
    pub fn read(folder: &Path, which: &str) -> Result<Option<Self>, CheckpointError> {
        let Some(name) = pointed(folder, which) else { return Ok(None) };
        let path = folder.join(name);
        let state: StateFile = read_json(&path.join("state.json"))?;
        // Checkpoints of earlier versions have none.
        let folds = path.join("folds.safetensors");
        let sums = if folds.is_file() { read_tensors(&folds)? } else { BTreeMap::new() };
        Ok(Some(Self {
            position: state.position,
            params: read_tensors(&path.join("params.safetensors"))?,
            optimizer: read_tensors(&path.join("optimizer.safetensors"))?,
            optimizer_steps: state.optimizer_steps,
            folded: Folded { sums, samples: state.folded.0, batches: state.folded.1 },
            best: state.best,
            total_steps: state.total_steps,
            secs: state.secs,
        }))
    }
}

impl Checkpoint {
    /// Where a run stands for whoever uses it: the best checkpoint of the stage that it reached last, or the last one
    /// when that stage has no best. `None` when there is none yet.
    ///
    /// # Errors
    /// When it is there but not sound.
    pub fn read_for_use(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let last = Self::read(folder, "last")?;
        let turn = |checkpoint: &Self| (checkpoint.position.stage, checkpoint.position.repetition);
        let reached = last.as_ref().map(turn);
        let best = Self::read(folder, "best")?.filter(|best| Some(turn(best)) == reached);
        Ok(best.or(last))
    }

    /// A folder that does not exist yet: what a pointer names must stay until the pointer has moved.
    fn free(&self, folder: &Path) -> (String, PathBuf) {
        let mut name = match self.position.repetition {
            0 => format!("step-{}-{:06}", self.position.stage, self.position.step),
            again => format!("step-{}.{again}-{:06}", self.position.stage, self.position.step),
        };
        while folder.join(&name).exists() {
            name.push('+');
        }
        let path = folder.join(&name);
        (name, path)
    }
}

fn pointed(folder: &Path, which: &str) -> Option<String> {
    let pointer: Pointer = read_json(&folder.join(format!("{which}.json"))).ok()?;
    Some(pointer.checkpoint)
}

/// Removes checkpoints that neither pointer names. What cannot be removed is left: it does no harm.
fn sweep(folder: &Path) {
    let keep: Vec<String> = ["last", "best"].iter().filter_map(|which| pointed(folder, which)).collect();
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("step-") && !keep.contains(&name) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

fn write_json(value: &impl Serialize, path: &Path) -> Result<(), CheckpointError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CheckpointError::State { why: error.to_string(), path: path.to_path_buf() })?;
    write_atomically(path, text.as_bytes())
        .map_err(|error| CheckpointError::Io { error, path: path.to_path_buf() })
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, CheckpointError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CheckpointError::Io { error, path: path.to_path_buf() })?;
    serde_json::from_str(&text)
        .map_err(|error| CheckpointError::State { why: error.to_string(), path: path.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensor = Tensor { shape: vec![2], data: vec![0.1, -3.5e-8] };
        Checkpoint {
            position: Position { stage: 1, repetition: 0, step },
            params: BTreeMap::from([("model.head.weight".to_owned(), tensor.clone())]),
            optimizer: BTreeMap::from([("model.head.weight#0".to_owned(), tensor)]),
            optimizer_steps: BTreeMap::from([("model.head.weight".to_owned(), 7)]),
            folded: Folded::default(),
            best: Some(0.1 + 0.2),
            total_steps: 9,
            secs: 1.5,
        }
    }

    #[test]
    fn reads_back_the_same_bits_and_keeps_last_and_best() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::read(folder.path(), "last").unwrap(), None);
        checkpoint(1).write(folder.path(), true).unwrap();
        checkpoint(2).write(folder.path(), false).unwrap();
        checkpoint(3).write(folder.path(), false).unwrap();
        assert_eq!(Checkpoint::read(folder.path(), "last").unwrap(), Some(checkpoint(3)));
        assert_eq!(Checkpoint::read(folder.path(), "best").unwrap(), Some(checkpoint(1)));
        let folders =
            std::fs::read_dir(folder.path()).unwrap().flatten().filter(|e| e.path().is_dir()).count();
        assert_eq!(folders, 2);
    }

    #[test]
    fn writing_again_at_the_same_step_never_takes_the_old_one_away_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = checkpoint(1).write(folder.path(), true).unwrap();
        let again = Checkpoint { best: Some(0.5), ..checkpoint(1) };
        let second = again.write(folder.path(), false).unwrap();
        assert_ne!(first, second);
        assert_eq!(Checkpoint::read(folder.path(), "last").unwrap(), Some(again));
        assert_eq!(Checkpoint::read(folder.path(), "best").unwrap(), Some(checkpoint(1)));
    }

    #[test]
    fn a_half_written_checkpoint_is_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(1).write(folder.path(), false).unwrap();
        std::fs::create_dir(folder.path().join("step-1-000002.partial")).unwrap();
        assert_eq!(Checkpoint::read(folder.path(), "last").unwrap(), Some(checkpoint(1)));
        checkpoint(2).write(folder.path(), false).unwrap();
        assert_eq!(Checkpoint::read(folder.path(), "last").unwrap(), Some(checkpoint(2)));
    }
}
