//! What is done on the graph: folding, walking, searching, placing at several sites.

use std::collections::BTreeSet;
use std::sync::Arc;

use egui::Context;
use graft_engine::adapters::AdapterSpec;
use graft_engine::graph::RegionKind;

use super::App;
use crate::edits;
use crate::graph_actions::GraphAction;
use crate::model::Model;
use crate::reach;
use crate::view::{Bring, Find, Selected, Sight};

/// Whether a path is that of a block: its last name is a number.
fn is_block(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|last| last.parse::<usize>().is_ok())
}

impl App {
    /// Does what was asked of the graph.
    pub(super) fn graph(&mut self, ctx: &Context, action: GraphAction) {
        let locked = self.is_locked();
        match action {
            GraphAction::FitSelection => {
                let paths = self.selected_paths();
                if !paths.is_empty() {
                    self.view.graph.bring = Some(Bring { paths, sight: Sight::Filling });
                }
            }
            GraphAction::FoldSelected => self.fold_selected(),
            GraphAction::FoldAll => self.fold_all(),
            GraphAction::Walk(step) => {
                if let Some(selected) = self.canvas.step(&self.view.selected, step) {
                    self.select(selected);
                    let paths = self.selected_paths();
                    self.view.graph.bring = Some(Bring { paths, sight: Sight::AsItIs });
                }
            }
            GraphAction::Show(path) => self.show(path),
            GraphAction::SelectToo(path) => {
                if self.view.selected == Selected::Nothing {
                    self.view.selected = Selected::Part(path);
                } else if !self.view.graph.also.remove(&path) && !self.view.selected.is_part(&path) {
                    self.view.graph.also.insert(path);
                }
            }
            GraphAction::SelectAll(paths) => {
                let mut paths = paths.into_iter();
                self.select(paths.next().map_or(Selected::Nothing, Selected::Part));
                self.view.graph.also = paths.collect();
            }
            GraphAction::Find => self.view.graph.find = Some(Find::default()),
            GraphAction::EndFind => self.view.graph.find = None,
            GraphAction::NextMatch => self.go_to_match(1),
            GraphAction::PreviousMatch => self.go_to_match(-1),
            GraphAction::Copy => {
                if let (Selected::Adapter { index, .. }, Some(document)) =
                    (&self.view.selected, &self.document)
                    && let Some(placement) = document.project().adapters.get(*index)
                {
                    self.copied = Some(placement.kind.clone());
                    // Whoever pastes elsewhere gets the rule.
                    ctx.copy_text(placement.at.clone());
                }
            }
            _ if locked => {}
            GraphAction::AddHere => self.place_here(AdapterSpec::all().into_iter().nth(self.view.kind)),
            GraphAction::Paste => self.place_here(self.copied.clone()),
            GraphAction::PlaceAt { sites, kind } => {
                self.place_at(&sites, AdapterSpec::all().into_iter().nth(kind));
            }
            GraphAction::PlaceRule { rule, kind } => self.place_rule(&rule, kind),
            GraphAction::CopyToLike => self.copy_to_like(),
        }
    }

    /// Selects one thing alone. While something is carried or searched for, selecting nothing only ends that.
    pub(super) fn select(&mut self, selected: Selected) {
        let graph = &mut self.view.graph;
        let carried = graph.carried.take().is_some();
        let painted = graph.painted.take().is_some();
        let ends = selected == Selected::Nothing && (carried || painted || graph.find.take().is_some());
        if ends {
            return;
        }
        graph.also.clear();
        self.view.rule_draft = None;
        self.view.selected = selected;
    }

    /// The paths of everything that is selected: parts, and the sites of adapters.
    fn selected_paths(&self) -> Vec<String> {
        let first = match &self.view.selected {
            Selected::Nothing => None,
            Selected::Part(path) => Some(path.clone()),
            Selected::Adapter { index, site: Some(site) } => Some(format!("{site}.adapter_{index}")),
            Selected::Adapter { index, site: None } => {
                let covered =
                    self.builder.model().and_then(|model| model.coverage.get(*index)?.as_ref().ok());
                let sites = covered.map_or(&[][..], |covered| &covered.matched);
                return sites.iter().map(|site| format!("{site}.adapter_{index}")).collect();
            }
        };
        first.into_iter().chain(self.view.graph.also.iter().cloned()).collect()
    }

    /// Selects a path and brings it into view; what is around it unfolds.
    fn show(&mut self, path: String) {
        let Some(model) = self.builder.model().cloned() else { return };
        let above = path.match_indices('.').map(|(end, _)| path[..end].to_owned());
        for around in above.collect::<Vec<_>>() {
            if model.part(&around).is_some() && !self.view.unfolded.contains(&around) {
                self.toggle_fold(&around);
            }
        }
        self.select(match model.part(&path).map(|part| part.kind) {
            Some(RegionKind::Adapter(index)) => {
                let site = path.rsplit_once('.').map(|(site, _)| site.to_owned());
                Selected::Adapter { index, site }
            }
            _ => Selected::Part(path.clone()),
        });
        self.view.graph.bring = Some(Bring { paths: vec![path], sight: Sight::Legible });
    }

    fn go_to_match(&mut self, by: isize) {
        let Some(find) = &mut self.view.graph.find else { return };
        let count = find.matches.len();
        if count == 0 {
            return;
        }
        let at = match find.at {
            Some(at) => (at + count).saturating_add_signed(by) % count,
            None if by < 0 => count - 1,
            None => 0,
        };
        find.at = Some(at);
        let path = find.matches[at].clone();
        self.show(path);
    }

