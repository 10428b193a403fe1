//! Names and axes of Scenic's factorised video transformers (`scenic/projects/vivit/model.py`), as Graft's model has them.

use crate::tensor::{Shape, elements};

/// How an array becomes a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// As it is.
    AsIs,
    /// All axes as one.
    Flat,
    /// `[in, out]` to `[out, in]`.
    Linear,
    /// `[in, heads, width]` to `[heads · width, in]`.
    ToHeads,
    /// `[heads, width, out]` to `[out, heads · width]`.
    FromHeads,
    /// `[time, rows, columns, channels, out]` to `[out, channels, time, rows, columns]`.
    Tubelet,
}

impl Arrangement {
    /// The shape that the values are looked at in, and its axes in their new order; `None` where the array is no such one.
    pub(super) fn of(self, shape: &[usize]) -> Option<(Shape, Vec<usize>)> {
        Some(match (self, shape) {
            (Self::AsIs, _) => (shape.to_vec(), (0..shape.len()).collect()),
            (Self::Flat, _) => (vec![elements(shape)], vec![0]),
            (Self::Linear, [_, _]) => (shape.to_vec(), vec![1, 0]),
            (Self::ToHeads, [features, heads, width]) => (vec![*features, heads * width], vec![1, 0]),
            (Self::FromHeads, [heads, width, features]) => (vec![heads * width, *features], vec![1, 0]),
            (Self::Tubelet, [_, _, _, _, _]) => (shape.to_vec(), vec![4, 3, 0, 1, 2]),
            _ => return None,
        })
    }
}

/// Where a training state has the weights, in this order; optimisers have trees of the same names.
const ROOTS: [&str; 5] = ["params", "optimizer/target/params", "optimizer/target", "target", ""];
/// The two transformers, and what Graft's names of them begin with.
const TRANSFORMERS: [(&str, &str); 2] =
    [("SpatialTransformer", "spatial"), ("TemporalTransformer", "temporal")];

/// The tensors of a file by Graft's names, each with the path that it has there. In a tree that is not such a model's, and
/// what is no part of such a model, keeps its own name.
pub(super) fn names<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<(String, String, Arrangement)> {
    let paths: Vec<&str> = paths.collect();
    let below = |path: &'a str, root: &str| match root {
        "" => Some(path),
        root => path.strip_prefix(root)?.strip_prefix('/'),
    };
    let mark = TRANSFORMERS[0].0;
    let root = ROOTS.into_iter().find(|root| {
        paths.iter().any(|path| below(path, root).is_some_and(|rest| rest.split('/').next() == Some(mark)))
    });
    let Some(root) = root else {
        return paths
            .iter()
            .map(|path| (path.replace('/', "."), (*path).to_owned(), Arrangement::AsIs))
            .collect();
    };
    let named = paths.iter().filter_map(|path| {
        let rest = below(path, root)?;
        let (name, arrangement) = known(rest).unwrap_or_else(|| (rest.replace('/', "."), Arrangement::AsIs));
        Some((name, (*path).to_owned(), arrangement))
    });
    named.collect()
}

/// A name below the root.
fn known(path: &str) -> Option<(String, Arrangement)> {
    use Arrangement::{AsIs, Linear, Tubelet};
    let segments: Vec<&str> = path.split('/').collect();
    let fixed = |name: &str, arrangement| Some((name.to_owned(), arrangement));
    match segments[..] {
        ["embedding", "kernel"] => fixed("spatial.embeddings.patch_embeddings.projection.weight", Tubelet),
        ["embedding", "bias"] => fixed("spatial.embeddings.patch_embeddings.projection.bias", AsIs),
        ["output_projection", "kernel"] => fixed("classifier.weight", Linear),
        ["output_projection", "bias"] => fixed("classifier.bias", AsIs),
        [token] => {
            let of = token.strip_prefix("cls_")?;
            let (_, own) = TRANSFORMERS.into_iter().find(|(name, _)| *name == of)?;
            Some((format!("{own}.embeddings.cls_token"), AsIs))
        }
        [transformer, ref rest @ ..] => {
            let (_, own) = TRANSFORMERS.into_iter().find(|(name, _)| *name == transformer)?;
            let (name, arrangement) = inside(rest)?;
            Some((format!("{own}.{name}"), arrangement))
        }
        [] => None,
    }
}

