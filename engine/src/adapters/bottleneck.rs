//! Bottleneck at a port (Houlsby et al., 2019, and its descendants): `y + s·W_up·act(W_down·x + b) + b'`, where `x` is
//! the port's own value `y` (sequential) or that of an earlier port of the block (parallel).

use serde::{Deserialize, Serialize};

use super::setting::{Choice, DROPOUTS, Inner, SCALES, is_default, is_one, on};
use super::{Activation, AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, NodeId, NodeKind, Patch, PatchBuilder, Port, Site, SiteKind};
use crate::ops::{Add, Dropout, Multiply, Scale};

/// Which value of the block a bottleneck reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// The one that it adds to.
    #[default]
    Own,
    /// The block's input.
    P0,
    /// The attention's normed input.
    Normed,
    /// The attention's output.
    P1,
    /// Behind the attention's residual add, not normed.
    P2,
    /// The feed-forward part's normed input.
    P3,
    /// The feed-forward part's output.
    P4,
    /// What the residual add and the norm behind it make of the sub-layer's output, computed once more before anything
    /// is added: in post-norm blocks, as `AdapterHub`'s sequential bottlenecks have it.
    AddNorm,
}

impl Choice for Reads {
    const ALL: &'static [Self] =
        &[Self::Own, Self::P0, Self::Normed, Self::P1, Self::P2, Self::P3, Self::P4, Self::AddNorm];
    const NAMES: &'static [&'static str] =
        &["its own value", "P0", "normed P0", "P1", "P2", "P3 (normed P2)", "P4", "add & norm of its own"];
}

impl Reads {
    const fn port(self) -> Option<Port> {
        match self {
            Self::Own | Self::AddNorm => None,
            Self::P0 => Some(Port::P0),
            Self::Normed => Some(Port::NORMED),
            Self::P1 => Some(Port::P1),
            Self::P2 => Some(Port::P2),
            Self::P3 => Some(Port::P3),
            Self::P4 => Some(Port::P4),
        }
    }
}

/// What multiplies the branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scaling {
    /// The scale as given.
    #[default]
    Fixed,
    /// One learned number, which begins as the scale.
    Learned,
    /// One learned number a channel, each beginning as the scale (Steitz and Roth, 2024).
    PerChannel,
}

impl Choice for Scaling {
    const ALL: &'static [Self] = &[Self::Fixed, Self::Learned, Self::PerChannel];
    const NAMES: &'static [&'static str] = &["fixed", "learned", "learned per channel"];
}

/// How the two projections begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Down Xavier-uniform, up zero: placing changes nothing.
    #[default]
    Xavier,
    /// Down Kaiming-uniform as PyTorch's linear layers, up zero.
    Kaiming,
    /// Down so, up truncated normal of deviation 0.001: for weights in few bits, which need some spread.
    Small,
    /// Both truncated normal of deviation 0.01 (Houlsby et al., 2019).
    Houlsby,
    /// Both as PyTorch's linear layers, biases too: not near the identity.
    Torch,
}

impl Choice for Start {
    const ALL: &'static [Self] = &[Self::Xavier, Self::Kaiming, Self::Small, Self::Houlsby, Self::Torch];
    const NAMES: &'static [&'static str] =
        &["Xavier, zero", "Kaiming, zero", "Kaiming, small", "both small", "both Kaiming"];
}

/// Settings of a bottleneck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bottleneck {
    /// Bottleneck width.
    pub width: usize,
    /// Features of the value divided by this give the width, where it is not 0.
    #[serde(skip_serializing_if = "is_default")]
    pub reduction: f64,
    /// Which value it reads.
    #[serde(skip_serializing_if = "is_default")]
    pub reads: Reads,
    /// A layer norm of its own before the down-projection.
    #[serde(skip_serializing_if = "is_default")]
    pub norm: bool,
    /// Between the projections.
    #[serde(skip_serializing_if = "is_default")]
    pub activation: Activation,
    /// The activation once more behind the up-projection.
    #[serde(skip_serializing_if = "is_default")]
    pub activate_after: bool,
    /// Dropout before the up-projection.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout: f64,
    /// Factor on the branch.
    #[serde(skip_serializing_if = "is_one")]
    pub scale: f64,
    /// Whether the factor is learned.
    #[serde(skip_serializing_if = "is_default")]
    pub scaling: Scaling,
    /// Whether the projections have biases.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub bias: bool,
    /// How the projections begin.
    #[serde(skip_serializing_if = "is_default")]
    pub start: Start,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self {
            width: 16,
            reduction: 0.0,
            reads: Reads::Own,
            norm: false,
            activation: Activation::Gelu,
            activate_after: false,
            dropout: 0.0,
            scale: 1.0,
            scaling: Scaling::Fixed,
            bias: true,
            start: Start::Xavier,
        }
    }
}

