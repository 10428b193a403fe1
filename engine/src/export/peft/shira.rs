//! `SHiRA` (Bhardwaj et al., 2024) as PEFT writes it: `shira_weight`, the values at `r·(in + out)` places of a linear
//! layer's weight, and `shira_indices [2, k]`, their rows and columns in row-major order. Where the places follow from
//! `random_seed` they may be left out.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value as Json, json};

use super::super::FormatError;
use super::super::format::Config;
use super::super::placed::{Item, Placed};
use super::{GENERAL, PeftKind, Reading, Writing, cannot, other_kind};
use crate::adapters::{AdapterSpec, Mask, Sparse};
use crate::graph::{Layer, SiteKind};
use crate::ops::rows_and_columns;
use crate::weights::Tensor;

const VALUES: &str = "shira_weight";
const PLACES: &str = "shira_indices";

/// A description of `SHiRA`.
#[derive(Debug)]
pub(super) struct Shira {
    rank: usize,
    /// Seed of the places, if they follow from one.
    seed: Option<u32>,
}

impl Shira {
    pub(super) fn of(config: Config<'_>) -> Result<Self, FormatError> {
        if config.switch("fan_in_fan_out")? {
            return Err(config.unsupported("fan_in_fan_out", "weights here are stored as [out, in]"));
        }
        config.only(&[GENERAL, &["init_weights", "mask_type", "r", "random_seed"]].concat())?;
        let seed = match config.whole("random_seed")? {
            Some(seed) if config.text("mask_type")?.unwrap_or("random") == "random" => {
                let wide = || config.unsupported("random_seed", "seeds here have 32 bits");
                Some(u32::try_from(seed).map_err(|_| wide())?)
            }
            _ => None,
        };
        Ok(Self { rank: config.whole_needed("r")?, seed })
    }
}

impl PeftKind for Shira {
    fn parts(&self) -> &'static [&'static str] {
        &[VALUES, PLACES]
    }

    fn read(&self, module: &str, reading: &mut Reading<'_>) -> Result<Item, FormatError> {
        let Some((site, weight)) = reading.modules.sites.get(module).zip(reading.modules.weight(module))
        else {
            unreachable!("modules were held against the model's")
        };
        let (values_name, places_name) = (format!("{module}.{VALUES}"), format!("{module}.{PLACES}"));
        let (&[rows, columns], SiteKind::Weight { layer: Layer::Linear, .. }) =
            (&weight.shape[..], &site.kind)
        else {
            let why = "is for a convolution; SHiRA is for linear layers".to_owned();
            return Err(reading.stock.wrong(&values_name, why));
        };
        let count = self.rank.checked_mul(rows + columns).filter(|count| *count <= rows * columns);
        let Some(count) = count else {
            let why = format!("cannot have r = {} on a weight of {rows} × {columns}", self.rank);
            return Err(reading.stock.wrong(&values_name, why));
        };
        let values = reading.stock.take(&values_name, &[count])?;
        let stored = match reading.stock.find(&places_name) {
            Some(places) => Some(places),
            None => integers(reading.stock.path(), &places_name)?,
        };
        if let Some(places) = &stored {
            reading.stock.shaped(&places_name, &places.shape, &[2, count])?;
            let outside = places.data.iter().enumerate().any(|(at, &place)| {
                let extent = if at < count { rows } else { columns };
                #[expect(clippy::cast_precision_loss, reason = "sides of a weight are small")]
                let inside = place >= 0.0 && place < extent as f32 && place.fract() == 0.0;
                !inside
            });
            if outside {
                let why = format!("has a place outside the weight of {rows} × {columns}");
                return Err(reading.stock.wrong(&places_name, why));
            }
        }
        let sparse = |mask, seed| Sparse { rank: self.rank, mask, seed, ..Sparse::default() };
        let mut tensors = vec![("values", values)];
        let drawn = self.seed.map(|seed| sparse(Mask::Random, seed));
        let fits = |spec: &Sparse| match (&stored, spec.fixed_places([rows, columns])) {
            (Some(stored), Some(places)) => stored.data == rows_and_columns(&places, columns),
            _ => true,
        };
        let spec = match (drawn.filter(fits), stored) {
            (Some(spec), _) => spec,
            // Places of another origin are kept as those that were measured.
            (None, Some(places)) => {
                tensors.push(("places", places));
                sparse(Mask::Gradient, 0)
            }
            (None, None) => {
                let why = "has no places: neither `random_seed` nor `shira_indices` says where its values go"
                    .to_owned();
                return Err(reading.stock.wrong(&values_name, why));
            }
        };
        Ok(Item { site: site.path.clone(), spec: AdapterSpec::Sparse(spec), tensors })
    }
}

