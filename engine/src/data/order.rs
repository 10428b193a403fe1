//! In which order samples are visited, and which of them share a batch.

use std::collections::HashMap;

use super::{Source, Split};
use crate::tensor::Stream;

/// The order in which an epoch visits `len` samples: a permutation that depends on (seed, epoch, len) only.
#[must_use]
pub fn epoch_order(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    Stream::new(seed, "data.order").at(epoch).shuffle(&mut order);
    order
}

/// The batches of one pass over `order` (indices within `split`), each of at most `batch_size` (at least 1)
/// samples of one [group](Source::group).
///
/// Samples are gathered by group in the order in which they come; a group's batch is emitted when it is
/// full, and what is left comes last, group by group in the order of their first sample. With one group:
/// consecutive chunks.
#[must_use]
pub fn batches(source: &dyn Source, split: Split, order: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    let batch_size = batch_size.max(1);
    let mut positions: HashMap<u64, usize> = HashMap::new();
    let mut gathered: Vec<Vec<usize>> = Vec::new();
    let mut batches = Vec::with_capacity(order.len() / batch_size);
    for &index in order {
        let position = *positions.entry(source.group(split, index)).or_insert(gathered.len());
        if position == gathered.len() {
            gathered.push(Vec::new());
        }
        gathered[position].push(index);
        if gathered[position].len() == batch_size {
            batches.push(std::mem::take(&mut gathered[position]));
        }
    }
    batches.extend(gathered.into_iter().filter(|batch| !batch.is_empty()));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Sample, SampleError};

    /// Samples in groups by their index.
    #[derive(Debug)]
    struct Grouped(fn(usize) -> u64);

    impl Source for Grouped {
        fn len(&self, _split: Split) -> usize {
            0
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn sample_shape(&self) -> Vec<usize> {
            Vec::new()
        }
        fn group(&self, _split: Split, index: usize) -> u64 {
            (self.0)(index)
        }
        fn sample(&self, _split: Split, _index: usize) -> Result<Sample, SampleError> {
            Ok(Sample::default())
        }
    }

    fn made(group: fn(usize) -> u64, order: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
        batches(&Grouped(group), Split::Train, order, batch_size)
    }

    #[test]
    fn epoch_orders_are_permutations_that_differ() {
        let order = epoch_order(3, 1, 50);
        assert_eq!(order, epoch_order(3, 1, 50));
        assert_ne!(order, epoch_order(3, 2, 50));
        assert_ne!(order, epoch_order(4, 1, 50));
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn one_group_gives_consecutive_chunks() {
        for (len, batch_size) in [(0, 3), (1, 3), (9, 3), (10, 3), (10, 1), (10, 40)] {
            let order = epoch_order(1, 0, len);
            let chunks: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
            assert_eq!(made(|_| 7, &order, batch_size), chunks, "{len} by {batch_size}");
        }
        assert_eq!(made(|_| 0, &[2, 1], 0), [[2], [1]]);
    }

    #[test]
    fn full_batches_come_first_then_what_is_left_by_first_sample() {
        let parity = |index| index as u64 % 2;
        assert_eq!(made(parity, &[1, 2, 3, 5, 4, 6], 2), [vec![1, 3], vec![2, 4], vec![5], vec![6]]);
    }

    #[test]
    fn every_sample_comes_once_and_no_batch_mixes_groups() {
        let groups: [fn(usize) -> u64; 3] = [
            |index| index as u64 % 5,
            |index| u64::from(index < 90),
            |index| (index * index) as u64 % 7 * (u64::MAX / 7),
        ];
        for group in groups {
            for batch_size in [1, 3, 8, 200] {
                let order = epoch_order(batch_size as u64, 0, 100);
                let batches = made(group, &order, batch_size);
                for batch in &batches {
                    assert!((1..=batch_size).contains(&batch.len()));
                    assert!(batch.iter().all(|index| group(*index) == group(batch[0])));
                    let at = |index: &usize| order.iter().position(|other| other == index);
                    assert!(batch.is_sorted_by_key(at), "samples of a batch keep their order");
                }
                let mut visited: Vec<usize> = batches.concat();
                visited.sort_unstable();
                assert_eq!(visited, (0..100).collect::<Vec<_>>());
            }
        }
    }
}
