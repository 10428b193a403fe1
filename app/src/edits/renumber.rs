//! Paths and rules that name adapters by their numbers, after some of those have changed.

/// The number that an adapter has from now on; none for one that is gone.
pub(crate) type Numbers<'a> = &'a dyn Fn(usize) -> Option<usize>;

/// What adapters' own regions are called, before their number.
const REGION: &str = "adapter_";

/// A rule or path with the new numbers; nothing when it was only about adapters that are gone.
pub(crate) fn rule(text: &str, numbers: Numbers<'_>) -> Option<String> {
    let segments: Option<Vec<String>> =
        split(text, '.').into_iter().map(|part| segment(part, numbers)).collect();
    segments.map(|segments| segments.join("."))
}

/// Rules with the new numbers, without those that are about nothing any more.
pub(crate) fn rules(texts: &mut Vec<String>, numbers: Numbers<'_>) {
    *texts = texts.iter().filter_map(|text| rule(text, numbers)).collect();
}

fn segment(text: &str, numbers: Numbers<'_>) -> Option<String> {
    if let Some(inner) = enclosed(text, '{', '}') {
        return alternatives(inner, |one| segment(one, numbers));
    }
    let Some(number) = text.strip_prefix(REGION) else { return Some(text.to_owned()) };
    let left = if let Some(inner) = enclosed(number, '{', '}') {
        alternatives(inner, |one| plain(one, numbers))?
    } else if let Some(range) = enclosed(number, '[', ']').and_then(range) {
        // Adapters keep their order, so those that are left of a range are one again.
        let left: Vec<usize> = range.filter_map(numbers).collect();
        match (left.iter().min()?, left.iter().max()?) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("[{first}-{last}]"),
        }
    } else {
        plain(number, numbers)?
    };
    Some(format!("{REGION}{left}"))
}

/// A number; anything else stays.
fn plain(text: &str, numbers: Numbers<'_>) -> Option<String> {
    text.parse().map_or_else(|_| Some(text.to_owned()), |number| numbers(number).map(|it| it.to_string()))
}

fn alternatives(inner: &str, each: impl Fn(&str) -> Option<String>) -> Option<String> {
    let left: Vec<String> = split(inner, ',').into_iter().filter_map(each).collect();
    match left.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("{{{}}}", several.join(","))),
    }
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (first, last) = text.split_once('-')?;
    // A range of a mistyped rule is not walked.
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && last < 10_000).then_some(first..=last)
}

/// What stands between these, if they enclose the whole text.
fn enclosed(text: &str, open: char, close: char) -> Option<&str> {
    let inner = text.strip_prefix(open)?.strip_suffix(close)?;
    (!inner.contains([open, close])).then_some(inner)
}

/// The parts between separators that no brace or bracket encloses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (place, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => {
                parts.push(&text[begin..place]);
                begin = place + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_their_adapter() {
        let without =
            |text: &str| rule(text, &|number| (number != 1).then(|| number - usize::from(number > 1)));
        assert_eq!(without("model.bridge.adapter_1"), None);
        assert_eq!(without("model.bridge.adapter_2.up").as_deref(), Some("model.bridge.adapter_1.up"));
        for same in ["model.bridge.adapter_0", "model.head", "model.**.adapter_*.{down,up}"] {
            assert_eq!(without(same).as_deref(), Some(same));
        }
    }

    #[test]
    fn alternatives_and_ranges_lose_only_what_is_gone() {
        let without =
            |text: &str| rule(text, &|number| (number != 1).then(|| number - usize::from(number > 1)));
        assert_eq!(without("**.adapter_{0,1,3}.up").as_deref(), Some("**.adapter_{0,2}.up"));
        assert_eq!(without("**.{adapter_1,adapter_2}").as_deref(), Some("**.adapter_1"));
        assert_eq!(without("**.{adapter_1}"), None);
        assert_eq!(without("**.adapter_[1-3]").as_deref(), Some("**.adapter_[1-2]"));
        assert_eq!(without("**.adapter_[1-1]"), None);
        assert_eq!(without("**.{a.b,adapter_1}.c").as_deref(), Some("**.a.b.c"));
    }
}
