//! What a change would cost before it is made: the stage planned once more with an adapter taken off, or put on.

use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::plan::Calibration;
use graft_engine::project::Project;

use crate::document::Document;
use crate::edits;
use crate::model::Model;
use crate::newest::{Newest, guarded};
use crate::outlook::{Case, Outlook};
use crate::sources::Sources;

/// A change that is thought of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An adapter of the project's list is taken off.
    Without(usize),
    /// The palette's kind of this number is placed at a site.
    With {
        /// The site's path.
        site: String,
        /// The kind, by its place in the palette.
        kind: usize,
    },
}

/// What is known of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sums {
    /// Weights that train.
    pub trainable: u64,
    /// Peak of a step, in bytes.
    pub peak_bytes: Option<u64>,
    /// Seconds of a step; none without the device's times.
    pub step_secs: Option<f64>,
    /// Bytes of a sample at the cut, where a cache could stand.
    pub cut_bytes: Option<u64>,
}

impl Sums {
    /// Of an outlook.
    #[must_use]
    pub fn of(outlook: &Outlook) -> Self {
        let predicted = outlook.predicted();
        Self {
            trainable: outlook.plan.params_trainable.unwrap_or(0),
            peak_bytes: predicted.map(|found| found.peak_bytes),
            step_secs: predicted.filter(|_| outlook.timed).map(|found| found.step_secs),
            cut_bytes: outlook.plan.cut.as_ref().map(|cut| cut.bytes_per_sample),
        }
    }
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Now<'a> {
    /// The document's revision.
    pub revision: u64,
    /// The project.
    pub project: &'a Arc<Project>,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// The model of the stage that is looked at.
    pub model: &'a Arc<Model>,
    /// What ops take on this device.
    pub times: Option<&'a Arc<Calibration>>,
    /// What the process holds beside the stage, in bytes.
    pub process_bytes: u64,
}

type Key = (u64, u64, usize, bool, Change);

#[derive(Debug)]
struct Question {
    key: Key,
    case: Case,
    model: Arc<Model>,
    process_bytes: u64,
}

/// The window's side.
#[derive(Debug)]
pub struct WhatIf {
    thread: Newest<Question, (Key, Result<Sums, String>)>,
    /// Grows with each document opened.
    generation: u64,
    asked: Option<Key>,
    answer: Option<(Key, Result<Sums, String>)>,
}

impl WhatIf {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sources: Sources, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let work = move |question: Question| {
            let key = question.key.clone();
            (key, guarded(|| answer(&sources, question)))
        };
        Ok(Self {
            thread: Newest::start("graft-what-if", work, wake)?,
            generation: 0,
            asked: None,
            answer: None,
        })
    }

    /// Another document was opened: nothing that is known holds for it.
    pub fn clear(&mut self) {
        self.generation += 1;
        self.asked = None;
        self.answer = None;
    }

    /// Asks what a change would cost, unless that was asked already.
    pub fn ask(&mut self, now: &Now<'_>, change: Change) {
        let key = (self.generation, now.revision, now.model.stage, now.times.is_some(), change);
        if self.asked.as_ref() == Some(&key) {
            return;
        }
        let case = Case {
            project: Arc::clone(now.project),
            base: now.base.clone(),
            stage: now.model.stage,
            times: now.times.map(Arc::clone),
        };
        let (model, process_bytes) = (Arc::clone(now.model), now.process_bytes);
        if self.thread.ask(Question { key: key.clone(), case, model, process_bytes }) {
            self.asked = Some(key);
        }
    }

    /// Takes answers in.
    pub fn poll(&mut self) {
        while let Some(answer) = self.thread.poll() {
            self.answer = Some(answer);
        }
    }

    /// Whether nothing is being worked out.
    pub(crate) fn is_idle(&self) -> bool {
        self.thread.is_idle()
    }

    /// The answer to what was asked last, if it is about this change.
    ///
    /// # Errors
    /// When the changed stage cannot be planned.
    #[must_use]
    pub fn answer(&self, change: &Change) -> Option<Result<Sums, &str>> {
        let (key, result) = self.answer.as_ref()?;
        (self.asked.as_ref() == Some(key) && key.4 == *change)
            .then(|| result.as_ref().copied().map_err(String::as_str))
    }
}

fn answer(sources: &Sources, question: Question) -> Result<Sums, String> {
    let Question { key: (_, _, _, _, change), mut case, model, process_bytes } = question;
    let mut document = Document::new((*case.project).clone(), std::path::Path::new("what-if.ron"));
    match change {
        Change::Without(index) => edits::remove(&mut document, index),
        Change::With { site, kind } => {
            edits::place(&mut document, &model, &site, kind).ok_or("there is no such kind")?;
        }
    }
    case.project = Arc::clone(document.project());
    case.outlook(sources, &mut Some(process_bytes)).map(|outlook| Sums::of(&outlook))
}
