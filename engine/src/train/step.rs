//! The step as one graph: instances of the model, loss terms, one scalar, and the walk's schedule.

use std::collections::BTreeSet;

use super::TrainSpec;
use super::losses::{CrossEntropyTerm, LossSpec};
use crate::data::Column;
use crate::graph::{
    Builder, Extent, Graph, GraphError, InputLeaf, Instance, KeptBits, LossTerm, ModeRule, NodeId, Request,
    Rule, RuleError, Schedule, ScheduleError, Take, Update, When, is_below, modes, updates_at,
};
use crate::ops::{Op, WeightedSum};

/// What a step is made of, beside the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepSpec<'a> {
    /// Leaves that get a gradient.
    pub leaves: &'a [NodeId],
    /// Further instances of the model.
    pub instances: &'a [Instance],
    /// Terms of the loss; cross-entropy if there are none.
    pub losses: &'a [LossSpec],
    /// Label smoothing of that cross-entropy.
    pub label_smoothing: f64,
    /// Modes against what follows from the leaves.
    pub modes: &'a [(String, crate::graph::Mode)],
    /// Rules over regions to be recomputed.
    pub recompute: &'a [String],
    /// Columns of the data, for terms that read one.
    pub columns: &'a [Column],
    /// What is done with gradients.
    pub take: Take,
    /// In how many bits activations wait for backward.
    pub kept_bits: KeptBits,
}

impl<'a> StepSpec<'a> {
    /// The step of a training stage.
    #[must_use]
    pub fn of(spec: &'a TrainSpec, leaves: &'a [NodeId], columns: &'a [Column]) -> Self {
        let take = match (spec.accumulate, spec.clip_norm) {
            (1, None) => Take::Step,
            (1, Some(_)) => Take::Hold,
            _ => Take::Accumulate,
        };
        Self {
            leaves,
            instances: &spec.instances,
            losses: &spec.losses,
            label_smoothing: spec.label_smoothing,
            modes: &spec.modes,
            recompute: &spec.recompute,
            columns,
            take,
            kept_bits: spec.kept_bits,
        }
    }
}

/// A model graph with its loss and what a training walk over it does.
#[derive(Debug)]
pub struct StepGraph {
    /// Instances and loss.
    pub graph: Graph,
    /// The scalar that is minimised.
    pub loss: NodeId,
    /// Its terms.
    pub terms: Vec<LossTerm>,
    /// Moves of one walk.
    pub schedule: Schedule,
    /// Moves of the updates that follow the optimiser's step, if there are any.
    pub after: Option<Schedule>,
    /// What the schedule was made for.
    asked: Asked,
}

/// A request that outlives what it was made of.
#[derive(Clone, Debug)]
struct Asked {
    results: Vec<NodeId>,
    leaves: Vec<NodeId>,
    recompute: Vec<Vec<NodeId>>,
    updates: Vec<Update>,
    take: Take,
    kept_bits: KeptBits,
}

/// Why a step could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The model has no head.
    #[error("the model has no classifier head, so there is nothing to train against labels")]
    NoHead,
    /// A loss term's name stands for nothing.
    #[error("`{name}` is no output, node or column (`batch.…`); the nearest are {}", near.join(", "))]
    NoSuchValue {
        /// The name.
        name: String,
        /// The nearest.
        near: Vec<String>,
    },
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Nothing that is trained reaches the loss.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Adds loss terms to a step; what [`super::losses::LossTerm::add`] gets.
#[derive(Debug)]
pub struct StepBuilder<'a> {
    builder: Builder,
    model: Graph,
    columns: &'a [Column],
}

impl StepBuilder<'_> {
    /// The node of an output, a path, or a column of the batch (`batch.labels`).
    ///
    /// # Errors
    /// When there is none, naming the nearest.
    pub fn named(&mut self, name: &str) -> Result<NodeId, StepError> {
        if let Some(id) = self.model.output(name).or_else(|| self.model.find(name)) {
            return Ok(id);
        }
        let column = name.strip_prefix("batch.");
        if let Some(column) = self.columns.iter().find(|other| Some(other.name.as_str()) == column) {
            return Ok(self.builder.column(leaf(column)));
        }
        if name == "logits" {
            return Err(StepError::NoHead);
        }
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("batch.{}", column.name)).collect();
        let nodes = self.model.nodes().iter().map(|node| node.path.as_str());
        let known = self.model.outputs().keys().map(String::as_str).chain(nodes);
        let known: Vec<&str> = known.chain(columns.iter().map(String::as_str)).collect();
        Err(StepError::NoSuchValue { name: name.to_owned(), near: crate::graph::nearest(name, &known, 3) })
    }

    /// A new op of the step.
    pub fn op(&mut self, name: &str, op: impl Op + 'static, inputs: &[NodeId]) -> NodeId {
        self.builder.op(name, op, inputs)
    }
}

/// A column as a leaf: the batch first, then its own extents, named by their axis where they vary.
fn leaf(column: &Column) -> InputLeaf {
    let own = column.extents.iter().enumerate().map(|(axis, extent)| match extent {
        Some(size) => Extent::Fixed(*size),
        None => Extent::Named(format!("{}.{axis}", column.name)),
    });
    let extents = std::iter::once(Extent::named("batch")).chain(own).collect();
    if column.integers {
        InputLeaf::integers(&column.name, extents)
    } else {
        InputLeaf::floats(&column.name, extents)
    }
}

