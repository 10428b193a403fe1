//! Folders with one sub-folder a class: listing, natural order, and a split that stays when files are added.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::LABELS;
use super::{DataError, Split, identity_of};
use crate::tensor::Stream;

/// Shares of a folder's samples that are kept for other splits than training; each from 0, together below 1.
///
/// Each sample is drawn by its own name (`class/file`), so adding a file moves no other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fractions {
    /// Share for validation.
    pub validation: f32,
    /// Share for the test.
    pub test: f32,
}

impl Default for Fractions {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.1 }
    }
}

impl Fractions {
    fn check(self) -> Result<(), DataError> {
        let is_share = |share: f32| (0.0..1.0).contains(&share);
        if is_share(self.validation) && is_share(self.test) && self.validation + self.test < 1.0 {
            return Ok(());
        }
        let value = format!("(validation: {}, test: {})", self.validation, self.test);
        Err(DataError::setting(
            "split",
            value,
            "each share must be from 0, and together they must stay below 1",
        ))
    }

    /// The split of the sample called `name`.
    fn draw(self, seed: u64, name: &str) -> Split {
        let drawn = Stream::new(seed, &format!("data.split/{name}")).at(0).uniform();
        if drawn < self.validation {
            Split::Validation
        } else if drawn < self.validation + self.test {
            Split::Test
        } else {
            Split::Train
        }
    }
}

/// Something in a folder; names that begin with a dot are left out.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

impl Entry {
    /// Whether the name ends in one of `extensions`, given in lower case.
    pub(super) fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        extensions.contains(&extension.as_str())
    }
}

/// What a folder holds, in natural order of names.
pub(super) fn entries(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push(Entry { is_folder: path.is_dir(), name, path });
        }
    }
    entries.sort_by(|a, b| natural_order(&a.name, &b.name));
    Ok(entries)
}

/// Orders names with their numbers as numbers: `frame2` before `frame10`.
pub(super) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (left.first(), right.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (take_number(&mut left), take_number(&mut right));
            // Without leading zeros the longer number is the larger one.
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Takes the digits at the beginning, and gives them without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

/// Where the samples of one source lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    /// `<class>/<sample>` for training, and for every split that has no folder of its own.
    pub(super) folder: &'a Path,
    pub(super) validation_folder: Option<&'a Path>,
    pub(super) test_folder: Option<&'a Path>,
    pub(super) split: Fractions,
    pub(super) seed: u64,
    /// What a sample is, for messages: "pictures (.png, …)".
    pub(super) samples: &'a str,
    pub(super) is_sample: fn(&Entry) -> bool,
}

/// The samples of a source.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    pub(super) classes: Vec<String>,
    /// One list a split, by class and then in natural order.
    pub(super) splits: [Vec<Item>; 3],
}

impl Catalogue {
    /// As [`Source::key`](super::Source::key): the label, which the folder tells.
    pub(super) fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        let item = self.splits[split.position()].get(index)?;
        (column == LABELS).then_some(item.label)
    }

    /// As [`Source::fingerprint`](super::Source::fingerprint), of a source that turns files into pixels by `preparation`.
    pub(super) fn fingerprint(&self, column: &str, preparation: &str) -> String {
        // A label is a place in the list of classes.
        if column == LABELS { format!("classes {:?}", self.classes) } else { preparation.to_owned() }
    }

    /// As [`Source::identity`](super::Source::identity): the file's path and what it shows of itself, and for a folder that of
    /// every file in it.
    pub(super) fn identity(&self, split: Split, index: usize) -> u128 {
        let Some(item) = self.splits[split.position()].get(index) else { return u128::MAX };
        let mut shown = state(&item.path);
        if item.path.is_dir() {
            // What cannot be listed is not read either.
            for entry in entries(&item.path).unwrap_or_default() {
                shown.extend(state(&entry.path));
            }
        }
        identity_of(&[&shown])
    }
}

/// What a file shows of itself without being read. Archives give many files one time, and some formats one size, so name,
/// size and time alone do not tell two folders apart.
fn state(path: &Path) -> Vec<u8> {
    let metadata = std::fs::metadata(path).ok();
    let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let since = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let own = metadata.as_ref().map(inner_state);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let rest = format!(" {:?} {since:?} {own:?}\n", metadata.map(|metadata| metadata.len()));
    [path.as_os_str().as_encoded_bytes(), rest.as_bytes()].concat()
}

