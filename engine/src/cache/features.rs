//! A prefix's values for one split: found, or computed once and kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use burn::tensor::Device;

use super::gather::Gathered;
use super::key::Keys;
use super::prefix::columns_read;
use super::shelf::{Budget, Shelf};
use super::{CacheError, CachePlace, Prefix};
use crate::data::{Batch, Column, Field, FieldValues, Loader, Source, Split};
use crate::exec::{Inputs, Walk, upload};
use crate::graph::{Graph, NodeId, NodeKind, Schedule};
use crate::ops::{Element, Reads};
use crate::tensor::{Value, elements};
use crate::weights::Params;

/// A segment is written when this much waits,
pub(crate) const FULL: u64 = 16 << 20;
/// or after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Columns up to this are kept beside the values, even where the values are smaller.
const SMALL: u64 = 4096;

/// What a stage's cache did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Samples that were computed and stored.
    pub built: u64,
    /// Times that a sample was found.
    pub hits: u64,
    /// Bytes of all values that there are for the stage's splits.
    pub bytes: u64,
    /// Seconds of computing and storing.
    pub secs: f64,
}

/// What the caches of one stage's splits share.
#[derive(Debug)]
pub struct Session {
    place: CachePlace,
    budget: Arc<Budget>,
    totals: Mutex<Totals>,
    /// Why nothing is written any more.
    trouble: Mutex<Option<String>>,
}

impl Session {
    /// A session that has done nothing yet.
    #[must_use]
    pub fn new(place: &CachePlace) -> Arc<Self> {
        let budget = Arc::new(Budget::new(place.memory_bytes));
        Arc::new(Self { place: place.clone(), budget, totals: Mutex::default(), trouble: Mutex::default() })
    }

    /// Where the files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.lock()
    }

    /// Why its values are held in memory alone, as far as they fit, and computed again beyond: the first time that
    /// something could not be written.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of a prefix for the samples of one split.
#[derive(Debug)]
pub struct Features {
    prefix: Prefix,
    pub(super) source: Arc<dyn Source>,
    pub(super) split: Split,
    /// Columns that the rest of the walk reads.
    pub(super) left: BTreeSet<String>,
    /// Columns of which it reads the extents alone, where all samples have the same: nothing of them is kept or read.
    outlines: Vec<Column>,
    /// One of them is too large to be kept twice: every sample is read from the source for it.
    pub(super) reads_source: bool,
    /// The nodes' paths, then the columns that are kept.
    pub(super) names: Vec<String>,
    pub(super) shelves: Vec<Shelf>,
    identities: Vec<u128>,
    schedules: Mutex<HashMap<Vec<usize>, Arc<Schedule>>>,
    session: Arc<Session>,
    written: Mutex<Instant>,
    /// Bytes on its shelves, as the session's totals have them.
    counted: Mutex<u64>,
}

impl Features {
    /// Opens what there is of a walk's prefix. `rest` is the walk from there on.
    ///
    /// # Errors
    /// When the source does not tell what its samples depend on, or the folder cannot be used.
    pub fn open(
        prefix: &Prefix,
        rest: &Schedule,
        params: &Params,
        source: &Arc<dyn Source>,
        split: Split,
        session: &Arc<Session>,
    ) -> Result<Arc<Self>, CacheError> {
        let left = columns_read(&prefix.graph, rest);
        Self::open_with(prefix.clone(), left, params, source, split, session)
    }

