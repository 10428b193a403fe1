//! Where `peft` or `adapters` has a kind, a fixture of theirs proves it (made by `fixtures/make_adapters.py`): for each kind
//! and type of place that the libraries know, `tests/references.ron` names the fixture, and the run fails where a cell of
//! `tests/matrix.ron` that should have one has none. With `GRAFT_MATRIX=write` the table is written anew.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use graft_engine::adapters::{AdapterSpec, Bottleneck, Lora, Mask, Placement, Prompt, Reads, Sparse, place};
use graft_engine::exec::{Inputs, infer};
use graft_engine::export::{Adapter, Base, read_adapter};
use graft_engine::graph::{Builder, Extent, Graph, Init, LinearSpec};
use graft_engine::models;
use graft_engine::ops::Conv2d;
use graft_engine::tensor::Value;
use graft_engine::weights::{Params, Tensor, load, read_integers};
use graft_tests::case::device;
use graft_tests::equal::same_to;
use graft_tests::matrix::{kinds, name_of};
use graft_tests::{fixture, repository, tensors};

/// Agreement wanted, as a share of the largest value.
const TOLERANCE: f32 = 1e-4;

/// By kind and type of place: fixtures.
type References = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What a kind is called here, where a library has it.
fn word(spec: &AdapterSpec) -> Option<String> {
    Some(match spec {
        AdapterSpec::Lora(lora) => match (lora.dora, lora.rank_stabilised) {
            (false, false) => "LoRA".to_owned(),
            (false, true) => "rsLoRA".to_owned(),
            (true, false) => "DoRA".to_owned(),
            (true, true) => "DoRA, rank-stabilised".to_owned(),
        },
        AdapterSpec::Sparse(Sparse { mask: Mask::Random, strength, .. }) if (strength - 1.0).abs() < 1e-9 => {
            "SHiRA".to_owned()
        }
        AdapterSpec::Bottleneck(Bottleneck { activate_after: false, reads, .. }) => match reads {
            Reads::Own => "bottleneck".to_owned(),
            other => format!("bottleneck reading {other:?}"),
        },
        AdapterSpec::Phm(_) => "Compacter".to_owned(),
        AdapterSpec::Prompt(_) => "prompts".to_owned(),
        _ => return None,
    })
}

/// A class of places without what does not matter to a library.
fn kind_of_place(class: &str) -> &str {
    let without = class.find(", sides divide").map_or(class, |at| &class[..at]);
    if without.starts_with("adapter's") { without.trim_end_matches(", no bias") } else { without }
}

/// Whether `peft` 0.21 or `adapters` 1.3 has a kind at a type of place.
fn is_in_a_library(word: &str, place: &str) -> bool {
    let linear = ["linear weight", "linear weight, no bias"];
    let convolution = ["convolution", "convolution, no bias"];
    match word {
        "LoRA" | "rsLoRA" | "DoRA" | "DoRA, rank-stabilised" => {
            linear.contains(&place) || convolution.contains(&place)
        }
        "SHiRA" => linear.contains(&place),
        "bottleneck" => [
            "port P1",
            "port P2",
            "port P4",
            "port P5",
            "port P1, masked, post-norm",
            "port P4, masked, post-norm",
        ]
        .contains(&place),
        "bottleneck reading P0" => ["port P1", "port P1, masked, post-norm"].contains(&place),
        "bottleneck reading P2" => ["port P4", "port P4, masked, post-norm"].contains(&place),
        "bottleneck reading AddNorm" => {
            ["port P1, masked, post-norm", "port P4, masked, post-norm"].contains(&place)
        }
        "Compacter" => place == "adapter's linear weight",
        "prompts" => place == "sequence through a stack",
        _ => false,
    }
}

struct Model {
    device: Device,
    graph: Graph,
    params: Params,
    config: serde_json::Value,
    folder: std::path::PathBuf,
}

impl Model {
    fn open(name: &str) -> Self {
        let (device, folder) = (device(), fixture(name));
        let resolved = models::open(&folder).unwrap();
        let graph = resolved.architecture.build("model").unwrap();
        let (params, _) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
        Self { device, graph, params, config: resolved.architecture.config(), folder }
    }

