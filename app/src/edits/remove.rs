//! Taking adapters off a project, with everything that names them by number.

use std::collections::BTreeSet;

use graft_engine::project::{Project, Variant};
use graft_engine::train::losses::LossSpec;
use graft_engine::train::{Edit, StageSpec, TrainSpec};

use super::renumber::{self, Numbers};

/// Takes an adapter off, and those that stand on its layers. Rules, lists of what is merged, terms of losses and
/// settings of variants follow the numbers of those that stay; what was only about those that are gone goes with them.
pub(super) fn take_off(project: &mut Project, index: usize) {
    if index >= project.adapters.len() {
        return;
    }
    let mut gone = BTreeSet::from([index]);
    loop {
        let numbers = |number: usize| (!gone.contains(&number)).then_some(number);
        let above = |place: &usize| renumber::rule(&project.adapters[*place].at, &numbers).is_none();
        let found: Vec<usize> =
            (0..project.adapters.len()).filter(|place| !gone.contains(place)).filter(above).collect();
        if found.is_empty() {
            break;
        }
        gone.extend(found);
    }
    for &place in gone.iter().rev() {
        project.adapters.remove(place);
    }
    let numbers = |number: usize| moved(number, &gone);
    for placement in &mut project.adapters {
        if let Some(at) = renumber::rule(&placement.at, &numbers) {
            placement.at = at;
        }
    }
    let shifts = in_stages(&mut project.stages, &numbers);
    let adapters = Shift { list: vec!["adapters".to_owned()], gone: gone.clone() };
    for variant in &mut project.variants {
        in_variant(variant, &numbers, &shifts, &adapters);
    }
}

/// A place in a list that some have left.
fn moved(place: usize, gone: &BTreeSet<usize>) -> Option<usize> {
    (!gone.contains(&place)).then(|| place - gone.range(..place).count())
}

/// The places in a list that are gone; `list` is its path as settings name it, without the kinds of stages.
struct Shift {
    list: Vec<String>,
    gone: BTreeSet<usize>,
}

