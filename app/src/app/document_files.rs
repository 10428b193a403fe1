//! Opening, saving and watching the project's file.

use std::path::{Path, PathBuf};

use egui::Context;
use graft_engine::project;

use super::App;
use crate::actions::Action;
use crate::difference::{Between, Difference};
use crate::document::Document;
use crate::files::FileEvent;
use crate::fresh;
use crate::overlays::Banner;
use crate::shown;
use crate::view::{DockTab, View};

impl App {
    pub(super) fn open(&mut self, path: &Path) {
        match Document::open(path) {
            Ok(document) => {
                self.store.opened(path);
                self.adopt(document);
                self.look_for_unsaved();
            }
            Err(error) if self.document.is_some() => self.banner = Some(Banner::Refused(error.to_string())),
            Err(error) => self.refusal = Some(error.to_string()),
        }
    }

    pub(super) fn adopt(&mut self, document: Document) {
        self.builder.clear();
        self.held.clear();
        self.planner.clear();
        self.timelines.clear();
        self.measurements.open(self.runs.clone(), document.project().name.clone(), document.base());
        self.told = None;
        self.banner = None;
        self.refusal = None;
        self.recovered = None;
        self.what_if.clear();
        let stage = shown::main_stage(document.project());
        let View { kind, tab, heat, origin, cut_hidden, dock_tall, samples, .. } = self.view;
        let (runs, plots) = (std::mem::take(&mut self.view.runs), std::mem::take(&mut self.view.plots));
        let dock_tall = dock_tall && tab == DockTab::Runs;
        self.view = View {
            stage,
            kind,
            tab,
            dock_tall,
            heat,
            origin,
            cut_hidden,
            samples,
            runs,
            plots,
            ..View::default()
        };
        self.view.expanded.extend(["model.spatial", "model.temporal"].map(str::to_owned));
        self.watch(document.path());
        self.document = Some(document);
    }

    /// Asks where a recent project has gone.
    pub(super) fn locate(&mut self, path: PathBuf) {
        // The nearest folder above it that is still there.
        let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        let asked = self.files.ask_lost(folder).map_err(|error| error.to_string());
        self.locating = Some(path);
        self.fail(asked);
    }

    /// The file that was asked for takes the lost one's place.
    fn located(&mut self, ctx: &Context, path: PathBuf) {
        if let Some(lost) = self.locating.take() {
            self.store.change(|settings| settings.recent.retain(|recent| recent.path != lost));
        }
        self.guarded(ctx, Action::OpenPath(path));
    }

    fn watch(&mut self, path: &Path) {
        if let Err(error) = self.files.watch(path) {
            tracing::warn!("changes of the file will not be noticed: {error}: {}", path.display());
        }
    }

    pub(super) fn file_event(&mut self, ctx: &Context, event: FileEvent) {
        match event {
            FileEvent::Open(path) => self.guarded(ctx, Action::OpenPath(path)),
            FileEvent::Located(path) => self.located(ctx, path),
            FileEvent::SaveAs(path) => self.save_as(&path),
            FileEvent::New(folder) => self.guarded(ctx, Action::BeginAround(folder)),
            FileEvent::Data(folder) => self.take_data(&folder),
            FileEvent::Touched => {
                let Some(document) = &mut self.document else { return };
                if self.files.differs(document.path()) {
                    self.banner = Some(Banner::ChangedOnDisk);
                } else if !document.path().exists() {
                    document.lost_file();
                    self.banner = Some(Banner::Gone);
                } else if self.banner == Some(Banner::Gone) {
                    self.banner = None;
                }
            }
        }
    }

    /// A new project around a model.
    pub(super) fn begin_around(&mut self, folder: &Path) {
        let result = fresh::around_model(folder).map(|(project, path)| {
            self.adopt(Document::unwritten(project, &path));
            self.view.tab = DockTab::Problems;
        });
        self.fail(result);
    }

    /// Makes a folder of samples the project's data.
    fn take_data(&mut self, folder: &Path) {
        if self.is_locked() {
            return self.fail(Err("The data cannot be changed while a run goes on".to_owned()));
        }
        let Some(document) = &mut self.document else { return };
        let result = fresh::data_in(folder, &document.project().data)
            .map(|data| document.edit("Choose data", None, |project| project.data = data));
        self.fail(result);
    }

    /// Shows how the window's project differs from its file.
    pub(super) fn show_difference(&mut self) {
        let Some(document) = &self.document else { return };
        let file = std::fs::read_to_string(document.path()).unwrap_or_default();
        let result = project::to_text(document.project()).map_err(|error| error.to_string()).map(|window| {
            // Comments and layout of the file are no difference in what it says.
            let file = project::parse(&file, document.path())
                .ok()
                .and_then(|project| project::to_text(&project).ok())
                .unwrap_or(file);
            self.difference = Some(Difference { between: Between::FileAndWindow, old: file, new: window });
        });
        self.fail(result);
    }

    pub(super) fn fail(&mut self, result: Result<(), String>) {
        if let Err(error) = result {
            self.banner = Some(Banner::Refused(error));
        }
    }

    /// Whatever the file was said to be, it now is what the window shows.
    fn file_is_ours(&mut self) {
        if matches!(self.banner, Some(Banner::ChangedOnDisk | Banner::Gone)) {
            self.banner = None;
        }
    }

    pub(super) fn save(&mut self) -> bool {
        let Some(document) = &mut self.document else { return true };
        // What another program wrote meanwhile is not overwritten unasked.
        if !document.is_unwritten() && self.files.differs(document.path()) {
            self.banner = Some(Banner::ChangedOnDisk);
            return false;
        }
        let result = document.save().map_err(|error| error.to_string());
        self.files.remember(document.path());
        let saved = result.is_ok();
        let path = document.path().to_path_buf();
        if saved {
            self.forget_unsaved(&path);
            self.store.opened(&path);
            self.file_is_ours();
        }
        self.fail(result);
        saved
    }

    pub(super) fn save_as(&mut self, path: &Path) {
        let Some(document) = &mut self.document else { return };
        let before = document.path().to_path_buf();
        let result = document.save_as(path).map_err(|error| error.to_string());
        let path = document.path().to_path_buf();
        if result.is_ok() {
            self.forget_unsaved(&before);
            self.store.opened(&path);
            self.watch(&path);
            self.file_is_ours();
        }
        self.fail(result);
    }
}
