//! What would stop a run, or would make it useless, each with what mends it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use graft_engine::graph::nearest;
use graft_engine::project::Project;
use graft_engine::train::{AdapterUse, StageSpec};

use crate::actions::Action;
use crate::devices::Devices;
use crate::model::Model;
use crate::panels::Desk;
use crate::panels::too_much::{TooMuch, remedies};
use crate::session::State;
use crate::view::{DockTab, Selected, View};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A run cannot begin, or would end at once.
    Error,
    /// A run would work, but hardly as it is meant.
    Warning,
}

/// A button beside a problem: its word and what it does.
pub type Remedy = (String, Action);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and where.
    pub text: String,
    /// What mends it, the likeliest first.
    pub remedies: Vec<Remedy>,
}

impl Problem {
    fn error(text: impl Into<String>, remedies: Vec<Remedy>) -> Self {
        Self { severity: Severity::Error, text: text.into(), remedies }
    }

    fn warning(text: impl Into<String>, remedies: Vec<Remedy>) -> Self {
        Self { severity: Severity::Warning, text: text.into(), remedies }
    }
}

/// All that [`problems`] reads.
#[derive(Clone, Debug)]
struct Asked {
    /// Kept, so that no other one can come to lie in its place.
    project: Option<Arc<Project>>,
    model: Option<Arc<Model>>,
    build_error: Option<String>,
    refusal: Option<String>,
    stage: usize,
    looks: u64,
    /// Which answer the timeline is.
    timeline: u64,
    too_much: Option<TooMuch>,
    failed: Option<String>,
    /// The project whose run that was, as it was then.
    run: Option<Arc<Project>>,
}

impl Asked {
    fn of(desk: Desk<'_>, devices: &Devices, view: &View, refusal: Option<&str>) -> Self {
        Self {
            project: desk.document.map(|document| Arc::clone(document.project())),
            model: desk.model.map(Arc::clone),
            build_error: desk.build_error.map(str::to_owned),
            refusal: refusal.map(str::to_owned),
            stage: view.stage,
            looks: devices.looks(),
            timeline: desk.timelines.answers(),
            too_much: TooMuch::of(desk),
            failed: failed(desk).map(str::to_owned),
            run: desk.session.project().map(|(project, _)| Arc::clone(project)),
        }
    }

    fn is(&self, other: &Self) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
        }
        let rest = |of: &Self| (of.stage, of.looks, of.timeline, of.too_much);
        same(self.project.as_ref(), other.project.as_ref())
            && same(self.model.as_ref(), other.model.as_ref())
            && same(self.run.as_ref(), other.run.as_ref())
            && rest(self) == rest(other)
            && self.build_error == other.build_error
            && self.refusal == other.refusal
            && self.failed == other.failed
    }
}

/// The problems as they were found last, looked for again when anything that they are made of is another.
#[derive(Debug, Default)]
pub struct Known(RefCell<Option<(Asked, Rc<[Problem]>)>>);

impl Known {
    /// All that is wrong, errors first.
    pub fn get(
        &self,
        desk: Desk<'_>,
        devices: &Devices,
        view: &View,
        refusal: Option<&str>,
    ) -> Rc<[Problem]> {
        let asked = Asked::of(desk, devices, view, refusal);
        let mut known = self.0.borrow_mut();
        if let Some((of, found)) = known.as_ref()
            && of.is(&asked)
        {
            return Rc::clone(found);
        }
        let found: Rc<[Problem]> = problems(desk, devices, view, refusal).into();
        *known = Some((asked, Rc::clone(&found)));
        found
    }
}

/// Why the project's last run failed. A run of another project is no problem of this one.
fn failed(desk: Desk<'_>) -> Option<&str> {
    match desk.session.state() {
        State::Failed(error) if desk.foreign_run().is_none() => Some(error),
        _ => None,
    }
}

/// All that is wrong, errors first.
#[must_use]
pub fn problems(desk: Desk<'_>, devices: &Devices, view: &View, refusal: Option<&str>) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(error) = refusal {
        found.push(Problem::error(error, vec![("Open another…".to_owned(), Action::Open)]));
    }
    let Some(document) = desk.document else { return found };
    if let Some(error) = desk.build_error {
        // A stage's complaint is told below, with what goes there.
        if desk.model.and_then(|model| model.complaint.as_deref()) != Some(error) {
            let data = ("Choose data…".to_owned(), Action::ChooseData);
            let again = ("Try again".to_owned(), Action::Retry);
            let remedies = if desk.lacks_data { vec![data, again] } else { vec![again, data] };
            found.push(Problem::error(error, remedies));
        }
    }
    rules(desk, &mut found);
    stages(desk, view, &mut found);
    let project = document.project();
    if let Some(reason) = devices.refusal(&project.device) {
        let text = format!("device {} cannot be used: {reason}", project.device);
        found.push(Problem::error(text, vec![("Use flex".to_owned(), Action::SetDevice("flex".to_owned()))]));
    }
    if let Some(too_much) = TooMuch::of(desk) {
        found.push(Problem {
            severity: too_much.severity(),
            text: too_much.text(desk.model.map_or(view.stage, |model| model.stage)),
            remedies: remedies(desk, too_much).into_iter().take(3).collect(),
        });
    }
    // What an edit has changed since is not known to fail.
    let is_same = || desk.session.project().is_none_or(|(run, _)| *run == *project);
    if let Some(error) = failed(desk).filter(|_| is_same()) {
        let log = ("Show the log".to_owned(), Action::ShowTab(DockTab::Log));
        found.push(Problem::warning(format!("the last run failed: {error}"), vec![log]));
    }
    found.sort_by_key(|problem| problem.severity);
    found
}

