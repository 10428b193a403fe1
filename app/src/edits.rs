//! What actions do to the project: each a labelled step of the document's history.

pub(crate) mod follow;
mod remove;
pub(crate) mod renumber;

use graft_engine::adapters::{AdapterSpec, Placement, Preset};
use graft_engine::graph::Graph;
use graft_engine::project::{self, Project};
use graft_engine::train::{AdapterUse, StageSpec};

use crate::document::Document;
use crate::freeze;
use crate::model::{Freeze, Model};
use crate::resize;
use crate::shown;

/// Places a kind of the palette at one site; returns the new adapter's index.
pub(crate) fn place(document: &mut Document, model: &Model, site: &str, kind: usize) -> Option<usize> {
    let spec = AdapterSpec::all().into_iter().nth(kind)?;
    let site = [site.to_owned()];
    Some(place_at(document, model, &site, &site, &spec))
}

/// Places a kind by rules that match these sites, as one step; returns the index of the first. In stages that use
/// adapters, parts that were frozen around the sites stay frozen, but not the adapters in them.
pub(crate) fn place_at(
    document: &mut Document,
    model: &Model,
    rules: &[String],
    sites: &[String],
    spec: &AdapterSpec,
) -> usize {
    let label = match sites.len() {
        1 => format!("Place {}", spec.kind().name()),
        count => format!("Place {} at {count} sites", spec.kind().name()),
    };
    let index = document.project().adapters.len();
    document.edit(&label, None, |project| {
        make_room(project, model, sites);
        project.adapters.extend(rules.iter().map(|rule| Placement::new(rule, spec.clone())));
    });
    index
}

/// In every stage that uses adapters, parts that are frozen around these sites stay so, but not what comes to sit there.
fn make_room(project: &mut Project, model: &Model, sites: &[String]) {
    shown::each_training(&mut project.stages, &mut |stage| {
        if stage.adapters == AdapterUse::All {
            for site in sites {
                freeze::make_room(stage, &model.graph, site);
            }
        }
    });
}

/// Takes an adapter off the list, and those that stand on its layers. Whatever names later ones by number follows.
pub(crate) fn remove(document: &mut Document, index: usize) {
    let Some(placement) = document.project().adapters.get(index) else { return };
    let label = format!("Remove {}", placement.kind.kind().name());
    document.edit(&label, None, |project| remove::take_off(project, index));
}

/// Places all that a preset places, as [`place_at`] does; returns the index of the first of its adapters.
pub(crate) fn place_preset(document: &mut Document, model: Option<&Model>, preset: &Preset) -> usize {
    let first = document.project().adapters.len();
    let placements = preset.placements("model", first);
    document.edit(&format!("Place preset {}", preset.name), None, |project| {
        if let Some(model) = model {
            // What stands on the layers of an adapter lies where that one sits, which has room then.
            let covered = placements.iter().filter_map(|placement| placement.coverage(&model.graph).ok());
            let sites: Vec<String> = covered.flat_map(|covered| covered.matched).collect();
            make_room(project, model, &sites);
        }
        project.adapters.extend(placements.iter().cloned());
    });
    first
}

/// Changes an adapter's setting; a drag is one step.
pub(crate) fn set(document: &mut Document, adapter: usize, name: &str, value: f64) -> Result<(), String> {
    let Some(placement) = document.project().adapters.get(adapter) else { return Ok(()) };
    let mut next = placement.clone();
    next.kind.set(name, value).map_err(|error| error.to_string())?;
    // A size of its own ends the wish for a number of parameters.
    if next.kind.kind().size() == Some(name) {
        next.parameters = None;
    }
    let label = format!("Set {name} of {}", next.kind.kind().name());
    let gesture = format!("set {adapter} {name}");
    document.edit(&label, Some(&gesture), |project| {
        if let Some(placement) = project.adapters.get_mut(adapter) {
            *placement = next;
        }
    });
    Ok(())
}

/// Makes an adapter twice or half as large, by the setting that says how large it is.
pub(crate) fn resize(
    document: &mut Document,
    model: Option<&Model>,
    adapter: usize,
    larger: bool,
) -> Result<(), String> {
    let Some(placement) = document.project().adapters.get(adapter) else { return Ok(()) };
    let Some(resized) = resize::resized(placement, model, adapter, larger) else {
        return Err(format!("{} has no size to change", placement.kind.kind().name()));
    };
    set(document, adapter, resized.name, resized.to)?;
    // Each press is a step of its own.
    document.end_gesture();
    Ok(())
}

/// Changes an adapter's rule. Sites that it did not match before get room as in [`place_at`].
pub(crate) fn set_rule(document: &mut Document, model: Option<&Model>, adapter: usize, rule: &str) {
    document.edit("Change rule", None, |project| {
        let Some(placement) = project.adapters.get_mut(adapter) else { return };
        rule.trim().clone_into(&mut placement.at);
        let Some(model) = model else { return };
        let Ok(covered) = placement.coverage(&model.graph) else { return };
        let known = model.coverage.get(adapter).and_then(|covered| covered.as_ref().ok());
        let is_new = |site: &String| known.is_none_or(|known| !known.matched.contains(site));
        let sites: Vec<String> = covered.matched.into_iter().filter(is_new).collect();
        make_room(project, model, &sites);
    });
}

