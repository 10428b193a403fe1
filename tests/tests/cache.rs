//! The frozen-prefix cache in whole runs: the same losses, every sample walked once, exact invalidation, damage,
//! other processes, and what it refuses.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may end at whatever is wrong"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graft_engine::cache::CacheSpec;
use graft_engine::data::{Column, Sample, SampleError, Source, Split};
use graft_engine::project::{Project, build_stage, open_source, parse, set};
use graft_engine::runs::{
    Event, EventBody, Outcome, RunFolder, RunOptions, evaluate_run, resume, run_folders, train,
};
use graft_engine::train::{Caching, Control, Edit, EditSpec, EvaluateSpec, StageSpec, Wish};
use graft_tests::case::case;
use graft_tests::equal::{same_bits, same_to_rounding};
use graft_tests::proving::{PROJECT, make_known, write_data};
use graft_tests::{repository, tiny_project};

fn run_in(project: &Project, base: &Path, runs: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    let options = RunOptions { runs: runs.to_path_buf() };
    let summary =
        train(project, base, &options, &Control::new(), &mut |event| events.push(event.clone())).unwrap();
    assert_eq!(summary.outcome, Outcome::Finished);
    events
}

fn run(project: &Project, runs: &Path) -> Vec<Event> {
    run_in(project, &repository("projects"), runs)
}

/// All step losses, then all evaluation losses.
fn losses(events: &[Event]) -> Vec<f32> {
    let steps = events.iter().filter_map(|event| match event.body {
        EventBody::Step { loss, .. } => Some(loss as f32),
        _ => None,
    });
    let evaluations = events.iter().filter_map(|event| match event.body {
        EventBody::Eval { loss, .. } => Some(loss as f32),
        _ => None,
    });
    steps.chain(evaluations).collect()
}

/// Samples computed and times found, as the last event of a cache says.
fn counts(events: &[Event]) -> (u64, u64) {
    let last = events.iter().rev().find_map(|event| match event.body {
        EventBody::Cache { built, hits, bytes, .. } => {
            assert!(bytes > 0);
            Some((built, hits))
        }
        _ => None,
    });
    last.unwrap()
}

fn segments(cache: &Path) -> Vec<PathBuf> {
    let inner = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect()
    };
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "segment");
    inner(cache).iter().flat_map(|folder| inner(folder)).filter(is_segment).collect()
}

/// The tiny project with dropout in what trains.
fn dropping() -> Project {
    let lora = "Lora(rank: 2, alpha: 4, dropout: 0.3)";
    set(&tiny_project(), "adapters.1.kind", lora).unwrap()
}

