//! Synthesised sounds, computed on the fly: something is heard in noise, once in a clip.

mod event;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::event::{CLASSES, Event, HIGHEST_HZ};
use super::field::{INPUT_VALUES, LABELS};
use super::log_mel::LogMel;
use super::{Column, DataError, Field, LogMelSpec, Sample, SampleError, Source, Split, View};
use crate::tensor::Stream;

/// Six classes of sounds: a steady tone, a rising and a falling chirp, a burst of noise, a tone that swells and fades
/// (tremolo), and two clicks.
///
/// When it begins, how long it lasts, its pitch, phase and level, and the level of the white noise around it are drawn
/// without looking at the class. A rising and a falling chirp pass through the same pitches: only their order tells them
/// apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoundsSpec {
    /// Everything random is drawn from (this, split, index).
    pub seed: u64,
    /// Length of a clip, seconds; its frames must fit into `log_mel.max_length` (98 for one second).
    pub seconds: f32,
    /// How sounds become `input_values`.
    pub log_mel: LogMelSpec,
    /// Level of a steady tone over that of the noise in the noisiest clip, decibels.
    pub lowest_snr_db: f32,
    /// The same in the clearest clip.
    pub highest_snr_db: f32,
    /// Clips to train on.
    pub train: usize,
    /// Clips for validation.
    pub validation: usize,
    /// Clips for the test.
    pub test: usize,
}

impl Default for SoundsSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            seconds: 1.0,
            log_mel: LogMelSpec::default(),
            lowest_snr_db: 0.0,
            highest_snr_db: 20.0,
            train: 4000,
            validation: 1000,
            test: 1000,
        }
    }
}

/// The shortest clip in which a tremolo swells at least twice, seconds.
const SHORTEST_SECONDS: f32 = 0.4;
/// The largest difference of levels that f32 tells well, decibels.
const LARGEST_DB: f32 = 100.0;

pub(super) fn open(spec: &SoundsSpec, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
    Ok(Box::new(Sounds::new(spec)?))
}

struct Sounds {
    spec: SoundsSpec,
    log_mel: LogMel,
    /// Samples a clip.
    length: usize,
    events: [Stream; 3],
    noise: [Stream; 3],
    classes: Vec<String>,
}

impl Sounds {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a checked length, and a cast takes infinity to the largest number"
    )]
    fn new(spec: &SoundsSpec) -> Result<Self, DataError> {
        let log_mel = LogMel::new(&spec.log_mel)?;
        let rate_hz = spec.log_mel.rate_hz;
        if f64::from(rate_hz) < 2.0 * HIGHEST_HZ {
            let rule = format!("it must be at least {}, twice the highest pitch", 2.0 * HIGHEST_HZ);
            return Err(DataError::setting("rate_hz", rate_hz, rule));
        }
        if spec.seconds.is_nan() || spec.seconds < SHORTEST_SECONDS {
            let rule = format!("it must be at least {SHORTEST_SECONDS}");
            return Err(DataError::setting("seconds", spec.seconds, rule));
        }
        let length = (f64::from(spec.seconds) * f64::from(rate_hz)) as usize;
        let (frames, most) = (log_mel.frames(length), spec.log_mel.max_length);
        if !(1..=most).contains(&frames) {
            let rule = format!(
                "such a clip has {frames} frames, which must be from 1 to `log_mel.max_length`, here {most}"
            );
            return Err(DataError::setting("seconds", spec.seconds, rule));
        }
        for (field, db) in [("lowest_snr_db", spec.lowest_snr_db), ("highest_snr_db", spec.highest_snr_db)] {
            if !(-LARGEST_DB..=LARGEST_DB).contains(&db) {
                let rule = format!("it must be from -{LARGEST_DB} to {LARGEST_DB}");
                return Err(DataError::setting(field, db, rule));
            }
        }
        if spec.highest_snr_db < spec.lowest_snr_db {
            let rule = format!("it must be at least `lowest_snr_db`, which is {}", spec.lowest_snr_db);
            return Err(DataError::setting("highest_snr_db", spec.highest_snr_db, rule));
        }
        if spec.train == 0 {
            return Err(DataError::EmptyTrain { why: "`train` is 0; set the number of clips".to_owned() });
        }
        Ok(Self {
            log_mel,
            length,
            events: Split::streams(spec.seed, "data.sounds"),
            noise: Split::streams(spec.seed, "data.sounds.noise"),
            classes: CLASSES.map(|(name, _)| name.to_owned()).to_vec(),
            spec: spec.clone(),
        })
    }

    /// The clip's waveform, in about −1…1.
    fn waveform(&self, split: Split, index: usize) -> Vec<f32> {
        let mut draws = self.events[split.position()].at(index as u64);
        let event = Event::draw(&mut draws, f64::from(self.spec.seconds));
        let (low, high) = (f64::from(self.spec.lowest_snr_db), f64::from(self.spec.highest_snr_db));
        let snr_db = low + (high - low) * f64::from(draws.uniform());
        let noise = event.level / std::f64::consts::SQRT_2 * 10f64.powf(-snr_db / 20.0);
        let mut waveform = self.background(noise, split, index);
        // Taken in turn, so that every class is equally frequent; nothing above depends on it.
        let (_, form) = CLASSES[index % CLASSES.len()];
        event.add(form, f64::from(self.spec.log_mel.rate_hz), &mut draws, &mut waveform);
        waveform
    }

    /// White noise of a standard deviation.
    #[expect(clippy::cast_possible_truncation, reason = "wanted in f32")]
    fn background(&self, deviation: f64, split: Split, index: usize) -> Vec<f32> {
        let mut draws = self.noise[split.position()].at(index as u64);
        (0..self.length).map(|_| deviation as f32 * draws.normal()).collect()
    }
}

impl fmt::Debug for Sounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sounds").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Source for Sounds {
    fn len(&self, split: Split) -> usize {
        [self.spec.train, self.spec.validation, self.spec.test][split.position()]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.log_mel.shape().to_vec()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::floats(INPUT_VALUES, &self.log_mel.shape()), Column::integers(LABELS, &[])]
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 6")]
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        (column == LABELS && index < self.len(split)).then_some((index % CLASSES.len()) as i64)
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        if column == LABELS {
            return Some(format!("one of {} in turn", CLASSES.len()));
        }
        // How many clips there are says nothing of each.
        let SoundsSpec { seed, seconds, log_mel, lowest_snr_db, highest_snr_db, .. } = &self.spec;
        Some(format!("sounds {:?} {log_mel:?}", (seed, seconds, lowest_snr_db, highest_snr_db)))
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 6")]
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let values = self.log_mel.values(&self.waveform(split, index));
        let values = Field::floats(values, &self.log_mel.shape());
        Ok(Sample::labelled([(INPUT_VALUES, values)], (index % CLASSES.len()) as i64))
    }
}

#[cfg(test)]
mod tests;
