//! What a click on a snowflake or flame writes: a stage's `train` and `freeze` rules.

use graft_engine::graph::{Graph, NodeId, Rule, is_below};
use graft_engine::train::TrainSpec;

/// Freezes a part. Where adapters sit inside, they stay trainable: then the part leaves the `train` rules,
/// otherwise it enters `freeze`.
pub fn freeze(spec: &mut TrainSpec, graph: &Graph, path: &str) {
    let inside = |p: &str| is_below(p, path);
    let adapters = graph.params().any(|(_, p, leaf)| leaf.placement.is_some() && inside(p));
    let base = graph.params().any(|(_, p, leaf)| leaf.placement.is_none() && inside(p));
    if adapters && base {
        spec.train = without(graph, &spec.train, path, Whose::Base);
    } else {
        spec.freeze.retain(|rule| !inside(rule));
        spec.freeze.push(path.to_owned());
    }
}

/// Makes a part trainable: nothing freezes it any more, and the `train` rules take it.
pub fn unfreeze(spec: &mut TrainSpec, graph: &Graph, path: &str) {
    spec.freeze = without(graph, &spec.freeze, path, Whose::All);
    let rules: Vec<Rule> = spec.train.iter().filter_map(|rule| Rule::parse(rule).ok()).collect();
    let missing = graph.params().any(|(_, p, leaf)| {
        leaf.placement.is_none() && is_below(p, path) && !rules.iter().any(|rule| rule.matches_below(p))
    });
    if missing {
        spec.train.retain(|rule| !is_below(rule, path));
        spec.train.push(path.to_owned());
    }
}

