//! PEFT's layout: `adapter_config.json` and `adapter_model.safetensors` (`huggingface/peft`,
//! `developer_guides/checkpoint.md`). Of its types LoRA, with all that Graft's LoRA has, and `SHiRA`.
//!
//! Tensors are named `base_model.model.<module>.<part>`. Base parameters that were trained with the adapter stand among
//! them: whole modules (`modules_to_save`), or biases of adapted modules (`bias`).

mod lora;
mod shira;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::format::{ANY_KIND, Config, Stock, or_none, read_json, write_json};
use super::modules::{Modules, Spelling};
use super::placed::{Collector, Placed, placed};
use super::{Adapter, AdapterFileError, AdapterFormat, Base, FormatError};
use crate::adapters::AdapterSpec;
use crate::graph::nearest;
use crate::weights::{Tensor, write_tensors};
use targets::Targets;

/// What all names begin with: the wrapped model below PEFT's own two.
const PREFIX: &str = "base_model.model.";
const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PICKLED: &str = "adapter_model.bin";

/// Keys of every description that ask for nothing, or that are read here.
const GENERAL: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "revision",
    "target_modules",
    "task_type",
];

/// PEFT's files, for reading by modules' names as either version of `transformers` has them, for writing by those given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peft {
    /// Names to write.
    pub spelling: Spelling,
}

/// A kind of PEFT's as it is read: which parts of names are its, and what it makes of them.
trait PeftKind {
    /// Ends of names behind the module's.
    fn parts(&self) -> &'static [&'static str];

    /// Reads one module.
    fn read(&self, module: &str, reading: &mut Reading<'_>) -> Result<super::placed::Item, FormatError>;
}

/// What the kinds read from.
struct Reading<'a> {
    base: &'a Base<'a>,
    modules: &'a Modules<'a>,
    stock: &'a mut Stock,
}

impl AdapterFormat for Peft {
    fn word(&self) -> &'static str {
        "peft"
    }

    fn read(&self, folder: &Path, base: &Base<'_>) -> Result<Adapter, FormatError> {
        let path = folder.join(CONFIG);
        let json = read_json(&path)?;
        let config = Config { json: &json, path: &path };
        let kind: Box<dyn PeftKind> = match config.text_needed("peft_type")? {
            "LORA" => Box::new(lora::Lora::of(config)?),
            "SHIRA" => Box::new(shira::Shira::of(config)?),
            other => {
                let asks = format!("peft_type: {other}");
                return Err(config.unsupported(&asks, "of PEFT's types Graft reads LORA and SHIRA"));
            }
        };
        let targets = Targets::read(config)?;
        let mut stock = Stock::open(folder, TENSORS, PICKLED)?.renamed(PREFIX, plain)?;
        let adapted = adapted(&stock, kind.parts());
        let modules = modules_for(base, &adapted);
        check(&adapted, kind.parts(), &targets, &modules, config, &stock)?;
        let mut items = Vec::new();
        for module in &adapted {
            let mut reading = Reading { base, modules: &modules, stock: &mut stock };
            items.push(kind.read(module, &mut reading)?);
        }
        let mut collector = Collector::default();
        collector.add(items);
        for (name, param) in &modules.params {
            if stock.names().any(|known| known == name) {
                collector.set(param.path.clone(), stock.take(name, &param.shape)?);
            }
        }
        let known: Vec<&str> = modules.params.keys().map(String::as_str).collect();
        stock.finish(&known)?;
        Ok(collector.finish())
    }

    fn write(&self, adapter: &Adapter, base: &Base<'_>, folder: &Path) -> Result<(), FormatError> {
        let trouble = |error: AdapterFileError| FormatError::Adapter { error, path: folder.to_path_buf() };
        if base.folder.is_none() {
            return Err(cannot(
                "adapters of a model that was not read from a folder",
                "whoever reads them has no base to put them on",
            ));
        }
        let modules = Modules::of(base, self.spelling);
        let mut writing =
            Writing { base, modules: &modules, left: adapter.tensors.clone(), out: BTreeMap::new() };
        let all: Vec<Placed> = placed(adapter, base.graph)
            .map_err(trouble)?
            .into_iter()
            // What it un-freezes stands among the tensors.
            .filter(|one| !matches!(one.spec, AdapterSpec::Unfreeze(_)))
            .collect();
        let mut config = match all.first().map(|one| &one.spec) {
            Some(AdapterSpec::Lora(_)) => lora::write(&all, &mut writing)?,
            Some(AdapterSpec::Sparse(_)) => shira::write(&all, &mut writing)?,
            Some(_) => return Err(other_kind(&all[0])),
            None => {
                return Err(cannot("base parameters alone", "its types of adapters all place something"));
            }
        };
        let targeted: BTreeSet<String> =
            all.iter().filter_map(|one| modules.name_of(&one.site)).map(str::to_owned).collect();
        let general = json!({
            "auto_mapping": null,
            "base_model_name_or_path": base.folder.map(|folder| folder.to_string_lossy()),
            "inference_mode": true,
            "revision": null,
            "target_modules": targeted,
            "task_type": null,
        });
        config.extend(general.as_object().cloned().unwrap_or_default());
        writing.base_parameters(&targeted, &mut config)?;
        std::fs::create_dir_all(folder)
            .map_err(|error| FormatError::Io { error, path: folder.to_path_buf() })?;
        let tensors =
            writing.out.into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)).collect();
        write_tensors(&tensors, &folder.join(TENSORS))?;
        write_json(&Json::Object(config), &folder.join(CONFIG))
    }
}

