//! Convolutions over the grid of tokens (methods, section 8): blocks of `x + LN(C1×1_up(GELU(C3×3_down(x))))`.

use serde::{Deserialize, Serialize};

use super::legal::grid;
use super::setting::{Inner, is_default, whole};
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Grid, Init, NodeId, Patch, PatchBuilder, Site};
use crate::ops::{AddLast, Conv2d, Gelu, GeluForm, GridOf, GridToTokens, TokensToGrid};

/// Settings of the convolutions. The up-projections begin at zero, so placing changes nothing. Tokens without a place
/// in the grid keep their bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Convolution {
    /// Channels between the two convolutions.
    pub width: usize,
    /// Features of the value divided by this give the width, where it is not 0.
    #[serde(skip_serializing_if = "is_default")]
    pub reduction: f64,
    /// Blocks, one behind the other.
    pub depth: usize,
}

impl Default for Convolution {
    fn default() -> Self {
        Self { width: 16, reduction: 0.0, depth: 1 }
    }
}

/// Rows and columns of the convolution.
const KERNEL: usize = 3;

/// The tokens at a site as a picture `[batch, width, rows, columns]`.
pub(super) fn picture(builder: &mut PatchBuilder<'_>, name: &str, x: NodeId) -> NodeId {
    let Some(tokens) = builder.tokens() else { unreachable!("only known grids are legal") };
    match tokens.grid {
        Grid::Row => builder.op(name, TokensToGrid { grid: GridOf::Row { prefix: tokens.prefix } }, &[x]),
        Grid::Fixed(grid) => builder.op(name, TokensToGrid { grid: GridOf::Fixed(grid) }, &[x]),
        Grid::Patches { pixels, patch } => {
            builder.op(name, TokensToGrid { grid: GridOf::Patches(patch) }, &[x, pixels])
        }
    }
}

impl Convolution {
    fn width_at(&self, site: &Site) -> usize {
        Inner { width: self.width, reduction: self.reduction }.at(site.width)
    }
}

impl AdapterKind for Convolution {
    fn name(&self) -> &'static str {
        "Convolution"
    }

    fn description(&self) -> &'static str {
        "convolutions over the grid of tokens"
    }

    fn formula(&self) -> String {
        "y + LN(C1×1(GELU(C3×3(y))))".to_owned()
    }

    fn place(&self) -> &'static str {
        "at a port"
    }

    fn letter(&self) -> char {
        'C'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        grid(graph, site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let (features, width) = (site.width, self.width_at(&site));
        let mut x = site.node;
        for number in 0..self.depth {
            let name =
                |part: &str| if self.depth == 1 { part.to_owned() } else { format!("{part}_{number}") };
            let seen = picture(&mut builder, &name("grid"), x);
            let same = Conv2d { stride: [1, 1], padding: [KERNEL / 2; 2], groups: 1 };
            let kernel = [width, features, KERNEL, KERNEL];
            let zeros = Some(Init::Zeros);
            let down = builder.conv2d(&name("down"), seen, same, kernel, Init::KaimingUniform, zeros);
            let active = builder.op(&name("activation"), Gelu { form: GeluForm::Exact }, &[down]);
            // A convolution of one pixel is a linear layer on each token.
            let tokens = builder.op(&name("tokens"), GridToTokens, &[active]);
            let up = builder.linear(&name("up"), tokens, [features, width], Init::Zeros, zeros);
            let normed = builder.layer_norm(&name("norm"), up, features, 1e-5);
            x = builder.op(&name("add"), AddLast, &[x, normed]);
        }
        builder.replace(x);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let (features, width) = (site.width, self.width_at(site));
        let block = width * features * (KERNEL * KERNEL + 1) + width + 3 * features;
        (self.depth * block) as u64
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        let inner = Inner { width: self.width, reduction: self.reduction };
        let [width, reduction] = inner.settings("Channels");
        vec![width, reduction, Setting::width("depth", "Blocks", self.depth)]
    }

    fn size(&self) -> Option<&'static str> {
        Some("width")
    }

    fn assign(&mut self, name: &str, value: f64) {
        if !Inner::assign(&mut self.width, &mut self.reduction, name, value) {
            self.depth = whole(value);
        }
    }
}