/// A name inside a transformer.
fn inside(path: &[&str]) -> Option<(String, Arrangement)> {
    use Arrangement::{AsIs, Flat, FromHeads, Linear, ToHeads};
    let of_norm = |part: &str| match part {
        "scale" => Some("weight"),
        "bias" => Some("bias"),
        _ => None,
    };
    match *path {
        ["posembed_input", "pos_embedding"] => Some(("embeddings.position_embeddings".to_owned(), AsIs)),
        ["encoder_norm", part] => Some((format!("layernorm.{}", of_norm(part)?), AsIs)),
        [block, ref rest @ ..] => {
            let index: usize = block.strip_prefix("encoderblock_")?.parse().ok()?;
            let (name, arrangement) = match *rest {
                ["LayerNorm_0", part] => (format!("layernorm_before.{}", of_norm(part)?), AsIs),
                ["LayerNorm_1", part] => (format!("layernorm_after.{}", of_norm(part)?), AsIs),
                ["MultiHeadDotProductAttention_0", layer, part] => match (layer, part) {
                    ("out", "kernel") => ("attention.output.dense.weight".to_owned(), FromHeads),
                    ("out", "bias") => ("attention.output.dense.bias".to_owned(), AsIs),
                    ("query" | "key" | "value", "kernel") => {
                        (format!("attention.attention.{layer}.weight"), ToHeads)
                    }
                    ("query" | "key" | "value", "bias") => {
                        (format!("attention.attention.{layer}.bias"), Flat)
                    }
                    _ => return None,
                },
                ["MlpBlock_0", layer, part] => {
                    let layer = match layer {
                        "Dense_0" => "intermediate.dense",
                        "Dense_1" => "output.dense",
                        _ => return None,
                    };
                    match part {
                        "kernel" => (format!("{layer}.weight"), Linear),
                        "bias" => (format!("{layer}.bias"), AsIs),
                        _ => return None,
                    }
                }
                _ => return None,
            };
            Some((format!("encoder.layer.{index}.{name}"), arrangement))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_found_among_an_optimiser_s() {
        let query = "SpatialTransformer/encoderblock_3/MultiHeadDotProductAttention_0/query/kernel";
        let paths = [
            format!("optimizer/state/param_states/{query}/grad_ema"),
            format!("optimizer/target/{query}"),
            "optimizer/target/cls_TemporalTransformer".to_owned(),
            "optimizer/target/pre_logits/kernel".to_owned(),
            "global_step".to_owned(),
        ];
        let found = names(paths.iter().map(String::as_str));
        let names: Vec<(&str, Arrangement)> = found.iter().map(|(name, _, how)| (&**name, *how)).collect();
        assert_eq!(
            names,
            [
                ("spatial.encoder.layer.3.attention.attention.query.weight", Arrangement::ToHeads),
                ("temporal.embeddings.cls_token", Arrangement::AsIs),
                ("pre_logits.kernel", Arrangement::AsIs),
            ]
        );
        assert_eq!(found[0].1, paths[1]);
    }

    #[test]
    fn arrangements_want_their_axes() {
        assert_eq!(
            Arrangement::Tubelet.of(&[2, 4, 4, 3, 8]),
            Some((vec![2, 4, 4, 3, 8], vec![4, 3, 0, 1, 2]))
        );
        assert_eq!(Arrangement::ToHeads.of(&[12, 3, 4]), Some((vec![12, 12], vec![1, 0])));
        assert_eq!(Arrangement::FromHeads.of(&[3, 4, 9]), Some((vec![12, 9], vec![1, 0])));
        assert_eq!(Arrangement::Linear.of(&[3]), None);
    }
}
