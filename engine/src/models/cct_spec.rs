//! Compact convolutional transformers as projects describe them.

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::cct::Cct;
use super::spec::{DataShape, Resolved};

/// A compact transformer in a project file; image size and classes are those of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CctSpec {
    /// Width, blocks and heads.
    pub size: CctSize,
    /// Rows (and columns) of the tokenizer's kernels: the 3 of CCT-7/3x1.
    #[serde(default = "three")]
    pub kernel: usize,
    /// Convolutions of the tokenizer: the 1 of CCT-7/3x1.
    #[serde(default = "one")]
    pub convolutions: usize,
    /// What tells tokens' places apart.
    #[serde(default)]
    pub positions: CctPositions,
}

const fn three() -> usize {
    3
}

const fn one() -> usize {
    1
}

/// The published sizes, or one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CctSize {
    /// 2 blocks, 2 heads, 128 wide, feed-forward as wide.
    Cct2,
    /// 4 blocks, 2 heads, 128 wide, feed-forward as wide.
    Cct4,
    /// 6 blocks, 4 heads, 256 wide, feed-forward twice as wide.
    Cct6,
    /// 7 blocks, 4 heads, 256 wide, feed-forward twice as wide.
    Cct7,
    /// 14 blocks, 6 heads, 384 wide, feed-forward three times as wide.
    Cct14,
    /// Any other.
    Custom {
        /// Width of a token.
        width: usize,
        /// Number of blocks.
        blocks: usize,
        /// Attention heads.
        heads: usize,
        /// Inner width of the feed-forward part.
        mlp: usize,
    },
}

impl CctSize {
    /// Blocks, heads, inner width of the feed-forward part and width.
    const fn extents(self) -> [usize; 4] {
        match self {
            Self::Cct2 => [2, 2, 128, 128],
            Self::Cct4 => [4, 2, 128, 128],
            Self::Cct6 => [6, 4, 512, 256],
            Self::Cct7 => [7, 4, 512, 256],
            Self::Cct14 => [14, 6, 1152, 384],
            Self::Custom { width, blocks, heads, mlp } => [blocks, heads, mlp, width],
        }
    }
}

/// What tells tokens' places apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CctPositions {
    /// A learned table.
    #[default]
    Learned,
    /// Sine and cosine, never trained.
    Sine,
    /// Nothing: the convolutions know.
    None,
}

impl CctSpec {
    /// The architecture for some data, from scratch.
    pub(super) fn resolve(&self, data: &DataShape) -> Result<Resolved, ModelError> {
        let picture = data.picture()?;
        if picture.frames.is_some() {
            return Err(ModelError::Sizes(
                "a compact transformer takes images, but the data are clips".to_owned(),
            ));
        }
        let [blocks, heads, mlp, width] = self.size.extents();
        let half = self.kernel / 2;
        let architecture = Cct {
            width,
            blocks,
            heads,
            mlp,
            kernel: self.kernel,
            stride: half.saturating_sub(1).max(1),
            padding: half.max(1),
            convolutions: self.convolutions,
            positions: self.positions,
            image: picture.image,
            channels: picture.channels,
            classes: data.classes.clone(),
        };
        Ok(Resolved { architecture: Box::new(architecture), weights: None })
    }
}
