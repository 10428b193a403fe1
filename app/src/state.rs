//! The folder in which the window keeps what belongs to nobody's project: recent files, the theme, unsaved work.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Recent projects that are kept.
const RECENT: usize = 12;
/// The settings' file.
const SETTINGS: &str = "settings.ron";

/// `$GRAFT_STATE`, or the system's place for such things.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("GRAFT_STATE")
        .or_else(|| variable("XDG_STATE_HOME").map(|path| path.join("graft")))
        .or_else(|| variable("LOCALAPPDATA").map(|path| path.join("graft")))
        .or_else(|| variable("HOME").map(|path| path.join(".local").join("state").join("graft")))
}

/// Writes a file under another name and renames it, so that it is whole at any moment.
///
/// # Errors
/// When the system does not allow it.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    ron::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn to_text<T: Serialize>(value: &T) -> std::io::Result<String> {
    ron::ser::to_string_pretty(value, ron::ser::PrettyConfig::default()).map_err(std::io::Error::other)
}

/// Dark, light, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThemeChoice {
    /// As the system has it.
    #[default]
    System,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

/// A project that was open once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Its file, absolute.
    pub path: PathBuf,
    /// When it was opened last, in seconds since 1970.
    pub opened_secs: u64,
}

/// What the window remembers between starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The theme.
    pub theme: ThemeChoice,
    /// Recent projects, the newest first.
    pub recent: Vec<Recent>,
}

/// A project with edits that are in no file of the user's yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsaved {
    /// The project's file, absolute.
    pub path: PathBuf,
    /// The project as text.
    pub text: String,
    /// The process that wrote it. While it lives, the edits are its own business.
    pub process: u32,
}

/// Whether another process of this number lives; where that cannot be told, it does not.
fn lives(process: u32) -> bool {
    process != std::process::id() && Path::new(&format!("/proc/{process}")).exists()
}

/// Reads and writes the folder. Without one nothing is kept.
#[derive(Debug, Default)]
pub struct Store {
    folder: Option<PathBuf>,
    settings: Settings,
    orphans: Vec<Unsaved>,
}

impl Store {
    /// Reads what an earlier window left; a file that cannot be understood counts as none.
    #[must_use]
    pub fn open(folder: Option<PathBuf>) -> Self {
        let settings = folder.as_deref().and_then(|folder| read(&folder.join(SETTINGS))).unwrap_or_default();
        let orphans = Self::find_orphans(folder.as_deref());
        Self { folder, settings, orphans }
    }

