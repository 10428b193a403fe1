//! IDX files, the form in which MNIST and its relatives are handed out.

use std::fs::File;
use std::io::{Read as _, Take};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::DataError;

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;
/// More than any set of this kind holds; a damaged header must not fill the memory.
const MAX_BYTES: u64 = 1 << 32;

/// Grey pictures of one size with a label each.
#[derive(Clone)]
pub(super) struct Pictures {
    /// Pixels a column.
    pub(super) height: usize,
    /// Pixels a row.
    pub(super) width: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Pictures {
    /// Number of pictures.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of one picture, row by row.
    pub(super) fn pixels(&self, index: usize) -> &[u8] {
        let area = self.height * self.width;
        &self.pixels[index * area..(index + 1) * area]
    }

    /// The label of one picture.
    pub(super) fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// A hash of all that is in it.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for extent in [self.height, self.width, self.len()] {
            hasher.update(&(extent as u64).to_le_bytes());
        }
        hasher.update(&self.pixels).update(&self.labels).finalize().to_hex().to_string()
    }

    /// The pictures for training and those held out, as indices in order.
    ///
    /// Held out are the last ones *of each class*, `held` in all: a set that was cut to equal classes
    /// ends with the rare ones, so its last pictures as they come would miss whole classes.
    pub(super) fn hold_out(&self, held: usize) -> (Vec<usize>, Vec<usize>) {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); 256];
        for (index, label) in self.labels.iter().enumerate() {
            members[usize::from(*label)].push(index);
        }
        let total = self.len().max(1);
        let mut is_held = vec![false; self.len()];
        let mut seen = 0;
        for class in &members {
            // Differences of rounded running totals: the shares add up to `held` exactly.
            let before = held.min(total) * seen / total;
            seen += class.len();
            let share = held.min(total) * seen / total - before;
            for index in class.iter().rev().take(share) {
                is_held[*index] = true;
            }
        }
        (0..self.len()).partition(|index| !is_held[*index])
    }
}

/// Reads `<stem>-images-idx3-ubyte` and `<stem>-labels-idx1-ubyte`, gzipped (`.gz`) or not, for the
/// first of `stems` that is there.
pub(super) fn read(folder: &Path, stems: &[&str]) -> Result<Pictures, DataError> {
    let (images_path, images) = open(folder, stems, "images-idx3-ubyte")?;
    let (dimensions, pixels) = parse(&images_path, &images, IMAGES_MAGIC, 3)?;
    let (labels_path, labels) = open(folder, stems, "labels-idx1-ubyte")?;
    let (_, labels) = parse(&labels_path, &labels, LABELS_MAGIC, 1)?;
    let [count, height, width] = dimensions[..] else {
        return Err(damaged(&images_path, "an unknown header"));
    };
    if labels.len() != count {
        return Err(DataError::Layout {
            expected: format!("a label for each of the {count} images"),
            found: format!("{} labels", labels.len()),
            path: labels_path,
        });
    }
    if let Some(label) = labels.iter().find(|label| **label > 9) {
        return Err(damaged(&labels_path, &format!("the label {label}, where digits have 0 to 9")));
    }
    Ok(Pictures { height, width, pixels: pixels.to_vec(), labels: labels.to_vec() })
}

fn open(folder: &Path, stems: &[&str], rest: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
    let names = stems.iter().flat_map(|stem| [format!("{stem}-{rest}.gz"), format!("{stem}-{rest}")]);
    let Some(path) = names.map(|name| folder.join(name)).find(|path| path.is_file()) else {
        let found = if folder.is_dir() { "a folder without it" } else { "no such folder" };
        return Err(DataError::Layout {
            expected: format!("a folder with `{}-{rest}.gz`", stems.first().unwrap_or(&"")),
            found: found.to_owned(),
            path: folder.to_owned(),
        });
    };
    let file = File::open(&path).map_err(|source| DataError::read(source, &path))?;
    let mut bytes = Vec::new();
    let read = if path.extension().is_some_and(|extension| extension == "gz") {
        let mut limited: Take<_> = MultiGzDecoder::new(file).take(MAX_BYTES);
        limited.read_to_end(&mut bytes)
    } else {
        file.take(MAX_BYTES).read_to_end(&mut bytes)
    };
    read.map_err(|source| DataError::read(source, &path))?;
    Ok((path, bytes))
}

/// The extents in the header, and the bytes after it.
fn parse<'a>(
    path: &Path,
    bytes: &'a [u8],
    magic: u32,
    axes: usize,
) -> Result<(Vec<usize>, &'a [u8]), DataError> {
    let header = 4 * (axes + 1);
    if bytes.len() < header {
        return Err(damaged(path, &format!("{} bytes, less than its header", bytes.len())));
    }
    let words: Vec<u32> = bytes[..header]
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        .collect();
    if words[0] != magic {
        return Err(damaged(path, &format!("{:#06x} instead of {magic:#06x} at its beginning", words[0])));
    }
    let extents: Vec<usize> = words[1..].iter().map(|word| *word as usize).collect();
    let expected = extents.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent));
    let content = &bytes[header..];
    if expected != Some(content.len()) || content.is_empty() {
        return Err(damaged(path, &format!("{} bytes of content for extents {extents:?}", content.len())));
    }
    Ok((extents, content))
}

fn damaged(path: &Path, found: &str) -> DataError {
    DataError::Layout {
        expected: "an undamaged IDX file of unsigned bytes".to_owned(),
        found: found.to_owned(),
        path: path.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// The digits that come with Graft.
    pub(in crate::data) fn bundled() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/digits")
    }

    #[test]
    fn bundled_digits_read_and_hold_out_every_class_alike() {
        let train = read(&bundled(), &["train"]).unwrap();
        assert_eq!((train.len(), train.height, train.width), (6000, 28, 28));
        let (kept, held) = train.hold_out(500);
        assert_eq!((kept.len(), held.len()), (5500, 500));
        for digit in 0..10 {
            assert_eq!(held.iter().filter(|index| train.label(**index) == digit).count(), 50);
        }
        assert_eq!(train.hold_out(503).1.len(), 503);
        assert_eq!(train.hold_out(0).1.len(), 0);
        assert_eq!(train.hold_out(9999).0.len(), 0);
        assert_eq!(read(&bundled(), &["test"]).unwrap().len(), 1000);
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |images: &[u8], labels: &[u8], expected: &str| {
            fs::write(folder.path().join("train-images-idx3-ubyte"), images).unwrap();
            fs::write(folder.path().join("train-labels-idx1-ubyte"), labels).unwrap();
            let message = read(folder.path(), &["train"]).err().unwrap().to_string();
            assert!(message.contains(expected) && message.ends_with("-ubyte"), "{message}");
        };
        let images = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 7];
        check(&images[..10], &[], "less than its header");
        check(&images[..17], &[], "1 bytes of content");
        check(&[1; 20], &[], "0x1010101");
        check(&images, &[0, 0, 8, 1, 0, 0, 0, 2, 1, 1], "2 labels");
        check(&images, &[0, 0, 8, 1, 0, 0, 0, 1, 10], "label 10");
        let missing = read(&folder.path().join("none"), &["test"]).err().unwrap().to_string();
        assert!(
            missing.contains("`test-images-idx3-ubyte.gz`") && missing.contains("no such folder"),
            "{missing}"
        );
    }
}
