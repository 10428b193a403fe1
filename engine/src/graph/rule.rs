//! Rules over logical paths, with wildcards and ranges.
//!
//! A rule is a dotted path whose segments may be `*` (any one segment), `**` (any number of segments),
//! alternatives `{query,value}` and index ranges `[0-3]`, each also inside a segment: `block_{a,b}*`. Alternatives may be
//! of several segments, `{P1,cross_attention.output}`: then the rule has several ways, and matches what any of them does.

use super::{Graph, Site};

/// A parsed rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    text: String,
    /// Segments, once for each way.
    ways: Vec<Vec<String>>,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The text is no rule.
    #[error("`{rule}` is not a rule: {why}")]
    Malformed {
        /// The text.
        rule: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Nothing matches.
    #[error("`{rule}` matches no {what}; the nearest are {}", list(near))]
    NoMatch {
        /// The rule.
        rule: String,
        /// What it was matched against: "site that takes lora", "parameter".
        what: String,
        /// The nearest names.
        near: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a rule matched and what came near.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// The rule's text.
    pub rule: String,
    /// Paths that match.
    pub matched: Vec<String>,
    /// Paths like those that do not match.
    pub near: Vec<String>,
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors
    /// When braces or brackets do not close, or a segment is empty.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        // Nesting is seen in the whole text only.
        Self::segments(text, text)?;
        let texts = ways(text);
        let ways: Result<_, _> = texts.iter().map(|way| Self::segments(way, text)).collect();
        Ok(Self { text: text.to_owned(), ways: ways? })
    }

    /// The segments of one way of the rule `whole`.
    fn segments(text: &str, whole: &str) -> Result<Vec<String>, RuleError> {
        let malformed = |why| RuleError::Malformed { rule: whole.to_owned(), why };
        let mut segments = vec![String::new()];
        let mut closing = None;
        for c in text.chars() {
            match (c, closing) {
                ('{', None) => closing = Some('}'),
                ('[', None) => closing = Some(']'),
                ('{' | '[', Some(_)) => return Err(malformed("braces and brackets do not nest")),
                (c, Some(wanted)) if c == wanted => closing = None,
                ('.', None) => {
                    segments.push(String::new());
                    continue;
                }
                _ => {}
            }
            if let Some(last) = segments.last_mut() {
                last.push(c);
            }
        }
        if closing.is_some() {
            return Err(malformed("a brace or bracket is not closed"));
        }
        if segments.iter().any(String::is_empty) {
            return Err(malformed("a segment between dots is empty"));
        }
        Ok(segments)
    }

    /// The rule as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the rule matches this whole path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('.').collect();
        self.ways.iter().any(|way| match_segments(way, &path))
    }

    /// Whether the rule matches this path or a region above it.
    #[must_use]
    pub fn matches_below(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('.').collect();
        (1..=path.len()).any(|end| self.ways.iter().any(|way| match_segments(way, &path[..end])))
    }

    /// Matches a graph's sites, among those that `accepts` takes.
    ///
    /// # Errors
    /// When nothing matches; the error names the nearest.
    pub fn cover(
        &self,
        graph: &Graph,
        what: &str,
        accepts: impl Fn(&Site) -> bool,
    ) -> Result<Coverage, RuleError> {
        let candidates: Vec<&str> =
            graph.sites().iter().filter(|site| accepts(site)).map(|site| site.path.as_str()).collect();
        self.cover_names(&candidates, what)
    }

    /// Matches names.
    ///
    /// # Errors
    /// When nothing matches; the error names the nearest.
    pub fn cover_names(&self, candidates: &[&str], what: &str) -> Result<Coverage, RuleError> {
        let (matched, rest): (Vec<&str>, Vec<&str>) = candidates.iter().partition(|path| self.matches(path));
        if matched.is_empty() {
            return Err(RuleError::NoMatch {
                rule: self.text.clone(),
                what: what.to_owned(),
                near: self.nearest(&rest, 4),
            });
        }
        // Near: sites of the same depth that differ in one segment from a matched one.
        let near = rest
            .iter()
            .filter(|path| matched.iter().any(|other| segments_apart(path, other) == Some(1)))
            .map(|path| (*path).to_owned())
            .collect();
        Ok(Coverage {
            rule: self.text.clone(),
            matched: matched.into_iter().map(str::to_owned).collect(),
            near,
        })
    }

    /// The names nearest to the rule by edit distance.
    #[must_use]
    pub fn nearest(&self, candidates: &[&str], count: usize) -> Vec<String> {
        nearest(&self.text, candidates, count)
    }
}

/// The names nearest to `text` by edit distance, nearest first.
#[must_use]
pub fn nearest(text: &str, candidates: &[&str], count: usize) -> Vec<String> {
    let mut scored: Vec<(usize, &str)> =
        candidates.iter().map(|name| (strsim::damerau_levenshtein(text, name), *name)).collect();
    scored.sort_unstable();
    scored.into_iter().take(count).map(|(_, name)| name.to_owned()).collect()
}

