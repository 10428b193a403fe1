//! Small models of every architecture, with values and inputs.

use burn::tensor::Device;
use graft_engine::adapters::{AdapterSpec, Bottleneck, Lora, Placement, place};
use graft_engine::device;
use graft_engine::exec::Inputs;
use graft_engine::graph::{Binding, Graph};
use graft_engine::models::{self, Architecture, DataShape, ModelSpec};
use graft_engine::ops::Element;
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::weights::Params;

use super::mixed::Mixed;
use crate::fixture;

/// A model to place adapters on.
pub struct Subject {
    /// What to call it.
    pub name: String,
    /// Its graph; some have adapters already, whose layers are places as well.
    pub graph: Graph,
    /// Values of everything, drawn at random so that no zero hides a path.
    pub params: Params,
    /// Its graph without any.
    pub bare: Graph,
    /// The placements that stand on it already.
    pub before: Vec<Placement>,
    binding: Binding,
}

/// Rows of the batch that cells are examined on.
pub(super) const ROWS: usize = 3;

/// Tokens of the longest text.
const TOKENS: usize = 9;

/// Folders of small models of one architecture each, made by `fixtures/make_*.py`.
const FOLDERS: &[&str] = &[
    "vit_tiny",
    "dinov2_classifier",
    "timm_vit",
    "deit_teacher",
    "cct_learned",
    "ast_classifier",
    "vivit_classifier",
    "clip_classifier",
    "clip_text",
    "clipseg_plain",
    "bert_tiny",
    "t5_relu",
];

/// One small model an architecture, and one that has adapters already.
///
/// # Panics
/// When one cannot be built.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<Subject> = FOLDERS.iter().map(|folder| of_folder(folder)).collect();
    subjects.push(Subject::new("mixed", &Mixed));
    subjects.push(Subject::new("vivit factorised", video().as_ref()));
    subjects.push(on_adapters());
    subjects
}

fn of_folder(folder: &str) -> Subject {
    let resolved = models::open(&fixture(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    Subject::new(folder, resolved.architecture.as_ref())
}

fn video() -> Box<dyn Architecture> {
    let text = "Vivit(
        spatial: Vit(width: 16, blocks: 2, heads: 2, mlp: 24, patch: 8),
        temporal: (blocks: 2, heads: 2, mlp: 24),
    )";
    let spec: ModelSpec = super::written(text).unwrap_or_else(|error| panic!("{error}"));
    let data = DataShape {
        columns: Vec::new(),
        sample: vec![4, 1, 16, 24],
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
    };
    match spec.resolve(std::path::Path::new("."), &data) {
        Ok(resolved) => resolved.architecture,
        Err(error) => panic!("{error}"),
    }
}

/// A model whose adapters' own layers are the places.
fn on_adapters() -> Subject {
    let mut subject = of_folder("vit_tiny");
    let lora = Lora { rank: 2, ..Lora::default() };
    let placements = [
        Placement::new(
            "model.blocks.*.P4",
            AdapterSpec::Bottleneck(Bottleneck { width: 8, ..Bottleneck::default() }),
        ),
        Placement::new("model.blocks.*.attention.query", AdapterSpec::Lora(lora)),
    ];
    for (index, placement) in placements.iter().enumerate() {
        subject.graph = place(&subject.graph, index, placement).unwrap_or_else(|error| panic!("{error}")).0;
    }
    "adapters of a vit".clone_into(&mut subject.name);
    subject.before = placements.to_vec();
    subject.params = random(&subject.graph);
    subject
}

impl Subject {
    fn new(name: &str, architecture: &dyn Architecture) -> Self {
        let graph = architecture.build("model").unwrap_or_else(|error| panic!("{name}: {error}"));
        let params = random(&graph);
        let (name, bare, before) = (name.to_owned(), graph.clone(), Vec::new());
        // Texts need not be as long as a model can read.
        let mut binding = architecture.binding(ROWS);
        for extent in ["tokens", "decoder_tokens"] {
            if binding.get(extent).is_some_and(|tokens| tokens > TOKENS) {
                binding = binding.with(extent, TOKENS);
            }
        }
        Self { name, graph, params, bare, before, binding }
    }

    /// The output that cells are compared by: logits where the model has a head.
    ///
    /// # Panics
    /// When the model has no output.
    #[must_use]
    pub fn output(graph: &Graph) -> graft_engine::graph::NodeId {
        let named = ["logits", "text_embeds", "last_hidden_state"].iter().find_map(|name| graph.output(name));
        named.unwrap_or_else(|| panic!("the model has no output to compare by"))
    }

    /// A batch of random samples, as many as cells are examined on.
    ///
    /// # Panics
    /// When the binding lacks an extent.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        let column = |leaf: &graft_engine::graph::InputLeaf| {
            let shape = self.binding.shape(leaf).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let count = elements(&shape);
            let value = match leaf.element {
                Element::Float => {
                    let mut draws = Stream::new(9, &leaf.column).at(0);
                    let data = (0..count).map(|_| draws.normal()).collect();
                    Value::from_f32(data, &shape, &cpu())
                }
                Element::Integer => Value::from_i64(integers(&leaf.column, &shape), &shape, &cpu()),
            };
            (leaf.column.clone(), value)
        };
        self.graph.columns().map(column).collect()
    }
}

/// Tokens that are small enough for any vocabulary; masks of another length in every row.
fn integers(column: &str, shape: &[usize]) -> Vec<i64> {
    let tokens = shape.last().copied().unwrap_or(1);
    let mut draws = Stream::new(4, column).at(0);
    (0..elements(shape))
        .map(|at| {
            let (row, token) = (at / tokens, at % tokens);
            match column {
                "attention_mask" | "decoder_attention_mask" => i64::from(token + row < tokens),
                "token_type_ids" => i64::from(token > tokens / 2),
                _ => i64::try_from(draws.below(7)).unwrap_or(0) + 1,
            }
        })
        .collect()
}

/// The CPU.
pub(super) fn cpu() -> Device {
    device::open("flex").unwrap_or_else(|error| panic!("{error}"))
}

/// Random values of everything: gains about 1, variances positive.
pub(super) fn random(graph: &Graph) -> Params {
    let mut params = Params::new();
    let leaves = graph.params().map(|(_, path, leaf)| (path, &leaf.shape));
    for (path, shape) in leaves.chain(graph.states().map(|(_, path, leaf)| (path, &leaf.shape))) {
        params.set(path, random_value(path, shape));
    }
    for node in graph.nodes() {
        if let graft_engine::graph::NodeKind::Const(leaf) = &node.kind {
            params.set(&node.path, Value::from_f32(leaf.values.to_vec(), &leaf.shape, &cpu()));
        }
    }
    params
}

/// A random value for a parameter or state of this path.
pub(super) fn random_value(path: &str, shape: &[usize]) -> Value {
    let mut draws = Stream::new(5, path).at(0);
    let count = elements(shape);
    let data = if path.ends_with("running_var") {
        (0..count).map(|_| draws.normal().abs() + 0.2).collect()
    } else if path.ends_with("norm.weight") || path.contains("ayer_norm") && path.ends_with("weight") {
        (0..count).map(|_| 1.0 + 0.3 * draws.normal()).collect()
    } else {
        (0..count).map(|_| 0.3 * draws.normal()).collect()
    };
    Value::from_f32(data, shape, &cpu())
}
