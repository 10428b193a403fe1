//! Which modules a PEFT description is about.

use regex::Regex;
use serde_json::Value as Json;

use super::super::FormatError;
use super::super::format::Config;

/// The word for every linear layer but the head.
const ALL_LINEAR: &str = "all-linear";

/// Names, or an expression over whole names.
#[derive(Debug)]
enum Names {
    List(Vec<String>),
    Pattern(Regex),
}

impl Names {
    fn read(config: Config<'_>, key: &str) -> Result<Option<Self>, FormatError> {
        match config.get(key) {
            None => Ok(None),
            Some(Json::String(pattern)) => {
                expression(config, key, &format!("^(?:{pattern})$")).map(|p| Some(Self::Pattern(p)))
            }
            Some(_) => {
                let names = config.texts(key)?.unwrap_or_default();
                Ok(Some(Self::List(names.into_iter().map(str::to_owned).collect())))
            }
        }
    }

    fn matches(&self, module: &str) -> bool {
        match self {
            Self::List(names) => names.iter().any(|name| is_or_ends(module, name)),
            Self::Pattern(pattern) => pattern.is_match(module),
        }
    }
}

/// Whether a module's name is `name`, or ends in it behind a dot.
pub(super) fn is_or_ends(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A regular expression of the description. Python's have parts that Rust's do not: they are told.
pub(super) fn expression(config: Config<'_>, key: &str, text: &str) -> Result<Regex, FormatError> {
    Regex::new(text).map_err(|error| {
        let why = error.to_string();
        let last = why.lines().last().unwrap_or_default().to_owned();
        config.wrong(format!("`{key}` has an expression that cannot be used ({last}): `{text}`"))
    })
}

/// The modules that a description is about.
#[derive(Debug)]
pub(super) struct Targets {
    /// Absent for every linear layer.
    names: Option<Names>,
    excluded: Option<Names>,
    saved: Vec<Regex>,
    /// Numbers of the layers that it is about, if not all of them, and how a layer's number is found in a name.
    layers: Option<(Vec<usize>, Vec<Regex>)>,
}

impl Targets {
    /// Reads `target_modules`, `exclude_modules`, `modules_to_save`, `layers_to_transform` and `layers_pattern`.
    pub(super) fn read(config: Config<'_>) -> Result<Self, FormatError> {
        let all = config.get("target_modules").and_then(Json::as_str) == Some(ALL_LINEAR);
        let names = if all { None } else { Names::read(config, "target_modules")? };
        if names.is_none() && !all {
            return Err(config.wrong("`target_modules` is missing".to_owned()));
        }
        let saved = config.texts("modules_to_save")?.unwrap_or_default();
        let saved = saved
            .into_iter()
            .map(|name| expression(config, "modules_to_save", &format!(r"^(?:.*\.)?(?:{name})(?:$|\..*)")));
        let saved = saved.collect::<Result<_, _>>()?;
        Ok(Self { names, excluded: Names::read(config, "exclude_modules")?, saved, layers: layers(config)? })
    }

    /// Whether it is about a module.
    pub(super) fn has(&self, module: &str) -> bool {
        if self.excluded.as_ref().is_some_and(|names| names.matches(module))
            || self.saved.iter().any(|pattern| pattern.is_match(module))
        {
            return false;
        }
        let Some(names) = &self.names else { return true };
        let (Names::List(_), Some((numbers, patterns))) = (names, &self.layers) else {
            return names.matches(module);
        };
        if matches!(names, Names::List(names) if names.iter().any(|name| name == module)) {
            return true;
        }
        let number =
            patterns.iter().find_map(|pattern| pattern.captures(module)?.get(1)?.as_str().parse().ok());
        names.matches(module) && number.is_some_and(|number: usize| numbers.contains(&number))
    }

    /// Whether it says which modules there must be tensors for.
    pub(super) const fn is_complete(&self) -> bool {
        self.names.is_some()
    }
}

type Layers = Option<(Vec<usize>, Vec<Regex>)>;

fn layers(config: Config<'_>) -> Result<Layers, FormatError> {
    let whole = |value: &Json| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let wrong = || config.wrong("`layers_to_transform` should be layer numbers".to_owned());
    let numbers: Vec<usize> = match config.get("layers_to_transform") {
        None => return Ok(None),
        Some(Json::Array(items)) if items.is_empty() => return Ok(None),
        Some(Json::Array(items)) => items.iter().map(whole).collect::<Option<_>>().ok_or_else(wrong)?,
        Some(one) => vec![whole(one).ok_or_else(wrong)?],
    };
    let patterns = match config.get("layers_pattern") {
        Some(Json::String(name)) if !name.is_empty() => vec![name.as_str()],
        Some(Json::Array(_)) => config.texts("layers_pattern")?.unwrap_or_default(),
        _ => Vec::new(),
    };
    let patterns: Vec<Regex> = if patterns.is_empty() {
        vec![expression(config, "layers_pattern", r"^.*?\.[^.]*\.(\d+)\.")?]
    } else {
        let each =
            |name: &str| expression(config, "layers_pattern", &format!(r"^(?:.*?\.)?(?:{name})\.(\d+)\."));
        patterns.into_iter().map(each).collect::<Result<_, _>>()?
    };
    Ok(Some((numbers, patterns)))
}

/// `rank_pattern` or `alpha_pattern`: another value for modules that an expression matches at their end.
#[derive(Debug)]
pub(super) struct Pattern(Vec<(Regex, f64)>);

impl Pattern {
    pub(super) fn read(config: Config<'_>, key: &str) -> Result<Self, FormatError> {
        let Some(value) = config.get(key) else { return Ok(Self(Vec::new())) };
        let wrong = || config.wrong(format!("`{key}` should give a number for each name, found {value}"));
        let entries = value.as_object().ok_or_else(wrong)?.iter().map(|(name, value)| {
            let pattern = expression(config, key, &format!(r"^(?:.*\.)?(?:{name})$"))?;
            Ok((pattern, value.as_f64().ok_or_else(wrong)?))
        });
        Ok(Self(entries.collect::<Result<_, FormatError>>()?))
    }

    /// The value of the first entry that matches.
    pub(super) fn of(&self, module: &str) -> Option<f64> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(module)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn chosen(json: &Json) -> Vec<String> {
        let targets = Targets::read(Config { json, path: Path::new("adapter_config.json") }).unwrap();
        (0..12)
            .flat_map(|layer| {
                ["query", "value", "my_value"]
                    .map(|name| format!("vit.encoder.layer.{layer}.attention.{name}"))
            })
            .chain(["classifier".to_owned(), "vit.pooler.dense".to_owned()])
            .filter(|module| targets.has(module))
            .collect()
    }

    #[test]
    fn names_match_whole_or_behind_a_dot() {
        assert_eq!(chosen(&json!({ "target_modules": ["value"] })).len(), 12);
        assert_eq!(chosen(&json!({ "target_modules": ["classifier", "dense"] })).len(), 2);
        let saved = json!({ "target_modules": ["classifier", "dense"], "modules_to_save": ["classifier"] });
        assert_eq!(chosen(&saved), ["vit.pooler.dense"]);
        let excluded = json!({ "target_modules": ["value", "query"], "exclude_modules": ["query"] });
        assert_eq!(chosen(&excluded).len(), 12);
    }

    #[test]
    fn a_text_is_an_expression_over_the_whole_name() {
        assert_eq!(chosen(&json!({ "target_modules": r".*layer\.[01]\..*\.value" })).len(), 2);
        assert_eq!(chosen(&json!({ "target_modules": "value" })).len(), 0);
        assert_eq!(chosen(&json!({ "target_modules": "all-linear" })).len(), 38);
    }

    #[test]
    fn layers_are_found_by_number() {
        let some = |numbers: Json, pattern: Json| {
            chosen(
                &json!({ "target_modules": ["value"], "layers_to_transform": numbers, "layers_pattern": pattern }),
            )
        };
        assert_eq!(some(json!([1, 11]), Json::Null).len(), 2);
        assert_eq!(some(json!(1), json!("layer")), ["vit.encoder.layer.1.attention.value"]);
        assert_eq!(some(json!([1]), json!(["blocks"])).len(), 0);
    }

    #[test]
    fn patterns_match_at_the_end() {
        let json = json!({ "rank_pattern": { "layer.1.attention.value": 3, "query": 5 } });
        let config = Config { json: &json, path: Path::new("adapter_config.json") };
        let pattern = Pattern::read(config, "rank_pattern").unwrap();
        assert_eq!(pattern.of("vit.encoder.layer.1.attention.value"), Some(3.0));
        assert_eq!(pattern.of("vit.encoder.layer.11.attention.value"), None);
        assert_eq!(pattern.of("a.query"), Some(5.0));
        assert!(Pattern::read(config, "alpha_pattern").unwrap().of("a.query").is_none());
    }

    #[test]
    fn expressions_that_cannot_be_used_are_told() {
        let json = json!({ "target_modules": "(?<!x)value" });
        let error = Targets::read(Config { json: &json, path: Path::new("a.json") }).unwrap_err().to_string();
        assert!(error.contains("target_modules") && error.ends_with("a.json"), "{error}");
    }
}
