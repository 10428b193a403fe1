//! Well-known combinations of kinds, ready to be placed: what their papers put where. Learning rates and schedules are
//! the stage's.

use super::{
    Activation, AdapterSpec, Bottleneck, Lora, Mask, Phm, Placement, Prompt, Quantised, Reads, Scaling,
    Sparse, Split, Start, Unfreeze, What,
};

/// A named combination.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Where it is from, and what it places.
    pub description: &'static str,
    make: fn(&mut Parts),
}

/// Placements as they are listed; later ones may stand on the layers of earlier ones.
struct Parts {
    instance: String,
    first: usize,
    placements: Vec<Placement>,
}

impl Parts {
    /// Places a kind at a rule below the instance; gives its number in the project's list.
    fn at(&mut self, rule: &str, kind: AdapterSpec) -> usize {
        self.placements.push(Placement::new(&format!("{}.{rule}", self.instance), kind));
        self.first + self.placements.len() - 1
    }

    fn bottleneck(&mut self, rule: &str, kind: Bottleneck) -> usize {
        self.at(rule, AdapterSpec::Bottleneck(kind))
    }

    fn form(&mut self, rule: &str, number: usize, layers: &str, kind: AdapterSpec) {
        self.at(&format!("{rule}.adapter_{number}.{layers}"), kind);
    }

    fn norms(&mut self) {
        self.at("**.norm", AdapterSpec::Unfreeze(Unfreeze::default()));
    }
}

/// After both sub-layers, and after the feed-forward part.
const BOTH: &str = "**.{P1,P4}";
const FEED_FORWARD: &str = "**.P4";
/// Query and value of every attention.
const QUERY_VALUE: &str = "**.attention.{query,value}";

/// `AdaptFormer`'s bottleneck: parallel to the feed-forward part, from the un-normed input.
fn adaptformer(width: usize) -> Bottleneck {
    let (reads, activation) = (Reads::P2, Activation::Relu);
    let start = Start::Kaiming;
    Bottleneck { width, reads, activation, dropout: 0.1, scale: 0.1, start, ..Bottleneck::default() }
}

/// VLSM-Adapter's: an activation on either side, so that what is added is never negative.
fn vlsm(width: usize) -> Bottleneck {
    let (activation, start) = (Activation::Relu, Start::Torch);
    Bottleneck { width, activation, activate_after: true, start, ..Bottleneck::default() }
}

fn compacter(parts: &mut Parts, rule: &str) {
    let kind = Bottleneck { reduction: 32.0, activation: Activation::GeluTanh, ..Bottleneck::default() };
    let number = parts.bottleneck(rule, kind);
    let phm = Phm { n: 4, rank: 1, left_std: 1e-4 };
    parts.form(rule, number, "{down,up}", AdapterSpec::Phm(phm));
    parts.norms();
}