/// A tensor's name without what says only which of several adapters it is, and where PEFT put the module.
fn plain(name: &str) -> Option<String> {
    let name = name.strip_prefix(PREFIX)?;
    let mut segments: Vec<&str> = Vec::new();
    for segment in name.split('.') {
        let of_adapter = segments.last().is_some_and(|last| {
            *last == "modules_to_save" || last.starts_with("lora_") || last.starts_with("shira_")
        });
        if segment == "default" && of_adapter {
            continue;
        }
        segments.push(segment);
    }
    segments.retain(|segment| !matches!(*segment, "modules_to_save" | "base_layer"));
    let name = segments.join(".");
    // Older files have the parameter's own name behind the layer's.
    Some(
        name.strip_suffix("lora_magnitude_vector.weight")
            .map_or(name.clone(), |rest| format!("{rest}lora_magnitude_vector")),
    )
}

/// Modules that have a part of the kind.
fn adapted(stock: &Stock, parts: &[&str]) -> BTreeSet<String> {
    let module = |name: &str| {
        parts.iter().find_map(|part| name.strip_suffix(part)?.strip_suffix('.').map(str::to_owned))
    };
    stock.names().filter_map(module).collect()
}

/// The model's modules by the names that the file uses.
fn modules_for<'a>(base: &Base<'a>, adapted: &BTreeSet<String>) -> Modules<'a> {
    let old = Modules::of(base, Spelling::Checkpoint);
    let new = Modules::of(base, Spelling::Transformers5);
    let hits =
        |modules: &Modules<'_>| adapted.iter().filter(|name| modules.sites.contains_key(*name)).count();
    if hits(&new) > hits(&old) { new } else { old }
}

/// Holds the modules that have tensors against those that the description is about and those that the model has.
fn check(
    adapted: &BTreeSet<String>,
    parts: &[&str],
    targets: &Targets,
    modules: &Modules<'_>,
    config: Config<'_>,
    stock: &Stock,
) -> Result<(), FormatError> {
    let names: Vec<&str> = modules.sites.keys().map(String::as_str).collect();
    for module in adapted {
        let is_part = |name: &&str| parts.iter().any(|part| **name == format!("{module}.{part}"));
        let tensor = stock.names().find(is_part).unwrap_or(module);
        if !modules.sites.contains_key(module) {
            let near = nearest(module, &names, 2);
            let near: Vec<&str> = near.iter().map(String::as_str).collect();
            let why = format!(
                "is for a layer that the model does not have; the nearest it has: {}",
                or_none(&near)
            );
            return Err(stock.wrong(tensor, why));
        }
        if !targets.has(module) {
            let why = format!("is for a module that `target_modules` in {CONFIG} does not name");
            return Err(stock.wrong(tensor, why));
        }
    }
    let missing = modules.sites.keys().find(|name| targets.has(name) && !adapted.contains(*name));
    match missing {
        Some(module) if targets.is_complete() => {
            Err(config
                .wrong(format!("`target_modules` names `{module}`, for which {TENSORS} has no tensors")))
        }
        _ if adapted.is_empty() => Err(config.wrong(format!("{TENSORS} has no adapter's tensors"))),
        _ => Ok(()),
    }
}

/// The refusal of something that a PEFT file cannot hold.
fn cannot(what: &str, why: &str) -> FormatError {
    FormatError::Cannot { format: "PEFT", what: what.to_owned(), why: why.to_owned(), instead: ANY_KIND }
}

/// The refusal of a kind at its place.
fn other_kind(one: &Placed) -> FormatError {
    let instead = match one.spec {
        AdapterSpec::Bottleneck(_) | AdapterSpec::Phm(_) => {
            "`--format adapterhub` may, `--format graft` does"
        }
        _ => ANY_KIND,
    };
    let what = format!("{} at `{}`", one.spec.kind().name(), one.site);
    let why = "it has LoRA or SHiRA, one of them a file".to_owned();
    FormatError::Cannot { format: "PEFT", what, why, instead }
}

