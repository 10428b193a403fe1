//! Checkpoints that Flax writes: one tree of named values in `MessagePack`, each array an extension of type 1 that holds its
//! shape, the name of its number type and its bytes (`flax/serialization.py`). Of Scenic's video transformers the names are
//! known, and read as those of Graft's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::{bf16, f16};
use rmp::Marker;

use super::scenic::{self, Arrangement};
use super::{Tensor, WeightsError, io, no_weight, refused, unsound};
use crate::tensor::Shape;

/// Flax's extension type of an array.
const ARRAY: i8 = 1;
/// Deepest nesting that is followed.
const DEEPEST: usize = 64;
/// Longest name.
const LONGEST_NAME: u64 = 1 << 10;
/// Most axes of an array.
const MOST_AXES: u64 = 16;
/// What an array of more than a GiB is, rather than an extension.
const IN_PIECES: &str = "__msgpack_chunked_array__";

/// One array of the file.
#[derive(Clone, Debug)]
struct Stored {
    shape: Shape,
    dtype: String,
    /// Where its bytes begin, and how many they are.
    start: u64,
    bytes: u64,
}

/// An array under the name that it is read by.
#[derive(Debug)]
struct Named {
    stored: Stored,
    view: Shape,
    axes: Vec<usize>,
    /// Extents as they are read.
    shape: Shape,
}

/// One opened file.
#[derive(Debug)]
pub(super) struct FlaxFile {
    path: PathBuf,
    file: Mutex<File>,
    tensors: BTreeMap<String, Named>,
}

/// What comes next; the contents of texts, bytes and extensions follow it.
enum Item {
    Map(u64),
    List(u64),
    Text(u64),
    Bytes(u64),
    Extension(i8, u64),
    Whole(u64),
    /// Nothing that a tree of weights is made of, read over.
    Other,
}

/// A reader that knows where it is and how much there is.
struct Scanner<'a> {
    file: BufReader<&'a File>,
    at: u64,
    length: u64,
    found: BTreeMap<String, Stored>,
    path: &'a Path,
}

