//! Compacter's products (Mahabadi et al., 2021) in the place of a bottleneck's two projections. The library multiplies
//! from the right, `y = x·H`, `H = Σᵢ Aᵢ ⊗ (lᵢ·rᵢ)`; Graft's weight is `Hᵀ`, so each factor is transposed and the two
//! right ones change places.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::super::FormatError;
use super::super::format::{Config, Stock};
use super::super::placed::{Collector, Placed};
use super::blocks::Layout;
use super::{Place, cannot, taken};
use crate::adapters::{AdapterSpec, Bottleneck, Phm};
use crate::weights::Tensor;

/// What a description says of the products.
#[derive(Debug)]
pub(super) struct Products {
    /// Products a weight.
    pub n: usize,
    /// Rank of the right factors.
    pub rank: usize,
    /// Whether all weights share the left factors.
    pub shared: bool,
    /// Whether the projections have biases.
    pub bias: bool,
    /// Whether the left factors are stored as two of rank 1.
    factorised: bool,
}

impl Products {
    pub(super) fn read(config: Config<'_>) -> Result<Self, FormatError> {
        if config.switch("shared_W_phm")? {
            return Err(config.unsupported("shared_W_phm", ""));
        }
        if !config.switch_or("factorized_phm_W", true)? {
            return Err(config.unsupported("factorized_phm_W: false", "the right factors have a rank here"));
        }
        Ok(Self {
            n: config.whole("phm_dim")?.unwrap_or(4),
            rank: config.whole("phm_rank")?.unwrap_or(1),
            shared: config.switch_or("shared_phm_rule", true)?,
            bias: config.switch_or("phm_bias", true)?,
            factorised: config.switch("factorized_phm_rule")?,
        })
    }

    fn spec(&self) -> Phm {
        Phm { n: self.n, rank: self.rank, ..Phm::default() }
    }
}

/// Factors of one weight, in Graft's shapes.
#[derive(Debug)]
pub(super) struct Weight {
    s: Tensor,
    t: Tensor,
    /// Where it does not share them.
    left: Option<Tensor>,
}

/// Factors of the down- and up-projection.
pub(super) type Factors = [Weight; 2];

/// The last two axes exchanged, of `[n, a, b]`.
fn transposed(tensor: &Tensor) -> Tensor {
    let [n, a, b] = tensor.shape[..] else { return tensor.clone() };
    let data = (0..n * a * b).map(|at| tensor.data[at / (a * b) * a * b + at % a * b + at / a % b]).collect();
    Tensor { shape: vec![n, b, a], data }
}

/// Reads the factors of a weight from `features_in` to `features_out`.
pub(super) fn factors(
    products: &Products,
    module: &str,
    [features_in, features_out]: [usize; 2],
    stock: &mut Stock,
) -> Result<Weight, FormatError> {
    let (n, rank) = (products.n, products.rank);
    let name = |part: &str| format!("{module}.{part}");
    if n == 0 || !features_in.is_multiple_of(n) || !features_out.is_multiple_of(n) {
        let why =
            format!("cannot be: {n} products (`phm_dim`) do not divide {features_in} and {features_out}");
        return Err(stock.wrong(&name("W_left"), why));
    }
    let left = stock.take(&name("W_left"), &[n, features_in / n, rank])?;
    let right = stock.take(&name("W_right"), &[n, rank, features_out / n])?;
    let own = if products.shared { None } else { Some(rule(products, module, stock)?) };
    Ok(Weight { s: transposed(&right), t: transposed(&left), left: own })
}

/// Reads the left factors of a module.
pub(super) fn rule(products: &Products, module: &str, stock: &mut Stock) -> Result<Tensor, FormatError> {
    let n = products.n;
    if !products.factorised {
        return Ok(transposed(&stock.take(&format!("{module}.phm_rule"), &[n, n, n])?));
    }
    let rows = stock.take(&format!("{module}.phm_rule_left"), &[n, n, 1])?;
    let columns = stock.take(&format!("{module}.phm_rule_right"), &[n, 1, n])?;
    let product = |at: usize| rows.data[at / n] * columns.data[at / (n * n) * n + at % n];
    Ok(transposed(&Tensor { shape: vec![n; 3], data: (0..n * n * n).map(product).collect() }))
}