impl Bottleneck {
    fn width_at(&self, site: &Site) -> usize {
        self.width_for(site.width)
    }

    /// The bottleneck's width at a value of so many features.
    #[must_use]
    pub fn width_for(&self, features: usize) -> usize {
        self.inner().at(features)
    }

    const fn inner(&self) -> Inner {
        Inner { width: self.width, reduction: self.reduction }
    }

    fn projections(&self) -> [Init; 2] {
        match self.start {
            Start::Xavier => [Init::XavierUniform, Init::Zeros],
            Start::Kaiming => [Init::KaimingUniform, Init::Zeros],
            Start::Small => [Init::KaimingUniform, Init::TruncatedNormal { std: 0.001 }],
            Start::Houlsby => [Init::TruncatedNormal { std: 0.01 }; 2],
            Start::Torch => [Init::KaimingUniform; 2],
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a width is small")]
    fn bias(&self, features_in: usize) -> Option<Init> {
        let bound = 1.0 / (features_in as f64).sqrt();
        let init = if self.start == Start::Torch { Init::Uniform { bound } } else { Init::Zeros };
        self.bias.then_some(init)
    }

    fn scaled(&self, builder: &mut PatchBuilder<'_>, branch: NodeId, features: usize) -> NodeId {
        let learned = match self.scaling {
            Scaling::Fixed => {
                #[expect(clippy::float_cmp, reason = "exactly one means no scaling")]
                let plain = self.scale == 1.0;
                return if plain {
                    branch
                } else {
                    builder.op("scale", Scale { factor: self.scale }, &[branch])
                };
            }
            Scaling::Learned => builder.param("scale.weight", &[1], Init::Constant(self.scale)),
            Scaling::PerChannel => builder.param("scale.weight", &[features], Init::Constant(self.scale)),
        };
        builder.op("scale", Multiply, &[branch, learned])
    }

    /// The residual add that a port's value goes to and the norm behind it, where the block has both.
    fn add_and_norm(graph: &Graph, site: &Site, own: Port) -> Result<[NodeId; 2], Illegal> {
        let behind = match own {
            Port::P1 => Port::P2,
            Port::P4 => Port::P5,
            _ => return Err(Illegal::NoSuchPort),
        };
        let norm = graph.port_beside(site, behind).map(|beside| beside.node).ok_or(Illegal::NoSuchPort)?;
        let is =
            |node: NodeId, op: &str| matches!(&graph.node(node).kind, NodeKind::Op(own) if own.name() == op);
        let add = *graph.node(norm).inputs.first().ok_or(Illegal::NoSuchPort)?;
        let reads_own = graph.node(add).inputs.contains(&site.node);
        let found = is(norm, "layer norm") && is(add, "add") && reads_own;
        if found { Ok([add, norm]) } else { Err(Illegal::NoSuchPort) }
    }

    /// The value that it reads at a site, computed for it where it is no value of the block.
    fn read(&self, builder: &mut PatchBuilder<'_>, site: &Site) -> NodeId {
        if self.reads == Reads::AddNorm
            && let SiteKind::Port(own) = site.kind
            && let Ok([add, norm]) = Self::add_and_norm(builder.graph(), site, own)
        {
            let inputs = builder.graph().node(add).inputs.clone();
            let added = builder.repeat("read_add", add, &inputs);
            let mut inputs = builder.graph().node(norm).inputs.clone();
            inputs[0] = added;
            return builder.repeat("read_norm", norm, &inputs);
        }
        self.source(builder.graph(), site).unwrap_or(site.node)
    }

    /// The value of the block that it reads at a site.
    fn source(&self, graph: &Graph, site: &Site) -> Result<NodeId, Illegal> {
        let own = match site.kind {
            SiteKind::Port(own) => own,
            SiteKind::Bridge { .. } if self.reads == Reads::Own => return Ok(site.node),
            _ => return Err(Illegal::NotAnEdge),
        };
        if self.reads == Reads::AddNorm {
            return Self::add_and_norm(graph, site, own).map(|_| site.node);
        }
        let Some(other) = self.reads.port().filter(|other| *other != own) else { return Ok(site.node) };
        let at = |port: Port| Port::ALL.iter().position(|known| *known == port);
        if at(other) > at(own) {
            return Err(Illegal::Backwards);
        }
        let node = graph.port_beside(site, other).map(|beside| beside.node).ok_or(Illegal::NoSuchPort)?;
        // In a post-norm block the order of values is another one.
        if graph.upstream([node])[site.node.index()] && node != site.node {
            return Err(Illegal::Backwards);
        }
        Ok(node)
    }
}

impl AdapterKind for Bottleneck {
    fn name(&self) -> &'static str {
        "Bottleneck"
    }

    fn description(&self) -> &'static str {
        "down-projection, activation, up-projection at a port"
    }

