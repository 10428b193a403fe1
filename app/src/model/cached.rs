//! Whether what a stage asks to be cached can be: a run would end at once where it cannot.

use graft_engine::project::build_turn;
use graft_engine::train::Caching;

use super::Job;
use crate::sources::Sources;

/// Why the training stage that a listed one shows finds nothing to cache; none where it asks for no cache. What else is
/// wrong with the stage is told of elsewhere.
pub(super) fn complaint(sources: &Sources, job: &Job) -> Option<String> {
    let turns = job.project.turns().ok()?;
    let shown =
        |turn: &&graft_engine::project::Turn| turn.listed == job.stage && turn.spec.as_train().is_some();
    let turn = turns.iter().find(shown)?;
    let cache = turn.spec.as_train()?.cache.as_ref()?;
    if turn.spec.data().is_some() {
        // Its data set is written by the run itself.
        return None;
    }
    let source = sources.open(&job.project.data, &turn.spec.view(), &job.base).ok()?;
    let built = build_turn(&job.project, &job.base, turn, &turn.merged, source.as_ref()).ok()?;
    let binding = built.binding(source.as_ref(), 1);
    // Where it will be does not matter yet.
    let place = cache.place(&job.base, &job.base, &job.project.device, binding);
    let error = Caching::new(built.step.as_ref()?, &place, source.as_ref()).err()?;
    Some(format!("stage {}: {error}", job.stage + 1))
}
