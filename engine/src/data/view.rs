//! What a stage asks of the data: how many frames, in which order, and of which samples.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::PIXELS;
use super::{Column, DataError, Field, FieldValues, Sample, SampleError, Source, Split, identity_of};
use crate::tensor::Stream;

/// What a stage asks of the data beside the project's own spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct View {
    /// Frames a clip, instead of the spec's own number. The same clip is sampled more or less densely.
    pub frames: Option<usize>,
    /// Whether the order of the frames is destroyed, as a control of what a model reads from it.
    pub shuffle: FrameShuffle,
    /// Keeps the samples whose scalar integer column has that value, as `("labels", 3)`; all must hold.
    pub only: Vec<(String, i64)>,
}

/// Which units of a clip are permuted. The permutation is drawn for each (split, index) from the
/// source's seed: another one for each sample, the same one at each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameShuffle {
    /// Frames in order.
    #[default]
    None,
    /// Every frame moves on its own: a bag of frames.
    Frames,
    /// Units of this many consecutive frames move together: a bag of tubelets. Motion within a unit stays visible.
    Groups(usize),
}

impl FrameShuffle {
    /// Frames in a unit, when something is shuffled.
    const fn unit(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Frames => Some(1),
            Self::Groups(frames) => Some(frames),
        }
    }
}

impl View {
    /// Refuses zeros, whatever the source.
    pub(super) fn check(&self) -> Result<(), DataError> {
        if self.frames == Some(0) {
            return Err(DataError::setting("frames", 0, "a view needs at least 1 frame"));
        }
        if self.shuffle == FrameShuffle::Groups(0) {
            return Err(DataError::setting("shuffle", "Groups(0)", "a group needs at least 1 frame"));
        }
        Ok(())
    }

    /// Refuses to be asked of a source whose samples are no clips.
    pub(super) fn check_still(&self) -> Result<(), DataError> {
        const RULE: &str =
            "the samples of this source are no clips: leave it out, or choose a source with frames";
        if let Some(frames) = self.frames {
            return Err(DataError::setting("frames", frames, RULE));
        }
        if self.shuffle != FrameShuffle::None {
            return Err(DataError::setting("shuffle", format!("{:?}", self.shuffle), RULE));
        }
        Ok(())
    }

    /// Puts the frame order of this view on a source of clips.
    pub(super) fn apply<S: Source + 'static>(
        &self,
        source: S,
        seed: u64,
    ) -> Result<Box<dyn Source>, DataError> {
        let Some(unit) = self.shuffle.unit() else {
            return Ok(Box::new(source));
        };
        let shape = source.sample_shape();
        let [frames, _, _, _] = shape[..] else {
            return self.check_still().map(|()| -> Box<dyn Source> { Box::new(source) });
        };
        let fixed = |column: &Column| column.name == PIXELS && column.extents.first() == Some(&Some(frames));
        if unit > 1 && !source.columns().iter().any(fixed) {
            let rule = "the clips have different numbers of frames: choose a number by `frames`, or `Frames`";
            return Err(DataError::setting("shuffle", format!("Groups({unit})"), rule));
        }
        if frames % unit != 0 {
            let rule = format!("a clip has {frames} frames, which must divide into whole groups");
            return Err(DataError::setting("shuffle", format!("Groups({unit})"), rule));
        }
        Ok(Box::new(Shuffled { source, unit, seed, streams: Split::streams(seed, "data.shuffle") }))
    }

    /// Leaves out the samples that this view does not ask for.
    pub(super) fn choose(&self, source: Box<dyn Source>) -> Result<Box<dyn Source>, DataError> {
        if self.only.is_empty() {
            return Ok(source);
        }
        let keys: Vec<String> =
            source.columns().into_iter().filter(Column::is_key).map(|column| column.name).collect();
        let unknown = |column: &str| {
            let known = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
            let rule =
                format!("the source tells no single integer `{column}` of its samples; known: {known}");
            DataError::setting("only", format!("{:?}", self.only), rule)
        };
        if let Some((column, _)) = self.only.iter().find(|(column, _)| !keys.contains(column)) {
            return Err(unknown(column));
        }
        let mut members = [const { Vec::new() }; 3];
        for split in Split::ALL {
            for index in 0..source.len(split) {
                let mut kept = true;
                for (column, wanted) in &self.only {
                    let found = source.key(split, index, column).ok_or_else(|| unknown(column))?;
                    kept &= found == *wanted;
                }
                if kept {
                    members[split.position()].push(index);
                }
            }
        }
        if members[0].is_empty() {
            let all = source.len(Split::Train);
            let wanted: Vec<String> =
                self.only.iter().map(|(column, value)| format!("`{column}` {value}")).collect();
            let why = format!("none of its {all} samples has {}; change `only`", wanted.join(" and "));
            return Err(DataError::EmptyTrain { why });
        }
        Ok(Box::new(Chosen { source, members }))
    }
}