/// The rule with each alternative of several segments written out; itself where there is none.
fn ways(text: &str) -> Vec<String> {
    let group = text.match_indices('{').find_map(|(open, _)| {
        let close = open + text[open..].find('}')?;
        text[open..close].contains('.').then_some((open, close))
    });
    let Some((open, close)) = group else { return vec![text.to_owned()] };
    let (before, after) = (&text[..open], &text[close + 1..]);
    text[open + 1..close].split(',').flat_map(|one| ways(&format!("{before}{one}{after}"))).collect()
}

fn segments_apart(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('.').collect(), b.split('.').collect());
    (a.len() == b.len()).then(|| a.iter().zip(&b).filter(|(x, y)| x != y).count())
}

fn match_segments(rule: &[String], path: &[&str]) -> bool {
    match (rule.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            match_segments(rest, path)
                || path.split_first().is_some_and(|(_, tail)| match_segments(rule, tail))
        }
        (Some((first, rest)), Some((head, tail))) => match_segment(first, head) && match_segments(rest, tail),
        _ => false,
    }
}

/// Matches one segment, piece by piece: `*`, `{a,b}`, `[lo-hi]`, or a literal character.
fn match_segment(rule: &str, text: &str) -> bool {
    let Some(first) = rule.chars().next() else { return text.is_empty() };
    match first {
        '*' => {
            let rest = &rule[1..];
            (0..=text.len()).filter(|&i| text.is_char_boundary(i)).any(|i| match_segment(rest, &text[i..]))
        }
        '{' => {
            let Some(end) = rule.find('}') else { return false };
            rule[1..end].split(',').any(|choice| {
                text.strip_prefix(choice.trim()).is_some_and(|rest| match_segment(&rule[end + 1..], rest))
            })
        }
        '[' => {
            let Some(end) = rule.find(']') else { return false };
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let Ok(number) = text[..digits].parse::<usize>() else { return false };
            in_range(&rule[1..end], number) && match_segment(&rule[end + 1..], &text[digits..])
        }
        c => text.strip_prefix(c).is_some_and(|rest| match_segment(&rule[c.len_utf8()..], rest)),
    }
}

/// `0-3`, `5`, `0-3,8`.
fn in_range(range: &str, number: usize) -> bool {
    range.split(',').any(|part| {
        let part = part.trim();
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        match (low.trim().parse::<usize>(), high.trim().parse::<usize>()) {
            (Ok(low), Ok(high)) => (low..=high).contains(&number),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, path: &str, expect: bool) {
        let rule = Rule::parse(rule).unwrap();
        assert_eq!(rule.matches(path), expect, "{} against {path}", rule.text());
    }

    #[test]
    fn wildcards_alternatives_and_ranges() {
        check(
            "model.temporal.blocks.*.attention.{query,value}",
            "model.temporal.blocks.1.attention.value",
            true,
        );
        check(
            "model.temporal.blocks.*.attention.{query,value}",
            "model.temporal.blocks.1.attention.key",
            false,
        );
        check("model.*.blocks.[2-3].P1", "model.spatial.blocks.3.P1", true);
        check("model.*.blocks.[2-3].P1", "model.spatial.blocks.13.P1", false);
        check("model.*.blocks.[0,10-12].P1", "model.spatial.blocks.11.P1", true);
        check("model.**.query", "model.a.b.c.query", true);
        check("model.**", "model", true);
        check("**.fc{1,2}", "model.x.fc2", true);
        check("**.{P1,cross_attention.output}.x{1,2}", "model.a.cross_attention.output.x2", true);
        check("**.{P1,cross_attention.output}.x{1,2}", "model.a.P1.x1", true);
        check("**.{P1,cross_attention.output}", "model.a.output", false);
        assert!(Rule::parse("{a,{b.c}}").is_err(), "nothing nests");
        check("model.*", "model.a.b", false);
        check("model.bridge", "model.bridge", true);
        check("model.layer_*_x", "model.layer_12_x", true);
    }

    #[test]
    fn regions_match_what_is_below() {
        let rule = Rule::parse("model.{spatial,embeddings}").unwrap();
        assert!(rule.matches_below("model.spatial.blocks.0.fc1.weight"));
        assert!(!rule.matches_below("model.temporal.blocks.0.fc1.weight"));
    }

    #[test]
    fn malformed_rules_say_why() {
        for text in ["a.{b", "a..b", "", "a.{b{c}}"] {
            assert!(matches!(Rule::parse(text), Err(RuleError::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn no_match_names_the_nearest() {
        let names = ["model.temporal.blocks.0.attention.query", "model.head"];
        let error = Rule::parse("model.temporal.blocks.0.attention.qeury")
            .unwrap()
            .cover_names(&names, "site")
            .unwrap_err();
        assert!(error.to_string().contains("nearest are `model.temporal.blocks.0.attention.query`"));
    }

    #[test]
    fn near_is_one_segment_away() {
        let names = ["m.0.query", "m.0.key", "m.1.query", "m.head"];
        let coverage = Rule::parse("m.*.query").unwrap().cover_names(&names, "site").unwrap();
        assert_eq!(coverage.matched, ["m.0.query", "m.1.query"]);
        assert_eq!(coverage.near, ["m.0.key"]);
    }
}
