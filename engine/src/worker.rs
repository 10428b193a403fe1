//! The engine thread: commands in, events out. What the window talks to; it never waits for an answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::project::Project;
use crate::runs::{Event, EventBody, RunOptions, resume, train};
use crate::tensor::kernels::make_thread_buffers;
use crate::tensor::take_part;
use crate::train::{Ask, Control, Wish};

/// What the engine thread can be told. What is for the run that goes on goes past the queue: pausing
/// and stopping by [`Engine::steer`], everything else by [`Engine::ask`].
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a project.
    Train {
        /// What.
        project: Box<Project>,
        /// Folder that its relative paths start from.
        base: PathBuf,
        /// Where run folders go.
        runs: PathBuf,
    },
    /// Go on with a run.
    Resume {
        /// Its folder.
        folder: PathBuf,
    },
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A run is going on.
    #[error("a run is going on; stop it first")]
    Busy,
    /// The thread is gone.
    #[error("the engine thread is gone; restart the program")]
    Gone,
}

/// The handle of the engine thread. Dropping it stops the run (saved) and joins the thread.
#[derive(Debug)]
pub struct Engine {
    commands: Option<Sender<(Command, Arc<Control>)>>,
    events: Receiver<Event>,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// Events that may wait to be read; a full queue makes the run wait rather than forget.
const QUEUE: usize = 4096;

impl Engine {
    /// Starts the thread. `wake` is called after each event, from the engine's thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (commands, inbox) = bounded::<(Command, Arc<Control>)>(1);
        let (outbox, events) = bounded(QUEUE);
        let thread = std::thread::Builder::new().name("graft-engine".into()).spawn(move || {
            take_part();
            // What a run's process holds is then there before it is predicted.
            make_thread_buffers();
            while let Ok((command, control)) = inbox.recv() {
                perform(&command, &control, &outbox, &wake);
            }
        })?;
        Ok(Self { commands: Some(commands), events, control: Arc::default(), thread: Some(thread) })
    }

    /// Hands over a command.
    ///
    /// # Errors
    /// When a run is still going on.
    pub fn send(&mut self, command: Command) -> Result<(), EngineError> {
        let control = Arc::new(Control::new());
        let Some(commands) = &self.commands else { return Err(EngineError::Gone) };
        match commands.try_send((command, Arc::clone(&control))) {
            Ok(()) => {
                self.control = control;
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(EngineError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(EngineError::Gone),
        }
    }

    /// Pauses, continues or stops the present run.
    pub fn steer(&self, wish: Wish) {
        self.control.set(wish);
    }

    /// Asks the present run for something between its steps.
    pub fn ask(&self, ask: Ask) {
        self.control.ask(ask);
    }

    /// The next event, if one is waiting.
    #[must_use]
    pub fn poll(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Events as they come.
    #[must_use]
    pub const fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.control.set(Wish::Stop);
        self.commands = None;
        // The run may be waiting for room in a full queue: keep reading until the thread ends.
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            drop(self.events.recv_timeout(std::time::Duration::from_millis(5)));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn perform(command: &Command, control: &Control, outbox: &Sender<Event>, wake: &impl Fn()) {
    let ended = std::cell::Cell::new(false);
    let mut send = |event: &Event| {
        ended.set(ended.get() || event.body.is_last());
        // A closed queue means that nobody listens any more; the log on disk has the event.
        drop(outbox.send(event.clone()));
        wake();
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match command {
        Command::Train { project, base, runs } => {
            train(project, base, &RunOptions { runs: runs.clone() }, control, &mut send).map(|_| ())
        }
        Command::Resume { folder } => resume(folder, control, &mut send).map(|_| ()),
    }));
    let error = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => crate::device::panic_message(&*panic),
    };
    // A run that could not even begin has no folder and no log; it still ends with `failed`.
    if !ended.get() {
        send(&Event { run: String::new(), time: 0.0, body: EventBody::Failed { error } });
    }
}
