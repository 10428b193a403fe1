//! Samples without meaning, drawn at once and held in memory.

use crate::data::{Sample, SampleError, Source, Split};
use crate::tensor::{Stream, elements};

/// Noise with labels.
#[derive(Debug)]
pub(super) struct Noise {
    shape: Vec<usize>,
    classes: Vec<String>,
    samples: usize,
}

impl Noise {
    pub(super) fn new(shape: &[usize], classes: usize, samples: usize) -> Self {
        Self {
            shape: shape.to_vec(),
            classes: (0..classes).map(|class| class.to_string()).collect(),
            samples,
        }
    }
}

impl Source for Noise {
    fn len(&self, split: Split) -> usize {
        if split == Split::Train { self.samples } else { 0 }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn sample(&self, _split: Split, index: usize) -> Result<Sample, SampleError> {
        let mut draws = Stream::new(1, "bench.noise").at(index as u64);
        let pixels = (0..elements(&self.shape)).map(|_| 2.0 * draws.uniform() - 1.0).collect();
        let label = i64::try_from(index % self.classes.len()).unwrap_or(0);
        Ok(Sample::classified(pixels, &self.shape, label))
    }
}
