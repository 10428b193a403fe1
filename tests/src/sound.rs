//! Whether a schedule is sound, whatever executes it.

use std::collections::BTreeSet;

use graft_engine::graph::{Graph, Move, NodeKind, Schedule, Thing};
use graft_engine::ops::Reads;

/// Nothing is read that is not there, nothing is made twice at once, and nothing but results is left.
///
/// # Panics
/// At the first move that is not sound.
pub fn check_schedule(graph: &Graph, schedule: &Schedule) {
    let mut live: BTreeSet<Thing> = BTreeSet::new();
    let mut packed = BTreeSet::new();
    let is_op = |id| matches!(graph.node(id).kind, NodeKind::Op(_));
    for step in &schedule.moves {
        match *step {
            Move::Run { node, extras } | Move::Recompute { node, extras } => {
                let NodeKind::Op(op) = &graph.node(node).kind else { panic!("only ops run") };
                for (place, &input) in graph.node(node).inputs.iter().enumerate() {
                    let reads = op.reads(place, schedule.training[node.index()]) != Reads::Nothing;
                    let there = !reads || !is_op(input) || live.contains(&Thing::Value(input));
                    assert!(there, "{} reads {}", graph.node(node).path, graph.node(input).path);
                }
                assert!(live.insert(Thing::Value(node)), "{} twice", graph.node(node).path);
                assert!(!extras || live.insert(Thing::Extras(node)));
            }
            Move::Drop(thing) => assert!(live.remove(&thing), "{thing:?} is dropped but not there"),
            Move::Vjp(node) => {
                let keeps = &schedule.keeps[node.index()];
                for (place, &input) in graph.node(node).inputs.iter().enumerate() {
                    let there = !keeps.input(place) || !is_op(input) || live.contains(&Thing::Value(input));
                    assert!(there, "{} lacks {}", graph.node(node).path, graph.node(input).path);
                }
                assert!(!keeps.output || live.contains(&Thing::Value(node)));
                assert!(!keeps.extras || live.contains(&Thing::Extras(node)));
            }
            Move::Pack(node) => {
                assert!(
                    live.remove(&Thing::Value(node)),
                    "{} is packed but not there",
                    graph.node(node).path
                );
                assert!(packed.insert(node));
            }
            Move::Unpack(node) => {
                assert!(packed.remove(&node), "{} is unpacked but not packed", graph.node(node).path);
                assert!(live.insert(Thing::Value(node)), "{} twice", graph.node(node).path);
            }
            Move::Gradient(..) | Move::Commit(_) => {}
        }
    }
    assert!(packed.is_empty(), "everything that was packed is unpacked: {packed:?}");
    let results = schedule.updates.len() + 4;
    assert!(live.len() <= results, "only results are left: {live:?}");
}