impl StepGraph {
    /// Adds instances and losses to a model and plans the walk.
    ///
    /// # Errors
    /// When a name stands for nothing, a rule matches nothing, or nothing that is trained reaches the loss.
    pub fn new(model: &Graph, spec: &StepSpec<'_>) -> Result<Self, StepError> {
        let mut builder = Builder::extend(model, "step", "Step");
        let trained: BTreeSet<NodeId> = spec.leaves.iter().copied().collect();
        let rules: Vec<ModeRule> = spec
            .modes
            .iter()
            .map(|(text, mode)| Ok(ModeRule { rule: Rule::parse(text)?, mode: *mode }))
            .collect::<Result<_, RuleError>>()?;
        for instance in spec.instances {
            builder.instance(instance, &trained, &rules)?;
        }
        let model = if spec.instances.is_empty() { model.clone() } else { builder.so_far()? };
        let mut terms = model.demands().losses.clone();
        let mut step = StepBuilder { builder, model, columns: spec.columns };
        let usual;
        let losses = if spec.losses.is_empty() {
            usual = [LossSpec::CrossEntropy(CrossEntropyTerm {
                label_smoothing: spec.label_smoothing,
                ..Default::default()
            })];
            &usual[..]
        } else {
            spec.losses
        };
        let single = losses.len() + terms.len() == 1;
        for (number, loss) in losses.iter().enumerate() {
            let term = loss.term();
            // Two terms of one kind are told apart by their place.
            let again = losses[..number].iter().filter(|other| other.term().name() == term.name()).count();
            let name = match again {
                0 => term.name().to_owned(),
                again => format!("{}_{}", term.name(), again + 1),
            };
            let node = term.add(&mut step, if single { "loss" } else { &name })?;
            terms.push(LossTerm { name, node, weight: term.weight() });
        }
        let mut builder = step.builder;
        #[expect(clippy::float_cmp, reason = "exactly one means no scaling")]
        let plain = single && terms[0].weight == 1.0;
        let loss = if plain {
            terms[0].node
        } else {
            let nodes: Vec<NodeId> = terms.iter().map(|term| term.node).collect();
            let weights = terms.iter().map(|term| term.weight).collect();
            builder.op(if single { "weighted_loss" } else { "loss" }, WeightedSum { weights }, &nodes)
        };
        builder.output("loss", loss);
        Self::plan(builder.finish()?, loss, terms, spec, &rules)
    }

    fn plan(
        graph: Graph,
        loss: NodeId,
        terms: Vec<LossTerm>,
        spec: &StepSpec<'_>,
        rules: &[ModeRule],
    ) -> Result<Self, StepError> {
        let regions = graph.regions().iter().map(|region| region.path.as_str());
        let paths: Vec<&str> = regions.chain(graph.nodes().iter().map(|node| node.path.as_str())).collect();
        for rule in rules {
            rule.rule.cover_names(&paths, "region or node")?;
        }
        let training = modes(&graph, spec.leaves, rules);
        // Statistics of a frozen region stay what they are.
        let mut updates = updates_at(&graph, When::AfterBackward);
        updates.retain(|update| training[update.value.index()]);
        let results: Vec<NodeId> = terms.iter().map(|term| term.node).collect();
        let asked = Asked {
            results,
            leaves: spec.leaves.to_vec(),
            recompute: recomputed(&graph, spec.recompute)?,
            updates,
            take: spec.take,
            kept_bits: spec.kept_bits,
        };
        let schedule = asked.schedule(&graph, loss, &training, &[])?;
        let late = updates_at(&graph, When::AfterStep);
        let after = if late.is_empty() {
            None
        } else {
            Some(Schedule::new(&graph, &Request { updates: &late, ..Request::default() })?)
        };
        Ok(Self { graph, loss, terms, schedule, after, asked })
    }

    /// The moves of a walk whose values at `given` are handed in: nothing before them runs.
    ///
    /// # Errors
    /// When nothing that is trained reaches the loss from there.
    pub fn schedule_from(&self, given: &[NodeId]) -> Result<Schedule, ScheduleError> {
        self.asked.schedule(&self.graph, self.loss, &self.schedule.training, given)
    }
}

impl Asked {
    fn schedule(
        &self,
        graph: &Graph,
        loss: NodeId,
        training: &[bool],
        given: &[NodeId],
    ) -> Result<Schedule, ScheduleError> {
        let request = Request {
            results: &self.results,
            loss: Some(loss),
            leaves: &self.leaves,
            training,
            recompute: &self.recompute,
            given,
            updates: &self.updates,
            take: self.take,
            kept_bits: self.kept_bits,
        };
        Schedule::new(graph, &request)
    }
}

/// The nodes of each region that a rule names; a region inside another goes with that one.
fn recomputed(graph: &Graph, rules: &[String]) -> Result<Vec<Vec<NodeId>>, RuleError> {
    let mut matched: Vec<&str> = Vec::new();
    let regions: Vec<&str> = graph.regions().iter().map(|region| region.path.as_str()).collect();
    for text in rules {
        let covered = Rule::parse(text)?.cover_names(&regions, "region")?;
        matched.extend(regions.iter().filter(|path| covered.matched.iter().any(|other| other == *path)));
    }
    matched.sort_unstable();
    matched.dedup();
    let inner = |path: &&str| matched.iter().any(|other| other != path && is_below(path, other));
    let outer: Vec<&str> = matched.iter().copied().filter(|path| !inner(path)).collect();
    let below = |region: &&str| {
        graph.order().iter().copied().filter(|id| is_below(&graph.node(*id).path, region)).collect()
    };
    Ok(outer.iter().map(below).collect())
}

/// Factor that brings a gradient of this global norm down to `limit`, as PyTorch computes it.
#[must_use]
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}
