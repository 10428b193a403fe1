//! One cell: a kind at a class of places of a model, and what every kind owes there.

use std::collections::{BTreeMap, BTreeSet};

use graft_engine::adapters::{AdapterKind, AdapterSpec, Placement, place};
use graft_engine::exec::{Inputs, Walk, infer};
use graft_engine::export::Adapter;
use graft_engine::graph::{Builder, Graph, NodeId, Request, Schedule, Take, modes};
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::train::{AdamW, Optimiser, OptimiserSpec, TrainSpec, merge, select};
use graft_engine::weights::{Params, Tensor, from_params};

use super::architecture::{ROWS, Subject, cpu, random_value};
use super::kind::Subkind;
use super::place::Class;
use crate::case::{in_f64, inputs_in_f64};
use crate::equal::{same_bits, same_to};
use crate::matrix::probe::Probe;

/// What a cell turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The kind may not sit there; the reason by name.
    Illegal(String),
    /// All that it owes was seen.
    Runs {
        /// Tests that ran.
        tests: usize,
        /// Whether it merges, and how far the merged model is off at most and in the mean, as shares of the largest
        /// output.
        merged: Option<[f32; 2]>,
    },
}

/// How far a merged model may be off, as a share of the largest output.
const MERGED: f32 = 2e-5;
/// How far one row alone may be from the same row of a batch.
///
/// Other sizes of products round otherwise, and random weights make more of it than trained ones.
const ROW: f32 = 5e-5;
/// How far a slope may be from the finite difference, as a share of the larger.
const SLOPE: f64 = 2e-5;

/// Examines a cell.
///
/// # Panics
/// When the kind does not keep what it owes; the message names the cell.
#[must_use]
pub fn examine(subject: &Subject, subkind: &Subkind, class: &Class) -> Found {
    let rule = graft_engine::graph::Rule::parse(&class.rule).unwrap_or_else(|error| panic!("{error}"));
    let kind = subkind.spec.kind();
    let site = subject.graph.sites().iter().find(|site| rule.matches(&site.path));
    let site = site.unwrap_or_else(|| panic!("{} matches nothing", class.rule));
    if let Err(reason) = kind.legal(&subject.graph, site) {
        return Found::Illegal(format!("{reason:?}"));
    }
    let what = format!("{} at {} ({}) of {}", subkind.name, class.rule, class.name, subject.name);
    Cell::new(subject, &subkind.spec, class, what).all()
}

struct Cell<'a> {
    subject: &'a Subject,
    kind: &'a dyn AdapterKind,
    placement: Placement,
    index: usize,
    /// Paths of the sites.
    sites: Vec<String>,
    graph: Graph,
    /// With the adapter's values at random, so that none is zero.
    params: Params,
    inputs: Inputs,
    /// The model's output without the adapter.
    base: Vec<f32>,
    what: String,
    tests: usize,
}

fn outputs(graph: &Graph, params: &Params, inputs: &Inputs) -> Value {
    let id = Subject::output(graph);
    let mut values = infer(graph, params, inputs, &[id]).unwrap_or_else(|error| panic!("{error}"));
    values.remove(&id).unwrap_or_else(|| panic!("the output is absent"))
}

impl<'a> Cell<'a> {
    fn new(subject: &'a Subject, spec: &'a AdapterSpec, class: &Class, what: String) -> Self {
        let index = subject.before.len();
        let placement = Placement::new(&class.rule, spec.clone());
        let (graph, coverage) =
            place(&subject.graph, index, &placement).unwrap_or_else(|error| panic!("{what}: {error}"));
        let inputs = subject.inputs();
        let base = outputs(&subject.graph, &subject.params, &inputs).to_f32();
        let mut cell = Self {
            subject,
            kind: spec.kind(),
            placement,
            index,
            sites: coverage.matched,
            params: Params::new(),
            graph,
            inputs,
            base,
            what,
            tests: 0,
        };
        cell.params = cell.started();
        // Places in a weight stay where they are.
        for path in cell.own().into_iter().filter(|path| !path.ends_with(".places")) {
            let value = cell.params.get(&path).unwrap_or_else(|| panic!("{path} has no value"));
            let shape = value.shape();
            cell.params.set(&path, random_value(&path, &shape));
        }
        cell
    }

