//! The step of each training stage that is told of node by node: once, of this graph, and without changing a bit.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeSet;
use std::path::Path;

use graft_engine::device;
use graft_engine::graph::NodeKind;
use graft_engine::memory::{Counting, Meter};
use graft_engine::project::{Project, build_stage, open_source, set};
use graft_engine::runs::{Event, EventBody, NodeProfile, Outcome, RunFolder, RunOptions, resume, train};
use graft_engine::train::{Control, Optimiser, PROFILED, Progress, Stage, Wish};
use graft_engine::weights::{Tensor, load};
use graft_tests::{repository, tiny_project};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn run(project: &Project, runs: &Path, stop_at: Option<usize>) -> (Outcome, Vec<Event>) {
    let control = Control::new();
    let mut events = Vec::new();
    let mut steps = 0;
    let options = RunOptions { runs: runs.to_path_buf() };
    let summary = train(project, &repository("projects"), &options, &control, &mut |event| {
        steps += usize::from(matches!(event.body, EventBody::Step { .. }));
        events.push(event.clone());
        if Some(steps) == stop_at {
            control.set(Wish::Stop);
        }
    })
    .unwrap();
    (summary.outcome, events)
}

/// Stage, step and nodes of each profile.
fn profiles(events: &[Event]) -> Vec<(usize, u64, &[NodeProfile])> {
    let found = events.iter().filter_map(|event| match &event.body {
        EventBody::Profile { stage, step, nodes, .. } => Some((*stage, *step, nodes.as_slice())),
        _ => None,
    });
    found.collect()
}

#[test]
fn each_training_stage_tells_once_of_its_own_nodes() {
    let runs = tempfile::tempdir().unwrap();
    let project = tiny_project();
    let (_, events) = run(&project, runs.path(), None);
    let found = profiles(&events);
    assert_eq!(
        found.iter().map(|(stage, step, _)| (*stage, *step)).collect::<Vec<_>>(),
        [(0, PROFILED), (1, PROFILED)]
    );
    for (stage, step, nodes) in found {
        let source = open_source(&project, &repository("projects"), stage).unwrap();
        let built = build_stage(&project, &repository("projects"), stage, source.as_ref()).unwrap();
        let graph = &built.step.as_ref().unwrap().graph;
        let ops = graph.nodes().iter().filter(|node| matches!(node.kind, NodeKind::Op(_)));
        let paths: Vec<&str> = nodes.iter().map(|node| node.path.as_str()).collect();
        assert_eq!(paths, ops.map(|node| node.path.as_str()).collect::<Vec<_>>());
        let phases = events.iter().find_map(|event| match &event.body {
            EventBody::Step { stage: s, step: n, forward_secs, backward_secs, .. }
                if (*s, *n) == (stage, step) =>
            {
                Some((*forward_secs, *backward_secs))
            }
            _ => None,
        });
        let (forward, backward) = phases.unwrap();
        let sum = |of: fn(&NodeProfile) -> f64| nodes.iter().map(of).sum::<f64>();
        let (own_forward, own_backward) = (sum(|node| node.forward_secs), sum(|node| node.backward_secs));
        // What is left over is bookkeeping between nodes; each time is rounded to a nanosecond.
        let slack = 1e-9 * nodes.len() as f64;
        assert!(own_forward <= forward + slack && own_forward > 0.3 * forward, "{own_forward} of {forward}");
        assert!(own_backward <= backward + slack, "{own_backward} of {backward}");
        assert!(own_backward > 0.1 * backward, "{own_backward} of {backward}");
        if stage == 1 {
            let frozen = nodes.iter().filter(|node| node.path.starts_with("model.spatial."));
            assert!(frozen.clone().count() > 5);
            for node in frozen {
                assert!(node.backward_secs <= 0.0, "nothing is differentiated in the frozen part: {node:?}");
            }
        }
    }
}

#[test]
fn bytes_are_those_that_the_plan_foretells() {
    let runs = tempfile::tempdir().unwrap();
    // Large enough that what a value's own record takes does not count.
    let mut project = set(&tiny_project(), "stages.0.batch", "32").unwrap();
    project = set(&project, "stages.0.epochs", "2").unwrap();
    project.stages.truncate(1);
    project.adapters.clear();
    let (_, events) = run(&project, runs.path(), None);
    let (_, _, nodes) = profiles(&events)[0];
    let (mut foretold, mut seen, mut off) = (0, 0, 0);
    for node in nodes {
        let (expected, found) = (node.predicted_bytes.unwrap(), node.bytes.unwrap());
        foretold += expected;
        seen += found;
        off += expected.abs_diff(found);
        assert!(expected.abs_diff(found) < 1024 + expected / 50, "{node:?}");
    }
    assert!(foretold > 100_000, "{foretold}");
    assert!((seen as f64 / foretold as f64 - 1.0).abs() < 0.05, "{seen} of {foretold}, {off} apart");
}

