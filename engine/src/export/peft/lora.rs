//! LoRA (Hu et al., 2021) as PEFT writes it: `lora_A [r, in]`, `lora_B [out, r]`, for convolutions kernels of as many
//! axes as the weight; `DoRA`'s `lora_magnitude_vector` is the length of each row, where Graft stores the difference to
//! the length that the row has in the base.

use serde_json::{Map, Value as Json, json};

use super::super::FormatError;
use super::super::format::Config;
use super::super::placed::{Item, Placed};
use super::targets::Pattern;
use super::{GENERAL, PeftKind, Reading, Writing, cannot, other_kind};
use crate::adapters::{self, AdapterSpec};
use crate::graph::{Layer, SiteKind};
use crate::tensor::elements;
use crate::weights::Tensor;

const A: &str = "lora_A.weight";
const B: &str = "lora_B.weight";
const LENGTHS: &str = "lora_magnitude_vector";

/// Keys that are read here or say only how training began.
const OWN: &[&str] = &[
    "alpha_pattern",
    "bias",
    "ensure_weight_tying",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "runtime_config",
    "use_dora",
    "use_rslora",
];

/// Beginnings of `init_lora_weights` that change the base weights too.
const BASE_CHANGED: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// A description of LoRA.
#[derive(Debug)]
pub(super) struct Lora {
    general: adapters::Lora,
    ranks: Pattern,
    alphas: Pattern,
}

impl Lora {
    pub(super) fn of(config: Config<'_>) -> Result<Self, FormatError> {
        if config.switch("fan_in_fan_out")? {
            return Err(config.unsupported("fan_in_fan_out", "weights here are stored as [out, in]"));
        }
        if let Some(Json::String(init)) = config.get("init_lora_weights")
            && BASE_CHANGED.iter().any(|name| init.starts_with(name))
        {
            let why =
                "it begins with other base weights than the checkpoint's; save it converted to plain LoRA";
            return Err(config.unsupported(&format!("init_lora_weights: {init}"), why));
        }
        match config.text("bias")?.unwrap_or("none") {
            "none" | "all" | "lora_only" => {}
            other => {
                return Err(config.wrong(format!("`bias` should be none, all or lora_only, found {other}")));
            }
        }
        config.only(&[GENERAL, OWN].concat())?;
        let general = adapters::Lora {
            rank: config.whole_needed("r")?,
            alpha: config.number_needed("lora_alpha")?,
            dropout: config.number("lora_dropout")?.unwrap_or(0.0),
            rank_stabilised: config.switch("use_rslora")?,
            dora: config.switch("use_dora")?,
        };
        let ranks = Pattern::read(config, "rank_pattern")?;
        Ok(Self { general, ranks, alphas: Pattern::read(config, "alpha_pattern")? })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank; held against the tensor"
    )]
    fn at(&self, module: &str) -> adapters::Lora {
        let mut lora = self.general.clone();
        if let Some(rank) = self.ranks.of(module) {
            lora.rank = rank as usize;
        }
        if let Some(alpha) = self.alphas.of(module) {
            lora.alpha = alpha;
        }
        lora
    }
}

impl PeftKind for Lora {
    fn parts(&self) -> &'static [&'static str] {
        &[A, B, LENGTHS]
    }

    fn read(&self, module: &str, reading: &mut Reading<'_>) -> Result<Item, FormatError> {
        let lora = self.at(module);
        let Some((site, weight)) = reading.modules.sites.get(module).zip(reading.modules.weight(module))
        else {
            unreachable!("modules were held against the model's")
        };
        let shape = &weight.shape;
        let [a_shape, b_shape] = pair_shapes(lora.rank, shape);
        let part = |name: &str| format!("{module}.{name}");
        let a = reading.stock.take(&part(A), &a_shape)?;
        let b = reading.stock.take(&part(B), &b_shape)?;
        let layer = match site.kind {
            SiteKind::Weight { layer, .. } => layer,
            _ => Layer::Linear,
        };
        let mut tensors = vec![("A.weight", inner(a, layer)), ("B.weight", inner(b, layer))];
        if lora.dora {
            let lengths = reading.stock.take(&part(LENGTHS), &lengths_shape(shape))?;
            let before = row_lengths(reading.base, &weight.path)?;
            let data =
                lengths.data.iter().zip(before).map(|(length, before)| difference(*length, before)).collect();
            tensors.push(("magnitude", Tensor { shape: vec![shape[0]], data }));
        }
        Ok(Item { site: site.path.clone(), spec: AdapterSpec::Lora(lora), tensors })
    }
}