    fn formula(&self) -> String {
        let x = if self.reads == Reads::Own { "y" } else { "x" };
        let x = if self.norm { format!("LN({x})") } else { x.to_owned() };
        let branch = format!("W_up · act(W_down · {x})");
        let branch = if self.activate_after { format!("act({branch})") } else { branch };
        format!("y + s · {branch}")
    }

    fn place(&self) -> &'static str {
        "at a port or bridge"
    }

    fn letter(&self) -> char {
        'B'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        self.source(graph, site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let (features, width) = (site.width, self.width_at(&site));
        let [down_start, up_start] = self.projections();
        let mut x = self.read(&mut builder, &site);
        if self.norm {
            x = builder.layer_norm("norm", x, features, 1e-5);
        }
        let down = builder.linear("down", x, [width, features], down_start, self.bias(features));
        let mut inner = self.activation.of(&mut builder, "activation", down);
        if self.dropout > 0.0 {
            inner = builder.op("dropout", Dropout { probability: self.dropout }, &[inner]);
        }
        let mut up = builder.linear("up", inner, [features, width], up_start, self.bias(width));
        if self.activate_after {
            up = self.activation.of(&mut builder, "activation_after", up);
        }
        let branch = self.scaled(&mut builder, up, features);
        let sum = builder.op("add", Add, &[site.node, branch]);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let (features, width) = (site.width, self.width_at(site));
        let biases = if self.bias { features + width } else { 0 };
        let norm = if self.norm { 2 * features } else { 0 };
        let scale = match self.scaling {
            Scaling::Fixed => 0,
            Scaling::Learned => 1,
            Scaling::PerChannel => features,
        };
        (2 * features * width + biases + norm + scale) as u64
    }

    fn identity_at_start(&self) -> bool {
        matches!(self.start, Start::Xavier | Start::Kaiming)
    }

    fn settings(&self) -> Vec<Setting> {
        let [width, reduction] = self.inner().settings("Width");
        vec![
            width,
            reduction,
            Setting::choice("reads", "Reads", self.reads),
            Setting::choice("activation", "Activation", self.activation),
            Setting::switch("activate_after", "Activate after", self.activate_after),
            Setting::switch("norm", "Layer norm", self.norm),
            Setting::number("dropout", "Dropout", self.dropout, DROPOUTS),
            Setting::number("scale", "Scale", self.scale, SCALES),
            Setting::choice("scaling", "Scaling", self.scaling),
            Setting::switch("bias", "Biases", self.bias),
            Setting::choice("start", "Start", self.start),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("width")
    }

    fn assign(&mut self, name: &str, value: f64) {
        if Inner::assign(&mut self.width, &mut self.reduction, name, value) {
            return;
        }
        match name {
            "reads" => self.reads = Reads::numbered(value),
            "activation" => self.activation = Activation::numbered(value),
            "activate_after" => self.activate_after = on(value),
            "norm" => self.norm = on(value),
            "dropout" => self.dropout = value,
            "scaling" => self.scaling = Scaling::numbered(value),
            "bias" => self.bias = on(value),
            "start" => self.start = Start::numbered(value),
            _ => self.scale = value,
        }
    }
}
