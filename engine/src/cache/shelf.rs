//! A shelf: one value for each sample, in memory while there is room and in segments on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use super::segment::{self, Segment};
use super::stock::{is_note, note_use};
use super::{CacheError, Key};
use crate::data::Field;
use crate::weights::write_atomically_by;

/// What a segment's name ends in.
const ENDING: &str = "segment";
/// What is left of a write that a kill cut short is removed after this.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// Bytes that may be held in memory, shared by the shelves of one stage.
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// This many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Takes bytes out, if they are there.
    fn reserve(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn release(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One value for each sample of a split. Reading from several threads is fine, and so is storing meanwhile.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    budget: Arc<Budget>,
    slots: RwLock<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    places: HashMap<u128, Place>,
    /// Samples that no segment holds yet.
    waiting: Vec<u128>,
    waiting_bytes: u64,
    bytes: u64,
    /// Bytes taken out of the budget.
    reserved: u64,
}

/// Where a sample's value is.
#[derive(Clone, Debug)]
enum Place {
    Held {
        field: Arc<Field>,
        /// Within the budget: it stays in memory when a segment holds it as well.
        stays: bool,
    },
    Mapped {
        segment: Arc<Segment>,
        record: usize,
    },
}

fn size(field: &Field) -> u64 {
    let each = if field.as_integers().is_some() { 8 } else { 4 };
    field.values.len() as u64 * each
}

impl Shelf {
    /// Opens the shelf of a key below `folder`, with what earlier runs have put there. `of` says what it holds, for people.
    ///
    /// # Errors
    /// When its folder cannot be made or listed.
    pub fn open(folder: &Path, key: Key, budget: &Arc<Budget>, of: &str) -> Result<Self, CacheError> {
        let folder = folder.join(key.to_string());
        let io = |error| CacheError::io(error, &folder);
        std::fs::create_dir_all(&folder).map_err(io)?;
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                paths.push(path);
            } else if !is_note(&path) && is_forgotten(&path) {
                // It does no harm where it cannot be removed.
                drop(std::fs::remove_file(&path));
            }
        }
        note_use(&folder, of);
        // By time: of two values of one sample the later one counts, so that what was built in place of a damaged one is found.
        paths.sort();
        let mut slots = Slots::default();
        for path in paths {
            match Segment::open(&path) {
                Ok(Some(segment)) => slots.take_in(&Arc::new(segment)),
                // Not whole: removed, and its samples are computed again. Another process may have been quicker.
                Ok(None) => drop(std::fs::remove_file(&path)),
                Err(_) => {}
            }
        }
        Ok(Self { folder, budget: Arc::clone(budget), slots: RwLock::new(slots) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all values that are there.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.read().bytes
    }

    /// Bytes that no file holds yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.read().waiting_bytes
    }

    /// Whether a sample's sound value is there. The first time that a value from a file is asked for it is checked,
    /// and taken into memory while there is room.
    #[must_use]
    pub fn has(&self, sample: u128) -> bool {
        let place = self.read().places.get(&sample).cloned();
        let (segment, record) = match place {
            None => return false,
            Some(Place::Held { .. }) => return true,
            Some(Place::Mapped { segment, record }) => (segment, record),
        };
        if segment.is_checked(record) {
            return true;
        }
        if !segment.is_sound(record) {
            // It is computed again, and the later file counts from then on.
            let mut slots = self.write();
            if slots.places.remove(&sample).is_some() {
                slots.bytes = slots.bytes.saturating_sub(segment.size(record));
            }
            return false;
        }
        let bytes = segment.size(record);
        if self.budget.reserve(bytes) {
            let mut values = segment.none_like(record, 1);
            segment.append_to(record, &mut values);
            let field = Arc::new(Field { shape: segment.shape(record).to_vec(), values });
            let mut slots = self.write();
            match slots.places.get_mut(&sample) {
                Some(place @ Place::Mapped { .. }) => {
                    *place = Place::Held { field, stays: true };
                    slots.reserved += bytes;
                }
                // Another thread was quicker.
                _ => self.budget.release(bytes),
            }
        }
        true
    }

    /// The values of samples, one after the other with the batch as leading axis: a copy a sample, straight to its place.
    /// `None` when one is not there, or not of the extents of the first.
    #[must_use]
    pub fn gather(&self, samples: &[u128]) -> Option<Field> {
        let slots = self.read();
        let places =
            samples.iter().map(|sample| slots.places.get(sample)).collect::<Option<Vec<&Place>>>()?;
        let (extents, mut values) = match places.first()? {
            Place::Held { field, .. } => {
                (&field.shape[..], field.values.none_like(field.values.len() * samples.len()))
            }
            Place::Mapped { segment, record } => {
                (segment.shape(*record), segment.none_like(*record, samples.len()))
            }
        };
        for place in &places {
            let fits = match place {
                Place::Held { field, .. } => field.shape == extents && values.append(&field.values),
                Place::Mapped { segment, record } => {
                    segment.shape(*record) == extents && segment.append_to(*record, &mut values)
                }
            };
            if !fits {
                return None;
            }
        }
        let shape = [&[samples.len()], extents].concat();
        Some(Field { shape, values })
    }

    /// Forgets what lay in files that were cut short since they were opened: it is computed again.
    pub(super) fn forget_cut_short(&self, samples: &[u128]) {
        let slots = self.read();
        let mut segments: Vec<&Arc<Segment>> = Vec::new();
        for sample in samples {
            if let Some(Place::Mapped { segment, .. }) = slots.places.get(sample)
                && !segments.iter().any(|known| Arc::ptr_eq(known, segment))
            {
                segments.push(segment);
            }
        }
        let short: Vec<Arc<Segment>> =
            segments.into_iter().filter(|segment| !segment.is_whole()).map(Arc::clone).collect();
        drop(slots);
        if !short.is_empty() {
            self.write().forget(&short);
        }
    }

    /// Takes a sample's value. It is on disk after the next [`Self::flush`].
    pub fn put(&self, sample: u128, field: Field) {
        let mut slots = self.write();
        if slots.places.contains_key(&sample) {
            return;
        }
        let bytes = size(&field);
        let stays = self.budget.reserve(bytes);
        slots.reserved += if stays { bytes } else { 0 };
        slots.places.insert(sample, Place::Held { field: Arc::new(field), stays });
        slots.waiting.push(sample);
        slots.waiting_bytes += bytes;
        slots.bytes += bytes;
    }

    /// Writes what waits into a new segment. What is beyond the budget is read from there from now on.
    ///
    /// # Errors
    /// When it cannot be written. What is beyond the budget is gone then, and computed again.
    pub fn flush(&self) -> Result<(), CacheError> {
        let waiting = self.write().take_waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        // Nobody waits for the disk: the lock is free meanwhile.
        let path = self.folder.join(format!("{}.{ENDING}", fresh_name()));
        let written = write_atomically_by(&path, &mut |file| segment::write(&waiting, file));
        match written.and_then(|()| Segment::open(&path)) {
            Ok(segment) => {
                if let Some(segment) = segment {
                    self.write().move_to(&Arc::new(segment));
                }
                Ok(())
            }
            Err(error) => {
                self.write().let_go(&waiting);
                Err(CacheError::io(error, &path))
            }
        }
    }

    /// Lets go of what waits to be written and is beyond the budget: nothing can be written any more.
    pub fn keep_in_memory(&self) {
        let mut slots = self.write();
        let waiting = slots.take_waiting();
        slots.let_go(&waiting);
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // On an error elsewhere: what was computed is not lost. Where it cannot be written, it is computed again.
        drop(self.flush());
        let reserved = std::mem::take(&mut self.write().reserved);
        self.budget.release(reserved);
    }
}

