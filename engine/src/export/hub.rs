//! AdapterHub's layout (the `adapters` library): `adapter_config.json`, `adapter.safetensors`, and the head apart in
//! `head_config.json` and `model_head.safetensors`. Of its architectures bottlenecks, also with Compacter's products.

mod blocks;
mod compacter;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::format::{ANY_KIND, Config, Stock, read_json, write_json};
use super::modules::{Modules, Spelling, model_type};
use super::placed::{Collector, Item, Placed, placed};
use super::{Adapter, AdapterFileError, AdapterFormat, Base, FormatError};
use crate::adapters::{AdapterSpec, Bottleneck, Phm, Scaling};
use crate::weights::{Tensor, write_tensors};
use blocks::{Block, Layout};
use settings::{Settings, reduction_for};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter.safetensors";
const PICKLED: &str = "pytorch_adapter.bin";
const HEAD_CONFIG: &str = "head_config.json";
const HEAD_TENSORS: &str = "model_head.safetensors";
const HEAD_PICKLED: &str = "pytorch_model_head.bin";
/// Of the library whose keys and names these are.
const VERSION: &str = "adapters.1.3.0";
/// The name that written adapters have.
const NAME: &str = "graft";

/// AdapterHub's files.
#[derive(Clone, Copy, Debug)]
pub struct AdapterHub;

impl AdapterFormat for AdapterHub {
    fn word(&self) -> &'static str {
        "adapterhub"
    }

    fn read(&self, folder: &Path, base: &Base<'_>) -> Result<Adapter, FormatError> {
        let path = folder.join(CONFIG);
        let json = read_json(&path)?;
        let config = Config { json: &json, path: &path };
        let layout = Layout::of(base).map_err(|why| config.wrong(why))?;
        let kind = config.text_needed("model_type")?;
        if kind != model_type(base) {
            let ours = model_type(base);
            return Err(
                config.wrong(format!("the adapter is for a model of type `{kind}`, this one is `{ours}`"))
            );
        }
        let name = config.text_needed("name")?;
        let has_version = config.get("version").is_some();
        let inner = config.get("config").cloned().unwrap_or_default();
        let settings = Settings::read(Config { json: &inner, path: &path }, layout.post_norm, has_version)?;
        let mut stock =
            Stock::open(folder, TENSORS, PICKLED)?.renamed("", |name| Some(layout.rooted(name)))?;
        let (mut items, mut products) = (Vec::new(), Vec::new());
        for block in layout.blocks.iter().filter(|block| !settings.left_out.contains(&block.index)) {
            for attention in settings.sub_layers() {
                let place = Place { layout: &layout, block, name, attention };
                let spec = settings.at(block.index, attention, layout.width)?;
                let (tensors, factors) = place.read(&settings, &spec, &mut stock)?;
                let site = block.site(settings.place.at(attention).0);
                products.extend(factors.map(|factors| (site.clone(), factors)));
                items.push(Item { site, spec: AdapterSpec::Bottleneck(spec), tensors });
            }
        }
        if items.is_empty() {
            return Err(config.wrong("it places nothing: no layer has an adapter".to_owned()));
        }
        let mut collector = Collector::default();
        let numbers = collector.add(items);
        if let Some(phm) = &settings.products {
            let shared = match &phm.shared {
                false => None,
                true => Some(compacter::rule(phm, &layout.shared(name), &mut stock)?),
            };
            compacter::place(phm, shared, products, &numbers, &layout.instance, &mut collector);
        }
        let names: Vec<String> = layout.blocks.iter().map(|block| format!("{}.", block.stored)).collect();
        stock.finish(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        read_head(folder, base, &mut collector)?;
        Ok(collector.finish())
    }

    fn write(&self, adapter: &Adapter, base: &Base<'_>, folder: &Path) -> Result<(), FormatError> {
        if base.folder.is_none() {
            return Err(cannot(
                "adapters of a model that was not read from a folder",
                "whoever reads them has no base to put them on",
            ));
        }
        let layout = Layout::of(base).map_err(|why| cannot("adapters of this model", &why))?;
        let all: Vec<Placed> = placed(adapter, base.graph)
            .map_err(|error: AdapterFileError| FormatError::Adapter { error, path: folder.to_path_buf() })?
            .into_iter()
            .filter(|one| !matches!(one.spec, AdapterSpec::Unfreeze(_)))
            .collect();
        let mut left = adapter.tensors.clone();
        let (bottlenecks, products): (Vec<Placed>, Vec<Placed>) =
            all.into_iter().partition(|one| !matches!(one.spec, AdapterSpec::Phm(_)));
        let found = Found::of(&bottlenecks, &layout)?;
        let (phm, rules) = compacter::write(&products, &found.at, &layout, &mut left)?;
        let mut out = rules;
        for (one, place, spec) in &found.at {
            place.write(one, spec, phm.as_ref(), &mut left, &mut out)?;
        }
        write_head(base, &layout, left, folder)?;
        write_tensors(&out, &folder.join(TENSORS))?;
        let config = json!({
            "config": found.describe(&layout, phm.as_ref()),
            "hidden_size": layout.width,
            "model_class": class(base),
            "model_name": base.folder.map(|folder| folder.to_string_lossy()),
            "model_type": model_type(base),
            "name": NAME,
            "version": VERSION,
        });
        write_json(&config, &folder.join(CONFIG))
    }
}

