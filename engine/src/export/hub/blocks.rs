//! Where the library has its bottlenecks in a model, by the model's type.

use super::super::Base;
use super::super::modules::model_type;
use crate::graph::{Port, RegionKind, is_below};

/// What is known of a type of models.
struct Known {
    model_type: &'static str,
    /// Module of the attention's bottleneck, below the layer.
    attention: &'static str,
    /// Module of the feed-forward part's.
    output: &'static str,
    /// Whether a norm follows each residual add.
    post_norm: bool,
}

/// One line a type (`adapters/models/*/mixin_*.py`).
const KNOWN: [Known; 2] = [
    Known {
        model_type: "vit",
        attention: "attention_adapters",
        output: "output.output_adapters",
        post_norm: false,
    },
    Known { model_type: "bert", attention: "attention.output", output: "output", post_norm: true },
];

/// A transformer block of the model.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its number among the model's layers.
    pub index: usize,
    /// Its region's path.
    pub region: String,
    /// What its parameters' stored names begin with: `vit.encoder.layer.0`.
    pub stored: String,
}

impl Block {
    /// The path of a port.
    pub(super) fn site(&self, port: Port) -> String {
        format!("{}.{}", self.region, port.name())
    }
}

/// A model's blocks by the library's names.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// In their order.
    pub blocks: Vec<Block>,
    /// Width of a token.
    pub width: usize,
    /// Whether a norm follows each residual add.
    pub post_norm: bool,
    /// First segment of all logical paths.
    pub instance: String,
    /// What the trunk's stored names begin with: `vit.`, or nothing.
    root: String,
    model_type: String,
    attention: &'static str,
    output: &'static str,
}

impl Layout {
    /// The layout of a model.
    ///
    /// # Errors
    /// When the library's names are not known for it.
    pub(super) fn of(base: &Base<'_>) -> Result<Self, String> {
        let kind = model_type(base);
        let Some(known) = KNOWN.iter().find(|known| known.model_type == kind) else {
            let types = KNOWN.map(|known| known.model_type).join(", ");
            return Err(format!("AdapterHub's names are known for models of type {types}, not for `{kind}`"));
        };
        let mut blocks = Vec::new();
        for region in base.graph.regions().iter().filter(|region| region.kind == RegionKind::Block) {
            let names: Vec<&str> = base
                .graph
                .params()
                .filter(|(_, path, leaf)| leaf.placement.is_none() && is_below(path, &region.path))
                .map(|(_, _, leaf)| leaf.stored.as_str())
                .collect();
            let stored = common(&names);
            let index = stored.rsplit('.').find_map(|segment| segment.parse().ok()).unwrap_or(blocks.len());
            blocks.push(Block { index, region: region.path.clone(), stored });
        }
        let first = blocks.first().ok_or("the model has no blocks")?;
        let width = base.graph.site(&first.site(Port::P4)).map(|site| site.width);
        let root = first.stored.find("encoder.").map_or("", |at| &first.stored[..at]).to_owned();
        Ok(Self {
            width: width.ok_or("the model's blocks have no port P4")?,
            instance: first.region.split('.').next().unwrap_or_default().to_owned(),
            root,
            model_type: kind.to_owned(),
            post_norm: known.post_norm,
            attention: known.attention,
            output: known.output,
            blocks,
        })
    }

    /// The module that has a block's bottleneck.
    pub(super) fn module(&self, block: &Block, attention: bool) -> String {
        format!("{}.{}", block.stored, if attention { self.attention } else { self.output })
    }

    /// What all layers of an adapter share.
    pub(super) fn shared(&self, name: &str) -> String {
        format!("{}shared_parameters.{name}", self.root)
    }

    /// A stored name as this model has it: files of a trunk alone have no prefix, those of a model with a head do.
    pub(super) fn rooted(&self, name: &str) -> String {
        let bare = name.strip_prefix(&format!("{}.", self.model_type)).unwrap_or(name);
        format!("{}{bare}", self.root)
    }

    /// Whether a stored name is the trunk's.
    pub(super) fn in_trunk(&self, name: &str) -> bool {
        name.starts_with(&self.root)
    }
}

/// The longest beginning, in whole segments, of all names.
fn common(names: &[&str]) -> String {
    let mut segments: Vec<&str> = names.first().map(|name| name.split('.').collect()).unwrap_or_default();
    for name in names {
        let same = segments.iter().zip(name.split('.')).take_while(|(a, b)| **a == *b).count();
        segments.truncate(same);
    }
    segments.join(".")
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn beginnings_are_whole_segments() {
        assert_eq!(common(&["a.layer.1.x.w", "a.layer.1.xy.w", "a.layer.1.y"]), "a.layer.1");
        assert_eq!(common(&["a.b"]), "a.b");
        assert_eq!(common(&["a", "b"]), "");
        assert_eq!(common(&[]), "");
    }
}
