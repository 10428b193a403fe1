//! The cost of stages that walk data without training on it: measuring, writing a data set, evaluating.

use super::passes::Pass;
use super::stage::{Peak, Predicted, bind, leaves_bytes};
use crate::data::{Source, Split};
use crate::graph::{Graph, NodeId, Schedule};
use crate::plan::{Calibration, StepShape, walk_secs};
use crate::project::Built;
use crate::tensor::elements;
use crate::train::{StageSpec, generated_nodes, measuring_walk};

/// Predicts a stage that does not train; `None` for one that walks nothing. Also returned: samples of its pass.
pub(super) fn walked(
    spec: &StageSpec,
    built: &Built,
    source: &dyn Source,
    calibration: Option<&Calibration>,
) -> Result<Option<(Predicted, Peak, usize)>, String> {
    let model = &built.graph;
    let logits = || model.output("logits").into_iter().collect::<Vec<NodeId>>();
    let (split, limit, batch) = match spec {
        StageSpec::Evaluate(spec) => (spec.split, spec.samples, spec.batch),
        StageSpec::Measure(spec) => (spec.split, spec.samples, spec.batch),
        StageSpec::Generate(spec) => (spec.split, spec.samples, spec.batch),
        _ => return Ok(None),
    };
    let pass = pass(source, split, limit, batch);
    let forward = |results: &[NodeId]| (model.clone(), Schedule::forward(model, results));
    let ((graph, schedule), written) = match spec {
        StageSpec::Measure(spec) => {
            let walk = measuring_walk(spec, model, &source.columns()).map_err(|error| error.to_string())?;
            (walk, Vec::new())
        }
        StageSpec::Generate(spec) => {
            let nodes = generated_nodes(spec, model).map_err(|error| error.to_string())?;
            (forward(&nodes), nodes)
        }
        _ => (forward(&logits()), Vec::new()),
    };
    let shapes = bind(built, &graph, source, pass.batch).map_err(|error| error.to_string())?;
    let shape = StepShape {
        graph: &graph,
        schedule: &schedule,
        shapes: &shapes,
        later: None,
        whole: &shapes,
        given: &[],
    };
    let (bytes, tally) = shape.bytes();
    let mut found = Predicted {
        weights_bytes: leaves_bytes(&graph),
        gradients_bytes: bytes.gradients,
        activations_bytes: bytes.kept,
        workspace_bytes: bytes.workspace,
        data_bytes: bytes.batch * (1 + pass.ahead()),
        batch_bytes: bytes.batch,
        forward_peak_bytes: bytes.forward_peak,
        backward_peak_bytes: bytes.backward_peak,
        forward_multiply_adds: tally.forward_multiply_adds,
        ..Predicted::default()
    };
    let stands = found.weights_bytes + bytes.batch * pass.ahead();
    found.peak_bytes = stands + bytes.peak;
    let mut peak = Peak {
        phase: bytes.peak_phase.name().to_owned(),
        node: bytes.peak_at.map(|id| graph.node(id).path.clone()),
    };
    if let StageSpec::Generate(spec) = spec {
        let rows = pass.batch.max(1) as u64;
        let of_model = written.iter().map(|id| 4 * elements(&shapes[id.index()]) as u64 / rows);
        let columns = source.columns();
        let copied = columns.iter().filter(|column| spec.copy.iter().any(|(_, name)| *name == column.name));
        let of_data = copied.filter_map(|column| {
            let count = column.extents.iter().try_fold(1u64, |all, one| Some(all * (*one)? as u64))?;
            Some(count * if column.integers { 8 } else { 4 })
        });
        let columns: Vec<u64> = of_model.chain(of_data).map(|bytes| bytes * pass.samples as u64).collect();
        // All of it is gathered while the data are walked; then one column after the other becomes bytes.
        let gathered: u64 = columns.iter().sum();
        let writing = found.weights_bytes + gathered + columns.iter().max().unwrap_or(&0);
        found.data_bytes += gathered;
        found.peak_bytes += gathered;
        if writing > found.peak_bytes {
            found.peak_bytes = writing;
            peak = Peak { phase: "writing the data set".to_owned(), node: None };
        }
    }
    if let Some(calibration) = calibration {
        let walk = walk_secs(&graph, &schedule, &shapes, calibration);
        found.forward_secs = walk.forward();
        found.frozen_forward_secs = walk.frozen_forward;
        found.backward_secs = walk.backward;
        found.step_secs = walk.total();
        if found.step_secs > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let samples = pass.batch as f64;
            found.samples_per_sec = samples / found.step_secs;
        }
    }
    Ok(Some((found, peak, pass.samples)))
}

/// The pass over the first samples of a split.
fn pass(source: &dyn Source, split: Split, limit: Option<usize>, batch: usize) -> Pass {
    Pass::new(source.len(split).min(limit.unwrap_or(usize::MAX)), batch)
}

/// Bytes of an evaluation: its walk, its batch and those read ahead.
pub(super) fn evaluation(built: &Built, graph: &Graph, source: &dyn Source, pass: Pass) -> u64 {
    let (Some(logits), true) = (graph.output("logits"), pass.samples > 0) else { return 0 };
    let Ok(shapes) = bind(built, graph, source, pass.batch) else { return 0 };
    let schedule = Schedule::forward(graph, &[logits]);
    let walk =
        StepShape { graph, schedule: &schedule, shapes: &shapes, later: None, whole: &shapes, given: &[] };
    let bytes = walk.bytes().0;
    bytes.forward_peak.max(bytes.batch) + bytes.batch * pass.ahead()
}