    /// What is remembered.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes what is remembered and writes it.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        // Another window may have written since.
        if let Some(kept) = self.folder.as_deref().and_then(|folder| read(&folder.join(SETTINGS))) {
            self.settings = kept;
        }
        let before = self.settings.clone();
        change(&mut self.settings);
        if self.settings == before {
            return;
        }
        let Some(folder) = &self.folder else { return };
        let written = to_text(&self.settings).and_then(|text| write_whole(&folder.join(SETTINGS), &text));
        if let Err(error) = written {
            tracing::warn!("recent projects and theme could not be kept: {error}: {}", folder.display());
        }
    }

    /// Puts a project at the head of the recent ones.
    pub fn opened(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let opened_secs = now.map_or(0, |since| since.as_secs());
        self.change(|settings| {
            settings.recent.retain(|recent| recent.path != path);
            settings.recent.insert(0, Recent { path, opened_secs });
            settings.recent.truncate(RECENT);
        });
    }

    fn unsaved_path(&self, project: &Path) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let project = std::path::absolute(project).ok()?;
        // FNV-1a: the same name for the same path with any compiler.
        let hash = project.to_string_lossy().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Some(folder.join("unsaved").join(format!("{hash:016x}.ron")))
    }

    /// Keeps the edits of a project until they are saved or discarded.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_unsaved(&self, project: &Path, text: &str) -> std::io::Result<()> {
        let Some(place) = self.unsaved_path(project) else { return Ok(()) };
        let path = std::path::absolute(project)?;
        let unsaved = Unsaved { path, text: text.to_owned(), process: std::process::id() };
        write_whole(&place, &to_text(&unsaved)?)
    }

    /// Takes the edits of a project that a window left behind when it ended without asking. They are kept under another
    /// name until [`Self::forget_recovered`], so that new edits do not replace them.
    #[must_use]
    pub fn recover(&self, project: &Path) -> Option<Unsaved> {
        let place = self.unsaved_path(project)?;
        let aside = place.with_extension("recovered");
        let own = std::path::absolute(project).ok()?;
        let found: Option<Unsaved> = read(&place).filter(|it: &Unsaved| it.path == own && !lives(it.process));
        if found.is_some() {
            std::fs::rename(&place, &aside).ok()?;
            return found;
        }
        read(&aside).filter(|it: &Unsaved| it.path == own)
    }

    /// Whether [`Self::recover`] would give edits of a project; nothing is taken or moved.
    #[must_use]
    pub fn has_left(&self, project: &Path) -> bool {
        let (Some(place), Ok(own)) = (self.unsaved_path(project), std::path::absolute(project)) else {
            return false;
        };
        let is_left = |found: &Unsaved| found.path == own && !lives(found.process);
        read(&place).is_some_and(|found| is_left(&found))
            || read(&place.with_extension("recovered")).is_some_and(|found: Unsaved| found.path == own)
    }

    /// The user has said what becomes of recovered edits.
    pub fn forget_recovered(&self, project: &Path) {
        if let Some(place) = self.unsaved_path(project) {
            remove(&place.with_extension("recovered"));
        }
    }

    /// Unsaved work on projects that are in no file: they were new when their window ended.
    #[must_use]
    pub fn orphans(&self) -> &[Unsaved] {
        &self.orphans
    }

    fn find_orphans(folder: Option<&Path>) -> Vec<Unsaved> {
        let Some(entries) = folder.and_then(|folder| std::fs::read_dir(folder.join("unsaved")).ok()) else {
            return Vec::new();
        };
        let kept = entries.flatten().filter_map(|entry| read::<Unsaved>(&entry.path()));
        kept.filter(|unsaved| !unsaved.path.exists() && !lives(unsaved.process)).collect()
    }

    /// The edits are saved, or nobody wants them.
    pub fn forget_unsaved(&self, project: &Path) {
        if let Some(path) = self.unsaved_path(project) {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("old unsaved work could not be removed: {error}: {}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_projects_and_unsaved_work_outlive_the_window() {
        let folder = std::env::temp_dir().join(format!("graft-state-{}", std::process::id()));
        let mut store = Store::open(Some(folder.clone()));
        for name in ["a.ron", "b.ron", "a.ron"] {
            store.opened(Path::new(name));
        }
        store.change(|settings| settings.theme = ThemeChoice::Light);
        store.keep_unsaved(Path::new("a.ron"), "(one)").unwrap();
        let again = Store::open(Some(folder.clone()));
        let names: Vec<_> = again.settings().recent.iter().map(|it| it.path.file_name().unwrap()).collect();
        assert_eq!(names, ["a.ron", "b.ron"]);
        assert_eq!(again.settings().theme, ThemeChoice::Light);
        assert_eq!(again.orphans().len(), 1, "it is in no file");
        assert!(again.has_left(Path::new("a.ron")) && !again.has_left(Path::new("b.ron")));
        assert_eq!(again.recover(Path::new("a.ron")).unwrap().text, "(one)");
        assert_eq!(again.recover(Path::new("b.ron")), None);
        assert!(again.has_left(Path::new("a.ron")), "until the user has said what becomes of them");
        // Edits of this window do not replace what was recovered.
        again.keep_unsaved(Path::new("a.ron"), "(two)").unwrap();
        again.forget_unsaved(Path::new("a.ron"));
        assert_eq!(again.recover(Path::new("a.ron")).unwrap().text, "(one)");
        again.forget_recovered(Path::new("a.ron"));
        assert!(!again.has_left(Path::new("a.ron")));
        assert_eq!(again.recover(Path::new("a.ron")), None);
        std::fs::write(folder.join(SETTINGS), "nonsense").unwrap();
        assert_eq!(Store::open(Some(folder.clone())).settings(), &Settings::default());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
