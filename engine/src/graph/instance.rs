//! Further instances of a model in one step: a second pass, a teacher, a moving average.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Beginning, Builder, Graph, GraphError, Mode, ModeRule, Node, NodeId, NodeKind, Region, RegionId,
    StateLeaf, Update, When, is_below, modes, order,
};
use crate::ops::{Blend, Detach};

/// A further instance of a model, with its own paths, mode and random streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name: the first segment of its nodes' paths.
    pub name: String,
    /// The instance that it repeats.
    #[serde(default = "model", skip_serializing_if = "is_model")]
    pub of: String,
    /// How it stands to that one's weights.
    #[serde(default)]
    pub weights: Sharing,
    /// Its mode; left out, it goes with what trains where weights are shared, and is inference elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

fn model() -> String {
    "model".to_owned()
}

fn is_model(name: &str) -> bool {
    name == "model"
}

/// How a further instance stands to the weights of the one that it repeats. States are always the same ones,
/// and only the first instance updates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Sharing {
    /// The same tensors; gradients of both add up.
    #[default]
    Shared,
    /// The same tensors without a gradient.
    Detached,
    /// A moving average of the trained ones, `decay·average + (1 − decay)·weight` after each step.
    Average {
        /// Share of the average that stays.
        decay: f64,
    },
}

impl Instance {
    /// What fixes the mode of the whole instance, if anything: a teacher is not trained.
    fn default_mode(&self) -> Option<Mode> {
        let follows = self.weights == Sharing::Shared;
        self.mode.or_else(|| (!follows).then_some(Mode::Inference))
    }
}

impl Builder {
    /// Adds an instance: its outputs, as `name.output`, and under its name every op that does not compute the
    /// very same as the original does. An op does when it reads the same values, draws nothing and runs in the
    /// same mode; it is then run once for both. `trained` are the parameters that train, `rules` the modes that
    /// the stage asks for.
    ///
    /// # Errors
    /// When the nodes so far go in a circle.
    pub fn instance(
        &mut self,
        instance: &Instance,
        trained: &BTreeSet<NodeId>,
        rules: &[ModeRule],
    ) -> Result<(), GraphError> {
        let so_far = self.so_far()?;
        let own = |name: &str| !name.contains('.') || is_below(name, &instance.of);
        let outputs: BTreeMap<String, NodeId> = so_far
            .outputs()
            .iter()
            .filter(|(name, id)| own(name) && is_below(&so_far.node(**id).path, &instance.of))
            .map(|(name, id)| (name.rsplit('.').next().unwrap_or(name).to_owned(), *id))
            .collect();
        let wanted = so_far.upstream(outputs.values().copied());
        let renamed = |path: &str| format!("{}{}", instance.name, &path[instance.of.len()..]);
        let regions = self.copy_regions(&so_far, instance, &renamed);
        let leaves: Vec<NodeId> = trained.iter().copied().collect();
        let training = modes(&so_far, &leaves, rules);
        let mode_of = |id: NodeId| {
            let path = renamed(&so_far.node(id).path);
            let asked = rules.iter().rev().find(|rule| rule.rule.matches_below(&path)).map(|rule| rule.mode);
            match asked.or_else(|| instance.default_mode()) {
                Some(mode) => mode == Mode::Training,
                None => training[id.index()],
            }
        };
        let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
        for id in order::topological(so_far.nodes())? {
            let node = so_far.node(id);
            if !wanted[id.index()] || !is_below(&node.path, &instance.of) {
                continue;
            }
            let (path, region) = (renamed(&node.path), regions[&node.region]);
            let copy = match &node.kind {
                NodeKind::Op(op) => {
                    let (here, there) = (training[id.index()], mode_of(id));
                    let by_mode =
                        op.draws() || (0..node.inputs.len()).any(|i| op.reads(i, true) != op.reads(i, false));
                    let differs = (op.draws() && there) || (here != there && by_mode);
                    if !differs && !node.inputs.iter().any(|input| copies.contains_key(input)) {
                        continue;
                    }
                    let inputs = node.inputs.iter().map(|i| copies.get(i).copied().unwrap_or(*i)).collect();
                    Node { path, region, kind: node.kind.clone(), inputs }
                }
                NodeKind::Param(_) if trained.contains(&id) => match instance.weights {
                    Sharing::Shared => continue,
                    Sharing::Detached => {
                        Node { path, region, kind: NodeKind::Op(Arc::new(Detach)), inputs: vec![id] }
                    }
                    Sharing::Average { decay } => {
                        let average = self.average(id, path, region, decay);
                        copies.insert(id, average);
                        continue;
                    }
                },
                _ => continue,
            };
            let copy = self.put(copy);
            copies.insert(id, copy);
        }
        for (name, id) in outputs {
            let id = copies.get(&id).copied().unwrap_or(id);
            self.parts.outputs.insert(format!("{}.{name}", instance.name), id);
        }
        Ok(())
    }

    fn put(&mut self, node: Node) -> NodeId {
        self.parts.nodes.push(Arc::new(node));
        NodeId(self.parts.nodes.len() - 1)
    }

    fn copy_regions(
        &mut self,
        so_far: &Graph,
        instance: &Instance,
        renamed: &dyn Fn(&str) -> String,
    ) -> HashMap<RegionId, RegionId> {
        let mut regions = HashMap::new();
        for (index, region) in so_far.regions().iter().enumerate() {
            if !is_below(&region.path, &instance.of) {
                continue;
            }
            let copy = Region {
                path: renamed(&region.path),
                title: region.title.clone(),
                kind: region.kind,
                parent: region.parent.and_then(|parent| regions.get(&parent).copied()),
                mode: if region.parent.is_none() { instance.default_mode() } else { region.mode },
                of: Some(region.of.unwrap_or(RegionId(index))),
                tokens: region.tokens,
            };
            self.parts.regions.push(copy);
            regions.insert(RegionId(index), RegionId(self.parts.regions.len() - 1));
        }
        regions
    }

    fn average(&mut self, param: NodeId, path: String, region: RegionId, decay: f64) -> NodeId {
        let NodeKind::Param(leaf) = &self.parts.nodes[param.index()].kind else {
            unreachable!("only parameters are averaged")
        };
        let state = StateLeaf {
            shape: leaf.shape.clone(),
            begins: Beginning::CopyOf(param),
            stored: path.clone(),
            placement: leaf.placement,
        };
        let next = format!("{path}.next");
        let state = self.put(Node { path, region, kind: NodeKind::State(state), inputs: Vec::new() });
        let kind = NodeKind::Op(Arc::new(Blend { share: 1.0 - decay }));
        let value = self.put(Node { path: next, region, kind, inputs: vec![state, param] });
        self.parts.demands.updates.push(Update { target: state, value, when: When::AfterStep });
        state
    }
}