    /// The same for an inference of another graph to `results` that begins with a part of the prefix; `None` when it has
    /// no part of it. Each batch has its labels and masks, where there are any.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for_inference(
        prefix: &Prefix,
        graph: &Graph,
        results: &[NodeId],
        params: &Params,
        source: &Arc<dyn Source>,
        split: Split,
        session: &Arc<Session>,
    ) -> Result<Option<Arc<Self>>, CacheError> {
        let keys = Keys { source: source.as_ref(), split, device: &session.place.device, params };
        let shared = prefix.shared_with(graph, results, &keys)?;
        if shared.after().is_empty() {
            return Ok(None);
        }
        let mut given = graph.without_batch(results);
        given.extend(shared.after());
        let mut left = columns_read(graph, &Schedule::inference(graph, results, &given));
        let judged = source.columns().into_iter().map(|column| column.name);
        left.extend(
            judged.filter(|name| name == "labels" || name == "masks").map(|name| (name, Reads::Value)),
        );
        Self::open_with(shared, left, params, source, split, session).map(Some)
    }

    fn open_with(
        prefix: Prefix,
        left: BTreeMap<String, Reads>,
        params: &Params,
        source: &Arc<dyn Source>,
        split: Split,
        session: &Arc<Session>,
    ) -> Result<Arc<Self>, CacheError> {
        let limit = prefix.bytes_per_sample().max(SMALL);
        let is_small = |column: &Column| bytes(column).is_some_and(|bytes| bytes <= limit);
        let columns = source.columns();
        let (left, outlines) = parted(left, &columns);
        let kept: Vec<&Column> = columns.iter().filter(|column| left.contains(&column.name)).collect();
        let reads_source = !kept.iter().all(|column| is_small(column));
        let keys = Keys { source: source.as_ref(), split, device: &session.place.device, params };
        let mut names = prefix.paths();
        let mut all = prefix.keys(&keys)?;
        if !reads_source {
            for column in kept {
                names.push(column.name.clone());
                all.push(keys.column(&column.name)?);
            }
        }
        let folder = &session.place.folder;
        let open = |(key, name): (_, &String)| {
            Shelf::open(folder, key, &session.budget, &format!("{}, {name}", split.name()))
        };
        let shelves = all.into_iter().zip(&names).map(open).collect::<Result<Vec<Shelf>, CacheError>>()?;
        let found = Self {
            identities: (0..source.len(split)).map(|index| source.identity(split, index)).collect(),
            source: Arc::clone(source),
            split,
            left,
            outlines,
            reads_source,
            names,
            shelves,
            prefix,
            schedules: Mutex::default(),
            session: Arc::clone(session),
            written: Mutex::new(Instant::now()),
            counted: Mutex::default(),
        };
        found.count();
        Ok(Arc::new(found))
    }

    /// Brings what is on the shelves into the session's totals.
    fn count(&self) {
        let now: u64 = self.shelves.iter().map(Shelf::bytes).sum();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = self.session.lock();
        totals.bytes = (totals.bytes + now).saturating_sub(*counted);
        *counted = now;
    }

    /// The nodes whose values its batches hold, under their paths.
    #[must_use]
    pub fn given(&self) -> &[NodeId] {
        self.prefix.after()
    }

    pub(super) fn nodes(&self) -> usize {
        self.prefix.after().len()
    }

    pub(super) fn id(&self, index: usize) -> u128 {
        self.identities.get(index).copied().unwrap_or(u128::MAX)
    }

    /// As [`Loader::new`], from the cache where it can.
    #[must_use]
    pub fn loader(
        self: &Arc<Self>,
        batches: Vec<Vec<usize>>,
        threads: usize,
        prefetch: usize,
    ) -> Loader<Gathered> {
        let own = Arc::clone(self);
        Loader::with(move |indices, cancelled| own.gather(indices, cancelled), batches, threads, prefetch)
    }

    /// Computes what was missing, `rows` samples at a time, and keeps it. The batch holds the nodes' values and the
    /// columns that the rest of the walk reads; its samples are those asked for, less those that cannot be read. Also
    /// returned: seconds of computing.
    ///
    /// # Errors
    /// When the prefix cannot be walked.
    pub fn complete(
        &self,
        gathered: Gathered,
        params: &mut Params,
        device: &Device,
        rows: usize,
    ) -> Result<(Batch, f64), CacheError> {
        let begin = Instant::now();
        let Gathered { mut found, missing, lacking, wanted } = gathered;
        let (hits, built) = (found.len() as u64, missing.len() as u64);
        let mut computing = 0.0;
        let mut missing = missing;
        if !missing.is_empty() {
            missing = self.compute(missing, &lacking, params, device, rows)?;
            computing = begin.elapsed().as_secs_f64();
            self.store(&missing);
            self.flush_when_due();
        }
        self.count();
        found.skipped.append(&mut missing.skipped);
        let mut totals = self.session.lock();
        totals.hits += hits;
        totals.built += built;
        totals.secs += if built > 0 { begin.elapsed().as_secs_f64() } else { 0.0 };
        drop(totals);
        let mut batch = woven(found, missing, &wanted)?;
        batch.folded = self.prefix.folded_paths();
        for column in &self.outlines {
            batch.columns.insert(column.name.clone(), blank(column, batch.len()));
        }
        Ok((batch, computing))
    }

    /// Walks the prefix; what comes back has the columns that a batch of this cache has.
    fn compute(
        &self,
        mut missing: Batch,
        lacking: &[usize],
        params: &mut Params,
        device: &Device,
        rows: usize,
    ) -> Result<Batch, CacheError> {
        let graph = &self.prefix.graph;
        let nodes: Vec<NodeId> = lacking.iter().map(|place| self.prefix.after()[*place]).collect();
        let mut schedules = self.schedules.lock().unwrap_or_else(PoisonError::into_inner);
        let schedule = schedules.entry(lacking.to_vec());
        let schedule = Arc::clone(schedule.or_insert_with(|| Arc::new(self.prefix.schedule(&nodes))));
        drop(schedules);
        let stays = |name: &String| self.left.contains(name) || self.names.contains(name);
        let columns = missing.columns.iter().filter(|(name, _)| stays(name));
        let mut columns: BTreeMap<String, Field> =
            columns.map(|(name, field)| (name.clone(), field.clone())).collect();
        let (indices, skipped) = (missing.indices.clone(), std::mem::take(&mut missing.skipped));
        if !nodes.is_empty() {
            for part in missing.split(rows) {
                let count = part.len();
                let inputs: Inputs = upload(part, graph, device);
                let walk = Walk { graph, schedule: &schedule, seed: 0, step: 0 };
                let values = walk.run(params, &inputs, &mut |_, _, _, _| {})?.values;
                for id in &nodes {
                    let path = &graph.node(*id).path;
                    let wrong = || CacheError::Rows { path: path.clone() };
                    let mut field = to_host(graph, *id, values.get(id).ok_or_else(wrong)?);
                    if self.prefix.is_folded(*id)
                        && let Some(rows) = field.shape.first().filter(|rows| rows.is_multiple_of(count))
                    {
                        let of_a_sample = rows / count;
                        field.shape[0] = count;
                        field.shape.insert(1, of_a_sample);
                    }
                    if field.shape.first() != Some(&count) {
                        return Err(wrong());
                    }
                    let Some(column) = columns.get_mut(path) else {
                        columns.insert(path.clone(), field);
                        continue;
                    };
                    if !column.values.append(&field.values) {
                        return Err(wrong());
                    }
                    column.shape[0] += count;
                }
            }
        }
        Ok(Batch { columns, indices, skipped, ..Batch::default() })
    }

    /// Puts each sample's part of a batch on the shelves.
    fn store(&self, batch: &Batch) {
        for (name, shelf) in self.names.iter().zip(&self.shelves) {
            let Some(field) = batch.columns.get(name) else { continue };
            let stride = field.values.len() / batch.len().max(1);
            for (row, index) in batch.indices.iter().enumerate() {
                let values = field.values.part(row * stride, (row + 1) * stride);
                shelf.put(self.id(*index), Field { shape: field.shape[1..].to_vec(), values });
            }
        }
    }

    fn flush_when_due(&self) {
        let since = self.written.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let waiting: u64 = self.shelves.iter().map(Shelf::waiting_bytes).sum();
        if waiting >= FULL || since >= PATIENCE {
            self.flush();
        }
    }

    /// Writes what no file holds yet. Where that fails, nothing is written any more, and [`Session::trouble`] says why:
    /// training does not depend on it.
    pub fn flush(&self) {
        for shelf in &self.shelves {
            if self.session.trouble().is_some() {
                shelf.keep_in_memory();
            } else if let Err(error) = shelf.flush() {
                *self.session.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(error.to_string());
            }
        }
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.count();
    }
}