/// The refusal of something that AdapterHub's files cannot hold.
fn cannot(what: &str, why: &str) -> FormatError {
    FormatError::Cannot {
        format: "AdapterHub",
        what: what.to_owned(),
        why: why.to_owned(),
        instead: ANY_KIND,
    }
}

/// The class of the model in `transformers`.
fn class<'a>(base: &Base<'a>) -> Option<&'a str> {
    base.config.get("architectures")?.get(0)?.as_str()
}

/// One bottleneck's place in the file.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    layout: &'a Layout,
    block: &'a Block,
    name: &'a str,
    attention: bool,
}

/// Values of a bottleneck by their names below it, and the factors of its products.
type Read = (Vec<(&'static str, Tensor)>, Option<compacter::Factors>);

impl Place<'_> {
    fn stored(&self, part: &str) -> String {
        format!("{}.adapters.{}.{part}", self.layout.module(self.block, self.attention), self.name)
    }

    /// The down-projection stands behind a norm of its own in one list.
    fn down(spec: &Bottleneck) -> &'static str {
        if spec.norm { "adapter_down.1" } else { "adapter_down.0" }
    }

    fn read(&self, settings: &Settings, spec: &Bottleneck, stock: &mut Stock) -> Result<Read, FormatError> {
        let (features, width) = (self.layout.width, spec.width);
        let mut tensors = Vec::new();
        let mut take = |stock: &mut Stock, to: &'static str, part: &str, shape: &[usize]| {
            let tensor = stock.take(&self.stored(part), shape)?;
            tensors.push((to, tensor));
            Ok::<(), FormatError>(())
        };
        if spec.norm {
            // The same two parameters stand there by two names.
            for (to, part) in [("norm.weight", "weight"), ("norm.bias", "bias")] {
                take(stock, to, &format!("adapter_norm_before.{part}"), &[features])?;
                stock.find(&self.stored(&format!("adapter_down.0.{part}")));
            }
        }
        match spec.scaling {
            Scaling::Fixed => {}
            Scaling::Learned => take(stock, "scale.weight", "scaling", &[1])?,
            Scaling::PerChannel => take(stock, "scale.weight", "scaling", &[features])?,
        }
        let down = Self::down(spec);
        let factors = match &settings.products {
            None => {
                take(stock, "down.weight", &format!("{down}.weight"), &[width, features])?;
                take(stock, "down.bias", &format!("{down}.bias"), &[width])?;
                take(stock, "up.weight", "adapter_up.weight", &[features, width])?;
                take(stock, "up.bias", "adapter_up.bias", &[features])?;
                None
            }
            Some(phm) => {
                if spec.bias {
                    take(stock, "down.bias", &format!("{down}.b"), &[width])?;
                    take(stock, "up.bias", "adapter_up.b", &[features])?;
                }
                let down = compacter::factors(phm, &self.stored(down), [features, width], stock)?;
                let up = compacter::factors(phm, &self.stored("adapter_up"), [width, features], stock)?;
                Some([down, up])
            }
        };
        Ok((tensors, factors))
    }

    fn write(
        &self,
        one: &Placed,
        spec: &Bottleneck,
        phm: Option<&Phm>,
        left: &mut BTreeMap<String, Tensor>,
        out: &mut BTreeMap<String, Tensor>,
    ) -> Result<(), FormatError> {
        let mut put = |from: &str, part: &str| {
            let tensor = taken(left, &one.path(from))?;
            out.insert(self.stored(part), tensor);
            Ok::<(), FormatError>(())
        };
        if spec.norm {
            for part in ["weight", "bias"] {
                put(&format!("norm.{part}"), &format!("adapter_norm_before.{part}"))?;
            }
        }
        if spec.scaling != Scaling::Fixed {
            put("scale.weight", "scaling")?;
        }
        let down = Self::down(spec);
        let bias = if phm.is_some() { "b" } else { "bias" };
        if phm.is_none() {
            put("down.weight", &format!("{down}.weight"))?;
            put("up.weight", "adapter_up.weight")?;
        }
        if spec.bias {
            put("down.bias", &format!("{down}.{bias}"))?;
            put("up.bias", &format!("adapter_up.{bias}"))?;
        } else if phm.is_none() {
            // Its layers always have biases.
            for (part, width) in [(down, spec.width), ("adapter_up", self.layout.width)] {
                let zeros = Tensor { shape: vec![width], data: vec![0.0; width] };
                out.insert(self.stored(&format!("{part}.bias")), zeros);
            }
        }
        if spec.norm {
            for part in ["weight", "bias"] {
                let copy = out.get(&self.stored(&format!("adapter_norm_before.{part}"))).cloned();
                out.extend(copy.map(|copy| (self.stored(&format!("adapter_down.0.{part}")), copy)));
            }
        }
        Ok(())
    }
}

