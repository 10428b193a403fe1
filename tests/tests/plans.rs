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

#[test]
fn a_cache_is_lowered_or_taken_out_where_that_makes_a_stage_fit() {
    let cached = set(&sample(), "stages.1.cache", "()").unwrap();
    let without = predicted(&sample(), 1);
    let with = predicted(&cached, 1);
    assert!(with.cache_bytes > 20 << 20 && with.peak_bytes > without.peak_bytes, "{with:?}");
    // Less than it takes with all of its cache in memory, whatever else is done.
    let keeps = |option: &&graft_engine::project::FitOption| {
        !option.settings.iter().any(|setting| setting.starts_with("cache="))
    };
    let options = fitted(&cached, 1, 1 << 20).options;
    let budget = options.iter().filter(keeps).map(|option| option.peak_bytes).min().unwrap() - 1;
    let choice = fitted(&cached, 1, budget).choice.unwrap();
    assert!(choice.peak_bytes <= budget && !keeps(&&choice), "{choice:?}");
    let none = fitted(&cached, 1, 1 << 20);
    assert!(
        none.choice.is_none() && none.floor.settings.contains(&"cache=None".to_owned()),
        "{:?}",
        none.floor
    );
}

#[test]
fn settings_of_a_repetition_are_named_where_they_stand() {
    let text = r#"(
        version: 2,
        name: "repeated",
        model: Vivit(
            spatial: Vit(width: 16, blocks: 1, heads: 2, mlp: 24, patch: 8),
            temporal: (blocks: 1, heads: 2, mlp: 24),
        ),
        data: MovingDigits(folder: "../assets/digits", frames: 8, size: 16, digit: 12, train: 8, validation: 0, test: 0),
        stages: [
            Repeat(variable: "rate", over: ["1e-3", "1e-4"], into: ["0.Train.optimiser.AdamW.learning_rate"], stages: [
                Train(batch: 4, optimiser: AdamW(learning_rate: 0.1)),
            ]),
            Train(batch: 4),
        ],
    )"#;
    let project = graft_engine::project::parse(text, std::path::Path::new("repeated.ron")).unwrap();
    let found = plan(&project, &repository("projects"), None).unwrap();
    let paths: Vec<&str> = found.stages.iter().map(|stage| stage.path.as_str()).collect();
    assert_eq!(paths, ["stages.0.stages.0", "stages.0.stages.0", "stages.1"]);
    for path in paths {
        set(&project, &format!("{path}.batch"), "2").unwrap();
    }
}

#[test]
fn no_batch_is_larger_than_its_epoch() {
    let all = predicted(&set(&sample(), "stages.0.batch", "4000").unwrap(), 0);
    let more = predicted(&set(&sample(), "stages.0.batch", "4611686018427387904").unwrap(), 0);
    assert_eq!(
        (all.peak_bytes - all.process_bytes, all.batch_bytes),
        (more.peak_bytes - more.process_bytes, more.batch_bytes)
    );
    let few = set(&sample(), "stages.0.batch", "1000").unwrap();
    let few = predicted(&set(&few, "stages.0.samples", "64").unwrap(), 0);
    assert_eq!(few.batch_bytes, predicted(&set(&sample(), "stages.0.batch", "64").unwrap(), 0).batch_bytes);
}