    fn all(mut self) -> Found {
        self.begins_as_it_says();
        self.counts_by_its_formula();
        self.changes_what_it_lists();
        self.has_the_slope_of_its_value();
        self.comes_back_from_its_file();
        self.is_removed();
        self.takes_rows_alone();
        let merged = self.merges();
        Found::Runs { tests: self.tests, merged }
    }

    /// Parameters and states that the placement brought.
    fn own(&self) -> BTreeSet<String> {
        let params = self.graph.params().map(|(_, path, leaf)| (path, leaf.placement));
        let states = self.graph.states().map(|(_, path, leaf)| (path, leaf.placement));
        let own = params.chain(states).filter(|(_, placement)| *placement == Some(self.index));
        own.map(|(path, _)| path.to_owned()).collect()
    }

    /// The model's values with the adapter as it begins.
    fn started(&self) -> Params {
        let host: BTreeMap<String, Tensor> = self
            .subject
            .params
            .iter()
            .map(|(path, value)| (path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            .collect();
        from_params(&self.graph, &host, 7, &cpu()).0
    }

    fn outputs(&self, params: &Params) -> Vec<f32> {
        outputs(&self.graph, params, &self.inputs).to_f32()
    }

    fn begins_as_it_says(&mut self) {
        let begun = self.outputs(&self.started());
        if self.kind.identity_at_start() {
            same_bits(&begun, &self.base, &format!("{} at the start", self.what));
        } else {
            assert_ne!(begun, self.base, "{} should not be the identity at the start", self.what);
        }
        self.tests += 1;
    }

    fn counts_by_its_formula(&mut self) {
        let unfrozen = &self.graph.demands().unfrozen;
        let counted: u64 = self
            .graph
            .params()
            .filter(|(id, _, leaf)| leaf.placement == Some(self.index) || unfrozen.contains(id))
            .map(|(_, _, leaf)| elements(&leaf.shape) as u64)
            .sum();
        let formula = self.placement.parameter_count(&self.subject.graph, &self.sites);
        assert_eq!(counted, formula, "{}: parameters", self.what);
        self.tests += 1;
    }

    /// A scalar of the output, the leaves that train, and the walk of a step over them.
    fn step(&self) -> (Graph, NodeId, Vec<NodeId>, Schedule) {
        let mut builder = Builder::extend(&self.graph, "probe", "Probe");
        let scalar = builder.op("scalar", Probe, &[Subject::output(&self.graph)]);
        let graph = builder.finish().unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let frozen = TrainSpec { train: Vec::new(), ..TrainSpec::default() };
        let selection = select(&self.graph, &frozen).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let training = modes(&graph, &selection.nodes, &[]);
        let updates = graft_engine::graph::updates_at(&graph, graft_engine::graph::When::AfterBackward);
        let request = Request {
            results: &[scalar],
            loss: Some(scalar),
            leaves: &selection.nodes,
            training: &training,
            updates: &updates,
            take: Take::Step,
            ..Request::default()
        };
        let schedule =
            Schedule::new(&graph, &request).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        (graph, scalar, selection.nodes, schedule)
    }

    fn changes_what_it_lists(&mut self) {
        if !self.trains() {
            return;
        }
        let (graph, _, leaves, schedule) = self.step();
        let mut params = self.params.clone();
        let adamw = AdamW { learning_rate: 0.01, weight_decay: 0.1, ..AdamW::default() };
        let mut optimiser = Optimiser::new(OptimiserSpec::AdamW(adamw));
        let mut reached = BTreeSet::new();
        let walk = Walk { graph: &graph, schedule: &schedule, seed: 3, step: 1 };
        walk.run(&mut params, &self.inputs, &mut |params, path, gradient, _| {
            optimiser.apply(params, path, gradient, 0.01);
            reached.insert(path.to_owned());
        })
        .unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let listed: BTreeSet<&str> = leaves.iter().map(|id| &*graph.node(*id).path).collect();
        let states: BTreeSet<&str> = graph.states().map(|(_, path, _)| path).collect();
        assert!(!reached.is_empty(), "{}: nothing got a gradient", self.what);
        for (path, before) in self.params.iter() {
            let after = params.get(path).unwrap_or_else(|| panic!("{path} is gone"));
            if reached.contains(path) {
                assert!(listed.contains(path), "{}: {path} trained, but is not listed", self.what);
                assert_ne!(after.to_f32(), before.to_f32(), "{}: {path} did not change", self.what);
            } else if !states.contains(path) {
                let what = format!("{}: {path}, which nothing trains,", self.what);
                same_bits(&after.to_f32(), &before.to_f32(), &what);
            }
        }
        self.tests += 1;
    }

    /// Whether anything of it trains.
    fn trains(&self) -> bool {
        self.placement.parameter_count(&self.subject.graph, &self.sites) > 0
    }

    /// Three random directions through all that trains, in f64, against central differences. What rounds has no
    /// slope of its own: its op is tested with the rounding held.
    fn has_the_slope_of_its_value(&mut self) {
        if !self.trains() || matches!(self.placement.kind, AdapterSpec::Quantised(_)) {
            return;
        }
        let (graph, scalar, _, schedule) = self.step();
        let params = in_f64(&self.params);
        let inputs = inputs_in_f64(&self.inputs, &graph);
        let walk = Walk { graph: &graph, schedule: &schedule, seed: 3, step: 1 };
        let mut gradients = BTreeMap::new();
        walk.run(&mut params.clone(), &inputs, &mut |_, path, gradient, _| {
            gradients.insert(path.to_owned(), gradient);
        })
        .unwrap_or_else(|error| panic!("{}: {error}", self.what));
        // DoRA counts lengths as constant, so that only its learned lengths have the slope of the value; the other
        // gradients are compared with the library's.
        if matches!(&self.placement.kind, AdapterSpec::Lora(lora) if lora.dora) {
            gradients.retain(|path, _| path.ends_with(".magnitude"));
        }
        let value = |params: &Params| {
            let outcome = walk.run(&mut params.clone(), &inputs, &mut |_, _, _, _| {});
            outcome.unwrap_or_else(|error| panic!("{}: {error}", self.what)).values[&scalar].to_scalar()
        };
        for direction in 0..3 {
            let mut slope = 0.0;
            let mut along = Vec::new();
            for (path, gradient) in &gradients {
                let mut draws = Stream::new(direction, path).at(1);
                let shape = gradient.shape();
                let towards = (0..elements(&shape)).map(|_| f64::from(draws.normal())).collect();
                let towards = Value::from_f64(towards, &shape, &cpu());
                slope += gradient.clone().mul(towards.clone()).sum_all().to_scalar();
                along.push((path, towards));
            }
            let at = |by: f64| {
                let mut moved = params.clone();
                for (path, towards) in &along {
                    let value = params.get(path).unwrap_or_else(|| panic!("{path}")).clone();
                    moved.set(path, value.add(towards.clone().mul_scalar(by)));
                }
                value(&moved)
            };
            // A kink of a ReLU may lie within a step, but not within all of them.
            let mut numeric = Vec::new();
            let agrees = [1e-6, 1e-7, 1e-8].into_iter().any(|small| {
                let found = (at(small) - at(-small)) / (2.0 * small);
                numeric.push(found);
                (found - slope).abs() <= SLOPE * found.abs().max(slope.abs()).max(1e-2)
            });
            assert!(agrees, "{}: slope {slope}, finite differences {numeric:?}", self.what);
        }
        self.tests += 1;
    }

    fn comes_back_from_its_file(&mut self) {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let unfrozen = &self.graph.demands().unfrozen;
        let changed = unfrozen.iter().map(|id| self.graph.node(*id).path.clone()).collect();
        let placements: BTreeMap<usize, Placement> =
            self.subject.before.iter().chain([&self.placement]).cloned().enumerate().collect();
        let written = Adapter::of(placements.clone(), &self.graph, &self.params, &changed);
        written.write(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let read = Adapter::read(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let graph = read.place(&self.subject.bare).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let mut params = self.started();
        read.fill(&graph, &mut params, &cpu()).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        let got = outputs(&graph, &params, &self.inputs).to_f32();
        same_bits(&got, &self.outputs(&self.params), &format!("{} read back", self.what));
        let bytes = std::fs::read(folder.path().join("adapter.safetensors")).unwrap_or_default();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
        let stored = bytes.len() as u64 - 8 - header;
        let mut graph = self.subject.bare.clone();
        let mut formula = 0;
        for (index, placement) in &placements {
            let (next, coverage) =
                place(&graph, *index, placement).unwrap_or_else(|error| panic!("{}: {error}", self.what));
            formula += placement.stored_bytes(&graph, &coverage.matched);
            graph = next;
        }
        assert_eq!(i64::try_from(stored).unwrap_or(-1), formula, "{}: bytes of its file", self.what);
        self.tests += 2;
    }

    /// The graph before and the values of the base are there as they were.
    fn is_removed(&mut self) {
        let mut params = self.subject.params.clone();
        for (path, value) in self.params.iter().filter(|(path, _)| self.subject.params.get(path).is_some()) {
            params.set(path, value.clone());
        }
        let got = outputs(&self.subject.graph, &params, &self.inputs).to_f32();
        same_bits(&got, &self.base, &format!("{} removed", self.what));
        self.tests += 1;
    }

    fn takes_rows_alone(&mut self) {
        let batch = self.outputs(&self.params);
        let each = batch.len() / ROWS;
        for row in 0..ROWS {
            let alone: Inputs =
                self.inputs.iter().map(|(name, value)| (name.clone(), row_of(value, row))).collect();
            let got = outputs(&self.graph, &self.params, &alone).to_f32();
            let want = &batch[row * each..(row + 1) * each];
            same_to(ROW, &got, want, &format!("{}, row {row} alone", self.what));
        }
        self.tests += 1;
    }

    fn merges(&mut self) -> Option<[f32; 2]> {
        let merged = merge(&self.graph, &self.params, &BTreeSet::from([self.index])).ok()?;
        let mut params = self.subject.params.clone();
        for (path, value) in merged {
            params.set(&path, value);
        }
        let got = outputs(&self.subject.graph, &params, &self.inputs).to_f32();
        let want = self.outputs(&self.params);
        let scale = want.iter().fold(1e-12f32, |most, x| most.max(x.abs()));
        let apart: Vec<f32> = got.iter().zip(&want).map(|(a, b)| (a - b).abs() / scale).collect();
        let worst = apart.iter().fold(0f32, |most, x| most.max(*x));
        assert!(worst <= MERGED, "{} merged: off by {worst:e}", self.what);
        self.tests += 1;
        #[expect(clippy::cast_precision_loss, reason = "outputs are few")]
        let mean = apart.iter().sum::<f32>() / apart.len() as f32;
        Some([worst, mean])
    }
}

/// One row of a column.
fn row_of(value: &Value, row: usize) -> Value {
    let shape = value.shape();
    let mut one = shape.clone();
    one[0] = 1;
    let each = elements(&one);
    if value.dtype().is_float() {
        let data = value.to_f32()[row * each..(row + 1) * each].to_vec();
        return Value::from_f32(data, &one, &cpu());
    }
    Value::from_i64(value.to_i64()[row * each..(row + 1) * each].to_vec(), &one, &cpu())
}
