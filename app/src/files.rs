//! Dialogs and the watch on the project's file, both away from the window's thread.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

/// What came back from a dialog or the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// A project to open was chosen.
    Open(PathBuf),
    /// It was said where a lost project has gone.
    Located(PathBuf),
    /// A name to save under was chosen.
    SaveAs(PathBuf),
    /// A model's folder was chosen for a new project.
    New(PathBuf),
    /// A folder of samples was chosen.
    Data(PathBuf),
    /// The watched file may have changed.
    Touched,
}

/// Time in which changes of a file are taken together.
const DEBOUNCE: Duration = Duration::from_millis(150);

type Watch = Debouncer<RecommendedWatcher, RecommendedCache>;

/// Open dialogs and the watched file.
pub struct Files {
    sender: Sender<FileEvent>,
    events: Receiver<FileEvent>,
    wake: Arc<dyn Fn() + Send + Sync>,
    watch: Option<Watch>,
    /// The text that this window last read from or wrote to the file.
    known: Option<String>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("watching", &self.watch.is_some()).finish_non_exhaustive()
    }
}

impl Files {
    /// `wake` is called when an event waits.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, events) = bounded(64);
        Self { sender, events, wake: Arc::new(wake), watch: None, known: None }
    }

    /// The next event, if one waits.
    #[must_use]
    pub fn poll(&self) -> Option<FileEvent> {
        self.events.try_recv().ok()
    }

    /// Watches a file in place of the one before. What it holds now is known.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn watch(&mut self, path: &Path) -> Result<(), notify::Error> {
        self.remember(path);
        self.watch = None;
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        let name = path.file_name().map(std::ffi::OsStr::to_owned);
        let handler = move |result: DebounceEventResult| {
            let Ok(events) = result else { return };
            let ours = |path: &PathBuf| path.file_name() == name.as_deref();
            if events.iter().any(|event| event.paths.iter().any(ours)) {
                // A full queue already holds the news.
                drop(sender.try_send(FileEvent::Touched));
                wake();
            }
        };
        let mut watch = new_debouncer(DEBOUNCE, None, handler)?;
        // The folder rather than the file: editors replace files instead of writing them.
        watch.watch(path.parent().unwrap_or(&path), RecursiveMode::NonRecursive)?;
        self.watch = Some(watch);
        Ok(())
    }

    /// Nothing is watched any more.
    pub fn forget(&mut self) {
        self.watch = None;
        self.known = None;
    }

    /// What the file holds now is not news.
    pub fn remember(&mut self, path: &Path) {
        self.known = std::fs::read_to_string(path).ok();
    }

    /// Whether the file holds something else than what this window read or wrote.
    #[must_use]
    pub fn differs(&self, path: &Path) -> bool {
        std::fs::read_to_string(path).is_ok_and(|text| Some(&text) != self.known.as_ref())
    }

    /// Asks for a project to open.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn ask_open(&self, folder: &Path) -> std::io::Result<()> {
        let dialog = dialog(folder).set_title("Open a project").pick_file();
        self.ask(dialog, FileEvent::Open)
    }

    /// Asks where a lost project has gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn ask_lost(&self, folder: &Path) -> std::io::Result<()> {
        let dialog = dialog(folder).set_title("Locate the project").pick_file();
        self.ask(dialog, FileEvent::Located)
    }

    /// Asks for a folder; `event` makes the answer of it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn ask_folder(
        &self,
        title: &str,
        folder: &Path,
        event: fn(PathBuf) -> FileEvent,
    ) -> std::io::Result<()> {
        self.ask(dialog(folder).set_title(title).pick_folder(), event)
    }

    /// Asks for a name to save under.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn ask_save(&self, path: &Path) -> std::io::Result<()> {
        let name = path.file_name().map_or_else(|| "project.ron".into(), |name| name.to_string_lossy());
        let folder = path.parent().unwrap_or(Path::new("."));
        let dialog = dialog(folder).set_title("Save the project as").set_file_name(name).save_file();
        self.ask(dialog, FileEvent::SaveAs)
    }

    fn ask(
        &self,
        dialog: impl Future<Output = Option<rfd::FileHandle>> + Send + 'static,
        event: fn(PathBuf) -> FileEvent,
    ) -> std::io::Result<()> {
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        std::thread::Builder::new().name("graft-dialog".into()).spawn(move || {
            if let Some(file) = wait_for(dialog) {
                // Nobody listens any more: the window is closed.
                drop(sender.send(event(file.path().to_path_buf())));
                wake();
            }
        })?;
        Ok(())
    }
}

fn dialog(folder: &Path) -> rfd::AsyncFileDialog {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    rfd::AsyncFileDialog::new().add_filter("Graft project", &["ron"]).set_directory(folder)
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