/// An adapter is about to sit at `site`: parts frozen around it are frozen by leaving `train` from now on, so that
/// the adapter inside them trains. `graph` is the one without it.
pub fn make_room(spec: &mut TrainSpec, graph: &Graph, site: &str) {
    let probe = format!("{site}.adapter");
    let (around, rest): (Vec<String>, Vec<String>) = std::mem::take(&mut spec.freeze)
        .into_iter()
        .partition(|rule| Rule::parse(rule).is_ok_and(|rule| rule.matches_below(&probe)));
    spec.freeze = rest;
    for rule in around {
        let Ok(parsed) = Rule::parse(&rule) else { continue };
        for region in graph.regions().iter().filter(|region| parsed.matches(&region.path)) {
            spec.train = without(graph, &spec.train, &region.path, Whose::Base);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Parameters of the base model; adapters' do not count.
    Base,
    /// Adapters' too.
    All,
}

/// The rules, but matching nothing at or below `path`. A rule that reached into it is replaced by the largest parts
/// beside it.
fn without(graph: &Graph, rules: &[String], path: &str, whose: Whose) -> Vec<String> {
    let params: Vec<(NodeId, &str)> = graph
        .params()
        .filter(|(_, _, leaf)| whose == Whose::All || leaf.placement.is_none())
        .map(|(id, p, _)| (id, p))
        .collect();
    let mut result: Vec<String> = Vec::new();
    for text in rules {
        let Ok(rule) = Rule::parse(text) else { continue };
        let reaches = params.iter().any(|(_, p)| is_below(p, path) && rule.matches_below(p));
        if reaches {
            let wanted: Vec<bool> =
                params.iter().map(|(_, p)| rule.matches_below(p) && !is_below(p, path)).collect();
            let roots = graph.regions().iter().filter(|region| region.parent.is_none());
            for root in roots {
                cover(graph, &params, &wanted, &root.path, &mut result);
            }
        } else {
            result.push(text.clone());
        }
    }
    result.dedup();
    result
}

/// The largest regions and single parameters below `region` that hold exactly the wanted ones.
fn cover(graph: &Graph, params: &[(NodeId, &str)], wanted: &[bool], region: &str, result: &mut Vec<String>) {
    let below = || params.iter().zip(wanted).filter(|((_, p), _)| is_below(p, region));
    if !below().any(|(_, wanted)| *wanted) {
        return;
    }
    if below().all(|(_, wanted)| *wanted) {
        result.push(region.to_owned());
        return;
    }
    let children: Vec<&str> = graph
        .regions()
        .iter()
        .filter(|child| child.parent.is_some_and(|parent| graph.region(parent).path == region))
        .map(|child| child.path.as_str())
        .collect();
    for child in &children {
        cover(graph, params, wanted, child, result);
    }
    for ((_, p), _) in below().filter(|((_, p), wanted)| **wanted && !children.iter().any(|c| is_below(p, c)))
    {
        result.push((*p).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use graft_engine::models::DataShape;
    use graft_engine::project;
    use graft_engine::train::select;

    use super::*;

    fn graph_and_spec() -> (Graph, TrainSpec) {
        let text = "(version: 1, name: \"a\", model: Vit(width: 8, blocks: 2, heads: 1, patch: 8), \
                    data: Digits(), adapters: [(at: \"model.blocks.1.attention.query\", kind: Lora(rank: 2))], \
                    stages: [Train()])";
        let project = project::parse(text, Path::new("a.ron")).unwrap();
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let shape = DataShape { columns: Vec::new(), sample: vec![1, 16, 16], classes };
        let resolved = project.model.resolve(Path::new("."), &shape).unwrap();
        let graph = resolved.architecture.build("model").unwrap();
        let (graph, _) = graft_engine::adapters::place(&graph, 0, &project.adapters[0]).unwrap();
        let spec = project.stages[0].as_train().unwrap().clone();
        (graph, spec)
    }

    /// Trained parameters as (base below the path, base elsewhere, adapters), each "all", "some" or "none".
    fn trained(graph: &Graph, spec: &TrainSpec, path: &str) -> [&'static str; 3] {
        let selection = select(graph, spec).unwrap();
        let word = |keep: &dyn Fn(&str, bool) -> bool| {
            let all: Vec<bool> = graph
                .params()
                .filter(|(_, p, leaf)| keep(p, leaf.placement.is_some()))
                .map(|(_, p, _)| selection.paths.contains(p))
                .collect();
            match (all.iter().any(|t| *t), all.iter().all(|t| *t)) {
                (_, true) => "all",
                (true, false) => "some",
                (false, _) => "none",
            }
        };
        [
            word(&|p, adapter| !adapter && is_below(p, path)),
            word(&|p, adapter| !adapter && !is_below(p, path)),
            word(&|_, adapter| adapter),
        ]
    }

    #[test]
    fn a_part_without_adapters_is_frozen_by_a_rule_and_back() {
        let (graph, mut spec) = graph_and_spec();
        let before = spec.clone();
        freeze(&mut spec, &graph, "model.blocks.0");
        assert_eq!(spec.freeze, ["model.blocks.0"]);
        assert_eq!(trained(&graph, &spec, "model.blocks.0"), ["none", "all", "all"]);
        unfreeze(&mut spec, &graph, "model.blocks.0");
        assert_eq!(spec, before);
    }

    #[test]
    fn adapters_inside_a_frozen_part_go_on_training() {
        let (graph, mut spec) = graph_and_spec();
        freeze(&mut spec, &graph, "model.blocks");
        assert_eq!(trained(&graph, &spec, "model.blocks"), ["none", "all", "all"]);
        unfreeze(&mut spec, &graph, "model.blocks");
        assert_eq!(trained(&graph, &spec, "model"), ["all", "all", "all"]);
    }

    #[test]
    fn thawing_one_part_of_a_frozen_one_leaves_the_rest_frozen() {
        let (graph, mut spec) = graph_and_spec();
        spec.freeze = vec!["model.blocks.*".to_owned(), "model.head".to_owned()];
        unfreeze(&mut spec, &graph, "model.blocks.0.mlp");
        assert_eq!(trained(&graph, &spec, "model.blocks.0.mlp")[0], "all");
        assert_eq!(trained(&graph, &spec, "model.blocks.0.attention")[0], "none");
        assert_eq!(trained(&graph, &spec, "model.blocks.1")[0], "none");
        assert_eq!(trained(&graph, &spec, "model.head")[0], "none");
        assert_eq!(trained(&graph, &spec, "model.embeddings")[0], "all");
    }

    #[test]
    fn placing_into_a_frozen_part_keeps_the_part_frozen_and_the_adapter_trainable() {
        let (graph, mut spec) = graph_and_spec();
        spec.freeze = vec!["model.blocks".to_owned()];
        assert_eq!(trained(&graph, &spec, "model.blocks"), ["none", "all", "none"]);
        make_room(&mut spec, &graph, "model.blocks.1.attention.query");
        assert_eq!(trained(&graph, &spec, "model.blocks"), ["none", "all", "all"]);
    }
}