#[test]
fn a_resumed_run_has_each_profile_once() {
    let runs = tempfile::tempdir().unwrap();
    // Before, at and behind the step of either stage.
    for stop_at in [1, 3, 4, 5, 6, 8] {
        let (outcome, events) = run(&tiny_project(), runs.path(), Some(stop_at));
        assert_eq!(outcome, Outcome::Stopped);
        let folder = runs.path().join(&events[0].run);
        resume(&folder, &Control::new(), &mut |_| {}).unwrap();
        let log = RunFolder::events(&folder).unwrap();
        let stages: Vec<usize> = profiles(&log).iter().map(|(stage, ..)| *stage).collect();
        assert_eq!(stages, [0, 1], "stopped at {stop_at}");
    }
}

/// A kill may come behind a profile and before any checkpoint: then the step is done again, and told of again.
#[test]
fn what_a_kill_undoes_is_not_told_twice() {
    let runs = tempfile::tempdir().unwrap();
    let (_, events) = run(&tiny_project(), runs.path(), None);
    let folder = runs.path().join(&events[0].run);
    let log = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let until = log.lines().take_while(|line| !line.contains("\"event\":\"checkpoint\"")).collect::<Vec<_>>();
    assert!(until.iter().any(|line| line.contains("\"event\":\"profile\"")), "the kill comes behind it");
    std::fs::write(folder.join("events.jsonl"), until.join("\n") + "\n").unwrap();
    std::fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    resume(&folder, &Control::new(), &mut |_| {}).unwrap();
    let log = RunFolder::events(&folder).unwrap();
    assert_eq!(profiles(&log).iter().map(|(stage, ..)| *stage).collect::<Vec<_>>(), [0, 1]);
}

/// Losses, weights and the number of profiles of a stage trained by hand.
fn by_hand(profiles: bool) -> (Vec<u64>, Vec<(String, Tensor)>, usize) {
    let project = tiny_project();
    let base = repository("projects");
    let source = open_source(&project, &base, 1).unwrap();
    let built = build_stage(&project, &base, 1, source.as_ref()).unwrap();
    let device = device::open("flex").unwrap();
    let (mut params, _) = load(built.walked(), None, project.seed, &device).unwrap();
    let spec = project.stages[1].as_train().unwrap();
    let stage = Stage {
        index: 1,
        repetition: 0,
        spec,
        model: &built.graph,
        step: built.step.as_ref().unwrap(),
        selection: &built.selection,
        source: &source,
        device: &device,
        seed: project.seed,
        caching: None,
        profiles,
    };
    let mut optimiser = Optimiser::new(spec.optimiser.clone());
    let (mut losses, mut told) = (Vec::new(), 0);
    stage
        .run(
            &mut params,
            &mut optimiser,
            graft_engine::train::Done::default(),
            &Control::new(),
            &mut Meter::start(),
            &mut |progress, _| {
                match progress {
                    Progress::Step(report) => losses.push(report.loss.to_bits()),
                    Progress::Profile(_) => told += 1,
                    _ => {}
                }
                Ok(())
            },
        )
        .unwrap();
    (losses, params.to_host().into_iter().collect(), told)
}

#[test]
fn watching_changes_no_bit() {
    let (watched, unwatched) = (by_hand(true), by_hand(false));
    assert_eq!((watched.2, unwatched.2), (1, 0));
    assert_eq!(watched.0, unwatched.0);
    assert_eq!(watched.1.len(), unwatched.1.len());
    for ((path, a), (_, b)) in watched.1.iter().zip(&unwatched.1) {
        let bits = |tensor: &Tensor| tensor.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(a), bits(b), "{path}");
    }
}

#[test]
fn the_report_names_the_costliest_parts() {
    let runs = tempfile::tempdir().unwrap();
    let (_, events) = run(&tiny_project(), runs.path(), None);
    let report = std::fs::read_to_string(runs.path().join(&events[0].run).join("report.md")).unwrap();
    let rows = report.lines().filter(|line| line.starts_with("| model.") || line.starts_with("| step"));
    let named: Vec<&str> = rows.map(|line| line.split(" | ").next().unwrap()).collect();
    assert_eq!(report.matches("| part | ms, predicted | measured |").count(), 2, "{report}");
    assert!(named.len() <= 20 && named.len() > 10, "{named:?}");
    assert!(
        named.iter().collect::<BTreeSet<_>>().contains(&"| model.spatial.blocks.0.attention"),
        "{report}"
    );
}