/// What the kinds write to.
struct Writing<'a> {
    base: &'a Base<'a>,
    modules: &'a Modules<'a>,
    /// Tensors of the adapter that are not written yet.
    left: BTreeMap<String, Tensor>,
    /// Tensors of the file, without the prefix.
    out: BTreeMap<String, Tensor>,
}

impl Writing<'_> {
    /// The module of a placed kind.
    fn module(&self, one: &Placed) -> Result<String, FormatError> {
        let what = || format!("{} at `{}`", one.spec.kind().name(), one.site);
        match self.modules.name_of(&one.site) {
            Some(name) => Ok(name.to_owned()),
            None if one.site.contains(".adapter_") => {
                Err(cannot(&what(), "it stands on another adapter's layer"))
            }
            None => {
                Err(cannot(&what(), "it stands on a part of a fused weight, and PEFT adapts whole modules"))
            }
        }
    }

    /// A value of a placed kind, which is then written.
    fn take(&mut self, one: &Placed, name: &str) -> Result<Tensor, FormatError> {
        let path = one.path(name);
        self.left.remove(&path).ok_or_else(|| FormatError::Config {
            why: format!("the adapter has no tensor `{path}`"),
            path: Path::new(TENSORS).to_path_buf(),
        })
    }

    /// Base parameters that changed: biases of adapted modules, and other modules in whole.
    fn base_parameters(
        &mut self,
        adapted: &BTreeSet<String>,
        config: &mut Map<String, Json>,
    ) -> Result<(), FormatError> {
        let (mut saved, mut biases) = (BTreeSet::new(), false);
        for path in self.left.keys() {
            let Some(name) = self.modules.param_name(path) else {
                return Err(cannot(
                    &format!("`{path}`"),
                    "it is neither LoRA's nor SHiRA's, and no base parameter",
                ));
            };
            let (module, last) = name.rsplit_once('.').unwrap_or(("", name));
            if adapted.contains(module) && last == "bias" && config.contains_key("bias") {
                biases = true;
            } else if adapted
                .iter()
                .any(|below| targets::is_or_ends(below, module) || below.starts_with(&format!("{module}.")))
            {
                let what = format!("the changed base parameter `{path}`");
                return Err(cannot(&what, "an adapter stands on its module, or below it"));
            } else {
                saved.insert(module.to_owned());
            }
        }
        // A module below another saved one is written with it.
        let inner = |name: &String| saved.iter().any(|other| name.starts_with(&format!("{other}.")));
        let saved: BTreeSet<String> = saved.iter().filter(|name| !inner(name)).cloned().collect();
        for (name, param) in &self.modules.params {
            let (module, last) = name.rsplit_once('.').unwrap_or(("", name));
            let in_saved = saved.iter().any(|other| name.starts_with(&format!("{other}.")));
            let is_bias = biases && adapted.contains(module) && last == "bias";
            if !in_saved && !is_bias {
                continue;
            }
            let value = self.left.get(&param.path).cloned().or_else(|| {
                let value = self.base.params.get(&param.path)?;
                Some(Tensor { shape: value.shape(), data: value.to_f32() })
            });
            let name = if is_bias { format!("{module}.base_layer.bias") } else { name.clone() };
            self.out.extend(value.map(|value| (name, value)));
        }
        if biases {
            config.insert("bias".to_owned(), json!("lora_only"));
        }
        let saved = if saved.is_empty() { Json::Null } else { json!(saved) };
        config.insert("modules_to_save".to_owned(), saved);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn both_spellings_of_a_name_are_one() {
        for (name, want) in [
            ("base_model.model.classifier.weight", "classifier.weight"),
            ("base_model.model.classifier.modules_to_save.default.weight", "classifier.weight"),
            ("base_model.model.a.query.lora_A.weight", "a.query.lora_A.weight"),
            ("base_model.model.a.query.lora_A.default.weight", "a.query.lora_A.weight"),
            ("base_model.model.a.query.lora_magnitude_vector", "a.query.lora_magnitude_vector"),
            (
                "base_model.model.a.query.lora_magnitude_vector.default.weight",
                "a.query.lora_magnitude_vector",
            ),
            ("base_model.model.a.query.base_layer.bias", "a.query.bias"),
            ("base_model.model.default.query.shira_weight.default", "default.query.shira_weight"),
        ] {
            assert_eq!(plain(name).as_deref(), Some(want), "{name}");
        }
        assert_eq!(plain("vit.encoder.layer.0.query.lora_A.weight"), None);
    }
}
