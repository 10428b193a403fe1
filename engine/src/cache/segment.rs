//! A segment: values of some samples in one file that is written whole and never changed.
//!
//! Little-endian: `graftca1`, bytes of the table (u64), bytes of the values (u64), the table, a hash of all that
//! (32 bytes), the values. The table has the kinds of values (u32 count; each: integers or not, u8; axes, u8; extents,
//! u64), then the samples (u64 count; each: identity, 16; hash of its values, 16; kind, u32; place among the values,
//! u64).

#![expect(unsafe_code, reason = "mapping a file is unsafe: see the call")]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;

use crate::data::{Field, FieldValues};
use crate::tensor::elements;

const MAGIC: &[u8; 8] = b"graftca1";
/// Magic and two lengths.
const HEAD: usize = 24;
const HASH: usize = 32;

/// A mapped segment whose table is sound. Its values are checked one by one, when they are first asked for.
#[derive(Debug)]
pub(super) struct Segment {
    map: Mmap,
    file: File,
    /// Where the values begin in the file.
    start: usize,
    kinds: Vec<Kind>,
    records: Vec<Record>,
    checked: Vec<AtomicBool>,
}

/// Type and extents of a sample's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    integers: bool,
    shape: Vec<usize>,
}

impl Kind {
    fn bytes(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent))?;
        count.checked_mul(if self.integers { 8 } else { 4 })
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    sample: u128,
    check: [u8; 16],
    kind: usize,
    place: usize,
}

/// Writes these samples as a file. Their values become bytes a piece at a time: there is no second copy of all of them.
pub(super) fn write<F: AsRef<Field>>(samples: &[(u128, F)], out: &mut dyn Write) -> std::io::Result<()> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut numbers: HashMap<Kind, u32> = HashMap::new();
    let (mut records, mut place) = (Vec::new(), 0u64);
    for (sample, field) in samples {
        let field = field.as_ref();
        let kind = Kind { integers: field.as_integers().is_some(), shape: field.shape.clone() };
        let next = u32::try_from(kinds.len()).unwrap_or(u32::MAX);
        let number = *numbers.entry(kind.clone()).or_insert(next);
        if number == next {
            kinds.push(kind);
        }
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        in_pieces(field, &mut |piece| {
            hasher.update(piece);
            bytes += piece.len() as u64;
            Ok(())
        })?;
        records.extend_from_slice(&sample.to_le_bytes());
        records.extend_from_slice(&shortened(&hasher.finalize()));
        records.extend_from_slice(&number.to_le_bytes());
        records.extend_from_slice(&place.to_le_bytes());
        place += bytes;
    }
    let mut table = u32::try_from(kinds.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for kind in &kinds {
        table.push(u8::from(kind.integers));
        table.push(u8::try_from(kind.shape.len()).unwrap_or(u8::MAX));
        table.extend(kind.shape.iter().flat_map(|extent| (*extent as u64).to_le_bytes()));
    }
    table.extend_from_slice(&(samples.len() as u64).to_le_bytes());
    table.append(&mut records);
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(table.len() as u64).to_le_bytes());
    head.extend_from_slice(&place.to_le_bytes());
    head.append(&mut table);
    out.write_all(&head)?;
    out.write_all(blake3::hash(&head).as_bytes())?;
    for (_, field) in samples {
        in_pieces(field.as_ref(), &mut |piece| out.write_all(piece))?;
    }
    Ok(())
}

/// Values that become bytes at a time.
const PIECE: usize = 4096;

/// A field's values as bytes, in order.
fn in_pieces(field: &Field, take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(8 * PIECE);
    let mut give = |bytes: &mut Vec<u8>| {
        let taken = take(bytes);
        bytes.clear();
        taken
    };
    match &field.values {
        FieldValues::Floats(own) => own.chunks(PIECE).try_for_each(|piece| {
            bytes.extend(piece.iter().flat_map(|x| x.to_le_bytes()));
            give(&mut bytes)
        }),
        FieldValues::Integers(own) => own.chunks(PIECE).try_for_each(|piece| {
            bytes.extend(piece.iter().flat_map(|x| x.to_le_bytes()));
            give(&mut bytes)
        }),
    }
}

/// Sixteen bytes tell damage as surely as thirty-two.
fn shortened(hash: &blake3::Hash) -> [u8; 16] {
    std::array::from_fn(|place| hash.as_bytes()[place])
}

