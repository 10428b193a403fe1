//! Putting an adapter into a model's weights and taking it out again, exactly: the old values are kept, not subtracted.
//! A sparse delta touches its own entries only; anything else replaces the whole weight.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;

use super::{Adapter, AdapterFileError};
use crate::graph::{Becomes, Graph, NodeId, NodeKind};
use crate::tensor::Value;
use crate::train::{MergeError, merge};
use crate::weights::{Params, Tensor};

/// What an adapter makes of the base's weights, ready to be put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// By path of the weight.
    pub weights: BTreeMap<String, Change>,
}

/// What becomes of one weight.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Some entries get other values, by flat place, ascending.
    Entries(Vec<(usize, f32)>),
    /// All of it is another tensor.
    Whole(Vec<f32>),
}

/// The values that an adapter displaced: what takes it out again.
#[derive(Clone, Debug, PartialEq)]
pub struct Displaced {
    weights: BTreeMap<String, Change>,
}

/// Why an adapter cannot be switched.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// It does not fit the model.
    #[error(transparent)]
    Adapter(#[from] AdapterFileError),
    /// It does not become part of weights.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl Delta {
    /// Of an adapter on a base model with its values.
    ///
    /// # Errors
    /// When the adapter does not fit the model, or stays beside it in inference.
    pub fn of(
        adapter: &Adapter,
        base: &Graph,
        params: &Params,
        device: &Device,
    ) -> Result<Self, SwitchError> {
        let graph = adapter.place(base)?;
        let mut params = params.clone();
        for node in graph.nodes() {
            if let NodeKind::Const(leaf) = &node.kind {
                params.set(&node.path, Value::from_f32(leaf.values.to_vec(), &leaf.shape, device));
            }
        }
        adapter.fill(&graph, &mut params, device)?;
        let placements: BTreeSet<usize> = adapter.placements.keys().copied().collect();
        let merged = merge(&graph, &params, &placements)?;
        let weights = merged
            .into_iter()
            .map(|(path, value)| {
                let new = value.to_f32();
                let old = params.get(&path).map_or_else(Vec::new, Value::to_f32);
                let change = if is_sparse(&graph, &path) {
                    let differs = |(_, (old, new)): &(usize, (&f32, &f32))| old.to_bits() != new.to_bits();
                    let entries = old.iter().zip(&new).enumerate().filter(differs);
                    Change::Entries(entries.map(|(place, (_, new))| (place, *new)).collect())
                } else {
                    Change::Whole(new)
                };
                (path, change)
            })
            .collect();
        Ok(Self { weights })
    }

    /// Puts it into weights, and gives what it displaced. Weights that are not there are left out.
    pub fn apply(&self, weights: &mut BTreeMap<String, Tensor>) -> Displaced {
        let displaced = self.weights.iter().filter_map(|(path, change)| {
            let tensor = weights.get_mut(path)?;
            Some((path.clone(), exchange(&mut tensor.data, change)))
        });
        Displaced { weights: displaced.collect() }
    }

    /// How many entries it changes.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.weights.values().map(Change::len).sum()
    }
}

impl Displaced {
    /// Puts back what was there, to the bit.
    pub fn restore(self, weights: &mut BTreeMap<String, Tensor>) {
        for (path, change) in self.weights {
            if let Some(tensor) = weights.get_mut(&path) {
                let _ = exchange(&mut tensor.data, &change);
            }
        }
    }
}

impl Change {
    fn len(&self) -> usize {
        match self {
            Self::Entries(entries) => entries.len(),
            Self::Whole(values) => values.len(),
        }
    }
}

fn exchange(data: &mut Vec<f32>, change: &Change) -> Change {
    match change {
        Change::Entries(entries) => Change::Entries(
            entries.iter().map(|&(place, new)| (place, std::mem::replace(&mut data[place], new))).collect(),
        ),
        Change::Whole(new) => Change::Whole(std::mem::replace(data, new.clone())),
    }
}

/// Whether all that is merged into a parameter are sums at some of its places.
fn is_sparse(graph: &Graph, path: &str) -> bool {
    let Some(param) = graph.find(path) else { return false };
    let last = graph.demands().endings.iter().rev().find_map(|ending| match ending.becomes {
        Becomes::Merged { param: of, value, .. } if of == param => Some(value),
        _ => None,
    });
    last.is_some_and(|value| reaches_sparsely(graph, value, param))
}

