//! What `graft plan` says of a project, without times.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use graft_engine::project::{Fit, Predicted, Project, build_turn, fit, load, open_source, plan, set};
use graft_tests::repository;

fn sample() -> Project {
    let project = load(&repository("projects/vivit_frozen_spatial.ron")).unwrap();
    set(&project, "stages.1.cache", "None").unwrap()
}

fn predicted(project: &Project, stage: usize) -> Predicted {
    let found = plan(project, &repository("projects"), None).unwrap();
    found.stages[stage].predicted.clone().unwrap()
}

fn fitted(project: &Project, stage: usize, budget: u64) -> Fit {
    let base = repository("projects");
    let turn = project.turns().unwrap()[stage].clone();
    let source = open_source(project, &base, stage).unwrap();
    let built = build_turn(project, &base, &turn, &turn.merged, source.as_ref()).unwrap();
    fit(&turn, &built, source.as_ref(), None, budget, 0).unwrap().unwrap()
}

#[test]
fn extents_are_those_of_the_data_not_of_the_checkpoint() {
    // The image transformer was trained at 32 × 32.
    let small = predicted(&sample(), 0);
    let large = predicted(&set(&sample(), "data.size", "64").unwrap(), 0);
    assert!(large.activations_bytes > 3 * small.activations_bytes, "{large:?} beside {small:?}");
    assert_eq!(large.batch_bytes - 8 * 32, 4 * (small.batch_bytes - 8 * 32), "pixels, beside labels");
}

#[test]
fn parameters_and_coverage_are_told() {
    let found = plan(&sample(), &repository("projects"), None).unwrap();
    assert_eq!((found.params_total, found.adapter_params), (694_504, 6464));
    assert_eq!(found.rules[0].matched, ["model.bridge"]);
    assert_eq!(found.stages[1].params_trainable, Some(232_840));
    let cut = found.stages[1].cut.clone().unwrap();
    assert!(cut.after.iter().all(|path| path.starts_with("model.spatial")), "{cut:?}");
    assert_eq!(
        cut.bytes_total,
        (4000 + 500 + 5000) * cut.bytes_per_sample,
        "trained on, evaluated on, tested on"
    );
    assert!(found.stages[0].cut.is_none(), "everything trains");
    // A setting that takes room is seen, and so is one that saves some.
    let now = predicted(&sample(), 0);
    for (path, value) in
        [("recompute", r#"["model.**.blocks.*"]"#), ("kept_bits", "Bits16"), ("accumulate", "4")]
    {
        let with = predicted(&set(&sample(), &format!("stages.0.{path}"), value).unwrap(), 0);
        assert!(with.peak_bytes < now.peak_bytes, "{path}");
    }
}

#[test]
fn what_is_said_to_fit_does_when_it_is_set() {
    let project = sample();
    let now = predicted(&project, 0).peak_bytes;
    assert!(fitted(&project, 0, 2 * now).choice.unwrap().settings.is_empty(), "fits as it is");
    for share in [90, 60, 40] {
        let budget = now * share / 100;
        let found = fitted(&project, 0, budget);
        let choice = found.choice.unwrap();
        assert!(choice.fits && choice.peak_bytes <= budget);
        let changed = choice.settings.iter().fold(project.clone(), |project, setting| {
            let (path, value) = setting.split_once('=').unwrap();
            set(&project, &format!("stages.0.{path}"), value).unwrap()
        });
        let with = predicted(&changed, 0);
        assert_eq!(with.peak_bytes - with.process_bytes, choice.peak_bytes, "{share} %");
        let batch = found.largest_batch.unwrap().to_string();
        let smaller = set(&project, "stages.0.batch", &batch).unwrap();
        let with = predicted(&smaller, 0);
        assert!(with.peak_bytes - with.process_bytes <= budget, "{batch} samples");
    }
    let none = fitted(&project, 0, 1 << 20);
    assert!(none.choice.is_none() && none.largest_batch.is_none());
    assert!(none.floor.bytes > 1 << 20 && none.floor.why.contains("weights"), "{:?}", none.floor);
}
