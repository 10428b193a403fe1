//! Adapters on text models: Compacter's published counts, masks in training, projects that name a text model.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;
use std::path::Path;

use graft_engine::adapters::{Activation, AdapterSpec, Bottleneck, Phm, Placement, Unfreeze, place};
use graft_engine::exec::upload;
use graft_engine::graph::Graph;
use graft_engine::models::T5;
use graft_engine::project::{Project, build_stage, open_source, parse};
use graft_engine::runs::{EventBody, Outcome, RunOptions, train};
use graft_engine::train::{Control, TrainSpec, select};
use graft_engine::weights::load;
use graft_tests::case::{device, walk};
use graft_tests::equal::same_to_rounding;
use graft_tests::fixture;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// What trains of a graph in a stage that names nothing: the adapters.
fn trained(graph: &Graph) -> u64 {
    select(graph, &TrainSpec { train: Vec::new(), ..TrainSpec::default() }).unwrap().count
}

/// Bottlenecks of T5-base at these ports, their weights sums of Kronecker products.
fn compacter(base: &Graph, at: &str) -> (Graph, usize) {
    let kind = Bottleneck { width: 24, activation: Activation::GeluTanh, ..Bottleneck::default() };
    let (graph, coverage) = place(base, 0, &Placement::new(at, AdapterSpec::Bottleneck(kind))).unwrap();
    let phm = Placement::new("model.**.adapter_0.{down,up}", AdapterSpec::Phm(Phm::default()));
    let (graph, _) = place(&graph, 1, &phm).unwrap();
    (graph, coverage.matched.len())
}

/// Mahabadi et al., 2021 (methods, section 5), counted on graphs without weights.
#[test]
fn compacters_counts_on_t5_base() {
    let config = json!({
        "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
    });
    let base = T5::from_config(&config).unwrap();
    let base = graft_engine::models::Architecture::build(&base, "model").unwrap();
    assert_eq!(base.parameter_count(), 222_903_552);
    let shared = 64;
    let (one, places) = compacter(&base, "model.encoder.blocks.0.P1");
    assert_eq!((places, trained(&one)), (1, 2_376 + shared));
    let (full, places) = compacter(&base, "model.{encoder,decoder}.blocks.*.{P1,P4}");
    assert_eq!((places, trained(&full)), (48, 114_048 + shared));
    let (plus, places) = compacter(&base, "model.{encoder,decoder}.blocks.*.P4");
    assert_eq!((places, trained(&plus)), (24, 57_024 + shared));
    let norms = Placement::new("model.**.norm", AdapterSpec::Unfreeze(Unfreeze::default()));
    let share = |graph: &Graph| {
        let (graph, _) = place(graph, 2, &norms).unwrap();
        (trained(&graph) - trained(&plus), 100.0 * trained(&graph) as f64 / base.parameter_count() as f64)
    };
    let (more, percent) = share(&plus);
    assert_eq!(more, 47_616);
    assert!((percent - 0.04697).abs() < 5e-6, "{percent}");
    let (_, percent) = share(&full);
    assert!((percent - 0.0726).abs() < 5e-5, "{percent}");
}