fn reaches_sparsely(graph: &Graph, value: NodeId, param: NodeId) -> bool {
    if value == param {
        return true;
    }
    let node = graph.node(value);
    match &node.kind {
        NodeKind::Op(op) if op.adds_at_places() => {
            node.inputs.first().is_some_and(|base| reaches_sparsely(graph, *base, param))
        }
        _ => false,
    }
}

/// How two adapters get in each other's way when both are put in (methods, section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interference {
    /// Share of the entries changed by either that both change.
    pub overlap: f64,
    /// Mean magnitude of the entries of `ΔA₁ᵀ·ΔA₂`, over all weights that both change.
    pub mean_product: f64,
    /// Share of those entries that are zero.
    pub zero_share: f64,
}

/// Compares what two adapters do to the weights of a base.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
pub fn interference(a: &Delta, b: &Delta, weights: &BTreeMap<String, Tensor>) -> Interference {
    let (mut both, mut either) = (0usize, 0usize);
    let (mut magnitude, mut zeros, mut products) = (0.0f64, 0usize, 0usize);
    let paths: BTreeSet<&String> = a.weights.keys().chain(b.weights.keys()).collect();
    for path in paths {
        let Some(base) = weights.get(path) else { continue };
        let [first, second] = [a, b].map(|delta| delta.weights.get(path).map(|change| dense(change, base)));
        let changed = |delta: &Option<Vec<f32>>, at: usize| delta.as_ref().is_some_and(|d| d[at] != 0.0);
        for at in 0..base.data.len() {
            let (one, two) = (changed(&first, at), changed(&second, at));
            both += usize::from(one && two);
            either += usize::from(one || two);
        }
        let (Some(first), Some(second), Some(&rows)) = (first, second, base.shape.first()) else { continue };
        let columns = base.data.len() / rows.max(1);
        let device = Device::flex();
        let matrix = |data: Vec<f32>| Value::from_f32(data, &[rows, columns], &device);
        let product = matrix(first).swap_axes(0, 1).matmul(matrix(second)).to_f32();
        magnitude += product.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        zeros += product.iter().filter(|x| **x == 0.0).count();
        products += product.len();
    }
    let share = |part: f64, of: usize| if of == 0 { 0.0 } else { part / of as f64 };
    Interference {
        overlap: share(both as f64, either),
        mean_product: share(magnitude, products),
        zero_share: share(zeros as f64, products),
    }
}

/// The difference to the base, dense.
fn dense(change: &Change, base: &Tensor) -> Vec<f32> {
    match change {
        Change::Entries(entries) => {
            let mut delta = vec![0.0; base.data.len()];
            for &(place, new) in entries {
                delta[place] = new - base.data[place];
            }
            delta
        }
        Change::Whole(new) => new.iter().zip(&base.data).map(|(new, old)| new - old).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> BTreeMap<String, Tensor> {
        let data = vec![0.1, -0.2, 0.3, 0.7, 1e-9, -5.0];
        BTreeMap::from([("w".to_owned(), Tensor { shape: vec![2, 3], data })])
    }

    fn delta(change: Change) -> Delta {
        Delta { weights: BTreeMap::from([("w".to_owned(), change)]) }
    }

    #[test]
    fn what_was_put_in_comes_out_to_the_bit() {
        let before = weights();
        for change in [Change::Entries(vec![(1, 4.0), (4, -1e9)]), Change::Whole(vec![1e7; 6])] {
            let mut now = before.clone();
            let displaced = delta(change).apply(&mut now);
            assert_ne!(now, before);
            displaced.restore(&mut now);
            assert_eq!(now, before);
        }
    }

    #[test]
    fn adapters_on_other_entries_do_not_meet() {
        let base = weights();
        // Rows 0 and 1: no column product of the two is other than zero.
        let (a, b) = (delta(Change::Entries(vec![(0, 1.0)])), delta(Change::Entries(vec![(4, 1.0)])));
        let apart = interference(&a, &b, &base);
        assert_eq!((apart.overlap, apart.mean_product, apart.zero_share), (0.0, 0.0, 1.0));
        let same = interference(&a, &a, &base);
        assert_eq!(same.overlap, 1.0);
        // One entry of nine, 0.9².
        assert!((same.mean_product - 0.81 / 9.0).abs() < 1e-6, "{same:?}");
        assert!((same.zero_share - 8.0 / 9.0).abs() < 1e-12);
    }
}