impl Segment {
    /// Maps a file; `None` when it is not a whole segment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(path: &Path) -> std::io::Result<Option<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() < (HEAD + HASH) as u64 {
            return Ok(None);
        }
        // SAFETY: a segment gets its name when it is whole, and nothing here writes to it or shortens it afterwards;
        // removing it leaves the mapping as it is.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self::parse(map, file))
    }

    fn parse(map: Mmap, file: File) -> Option<Self> {
        let mut head = Cursor(map.get(..HEAD)?);
        if head.take::<8>()? != *MAGIC {
            return None;
        }
        let (table, values) = (head.count()?, head.count()?);
        let end = HEAD.checked_add(table)?;
        let start = end.checked_add(HASH)?;
        let whole = start.checked_add(values)? == map.len();
        if !whole || blake3::hash(&map[..end]).as_bytes()[..] != map[end..start] {
            return None;
        }
        let mut table = Cursor(&map[HEAD..end]);
        let kinds = u32::from_le_bytes(table.take()?);
        let kinds = (0..kinds).map(|_| table.kind()).collect::<Option<Vec<Kind>>>()?;
        let count = table.count()?;
        let mut records = Vec::new();
        for _ in 0..count {
            let (sample, check) = (u128::from_le_bytes(table.take()?), table.take()?);
            let kind = usize::try_from(u32::from_le_bytes(table.take()?)).ok()?;
            let place = table.count()?;
            if place.checked_add(kinds.get(kind)?.bytes()?)? > values {
                return None;
            }
            records.push(Record { sample, check, kind, place });
        }
        let checked = records.iter().map(|_| AtomicBool::new(false)).collect();
        Some(Self { map, file, start, kinds, records, checked })
    }

    /// Whether the file is still as long as it was: reading what somebody has cut off would end the process. Asked before
    /// each batch; what is cut off between that and the reading is not noticed.
    pub(super) fn is_whole(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() == self.map.len() as u64)
    }

    /// The samples that it holds, with the bytes of each.
    pub(super) fn samples(&self) -> impl Iterator<Item = (u128, usize)> {
        self.records.iter().map(|record| (record.sample, self.bytes(record).len()))
    }

    fn bytes(&self, record: &Record) -> &[u8] {
        let begin = self.start + record.place;
        &self.map[begin..begin + self.kinds[record.kind].bytes().unwrap_or(0)]
    }

    /// Bytes of a record's values.
    pub(super) fn size(&self, record: usize) -> u64 {
        self.bytes(&self.records[record]).len() as u64
    }

    /// Whether a record's values have been found sound before.
    pub(super) fn is_checked(&self, record: usize) -> bool {
        self.checked[record].load(Ordering::Relaxed)
    }

    /// Whether a record's values are what was written.
    pub(super) fn is_sound(&self, record: usize) -> bool {
        let sound = self.is_whole() && {
            let record = &self.records[record];
            shortened(&blake3::hash(self.bytes(record))) == record.check
        };
        self.checked[record].store(sound, Ordering::Relaxed);
        sound
    }

    /// A record's extents.
    pub(super) fn shape(&self, record: usize) -> &[usize] {
        &self.kinds[self.records[record].kind].shape
    }

    /// No values of a record's type, with room for those of `rows` like it.
    pub(super) fn none_like(&self, record: usize, rows: usize) -> FieldValues {
        let kind = &self.kinds[self.records[record].kind];
        let count = elements(&kind.shape).saturating_mul(rows);
        if kind.integers {
            FieldValues::Integers(Vec::with_capacity(count))
        } else {
            FieldValues::Floats(Vec::with_capacity(count))
        }
    }

    /// Puts a record's values behind others of its type; says whether they were of it.
    pub(super) fn append_to(&self, record: usize, values: &mut FieldValues) -> bool {
        let record = &self.records[record];
        let bytes = self.bytes(record);
        match (values, self.kinds[record.kind].integers) {
            (FieldValues::Floats(own), false) => {
                own.extend(bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)));
            }
            (FieldValues::Integers(own), true) => {
                own.extend(bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)));
            }
            _ => return false,
        }
        true
    }
}

/// Takes parts off the front of bytes.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*part)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.take()?)).ok()
    }

    fn kind(&mut self) -> Option<Kind> {
        let [integers, axes] = self.take()?;
        let shape = (0..axes).map(|_| self.count()).collect::<Option<Vec<usize>>>()?;
        Some(Kind { integers: integers != 0, shape })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn written() -> Vec<u8> {
        let fields = [
            Field::floats(vec![1.0, -0.0, f32::NAN], &[3]),
            Field::integers(vec![-7], &[]),
            Field::floats(vec![0.5, 2.5], &[2, 1]),
        ];
        let fields = fields.map(Arc::new);
        let samples: Vec<(u128, Arc<Field>)> = (10..).zip(fields).collect();
        let mut bytes = Vec::new();
        write(&samples, &mut bytes).unwrap();
        bytes
    }

    fn open(bytes: &[u8]) -> Option<Segment> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.segment");
        std::fs::write(&path, bytes).unwrap();
        Segment::open(&path).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let segment = open(&written()).unwrap();
        assert_eq!(segment.samples().collect::<Vec<_>>(), [(10, 12), (11, 8), (12, 8)]);
        assert!((0..3).all(|record| !segment.is_checked(record) && segment.is_sound(record)));
        assert!(segment.is_checked(0));
        let mut floats = segment.none_like(0, 1);
        assert!(segment.append_to(0, &mut floats) && !segment.append_to(1, &mut floats));
        let FieldValues::Floats(floats) = floats else { panic!("floats") };
        assert_eq!(floats[1].to_bits(), (-0.0f32).to_bits());
        assert!(floats[2].is_nan());
        assert_eq!((segment.shape(1), segment.shape(2)), (&[][..], &[2, 1][..]));
    }

    #[test]
    fn values_of_several_pieces_are_read_back() {
        let long: Vec<f32> = (0..3 * PIECE + 5).map(|x| x as f32).collect();
        let samples = [(7, Arc::new(Field::floats(long.clone(), &[long.len()])))];
        let mut bytes = Vec::new();
        write(&samples, &mut bytes).unwrap();
        let segment = open(&bytes).unwrap();
        let mut values = segment.none_like(0, 1);
        assert!(segment.is_sound(0) && segment.append_to(0, &mut values));
        let FieldValues::Floats(values) = values else { panic!("floats") };
        assert_eq!(values, long);
    }

    #[test]
    fn a_file_that_is_cut_short_later_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.segment");
        std::fs::write(&path, written()).unwrap();
        let segment = Segment::open(&path).unwrap().unwrap();
        assert!(segment.is_whole() && segment.is_sound(0));
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert!(!segment.is_whole() && !segment.is_sound(1));
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed() {
        let bytes = written();
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length]).is_none(), "cut at {length}");
        }
        for place in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[place] ^= 0x10;
            let sound = open(&wrong).is_some_and(|segment| (0..3).all(|record| segment.is_sound(record)));
            assert!(!sound, "byte {place} flipped");
        }
    }
}
