//! The project being edited: its file, its history of labelled steps, and whether it differs from the disk.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use graft_engine::project::{self, Project, ProjectError};

/// Steps that can be undone.
const DEPTH: usize = 200;

#[derive(Clone, Debug)]
struct Step {
    label: String,
    /// The project on the other side of the step.
    project: Arc<Project>,
}

/// A project with its file and its history.
#[derive(Debug)]
pub struct Document {
    project: Arc<Project>,
    saved: Arc<Project>,
    path: PathBuf,
    past: Vec<Step>,
    future: Vec<Step>,
    /// What the pointer or keyboard is still doing; its edits make one step.
    gesture: Option<String>,
    revision: u64,
    /// Whether the project was found to differ from the saved one, and at which revision.
    differs: Cell<Option<(u64, bool)>>,
    /// No file holds an earlier state.
    unwritten: bool,
    /// It has never been saved: where to is still to be said.
    new: bool,
}

impl Document {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is no project.
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        Ok(Self::new(project::load(path)?, path))
    }

    /// A project as it stands in the file at `path`.
    #[must_use]
    pub fn new(project: Project, path: &Path) -> Self {
        let project = Arc::new(project);
        Self {
            saved: Arc::clone(&project),
            project,
            path: path.to_path_buf(),
            past: Vec::new(),
            future: Vec::new(),
            gesture: None,
            revision: 0,
            differs: Cell::new(None),
            unwritten: false,
            new: false,
        }
    }

    /// The file of the project went away: everything is unsaved.
    pub const fn lost_file(&mut self) {
        self.unwritten = true;
    }

    /// Whether it has never been saved.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.new
    }

    /// Whether there is no file that holds an earlier state of it.
    #[must_use]
    pub const fn is_unwritten(&self) -> bool {
        self.unwritten
    }

    /// A project that is in no file yet.
    #[must_use]
    pub fn unwritten(project: Project, path: &Path) -> Self {
        Self { unwritten: true, new: true, ..Self::new(project, path) }
    }

    /// The project as it is now.
    #[must_use]
    pub const fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that relative paths start from.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_path_buf()
    }

    /// Grows with every change, undo and redo included.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether it differs from what was last read or written.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        if self.unwritten || Arc::ptr_eq(&self.project, &self.saved) {
            return self.unwritten;
        }
        // Asked several times a frame; a project of many rules takes a while to compare.
        match self.differs.get() {
            Some((revision, differs)) if revision == self.revision => differs,
            _ => {
                let differs = self.project != self.saved;
                self.differs.set(Some((self.revision, differs)));
                differs
            }
        }
    }

    /// Changes the project as one step of the history. Edits of the same `gesture` are one step until
    /// [`Self::end_gesture`]. A change that changes nothing leaves no step.
    pub fn edit(&mut self, label: &str, gesture: Option<&str>, change: impl FnOnce(&mut Project)) {
        let mut next = (*self.project).clone();
        change(&mut next);
        if next == *self.project {
            return;
        }
        let before = std::mem::replace(&mut self.project, Arc::new(next));
        self.revision += 1;
        self.future.clear();
        let goes_on = gesture.is_some() && self.gesture.as_deref() == gesture && !self.past.is_empty();
        if !goes_on {
            self.past.push(Step { label: label.to_owned(), project: before });
            if self.past.len() > DEPTH {
                self.past.remove(0);
            }
        }
        self.gesture = gesture.map(str::to_owned);
    }

    /// The pointer was released or the field left: the next edit is a step of its own.
    pub fn end_gesture(&mut self) {
        self.gesture = None;
    }

    /// What undo would take back.
    #[must_use]
    pub fn undo_label(&self) -> Option<&str> {
        self.past.last().map(|step| step.label.as_str())
    }

    /// What redo would bring back.
    #[must_use]
    pub fn redo_label(&self) -> Option<&str> {
        self.future.last().map(|step| step.label.as_str())
    }

    /// Takes the last step back; whether there was one.
    pub fn undo(&mut self) -> bool {
        let Some(step) = self.past.pop() else { return false };
        let now = std::mem::replace(&mut self.project, step.project);
        self.future.push(Step { label: step.label, project: now });
        self.moved()
    }

    /// Brings the last undone step back; whether there was one.
    pub fn redo(&mut self) -> bool {
        let Some(step) = self.future.pop() else { return false };
        let now = std::mem::replace(&mut self.project, step.project);
        self.past.push(Step { label: step.label, project: now });
        self.moved()
    }

    fn moved(&mut self) -> bool {
        self.revision += 1;
        self.gesture = None;
        true
    }

    /// Replaces the project by what the file holds now, as a step that can be undone.
    ///
    /// # Errors
    /// When the file is no project.
    pub fn reload(&mut self) -> Result<(), ProjectError> {
        let fresh = project::load(&self.path)?;
        self.edit("Reload from disk", None, |project| *project = fresh);
        self.saved = Arc::clone(&self.project);
        self.differs.set(None);
        Ok(())
    }

    /// Writes the project to its file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self) -> Result<(), ProjectError> {
        project::save(&self.project, &self.path)?;
        self.saved = Arc::clone(&self.project);
        self.differs.set(None);
        self.unwritten = false;
        self.new = false;
        Ok(())
    }

    /// Writes the project to another file and goes on there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_as(&mut self, path: &Path) -> Result<(), ProjectError> {
        project::save(&self.project, path)?;
        self.path = path.to_path_buf();
        self.saved = Arc::clone(&self.project);
        self.differs.set(None);
        self.unwritten = false;
        self.new = false;
        // Relative paths start elsewhere now, so the model has to be built again.
        self.revision += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let text = "(version: 1, name: \"a\", model: Vit(width: 8, blocks: 1, heads: 1, patch: 8), \
                    data: Digits(), stages: [Train()])";
        let project = project::parse(text, Path::new("a.ron")).unwrap();
        Document::new(project, Path::new("a.ron"))
    }

    fn rename(document: &mut Document, name: &str, gesture: Option<&str>) {
        document.edit("Rename", gesture, |project| name.clone_into(&mut project.name));
    }

    #[test]
    fn undo_and_redo_are_exact() {
        let mut document = document();
        let first = project::to_text(document.project()).unwrap();
        rename(&mut document, "b", None);
        rename(&mut document, "c", None);
        let last = project::to_text(document.project()).unwrap();
        assert!(document.is_dirty());
        assert!(document.undo() && document.undo() && !document.undo());
        assert_eq!(project::to_text(document.project()).unwrap(), first);
        assert!(!document.is_dirty());
        assert!(document.redo() && document.redo() && !document.redo());
        assert_eq!(project::to_text(document.project()).unwrap(), last);
    }

    #[test]
    fn a_gesture_is_one_step_and_no_change_is_none() {
        let mut document = document();
        rename(&mut document, "a", None);
        assert_eq!(document.undo_label(), None);
        for name in ["b", "c", "d"] {
            rename(&mut document, name, Some("drag"));
        }
        document.end_gesture();
        rename(&mut document, "e", Some("drag"));
        document.undo();
        assert_eq!(document.project().name, "d");
        document.undo();
        assert_eq!(document.project().name, "a");
        rename(&mut document, "z", None);
        assert_eq!(document.redo_label(), None, "an edit drops the future");
    }

    #[test]
    fn saving_clears_the_mark_and_another_file_moves_the_base() {
        let folder = std::env::temp_dir().join(format!("graft-document-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut document = document();
        assert_eq!(document.base(), Path::new("."));
        rename(&mut document, "b", None);
        document.save_as(&folder.join("b.ron")).unwrap();
        assert!(!document.is_dirty());
        assert_eq!(document.base(), folder);
        assert_eq!(Document::open(document.path()).unwrap().project().name, "b");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