/// A tensor of 32- or 64-bit integers, which are small enough for f32, if it is there. Names in the file have what
/// [`super::plain`] takes away.
#[expect(clippy::cast_precision_loss, reason = "rows and columns of a weight")]
fn integers(path: &Path, name: &str) -> Result<Option<Tensor>, FormatError> {
    // Files of `torch.save` are read by what has a seed only.
    if path.extension().is_none_or(|ending| ending != "safetensors") {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| FormatError::Io { error, path: path.to_path_buf() })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| FormatError::Config { why: error.to_string(), path: path.to_path_buf() })?;
    let found = file.tensors().into_iter().find(|(stored, _)| super::plain(stored).as_deref() == Some(name));
    Ok(found.and_then(|(_, view)| {
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::I32 => bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect(),
            Dtype::I64 => bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
            _ => return None,
        };
        Some(Tensor { shape: view.shape().to_vec(), data })
    }))
}

/// Writes a sparse delta at each place, and gives the description.
pub(super) fn write(all: &[Placed], writing: &mut Writing<'_>) -> Result<Map<String, Json>, FormatError> {
    let mut common: Option<(usize, Option<u32>)> = None;
    let mut modules: Vec<String> = Vec::new();
    for one in all {
        let AdapterSpec::Sparse(sparse) = &one.spec else { return Err(other_kind(one)) };
        let what = || format!("a sparse delta at `{}`", one.site);
        let module = writing.module(one)?;
        if modules.contains(&module) {
            return Err(cannot(&what(), "another is on the same module"));
        }
        let shape = writing.modules.weight(&module).map(|param| param.shape.clone()).unwrap_or_default();
        let &[rows, columns] = &shape[..] else {
            return Err(cannot(&what(), "SHiRA is for linear layers"));
        };
        let mut values = writing.take(one, "values")?;
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let strength = sparse.strength as f32;
        values.data.iter_mut().for_each(|value| *value *= strength);
        let count = values.data.len();
        if count == 0 || !count.is_multiple_of(rows + columns) {
            let why = format!("it has {count} values, and SHiRA has a multiple of {} there", rows + columns);
            return Err(cannot(&what(), &why));
        }
        let seed = (sparse.mask == Mask::Random).then_some(sparse.seed);
        let own = (count / (rows + columns), seed);
        if *common.get_or_insert(own) != own {
            return Err(cannot(&what(), "its rank, mask or seed is not that of the others"));
        }
        if seed.is_none() {
            let places = match sparse.fixed_places([rows, columns]) {
                Some(places) => Tensor { shape: vec![2, count], data: rows_and_columns(&places, columns) },
                None => writing.take(one, "places")?,
            };
            // PEFT takes whole numbers of any type.
            writing.out.insert(format!("{module}.{PLACES}"), places);
        }
        writing.out.insert(format!("{module}.{VALUES}"), values);
        modules.push(module);
    }
    let (rank, seed) = common.unwrap_or((0, None));
    let json = json!({
        "peft_type": "SHIRA",
        "r": rank,
        "mask_type": if seed.is_some() { "random" } else { "stored" },
        "random_seed": seed,
        "fan_in_fan_out": false,
        "init_weights": true,
    });
    Ok(json.as_object().cloned().unwrap_or_default())
}
