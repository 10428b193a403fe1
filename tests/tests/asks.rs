//! What is asked of a run between its steps: done, logged, and the same after a resume.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::Path;

use graft_engine::memory::Counting;
use graft_engine::project::{Project, set};
use graft_engine::runs::{Event, EventBody, RunFolder, RunOptions, RunReader, RunState, resume, train};
use graft_engine::train::{Ask, Control, Wish};
use graft_tests::{repository, tiny_project};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a project; `after` is told each event and may steer.
fn run(project: &Project, runs: &Path, after: impl Fn(&Event, &Control)) -> Vec<Event> {
    let (options, control) = (RunOptions { runs: runs.to_path_buf() }, Control::new());
    let mut events = Vec::new();
    train(project, &repository("projects"), &options, &control, &mut |event| {
        events.push(event.clone());
        after(event, &control);
    })
    .unwrap();
    events
}

fn folder(events: &[Event]) -> &Path {
    let EventBody::Started { folder, .. } = &events[0].body else { panic!("a run begins") };
    Path::new(folder)
}

fn rates(events: &[Event]) -> Vec<((usize, u64), f64)> {
    let rate = |event: &Event| match event.body {
        EventBody::Step { stage, step, lr, .. } => Some(((stage, step), lr)),
        _ => None,
    };
    events.iter().filter_map(rate).collect()
}

#[test]
fn a_rate_an_evaluation_and_a_checkpoint_between_steps() {
    let runs = tempfile::tempdir().unwrap();
    let project = tiny_project();
    let plain = rates(&run(&project, runs.path(), |_, _| {}));
    let events = run(&project, runs.path(), |event, control| {
        if matches!(event.body, EventBody::Step { stage: 1, step: 2, .. }) {
            control.ask(Ask::Rate { scale: 0.5 });
            control.ask(Ask::Evaluate);
            control.ask(Ask::Checkpoint);
        }
    });
    let place = |wanted: &Ask| {
        let is = |event: &Event| matches!(&event.body, EventBody::Asked { stage: 1, step: 2, ask, .. } if ask == wanted);
        events.iter().position(is).unwrap()
    };
    place(&Ask::Rate { scale: 0.5 });
    let evaluated = &events[place(&Ask::Evaluate) + 1].body;
    let EventBody::Eval { stage: 1, step: 2, split, confusion, predictions, .. } = evaluated else {
        panic!("{evaluated:?}")
    };
    assert_eq!(split, "validation");
    let told: u64 = confusion.iter().flatten().sum();
    assert_eq!(told, 16, "each sample once");
    assert!(!predictions.is_empty() && predictions.iter().all(|found| found.index < 16));
    let saved = &events[place(&Ask::Checkpoint) + 1].body;
    assert!(matches!(saved, EventBody::Checkpoint { step: 2, best: false, .. }), "{saved:?}");
    for ((at, before), (same, after)) in plain.iter().zip(rates(&events)) {
        let factor = if *at > (1, 2) { 0.5 } else { 1.0 };
        assert_eq!(*at, same);
        assert!((after - before * factor).abs() < 1e-15, "{at:?}: {before}, then {after}");
    }
    // The log holds the same, and a row tells of it.
    let path = folder(&events);
    assert_eq!(RunFolder::events(path).unwrap(), events);
    let mut reader = RunReader::new(path);
    assert!(reader.refresh());
    assert_eq!(reader.entry().asked.len(), 3);
    assert_eq!(reader.entry().state, RunState::Finished);
    assert!(reader.entry().score.is_some());
    let EventBody::Started { classes, .. } = &events[0].body else { panic!("a run begins") };
    assert_eq!(classes.len(), confusion.len());
}

#[test]
fn a_paused_run_answers_and_a_resumed_one_keeps_its_rate() {
    let runs = tempfile::tempdir().unwrap();
    let project = set(&tiny_project(), "stages.1.schedule.decay", "Constant").unwrap();
    let base = |at: (usize, u64)| {
        rates(&run(&project, runs.path(), |_, _| {})).into_iter().find(|(place, _)| *place == at).unwrap().1
    };
    let unscaled = base((1, 6));
    let events = run(&project, runs.path(), |event, control| match event.body {
        EventBody::Step { stage: 1, step: 4, .. } => control.set(Wish::Pause),
        EventBody::Paused {} => control.ask(Ask::Rate { scale: 0.25 }),
        EventBody::Asked { .. } => control.set(Wish::Stop),
        _ => {}
    });
    let last = &events.last().unwrap().body;
    assert!(matches!(last, EventBody::Stopped { .. }), "{last:?}");
    let path = folder(&events);
    let mut reader = RunReader::new(path);
    reader.refresh();
    assert_eq!(reader.entry().state, RunState::Stopped);
    let mut later = Vec::new();
    resume(path, &Control::new(), &mut |event| later.push(event.clone())).unwrap();
    let resumed = rates(&later).into_iter().find(|(place, _)| *place == (1, 6)).unwrap().1;
    assert!((resumed - 0.25 * unscaled).abs() < 1e-15, "{unscaled}, then {resumed}");
}

#[test]
fn a_run_that_goes_on_is_seen_and_not_resumed_twice() {
    let runs = tempfile::tempdir().unwrap();
    let seen = std::cell::Cell::new(0u32);
    let events = run(&tiny_project(), runs.path(), |event, _| {
        if let EventBody::Started { folder, .. } = &event.body {
            let mut reader = RunReader::new(Path::new(folder));
            reader.refresh();
            assert_eq!(reader.entry().state, RunState::Running);
            let error = resume(Path::new(folder), &Control::new(), &mut |_| {}).unwrap_err().to_string();
            assert!(error.contains("going on"), "{error}");
            seen.set(seen.get() + 1);
        }
    });
    assert_eq!(seen.get(), 1);
    assert!(!graft_engine::runs::is_running(folder(&events)));
}
