//! Reading `config.json` without surprises: a missing or odd field is named, and so is a value that asks for something
//! that is not done here, or for a model that no machine holds.

use std::path::Path;

use serde_json::Value;

use super::ModelError;

/// Fields that change what a model of these types computes, and the values that are done here. A field that is absent or
/// null has its usual value; other types do not read it.
const CHOICES: [Choice; 5] = [
    Choice {
        types: &["vit", "dinov2"],
        field: "hidden_act",
        known: &["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"],
    },
    Choice { types: &["vit"], field: "pooler_act", known: &["tanh"] },
    Choice { types: &["bert"], field: "position_embedding_type", known: &["absolute"] },
    Choice { types: &["bert"], field: "is_decoder", known: &["false"] },
    Choice { types: &["bert"], field: "add_cross_attention", known: &["false"] },
];

struct Choice {
    types: &'static [&'static str],
    field: &'static str,
    known: &'static [&'static str],
}

/// Sizes of which there is at least one.
const COUNTED: [&str; 7] = [
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "vocab_size",
];

/// Reads a folder's `config.json` and refuses what no architecture here can honour.
///
/// # Errors
/// When it cannot be read, is no JSON object, or a field says what is not done here; the field is named.
pub(super) fn read_config(folder: &Path) -> Result<Value, ModelError> {
    let path = folder.join("config.json");
    let wrong = |why: String| ModelError::Config { why, path: path.clone() };
    if path.exists() && !path.is_file() {
        return Err(wrong("config.json is no file".to_owned()));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| wrong(format!("config.json cannot be read ({error})")))?;
    let config: Value =
        serde_json::from_str(&text).map_err(|error| wrong(format!("config.json is not JSON ({error})")))?;
    match config.get("model_type") {
        Some(Value::String(_)) => {}
        Some(other) => {
            return Err(wrong(format!(
                "`model_type` in config.json should be a name, found {}",
                short(other)
            )));
        }
        // timm says it by other fields.
        None if config.get("architecture").is_some_and(Value::is_string) => {}
        None if config.is_object() => return Err(wrong("config.json lacks `model_type`".to_owned())),
        None => return Err(wrong(format!("config.json should be an object, found {}", short(&config)))),
    }
    check_choices(&config).map_err(wrong)?;
    Ok(config)
}

/// Also of the models inside a model (`spatial`, `text_config`).
fn check_choices(config: &Value) -> Result<(), String> {
    let Some(fields) = config.as_object() else { return Ok(()) };
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    for choice in &CHOICES {
        let Some(value) = fields.get(choice.field).filter(|value| !value.is_null()) else { continue };
        let asked = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let concerns = choice.types.contains(&kind);
        if concerns && !choice.known.contains(&&*asked) {
            return Err(format!(
                "`{}` in config.json is {}, which is not known; known: {}",
                choice.field,
                short(value),
                choice.known.join(", ")
            ));
        }
    }
    if let Some(value) = fields.get("quantization_config").filter(|value| !value.is_null()) {
        return Err(format!(
            "`quantization_config` in config.json is {}; quantised weights are not known, only floats",
            short(value)
        ));
    }
    fields.values().filter(|value| value.get("model_type").is_some()).try_for_each(check_choices)
}

/// The largest value of a size that is taken for one: far above what exists, and low enough that no product of sizes
/// overflows.
fn limit(name: &str) -> usize {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if name.ends_with("_ratio") || has(&["layers", "blocks", "depth"]) {
        1 << 10
    } else if has(&["channels", "patch"]) {
        1 << 12
    } else if has(&["image", "frames"]) {
        1 << 16
    } else if has(&["vocab", "position", "length"]) {
        1 << 24
    } else {
        1 << 20
    }
}

fn size(name: &str, value: &Value) -> Result<usize, String> {
    let number = value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("`{name}` in config.json should be a whole number, found {}", short(value)))?;
    let (least, most) = (usize::from(COUNTED.contains(&name)), limit(name));
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(format!("`{name}` in config.json is {number}; it should be from {least} to {most}"))
}

/// A value as messages quote it.
fn short(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    format!("{}…", text.chars().take(LONGEST).collect::<String>())
}

/// A view of a JSON object that says what is wrong with a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a>(pub &'a Value);

impl<'a> Config<'a> {
    fn field(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn usize(self, name: &str) -> Result<usize, String> {
        let value = self.field(name).ok_or_else(|| format!("config.json lacks `{name}`"))?;
        size(name, value)
    }

    pub(super) fn usize_or(self, name: &str, default: usize) -> Result<usize, String> {
        if self.field(name).is_some() { self.usize(name) } else { Ok(default) }
    }

    pub(super) fn f64_or(self, name: &str, default: f64) -> Result<f64, String> {
        match self.field(name) {
            None => Ok(default),
            Some(value) => {
                let number = value.as_f64().ok_or_else(|| {
                    format!("`{name}` in config.json should be a number, found {}", short(value))
                })?;
                if name.ends_with("eps") && !(number >= 0.0 && number.is_finite()) {
                    return Err(format!("`{name}` in config.json is {number}; it should be 0 or more"));
                }
                Ok(number)
            }
        }
    }

    pub(super) fn bool_or(self, name: &str, default: bool) -> Result<bool, String> {
        match self.field(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| {
                format!("`{name}` in config.json should be true or false, found {}", short(value))
            }),
        }
    }

    /// A nested object, empty where there is none.
    pub(super) fn section(self, name: &str) -> Self {
        Self(self.field(name).unwrap_or(&Value::Null))
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.field(name).and_then(Value::as_str)
    }

    /// A size that may be one number or a pair (rows, columns).
    pub(super) fn pair(self, name: &str) -> Result<[usize; 2], String> {
        let value = self.field(name).ok_or_else(|| format!("config.json lacks `{name}`"))?;
        match value {
            Value::Array(items) => match &items[..] {
                [rows, columns] => Ok([size(name, rows)?, size(name, columns)?]),
                _ => Err(format!("`{name}` in config.json should be a size, found {}", short(value))),
            },
            one => size(name, one).map(|extent| [extent; 2]),
        }
    }

    /// Class names in order of their number, from `id2label`.
    pub(super) fn labels(self) -> Vec<String> {
        let Some(Value::Object(map)) = self.field("id2label") else { return Vec::new() };
        let mut labels: Vec<(usize, String)> = map
            .iter()
            .filter_map(|(id, label)| Some((id.parse().ok()?, label.as_str()?.to_owned())))
            .collect();
        labels.sort();
        labels.into_iter().map(|(_, label)| label).collect()
    }
}

/// `id2label` and `label2id` for a `config.json`.
pub(super) fn labels_json(classes: &[String]) -> [(String, Value); 2] {
    let ids = classes.iter().enumerate().map(|(i, c)| (i.to_string(), Value::from(c.as_str()))).collect();
    let names = classes.iter().enumerate().map(|(i, c)| (c.clone(), Value::from(i))).collect();
    [("id2label".to_owned(), Value::Object(ids)), ("label2id".to_owned(), Value::Object(names))]
}
