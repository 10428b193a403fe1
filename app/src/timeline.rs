//! Which parts train in which stages: every stage's model, and its predicted peak, worked out away from the window's
//! thread.

use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::graph::RegionKind;
use graft_engine::plan::Calibration;
use graft_engine::project::Project;
use graft_engine::train::StageSpec;

use crate::model::{Freeze, Model, build_once};
use crate::newest::{Newest, guarded};
use crate::outlook::Case;
use crate::shown;
use crate::sources::Sources;

/// A stage of the project.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How wide it is drawn: the epochs of the training stage that it shows, 1 where nothing trains.
    pub epochs: usize,
    /// What it does where it is no training stage itself, as `measure` or `repeat`.
    pub other: Option<String>,
    /// Its model, or why there is none.
    pub model: Result<Arc<Model>, String>,
    /// Predicted peak of a step, in bytes.
    pub peak_bytes: Option<u64>,
}

/// A part of the model, or an adapter right below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path.
    pub path: String,
    /// Its name.
    pub title: String,
    /// The adapter's place in the project's list, if it is one.
    pub adapter: Option<usize>,
    /// What trains of it in each stage; none where the stage has no such part.
    pub states: Vec<Option<Freeze>>,
}

/// All stages and parts.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The stages.
    pub columns: Vec<Column>,
    /// The parts, in the order of computation.
    pub rows: Vec<Row>,
}

struct Question {
    key: Key,
    project: Arc<Project>,
    base: PathBuf,
    times: Option<Arc<Calibration>>,
    process_bytes: u64,
}

/// Generation, revision, whether times are known, and what stands beside the stages.
type Key = (u64, u64, bool, u64);

/// The window's side.
#[derive(Debug)]
pub struct Timelines {
    thread: Newest<Question, (Key, Result<Timeline, String>)>,
    generation: u64,
    asked: Option<Key>,
    answered: Option<Key>,
    answers: u64,
    latest: Result<Timeline, String>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Timelines {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sources: Sources, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let work = move |question: Question| {
            let key = question.key;
            (key, guarded(|| Ok(timeline(&sources, &question))))
        };
        let thread = Newest::start("graft-timeline", work, wake)?;
        Ok(Self {
            thread,
            generation: 0,
            asked: None,
            answered: None,
            answers: 0,
            latest: Ok(Timeline::default()),
        })
    }

    /// Asks the latest question once more.
    pub fn retry(&mut self) {
        self.asked = None;
    }

    /// Another document was opened.
    pub fn clear(&mut self) {
        self.generation += 1;
        self.answers += 1;
        self.asked = None;
        self.answered = None;
        self.latest = Ok(Timeline::default());
    }

    /// Asks for the stages of a project, unless they were asked for already. `process_bytes` stand beside each of them.
    pub fn ask(
        &mut self,
        revision: u64,
        project: &Arc<Project>,
        base: PathBuf,
        times: Option<&Arc<Calibration>>,
        process_bytes: u64,
    ) {
        let key = (self.generation, revision, times.is_some(), process_bytes >> 20);
        if self.asked == Some(key) {
            return;
        }
        let (project, times) = (Arc::clone(project), times.map(Arc::clone));
        if self.thread.ask(Question { key, project, base, times, process_bytes }) {
            self.asked = Some(key);
        }
    }

    /// Takes answers in.
    pub fn poll(&mut self) {
        while let Some((key, result)) = self.thread.poll() {
            if key.0 == self.generation {
                self.latest = result;
                self.answers += 1;
                self.answered = Some(key);
            }
        }
    }

    /// The latest timeline, perhaps of an edit ago.
    ///
    /// # Errors
    /// When it could not be worked out.
    pub const fn latest(&self) -> Result<&Timeline, &String> {
        self.latest.as_ref()
    }

    /// Whether it is of the project at this revision.
    #[must_use]
    pub fn is_of(&self, revision: u64) -> bool {
        self.answered.is_some_and(|key| (key.0, key.1) == (self.generation, revision))
    }

    /// Grows with each answer, so that what is made from one can be kept.
    #[must_use]
    pub const fn answers(&self) -> u64 {
        self.answers
    }

    /// Whether nothing is being worked out.
    pub(crate) fn is_idle(&self) -> bool {
        self.thread.is_idle()
    }

    /// Whether it is of what was asked last.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.asked.is_some() && self.asked == self.answered
    }
}

fn timeline(sources: &Sources, question: &Question) -> Timeline {
    let stages = question.project.stages.iter().enumerate();
    let columns: Vec<Column> = stages.map(|(index, stage)| column(sources, question, index, stage)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let Ok(model) = &column.model else { continue };
        for part in parts(model) {
            let row = rows.iter().position(|row| row.path == part.path).unwrap_or_else(|| {
                rows.push(Row { states: vec![None; columns.len()], ..part.clone() });
                rows.len() - 1
            });
            rows[row].states[index] = part.states[0].filter(|_| model.trains);
        }
    }
    // A part that only later stages have stands where it is computed, not last: the fullest stage gives the order.
    let fullest = columns.iter().filter_map(|column| column.model.as_ref().ok()).map(|model| parts(model));
    if let Some(order) = fullest.max_by_key(Vec::len) {
        let place = |row: &Row| order.iter().position(|part| part.path == row.path).unwrap_or(order.len());
        rows.sort_by_key(place);
    }
    Timeline { columns, rows }
}

fn column(sources: &Sources, question: &Question, index: usize, stage: &StageSpec) -> Column {
    let base = question.base.clone();
    let case = Case {
        project: Arc::clone(&question.project),
        base: base.clone(),
        stage: index,
        times: question.times.clone(),
    };
    let spec = shown::training(stage);
    let planned = spec.map(|_| case.outlook(sources, &mut Some(question.process_bytes)));
    Column {
        name: stage.name().to_owned(),
        epochs: spec.map_or(1, |spec| spec.epochs.max(1)),
        other: stage.as_train().is_none().then(|| stage.kind().to_owned()),
        model: build_once(sources, &question.project, base, index),
        peak_bytes: planned.and_then(Result::ok).and_then(|it| it.predicted().map(|found| found.peak_bytes)),
    }
}

/// Parts with weights right below the whole model; adapters there among them.
fn parts(model: &Model) -> Vec<Row> {
    let Some(root) = model.parts.iter().find(|part| part.path == "model") else { return Vec::new() };
    let children = root.children.iter().map(|&child| &model.parts[child]);
    children
        .filter(|part| part.freeze != Freeze::Nothing)
        .map(|part| Row {
            path: part.path.clone(),
            title: part.title.clone(),
            adapter: match part.kind {
                RegionKind::Adapter(index) => Some(index),
                _ => None,
            },
            states: vec![Some(part.freeze)],
        })
        .collect()
}

/// The stages whose state changes when an end of a span is dragged: `from` is the edge that was taken, `to` where it
/// was left, both as numbers of edges between stages; `right` says which end it was. Gives each stage with whether the
/// part trains there from now on.
#[must_use]
pub fn dragged(from: usize, to: usize, right: bool) -> Vec<(usize, bool)> {
    let grows = if right { to > from } else { to < from };
    (from.min(to)..from.max(to)).map(|stage| (stage, grows)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dragging_an_end_outwards_trains_and_inwards_freezes() {
        assert_eq!(dragged(1, 3, true), [(1, true), (2, true)]);
        assert_eq!(dragged(3, 2, true), [(2, false)]);
        assert_eq!(dragged(2, 0, false), [(0, true), (1, true)]);
        assert_eq!(dragged(0, 1, false), [(0, false)]);
        assert!(dragged(2, 2, true).is_empty());
    }
}
