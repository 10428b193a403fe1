//! Batches read ahead by threads of their own, handed out in order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Batch, LoadError, Source, Split};

/// An iterator over the batches of one pass, in order.
///
/// Whole batches are read by `threads` threads, at most `prefetch` of them ahead of the reader; what comes
/// out does not depend on either. A batch that cannot be made is an `Err` in its place and the pass goes
/// on after it. Dropping the loader at any time stops its threads, each after the sample that it is in;
/// nothing waits for them.
///
/// What is made of a batch's samples is a [`Batch`], or whatever the reader of [`Loader::with`] makes of them.
#[derive(Debug)]
pub struct Loader<T = Batch> {
    plan: Arc<Plan<T>>,
    /// The batch to hand out next.
    next: usize,
    /// The next batch that no thread has been asked for.
    asked: usize,
    /// Batches that came before their turn.
    early: BTreeMap<usize, Result<T, LoadError>>,
    /// Without threads, batches are read when they are asked for.
    threads: Option<Threads<T>>,
}

/// Makes a batch of samples by their indices; gives up between two of them once it is cancelled.
type Reader<T> = dyn Fn(&[usize], &AtomicBool) -> Result<T, LoadError> + Send + Sync;

/// What all threads share.
struct Plan<T> {
    read: Box<Reader<T>>,
    batches: Vec<Vec<usize>>,
    cancelled: AtomicBool,
}

impl<T> fmt::Debug for Plan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("batches", &self.batches.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Threads<T> {
    requests: Sender<usize>,
    results: Receiver<(usize, Result<T, LoadError>)>,
}

impl<T> Plan<T> {
    fn read(&self, batch: usize) -> Result<T, LoadError> {
        (self.read)(&self.batches[batch], &self.cancelled)
    }
}

impl Loader {
    /// Begins to read `batches` (indices within `split`, of one group each, see [`batches`](super::batches)).
    ///
    /// With `threads` 0 nothing is read ahead and the caller's thread does the work. `prefetch` counts batches
    /// that are being read or waiting, so memory holds `prefetch` batches and the one in use; fewer
    /// than `threads` leaves threads idle.
    #[must_use]
    pub fn new(
        source: Arc<dyn Source>,
        split: Split,
        batches: Vec<Vec<usize>>,
        threads: usize,
        prefetch: usize,
    ) -> Self {
        let read = move |indices: &[usize], cancelled: &AtomicBool| {
            Batch::read_unless(&*source, split, indices, cancelled)
        };
        Self::with(read, batches, threads, prefetch)
    }
}

impl<T: Send + 'static> Loader<T> {
    /// The same with another reader: it gets a batch's indices, and is cancelled when the loader is dropped.
    #[must_use]
    pub fn with(
        read: impl Fn(&[usize], &AtomicBool) -> Result<T, LoadError> + Send + Sync + 'static,
        batches: Vec<Vec<usize>>,
        threads: usize,
        prefetch: usize,
    ) -> Self {
        let plan = Arc::new(Plan { read: Box::new(read), batches, cancelled: AtomicBool::new(false) });
        let ahead = prefetch.clamp(1, plan.batches.len().max(1));
        let threads = spawn(&plan, threads.min(ahead), ahead);
        let mut loader = Self { plan, next: 0, asked: 0, early: BTreeMap::new(), threads };
        for _ in 0..ahead {
            loader.ask();
        }
        loader
    }

    /// Has one more batch read. Never waits: no more are under way than the channel holds.
    fn ask(&mut self) {
        if let Some(threads) = &self.threads
            && self.asked < self.plan.batches.len()
            && threads.requests.send(self.asked).is_ok()
        {
            self.asked += 1;
        }
    }

    /// Waits until batch `wanted` is there.
    fn wait(&mut self, wanted: usize) -> Result<T, LoadError> {
        let Some(threads) = &self.threads else {
            return self.plan.read(wanted);
        };
        loop {
            if let Some(batch) = self.early.remove(&wanted) {
                return batch;
            }
            match threads.results.recv() {
                Ok((position, batch)) => drop(self.early.insert(position, batch)),
                // Every thread has ended though work is left: an error, where waiting would be for ever.
                Err(_) => return Err(LoadError::Stopped),
            }
        }
    }
}

