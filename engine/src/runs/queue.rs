//! Projects that wait to be run: each a frozen copy in a folder of its own below `queue/`, in the order of their names.

use std::path::{Path, PathBuf};

use super::folder::{RunFolder, folder_stem, write_origin};
use crate::project::{Project, ProjectError, load, save};

const NAME: &str = "queue";

/// A project that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Its folder; the name's number says when its turn is.
    pub path: PathBuf,
    /// The project as it was when it was put there.
    pub project: Project,
    /// The folder that its relative paths start from.
    pub base: PathBuf,
}

fn number(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('-').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn folders(runs: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(runs.join(NAME)) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|path| number(path) > 0);
    folders.sort_by_key(|path| number(path));
    folders
}

/// What waits below `runs`, the next one first. What cannot be read is passed over.
#[must_use]
pub fn queued(runs: &Path) -> Vec<Queued> {
    let read = |path: PathBuf| {
        let project = load(&path.join("project.ron")).ok()?;
        let base = RunFolder::origin(&path).ok()?;
        Some(Queued { path, project, base })
    };
    folders(runs).into_iter().filter_map(read).collect()
}

/// Puts a copy of a project at the queue's end.
///
/// # Errors
/// When it cannot be written.
pub fn enqueue(runs: &Path, project: &Project, base: &Path) -> Result<PathBuf, ProjectError> {
    let last = folders(runs).last().map_or(0, |path| number(path));
    let name = folder_stem(&project.name);
    let path = runs.join(NAME).join(format!("{:06}-{}", last + 1, name.trim_end_matches('-')));
    // It counts once it has its name.
    let partial = path.with_file_name(format!("partial-{}", std::process::id()));
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error| ProjectError::Io { error, path }
    };
    std::fs::create_dir_all(&partial).map_err(io(&partial))?;
    save(project, &partial.join("project.ron"))?;
    write_origin(&partial, base)?;
    std::fs::rename(&partial, &path).map_err(io(&path))?;
    Ok(path)
}

impl Queued {
    /// Takes it out of the queue.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn cancel(&self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.path)
    }

    /// Takes it out of the queue for whoever runs it now, and keeps it aside; whether nobody else was before.
    ///
    /// # Errors
    /// When its folder cannot be renamed.
    pub fn claim(&self) -> std::io::Result<Option<Self>> {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = self.path.with_file_name(format!("taken-{}-{name}", std::process::id()));
        match std::fs::rename(&self.path, &path) {
            Ok(()) => Ok(Some(Self { path, ..self.clone() })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes places with another one.
    ///
    /// # Errors
    /// When the folders cannot be renamed.
    pub fn swap(&self, other: &Self) -> std::io::Result<()> {
        let renamed = |path: &Path, number: u64| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let rest = name.split_once('-').map_or("", |(_, rest)| rest);
            path.with_file_name(format!("{number:06}-{rest}"))
        };
        let (mine, its) = (number(&self.path), number(&other.path));
        let aside = self.path.with_file_name(format!("partial-{mine}-{its}"));
        std::fs::rename(&self.path, &aside)?;
        std::fs::rename(&other.path, renamed(&other.path, mine))?;
        std::fs::rename(&aside, renamed(&self.path, its))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::parse;

    #[test]
    fn frozen_copies_in_order_swapped_and_cancelled() {
        let runs = tempfile::tempdir().unwrap();
        assert!(queued(runs.path()).is_empty());
        let project = |name: &str| {
            let text = format!(
                "(version: 2, name: {name:?}, model: Vit(width: 8, blocks: 1, heads: 1, patch: 8),
                data: Digits(folder: \"digits\"), stages: [Train(name: \"one\", epochs: 1, batch: 8)])"
            );
            parse(&text, Path::new("mine.ron")).unwrap()
        };
        for name in ["first-one", "second", "third"] {
            enqueue(runs.path(), &project(name), runs.path()).unwrap();
        }
        let names = || -> Vec<String> {
            queued(runs.path()).into_iter().map(|waiting| waiting.project.name).collect()
        };
        assert_eq!(names(), ["first-one", "second", "third"]);
        assert_eq!(queued(runs.path())[0].project, project("first-one"));
        assert_eq!(queued(runs.path())[0].base, std::path::absolute(runs.path()).unwrap());
        let waiting = queued(runs.path());
        waiting[0].swap(&waiting[2]).unwrap();
        assert_eq!(names(), ["third", "second", "first-one"]);
        queued(runs.path())[1].cancel().unwrap();
        assert_eq!(names(), ["third", "first-one"]);
        enqueue(runs.path(), &project("second"), runs.path()).unwrap();
        assert_eq!(names(), ["third", "first-one", "second"], "at the end");
        let first = queued(runs.path()).remove(0);
        let taken = first.claim().unwrap().unwrap();
        assert_eq!(names(), ["first-one", "second"]);
        assert!(first.claim().unwrap().is_none(), "only one takes it");
        taken.cancel().unwrap();
    }
}
