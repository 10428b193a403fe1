//! One safetensors file. The header is held against the file before anything is believed, and values are read from
//! their own byte range alone, a piece at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::{bf16, f16};
use safetensors::Dtype;
use serde::Deserialize;
use serde_json::Value as Json;

use super::shards::{Entries, LONGEST_TEXT, open};
use super::{Tensor, WeightsError, io, no_weight, refused, unsound};
use crate::tensor::Shape;

/// Bytes read at once, a multiple of every element's size.
const PIECE: usize = 1 << 20;

/// An opened file: names, dtypes, shapes and where the values are.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: Mutex<File>,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Debug)]
struct Stored {
    dtype: Dtype,
    shape: Shape,
    /// Bytes from the file's start.
    start: u64,
    /// First byte behind.
    end: u64,
}

/// A tensor's entry in the header.
#[derive(Deserialize)]
struct Entry {
    dtype: Json,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl SafetensorsFile {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// When the header is cut short or no header, or when a tensor's bytes lie outside the file, are shared with
    /// another, are not as many as its shape and dtype need, or leave a hole.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let mut file = open(path)?;
        let length = file.metadata().map_err(|error| io(error, path))?.len();
        let mut size = [0u8; 8];
        file.read_exact(&mut size).map_err(|_| unsound(&"it ends before its header", path))?;
        let size = u64::from_le_bytes(size);
        let room = length.saturating_sub(8);
        if size > room {
            return Err(unsound(&format!("its header should have {size} bytes, the file has {room}"), path));
        }
        if size > LONGEST_TEXT {
            return Err(unsound(&format!("its header of {size} bytes is longer than 100 MB"), path));
        }
        let mut text = Vec::new();
        file.by_ref().take(size).read_to_end(&mut text).map_err(|error| io(error, path))?;
        let header: Entries<Json> = serde_json::from_slice(&text)
            .map_err(|error| unsound(&format!("its header cannot be read: {error}"), path))?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in header.0 {
            if name == "__metadata__" {
                continue;
            }
            let stored = stored(&name, &entry, 8 + size, length).map_err(|why| refused(&name, why, path))?;
            if tensors.insert(name.clone(), stored).is_some() {
                return Err(refused(&name, "is in the header twice".to_owned(), path));
            }
        }
        check_coverage(&tensors, 8 + size, length, path)?;
        Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| &*stored.shape)
    }

    /// Whether a tensor's dtype is one that weights have.
    pub(super) fn is_float(&self, name: &str) -> bool {
        let floats = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
        self.tensors.get(name).is_some_and(|stored| floats.contains(&stored.dtype))
    }

    /// Whether a tensor holds 64-bit integers.
    pub(super) fn is_integer(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|stored| stored.dtype == Dtype::I64)
    }

    /// Reads a tensor of any float dtype as f32.
    #[expect(clippy::cast_possible_truncation, reason = "weights are used in f32")]
    pub(super) fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        let stored = self.find(name)?;
        let data = match stored.dtype {
            Dtype::F32 => self.values(name, stored, f32::from_le_bytes),
            Dtype::F64 => self.values(name, stored, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F16 => self.values(name, stored, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.values(name, stored, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            other => return Err(no_weight(name, &other, &self.path)),
        };
        Ok(Tensor { shape: stored.shape.clone(), data: data? })
    }

    /// Reads a tensor of 64-bit integers, as shape and values.
    pub(super) fn read_integers(&self, name: &str) -> Result<(Shape, Vec<i64>), WeightsError> {
        let stored = self.find(name)?;
        if stored.dtype != Dtype::I64 {
            return Err(refused(name, format!("has dtype {:?}, not I64", stored.dtype), &self.path));
        }
        Ok((stored.shape.clone(), self.values(name, stored, i64::from_le_bytes)?))
    }

    /// Whether a tensor's elements are bytes.
    pub(super) fn is_bytes(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|stored| stored.dtype == Dtype::U8)
    }

    /// Reads a tensor of bytes.
    pub(super) fn read_bytes(&self, name: &str) -> Result<Vec<u8>, WeightsError> {
        let stored = self.find(name)?;
        self.values(name, stored, |[byte]: [u8; 1]| byte)
    }

    fn find(&self, name: &str) -> Result<&Stored, WeightsError> {
        self.tensors.get(name).ok_or_else(|| refused(name, "is not in the file".to_owned(), &self.path))
    }

    fn values<const N: usize, T>(
        &self,
        name: &str,
        stored: &Stored,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, WeightsError> {
        let wrong = |error| io(error, &self.path);
        let too_much = |_| refused(name, "does not fit into memory".to_owned(), &self.path);
        let mut left = usize::try_from(stored.end - stored.start).unwrap_or(usize::MAX);
        let mut values = Vec::new();
        values.try_reserve_exact(left / N).map_err(too_much)?;
        let mut piece = vec![0u8; left.min(PIECE)];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(stored.start)).map_err(wrong)?;
        while left > 0 {
            let bytes = &mut piece[..left.min(PIECE)];
            file.read_exact(bytes).map_err(wrong)?;
            values.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)));
            left -= bytes.len();
        }
        Ok(values)
    }
}