/// The columns whose values are read, and those of which the extents are enough.
fn parted(left: BTreeMap<String, Reads>, columns: &[Column]) -> (BTreeSet<String>, Vec<Column>) {
    let (mut values, mut outlines) = (BTreeSet::new(), Vec::new());
    for (name, reads) in left {
        let column = columns.iter().find(|column| column.name == name);
        match column.filter(|column| reads == Reads::Shape && column.extents.iter().all(Option::is_some)) {
            Some(column) => outlines.push(column.clone()),
            None => drop(values.insert(name)),
        }
    }
    (values, outlines)
}

/// Zeros of a column's extents.
fn blank(column: &Column, rows: usize) -> Field {
    let shape: Vec<usize> = std::iter::once(rows).chain(column.extents.iter().copied().flatten()).collect();
    let count = elements(&shape);
    if column.integers {
        Field::integers(vec![0; count], &shape)
    } else {
        Field::floats(vec![0.0; count], &shape)
    }
}

/// Bytes of a column's value; `None` where they vary.
fn bytes(column: &Column) -> Option<u64> {
    let count = column.extents.iter().try_fold(1u64, |product, extent| Some(product * (*extent)? as u64))?;
    Some(count * if column.integers { 8 } else { 4 })
}

fn to_host(graph: &Graph, id: NodeId, value: &Value) -> Field {
    match &graph.node(id).kind {
        NodeKind::Op(op) if op.element() == Element::Integer => {
            Field::integers(value.to_i64(), &value.shape())
        }
        _ => Field::floats(value.to_f32(), &value.shape()),
    }
}

/// Two parts of a batch in the order that was asked for.
fn woven(found: Batch, missing: Batch, wanted: &[usize]) -> Result<Batch, CacheError> {
    if missing.is_empty() {
        return Ok(found);
    }
    if found.is_empty() {
        return Ok(Batch { skipped: found.skipped, ..missing });
    }
    let total = found.len() + missing.len();
    let mut columns = BTreeMap::new();
    let mut indices = Vec::with_capacity(total);
    for (name, first) in &found.columns {
        let wrong = || CacheError::Rows { path: name.clone() };
        let second = missing.columns.get(name).ok_or_else(wrong)?;
        let stride = first.values.len() / found.len();
        let mut values: FieldValues = first.values.none_like(stride * total);
        indices.clear();
        let (mut a, mut b) = (0, 0);
        for &index in wanted {
            let (values_of, row) = if found.indices.get(a) == Some(&index) {
                a += 1;
                (&first.values, a - 1)
            } else if missing.indices.get(b) == Some(&index) {
                b += 1;
                (&second.values, b - 1)
            } else {
                // It could not be read.
                continue;
            };
            if first.shape[1..] != second.shape[1..]
                || !values.append_part(values_of, row * stride, (row + 1) * stride)
            {
                return Err(wrong());
            }
            indices.push(index);
        }
        columns.insert(name.clone(), Field { shape: [&[total], &first.shape[1..]].concat(), values });
    }
    Ok(Batch { columns, indices, skipped: found.skipped, ..Batch::default() })
}