/// The frame of `available` that stands for each of `wanted` equal parts of a clip: the one in the part's middle.
///
/// With `wanted == available` every frame comes once; a clip that is too short repeats frames.
pub(super) fn sampled_frames(available: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..wanted).map(move |part| (2 * part + 1) * available / (2 * wanted))
}

/// A source of clips with units of frames permuted.
struct Shuffled<S> {
    source: S,
    /// Frames in a unit.
    unit: usize,
    /// The permutations are drawn from this.
    seed: u64,
    streams: [Stream; 3],
}

impl<S: Source> fmt::Debug for Shuffled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shuffled")
            .field("source", &self.source)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}

impl<S: Source> Source for Shuffled<S> {
    fn len(&self, split: Split) -> usize {
        self.source.len(split)
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.source.sample_shape()
    }

    fn columns(&self) -> Vec<Column> {
        self.source.columns()
    }

    fn group(&self, split: Split, index: usize) -> u64 {
        self.source.group(split, index)
    }

    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        self.source.key(split, index, column)
    }

    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        let own = self.source.fingerprint(split, column)?;
        let order = format!(" in units of {} by {}", self.unit, self.seed);
        Some(if column == PIXELS { own + &order } else { own })
    }

    fn identity(&self, split: Split, index: usize) -> u128 {
        // The permutation is drawn by the index, whatever else tells the samples apart.
        identity_of(&[&self.source.identity(split, index).to_le_bytes(), &index.to_le_bytes()])
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        let mut sample = self.source.sample(split, index)?;
        if let Some(Field { shape, values: FieldValues::Floats(pixels) }) = sample.columns.get_mut(PIXELS) {
            let units = shape.first().map_or(0, |frames| frames / self.unit);
            let mut order: Vec<usize> = (0..units).collect();
            self.streams[split.position()].at(index as u64).shuffle(&mut order);
            let stride = pixels.len() / units.max(1);
            let mut shuffled = Vec::with_capacity(pixels.len());
            for unit in order {
                shuffled.extend_from_slice(&pixels[unit * stride..(unit + 1) * stride]);
            }
            *pixels = shuffled;
        }
        Ok(sample)
    }
}

/// Some of a source's samples, in its order.
#[derive(Debug)]
struct Chosen {
    source: Box<dyn Source>,
    /// Indices in the source, of each split.
    members: [Vec<usize>; 3],
}

impl Source for Chosen {
    fn len(&self, split: Split) -> usize {
        self.members[split.position()].len()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.source.sample_shape()
    }

    fn columns(&self) -> Vec<Column> {
        self.source.columns()
    }