/// Takes the cache out of the training stage that a listed stage shows.
pub(crate) fn take_cache_out(document: &mut Document, stage: usize) {
    document.edit(&format!("Take the cache out of stage {}", stage + 1), None, |project| {
        if let Some(spec) = project.stages.get_mut(stage).and_then(shown::training_mut) {
            spec.cache = None;
        }
    });
}

/// Changes a setting of a stage.
pub(crate) fn set_stage(
    document: &mut Document,
    stage: usize,
    path: &str,
    value: &str,
) -> Result<(), String> {
    let full = format!("stages.{stage}.{path}");
    let next = project::set(document.project(), &full, value).map_err(|error| error.to_string())?;
    document.edit(&format!("Set {path}"), Some(&full), |project| *project = next);
    Ok(())
}

/// Takes settings that make a stage fit into a budget, as one step.
pub(crate) fn apply_fit(
    document: &mut Document,
    budget: u64,
    path: &str,
    settings: &[String],
) -> Result<(), String> {
    let mut next = (**document.project()).clone();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else { continue };
        next = project::set(&next, &format!("{path}.{name}"), value).map_err(|error| error.to_string())?;
    }
    let label = format!("Fit into {}", project::bytes_text(budget));
    document.edit(&label, None, |project| *project = next);
    Ok(())
}

/// Runs the project on another device.
pub(crate) fn set_device(document: &mut Document, name: &str) {
    document.edit(&format!("Run on {name}"), None, |project| name.clone_into(&mut project.device));
}

/// Puts the adapters into a stage's model, or takes them out; of a repetition, into the stage that it shows.
pub(crate) fn use_adapters(document: &mut Document, stage: usize, uses: bool) {
    let label = if uses { "Use adapters" } else { "Leave adapters out" };
    document.edit(label, None, |project| {
        let own = match project.stages.get_mut(stage) {
            Some(StageSpec::Measure(spec)) => Some(&mut spec.adapters),
            Some(StageSpec::Generate(spec)) => Some(&mut spec.adapters),
            Some(StageSpec::Evaluate(spec)) => Some(&mut spec.adapters),
            Some(other) => shown::training_mut(other).map(|spec| &mut spec.adapters),
            None => None,
        };
        if let Some(own) = own {
            *own = if uses { AdapterUse::All } else { AdapterUse::None };
        }
    });
}

/// Trains a part in some stages and freezes it in others, as one step. `graph` gives each stage's own model.
pub(crate) fn set_trained<'a>(
    document: &mut Document,
    path: &str,
    stages: &[(usize, bool)],
    graph: impl Fn(usize) -> Option<&'a Graph>,
) {
    let last = path.rsplit('.').next().unwrap_or(path);
    let word = if stages.iter().all(|(_, trains)| *trains) { "Train" } else { "Freeze" };
    let listed = &document.project().stages;
    let trains = |stage: usize| listed.get(stage).and_then(shown::training).is_some();
    let numbers: Vec<String> =
        stages.iter().filter(|(stage, _)| trains(*stage)).map(|(stage, _)| (stage + 1).to_string()).collect();
    let label = format!("{word} {last} in stage {}", numbers.join(", "));
    document.edit(&label, None, |project| {
        for (stage, trains) in stages {
            let spec = project.stages.get_mut(*stage).and_then(shown::training_mut);
            let (Some(spec), Some(graph)) = (spec, graph(*stage)) else { continue };
            if *trains {
                freeze::unfreeze(spec, graph, path);
            } else {
                freeze::freeze(spec, graph, path);
            }
        }
    });
}

/// Freezes what trains at a path, or thaws what is frozen there.
pub(crate) fn toggle_freeze(document: &mut Document, model: &Model, path: &str) {
    let state = model.part(path).map_or_else(
        || model.graph.find(path).map_or(Freeze::Nothing, |id| model.op_freeze(id)),
        |part| part.freeze,
    );
    let frozen = state.is_frozen();
    let last = path.rsplit('.').next().unwrap_or(path);
    let label = if frozen { format!("Thaw {last}") } else { format!("Freeze {last}") };
    document.edit(&label, None, |project| {
        if let Some(spec) = project.stages.get_mut(model.stage).and_then(shown::training_mut) {
            if frozen {
                freeze::unfreeze(spec, &model.graph, path);
            } else {
                freeze::freeze(spec, &model.graph, path);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn adapters_are_put_into_every_kind_of_stage_that_can_have_them() {
        let text = "(version: 2, name: \"a\", model: Vit(width: 8, blocks: 1, heads: 1, patch: 8), data: Digits(), \
                    stages: [Train(), Evaluate(), Edit(edits: [Merge([])]), \
                    Repeat(variable: \"x\", over: [\"1\"], stages: [Evaluate(), Train()])])";
        let project = project::parse(text, Path::new("a.ron")).unwrap();
        let mut document = Document::new(project, Path::new("a.ron"));
        let before = (**document.project()).clone();
        let uses = |document: &Document, stage: usize| {
            let stage = &document.project().stages[stage];
            shown::training(stage).map_or(stage.adapters(), |spec| spec.adapters)
        };
        for stage in [0, 1, 3] {
            use_adapters(&mut document, stage, false);
            assert_eq!(uses(&document, stage), AdapterUse::None, "stage {stage}");
            use_adapters(&mut document, stage, true);
            assert_eq!(uses(&document, stage), AdapterUse::All, "stage {stage}");
        }
        use_adapters(&mut document, 2, false);
        assert_eq!(**document.project(), before, "an edit has them all");
    }
}