    fn fold_selected(&mut self) {
        let Some(model) = self.builder.model().cloned() else { return };
        let Selected::Part(path) = &self.view.selected else { return };
        let path = path.clone();
        if model.part(&path).is_some_and(|part| model.can_unfold(part)) {
            return self.toggle_fold(&path);
        }
        // A node folds the block that it is in.
        let mut above = path.as_str();
        while let Some((next, _)) = above.rsplit_once('.') {
            above = next;
            if self.view.unfolded.contains(above) {
                let around = above.to_owned();
                self.toggle_fold(&around);
                return self.select(Selected::Part(around));
            }
        }
    }

    /// Unfolds all blocks of the stack that the selection is in or around, or of all stacks; folds them where all are
    /// open.
    fn fold_all(&mut self) {
        let Some(model) = self.builder.model().cloned() else { return };
        let chosen = self.selected_paths();
        let meant = |stack: &str| {
            let near = |path: &String| {
                graft_engine::graph::is_below(path, stack) || graft_engine::graph::is_below(stack, path)
            };
            chosen.is_empty() || chosen.iter().any(near)
        };
        let blocks: Vec<String> = model
            .parts
            .iter()
            .filter(|part| part.kind == RegionKind::Stack && meant(&part.path))
            .flat_map(|part| part.children.iter().map(|&child| &model.parts[child]))
            .filter(|part| part.kind == RegionKind::Block)
            .map(|part| part.path.clone())
            .collect();
        if blocks.iter().all(|block| self.view.unfolded.contains(block)) {
            return self.view.unfolded.retain(|path| !blocks.contains(path));
        }
        self.view.unfolded.extend(blocks.iter().flat_map(|path| around(&model, path)));
        self.view.unfolded.extend(blocks);
    }

    /// Folds or unfolds. Opening a block opens what is around it and closes the one block that was open beside it;
    /// where several are open they stay so.
    pub(super) fn toggle_fold(&mut self, path: &str) {
        if self.view.unfolded.remove(path) {
            return;
        }
        if is_block(path) {
            let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            let beside = |other: &&String| {
                is_block(other) && other.rsplit_once('.').is_some_and(|(above, _)| above == parent)
            };
            let open: BTreeSet<String> = self.view.unfolded.iter().filter(beside).cloned().collect();
            if open.len() == 1 {
                self.view.unfolded.retain(|other| !open.contains(other));
            }
            if let Some(model) = self.builder.model() {
                self.view.unfolded.extend(around(model, path));
            }
        }
        self.view.unfolded.insert(path.to_owned());
    }

    fn placing(&self) -> Option<Arc<Model>> {
        self.current_model().cloned()
    }

    /// Places a kind at everything that is selected.
    fn place_here(&mut self, spec: Option<AdapterSpec>) {
        let (Some(spec), Some(model)) = (spec, self.placing()) else { return };
        // Pasting at an adapter means its site.
        let strip = |path: &String| match model.part(path).map(|part| part.kind) {
            Some(RegionKind::Adapter(_)) => {
                path.rsplit_once('.').map_or(path.clone(), |(site, _)| site.into())
            }
            _ => path.clone(),
        };
        let paths: Vec<String> = self.selected_paths().iter().map(strip).collect();
        let mut sites: Vec<String> = Vec::new();
        for site in paths.iter().flat_map(|path| reach::sites(&model, &spec, path)) {
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        if sites.is_empty() {
            let what =
                if paths.is_empty() { "select a part first" } else { "it fits nowhere in what is selected" };
            return self.fail(Err(format!("{} is not placed: {what}", spec.kind().name())));
        }
        self.place_at(&sites, Some(spec));
    }

    fn place_at(&mut self, sites: &[String], spec: Option<AdapterSpec>) {
        let (Some(spec), Some(model)) = (spec, self.placing()) else { return };
        let Some(document) = &mut self.document else { return };
        if sites.is_empty() {
            return;
        }
        let rules = reach::rules(&model, &spec, sites);
        let index = edits::place_at(document, &model, &rules, sites, &spec);
        let site = if let [site] = sites { Some(site.clone()) } else { None };
        self.select(Selected::Adapter { index, site });
    }

    fn place_rule(&mut self, rule: &str, kind: usize) {
        let (Some(spec), Some(model)) = (AdapterSpec::all().into_iter().nth(kind), self.placing()) else {
            return;
        };
        let Some(document) = &mut self.document else { return };
        match reach::draft(&model, &spec, rule) {
            Ok(covered) => {
                let rule = [rule.trim().to_owned()];
                let index = edits::place_at(document, &model, &rule, &covered.matched, &spec);
                self.select(Selected::Adapter { index, site: None });
            }
            Err(error) => self.fail(Err(error)),
        }
    }

    fn copy_to_like(&mut self) {
        let Selected::Adapter { index, .. } = self.view.selected else { return };
        let model = self.placing();
        let Some(document) = &mut self.document else { return };
        let wide = document.project().adapters.get(index).and_then(|one| reach::every_block(&one.at));
        if let Some(wide) = wide {
            edits::set_rule(document, model.as_deref(), index, &wide);
            self.select(Selected::Adapter { index, site: None });
        }
    }
}

/// The regions around a path, below the model itself.
fn around(model: &Model, path: &str) -> Vec<String> {
    let ends = path.match_indices('.').map(|(end, _)| path[..end].to_owned());
    ends.filter(|above| above.contains('.') && model.part(above).is_some()).collect()
}
