//! The cache of a stage that trained before, for evaluations that come after it.

use std::path::Path;

use crate::project::{Project, Turn, build_turn, open_source_in};
use crate::train::Caching;

/// The cache of the last of these turns that trains with one, its step built anew; none where that cannot be done
/// any more, since an evaluation does without.
pub(super) fn kept_by(project: &Project, base: &Path, turns: &[Turn], folder: &Path) -> Option<Caching> {
    let (turn, spec) =
        turns.iter().rev().find_map(|turn| Some((turn, turn.spec.as_train()?.cache.as_ref()?)))?;
    let source = open_source_in(project, base, turn, folder).ok()?;
    let built = build_turn(project, base, turn, &turn.merged, source.as_ref()).ok()?;
    let binding = built.binding(source.as_ref(), 1);
    let place = spec.place(base, runs_of(folder), &project.device, binding);
    Caching::new(built.step.as_ref()?, &place, source.as_ref()).ok()
}

/// The folder that a run's folder stands in, beside the others and their cache.
pub(super) fn runs_of(folder: &Path) -> &Path {
    folder.parent().unwrap_or(folder)
}