impl Scanner<'_> {
    fn wrong(&self, why: &str) -> WeightsError {
        unsound(&format!("{why}, at byte {}", self.at), self.path)
    }

    /// Refuses what would reach beyond the file.
    fn room(&self, bytes: u64) -> Result<(), WeightsError> {
        if bytes <= self.length - self.at {
            return Ok(());
        }
        Err(self.wrong(&format!("{bytes} bytes should follow, and {} are left", self.length - self.at)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        self.room(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|error| io(error, self.path))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), WeightsError> {
        self.room(bytes)?;
        let by = i64::try_from(bytes).map_err(|_| self.wrong("too much follows"))?;
        self.file.seek_relative(by).map_err(|error| io(error, self.path))?;
        self.at += bytes;
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<String, WeightsError> {
        if length > LONGEST_NAME {
            return Err(self.wrong(&format!("a name of {length} bytes")));
        }
        let bytes =
            (0..length).map(|_| self.take::<1>().map(|[byte]| byte)).collect::<Result<Vec<u8>, _>>()?;
        String::from_utf8(bytes).map_err(|_| self.wrong("a name that is no text"))
    }

    fn next(&mut self) -> Result<Item, WeightsError> {
        let [marker] = self.take()?;
        let marker = Marker::from_u8(marker);
        Ok(match marker {
            Marker::FixPos(value) => Item::Whole(u64::from(value)),
            Marker::U8 => Item::Whole(u64::from(u8::from_be_bytes(self.take()?))),
            Marker::U16 => Item::Whole(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::U32 => Item::Whole(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::U64 => Item::Whole(u64::from_be_bytes(self.take()?)),
            Marker::FixMap(count) => Item::Map(u64::from(count)),
            Marker::Map16 => Item::Map(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Map32 => Item::Map(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::FixArray(count) => Item::List(u64::from(count)),
            Marker::Array16 => Item::List(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Array32 => Item::List(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::FixStr(length) => Item::Text(u64::from(length)),
            Marker::Str8 => Item::Text(u64::from(u8::from_be_bytes(self.take()?))),
            Marker::Str16 => Item::Text(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Str32 => Item::Text(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::Bin8 => Item::Bytes(u64::from(u8::from_be_bytes(self.take()?))),
            Marker::Bin16 => Item::Bytes(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Bin32 => Item::Bytes(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let length = u8::from_be_bytes(self.take()?);
                self.extension(u64::from(length))?
            }
            Marker::Ext16 => {
                let length = u16::from_be_bytes(self.take()?);
                self.extension(u64::from(length))?
            }
            Marker::Ext32 => {
                let length = u32::from_be_bytes(self.take()?);
                self.extension(u64::from(length))?
            }
            Marker::Null | Marker::True | Marker::False | Marker::FixNeg(_) => Item::Other,
            Marker::I8 => self.over(1)?,
            Marker::I16 => self.over(2)?,
            Marker::I32 | Marker::F32 => self.over(4)?,
            Marker::I64 | Marker::F64 => self.over(8)?,
            Marker::Reserved => return Err(self.wrong("no MessagePack")),
        })
    }

    fn extension(&mut self, length: u64) -> Result<Item, WeightsError> {
        let [kind] = self.take()?;
        Ok(Item::Extension(i8::from_be_bytes([kind]), length))
    }

    fn over(&mut self, bytes: u64) -> Result<Item, WeightsError> {
        self.skip(bytes).map(|()| Item::Other)
    }

    /// Reads the value that comes next, all that is below it included.
    fn walk(&mut self, path: &str, depth: usize) -> Result<(), WeightsError> {
        if depth > DEEPEST {
            return Err(self.wrong(&format!("more than {DEEPEST} levels")));
        }
        match self.next()? {
            Item::Whole(_) | Item::Other => Ok(()),
            Item::Extension(ARRAY, length) => self.array(path, length),
            Item::Text(length) | Item::Bytes(length) | Item::Extension(_, length) => self.skip(length),
            Item::List(count) => {
                (0..count).try_for_each(|at| self.walk(&below(path, &at.to_string()), depth + 1))
            }
            Item::Map(count) => (0..count).try_for_each(|_| {
                let Item::Text(length) = self.next()? else {
                    return Err(self.wrong("a key that is no text"));
                };
                let key = self.text(length)?;
                if key == IN_PIECES {
                    return Err(refused(
                        path,
                        "is stored in pieces, which is not read".to_owned(),
                        self.path,
                    ));
                }
                self.walk(&below(path, &key), depth + 1)
            }),
        }
    }

    fn array(&mut self, path: &str, length: u64) -> Result<(), WeightsError> {
        self.room(length)?;
        let end = self.at + length;
        let wrong = |why: &str, scanner: &Self| refused(path, why.to_owned(), scanner.path);
        let Item::List(3) = self.next()? else { return Err(wrong("is no array of three parts", self)) };
        let Item::List(axes) = self.next()? else { return Err(wrong("has no shape", self)) };
        if axes > MOST_AXES {
            return Err(wrong(&format!("has {axes} axes"), self));
        }
        let mut shape = Shape::new();
        for _ in 0..axes {
            let Item::Whole(extent) = self.next()? else {
                return Err(wrong("has an extent that is no number", self));
            };
            shape.push(usize::try_from(extent).map_err(|_| wrong("has a shape that no memory holds", self))?);
        }
        let Item::Text(word) = self.next()? else { return Err(wrong("has no number type", self)) };
        let dtype = self.text(word)?;
        let Item::Bytes(bytes) = self.next()? else { return Err(wrong("has no values", self)) };
        let start = self.at;
        self.skip(bytes)?;
        if self.at != end {
            return Err(wrong("is not as long as its file says", self));
        }
        let wanted = shape.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent as u64));
        if let Some(each) = size_of(&dtype)
            && wanted.and_then(|count| count.checked_mul(each)) != Some(bytes)
        {
            return Err(wrong(&format!("has {bytes} bytes, which {shape:?} of {dtype} is not"), self));
        }
        self.found.insert(path.to_owned(), Stored { shape, dtype, start, bytes });
        Ok(())
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") }
}

/// Bytes of a number of a type that weights have.
fn size_of(dtype: &str) -> Option<u64> {
    match dtype {
        "float64" => Some(8),
        "float32" => Some(4),
        "float16" | "bfloat16" => Some(2),
        _ => None,
    }
}

impl FlaxFile {
    /// Opens a file: reads names, shapes and types.
    ///
    /// # Errors
    /// When it is not what Flax writes, or says more than it has.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(|error| io(error, path))?;
        let length = file.metadata().map_err(|error| io(error, path))?.len();
        let mut scanner =
            Scanner { file: BufReader::new(&file), at: 0, length, found: BTreeMap::new(), path };
        scanner.walk("", 0)?;
        if scanner.at != length {
            return Err(scanner.wrong("more follows behind the tree"));
        }
        let found = std::mem::take(&mut scanner.found);
        drop(scanner);
        let mut tensors = BTreeMap::new();
        for (name, from, arrangement) in scenic::names(found.keys().map(String::as_str)) {
            let stored = found[&from].clone();
            let Some((view, axes)) = Arrangement::of(arrangement, &stored.shape) else {
                let why = format!("has the shape {:?}, which `{name}` cannot be made of", stored.shape);
                return Err(refused(&from, why, path));
            };
            let shape = axes.iter().map(|axis| view[*axis]).collect();
            tensors.insert(name, Named { stored, view, axes, shape });
        }
        Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|named| &*named.shape)
    }

    /// Whether a tensor's type is one that weights have.
    pub(super) fn is_float(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|named| size_of(&named.stored.dtype).is_some())
    }

    /// Reads a tensor of any float type as f32, in the order of Graft's axes.
    #[expect(clippy::cast_possible_truncation, reason = "weights are used in f32")]
    pub(super) fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        let named = self
            .tensors
            .get(name)
            .ok_or_else(|| refused(name, "is not in the file".to_owned(), &self.path))?;
        let stored = &named.stored;
        let bytes = {
            let too_much = |_| refused(name, "does not fit into memory".to_owned(), &self.path);
            let count = usize::try_from(stored.bytes).unwrap_or(usize::MAX);
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(count).map_err(too_much)?;
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(stored.start)).map_err(|error| io(error, &self.path))?;
            let read = (&mut *file).take(stored.bytes).read_to_end(&mut bytes);
            read.map_err(|error| io(error, &self.path))?;
            if bytes.len() != count {
                return Err(refused(name, "was cut short".to_owned(), &self.path));
            }
            bytes
        };
        let values: Vec<f32> = match &*stored.dtype {
            "float64" => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            "float32" => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            "float16" => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            "bfloat16" => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(no_weight(name, &other, &self.path)),
        };
        Ok(Tensor { shape: named.shape.clone(), data: permuted(&values, &named.view, &named.axes) })
    }
}

/// Values `view`, row-major, with their axes in another order.
fn permuted(values: &[f32], view: &[usize], axes: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; view.len()];
    for axis in (0..view.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * view[axis + 1];
    }
    let mut place = vec![0; axes.len()];
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let at: usize = place.iter().zip(axes).map(|(place, axis)| place * strides[*axis]).sum();
        out.push(values[at]);
        for (place, axis) in place.iter_mut().zip(axes).rev() {
            *place += 1;
            if *place < view[*axis] {
                break;
            }
            *place = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_their_order() {
        let values: Vec<f32> = (0u8..6).map(f32::from).collect();
        assert_eq!(permuted(&values, &[2, 3], &[1, 0]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(permuted(&values, &[2, 3], &[0, 1]), values);
        assert_eq!(permuted(&values, &[1, 3, 2], &[2, 0, 1]), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    fn refusal(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        std::fs::write(&path, bytes).unwrap();
        FlaxFile::open(&path).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        assert!(refusal(&[]).contains("1 bytes should follow"));
        assert!(refusal(&[0xc1]).contains("no MessagePack"));
        assert!(refusal(&[0x80, 0x80]).contains("more follows"));
        // A map of four thousand million entries that holds none.
        assert!(refusal(&[0xdf, 0xff, 0xff, 0xff, 0xff]).contains("should follow"));
        assert!(refusal(&[0x91; 100]).contains("levels"));
        // An array of one value of four bytes, of which the file has two.
        let array = [0x81, 0xa1, b'w', 0xc7, 14, 1, 0x93, 0x91, 1, 0xa7];
        let array = [&array[..], b"float32", &[0xc4, 2, 0, 0]].concat();
        assert!(refusal(&array).contains("tensor `w`"), "{}", refusal(&array));
        let pieces = [&[0x81, 0xa1, b'w', 0x81, 0xb9][..], IN_PIECES.as_bytes(), &[0xc3]].concat();
        assert!(refusal(&pieces).contains("in pieces"));
    }
}
