//! Reading `config.json` without surprises: a missing or odd field is named.

use serde_json::Value;

/// A view of a JSON object that says what is wrong with a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a>(pub &'a Value);

impl<'a> Config<'a> {
    fn field(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn usize(self, name: &str) -> Result<usize, String> {
        let value = self.field(name).ok_or_else(|| format!("config.json lacks `{name}`"))?;
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| format!("`{name}` in config.json should be a whole number, found {value}"))
    }

    pub(super) fn usize_or(self, name: &str, default: usize) -> Result<usize, String> {
        if self.field(name).is_some() { self.usize(name) } else { Ok(default) }
    }

    pub(super) fn f64_or(self, name: &str, default: f64) -> Result<f64, String> {
        match self.field(name) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| format!("`{name}` in config.json should be a number, found {value}")),
        }
    }

    pub(super) fn bool_or(self, name: &str, default: bool) -> Result<bool, String> {
        match self.field(name) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("`{name}` in config.json should be true or false, found {value}")),
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
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let pair = match value {
            Value::Array(items) if items.len() == 2 => number(&items[0]).zip(number(&items[1])),
            other => number(other).map(|n| (n, n)),
        };
        pair.map(|(rows, columns)| [rows, columns])
            .ok_or_else(|| format!("`{name}` in config.json should be a size, found {value}"))
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