    /// The adapter of a fixture: as its layout is read, prompts by their one tensor.
    fn adapter(&self, name: &str) -> Adapter {
        let folder = fixture(&format!("adapters/{name}"));
        if name != "hub_prompt" {
            let base = Base {
                graph: &self.graph,
                params: &self.params,
                config: &self.config,
                folder: Some(&self.folder),
            };
            return read_adapter(&folder, &base).unwrap();
        }
        let stored = tensors("adapters/hub_prompt/adapter.safetensors");
        let (_, table) = stored.iter().next().unwrap();
        let (count, width) = (table.shape[0], table.shape[1]);
        let kind = AdapterSpec::Prompt(Prompt { tokens: count });
        let tokens = Tensor { shape: vec![1, count, width], data: table.data.clone() };
        let head = tensors("adapters/hub_prompt/model_head.safetensors");
        let head = |part: &str| (format!("model.head.{part}"), head[&format!("classifier.{part}")].clone());
        Adapter {
            placements: BTreeMap::from([(0, Placement::new("model.blocks.tokens", kind))]),
            tensors: BTreeMap::from([
                ("model.blocks.tokens.adapter_0.tokens".to_owned(), tokens),
                head("weight"),
                head("bias"),
            ]),
            ..Adapter::default()
        }
    }

    /// Compares logits with the library's, and says what stood where.
    fn prove(&self, name: &str, proven: &mut References) {
        let adapter = self.adapter(name);
        let mut graph = self.graph.clone();
        for (&number, placement) in &adapter.placements {
            let (next, coverage) = place(&graph, number, placement).unwrap();
            for site in &coverage.matched {
                let class = name_of(&graph, graph.site(site).unwrap());
                enter(proven, &placement.kind, &class, name);
            }
            graph = next;
        }
        let mut params = self.params.clone();
        adapter.fill(&graph, &mut params, &self.device).unwrap();
        let file = format!("adapters/{name}/io.safetensors");
        let io = tensors(&file);
        let value = |(column, (shape, values)): (String, (Vec<usize>, Vec<i64>))| {
            (column, Value::from_i64(values, &shape, &self.device))
        };
        let mut inputs: Inputs = read_integers(&fixture(&file)).unwrap().into_iter().map(value).collect();
        if let Some(pixels) = io.get("pixel_values") {
            let pixels = Value::from_f32(pixels.data.clone(), &pixels.shape, &self.device);
            inputs.insert("pixel_values".to_owned(), pixels);
        }
        let logits = graph.output("logits").unwrap();
        let got = infer(&graph, &params, &inputs, &[logits]).unwrap()[&logits].to_f32();
        same_to(TOLERANCE, &got, &io["logits"].data, name);
    }
}

fn enter(proven: &mut References, kind: &AdapterSpec, class: &str, fixture: &str) {
    if let Some(word) = word(kind) {
        let places = proven.entry(word).or_default();
        places.entry(kind_of_place(class).to_owned()).or_default().insert(fixture.to_owned());
    }
}

/// A graph of one layer, linear or a convolution, and the layer's path.
fn one_layer(conv: bool, weight: &[usize], bias: bool) -> Graph {
    let mut b = Builder::new("model", "One layer");
    let kernel = &weight[1..];
    let spec = LinearSpec {
        kernel,
        features_out: weight[0],
        init: Init::Zeros,
        bias: bias.then_some(Init::Zeros),
        stored: "layer",
    };
    let batch = Extent::named("batch");
    let y = if conv {
        let extents = vec![batch, Extent::Fixed(weight[1]), Extent::named("height"), Extent::named("width")];
        let x = b.input("x", extents);
        b.conv2d("layer", x, Conv2d { stride: [2, 1], padding: [1, 0], groups: 1 }, &spec)
    } else {
        let x = b.input("x", vec![batch, Extent::named("tokens"), Extent::Fixed(weight[1])]);
        b.linear("layer", x, &spec)
    };
    b.output("logits", y);
    b.finish().unwrap()
}

