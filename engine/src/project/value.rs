//! A value of a setting as text, written as in project files or as JSON.

use serde_json::{Map, Value};

/// Reads a value. What is neither JSON nor RON is taken as text, so that names and paths need no quotes.
pub(super) fn parse(text: &str) -> Value {
    let text = text.trim();
    serde_json::from_str(text).ok().or_else(|| Reader { rest: text }.whole()).unwrap_or_else(|| text.into())
}

/// The part of RON that settings need: lists, structs, variants, numbers, strings, `None` and `Some`.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn whole(mut self) -> Option<Value> {
        let value = self.value()?;
        self.rest.trim_start().is_empty().then_some(value)
    }

    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.strip_prefix(sign);
        self.rest = found.unwrap_or(rest);
        found.is_some()
    }

    fn value(&mut self) -> Option<Value> {
        if self.take('[') {
            return self.items(']').map(Value::Array);
        }
        if self.take('(') {
            return self.fields();
        }
        if self.rest.starts_with('"') {
            let end = self.rest[1..].find('"')? + 2;
            return serde_json::from_str(self.cut(end)).ok();
        }
        let end = self.rest.find([',', ')', ']', '(', ':', ' ']).unwrap_or(self.rest.len());
        let word = self.cut(end);
        match word {
            "" => None,
            "None" => Some(Value::Null),
            "Some" => self.take('(').then(|| self.one()).flatten(),
            // A name with something in brackets is a variant that holds it, as serde's JSON has it.
            _ if self.take('(') => {
                let inner = if self.is_field() { self.fields() } else { self.one() }?;
                Some(Value::Object(Map::from_iter([(word.to_owned(), inner)])))
            }
            _ => serde_json::from_str(word)
                .ok()
                .or_else(|| ron::from_str::<f64>(word).ok().map(Value::from))
                .or_else(|| word.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| Value::from(word))),
        }
    }

    fn cut(&mut self, end: usize) -> &'a str {
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Whether `name:` or the end of an empty struct comes next.
    fn is_field(&self) -> bool {
        let rest = self.rest.trim_start();
        let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        rest.starts_with(')') || (name.len() < rest.len() && name.trim_start().starts_with(':'))
    }

    fn one(&mut self) -> Option<Value> {
        let value = self.value()?;
        self.take(',');
        self.take(')').then_some(value)
    }

    fn items(&mut self, end: char) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value()?);
            if !self.take(',') {
                return self.take(end).then_some(items);
            }
        }
        Some(items)
    }

    /// The rest of a struct or, without names, of a tuple.
    fn fields(&mut self) -> Option<Value> {
        if !self.is_field() {
            return self.items(')').map(Value::Array);
        }
        let mut map = Map::new();
        while !self.take(')') {
            let name = self.rest.trim_start();
            let end = name.find(':')?;
            self.rest = &name[end + 1..];
            map.insert(name[..end].trim().to_owned(), self.value()?);
            if !self.take(',') {
                return self.take(')').then_some(Value::Object(map));
            }
        }
        Some(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_ron_and_bare_words() {
        for (text, want) in [
            ("2", json!(2)),
            ("1e-3", json!(1e-3)),
            (".5", json!(0.5)),
            ("None", Value::Null),
            ("Some(3)", json!(3)),
            ("Frames", json!("Frames")),
            ("Groups(2)", json!({ "Groups": 2 })),
            (
                "AdamW(learning_rate: 1e-3, weight_decay: 0.05)",
                json!({ "AdamW": { "learning_rate": 1e-3, "weight_decay": 0.05 } }),
            ),
            ("AdamW()", json!({ "AdamW": {} })),
            ("(warmup: 0.1, decay: Cosine,)", json!({ "warmup": 0.1, "decay": "Cosine" })),
            ("[\"model.spatial\", \"model.head\"]", json!(["model.spatial", "model.head"])),
            (
                "[(at: \"model.bridge\", kind: Bridge(width: 8))]",
                json!([{ "at": "model.bridge", "kind": { "Bridge": { "width": 8 } } }]),
            ),
            ("[]", json!([])),
            ("{\"warmup\": 0.1}", json!({ "warmup": 0.1 })),
            ("a name of words", json!("a name of words")),
            ("../assets/digits", json!("../assets/digits")),
            ("Groups(2", json!("Groups(2")),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
