//! Settings by path, as `--set stages.0.epochs=2` and variants have them.

use serde_json::Value;

use super::{Project, ProjectError};
use crate::adapters::AdapterSpec;

/// The project with one setting changed. `value` is written as in the project file or as JSON.
///
/// # Errors
/// When the path leads nowhere or the value does not fit there.
pub fn set(project: &Project, path: &str, value: &str) -> Result<Project, ProjectError> {
    let wrong = |why: String| ProjectError::Setting { field: path.to_owned(), why };
    let mut document = serde_json::to_value(project).map_err(|error| wrong(error.to_string()))?;
    put(&mut document, path, value)?;
    serde_json::from_value(document)
        .map_err(|error| wrong(format!("cannot be `{value}`: {error}")))
        .and_then(|project: Project| project.check().map(|()| project))
}

/// Puts a value at a path. What is left out of a file at its default (an empty list) is there to be set as well.
pub(super) fn put(document: &mut Value, path: &str, value: &str) -> Result<(), ProjectError> {
    let value = super::value::parse(value);
    match descend(document, path) {
        Ok(target) => *target = value,
        Err(error) => {
            let Some((above, last)) = path.rsplit_once('.') else { return Err(error) };
            let parent = through_variant(descend(document, above)?, last);
            match parent {
                Value::Object(map) if LEFT_OUT.contains(&last) || of_a_kind(above, last) => {
                    drop(map.insert(last.to_owned(), value));
                }
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whether it is a setting of an adapter kind: files leave those out that have their usual value.
fn of_a_kind(above: &str, name: &str) -> bool {
    above.rsplit('.').next() == Some("kind")
        && AdapterSpec::all()
            .iter()
            .flat_map(|spec| spec.kind().settings())
            .any(|setting| setting.name == name)
}

/// Settings that files leave out where they say nothing.
const LEFT_OUT: [&str; 12] = [
    "parameters",
    "only",
    "data",
    "modes",
    "instances",
    "losses",
    "recompute",
    "kept_bits",
    "cache",
    "folder",
    "position_std",
    "mlp",
];

fn descend<'a>(document: &'a mut Value, path: &str) -> Result<&'a mut Value, ProjectError> {
    let mut here = document;
    let mut reached = String::new();
    for segment in path.split('.') {
        here = through_variant(here, segment);
        let known = names(here);
        let next = match here {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(items) => segment.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => None,
        };
        here = next.ok_or_else(|| ProjectError::NoSuchSetting {
            path: path.to_owned(),
            reached: if reached.is_empty() { "the top".to_owned() } else { reached.clone() },
            known,
        })?;
        if !reached.is_empty() {
            reached.push('.');
        }
        reached.push_str(segment);
    }
    Ok(here)
}

/// Paths need not name the kind: `{"Train": {…}}` is looked through.
fn through_variant<'a>(value: &'a mut Value, segment: &str) -> &'a mut Value {
    let kind = match value {
        Value::Object(map) if map.len() == 1 && !map.contains_key(segment) => {
            map.keys().next().filter(|key| key.starts_with(|c: char| c.is_ascii_uppercase())).cloned()
        }
        _ => None,
    };
    match kind {
        Some(kind) => &mut value[kind],
        None => value,
    }
}

fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(items) if items.is_empty() => vec!["nothing".to_owned()],
        Value::Array(items) => vec![format!("0 to {}", items.len() - 1)],
        _ => vec!["a plain value".to_owned()],
    }
}
