//! Which adapter is which after a change of the project's list: an undo, a reload, a removal.

use graft_engine::adapters::Placement;

use super::renumber;

/// Where an adapter of the list before is in the list after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number now.
    pub index: usize,
    /// Whether it sits where it sat.
    pub stays: bool,
}

/// For each adapter of the list before its place in the list after; none for one that is gone.
pub(crate) fn follow(before: &[Placement], after: &[Placement]) -> Vec<Option<Place>> {
    let same = |(a, b): (&Placement, &Placement)| is_same(a, b);
    let first = before.iter().zip(after).take_while(|&(a, b)| same((a, b))).count();
    let room = before.len().min(after.len()) - first;
    let last =
        before.iter().rev().zip(after.iter().rev()).take(room).take_while(|&(a, b)| same((a, b))).count();
    let (before_end, after_end) = (before.len() - last, after.len() - last);
    let mut found: Vec<Option<usize>> = vec![None; before.len()];
    for index in (0..first).chain(before_end..before.len()) {
        found[index] = Some(if index < first { index } else { index - before_end + after_end });
    }
    // Between what begins and ends alike, adapters have moved or were changed where they stand.
    let mut free: Vec<usize> = (first..after_end).collect();
    for index in first..before_end {
        if let Some(place) = free.iter().position(|&other| is_same(&before[index], &after[other])) {
            found[index] = Some(free.remove(place));
        }
    }
    if before_end == after_end {
        for index in first..before_end {
            let alike = is_alike(&before[index], &after[index]);
            if found[index].is_none() && alike && free.contains(&index) {
                found[index] = Some(index);
            }
        }
    }
    let place = |(old, index): (&Placement, Option<usize>)| {
        index.map(|index| Place { index, stays: seat(old) == seat(&after[index]) })
    };
    before.iter().zip(found).map(place).collect()
}

/// Its rule without the numbers of other adapters, which change when those come and go.
fn seat(placement: &Placement) -> Option<String> {
    renumber::rule(&placement.at, &|_| Some(0))
}

fn is_same(a: &Placement, b: &Placement) -> bool {
    a.kind == b.kind && a.parameters == b.parameters && seat(a) == seat(b)
}

/// Whether one can be the other after a change of its rule or of its settings.
fn is_alike(a: &Placement, b: &Placement) -> bool {
    a.kind.kind().name() == b.kind.kind().name() || seat(a) == seat(b)
}

#[cfg(test)]
mod tests {
    use graft_engine::adapters::AdapterSpec;

    use super::*;

    fn list(of: &[(&str, usize)]) -> Vec<Placement> {
        let kinds = AdapterSpec::all();
        of.iter().map(|(at, kind)| Placement::new(at, kinds[*kind].clone())).collect()
    }

    fn places(before: &[(&str, usize)], after: &[(&str, usize)]) -> Vec<Option<(usize, bool)>> {
        let found = follow(&list(before), &list(after));
        found.into_iter().map(|place| place.map(|it| (it.index, it.stays))).collect()
    }

    #[test]
    fn adapters_are_found_again_by_what_they_are() {
        let (a, b, c) = (("model.a", 0), ("model.b", 1), ("model.c", 0));
        assert_eq!(places(&[a, b, c], &[a, c]), [Some((0, true)), None, Some((1, true))]);
        assert_eq!(places(&[a, c], &[a, b, c]), [Some((0, true)), Some((2, true))]);
        assert_eq!(places(&[a, b], &[b, a]), [Some((1, true)), Some((0, true))]);
        assert_eq!(
            places(&[a, b], &[("model.x", 0), b]),
            [Some((0, false)), Some((1, true))],
            "another rule"
        );
        assert_eq!(places(&[a, b], &[("model.x", 1), b]), [None, Some((1, true))], "something else");
        assert_eq!(places(&[a], &[]), [None]);
    }

    #[test]
    fn a_new_number_in_a_rule_is_no_change() {
        let before = [("model.a", 0), ("model.b", 0), ("model.b.adapter_1.up", 0)];
        let after = [("model.b", 0), ("model.b.adapter_0.up", 0)];
        assert_eq!(places(&before, &after), [None, Some((0, true)), Some((1, true))]);
    }
}
