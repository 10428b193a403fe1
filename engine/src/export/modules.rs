//! Logical paths ↔ the names that PyTorch models have for modules and parameters.
//!
//! A parameter's name in PyTorch is what its checkpoint calls it. `transformers` 5 has renamed the modules of some
//! models while their checkpoints keep the old names; adapter files use the names of whichever version wrote them.

use std::collections::BTreeMap;

use super::Base;
use crate::graph::{NodeKind, Site, SiteKind};
use crate::tensor::Shape;

/// By whose names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// The checkpoint's, which are those of `transformers` 4 as well.
    #[default]
    Checkpoint,
    /// Those of the modules of `transformers` 5.
    Transformers5,
}

/// Parts of names in `ViT`'s checkpoints and what `transformers` 5 has in their place, in the order in which they are
/// looked for.
const VIT: &[(&str, &str)] = &[
    ("encoder.layer.", "layers."),
    (".attention.attention.query", ".attention.q_proj"),
    (".attention.attention.key", ".attention.k_proj"),
    (".attention.attention.value", ".attention.v_proj"),
    (".attention.output.dense", ".attention.o_proj"),
    (".intermediate.dense", ".mlp.fc1"),
    (".output.dense", ".mlp.fc2"),
];

/// The same of DINOv2.
const DINOV2: &[(&str, &str)] = &[VIT[1], VIT[2], VIT[3], VIT[4]];

impl Spelling {
    /// A checkpoint's name so spelled.
    pub(super) fn of(self, stored: &str, model_type: &str) -> String {
        let table = match (self, model_type) {
            (Self::Transformers5, "vit") => VIT,
            (Self::Transformers5, "dinov2") => DINOV2,
            _ => &[],
        };
        table.iter().fold(stored.to_owned(), |name, (from, to)| name.replacen(from, to, 1))
    }
}

/// What the model's `config.json` says that it is.
pub(super) fn model_type<'a>(base: &Base<'a>) -> &'a str {
    base.config.get("model_type").and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// A base parameter.
#[derive(Clone, Debug)]
pub(super) struct Param {
    /// Its logical path.
    pub path: String,
    /// Its shape.
    pub shape: Shape,
}

/// A model's modules with weights, and all parameters, by their names in PyTorch.
#[derive(Debug)]
pub(super) struct Modules<'a> {
    /// Layers of which a weight is a site, by the module's name.
    pub sites: BTreeMap<String, &'a Site>,
    /// Base parameters and states by their names.
    pub params: BTreeMap<String, Param>,
}

impl<'a> Modules<'a> {
    /// Those of a model.
    pub(super) fn of(base: &Base<'a>, spelling: Spelling) -> Self {
        let (graph, kind) = (base.graph, model_type(base));
        let mut sites = BTreeMap::new();
        for site in graph.sites().iter().filter(|site| !site.is_of_adapter()) {
            let SiteKind::Weight { weight, rows: None, .. } = site.kind else { continue };
            let NodeKind::Param(leaf) = &graph.node(weight).kind else { continue };
            let names = std::iter::once(&leaf.stored).chain(leaf.aliases.iter().map(|alias| &alias.stored));
            for module in names.filter_map(|name| name.strip_suffix(".weight")) {
                sites.insert(spelling.of(module, kind), site);
            }
        }
        let mut params = BTreeMap::new();
        for (_, path, leaf) in graph.params().filter(|(_, _, leaf)| leaf.placement.is_none()) {
            let param = Param { path: path.to_owned(), shape: leaf.shape.clone() };
            for name in std::iter::once(&leaf.stored).chain(leaf.aliases.iter().map(|alias| &alias.stored)) {
                params.insert(spelling.of(name, kind), param.clone());
            }
        }
        for (_, path, leaf) in graph.states().filter(|(_, _, leaf)| leaf.placement.is_none()) {
            let param = Param { path: path.to_owned(), shape: leaf.shape.clone() };
            params.insert(spelling.of(&leaf.stored, kind), param);
        }
        Self { sites, params }
    }

    /// The module's name of a site.
    pub(super) fn name_of(&self, site: &str) -> Option<&str> {
        self.sites.iter().find(|(_, known)| known.path == site).map(|(name, _)| name.as_str())
    }

    /// The name of a base parameter.
    pub(super) fn param_name(&self, path: &str) -> Option<&str> {
        self.params.iter().find(|(_, param)| param.path == path).map(|(name, _)| name.as_str())
    }

    /// The weight of a module as it is stored.
    pub(super) fn weight(&self, module: &str) -> Option<&Param> {
        self.params.get(&format!("{module}.weight"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `transformers` 5.24 names them.
    #[test]
    fn vit_has_other_modules_in_transformers_5() {
        let new = |name: &str| Spelling::Transformers5.of(name, "vit");
        assert_eq!(new("vit.encoder.layer.10.attention.attention.key"), "vit.layers.10.attention.k_proj");
        assert_eq!(
            new("vit.encoder.layer.0.attention.output.dense.bias"),
            "vit.layers.0.attention.o_proj.bias"
        );
        assert_eq!(new("encoder.layer.1.intermediate.dense"), "layers.1.mlp.fc1");
        assert_eq!(new("vit.encoder.layer.1.output.dense"), "vit.layers.1.mlp.fc2");
        assert_eq!(new("vit.encoder.layer.1.layernorm_before"), "vit.layers.1.layernorm_before");
        for same in ["vit.embeddings.patch_embeddings.projection", "classifier.weight", "vit.layernorm.bias"]
        {
            assert_eq!(new(same), same);
        }
        let dinov2 = Spelling::Transformers5.of("dinov2.encoder.layer.0.attention.output.dense", "dinov2");
        assert_eq!(dinov2, "dinov2.encoder.layer.0.attention.o_proj");
        assert_eq!(Spelling::Transformers5.of("bert.encoder.layer.0", "bert"), "bert.encoder.layer.0");
    }
}