/// A header's entry, held against the file: its values begin at `data` and end at `length`.
fn stored(name: &str, entry: &Json, data: u64, length: u64) -> Result<Stored, String> {
    debug_assert_ne!(name, "__metadata__");
    let entry = Entry::deserialize(entry).map_err(|error| format!("has no sound header entry ({error})"))?;
    let dtype =
        Dtype::deserialize(&entry.dtype).map_err(|_| format!("has the unknown dtype {}", entry.dtype))?;
    let (start, end) = entry.data_offsets;
    let room = length - data;
    if start > end || end > room {
        return Err(format!(
            "should have the bytes {start} to {end} of the values, of which the file has {room}; it may have been \
             cut short"
        ));
    }
    let bits = entry
        .shape
        .iter()
        .try_fold(dtype.bitsize() as u64, |product, axis| product.checked_mul(*axis))
        .ok_or_else(|| format!("has the shape {:?}, which no memory holds", entry.shape))?;
    if bits != 8 * (end - start) {
        return Err(format!(
            "has {} bytes, but {:?} of {dtype:?} are {}",
            end - start,
            entry.shape,
            bits.div_ceil(8)
        ));
    }
    // An extent may be large beside one of 0.
    let shape = entry.shape.iter().map(|axis| usize::try_from(*axis)).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| format!("has the shape {:?}, which no memory holds", entry.shape))?;
    Ok(Stored { dtype, shape, start: data + start, end: data + end })
}

/// Every byte of the values belongs to exactly one tensor.
fn check_coverage(
    tensors: &BTreeMap<String, Stored>,
    data: u64,
    length: u64,
    path: &Path,
) -> Result<(), WeightsError> {
    let mut order: Vec<(&String, &Stored)> = tensors.iter().collect();
    order.sort_by_key(|(_, stored)| (stored.start, stored.end));
    let (mut at, mut before) = (data, None::<&String>);
    for (name, stored) in order {
        if stored.start < at {
            let other = before.map_or_else(String::new, |other| format!(" with `{other}`"));
            return Err(refused(name, format!("shares bytes{other}"), path));
        }
        if stored.start > at {
            let hole = stored.start - at;
            return Err(refused(name, format!("comes after {hole} bytes that belong to no tensor"), path));
        }
        (at, before) = (stored.end, Some(name));
    }
    if at == length {
        return Ok(());
    }
    let after = before.map_or_else(|| "its header".to_owned(), |name| format!("its last tensor, `{name}`"));
    Err(unsound(&format!("after {after}, there are {} bytes that belong to no tensor", length - at), path))
}