fn taken(left: &mut BTreeMap<String, Tensor>, path: &str) -> Result<Tensor, FormatError> {
    left.remove(path).ok_or_else(|| FormatError::Config {
        why: format!("the adapter has no tensor `{path}`"),
        path: Path::new(TENSORS).to_path_buf(),
    })
}

/// Bottlenecks of an adapter that one description covers.
struct Found<'a> {
    /// Each with its place and settings, its width among them.
    at: Vec<(&'a Placed, Place<'a>, Bottleneck)>,
    place: settings::Place,
    /// Sub-layers that have them.
    attention: bool,
    output: bool,
    /// Width by block.
    widths: BTreeMap<usize, usize>,
}

impl<'a> Found<'a> {
    fn of(all: &'a [Placed], layout: &'a Layout) -> Result<Self, FormatError> {
        let mut found = Self {
            at: Vec::new(),
            place: settings::Place::Before,
            attention: false,
            output: false,
            widths: BTreeMap::new(),
        };
        let mut covered: BTreeSet<(usize, bool)> = BTreeSet::new();
        for one in all {
            let what = format!("{} at `{}`", one.spec.kind().name(), one.site);
            let AdapterSpec::Bottleneck(spec) = &one.spec else {
                let instead = match one.spec {
                    AdapterSpec::Lora(_) => "`--format peft` may, `--format graft` does",
                    _ => ANY_KIND,
                };
                let why = "it has bottlenecks, plain or with Compacter's products".to_owned();
                return Err(FormatError::Cannot { format: "AdapterHub", what, why, instead });
            };
            let site = layout.blocks.iter().find_map(|block| {
                let port = one.site.strip_prefix(&block.region)?.strip_prefix('.')?;
                settings::Place::ALL.into_iter().find_map(|place| {
                    [true, false].into_iter().find_map(|attention| {
                        let (at, reads) = place.at(attention);
                        let own = at.name() == port && place.reads(spec.reads, attention, reads);
                        own.then_some((block, place, attention))
                    })
                })
            });
            let Some((block, place, attention)) = site else {
                let why = "it has them at P1 and P4, or at P2 and P5, or at P1 and P4 reading P0 and P2 or what add and norm make of them";
                return Err(cannot(&what, why));
            };
            let width = if spec.reduction > 0.0 { width_at(one, layout.width) } else { spec.width };
            let spec = Bottleneck { width, reduction: 0.0, ..spec.clone() };
            if spec.activate_after {
                return Err(cannot(&what, "its activation behind the up-projection is unknown there"));
            }
            if let Some((_, _, first)) = found.at.first()
                && (place != found.place
                    || Bottleneck { width, reads: first.reads, ..first.clone() }
                        != Bottleneck { reads: first.reads, ..spec.clone() })
            {
                return Err(cannot(&what, "its settings or port are not those of the others"));
            }
            if *found.widths.entry(block.index).or_insert(width) != width {
                return Err(cannot(&what, "its width is not that of the block's other one"));
            }
            if !covered.insert((block.index, attention)) {
                return Err(cannot(&what, "another is at the same port"));
            }
            found.place = place;
            found.attention |= attention;
            found.output |= !attention;
            found.at.push((one, Place { layout, block, name: NAME, attention }, spec));
        }
        if found.at.is_empty() {
            return Err(cannot("an adapter without bottlenecks", "it has nothing else"));
        }
        let uneven = found.widths.keys().find(|&&block| {
            [(true, found.attention), (false, found.output)]
                .into_iter()
                .any(|(attention, wanted)| wanted && !covered.contains(&(block, attention)))
        });
        match uneven {
            None => Ok(found),
            Some(block) => Err(cannot(
                &format!("bottlenecks at one port of block {block} only"),
                "all blocks that have any have them at the same ports",
            )),
        }
    }