impl Slots {
    /// Takes in what a segment holds.
    fn take_in(&mut self, segment: &Arc<Segment>) {
        for (record, (sample, bytes)) in segment.samples().enumerate() {
            let place = Place::Mapped { segment: Arc::clone(segment), record };
            if self.places.insert(sample, place).is_none() {
                self.bytes += bytes as u64;
            }
        }
    }

    /// What waits to be written, which nothing does from now on; in one order, whatever the epoch's.
    fn take_waiting(&mut self) -> Vec<(u128, Arc<Field>)> {
        self.waiting_bytes = 0;
        let mut samples = std::mem::take(&mut self.waiting);
        samples.sort_unstable();
        let held = |sample: u128| match self.places.get(&sample) {
            Some(Place::Held { field, .. }) => Some((sample, Arc::clone(field))),
            _ => None,
        };
        samples.into_iter().filter_map(held).collect()
    }

    /// Forgets everything that lies in these segments.
    fn forget(&mut self, segments: &[Arc<Segment>]) {
        let mut gone = 0;
        self.places.retain(|_, place| match place {
            Place::Mapped { segment, record } if segments.iter().any(|one| Arc::ptr_eq(one, segment)) => {
                gone += segment.size(*record);
                false
            }
            _ => true,
        });
        self.bytes = self.bytes.saturating_sub(gone);
    }

    /// Lets go of values that no segment holds and the budget does not either.
    fn let_go(&mut self, waiting: &[(u128, Arc<Field>)]) {
        for (sample, field) in waiting {
            if matches!(self.places.get(sample), Some(Place::Held { stays: false, .. })) {
                self.places.remove(sample);
                self.bytes = self.bytes.saturating_sub(size(field));
            }
        }
    }

    /// Lets go of values in memory that a segment holds now and the budget does not.
    fn move_to(&mut self, segment: &Arc<Segment>) {
        for (record, (sample, _)) in segment.samples().enumerate() {
            if let Some(place) = self.places.get_mut(&sample)
                && matches!(place, Place::Held { stays: false, .. })
            {
                *place = Place::Mapped { segment: Arc::clone(segment), record };
            }
        }
    }
}

fn is_forgotten(path: &Path) -> bool {
    let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > FORGOTTEN))
}

/// A name that no other file has, of this process or another; by time.
pub(super) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:024}-{}-{count}", now.as_nanos(), std::process::id())
}