/// Starts the threads; `None` when there are to be none, or the system gives none.
fn spawn<T: Send + 'static>(plan: &Arc<Plan<T>>, count: usize, ahead: usize) -> Option<Threads<T>> {
    let (requests, incoming) = bounded::<usize>(ahead);
    let (outgoing, results) = bounded(ahead);
    let started = (0..count).filter(|number| {
        let (plan, incoming, outgoing) = (Arc::clone(plan), incoming.clone(), outgoing.clone());
        let work = move || {
            // Ends when the loader is gone: no more requests come, or nobody takes the result.
            for batch in incoming {
                if plan.cancelled.load(Ordering::Relaxed) || outgoing.send((batch, plan.read(batch))).is_err()
                {
                    break;
                }
            }
        };
        Builder::new().name(format!("graft-data-{number}")).spawn(work).is_ok()
    });
    (started.count() > 0).then_some(Threads { requests, results })
}

impl<T: Send + 'static> Iterator for Loader<T> {
    type Item = Result<T, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.plan.batches.len() {
            return None;
        }
        let batch = self.wait(self.next);
        self.next += 1;
        self.ask();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.batches.len() - self.next;
        (left, Some(left))
    }
}

impl<T: Send + 'static> ExactSizeIterator for Loader<T> {}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.plan.cancelled.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::data::{Sample, SampleError, Skipped, batches, epoch_order};

    /// 100 samples of two values; some cannot be read, some panic, some take longer than others.
    #[derive(Debug, Default)]
    struct Odd {
        missing: Vec<usize>,
        panicking: Vec<usize>,
        wrong: Vec<usize>,
        slow: bool,
        reads: AtomicUsize,
    }

    impl Source for Odd {
        fn len(&self, _split: Split) -> usize {
            100
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn sample_shape(&self) -> Vec<usize> {
            vec![1, 1, 2]
        }
        fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            SampleError::check_range(split, index, 100)?;
            assert!(!self.panicking.contains(&index), "no {index}");
            if self.slow {
                std::thread::sleep(Duration::from_millis((index * 7 % 5) as u64));
            }
            if self.missing.contains(&index) {
                return Err(SampleError::Unreadable { reason: "cut short".into(), path: "a/b.png".into() });
            }
            let length = if self.wrong.contains(&index) { 3 } else { 2 };
            Ok(Sample::classified(vec![index as f32; length], &[1, 1, 2], index as i64 % 4))
        }
    }

    fn chunks(batch_size: usize) -> Vec<Vec<usize>> {
        batches(&Odd::default(), Split::Train, &(0..100).collect::<Vec<_>>(), batch_size)
    }

    fn loader(source: Odd, batch_size: usize, threads: usize, prefetch: usize) -> Loader {
        let batches = batches(&source, Split::Train, &epoch_order(1, 0, 100), batch_size);
        Loader::new(Arc::new(source), Split::Train, batches, threads, prefetch)
    }

    #[test]
    fn batches_are_the_same_whatever_the_threads() {
        let all = |threads, prefetch| {
            let loader = loader(Odd { slow: true, missing: vec![7], ..Odd::default() }, 8, threads, prefetch);
            assert_eq!(loader.len(), 13);
            loader.map(Result::unwrap).collect::<Vec<_>>()
        };
        let expected = all(0, 0);
        assert_eq!(expected.iter().map(Batch::len).sum::<usize>(), 99);
        assert_eq!(expected[12].columns["pixel_values"].shape, [4, 1, 1, 2]);
        assert_eq!(expected[12].columns["labels"].shape, [4]);
        let visited: Vec<usize> = expected.iter().flat_map(|batch| batch.indices.clone()).collect();
        assert_eq!(
            visited,
            epoch_order(1, 0, 100).into_iter().filter(|index| *index != 7).collect::<Vec<_>>()
        );
        for (threads, prefetch) in [(1, 1), (1, 4), (4, 2), (4, 50), (3, 0)] {
            assert_eq!(all(threads, prefetch), expected, "{threads} threads, {prefetch} ahead");
        }
    }

    #[test]
    fn unreadable_samples_are_named_and_counted() {
        let missing = vec![3, 50, 99];
        let batches: Vec<Batch> = loader(Odd { missing: missing.clone(), ..Odd::default() }, 10, 2, 3)
            .map(Result::unwrap)
            .collect();
        let mut skipped: Vec<Skipped> = batches.iter().flat_map(|batch| batch.skipped.clone()).collect();
        skipped.sort_by_key(|skip| skip.index);
        assert_eq!(skipped.iter().map(|skip| skip.index).collect::<Vec<_>>(), missing);
        assert_eq!((skipped[0].what.as_str(), skipped[0].why.as_str()), ("a/b.png", "cut short"));
        for batch in &batches {
            assert_eq!(batch.len() + batch.skipped.len(), 10);
            let pixels = &batch.columns["pixel_values"];
            assert_eq!(pixels.shape, [batch.len(), 1, 1, 2]);
            assert_eq!(pixels.as_floats().unwrap().len(), 2 * batch.len());
            assert_eq!(batch.labels().len(), batch.len());
        }
        let none = Odd { missing: (0..100).collect(), ..Odd::default() };
        let batch = Batch::read(&none, Split::Train, &[1, 2]).unwrap();
        assert!(batch.is_empty() && batch.columns.is_empty() && batch.skipped.len() == 2);
    }

    #[test]
    fn a_panic_is_an_error_in_its_place_and_the_rest_follows() {
        for threads in [0, 1, 3] {
            let source = Odd { panicking: vec![epoch_order(1, 0, 100)[25]], ..Odd::default() };
            let items: Vec<_> = loader(source, 10, threads, 2).collect();
            assert_eq!(items.len(), 10);
            for (position, item) in items.iter().enumerate() {
                assert_eq!(item.is_err(), position == 2);
            }
            let message = items[2].as_ref().unwrap_err().to_string();
            assert!(message.contains("(no ") && message.contains("split `train`"), "{message}");
        }
    }

    #[test]
    fn sources_that_misbehave_are_errors() {
        let wrong = Odd { wrong: vec![4], ..Odd::default() };
        let error = Batch::read(&wrong, Split::Test, &[4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `pixel_values` of sample 4 in split `test` should be floats [1, 1, 2] and is \
             floats [1, 1, 2] with 3 values; its source is at fault"
        );
        let error = Batch::read(&Odd::default(), Split::Test, &[100]).unwrap_err();
        assert!(error.to_string().contains("sample 100") && error.to_string().contains("`test`"), "{error}");
    }

    #[test]
    fn dropping_stops_the_threads_and_frees_the_source() {
        for taken in [0, 1, 5] {
            let source = Arc::new(Odd { slow: true, ..Odd::default() });
            let shared: Arc<dyn Source> = Arc::<Odd>::clone(&source);
            let mut loader = Loader::new(shared, Split::Train, chunks(4), 3, 4);
            for _ in 0..taken {
                loader.next().unwrap().unwrap();
            }
            drop(loader);
            let mut patience = 1000;
            while Arc::strong_count(&source) > 1 && patience > 0 {
                std::thread::sleep(Duration::from_millis(5));
                patience -= 1;
            }
            assert_eq!(Arc::strong_count(&source), 1, "threads have ended");
            assert!(source.reads.load(Ordering::Relaxed) <= 4 * (taken + 4));
        }
    }

    #[test]
    fn reading_ahead_is_bounded() {
        let source = Arc::new(Odd::default());
        let shared: Arc<dyn Source> = Arc::<Odd>::clone(&source);
        let mut loader = Loader::new(shared, Split::Train, chunks(10), 4, 2);
        loader.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(source.reads.load(Ordering::Relaxed) <= 30);
        assert_eq!(loader.count(), 9);
    }

    #[test]
    fn nothing_to_read_ends_at_once() {
        let mut loader = Loader::new(Arc::new(Odd::default()), Split::Train, Vec::new(), 4, 2);
        assert!(loader.next().is_none() && loader.next().is_none());
    }
}
