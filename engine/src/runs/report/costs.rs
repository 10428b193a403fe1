//! The costliest parts of a model, from the step that a run profiled: predicted beside measured.

use std::collections::BTreeMap;

use super::super::event::NodeProfile;
use super::mib;

/// Parts that a report shows.
const ROWS: usize = 10;

/// A part's sums over its own nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    secs: f64,
    bytes: Option<u64>,
    predicted_secs: Option<f64>,
    predicted_bytes: Option<u64>,
}

impl Sum {
    fn add(&mut self, node: &NodeProfile) {
        let more = |sum: &mut Option<u64>, own: Option<u64>| {
            if let Some(own) = own {
                *sum.get_or_insert(0) += own;
            }
        };
        self.secs += node.secs();
        more(&mut self.bytes, node.bytes);
        more(&mut self.predicted_bytes, node.predicted_bytes);
        if let Some(secs) = node.predicted_secs {
            *self.predicted_secs.get_or_insert(0.0) += secs;
        }
    }
}

/// The part that a node belongs to: the sub-layer of its block, or else what its path names around it.
fn part(path: &str) -> &str {
    let around = path.rsplit_once('.').map_or(path, |(around, _)| around);
    let mut end = 0;
    let mut block = None;
    for segment in around.split('.') {
        let begin = if end == 0 { 0 } else { end + 1 };
        end = begin + segment.len();
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            block = Some(end);
        }
    }
    let Some(block) = block else { return around };
    let below = around.get(block + 1..).unwrap_or_default();
    let layer = below.split('.').next().filter(|layer| !layer.is_empty());
    &around[..layer.map_or(block, |layer| block + 1 + layer.len())]
}

/// The table's lines, the part that takes longest first.
pub(super) fn table(nodes: &[NodeProfile]) -> Vec<String> {
    let mut parts: BTreeMap<&str, Sum> = BTreeMap::new();
    for node in nodes {
        parts.entry(part(&node.path)).or_default().add(node);
    }
    let mut parts: Vec<(&str, Sum)> = parts.into_iter().collect();
    parts.sort_by(|(_, a), (_, b)| b.secs.total_cmp(&a.secs));
    let ms =
        |secs: Option<f64>| secs.map_or("not calibrated".to_owned(), |secs| format!("{:.2}", 1e3 * secs));
    let size = |bytes: Option<u64>| bytes.map_or("not seen".to_owned(), |bytes| format!("{:.2}", mib(bytes)));
    let mut lines = vec![
        "| part | ms, predicted | measured | kept MiB, predicted | measured |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(parts.into_iter().take(ROWS).map(|(path, sum)| {
        format!(
            "| {path} | {} | {} | {} | {} |",
            ms(sum.predicted_secs),
            ms(Some(sum.secs)),
            size(sum.predicted_bytes),
            size(sum.bytes)
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_belong_to_sub_layers_of_blocks() {
        for (path, named) in [
            ("model.spatial.blocks.0.attention.query", "model.spatial.blocks.0.attention"),
            ("model.spatial.blocks.0.attention.query.adapter_1.down", "model.spatial.blocks.0.attention"),
            ("model.spatial.blocks.11.add_mlp", "model.spatial.blocks.11"),
            ("model.stages.2.blocks.1.mlp.fc1", "model.stages.2.blocks.1.mlp"),
            ("model.bridge.adapter_0.down", "model.bridge.adapter_0"),
            ("model.head.logits", "model.head"),
            ("loss", "loss"),
        ] {
            assert_eq!(part(path), named);
        }
    }

    #[test]
    fn the_longest_ten_are_listed_with_their_sums() {
        let node = |path: String, secs: f64| NodeProfile {
            path,
            forward_secs: secs,
            backward_secs: secs,
            bytes: Some(1 << 20),
            predicted_secs: None,
            predicted_bytes: Some(2 << 20),
        };
        let nodes: Vec<NodeProfile> = (0..12u32)
            .flat_map(|block| {
                let layer = format!("model.blocks.{block}.mlp");
                let secs = 1e-3 * f64::from(block);
                [node(format!("{layer}.fc1"), secs), node(format!("{layer}.fc2"), secs)]
            })
            .collect();
        let lines = table(&nodes);
        assert_eq!(lines.len(), 2 + 10);
        assert_eq!(lines[2], "| model.blocks.11.mlp | not calibrated | 44.00 | 4.00 | 2.00 |");
        assert!(lines[11].starts_with("| model.blocks.2.mlp |"), "{}", lines[11]);
    }
}
