//! The index of a checkpoint in shards: `{"weight_map": {tensor: file}}`, of either format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::marker::PhantomData;
use std::path::{Component, Path};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::{WeightsError, io, refused, unsound};

/// Bytes of the longest header or index that is read; `safetensors` has the same limit.
pub(super) const LONGEST_TEXT: u64 = 100_000_000;

/// An object's entries as written: in order, and with names that occur twice.
pub(super) struct Entries<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Walk<V> {
            type Value = Entries<V>;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Walk(PhantomData))
    }
}

/// Opens a file for reading; what is no file (a folder, a pipe that nobody writes to) is refused.
pub(super) fn open(path: &Path) -> Result<File, WeightsError> {
    let about = std::fs::metadata(path).map_err(|error| io(error, path))?;
    if !about.is_file() {
        return Err(unsound(&"it is no file", path));
    }
    File::open(path).map_err(|error| io(error, path))
}

/// Tensor → shard, from an index file.
///
/// # Errors
/// When it cannot be read, names a tensor in two shards, or a shard that is no plain file name: a shard is a file
/// beside its index, and a path that leads elsewhere is refused.
pub(super) fn shards_of(index: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: Entries<Json>,
    }
    let mut text = Vec::new();
    let file = open(index)?;
    file.take(LONGEST_TEXT + 1).read_to_end(&mut text).map_err(|error| io(error, index))?;
    if text.len() as u64 > LONGEST_TEXT {
        return Err(unsound(&"the index is longer than 100 MB", index));
    }
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| unsound(&error, index))?;
    let mut shards = BTreeMap::new();
    for (tensor, shard) in parsed.weight_map.0 {
        let Json::String(shard) = shard else {
            return Err(refused(&tensor, format!("is in {shard}, which is no file name"), index));
        };
        if !is_plain(&shard) {
            return Err(refused(&tensor, format!("is in `{shard}`, which is no plain file name"), index));
        }
        if let Some(other) = shards.insert(tensor.clone(), shard.clone()) {
            return Err(refused(&tensor, format!("is listed twice, in {other} and {shard}"), index));
        }
    }
    if shards.is_empty() {
        return Err(unsound(&"its `weight_map` is empty", index));
    }
    Ok(shards)
}

/// Whether a name is that of a file in the same folder, on every system.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_names_of_files_beside_the_index_are_plain() {
        assert!(is_plain("model-00001-of-00002.safetensors") && is_plain("..a"));
        for name in ["", ".", "..", "a/b", "/a", "../a", "a\\b", "c:a", "a/", "./a", "a\0"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