/// peft's kinds on single layers of each type.
fn prove_layers(proven: &mut References) {
    let stored = tensors("adapters/layers/layers.safetensors");
    let names: BTreeSet<&str> =
        stored.keys().filter_map(|key| key.rsplit_once('.')).map(|(name, _)| name).collect();
    assert_eq!(names.len(), 18);
    for name in names {
        let get = |part: &str| stored.get(&format!("{name}.{part}"));
        let (base, bias) = (get("weight").unwrap(), get("bias"));
        let graph = one_layer(base.shape.len() == 4, &base.shape, bias.is_some());
        let lora = Lora { rank: 2, alpha: 3.0, ..Lora::default() };
        let kind = match name.split('.').next().unwrap() {
            "lora" => AdapterSpec::Lora(lora),
            "rslora" => AdapterSpec::Lora(Lora { rank_stabilised: true, ..lora }),
            "dora" => AdapterSpec::Lora(Lora { dora: true, ..lora }),
            "rsdora" => AdapterSpec::Lora(Lora { dora: true, rank_stabilised: true, ..lora }),
            _ => AdapterSpec::Sparse(Sparse { rank: 1, mask: Mask::Random, seed: 5, ..Sparse::default() }),
        };
        let class = name_of(&graph, graph.site("model.layer").unwrap());
        let (graph, _) = place(&graph, 0, &Placement::new("model.layer", kind.clone())).unwrap();
        let device = device();
        let (mut params, _) = load(&graph, None, 0, &device).unwrap();
        let mut set = |path: &str, shape: &[usize], data: Vec<f32>| {
            params.set(path, Value::from_f32(data, shape, &device));
        };
        set("model.layer.weight", &base.shape, base.data.clone());
        if let Some(bias) = bias {
            set("model.layer.bias", &bias.shape, bias.data.clone());
        }
        for (part, path) in [("lora_A", "A.weight"), ("lora_B", "B.weight"), ("shira", "values")] {
            if let Some(tensor) = get(part) {
                set(&format!("model.layer.adapter_0.{path}"), &tensor.shape, tensor.data.clone());
            }
        }
        if let Some(long) = get("magnitude") {
            // Graft's is what is added to the row's own length.
            let row = base.data.len() / base.shape[0];
            let lengths = base.data.chunks(row).map(|row| row.iter().map(|w| w * w).sum::<f32>().sqrt());
            let more = long.data.iter().zip(lengths).map(|(long, own)| long - own).collect();
            set("model.layer.adapter_0.magnitude", &[base.shape[0]], more);
        }
        let x = get("x").unwrap();
        let inputs = Inputs::from([("x".to_owned(), Value::from_f32(x.data.clone(), &x.shape, &device))]);
        let output = graph.output("logits").unwrap();
        let got = infer(&graph, &params, &inputs, &[output]).unwrap()[&output].to_f32();
        same_to(TOLERANCE, &got, &get("y").unwrap().data, name);
        enter(proven, &kind, &class, &format!("layers, {name}"));
    }
}

/// The cells that the libraries know, by the committed table of the matrix.
fn wanted() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(repository("tests/matrix.ron")).unwrap();
    let table: BTreeMap<String, BTreeMap<String, String>> = ron::from_str(&text).unwrap();
    let mut wanted = BTreeSet::new();
    for kind in kinds() {
        let Some(word) = word(&kind.spec) else { continue };
        for (class, _) in table[&kind.name].iter().filter(|(_, verdict)| *verdict == "Runs") {
            let place = kind_of_place(class);
            if is_in_a_library(&word, place) {
                wanted.insert((word.clone(), place.to_owned()));
            }
        }
    }
    wanted
}

#[test]
fn what_a_library_has_is_proven_by_a_fixture() {
    let mut proven = References::new();
    prove_layers(&mut proven);
    let (vit, bert) = (Model::open("vit_tiny"), Model::open("bert_tiny"));
    for entry in std::fs::read_dir(fixture("adapters")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "layers" && !name.starts_with('.') {
            let model = if name.contains("bert") { &bert } else { &vit };
            model.prove(&name, &mut proven);
        }
    }
    let wanted = wanted();
    let without: Vec<&(String, String)> = wanted
        .iter()
        .filter(|(word, place)| proven.get(word).is_none_or(|places| !places.contains_key(place)))
        .collect();
    assert!(without.is_empty(), "no fixture proves {without:?}");
    println!("{} kinds at types of places that a library has, each proven by a fixture", wanted.len());
    let path = repository("tests/references.ron");
    if std::env::var("GRAFT_MATRIX").is_ok_and(|value| value == "write") {
        let text = ron::ser::to_string_pretty(&proven, ron::ser::PrettyConfig::default()).unwrap();
        let head = "// Which fixture of `tests/fixtures/adapters` proves a kind at a type of place.\n";
        std::fs::write(&path, format!("{head}{text}\n")).unwrap();
        return;
    }
    let committed: References = ron::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(committed, proven);
}