/// Sentences of up to 7 words of 37, of class 0 or 1 by whether word 5 is among them; padding is word 0.
fn write_sentences(path: &Path, masked: bool, padding: i64) {
    let (samples, tokens) = (24, 7);
    let (mut ids, mut mask, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..samples {
        let length = if masked { 3 + sample % 5 } else { tokens };
        for place in 0..tokens {
            let word = (sample * 11 + place * 7) % 30 + 6;
            let word = if sample % 2 == 1 && place == sample % 3 { 5 } else { word };
            ids.push(if place < length { i64::try_from(word).unwrap() } else { padding });
            mask.push(i64::from(place < length));
        }
        labels.push(i64::from(sample % 2 == 1));
    }
    let bytes = |values: &[i64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors = BTreeMap::from([
        ("inputs", (vec![samples, tokens], bytes(&ids))),
        ("labels", (vec![samples], bytes(&labels))),
    ]);
    if masked {
        tensors.insert("attention_mask", (vec![samples, tokens], bytes(&mask)));
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, data))| (*name, TensorView::new(Dtype::I64, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn project(more: &str) -> Project {
    let model = fixture("bert_tiny").display().to_string();
    let text = format!(
        r#"(
            version: 2, name: "text", seed: 3,
            model: Folder({model:?}),
            data: Tensors(file: "sentences.safetensors", validation: 0.0),
            adapters: [(at: "model.blocks.*.attention.{{query,value}}", kind: Lora(rank: 4, alpha: 8))],
            stages: [Train(
                epochs: 12, batch: 8, train: ["model.head"], optimiser: AdamW(learning_rate: 0.01),
                evaluate_every: 0, {more}
            )],
        )"#
    );
    parse(&text, Path::new("text.ron")).unwrap()
}

#[test]
fn a_project_makes_the_head_for_its_classes_and_reads_the_columns_it_has() {
    for masked in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        write_sentences(&folder.path().join("sentences.safetensors"), masked, 0);
        let project = project("");
        let source = open_source(&project, folder.path(), 0).unwrap();
        let built = build_stage(&project, folder.path(), 0, source.as_ref()).unwrap();
        let mut columns: Vec<String> = built.graph.columns().map(|leaf| leaf.column.clone()).collect();
        columns.sort();
        let wanted: &[&str] = if masked { &["attention_mask", "input_ids"] } else { &["input_ids"] };
        assert_eq!(columns, wanted);
        let binding = built.binding(source.as_ref(), 4);
        assert_eq!((binding.get("batch"), binding.get("tokens")), (Some(4), Some(7)));
        assert_eq!(built.architecture.binding(4).get("tokens"), Some(7));
        let shapes = built.graph.shapes(&binding).unwrap();
        assert_eq!(shapes[built.graph.output("logits").unwrap().index()], [4, 2]);
    }
}

/// The losses of a run on sentences.
fn losses(project: &Project, masked: bool) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(&folder.path().join("sentences.safetensors"), masked, 0);
    let mut losses = Vec::new();
    let options = RunOptions { runs: folder.path().join("runs") };
    let summary = train(project, folder.path(), &options, &Control::new(), &mut |event| {
        if let EventBody::Step { loss, .. } = event.body {
            losses.push(loss);
        }
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Finished);
    losses
}

#[test]
fn lora_learns_with_masks_and_without() {
    for masked in [true, false] {
        let losses = losses(&project(""), masked);
        assert_eq!(losses.len(), 36);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..3]), mean(&losses[33..]));
        assert!(last < 0.7 * first, "masked {masked}: {first} to {last}");
    }
}

/// Behind a cut the mask is read of the data as before.
#[test]
fn a_cached_prefix_keeps_its_masks() {
    let late = |more: &str| {
        let mut project = project(more);
        project.adapters[0].at = "model.blocks.1.attention.{query,value}".to_owned();
        losses(&project, true)
    };
    let (plain, cached) = (late(""), late("cache: ()"));
    assert_eq!(plain.len(), cached.len());
    for (plain, cached) in plain.iter().zip(&cached) {
        assert!((plain - cached).abs() <= 1e-5 * plain.abs(), "{plain} and {cached}");
    }
}

/// What stands behind the mask changes neither loss nor gradients.
#[test]
fn padding_is_not_learned_from() {
    let run = |padding: i64| {
        let folder = tempfile::tempdir().unwrap();
        write_sentences(&folder.path().join("sentences.safetensors"), true, padding);
        // Without dropout, whose draws would be the same anyway.
        let project = project(r#"modes: [("model", Inference)]"#);
        let source = open_source(&project, folder.path(), 0).unwrap();
        let built = build_stage(&project, folder.path(), 0, source.as_ref()).unwrap();
        let step = built.step.as_ref().unwrap();
        let (mut params, _) = load(&step.graph, built.weights.as_ref(), 0, &device()).unwrap();
        let rows: Vec<usize> = (0..6).collect();
        let batch = graft_engine::data::Batch::read(source.as_ref(), graft_engine::data::Split::Train, &rows)
            .unwrap();
        let inputs = upload(batch, &step.graph, &device());
        let (outcome, gradients) = walk(step, &step.schedule, &mut params, &inputs, 0);
        (outcome.values[&step.loss].to_scalar(), gradients)
    };
    let ((loss, gradients), (other_loss, others)) = (run(0), run(36));
    assert!(loss.is_finite() && (loss - other_loss).abs() < 1e-6 * loss.abs());
    assert!(gradients.len() > 4);
    for (path, gradient) in gradients {
        same_to_rounding(&others[&path].to_f32(), &gradient.to_f32(), &path);
    }
}
