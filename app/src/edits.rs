//! What actions do to the project: each a labelled step of the document's history.

use graft_engine::adapters::{AdapterSpec, Placement, Preset};
use graft_engine::graph::Graph;
use graft_engine::project::{self, Project};
use graft_engine::train::{AdapterUse, StageSpec};

use crate::document::Document;
use crate::freeze;
use crate::model::{Freeze, Model};

/// Places a kind at a site and selects nothing; returns the new adapter's index. In stages that use adapters a part
/// that was frozen around the site stays frozen, but not the adapter in it.
pub(crate) fn place(document: &mut Document, model: &Model, site: &str, kind: usize) -> Option<usize> {
    let spec = AdapterSpec::all().into_iter().nth(kind)?;
    let label = format!("Place {}", spec.kind().name());
    let index = document.project().adapters.len();
    document.edit(&label, None, |project| {
        for stage in &mut project.stages {
            let Some(spec) = stage.as_train_mut() else { continue };
            if spec.adapters == AdapterUse::All {
                freeze::make_room(spec, &model.graph, site);
            }
        }
        project.adapters.push(Placement::new(site, spec));
    });
    Some(index)
}

/// Places a kind by rules that match these sites, as one step; returns the index of the first. Parts that were frozen
/// around the sites stay frozen, but not the adapters in them.
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
        for stage in project.stages.iter_mut().filter_map(StageSpec::as_train_mut) {
            if stage.adapters == AdapterUse::All {
                for site in sites {
                    freeze::make_room(stage, &model.graph, site);
                }
            }
        }
        project.adapters.extend(rules.iter().map(|rule| Placement::new(rule, spec.clone())));
    });
    index
}

/// Takes an adapter off the list. Stage rules that name its own region go with it; those of later adapters follow
/// their new numbers.
pub(crate) fn remove(document: &mut Document, index: usize) {
    let Some(placement) = document.project().adapters.get(index) else { return };
    let label = format!("Remove {}", placement.kind.kind().name());
    document.edit(&label, None, |project| take_off(project, index));
}

/// Takes one adapter off, and first those that stand on its layers.
fn take_off(project: &mut Project, index: usize) {
    let stands_on = |at: &str| at.split('.').any(|segment| segment == format!("adapter_{index}"));
    while let Some(above) = project.adapters.iter().rposition(|placement| stands_on(&placement.at)) {
        take_off(project, above);
    }
    if index < project.adapters.len() {
        project.adapters.remove(index);
    }
    for placement in &mut project.adapters {
        if let Some(at) = renumbered(&placement.at, index) {
            placement.at = at;
        }
    }
    for stage in &mut project.stages {
        let Some(spec) = stage.as_train_mut() else { continue };
        for rules in [&mut spec.train, &mut spec.freeze] {
            *rules = rules.iter().filter_map(|rule| renumbered(rule, index)).collect();
        }
    }
}

/// Places all that a preset places; returns the index of the first of its adapters.
pub(crate) fn place_preset(document: &mut Document, preset: &Preset) -> usize {
    let first = document.project().adapters.len();
    document.edit(&format!("Place preset {}", preset.name), None, |project| {
        project.adapters.extend(preset.placements("model", first));
    });
    first
}

/// A rule after adapter `gone` left the list; nothing when it was about that one.
fn renumbered(rule: &str, gone: usize) -> Option<String> {
    let segments: Option<Vec<String>> = rule
        .split('.')
        .map(|segment| {
            match segment.strip_prefix("adapter_").and_then(|number| number.parse::<usize>().ok()) {
                Some(number) if number == gone => None,
                Some(number) if number > gone => Some(format!("adapter_{}", number - 1)),
                _ => Some(segment.to_owned()),
            }
        })
        .collect();
    segments.map(|segments| segments.join("."))
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

/// Changes an adapter's rule.
pub(crate) fn set_rule(document: &mut Document, adapter: usize, rule: &str) {
    document.edit("Change rule", None, |project| {
        if let Some(placement) = project.adapters.get_mut(adapter) {
            rule.trim().clone_into(&mut placement.at);
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

/// Puts the adapters into a stage's model, or takes them out.
pub(crate) fn use_adapters(document: &mut Document, stage: usize, uses: bool) {
    let label = if uses { "Use adapters" } else { "Leave adapters out" };
    document.edit(label, None, |project| {
        if let Some(StageSpec::Train(spec)) = project.stages.get_mut(stage) {
            spec.adapters = if uses { AdapterUse::All } else { AdapterUse::None };
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
    let numbers: Vec<String> = stages.iter().map(|(stage, _)| (stage + 1).to_string()).collect();
    let label = format!("{word} {last} in stage {}", numbers.join(", "));
    document.edit(&label, None, |project| {
        for (stage, trains) in stages {
            let (Some(StageSpec::Train(spec)), Some(graph)) = (project.stages.get_mut(*stage), graph(*stage))
            else {
                continue;
            };
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
        if let Some(StageSpec::Train(spec)) = project.stages.get_mut(model.stage) {
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
    use super::*;

    #[test]
    fn rules_follow_their_adapter() {
        assert_eq!(renumbered("model.bridge.adapter_1", 1), None);
        assert_eq!(renumbered("model.bridge.adapter_2.up", 1).as_deref(), Some("model.bridge.adapter_1.up"));
        assert_eq!(renumbered("model.bridge.adapter_0", 1).as_deref(), Some("model.bridge.adapter_0"));
        assert_eq!(renumbered("model.head", 1).as_deref(), Some("model.head"));
    }
}
