//! Classes of places: what a site is, so far as it matters to whether a kind may sit there.

use std::collections::BTreeMap;

use graft_engine::graph::{Graph, Layer, NodeId, NodeKind, Site, SiteKind, is_below};

/// A class of places of one model, with a rule that covers those of one name in all blocks.
pub struct Class {
    /// Its name, the same for every model.
    pub name: String,
    /// The rule.
    pub rule: String,
}

/// The classes that a model has, each by the places of one name.
#[must_use]
pub fn classes(graph: &Graph, of_adapters: bool) -> Vec<Class> {
    let mut classes: BTreeMap<String, String> = BTreeMap::new();
    for site in graph.sites().iter().filter(|site| site.is_of_adapter() == of_adapters) {
        let everywhere = |segment: &str| {
            if segment.chars().all(|c| c.is_ascii_digit()) { "*".to_owned() } else { segment.to_owned() }
        };
        let rule: Vec<String> = site.path.split('.').map(everywhere).collect();
        classes.entry(name_of(graph, site)).or_insert_with(|| rule.join("."));
    }
    classes.into_iter().map(|(name, rule)| Class { name, rule }).collect()
}

/// The class that a site is of.
#[must_use]
pub fn name_of(graph: &Graph, site: &Site) -> String {
    let tokens = graph.tokens(&site.path);
    let masked = if tokens.is_some_and(|tokens| tokens.masked) { ", masked" } else { "" };
    match &site.kind {
        SiteKind::Weight { layer, rows, op, .. } => {
            let whose = if site.is_of_adapter() { "adapter's " } else { "" };
            let inputs = &graph.node(*op).inputs;
            let bias = if inputs.len() < 3 { ", no bias" } else { "" };
            let grouped = match &graph.node(*op).kind {
                NodeKind::Op(op) => op.as_conv2d().is_some_and(|conv| conv.groups > 1),
                _ => false,
            };
            let what = match (layer, rows, grouped) {
                (_, Some(_), _) => "slice of a fused weight",
                (Layer::Linear, None, _) => "linear weight",
                (Layer::Conv, None, false) => "convolution",
                (Layer::Conv, None, true) => "grouped convolution",
            };
            // Compacter's two and three products, and four.
            let sides = match site.kind {
                SiteKind::Weight { features_in, .. } => [site.width, features_in],
                _ => [0, 0],
            };
            let divided = |n: usize| sides.iter().all(|side| side.is_multiple_of(n));
            let divisors = if site.is_of_adapter() {
                let by: Vec<String> =
                    [2, 3, 4].into_iter().filter(|n| divided(*n)).map(|n| n.to_string()).collect();
                format!(
                    ", sides divide by {}",
                    if by.is_empty() { "nothing".to_owned() } else { by.join(" ") }
                )
            } else {
                String::new()
            };
            format!("{whose}{what}{bias}{divisors}")
        }
        SiteKind::Port(port) => {
            let grid = if tokens.is_some() { "" } else { ", no grid" };
            format!("port {}{grid}{masked}{}", port.name(), ports_beside(graph, site))
        }
        SiteKind::Bridge { tokens, .. } => {
            format!("bridge{}", if tokens.is_some() { " behind tokens" } else { "" })
        }
        SiteKind::Norm { shift, .. } => {
            format!("norm{}", if shift.is_some() { "" } else { ", no shift" })
        }
        SiteKind::Sequence { through, leaves, .. } => {
            let inside = |id: NodeId| {
                let node = graph.node(id);
                matches!(node.kind, NodeKind::Op(_)) && is_below(&node.path, through) && id != *leaves
            };
            let outside = graph.nodes().iter().filter(|node| !is_below(&node.path, through));
            let read = outside.flat_map(|node| &node.inputs).any(|id| inside(*id));
            let read = if read { ", read inside" } else { "" };
            let whose = if site.path.rsplit('.').nth(1).is_some_and(|s| s.parse::<usize>().is_ok()) {
                "a block"
            } else {
                "a stack"
            };
            format!("sequence through {whose}{masked}{read}")
        }
    }
}

/// Which of the ports that a bottleneck may read the block lacks, or where a norm follows each add.
fn ports_beside(graph: &Graph, site: &Site) -> String {
    use graft_engine::graph::Port;
    let [normed, third] = [Port::NORMED, Port::P3].map(|port| graph.port_beside(site, port).is_some());
    let post_norm = graph
        .port_beside(site, Port::P0)
        .zip(graph.port_beside(site, Port::NORMED))
        .is_some_and(|(input, normed)| input.node == normed.node);
    match (normed && third, post_norm) {
        (true, false) => String::new(),
        (true, true) => ", post-norm".to_owned(),
        (false, _) => ", few ports".to_owned(),
    }
}