    /// The inner description.
    fn describe(&self, layout: &Layout, phm: Option<&Phm>) -> Json {
        let mut widths: Vec<usize> = self.widths.values().copied().collect();
        widths.dedup();
        let reduction = if let [one] = widths[..] {
            reduction_for(layout.width, one)
        } else {
            let each = self.widths.iter();
            Json::Object(
                each.map(|(block, width)| (block.to_string(), reduction_for(layout.width, *width))).collect(),
            )
        };
        let without = layout.blocks.iter().map(|block| block.index);
        let left_out: Vec<usize> = without.filter(|index| !self.widths.contains_key(index)).collect();
        let spec = self.at.first().map(|(_, _, spec)| spec.clone()).unwrap_or_default();
        let mut json: Map<String, Json> = settings::describe(&spec, self.place, layout.post_norm);
        let more = json!({
            "mh_adapter": self.attention,
            "output_adapter": self.output,
            "reduction_factor": reduction,
            "leave_out": left_out,
        });
        json.extend(more.as_object().cloned().unwrap_or_default());
        json.extend(compacter::describe(phm, &spec));
        Json::Object(json)
    }
}

/// The width that a reduction gives at a place.
fn width_at(one: &Placed, features: usize) -> usize {
    match &one.spec {
        AdapterSpec::Bottleneck(spec) => spec.width_for(features),
        _ => 0,
    }
}

/// The head's values, if the folder has them.
fn read_head(folder: &Path, base: &Base<'_>, collector: &mut Collector) -> Result<(), FormatError> {
    if !folder.join(HEAD_TENSORS).is_file() && !folder.join(HEAD_PICKLED).is_file() {
        return Ok(());
    }
    let path = folder.join(HEAD_CONFIG);
    if path.is_file() {
        let json = read_json(&path)?;
        let found = Config { json: &json, path: &path }.text("model_class")?;
        if let (Some(found), Some(own)) = (found, class(base))
            && found != own
        {
            let why = format!("the head is of a `{found}`, this model is a `{own}`");
            return Err(FormatError::Config { why, path });
        }
    }
    let modules = Modules::of(base, Spelling::Checkpoint);
    let mut stock = Stock::open(folder, HEAD_TENSORS, HEAD_PICKLED)?;
    for (name, param) in &modules.params {
        if stock.names().any(|known| known == name) {
            collector.set(param.path.clone(), stock.take(name, &param.shape)?);
        }
    }
    stock.finish(&modules.params.keys().map(String::as_str).collect::<Vec<_>>())
}

/// Writes everything of the model that is not in its trunk; what is left over besides has no place.
fn write_head(
    base: &Base<'_>,
    layout: &Layout,
    mut left: BTreeMap<String, Tensor>,
    folder: &Path,
) -> Result<(), FormatError> {
    let modules = Modules::of(base, Spelling::Checkpoint);
    let mut head = BTreeMap::new();
    for (name, param) in modules.params.iter().filter(|(name, _)| !layout.in_trunk(name)) {
        let own = base.params.get(&param.path);
        let value =
            left.remove(&param.path).or_else(|| own.map(|v| Tensor { shape: v.shape(), data: v.to_f32() }));
        head.extend(value.map(|value| (name.clone(), value)));
    }
    if let Some(path) = left.keys().next() {
        return Err(cannot(&format!("`{path}`"), "beside bottlenecks it has the head only"));
    }
    std::fs::create_dir_all(folder).map_err(|error| FormatError::Io { error, path: folder.to_path_buf() })?;
    if head.is_empty() {
        return Ok(());
    }
    let labels = base.config.get("label2id").cloned().unwrap_or(Json::Null);
    let config = json!({
        "config": null,
        "hidden_size": layout.width,
        "label2id": labels,
        "model_class": class(base),
        "model_name": base.folder.map(|folder| folder.to_string_lossy()),
        "model_type": model_type(base),
        "name": null,
        "num_labels": labels.as_object().map(Map::len),
        "version": VERSION,
    });
    write_tensors(&head, &folder.join(HEAD_TENSORS))?;
    write_json(&config, &folder.join(HEAD_CONFIG))
}
