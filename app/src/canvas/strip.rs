//! The graph in one strip from left to right, everything folded: what is left of it while plots have the room.

use egui::{pos2, vec2};
use graft_engine::graph::NodeId;

use super::layout::{GAP, HEADER, Item, Maker, text_width};
use super::shapes::{Cut, Piece};

impl Maker<'_> {
    /// Items from left to right, everything folded.
    pub(super) fn across(&self, region: usize, items: &[Item]) -> (Piece, Option<Cut>) {
        let mut result = Piece::default();
        let (mut x, height) = (0.0, HEADER);
        let mut before: Option<Option<NodeId>> = None;
        let mut cut = None;
        let mut weights_before = false;
        let singles = items.iter().flat_map(|item| match item {
            Item::Input => vec![Item::Input],
            Item::Part(index) => vec![Item::Part(*index)],
            Item::Row(ops) => ops.iter().map(|&op| Item::Row(vec![op])).collect(),
        });
        for item in singles {
            let mut piece = match &item {
                Item::Part(index) => {
                    let mut card = self.card(*index, false);
                    card.detail.clear();
                    card.unfolded = None;
                    let badges: usize = card.adapters.len();
                    #[expect(clippy::cast_precision_loss, reason = "a few badges")]
                    let badges = badges as f32 * 20.0;
                    let wide = text_width(&card.title, 13.0) + text_width(&card.note, 11.0) + 52.0 + badges;
                    self.alone(card, vec2(wide.max(96.0), height))
                }
                item => self.item(region, item),
            };
            let by = vec2(x, (height - piece.size.y) / 2.0);
            piece = piece.moved(by);
            let output = self.output(&item);
            if let Some(node) = before {
                let mut wire = self.between(pos2(x - GAP, height / 2.0), pos2(x, height / 2.0), node);
                wire.label.clear();
                result.wires.push(wire);
                let tracked = |id: NodeId| self.model.is_tracked(id);
                let at_cut = output.is_some_and(tracked) && !node.is_some_and(tracked);
                if cut.is_none() && at_cut && weights_before {
                    cut = Some(Cut::RightOf(x - GAP / 2.0));
                }
            }
            before = Some(output);
            weights_before |= self.has_weights(&item);
            x += piece.size.x + GAP;
            piece.pluses.clear();
            result.absorb(piece);
        }
        result.size = vec2((x - GAP).max(0.0), height);
        if self.model.trained == 0 {
            cut = Some(Cut::AllFrozen);
        }
        (result, cut)
    }
}