impl Shift {
    /// A setting's path after that; nothing when what it set is gone.
    fn of(&self, path: &str) -> Option<String> {
        let mut segments: Vec<String> = path.split('.').map(str::to_owned).collect();
        let mut wanted = self.list.iter();
        for segment in &mut segments {
            // Paths may name the kind of a stage or leave it out.
            if segment.starts_with(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            let Some(name) = wanted.next() else {
                if let Ok(place) = segment.parse() {
                    *segment = moved(place, &self.gone)?.to_string();
                }
                break;
            };
            if name != segment {
                break;
            }
        }
        Some(segments.join("."))
    }
}

fn shifted(path: &str, shifts: &[Shift]) -> Option<String> {
    shifts.iter().try_fold(path.to_owned(), |path, shift| shift.of(&path))
}

/// Renumbers in a project's stages; tells which lists became shorter, inner ones first.
fn in_stages(stages: &mut Vec<StageSpec>, numbers: Numbers<'_>) -> Vec<Shift> {
    let mut shifts = Vec::new();
    let mut gone = BTreeSet::new();
    for (place, stage) in stages.iter_mut().enumerate() {
        let here = place.to_string();
        match stage {
            StageSpec::Train(spec) => in_training(spec, numbers),
            StageSpec::Measure(spec) => in_losses(&mut spec.losses, numbers),
            StageSpec::Generate(spec) => in_pairs(&mut spec.outputs, |pair| &mut pair.1, numbers),
            StageSpec::Evaluate(_) => {}
            StageSpec::Edit(spec) => {
                let dropped = in_edits(&mut spec.edits, numbers);
                if spec.edits.is_empty() && !dropped.is_empty() {
                    gone.insert(place);
                }
                shifts.push(Shift { list: vec![here, "edits".to_owned()], gone: dropped });
            }
            StageSpec::Repeat(repeat) => {
                let count = repeat.stages.len();
                let inner = in_stages(&mut repeat.stages, numbers);
                repeat.into = repeat.into.iter().filter_map(|path| shifted(path, &inner)).collect();
                if repeat.stages.is_empty() && count > 0 {
                    gone.insert(place);
                }
                shifts.extend(inner.into_iter().map(|shift| {
                    let list = [here.clone(), "stages".to_owned()].into_iter().chain(shift.list).collect();
                    Shift { list, gone: shift.gone }
                }));
            }
        }
    }
    for &place in gone.iter().rev() {
        stages.remove(place);
    }
    shifts.push(Shift { list: Vec::new(), gone });
    shifts
}

fn in_training(spec: &mut TrainSpec, numbers: Numbers<'_>) {
    for texts in [&mut spec.train, &mut spec.freeze, &mut spec.recompute] {
        renumber::rules(texts, numbers);
    }
    in_pairs(&mut spec.modes, |pair| &mut pair.0, numbers);
    in_losses(&mut spec.losses, numbers);
}

/// Pairs of which one names what is in the graph.
fn in_pairs<T>(pairs: &mut Vec<T>, name: impl Fn(&mut T) -> &mut String, numbers: Numbers<'_>) {
    pairs.retain_mut(|pair| follow(name(pair), numbers));
}

/// Renumbers in place; whether there is anything left of it.
fn follow(name: &mut String, numbers: Numbers<'_>) -> bool {
    let next = renumber::rule(name, numbers);
    next.map(|next| *name = next).is_some()
}

fn in_losses(losses: &mut Vec<LossSpec>, numbers: Numbers<'_>) {
    losses.retain_mut(|loss| {
        let names = match loss {
            LossSpec::CrossEntropy(term) => [&mut term.logits, &mut term.labels],
            LossSpec::SymmetricKl(term) => [&mut term.a, &mut term.b],
            LossSpec::Distillation(term) => [&mut term.student, &mut term.teacher],
            LossSpec::MeanSquaredError(term) => [&mut term.a, &mut term.b],
            LossSpec::Dice(term) => [&mut term.logits, &mut term.masks],
            LossSpec::BinaryCrossEntropy(term) => [&mut term.logits, &mut term.masks],
        };
        names.into_iter().all(|name| follow(name, numbers))
    });
}

/// Returns the places of the edits that are about nothing any more. A merge of none would be one of all.
fn in_edits(edits: &mut Vec<Edit>, numbers: Numbers<'_>) -> BTreeSet<usize> {
    let (mut place, mut dropped) = (0, BTreeSet::new());
    edits.retain_mut(|edit| {
        let stays = match edit {
            Edit::Merge(listed) if listed.is_empty() => true,
            Edit::Merge(listed) => {
                *listed = listed.iter().filter_map(|&index| numbers(index)).collect();
                !listed.is_empty()
            }
            Edit::Scale { at, .. } | Edit::Reset { at } => follow(at, numbers),
        };
        if !stays {
            dropped.insert(place);
        }
        place += 1;
        stays
    });
    dropped
}

/// A variant follows in as far as it is about the project's own adapters and stages.
fn in_variant(variant: &mut Variant, numbers: Numbers<'_>, stages: &[Shift], adapters: &Shift) {
    let own_adapters = variant.adapters.is_some();
    let below = |shift: &Shift| {
        let list = std::iter::once("stages".to_owned()).chain(shift.list.iter().cloned()).collect();
        Shift { list, gone: shift.gone.clone() }
    };
    let mut shifts: Vec<Shift> = match &mut variant.stages {
        // Its stages are about its adapters.
        Some(_) if own_adapters => return,
        Some(own) => in_stages(own, numbers).iter().map(below).collect(),
        None => stages.iter().map(below).collect(),
    };
    if !own_adapters {
        shifts.push(Shift { list: adapters.list.clone(), gone: adapters.gone.clone() });
    }
    variant.set.retain_mut(|(path, _)| shifted(path, &shifts).map(|next| *path = next).is_some());
    if let Some(choose) = &mut variant.choose {
        match shifted(&choose.setting, &shifts) {
            Some(setting) => choose.setting = setting,
            None => variant.choose = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn project(adapters: &str, rest: &str) -> Project {
        let text = format!(
            "(version: 2, name: \"a\", model: Vit(width: 8, blocks: 2, heads: 1, patch: 8), data: Digits(), \
             adapters: [{adapters}], {rest})"
        );
        graft_engine::project::parse(&text, Path::new("a.ron")).unwrap()
    }

    fn lora(at: &str) -> String {
        format!("(at: \"{at}\", kind: Lora(rank: 2)), ")
    }

    fn rules(project: &Project) -> Vec<&str> {
        project.adapters.iter().map(|placement| placement.at.as_str()).collect()
    }

    #[test]
    fn rules_that_name_their_own_region_or_each_other_end() {
        let stages = "stages: [Train()]";
        let own = lora("model.head") + &lora("model.head.adapter_1.up");
        let mut first = project(&own, stages);
        take_off(&mut first, 1);
        assert_eq!(rules(&first), ["model.head"]);
        let mut second = project(&own, stages);
        take_off(&mut second, 0);
        assert_eq!(rules(&second), ["model.head.adapter_0.up"]);
        let each = lora("model.a.adapter_1.up") + &lora("model.a.adapter_0.up") + &lora("model.head");
        let mut third = project(&each, stages);
        take_off(&mut third, 0);
        assert_eq!(rules(&third), ["model.head"]);
    }

    #[test]
    fn what_stands_on_it_goes_whatever_its_number() {
        // 0 stands on 2, and 3 on 0; 1 and 4 stay.
        let adapters = lora("model.x.adapter_2.up")
            + &lora("model.head")
            + &lora("model.x")
            + &lora("model.x.adapter_0.up")
            + &lora("model.**.adapter_{1,2}.down");
        let mut project =
            project(&adapters, "stages: [Train(freeze: [\"model.head.adapter_1\", \"model.x.adapter_2\"])]");
        take_off(&mut project, 2);
        assert_eq!(rules(&project), ["model.head", "model.**.adapter_0.down"]);
        assert_eq!(project.stages[0].as_train().unwrap().freeze, ["model.head.adapter_0"]);
    }

    #[test]
    fn every_stage_and_what_repeats_it_follows() {
        let adapters = lora("model.a") + &lora("model.b") + &lora("model.c");
        let stages = "stages: [ \
            Repeat(variable: \"task\", over: [\"1\", \"2\"], into: [\"1.edits.2.Scale.factor\", \"2.epochs\"], stages: [ \
                Edit(edits: [Merge([1])]), \
                Edit(edits: [Merge([0, 1, 2]), Merge([1]), Scale(at: \"model.c.adapter_2.up\", factor: 2.0), \
                             Reset(at: \"model.b.adapter_1\"), Merge([])]), \
                Train(train: [\"model.c.adapter_2\"], recompute: [\"model.b.adapter_1\"], \
                      modes: [(\"model.c.adapter_2\", Inference)], \
                      losses: [CrossEntropy(), MeanSquaredError(a: \"model.b.adapter_1.up\", b: \"logits\")]), \
            ]), \
            Edit(edits: [Merge([1])]), \
            Generate(outputs: [(\"x\", \"model.c.adapter_2.up\"), (\"y\", \"model.b.adapter_1.up\")]), \
            Train(epochs: 3)]";
        let mut project = project(&adapters, stages);
        take_off(&mut project, 1);
        assert_eq!(project.stages.len(), 3, "a stage that merged nothing else is gone");
        let StageSpec::Repeat(repeat) = &project.stages[0] else { panic!() };
        assert_eq!(repeat.into, ["0.edits.1.Scale.factor", "1.epochs"]);
        let StageSpec::Edit(edit) = &repeat.stages[0] else { panic!() };
        let scale = Edit::Scale { at: "model.c.adapter_1.up".to_owned(), factor: 2.0 };
        assert_eq!(edit.edits, [Edit::Merge(vec![0, 1]), scale, Edit::Merge(Vec::new())]);
        let spec = repeat.stages[1].as_train().unwrap();
        assert_eq!(spec.train, ["model.c.adapter_1"]);
        assert_eq!(spec.modes[0].0, "model.c.adapter_1");
        assert!(spec.recompute.is_empty());
        assert_eq!(spec.losses.len(), 1);
        let StageSpec::Generate(generate) = &project.stages[1] else { panic!() };
        assert_eq!(generate.outputs, [("x".to_owned(), "model.c.adapter_1.up".to_owned())]);
        project.check().unwrap();
    }

    #[test]
    fn variants_follow_where_they_are_about_the_projects_adapters() {
        let adapters = lora("model.a") + &lora("model.b") + &lora("model.c");
        let rest = "stages: [Edit(edits: [Merge([1])]), Train()], variants: [ \
            (name: \"set\", set: [(\"adapters.2.kind.rank\", \"4\"), (\"adapters.1.kind.rank\", \"4\"), \
                                  (\"stages.1.Train.epochs\", \"2\"), (\"stages.0.edits.0.Merge\", \"[0]\")]), \
            (name: \"stages\", stages: [Train(freeze: [\"model.c.adapter_2\"])], \
                               choose: (setting: \"adapters.1.kind.rank\", among: [1.0])), \
            (name: \"own\", adapters: [(at: \"model.d\", kind: Lora())], \
                            stages: [Train(freeze: [\"model.d.adapter_2\"])], set: [(\"adapters.1.at\", \"x\")])]";
        let mut project = project(&adapters, rest);
        let own = project.variants[2].clone();
        take_off(&mut project, 1);
        let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        assert_eq!(
            project.variants[0].set,
            [pair("adapters.1.kind.rank", "4"), pair("stages.0.Train.epochs", "2")]
        );
        let stages = project.variants[1].stages.as_ref().unwrap();
        assert_eq!(stages[0].as_train().unwrap().freeze, ["model.c.adapter_1"]);
        assert_eq!(project.variants[1].choose, None);
        assert_eq!(project.variants[2], own);
    }
}
