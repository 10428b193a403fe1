//! Ops as small nodes: their names, sizes, and what sits at them.

use std::collections::BTreeMap;

use egui::{Pos2, Rect, Vec2, vec2};
use graft_engine::adapters::AdapterSpec;
use graft_engine::graph::{NodeId, NodeKind, Port};

use super::layout::{Maker, text_width};
use super::shapes::{Card, Look, Plus, Spot};
use crate::model::{Freeze, Part};

impl Maker<'_> {
    /// An op as a small node.
    pub(super) fn node(&self, op: NodeId, rect: Rect) -> Card {
        let node = self.model.graph.node(op);
        Card {
            path: node.path.clone(),
            look: Look::Node,
            rect,
            title: self.op_title(op),
            note: String::new(),
            detail: self.op_detail(op),
            freeze: self.model.op_freeze(op),
            unfolded: None,
            adapters: BTreeMap::new(),
        }
    }

    pub(super) fn node_size(&self, op: NodeId) -> Vec2 {
        let icon = if self.model.op_freeze(op) == Freeze::Nothing { 0.0 } else { 18.0 };
        let detail = self.op_detail(op);
        // Shapes stand in the fixed-width face.
        let text = text_width(&self.op_title(op), 12.0).max(text_width(&detail, 10.4));
        vec2((text + icon + 22.0).max(54.0), if detail.is_empty() { 30.0 } else { 38.0 })
    }

    /// A linear layer is called as its path calls it, anything else as what it does.
    fn op_title(&self, op: NodeId) -> String {
        let node = self.model.graph.node(op);
        let last = node.path.rsplit('.').next().unwrap_or_default();
        match &node.kind {
            NodeKind::Op(kind) => match kind.name() {
                "linear" => last.to_owned(),
                "layer norm" => "Norm".to_owned(),
                "gelu" => "GELU".to_owned(),
                name => sentence(name),
            },
            _ => last.to_owned(),
        }
    }

    /// The weight's shape, out × in.
    fn op_detail(&self, op: NodeId) -> String {
        let node = self.model.graph.node(op);
        let NodeKind::Op(kind) = &node.kind else { return String::new() };
        if kind.name() != "linear" {
            return String::new();
        }
        let weight = node.inputs.get(1).map(|&id| self.model.shape(id));
        weight.map_or_else(String::new, |shape| {
            let features_in: usize = shape.iter().skip(1).product();
            format!("{}×{features_in}", shape.first().copied().unwrap_or(0))
        })
    }

    /// The adapters at a block's port, in the order in which they stack, and the port's site.
    pub(super) fn port(&self, block: &Part, port: Port) -> (String, Vec<usize>) {
        let site = format!("{}.{}", block.path, port.name());
        let adapters = self.model.adapters_at(&site).to_vec();
        (site, adapters)
    }

    /// The sites that stand for an op's weight, by path.
    pub(super) fn weight_sites(&self, node: NodeId) -> Vec<String> {
        let places = self.sites_at.get(&node).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| self.model.graph.sites()[place].path.clone()).collect()
    }

    /// The adapters beside an op's weight: site and index.
    pub(super) fn tabs(&self, op: NodeId) -> Vec<(String, usize)> {
        let sites = self.weight_sites(op).into_iter();
        sites
            .flat_map(|site| {
                let adapters = self.model.adapters_at(&site);
                adapters.iter().map(|&index| (site.clone(), index)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The sites of an op, drawn at its node's right.
    pub(super) fn spots(&self, op: NodeId, rect: Rect) -> Vec<Spot> {
        let mut sites = self.weight_sites(op);
        sites.sort_by_key(String::len);
        let spot = |site| Spot { site, center: rect.right_center(), node: Some(rect) };
        sites.into_iter().take(1).map(spot).collect()
    }

    /// The path of an adapter's own region, and whether it trains.
    pub(super) fn tag(&self, site: &str, index: usize) -> (String, Freeze) {
        let path = format!("{site}.adapter_{index}");
        let freeze = self.model.part(&path).map_or(Freeze::Nothing, |part| part.freeze);
        (path, freeze)
    }

    /// A plus at a site, if it is free and anything fits.
    pub(super) fn plus(&self, site: &str, center: Pos2) -> Option<Plus> {
        let found = self.model.graph.site(site)?;
        let fits = |spec: &AdapterSpec| spec.kind().legal(&self.model.graph, found).is_ok();
        let kinds: Vec<usize> =
            self.palette.iter().enumerate().filter(|(_, spec)| fits(spec)).map(|(i, _)| i).collect();
        let free = self.model.uses_adapters && self.model.adapters_at(site).is_empty();
        (free && !kinds.is_empty()).then(|| Plus { site: site.to_owned(), center, kinds })
    }
}

fn sentence(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
