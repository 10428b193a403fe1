//! Every kind in every variant that computes something else.

use graft_engine::adapters::{AdapterSpec, Bottleneck};

/// A kind with settings.
pub struct Subkind {
    /// What to call it: the word of project files and what is set.
    pub name: String,
    /// The settings.
    pub spec: AdapterSpec,
}

/// Settings that give variants, by the kind's word, as project files write them.
const VARIANTS: &[(&str, &[&str])] = &[
    (
        "Lora",
        &[
            "(rank: 2, rank_stabilised: true)",
            "(rank: 2, dora: true)",
            "(rank: 3, alpha: 5, dora: true, rank_stabilised: true)",
        ],
    ),
    (
        "Bottleneck",
        &[
            "(width: 4, reads: P2, activation: Relu, scale: 0.1, start: Kaiming)",
            "(width: 4, reads: P3)",
            "(width: 4, reads: Normed)",
            "(width: 4, reads: P0, norm: true)",
            "(width: 4, reads: AddNorm)",
            "(width: 4, norm: true, scaling: Learned, scale: 0.1)",
            "(reduction: 4, scaling: PerChannel, activation: Silu, start: Houlsby)",
            "(width: 4, activation: Relu, activate_after: true, start: Torch)",
            "(width: 4, activation: GeluTanh, bias: false, start: Small)",
        ],
    ),
    ("Bridge", &["(width: 4, form: Tokens)", "(width: 4, form: AttentionPool, scale: 0.5)"]),
    ("Convolution", &["(reduction: 8, depth: 2)"]),
    ("Conformer", &["(width: 4, kernel: 3)"]),
    (
        "Sparse",
        &[
            "(share: 0.1, mask: Snip)",
            "(share: 0.1, mask: Magnitude)",
            "(rank: 1, mask: Random, seed: 3)",
            "(share: 0.5, mask: Structured, strength: 0.5)",
        ],
    ),
    ("Phm", &["(n: 2, rank: 2)", "(n: 3)"]),
    ("Split", &["(parts: 3, merge: Mean, seed: 2)"]),
    ("Quantised", &["(bits: 2)", "(bits: 4)"]),
    ("Unfreeze", &["(what: Bias)"]),
];

/// All of them: each kind as it is placed by default, and its variants.
///
/// # Panics
/// When a variant above is none.
#[must_use]
pub fn kinds() -> Vec<Subkind> {
    let mut kinds = Vec::new();
    for spec in AdapterSpec::all() {
        let word = spec.word();
        let small = match spec {
            AdapterSpec::Bottleneck(_) => {
                AdapterSpec::Bottleneck(Bottleneck { width: 4, ..Bottleneck::default() })
            }
            other => other,
        };
        kinds.push(Subkind { name: word.to_owned(), spec: small });
        let variants = VARIANTS.iter().find(|(of, _)| *of == word).map_or(&[][..], |(_, variants)| variants);
        for variant in variants {
            let text = format!("{word}{variant}");
            let spec = super::written(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            kinds.push(Subkind { name: text, spec });
        }
    }
    kinds
}