/// Which file it is, and when anything of it changed last, its time of change included.
#[cfg(unix)]
fn inner_state(metadata: &std::fs::Metadata) -> [i64; 3] {
    use std::os::unix::fs::MetadataExt as _;
    [metadata.ino().cast_signed(), metadata.ctime(), metadata.ctime_nsec()]
}

#[cfg(not(unix))]
fn inner_state(metadata: &std::fs::Metadata) -> Option<std::time::Duration> {
    metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    pub(super) label: i64,
}

impl Layout<'_> {
    /// Lists every sample; relative folders resolve from `base`.
    pub(super) fn catalogue(&self, base: &Path) -> Result<Catalogue, DataError> {
        self.split.check()?;
        let root = base.join(self.folder);
        let classes = self.classes(&root)?;
        let mut splits = [const { Vec::new() }; 3];
        let shares = Fractions {
            validation: if self.validation_folder.is_some() { 0.0 } else { self.split.validation },
            test: if self.test_folder.is_some() { 0.0 } else { self.split.test },
        };
        let others = self.walk(&root, &classes, |name, item| {
            splits[shares.draw(self.seed, name).position()].push(item);
        })?;
        let drawn = splits[1].len() + splits[2].len();
        if splits[0].is_empty() && drawn > 0 {
            let why =
                format!("all {drawn} samples were drawn for the other splits; add samples, or lower `split`");
            return Err(DataError::EmptyTrain { why });
        }
        if splits[0].is_empty() {
            return Err(DataError::Layout {
                expected: format!("{} in the class folders", self.samples),
                found: format!(
                    "none in {}, and {others} other files or folders",
                    count(classes.len(), "class folder")
                ),
                path: root,
            });
        }
        for (split, folder) in [(Split::Validation, self.validation_folder), (Split::Test, self.test_folder)]
        {
            if let Some(folder) = folder {
                self.walk(&base.join(folder), &classes, |_, item| splits[split.position()].push(item))?;
            }
        }
        Ok(Catalogue { classes, splits })
    }

    /// The names of the class folders, alphabetically.
    fn classes(&self, root: &Path) -> Result<Vec<String>, DataError> {
        let entries = entries(root).map_err(|source| DataError::read(source, root))?;
        let mut classes: Vec<String> =
            entries.iter().filter(|entry| entry.is_folder).map(|entry| entry.name.clone()).collect();
        if classes.is_empty() {
            return Err(DataError::Layout {
                expected: format!("a sub-folder for each class, holding {}", self.samples),
                found: format!("{} and no sub-folder", count(entries.len(), "file")),
                path: root.to_owned(),
            });
        }
        classes.sort();
        Ok(classes)
    }

    /// Calls `take` with name (`class/sample`) and item of each sample under `root`; returns how much else is there.
    fn walk(
        &self,
        root: &Path,
        classes: &[String],
        mut take: impl FnMut(&str, Item),
    ) -> Result<usize, DataError> {
        let mut others = 0;
        for class in self.classes(root)? {
            let Ok(label) = classes.binary_search(&class) else {
                return Err(DataError::Layout {
                    expected: format!("only classes that training has too ({})", classes.join(", ")),
                    found: format!("a folder `{class}`"),
                    path: root.to_owned(),
                });
            };
            let folder = root.join(&class);
            for entry in entries(&folder).map_err(|source| DataError::read(source, &folder))? {
                if (self.is_sample)(&entry) {
                    let label = i64::try_from(label).unwrap_or(i64::MAX);
                    take(&format!("{class}/{}", entry.name), Item { path: entry.path, label });
                } else {
                    others += 1;
                }
            }
        }
        Ok(others)
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::*;

    fn layout(folder: &Path) -> Layout<'_> {
        Layout {
            folder,
            validation_folder: None,
            test_folder: None,
            split: Fractions { validation: 0.2, test: 0.2 },
            seed: 1,
            samples: "notes (.txt)",
            is_sample: |entry| !entry.is_folder && entry.has_extension(&["txt"]),
        }
    }

    fn write(root: &Path, names: impl IntoIterator<Item = String>) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
    }

    fn splits(catalogue: &Catalogue) -> HashMap<PathBuf, Split> {
        Split::ALL
            .into_iter()
            .flat_map(|split| {
                catalogue.splits[split.position()].iter().map(move |item| (item.path.clone(), split))
            })
            .collect()
    }

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["f10", "f2", "f1", "f02b", "f02a", "a", "f2.png", "f", "f10.5", "f9"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "f", "f1", "f2", "f2.png", "f02a", "f02b", "f9", "f10", "f10.5"]);
        assert_eq!(natural_order("x", "x"), Ordering::Equal);
        assert_ne!(natural_order("x01", "x1"), Ordering::Equal, "different names never tie");
    }

    #[test]
    fn adding_files_moves_no_other() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), (0..200).map(|number| format!("b/{number}.txt")));
        write(root.path(), (0..100).map(|number| format!("a/{number}.TXT")));
        let before = layout(root.path()).catalogue(Path::new("")).unwrap();
        assert_eq!(before.classes, ["a", "b"]);
        assert!(before.splits[0].windows(2).all(|pair| pair[0].label <= pair[1].label));
        let counts = [0, 1, 2].map(|split| before.splits[split].len());
        assert_eq!(counts.iter().sum::<usize>(), 300);
        assert!((40..80).contains(&counts[1]) && (40..80).contains(&counts[2]), "{counts:?}");
        write(root.path(), (0..50).map(|number| format!("a/new{number}.txt")));
        write(root.path(), ["a/readme.md", ".hidden/x.txt", "b/.hidden.txt"].map(str::to_owned));
        let after = layout(root.path()).catalogue(Path::new("")).unwrap();
        let (before, after) = (splits(&before), splits(&after));
        assert_eq!(after.len(), 350);
        assert!(before.iter().all(|(path, split)| after[path] == *split));
    }

    #[test]
    fn folders_of_their_own_replace_shares() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), (0..20).map(|number| format!("train/{}/{number}.txt", number % 2)));
        write(root.path(), ["val/1/v.txt", "test/0/t.txt", "test/1/t.txt"].map(str::to_owned));
        let layout = Layout {
            folder: Path::new("train"),
            validation_folder: Some(Path::new("val")),
            test_folder: Some(Path::new("test")),
            ..layout(root.path())
        };
        let catalogue = layout.catalogue(root.path()).unwrap();
        assert_eq!([0, 1, 2].map(|split| catalogue.splits[split].len()), [20, 1, 2]);
        assert_eq!(catalogue.splits[1][0].label, 1);
        write(root.path(), ["val/zebra/v.txt".to_owned()]);
        let message = layout.catalogue(root.path()).unwrap_err().to_string();
        assert!(
            message.contains("`zebra`") && message.contains("(0, 1)") && message.ends_with("val"),
            "{message}"
        );
    }

    #[test]
    fn wrong_folders_say_what_was_expected_and_found() {
        let root = tempfile::tempdir().unwrap();
        let message = |folder: &Path| layout(folder).catalogue(Path::new("")).unwrap_err().to_string();
        assert!(message(&root.path().join("none")).starts_with("could not be read"));
        write(root.path(), ["1.txt".to_owned(), "2.txt".to_owned()]);
        let found = message(root.path());
        assert!(found.contains("a sub-folder for each class, holding notes (.txt)"), "{found}");
        assert!(found.contains("found 2 files and no sub-folder: /"), "{found}");
        write(root.path(), ["a/1.png".to_owned()]);
        let found = message(root.path());
        assert!(found.contains("none in 1 class folder, and 1 other"), "{found}");
        let all = Layout { split: Fractions { validation: 0.6, test: 0.4 }, ..layout(root.path()) };
        assert!(all.catalogue(Path::new("")).unwrap_err().to_string().contains("`split`"));
    }

    #[test]
    fn an_empty_train_split_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let shares = Fractions { validation: 0.5, test: 0.4 };
        let lost = (0..10_000)
            .map(|n| format!("a/{n}.txt"))
            .find(|name| shares.draw(1, name) != Split::Train)
            .unwrap();
        write(root.path(), [lost]);
        let message =
            Layout { split: shares, ..layout(root.path()) }.catalogue(Path::new("")).unwrap_err().to_string();
        assert!(message.contains("all 1 samples were drawn"), "{message}");
    }
}