/// Places the products on the projections of bottlenecks that have been placed.
pub(super) fn place(
    products: &Products,
    shared: Option<Tensor>,
    weights: Vec<(String, Factors)>,
    numbers: &BTreeMap<String, usize>,
    instance: &str,
    collector: &mut Collector,
) {
    let spec = AdapterSpec::Phm(products.spec());
    let inner = weights.into_iter().flat_map(|(site, factors)| {
        let number = numbers.get(&site).copied().unwrap_or_default();
        ["down", "up"]
            .into_iter()
            .zip(factors)
            .map(move |(name, factors)| (format!("{site}.adapter_{number}.{name}"), factors))
    });
    let Some(left) = shared else {
        for (site, Weight { s, t, left }) in inner {
            let number = collector.place(&site, spec.clone());
            collector.set(format!("{site}.adapter_{number}.s"), s);
            collector.set(format!("{site}.adapter_{number}.t"), t);
            if let Some(left) = left {
                collector.set(format!("{instance}.shared.adapter_{number}.left"), left);
            }
        }
        return;
    };
    let below: BTreeSet<usize> = numbers.values().copied().collect();
    let below: Vec<String> = below.into_iter().map(|number| format!("adapter_{number}")).collect();
    let below = if let [one] = &below[..] { one.clone() } else { format!("{{{}}}", below.join(",")) };
    let rule = format!("{instance}.**.{below}.{{down,up}}");
    let number = collector.place(&rule, spec);
    for (site, Weight { s, t, .. }) in inner {
        collector.set(format!("{site}.adapter_{number}.s"), s);
        collector.set(format!("{site}.adapter_{number}.t"), t);
    }
    collector.set(format!("{instance}.shared.adapter_{number}.left"), left);
}

type Written = (Option<Phm>, BTreeMap<String, Tensor>);

/// Writes the products that stand on bottlenecks: all of them, or none.
pub(super) fn write(
    products: &[Placed],
    bottlenecks: &[(&Placed, Place<'_>, Bottleneck)],
    layout: &Layout,
    left: &mut BTreeMap<String, Tensor>,
) -> Result<Written, FormatError> {
    let mut out = BTreeMap::new();
    let Some(AdapterSpec::Phm(first)) = products.first().map(|one| &one.spec) else { return Ok((None, out)) };
    let (mut numbers, mut done) = (Vec::new(), 0);
    for one in products {
        let AdapterSpec::Phm(spec) = &one.spec else { continue };
        let what = format!("products at `{}`", one.site);
        if (spec.n, spec.rank) != (first.n, first.rank) {
            return Err(cannot(&what, "their number or rank is not that of the others"));
        }
        let at = bottlenecks.iter().find_map(|(below, place, bottleneck)| {
            let part = match &one.site {
                site if *site == below.path("down") => Place::down(bottleneck),
                site if *site == below.path("up") => "adapter_up",
                _ => return None,
            };
            Some(place.stored(part))
        });
        let at = at.ok_or_else(|| cannot(&what, "they do not stand on a bottleneck's projection"))?;
        let (s, t) = (taken(left, &one.path("s"))?, taken(left, &one.path("t"))?);
        out.insert(format!("{at}.W_left"), transposed(&t));
        out.insert(format!("{at}.W_right"), transposed(&s));
        if !numbers.contains(&one.number) {
            numbers.push(one.number);
        }
        done += 1;
    }
    if done != 2 * bottlenecks.len() {
        return Err(cannot("products on some projections", "it has them on all or none"));
    }
    let [number] = numbers[..] else {
        return Err(cannot("products of several placements", "one adapter shares its left factors"));
    };
    let rule = taken(left, &format!("{}.shared.adapter_{number}.left", layout.instance))?;
    out.insert(format!("{}.phm_rule", layout.shared(super::NAME)), transposed(&rule));
    Ok((Some(first.clone()), out))
}

/// The part of the description that is about products.
pub(super) fn describe(phm: Option<&Phm>, spec: &Bottleneck) -> Map<String, Json> {
    let defaults = Phm { n: 4, rank: 1, ..Phm::default() };
    let (n, rank) = phm.map_or((defaults.n, defaults.rank), |phm| (phm.n, phm.rank));
    let json = json!({
        "factorized_phm_W": true,
        "factorized_phm_rule": false,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "learn_phm": true,
        "phm_bias": spec.bias || phm.is_none(),
        "phm_c_init": "normal",
        "phm_dim": n,
        "phm_init_range": 0.0001,
        "phm_layer": phm.is_some(),
        "phm_rank": rank,
        "shared_W_phm": false,
        "shared_phm_rule": true,
    });
    json.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_axes_change_places() {
        let data: Vec<f32> = (0u8..12).map(f32::from).collect();
        let tensor = Tensor { shape: vec![2, 3, 2], data };
        let turned = transposed(&tensor);
        assert_eq!(turned.shape, [2, 2, 3]);
        assert_eq!(turned.data, [0., 2., 4., 1., 3., 5., 6., 8., 10., 7., 9., 11.]);
        assert_eq!(transposed(&turned), tensor);
    }
}