#[test]
fn cached_training_has_the_same_losses_cold_and_warm_in_memory_and_in_files() {
    let plain = losses(&run(&dropping(), tempfile::tempdir().unwrap().path()));
    // In one walk a step the prefix runs in the very same batches.
    let single = set(&dropping(), "stages.1.accumulate", "1").unwrap();
    let plain_single = losses(&run(&single, tempfile::tempdir().unwrap().path()));
    for memory in ["cache=()", "cache=(memory_bytes: 0)", "cache=(memory_bytes: 20000)"] {
        let (path, value) = memory.split_once('=').unwrap();
        let runs = tempfile::tempdir().unwrap();
        let cached = set(&dropping(), &format!("stages.1.{path}"), value).unwrap();
        let cold = run(&cached, runs.path());
        same_to_rounding(&losses(&cold), &plain, "cold");
        // Two epochs of training and validation, and the test once: each sample is walked once.
        assert_eq!(counts(&cold), (48 + 16 + 24, 48 + 16), "{memory}");
        let warm = run(&cached, runs.path());
        same_to_rounding(&losses(&warm), &plain, "warm");
        assert_eq!(counts(&warm), (0, 2 * (48 + 16) + 24), "{memory}");
        let single = set(&single, &format!("stages.1.{path}"), value).unwrap();
        let runs = tempfile::tempdir().unwrap();
        let first_epoch = |losses: &[f32]| losses[..6].to_vec();
        same_bits(&first_epoch(&losses(&run(&single, runs.path()))), &first_epoch(&plain_single), memory);
        let again = run(&set(&single, "stages.1.recompute", r#"["model.temporal"]"#).unwrap(), runs.path());
        same_to_rounding(&losses(&again), &plain_single, "recomputed");
        assert_eq!(counts(&again).0, 0);
    }
}

#[test]
fn samples_of_several_extents_are_kept_and_routed_as_before() {
    let runs = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_data(&folder.path().join("proving.safetensors"), 40).unwrap();
    make_known();
    let project = proving();
    let plain = set(&project, "stages.0.stages.0.cache", "None").unwrap();
    let plain = losses(&run_in(&plain, folder.path(), runs.path()));
    let cold = run_in(&project, folder.path(), runs.path());
    same_to_rounding(&losses(&cold), &plain, "cold");
    let warm = run_in(&project, folder.path(), runs.path());
    same_to_rounding(&losses(&warm), &plain, "warm");
    assert_eq!(counts(&warm).0, 0);
}

/// The proving project's stage of adapters alone, without adapters in the two frozen halves.
fn proving() -> Project {
    let mut project = parse(PROJECT, Path::new("proving.ron")).unwrap();
    project.stages.drain(3..);
    project.stages.drain(..2);
    project.adapters.drain(4..);
    project.adapters.drain(..2);
    let project = set(&project, "adapters.1.at", "model.P4.adapter_0.{down,up}").unwrap();
    set(&project, "stages.0.stages.0.cache", "()").unwrap()
}

#[test]
fn a_stopped_run_goes_on_with_what_it_kept() {
    let runs = tempfile::tempdir().unwrap();
    let whole = losses(&run(&dropping(), tempfile::tempdir().unwrap().path()));
    let cached = set(&dropping(), "stages.1.cache", "(memory_bytes: 0)").unwrap();
    let control = Control::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let mut steps = 0;
    let summary = train(&cached, &repository("projects"), &options, &control, &mut |event| {
        steps += usize::from(matches!(event.body, EventBody::Step { .. }));
        if steps == 5 {
            control.set(Wish::Stop);
        }
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Stopped);
    let mut events = Vec::new();
    resume(&summary.folder, &Control::new(), &mut |event| events.push(event.clone())).unwrap();
    same_to_rounding(&losses(&RunFolder::events(&summary.folder).unwrap()), &whole, "resumed");
    // Two of three batches of the first epoch were kept.
    assert_eq!(counts(&events), (16 + 16 + 24, 48 + 16));
}

/// The tiny project, its last stage never evaluated, then an edit and a stage that evaluates on the test split.
fn evaluated_after() -> Project {
    let mut project = set(&dropping(), "stages.1.evaluate_every", "0").unwrap();
    let edits = vec![Edit::Scale { at: "model.head".to_owned(), factor: 2.0 }];
    project.stages.push(StageSpec::Edit(EditSpec { edits, ..EditSpec::default() }));
    project.stages.push(StageSpec::Evaluate(EvaluateSpec { split: Split::Test, ..EvaluateSpec::default() }));
    project
}

#[test]
fn evaluations_after_a_stage_use_what_it_kept() {
    let plain = tempfile::tempdir().unwrap();
    let expected = losses(&run(&evaluated_after(), plain.path()));
    let cached = set(&evaluated_after(), "stages.1.cache", "()").unwrap();
    let runs = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let summary = train(&cached, &repository("projects"), &options, &Control::new(), &mut |event| {
        events.push(event.clone());
    })
    .unwrap();
    same_to_rounding(&losses(&events), &expected, "the stage");
    let cache = runs.path().join("cache");
    let kept = || segments(&cache).len();
    // The training split's features and labels, and the test split's.
    assert_eq!(kept(), 4);
    let of = |runs: &Path| {
        let folder = run_folders(runs).remove(0);
        evaluate_run(&folder, Split::Validation).unwrap().loss as f32
    };
    same_to_rounding(&[of(runs.path())], &[of(plain.path())], "afterwards");
    assert_eq!(kept(), 6, "what was missing is kept");
    assert!(!plain.path().join("cache").exists());
    std::fs::remove_dir_all(&cache).unwrap();
    same_to_rounding(&[of(runs.path())], &[of(plain.path())], "without");
    assert!(!cache.exists(), "what was deleted stays so");
    assert_eq!(summary.outcome, Outcome::Finished);
}

#[test]
fn an_evaluation_that_is_gone_on_with_has_the_bits_of_one_that_was_not_stopped() {
    let cached = set(&evaluated_after(), "stages.1.cache", "()").unwrap();
    let whole = losses(&run(&cached, tempfile::tempdir().unwrap().path()));
    let runs = tempfile::tempdir().unwrap();
    let control = Control::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let summary = train(&cached, &repository("projects"), &options, &control, &mut |event| {
        if matches!(&event.body, EventBody::Stage { kind, .. } if kind == "evaluate") {
            control.set(Wish::Stop);
        }
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Stopped);
    let cache = runs.path().join("cache");
    // It goes on at the edit, behind the stage that has the cache.
    std::fs::remove_dir_all(&cache).unwrap();
    resume(&summary.folder, &Control::new(), &mut |_| {}).unwrap();
    assert_eq!(segments(&cache).len(), 2, "the test split's features and labels");
    same_bits(&losses(&RunFolder::events(&summary.folder).unwrap()), &whole, "gone on with");
}

/// One stage over fresh weights, small enough to be run often.
fn one_stage() -> Project {
    let mut project = tiny_project();
    project.stages.remove(0);
    let changes = [
        ("data.train", "16"),
        ("data.validation", "0"),
        ("data.test", "0"),
        ("stages.0.epochs", "1"),
        ("stages.0.batch", "8"),
        ("stages.0.accumulate", "1"),
        ("stages.0.cache", "()"),
    ];
    changes.iter().fold(project, |project, (path, value)| set(&project, path, value).unwrap())
}

/// What changes in a project, and how many of 16 samples must be computed again.
#[test]
fn exactly_what_depends_on_a_change_is_computed_again() {
    let runs = tempfile::tempdir().unwrap();
    let project = one_stage();
    assert_eq!(counts(&run(&project, runs.path())), (16, 0));
    let check = |project: &Project, computed: u64, what: &str| {
        assert_eq!(counts(&run(project, runs.path())).0, computed, "{what}");
    };
    check(&project, 0, "nothing");
    for (path, value, computed) in [
        // Behind the cut.
        ("stages.0.optimiser.learning_rate", "0.1", 0),
        ("stages.0.label_smoothing", "0.1", 0),
        ("stages.0.batch", "5", 0),
        ("stages.0.epochs", "2", 0),
        ("stages.0.name", "other", 0),
        ("model.temporal", "(blocks: 2, heads: 2, mlp: 8)", 0),
        ("adapters.0.kind", "Bridge(width: 3)", 0),
        ("adapters", "[]", 0),
        ("stages.0.freeze", r#"["model.spatial", "model.head"]"#, 0),
        ("stages.0.recompute", r#"["model.temporal"]"#, 0),
        // Which samples there are, not what they are.
        ("data.train", "20", 4),
        ("data.train", "12", 0),
        ("data.validation", "3", 3),
        ("stages.0.only", r#"[("labels", 1)]"#, 0),
        // What a sample is.
        ("data.noise", "0.1", 16),
        ("data.mean", "0.5", 16),
        ("data.seed", "1", 16),
        ("data.jitter_degrees", "10", 16),
        ("stages.0.frames", "4", 16),
        ("stages.0.shuffle", "Frames", 16),
        // What it is turned into.
        ("seed", "9", 16),
        ("model.spatial.Vit.mlp", "16", 16),
        ("model.tubelet", "4", 16),
        // Another cut: in the last block, before its query.
        ("adapters.0", r#"(at: "model.spatial.blocks.0.attention.query", kind: Lora(rank: 2))"#, 16),
    ] {
        check(&set(&project, path, value).unwrap(), computed, &format!("{path} = {value}"));
    }
    // A weight before the cut, and one behind it.
    let scaled = |at: &str| {
        let mut project = project.clone();
        let edit = format!(r#"[Edit(name: "scale", edits: [Scale(at: "{at}", factor: 1.5)])]"#);
        let edits = set(&project, "stages", &edit).unwrap();
        project.stages.splice(0..0, edits.stages);
        project
    };
    check(&scaled("model.spatial.blocks.0.attention.query.weight"), 16, "a frozen weight");
    check(&scaled("model.temporal.blocks.0.attention.query.weight"), 0, "a weight behind the cut");
    // A key that was left is still there.
    check(&project, 0, "nothing, again");
}

#[test]
fn the_cut_follows_the_placement() {
    let base = repository("projects");
    let wide = set(&tiny_project(), "model.spatial.Vit.blocks", "4").unwrap();
    let after = |changes: &[(&str, &str)]| -> Vec<String> {
        let project =
            changes.iter().fold(wide.clone(), |project, (path, value)| set(&project, path, value).unwrap());
        let source = open_source(&project, &base, 1).unwrap();
        let built = build_stage(&project, &base, 1, source.as_ref()).unwrap();
        let binding = built.architecture.binding(1);
        let place = CacheSpec::default().place(&base, &base, "flex", binding);
        let step = built.step.as_ref().unwrap();
        let caching = Caching::new(step, &place, source.as_ref()).unwrap();
        caching.after().iter().map(|id| step.graph.node(*id).path.clone()).collect()
    };
    let spatial = after(&[]);
    assert_eq!(spatial.len(), 1, "{spatial:?}");
    assert!(spatial[0].starts_with("model.spatial") || spatial[0].starts_with("model.bridge"), "{spatial:?}");
    // An adapter in the third of four blocks: all that comes before it, and its own frozen layers.
    let lora = r#"(at: "model.spatial.blocks.2.attention.query", kind: Lora(rank: 2))"#;
    let unfrozen = [("stages.1.freeze", "[]"), ("stages.1.train", r#"["model.temporal", "model.head"]"#)];
    let placed = |adapter: &'static str| after(&[unfrozen[0], unfrozen[1], ("adapters.0", adapter)]);
    let middle = placed(lora);
    assert!(middle.len() > 1, "{middle:?}");
    let outside = |path: &&String| !path.contains("blocks.2") && !path.contains("blocks.1");
    assert!(middle.iter().filter(outside).count() == 0, "{middle:?}");
    // A bottleneck behind the second block's feed-forward.
    let bottleneck = r#"(at: "model.spatial.blocks.1.P4", kind: Bottleneck(width: 3))"#;
    let second = placed(bottleneck);
    assert!(second.iter().all(|path| path.contains("blocks.1")), "{second:?}");
    // The head alone: one vector a clip.
    let head = [("adapters", "[]"), ("stages.1.train", r#"["model.head"]"#), ("stages.1.freeze", "[]")];
    assert_eq!(after(&head), ["model.cls"]);
}

/// A source that counts how often it is read.
#[derive(Debug)]
struct Counted(Arc<dyn Source>, AtomicUsize);

impl Source for Counted {
    fn len(&self, split: Split) -> usize {
        self.0.len(split)
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn sample_shape(&self) -> Vec<usize> {
        self.0.sample_shape()
    }
    fn columns(&self) -> Vec<Column> {
        self.0.columns()
    }
    fn group(&self, split: Split, index: usize) -> u64 {
        self.0.group(split, index)
    }
    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        self.0.fingerprint(split, column)
    }
    fn identity(&self, split: Split, index: usize) -> u128 {
        self.0.identity(split, index)
    }
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sample(split, index)
    }
}

#[test]
fn a_cut_within_the_spatial_transformer_keeps_every_frame() {
    let adapter = r#"[(at: "model.spatial.blocks.1.attention.query", kind: Lora(rank: 2, dropout: 0.2))]"#;
    let changes = [
        ("model.spatial.Vit.blocks", "2"),
        ("adapters", adapter),
        ("stages.1.freeze", "[]"),
        ("stages.1.train", r#"["model.temporal", "model.head"]"#),
        ("stages.1.accumulate", "2"),
    ];
    let project =
        changes.iter().fold(tiny_project(), |project, (path, value)| set(&project, path, value).unwrap());
    let plain = losses(&run(&project, tempfile::tempdir().unwrap().path()));
    for memory in ["()", "(memory_bytes: 0)"] {
        let runs = tempfile::tempdir().unwrap();
        let cached = set(&project, "stages.1.cache", memory).unwrap();
        let cold = run(&cached, runs.path());
        same_to_rounding(&losses(&cold), &plain, "cold");
        assert_eq!(counts(&cold).0, 48 + 16 + 24);
        // What lies behind the cut asks the clips for their extents alone: no clip is kept, and none is read again.
        let [features, clip] = [5120, 8 * 24 * 24 * 4];
        let told = cold.iter().rev().find_map(|event| match event.body {
            EventBody::Cache { bytes, .. } => Some(bytes / (48 + 16 + 24)),
            _ => None,
        });
        assert!((features..clip).contains(&told.unwrap()), "{told:?} bytes a sample");
        let warm = run(&cached, runs.path());
        same_to_rounding(&losses(&warm), &plain, "warm");
        assert_eq!(counts(&warm).0, 0);
    }
}

#[test]
fn two_towers_are_kept_apart() {
    use graft_engine::cache::{Features, Prefix, Session};
    use graft_engine::tensor::Value;
    let case = case(2, |project| {
        let project = set(&project, "adapters.0.at", "model.joint.seen").unwrap();
        let project = set(&project, "adapters.4.at", "model.joint.read").unwrap();
        set(&project, "adapters.5.at", "model.joint.read").unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let step = case.step();
    let binding = case.built.architecture.binding(1);
    let prefix = Prefix::at_cut(&step.graph, &step.schedule, &binding, &case.source.columns()).unwrap();
    assert_eq!(prefix.paths(), ["model.vision.pooled", "model.text.features"]);
    let rest = step.schedule_from(prefix.after()).unwrap();
    let device = graft_tests::case::device();
    let order: Vec<usize> = (0..8).collect();
    let planned = graft_engine::data::batches(case.source.as_ref(), Split::Train, &order, 4);
    let place =
        CacheSpec { memory_bytes: 0, folder: None }.place(folder.path(), folder.path(), "flex", binding);
    let counted = Arc::new(Counted(Arc::clone(&case.source), AtomicUsize::new(0)));
    let source: Arc<dyn Source> = Arc::<Counted>::clone(&counted);
    let reads = || counted.1.swap(0, Ordering::Relaxed);
    let pass = |params: &graft_engine::weights::Params, device_name: &str| {
        let place = graft_engine::cache::CachePlace { device: device_name.to_owned(), ..place.clone() };
        let session = Session::new(&place);
        let features = Features::open(&prefix, &rest, params, &source, Split::Train, &session).unwrap();
        let mut values = Vec::new();
        for gathered in features.loader(planned.clone(), 1, 2) {
            let (batch, _) = features.complete(gathered.unwrap(), &mut params.clone(), &device, 4).unwrap();
            // Columns of the data that the rest reads are there, the others are not.
            let names: Vec<&str> = batch.columns.keys().map(String::as_str).collect();
            assert_eq!(names, ["labels", "model.text.features", "model.vision.pooled", "route"]);
            values.extend_from_slice(batch.columns["model.text.features"].as_floats().unwrap());
        }
        let totals = session.totals();
        features.flush();
        let keys: BTreeSet<PathBuf> = std::fs::read_dir(place.folder.clone())
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .filter(|folder| std::fs::read_dir(folder).unwrap().count() > 0)
            .collect();
        (totals.built, totals.hits, keys.len(), values)
    };
    let (built, hits, keys, first) = pass(&case.params, "flex");
    assert_eq!((built, hits, keys), (8, 0, 4), "two towers and two columns");
    assert_eq!(reads(), 8);
    let (built, hits, keys, again) = pass(&case.params, "flex");
    assert_eq!((built, hits, keys), (0, 8, 4));
    assert_eq!(reads(), 0, "what is found is not read");
    same_bits(&again, &first, "read back");
    let mut params = case.params.clone();
    let moved = |path: &str, params: &mut graft_engine::weights::Params| {
        let value = params.get(path).unwrap().clone();
        params.set(path, value.add_scalar(0.25));
        let _: &Value = params.get(path).unwrap();
    };
    moved("model.vision.fine.weight", &mut params);
    let (built, _, keys, text) = pass(&params, "flex");
    assert_eq!((built, keys), (8, 5), "only what sees is computed again");
    same_bits(&text, &first, "what reads is what it was");
    moved("model.head.weight", &mut params);
    assert_eq!(pass(&params, "flex").2, 5, "behind the cut");
    moved("model.vision.norm.running_mean", &mut params);
    assert_eq!(pass(&params, "flex").2, 6, "a state counts as a weight does");
    assert_eq!(pass(&params, "other").2, 8, "another device, the same columns");
}

#[test]
fn damaged_files_are_noticed_and_made_again() {
    let runs = tempfile::tempdir().unwrap();
    let project = one_stage();
    let first = run(&project, runs.path());
    let files = segments(&runs.path().join("cache"));
    assert!(files.len() >= 2 && files.iter().all(|path| path.extension().unwrap() == "segment"));
    let largest = files.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap().clone();
    let whole = std::fs::read(&largest).unwrap();
    let mut flipped = whole.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    let cut = whole[..whole.len() / 2].to_vec();
    let empty = Vec::new();
    for (damage, what, lost) in [(cut, "cut short", 16), (flipped, "one bit", 1), (empty, "empty", 16)] {
        std::fs::remove_dir_all(runs.path().join("cache")).unwrap();
        run(&project, runs.path());
        for file in segments(&runs.path().join("cache")) {
            if file.metadata().unwrap().len() == whole.len() as u64 {
                std::fs::write(&file, &damage).unwrap();
            }
        }
        let again = run(&project, runs.path());
        same_to_rounding(&losses(&again), &losses(&first), what);
        assert_eq!(counts(&again).0, lost, "{what}");
        assert_eq!(counts(&run(&project, runs.path())).0, 0, "{what}: made again");
    }
}

#[test]
fn what_is_lost_or_cannot_be_written_while_a_run_goes_on_is_computed_again() {
    let project = set(&one_stage(), "stages.0.epochs", "3").unwrap();
    let expected = losses(&run(&project, tempfile::tempdir().unwrap().path()));
    let project = set(&project, "stages.0.cache", "(memory_bytes: 0)").unwrap();
    let during = |spoil: &dyn Fn(&Path)| {
        let runs = tempfile::tempdir().unwrap();
        let options = RunOptions { runs: runs.path().to_path_buf() };
        let mut events: Vec<Event> = Vec::new();
        let is_checkpoint = |event: &Event| matches!(event.body, EventBody::Checkpoint { .. });
        let summary = train(&project, &repository("projects"), &options, &Control::new(), &mut |event| {
            if is_checkpoint(event) && !events.iter().any(is_checkpoint) {
                spoil(&runs.path().join("cache"));
            }
            events.push(event.clone());
        });
        assert_eq!(summary.unwrap().outcome, Outcome::Finished);
        same_to_rounding(&losses(&events), &expected, "spoilt");
        let last = events.iter().rev().find_map(|event| match &event.body {
            EventBody::Cache { built, trouble, .. } => Some((*built, trouble.clone())),
            _ => None,
        });
        last.unwrap()
    };
    let cut_short = |cache: &Path| {
        for path in segments(cache) {
            std::fs::File::options().write(true).open(path).unwrap().set_len(40).unwrap();
        }
    };
    assert_eq!(during(&cut_short), (2 * 16, None), "written once more, then found");
    let replaced = |cache: &Path| {
        cut_short(cache);
        std::fs::remove_dir_all(cache).unwrap();
        std::fs::write(cache, "no folder").unwrap();
    };
    let (built, trouble) = during(&replaced);
    assert_eq!(built, 3 * 16, "each epoch, as nothing can be kept");
    assert!(trouble.unwrap().contains("make room"));
}

#[test]
fn runs_at_the_same_time_share_a_cache() {
    let runs = tempfile::tempdir().unwrap();
    let project = set(&one_stage(), "stages.0.epochs", "2").unwrap();
    let alone = losses(&run(&project, tempfile::tempdir().unwrap().path()));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| losses(&run(&project, runs.path())))).collect();
        for thread in threads {
            same_to_rounding(&thread.join().unwrap(), &alone, "side by side");
        }
    });
    assert_eq!(counts(&run(&project, runs.path())).0, 0);
}

#[test]
fn pictures_are_told_apart_by_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |class: &str, name: usize, value: usize| {
        let path = folder.path().join("pictures").join(class).join(format!("{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, picture(value)).unwrap();
    };
    for name in 0..6 {
        write("a", name, name);
        write("b", name, name + 100);
    }
    std::fs::write(folder.path().join("pictures/a/broken.png"), "no picture").unwrap();
    let text = r#"(
        version: 2,
        name: "pictures",
        model: Vit(width: 16, blocks: 2, heads: 2, patch: 4),
        data: ImageFolder(folder: "pictures", size: 8, split: (validation: 0.0, test: 0.0)),
        stages: [Train(train: ["model.head"], epochs: 2, batch: 4, cache: ())],
    )"#;
    let project = parse(text, Path::new("pictures.ron")).unwrap();
    let runs = tempfile::tempdir().unwrap();
    let cold = run_in(&project, folder.path(), runs.path());
    let plain = set(&project, "stages.0.cache", "None").unwrap();
    same_to_rounding(&losses(&cold), &losses(&run_in(&plain, folder.path(), runs.path())), "one is skipped");
    assert!(cold.iter().any(|event| matches!(&event.body, EventBody::Skipped { count: 2, .. })));
    assert_eq!(counts(&cold), (12, 12));
    // One more, one changed: no other moves.
    write("a", 9, 9);
    write("b", 2, 255);
    assert_eq!(counts(&run_in(&project, folder.path(), runs.path())).0, 2);
    let larger = set(&project, "data.mean", "[0.1, 0.2, 0.3]").unwrap();
    assert_eq!(counts(&run_in(&larger, folder.path(), runs.path())).0, 13);
}

#[test]
fn folders_whose_files_look_alike_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (set, shift) in [("one", 0), ("other", 50)] {
        for (class, name) in [("a", 0), ("a", 1), ("b", 2), ("b", 3)] {
            let path = folder.path().join(set).join(class).join(format!("{name}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, picture(10 * name + shift)).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
    }
    let text = r#"(
        version: 2,
        name: "pictures",
        model: Vit(width: 16, blocks: 2, heads: 2, patch: 4),
        data: ImageFolder(folder: "one", size: 8, split: (validation: 0.0, test: 0.0)),
        stages: [Train(train: ["model.head"], epochs: 1, batch: 2, cache: ())],
    )"#;
    let one = parse(text, Path::new("pictures.ron")).unwrap();
    let other = set(&one, "data.folder", "\"other\"").unwrap();
    let runs = tempfile::tempdir().unwrap();
    let of_one = run_in(&one, folder.path(), runs.path());
    let of_other = run_in(&other, folder.path(), runs.path());
    assert_eq!(counts(&of_other), (4, 0), "same names, sizes and times, other pixels");
    let plain = losses(&run_in(&set(&other, "stages.0.cache", "None").unwrap(), folder.path(), runs.path()));
    same_to_rounding(&losses(&of_other), &plain, "the other folder");
    assert_ne!(losses(&of_one), plain);
}

/// A grey PNG of 9 × 9 pixels of one value, stored without compression.
fn picture(value: usize) -> Vec<u8> {
    let row = |row: usize| std::iter::once(0).chain((0..9).map(move |x| (value + x * row) as u8));
    let raw: Vec<u8> = (0..9).flat_map(row).collect();
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
            })
        })
    };
    let (mut a, mut b) = (1u32, 0u32);
    for byte in &raw {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    let length = raw.len() as u16;
    let mut packed = vec![0x78, 0x01, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(&raw);
    packed.extend((b << 16 | a).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&9u32.to_be_bytes()[..], &9u32.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", packed), (b"IEND", Vec::new())] {
        let body = [&name[..], &data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&body);
        file.extend(crc(&body).to_be_bytes());
    }
    file
}

#[test]
fn what_cannot_be_cached_is_refused_before_a_run_folder_is_made() {
    let runs = tempfile::tempdir().unwrap();
    let refused = |project: &Project| {
        let options = RunOptions { runs: runs.path().join("none") };
        let error =
            train(project, &repository("projects"), &options, &Control::new(), &mut |_| {}).unwrap_err();
        assert!(!runs.path().join("none").exists());
        error.to_string()
    };
    let everything = refused(&set(&one_stage(), "stages.0.freeze", "[]").unwrap());
    assert!(everything.contains("nothing can be cached") && everything.contains("`freeze`"), "{everything}");
    assert!(everything.contains("take `cache` out"), "{everything}");
    let file = runs.path().join("file");
    std::fs::write(&file, "").unwrap();
    let blocked = refused(&set(&one_stage(), "stages.0.cache", &format!("(folder: {file:?})")).unwrap());
    assert!(blocked.contains("the cache cannot be used") && blocked.contains("folder"), "{blocked}");
    // A field that it does not have.
    let wrong = set(&one_stage(), "stages.0.cache", "(size: 3)").unwrap_err().to_string();
    assert!(wrong.contains("size") && wrong.contains("memory_bytes"), "{wrong}");
    let smaller = set(&one_stage(), "stages.0.cache.memory_bytes", "7").unwrap();
    assert_eq!(smaller.stages[0].as_train().unwrap().cache.as_ref().unwrap().memory_bytes, 7);
    let text = graft_engine::project::to_text(&tiny_project()).unwrap();
    assert!(!text.contains("cache"), "off is not written");
}

#[test]
fn draws_before_all_frozen_work_are_named() {
    use graft_engine::cache::Prefix;
    use graft_engine::graph::{Binding, Builder, Extent, Init, LinearSpec, Request, Schedule};
    use graft_engine::ops::Dropout;
    let mut b = Builder::new("model", "Model");
    let x = b.input("x", vec![Extent::named("batch"), Extent::Fixed(2)]);
    let dropped = b.op("dropped", Dropout { probability: 0.5 }, &[x]);
    let spec = LinearSpec { kernel: &[2], features_out: 2, init: Init::Ones, bias: None, stored: "" };
    let frozen = b.linear("frozen", dropped, &spec);
    let out = b.linear("trained", frozen, &spec);
    let graph = b.finish().unwrap();
    let leaves = [graph.find("model.trained.weight").unwrap()];
    let at_cut = |training: bool| {
        let training = vec![training; graph.nodes().len()];
        let request = Request {
            results: &[out],
            loss: Some(out),
            leaves: &leaves,
            training: &training,
            ..Request::default()
        };
        let schedule = Schedule::new(&graph, &request).unwrap();
        Prefix::at_cut(&graph, &schedule, &Binding::new().with("batch", 1), &[])
    };
    assert_eq!(at_cut(false).unwrap().after(), [frozen]);
    let refused = at_cut(true).unwrap_err().to_string();
    assert!(refused.contains("`model.dropped` draws random numbers in training mode"), "{refused}");
    assert!(refused.contains("`modes`"), "{refused}");
}
