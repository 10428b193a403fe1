//! A stack of equal blocks: a tile for each, and those that are open below the tiles, in the order of computation.

use egui::{Rect, Vec2, pos2, vec2};

use super::block;
use super::layout::{GAP, Maker};
use super::shapes::{Card, Look, Piece};

/// A block's tile.
const TILE: Vec2 = vec2(36.0, 40.0);
/// Tiles in one row.
const TILES: usize = 16;

impl Maker<'_> {
    /// Tiles of a stack with its open blocks below them: one without a frame, several in a frame each.
    pub(super) fn stack(&self, blocks: &[usize]) -> Piece {
        let tiles = self.tiles(blocks);
        let is_open = |block: &&usize| self.unfolded.contains(&self.model.parts[**block].path);
        let open: Vec<usize> = blocks.iter().filter(is_open).copied().collect();
        match open[..] {
            [] => {
                let size = tiles.size;
                let (entry, exit) = (pos2(size.x / 2.0, 0.0), pos2(size.x / 2.0, size.y));
                Piece { entry, exit, ..tiles }
            }
            [one] => {
                let inner = block::lanes(self, one);
                let size = inner.size;
                let mut piece = below(tiles, inner);
                let left = (piece.size.x - size.x) / 2.0;
                piece.focus = Some(Rect::from_min_size(pos2(left, piece.size.y - size.y), size));
                piece
            }
            _ => below(tiles, self.frames(&open)),
        }
    }

    /// Open blocks one below the other.
    fn frames(&self, open: &[usize]) -> Piece {
        let frames: Vec<Piece> =
            open.iter().map(|&block| self.framed(block, block::lanes(self, block))).collect();
        let width = frames.iter().map(|frame| frame.size.x).fold(0.0, f32::max);
        let mut piece = Piece::default();
        let mut y = 0.0;
        let mut before: Option<(usize, egui::Pos2)> = None;
        for (&block, frame) in open.iter().zip(frames) {
            let height = frame.size.y;
            let left = (width - frame.size.x) / 2.0;
            let frame = frame.moved(vec2(left, y));
            match before {
                Some((last, from)) => {
                    let output = self.model.parts[last].output;
                    piece.wires.push(self.between(from, frame.entry, output));
                }
                None => piece.entry = frame.entry,
            }
            before = Some((block, frame.exit));
            piece.exit = frame.exit;
            piece.absorb(frame);
            y += height + GAP;
        }
        piece.size = vec2(width, (y - GAP).max(0.0));
        // None of them is what one looks at more than at the others.
        piece.focus = None;
        piece
    }

    pub(super) fn tiles(&self, blocks: &[usize]) -> Piece {
        let mut piece = Piece::default();
        let step = TILE + Vec2::splat(4.0);
        for (i, &block) in blocks.iter().enumerate() {
            let part = &self.model.parts[block];
            #[expect(clippy::cast_precision_loss, reason = "a few hundred blocks at most")]
            let corner = pos2((i % TILES) as f32 * step.x, (i / TILES) as f32 * step.y);
            let rect = Rect::from_min_size(corner, TILE);
            piece.size = piece.size.max(rect.max.to_vec2());
            piece.cards.push(Card {
                path: part.path.clone(),
                look: Look::Tile,
                rect,
                title: part.path.rsplit('.').next().unwrap_or_default().to_owned(),
                note: String::new(),
                detail: String::new(),
                freeze: part.freeze,
                unfolded: Some(self.unfolded.contains(&part.path)),
                adapters: part.adapters.clone(),
            });
        }
        piece
    }
}

/// Tiles and what is open below them. The flow comes in at the top and goes on from the end of what is open.
fn below(tiles: Piece, inner: Piece) -> Piece {
    let width = tiles.size.x.max(inner.size.x);
    let top = tiles.size.y + 10.0;
    let mut piece = Piece { size: vec2(width, top + inner.size.y), ..Piece::default() };
    piece.entry = pos2(width / 2.0, 0.0);
    let left = (width - tiles.size.x) / 2.0;
    piece.absorb(tiles.moved(vec2(left, 0.0)));
    let left = (width - inner.size.x) / 2.0;
    let inner = inner.moved(vec2(left, top));
    piece.exit = inner.exit;
    piece.absorb(inner);
    piece
}