    fn group(&self, split: Split, index: usize) -> u64 {
        self.members[split.position()].get(index).map_or(0, |index| self.source.group(split, *index))
    }

    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        // A sample is what it was: only which ones there are is another matter.
        self.source.fingerprint(split, column)
    }

    fn identity(&self, split: Split, index: usize) -> u128 {
        let member = self.members[split.position()].get(index);
        member.map_or(u128::MAX, |index| self.source.identity(split, *index))
    }

    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        self.source.key(split, *self.members[split.position()].get(index)?, column)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        self.source.sample(split, self.members[split.position()][index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clips of 8 frames of one pixel, whose value is the frame's number.
    #[derive(Debug)]
    struct Counting;

    impl Source for Counting {
        fn len(&self, _split: Split) -> usize {
            50
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn sample_shape(&self) -> Vec<usize> {
            vec![8, 1, 1, 1]
        }
        fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
            (column == "labels" && index < self.len(split)).then_some(index as i64 % 3)
        }
        fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
            SampleError::check_range(split, index, 50)?;
            let pixels = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
            Ok(Sample::classified(pixels, &[8, 1, 1, 1], index as i64 % 3))
        }
    }

    fn frames(shuffle: FrameShuffle, split: Split, index: usize) -> Vec<f32> {
        let view = View { shuffle, ..View::default() };
        view.apply(Counting, 3).unwrap().sample(split, index).unwrap().pixels().to_vec()
    }

    #[test]
    fn shuffles_permute_units_per_sample_and_reproducibly() {
        let ordered = Counting.sample(Split::Train, 0).unwrap().pixels().to_vec();
        assert_eq!(frames(FrameShuffle::None, Split::Train, 4), ordered);
        let bag = frames(FrameShuffle::Frames, Split::Train, 4);
        assert_eq!(bag, frames(FrameShuffle::Frames, Split::Train, 4));
        assert_ne!(bag, frames(FrameShuffle::Frames, Split::Train, 5));
        assert_ne!(bag, frames(FrameShuffle::Frames, Split::Test, 4));
        let mut sorted = bag;
        sorted.sort_by(f32::total_cmp);
        assert_eq!(sorted, ordered);
        let pairs: Vec<Vec<f32>> =
            (0..5).map(|index| frames(FrameShuffle::Groups(2), Split::Train, index)).collect();
        assert!(pairs.iter().any(|clip| *clip != ordered));
        for pair in pairs.iter().flat_map(|clip| clip.chunks(2)) {
            assert!(pair[0] % 2.0 == 0.0 && pair[1] == pair[0] + 1.0, "{pairs:?}");
        }
    }

    #[test]
    fn views_that_cannot_work_are_refused() {
        let groups = |n| View { shuffle: FrameShuffle::Groups(n), ..View::default() };
        assert!(groups(0).check().is_err());
        assert!(View { frames: Some(0), ..View::default() }.check().is_err());
        let error = groups(3).apply(Counting, 0).unwrap_err().to_string();
        assert!(error.contains("Groups(3)") && error.contains("8 frames"), "{error}");
        assert!(groups(2).check_still().is_err());
        assert!(View { frames: Some(4), ..View::default() }.check_still().is_err());
        assert!(View::default().check_still().is_ok());
    }

    fn only(conditions: &[(&str, i64)]) -> Result<Box<dyn Source>, DataError> {
        let only = conditions.iter().map(|(column, value)| ((*column).to_owned(), *value)).collect();
        let view = View { shuffle: FrameShuffle::Frames, only, ..View::default() };
        view.choose(view.apply(Counting, 3)?)
    }

    #[test]
    fn chosen_samples_are_those_of_the_source() {
        let (all, chosen) = (only(&[]).unwrap(), only(&[("labels", 2)]).unwrap());
        assert_eq!(Split::ALL.map(|split| chosen.len(split)), [16, 16, 16]);
        assert_eq!(chosen.columns(), all.columns());
        for index in 0..16 {
            let sample = chosen.sample(Split::Train, index).unwrap();
            assert_eq!(sample, all.sample(Split::Train, 3 * index + 2).unwrap());
            assert_eq!(chosen.key(Split::Train, index, "labels"), Some(2));
        }
        assert!(matches!(chosen.sample(Split::Test, 16), Err(SampleError::OutOfRange { len: 16, .. })));
        assert_eq!(only(&[("labels", 2), ("labels", 2)]).unwrap().len(Split::Train), 16);
    }

    #[test]
    fn conditions_that_cannot_hold_are_refused() {
        let message = only(&[("labels", 1), ("task", 1)]).unwrap_err().to_string();
        assert!(message.contains("single integer `task`") && message.contains("known: labels"), "{message}");
        let message = only(&[("labels", 1), ("labels", 2)]).unwrap_err().to_string();
        assert!(message.contains("train split is empty") && message.contains("`labels` 1 and"), "{message}");
    }

    #[test]
    fn frames_are_sampled_uniformly() {
        let picked = |available, wanted| sampled_frames(available, wanted).collect::<Vec<_>>();
        assert_eq!(picked(8, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(picked(8, 4), [1, 3, 5, 7]);
        assert_eq!(picked(9, 3), [1, 4, 7]);
        assert_eq!(picked(2, 4), [0, 0, 1, 1]);
        assert_eq!(picked(10, 1), [5]);
    }
}