/// Shapes of `lora_A` and `lora_B` for a weight `[out, in]` or `[out, channels, …]`.
fn pair_shapes(rank: usize, weight: &[usize]) -> [Vec<usize>; 2] {
    let a = [&[rank], &weight[1..]].concat();
    let b = [&[weight[0], rank][..], &vec![1; weight.len() - 2]].concat();
    [a, b]
}

fn lengths_shape(weight: &[usize]) -> Vec<usize> {
    if weight.len() == 2 {
        vec![weight[0]]
    } else {
        [&[1, weight[0]][..], &vec![1; weight.len() - 2]].concat()
    }
}

/// A factor in the shape that Graft's LoRA has it in: a linear layer's is a matrix, also where the weight is stored as
/// a kernel.
fn inner(tensor: Tensor, layer: Layer) -> Tensor {
    match layer {
        Layer::Conv => tensor,
        Layer::Linear => {
            let shape = vec![tensor.shape[0], elements(&tensor.shape[1..])];
            Tensor { shape, ..tensor }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn difference(length: f32, before: f64) -> f32 {
    (f64::from(length) - before) as f32
}

/// The length of each row of a base weight.
fn row_lengths(base: &super::Base<'_>, path: &str) -> Result<Vec<f64>, FormatError> {
    let value = base.params.get(path).ok_or_else(|| FormatError::Config {
        why: format!("the base has no values for `{path}`"),
        path: base.folder.map(std::path::Path::to_path_buf).unwrap_or_default(),
    })?;
    let (shape, data) = (value.shape(), value.to_f32());
    let columns = elements(&shape[1..]).max(1);
    let squares = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
    Ok(data.chunks(columns).map(|row| squares(row).sqrt()).collect())
}

/// Writes LoRA at each place, and gives the description.
pub(super) fn write(all: &[Placed], writing: &mut Writing<'_>) -> Result<Map<String, Json>, FormatError> {
    let mut modules: Vec<(String, adapters::Lora)> = Vec::new();
    for one in all {
        let AdapterSpec::Lora(lora) = &one.spec else { return Err(other_kind(one)) };
        let module = writing.module(one)?;
        let what = || format!("LoRA at `{}`", one.site);
        if modules.iter().any(|(other, _)| *other == module) {
            return Err(cannot(&what(), "another LoRA is on the same module"));
        }
        let first = modules.first().map_or(lora, |(_, first)| first);
        if (lora.dora, lora.rank_stabilised) != (first.dora, first.rank_stabilised) {
            return Err(cannot(&what(), "its DoRA or rank stabilisation is not that of the others"));
        }
        let Some(weight) = writing.modules.weight(&module).cloned() else {
            return Err(cannot(&what(), "its weight has no name of its own"));
        };
        let [a, b] = pair_shapes(lora.rank, &weight.shape);
        for (name, part, shape) in [(A, "A.weight", a), (B, "B.weight", b)] {
            let tensor = Tensor { shape, ..writing.take(one, part)? };
            writing.out.insert(format!("{module}.{name}"), tensor);
        }
        if lora.dora {
            let lengths = writing.take(one, "magnitude")?;
            let before = row_lengths(writing.base, &weight.path)?;
            let data =
                lengths.data.iter().zip(before).map(|(more, before)| difference(*more, -before)).collect();
            let shape = lengths_shape(&weight.shape);
            writing.out.insert(format!("{module}.{LENGTHS}"), Tensor { shape, data });
        }
        modules.push((module, lora.clone()));
    }
    Ok(describe(&modules))
}

/// The description: the commonest rank and scale, the others by name.
fn describe(modules: &[(String, adapters::Lora)]) -> Map<String, Json> {
    let same = |lora: &adapters::Lora| {
        modules.iter().filter(|(_, other)| (other.rank, other.alpha) == (lora.rank, lora.alpha)).count()
    };
    let common =
        modules.iter().map(|(_, lora)| lora).max_by_key(|lora| same(lora)).cloned().unwrap_or_default();
    let (mut ranks, mut alphas) = (Map::new(), Map::new());
    for (module, lora) in modules {
        if lora.rank != common.rank {
            ranks.insert(module.clone(), json!(lora.rank));
        }
        #[expect(clippy::float_cmp, reason = "the same setting or another")]
        if lora.alpha != common.alpha {
            alphas.insert(module.clone(), number(lora.alpha));
        }
    }
    let json = json!({
        "peft_type": "LORA",
        "r": common.rank,
        "lora_alpha": number(common.alpha),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "lora_dropout": common.dropout,
        "use_rslora": common.rank_stabilised,
        "use_dora": common.dora,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
    });
    json.as_object().cloned().unwrap_or_default()
}

/// Whole numbers as such, as PEFT declares its scale.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() < 1e9 { json!(value as i64) } else { json!(value) }
}