/// Stages that are not shown.
fn others(desk: Desk<'_>, view: &View, found: &mut Vec<Problem>) {
    let Ok(timeline) = desk.timelines.latest() else { return };
    // The model may be that of the stage shown before, until the next one is built.
    let shown = desk.model.map_or(view.stage, |model| model.stage);
    for (index, column) in timeline.columns.iter().enumerate().filter(|(index, _)| *index != shown) {
        let show = ("Show it".to_owned(), Action::ShowStage(index));
        let text = match column.model.as_deref() {
            Ok(Model { cache_complaint: Some(complaint), .. }) => {
                found.push(Problem::error(complaint, vec![take_out(index), show]));
                continue;
            }
            Err(error) => format!("stage {}: {error}", index + 1),
            Ok(model) => match &model.complaint {
                Some(complaint) => complaint.clone(),
                None if model.trained == 0 && column.other.is_none() => {
                    format!("stage {} trains nothing", index + 1)
                }
                None => continue,
            },
        };
        found.push(Problem::error(text, vec![show]));
    }
}

/// What mends a stage that finds nothing to cache.
fn take_out(stage: usize) -> Remedy {
    ("Take the cache out".to_owned(), Action::TakeCacheOut(stage))
}

/// Rules of adapters that match nothing or cannot be placed.
fn rules(desk: Desk<'_>, found: &mut Vec<Problem>) {
    let (Some(document), Some(model)) = (desk.document, desk.model) else { return };
    let sites: Vec<&str> = model.graph.sites().iter().map(|site| site.path.as_str()).collect();
    for (adapter, placement) in document.project().adapters.iter().enumerate() {
        let Some(Err(error)) = model.coverage.get(adapter) else { continue };
        let mut remedies: Vec<Remedy> = nearest(&placement.at, &sites, 1)
            .into_iter()
            .filter(|rule| *rule != placement.at)
            .map(|rule| (format!("Use {rule}"), Action::SetRule { adapter, rule }))
            .collect();
        let selected = Selected::Adapter { index: adapter, site: None };
        remedies.push(("Go there".to_owned(), Action::Select(selected)));
        remedies.push(("Remove it".to_owned(), Action::RemoveAdapter(adapter)));
        found.push(Problem::error(format!("{}: {error}", placement.kind.kind().name()), remedies));
    }
}

/// Stages whose rules are wrong, and adapters that no stage has.
fn stages(desk: Desk<'_>, view: &View, found: &mut Vec<Problem>) {
    let (Some(document), Some(model)) = (desk.document, desk.model) else { return };
    let project = document.project();
    if let Some(complaint) = &model.complaint {
        let show = ("Go there".to_owned(), Action::ShowTab(DockTab::Stages));
        found.push(Problem::error(complaint, vec![show]));
    } else if model.trained == 0 && project.stages.get(model.stage).is_some_and(|it| it.as_train().is_some())
    {
        let show = ("Go there".to_owned(), Action::ShowTab(DockTab::Stages));
        found.push(Problem::error(format!("stage {} trains nothing", model.stage + 1), vec![show]));
    }
    if let Some(complaint) = &model.cache_complaint {
        let show = ("Go there".to_owned(), Action::ShowTab(DockTab::Stages));
        found.push(Problem::error(complaint, vec![take_out(model.stage), show]));
    }
    others(desk, view, found);
    if project.stages.is_empty() {
        found.push(Problem::error("the project has no stages, so there is nothing to run", Vec::new()));
    }
    let used = |stage: &StageSpec| stage.adapters() == AdapterUse::All || stage.as_train().is_none();
    if !project.adapters.is_empty() && !project.stages.is_empty() && !project.stages.iter().any(used) {
        let last = project.stages.len() - 1;
        let remedy = (format!("Use them in stage {}", last + 1), Action::UseAdapters(last, true));
        found.push(Problem::warning("no stage uses the adapters", vec![remedy]));
    }
}