/// All presets, in the order of the palette.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "LoRA",
        description: "Hu et al., 2021: rank 8 beside query and value",
        make: |parts| {
            parts.at(QUERY_VALUE, AdapterSpec::Lora(Lora::default()));
        },
    },
    Preset {
        name: "Houlsby",
        description: "Houlsby et al., 2019: bottlenecks after attention and feed-forward part, reduction 16",
        make: |parts| {
            let start = Start::Houlsby;
            parts.bottleneck(BOTH, Bottleneck { reduction: 16.0, start, ..Bottleneck::default() });
        },
    },
    Preset {
        name: "Pfeiffer",
        description: "Pfeiffer et al., 2020: one bottleneck a block, after the feed-forward part, reduction 16",
        make: |parts| {
            let activation = Activation::Relu;
            parts.bottleneck(
                FEED_FORWARD,
                Bottleneck { reduction: 16.0, activation, ..Bottleneck::default() },
            );
        },
    },
    Preset {
        name: "Parallel",
        description: "He et al., 2022: parallel to the feed-forward part, reduction 2, scale 4",
        make: |parts| {
            let (reads, activation, scale) = (Reads::P3, Activation::Relu, 4.0);
            let kind = Bottleneck { reduction: 2.0, reads, activation, scale, ..Bottleneck::default() };
            parts.bottleneck(FEED_FORWARD, kind);
        },
    },
    Preset {
        name: "AdaptFormer",
        description: "Chen et al., 2022: parallel to the feed-forward part from its un-normed input, width 64",
        make: |parts| {
            parts.bottleneck(FEED_FORWARD, adaptformer(64));
        },
    },
    Preset {
        name: "Adapter+",
        description: "Steitz and Roth, 2024: behind each block, width 8, a learned scale a channel",
        make: |parts| {
            let (scaling, start) = (Scaling::PerChannel, Start::Houlsby);
            parts.bottleneck("**.P5", Bottleneck { width: 8, scaling, start, ..Bottleneck::default() });
        },
    },
    Preset {
        name: "VL-Adapter",
        description: "Sung et al., 2022: after every sub-layer, reduction 8; norms trained",
        make: |parts| {
            let rule = "**.{P1,P4,cross_attention.output}";
            let activation = Activation::GeluTanh;
            parts.bottleneck(rule, Bottleneck { reduction: 8.0, activation, ..Bottleneck::default() });
            parts.norms();
        },
    },
    Preset {
        name: "VLSM dense",
        description: "Dhakal et al., 2024, for CLIPSeg: width 64 in both towers' first nine blocks, 256 on the condition",
        make: |parts| {
            parts.bottleneck("{vision,text}.blocks.{0,1,2,3,4,5,6,7,8}.{P1,P4}", vlsm(64));
            parts.bottleneck("condition.text", vlsm(256));
        },
    },
    Preset {
        name: "VLSM shallow",
        description: "Dhakal et al., 2024, for CLIPSeg: width 512 on the extracted states and texts, 256 on the condition",
        make: |parts| {
            parts.bottleneck("*.{extracted,text}_*", vlsm(512));
            parts.bottleneck("condition.text", vlsm(256));
        },
    },
    Preset {
        name: "Compacter",
        description: "Mahabadi et al., 2021: Kronecker bottlenecks after both sub-layers; norms trained",
        make: |parts| compacter(parts, BOTH),
    },
    Preset {
        name: "Compacter++",
        description: "Mahabadi et al., 2021: Kronecker bottlenecks after the feed-forward part; norms trained",
        make: |parts| compacter(parts, FEED_FORWARD),
    },
    Preset {
        name: "MoSA",
        description: "Zhang et al., 2023: AdaptFormer with its up-projection in four parts",
        make: |parts| {
            let kind = Bottleneck { norm: true, activation: Activation::Gelu, ..adaptformer(64) };
            let number = parts.bottleneck(FEED_FORWARD, kind);
            parts.form(FEED_FORWARD, number, "up", AdapterSpec::Split(Split::default()));
        },
    },
    Preset {
        name: "Bi-AdaptFormer",
        description: "Jie et al., 2023: AdaptFormer of width 32 in one bit",
        make: |parts| {
            let kind = Bottleneck { bias: false, start: Start::Small, ..adaptformer(32) };
            let number = parts.bottleneck(FEED_FORWARD, kind);
            parts.form(FEED_FORWARD, number, "{down,up}", AdapterSpec::Quantised(Quantised::default()));
        },
    },
    Preset {
        name: "SHiRA",
        description: "Bhardwaj et al., 2024: one entry in a hundred of query, key and value, by gradient × weight",
        make: |parts| {
            let kind = Sparse { share: 0.01, mask: Mask::Snip, ..Sparse::default() };
            parts.at("**.attention.{query,key,value}", AdapterSpec::Sparse(kind));
        },
    },
    Preset {
        name: "BitFit",
        description: "Ben Zaken et al., 2022: every bias",
        make: |parts| {
            parts.at("**", AdapterSpec::Unfreeze(Unfreeze { what: What::Bias }));
        },
    },
    Preset { name: "Norms", description: "gain and shift of every norm", make: Parts::norms },
    Preset {
        name: "VPT shallow",
        description: "Jia et al., 2022: prompts before the first block",
        make: |parts| {
            parts.at("**.blocks.tokens", AdapterSpec::Prompt(Prompt::default()));
        },
    },
    Preset {
        name: "VPT deep",
        description: "Jia et al., 2022: prompts of its own in every block",
        make: |parts| {
            parts.at("**.blocks.*.tokens", AdapterSpec::Prompt(Prompt::default()));
        },
    },
    // The grid of Cappellazzo et al., 2024 (methods, section 13). Sequential ones have a residual around them; parallel
    // ones read the sub-layer's input, not normed ("before") or normed ("after"), and add to its output.
    Preset {
        name: "Attention, sequential, before",
        description: "on the attention's normed input",
        make: |parts| grid(parts, "**.attention.normed", Reads::Own),
    },
    Preset {
        name: "Attention, sequential, after",
        description: "on the attention's output",
        make: |parts| grid(parts, "**.P1", Reads::Own),
    },
    Preset {
        name: "Attention, parallel, before",
        description: "from the block's input to the attention's output",
        make: |parts| grid(parts, "**.P1", Reads::P0),
    },
    Preset {
        name: "Attention, parallel, after",
        description: "from the attention's normed input to its output",
        make: |parts| grid(parts, "**.P1", Reads::Normed),
    },
    Preset {
        name: "Feed-forward, sequential, before",
        description: "on the feed-forward part's normed input",
        make: |parts| grid(parts, "**.P3", Reads::Own),
    },
    Preset {
        name: "Feed-forward, sequential, after",
        description: "on the feed-forward part's output",
        make: |parts| grid(parts, "**.P4", Reads::Own),
    },
    Preset {
        name: "Feed-forward, parallel, before",
        description: "from the feed-forward part's un-normed input to its output",
        make: |parts| grid(parts, "**.P4", Reads::P2),
    },
    Preset {
        name: "Feed-forward, parallel, after",
        description: "from the feed-forward part's normed input to its output",
        make: |parts| grid(parts, "**.P4", Reads::P3),
    },
];

fn grid(parts: &mut Parts, rule: &str, reads: Reads) {
    parts.bottleneck(rule, Bottleneck { width: 64, reads, ..Bottleneck::default() });
}

impl Preset {
    /// The preset of this name, however it is capitalised.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(name))
    }

    /// Its placements on the model instance of this name, where `first` is the number that the first of them gets in
    /// the project's list.
    #[must_use]
    pub fn placements(&self, instance: &str, first: usize) -> Vec<Placement> {
        let mut parts = Parts { instance: instance.to_owned(), first, placements: Vec::new() };
        (self.make)(&mut parts);
        parts.placements
    }
}

#[cfg(test)]
mod tests {
    use super::PRESETS;
    use crate::graph::Rule;

    #[test]
    fn a_preset_for_every_sub_layer_reaches_cross_attention() {
        let preset = PRESETS.iter().find(|preset| preset.name == "VL-Adapter").unwrap();
        let rules: Vec<Rule> =
            preset.placements("model", 0).iter().map(|it| Rule::parse(&it.at).unwrap()).collect();
        for site in ["encoder.blocks.0.P1", "decoder.blocks.1.cross_attention.output", "decoder.blocks.1.P4"]
        {
            let path = format!("model.{site}");
            assert!(rules.iter().any(|rule| rule.matches(&path)), "{path}");
        }
    }
}
