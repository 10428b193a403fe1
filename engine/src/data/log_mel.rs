//! From a waveform to the logarithms of its energy in mel bands over time, as audio transformers read it.

use std::fmt;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use super::{DataError, check_normalisation, positive};

/// How sound becomes `input_values` `[frames, mel]`.
///
/// Filter banks after Kaldi: each frame loses its mean, is pre-emphasised within itself, weighted by a symmetric Hann
/// window and padded to a power of two; its power spectrum is added up under triangles that are equally wide in
/// mel(f) = 1127 · ln(1 + f / 700), from `low_hz` to half of `rate_hz`, and the natural logarithm is taken. Rows of zeros
/// then fill up to `max_length` frames, or what is behind them is cut off, and everything becomes
/// (x − `mean`) / (2 · `std`).
///
/// The defaults are those of `ASTFeatureExtractor` in `transformers`, with means over `AudioSet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogMelSpec {
    /// Samples a second. Files with another rate are converted.
    pub rate_hz: u32,
    /// Mel bands.
    pub mel_bins: usize,
    /// Frames that the model sees, whatever the length of the sound.
    pub max_length: usize,
    /// Length of a frame, milliseconds.
    pub window_ms: f32,
    /// From the beginning of a frame to that of the next, milliseconds.
    pub hop_ms: f32,
    /// Lower edge of the lowest band.
    pub low_hz: f32,
    /// Share of each sample that is subtracted from the next; from 0 to 1.
    pub preemphasis: f32,
    /// Subtracted from the logarithms, and from the zeros that fill up.
    pub mean: f32,
    /// Twice this divides after that.
    pub std: f32,
}

impl Default for LogMelSpec {
    fn default() -> Self {
        Self {
            rate_hz: 16_000,
            mel_bins: 128,
            max_length: 1024,
            window_ms: 25.0,
            hop_ms: 10.0,
            low_hz: 20.0,
            preemphasis: 0.97,
            mean: -4.267_739_3,
            std: 4.568_997_4,
        }
    }
}

/// The smallest energy that a logarithm is taken of: f32's epsilon, as in Kaldi.
const FLOOR: f64 = f32::EPSILON as f64;
/// Samples a second that can be asked for, or converted from, Hz.
pub(super) const RATES_HZ: std::ops::RangeInclusive<u32> = 1000..=384_000;
/// The longest frame and step, milliseconds.
const LONGEST_MS: f32 = 1000.0;
/// The most bands and frames.
const MOST: usize = 1 << 14;

impl LogMelSpec {
    fn check(&self) -> Result<(), DataError> {
        if !RATES_HZ.contains(&self.rate_hz) {
            let rule = format!("it must be from {} to {}", RATES_HZ.start(), RATES_HZ.end());
            return Err(DataError::setting("rate_hz", self.rate_hz, rule));
        }
        for (field, value) in [("mel_bins", self.mel_bins), ("max_length", self.max_length)] {
            positive(field, value)?;
            if value > MOST {
                return Err(DataError::setting(field, value, format!("it must be at most {MOST}")));
            }
        }
        for (field, value, least) in [("window_ms", self.window_ms, 2), ("hop_ms", self.hop_ms, 1)] {
            // Zero samples for what is not a number.
            if value > LONGEST_MS || self.samples(value) < least {
                let rule = format!("it must be at least {least} samples long and at most {LONGEST_MS}");
                return Err(DataError::setting(field, value, rule));
            }
        }
        let nyquist_hz = self.nyquist_hz();
        if !(self.low_hz >= 0.0 && f64::from(self.low_hz) < nyquist_hz) {
            let rule =
                format!("it must be from 0 to below {nyquist_hz}, half of what is sampled in a second");
            return Err(DataError::setting("low_hz", self.low_hz, rule));
        }
        if !(0.0..=1.0).contains(&self.preemphasis) {
            return Err(DataError::setting("preemphasis", self.preemphasis, "it must be from 0 to 1"));
        }
        check_normalisation(&[self.mean], &[self.std])
    }

    fn nyquist_hz(&self) -> f64 {
        f64::from(self.rate_hz) / 2.0
    }

    /// Whole samples in some milliseconds; what is left over is dropped, as in Kaldi.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast takes what is negative or no number to 0, and a second has few samples"
    )]
    fn samples(&self, milliseconds: f32) -> usize {
        (f64::from(self.rate_hz) * f64::from(milliseconds) / 1000.0) as usize
    }
}

/// Takes waveforms to normalised log-mel values.
pub(super) struct LogMel {
    spec: LogMelSpec,
    /// Weight of each sample of a frame.
    window: Vec<f64>,
    /// From frame to frame, samples.
    hop: usize,
    bands: Vec<Band>,
    fft: Arc<dyn RealToComplex<f64>>,
}

/// One triangle: weights of neighbouring bins of the spectrum.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl LogMel {
    pub(super) fn new(spec: &LogMelSpec) -> Result<Self, DataError> {
        spec.check()?;
        let window = hann(spec.samples(spec.window_ms));
        let points = window.len().next_power_of_two();
        Ok(Self {
            hop: spec.samples(spec.hop_ms),
            bands: bands(spec, points),
            fft: RealFftPlanner::new().plan_fft_forward(points),
            spec: spec.clone(),
            window,
        })
    }

    pub(super) const fn spec(&self) -> &LogMelSpec {
        &self.spec
    }

    /// `[frames, mel]`.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.spec.max_length, self.spec.mel_bins]
    }

    /// Samples of the shortest sound that has a frame.
    pub(super) fn shortest(&self) -> usize {
        self.window.len()
    }

    /// Samples that all frames of a sample cover; what lies behind them is not looked at.
    pub(super) fn longest(&self) -> usize {
        self.window.len() + (self.spec.max_length - 1) * self.hop
    }

    /// Whole frames in so many samples.
    pub(super) fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.window.len()).map_or(0, |rest| 1 + rest / self.hop)
    }

    /// Normalised `[frames, mel]` of a waveform whose values are in −1…1; only zeros when it is shorter than a frame.
    #[expect(clippy::cast_possible_truncation, reason = "computed in f64, wanted in f32")]
    pub(super) fn values(&self, waveform: &[f32]) -> Vec<f32> {
        let [most, bands] = self.shape();
        let frames = self.frames(waveform.len()).min(most);
        let mut values = Vec::with_capacity(most * bands);
        let mut padded = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = vec![0.0; spectrum.len()];
        for frame in 0..frames {
            self.cut(&waveform[frame * self.hop..], &mut padded);
            if self.fft.process_with_scratch(&mut padded, &mut spectrum, &mut scratch).is_err() {
                unreachable!("the plan itself made the buffers")
            }
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = bin.norm_sqr();
            }
            values.extend(self.bands.iter().map(|band| band.energy(&power).max(FLOOR).ln() as f32));
        }
        values.resize(most * bands, 0.0);
        for value in &mut values {
            *value = (*value - self.spec.mean) / (2.0 * self.spec.std);
        }
        values
    }

    /// The frame at the beginning of `samples`, ready to be transformed.
    #[expect(clippy::cast_precision_loss, reason = "a frame has few samples")]
    fn cut(&self, samples: &[f32], padded: &mut [f64]) {
        let length = self.window.len();
        let (frame, rest) = padded.split_at_mut(length);
        // The transform leaves its input overwritten.
        rest.fill(0.0);
        for (value, sample) in frame.iter_mut().zip(samples) {
            *value = f64::from(*sample);
        }
        let mean = frame.iter().sum::<f64>() / length as f64;
        let kept = f64::from(self.spec.preemphasis);
        // The first sample stands in for the one before it.
        let mut before = frame[0] - mean;
        for (value, weight) in frame.iter_mut().zip(&self.window) {
            let centred = *value - mean;
            *value = (centred - kept * before) * weight;
            before = centred;
        }
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMel").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Band {
    fn energy(&self, power: &[f64]) -> f64 {
        self.weights.iter().zip(&power[self.first..]).map(|(weight, power)| weight * power).sum()
    }
}

/// A symmetric Hann window of at least two samples: zero at both ends.
#[expect(clippy::cast_precision_loss, reason = "a frame has few samples")]
fn hann(length: usize) -> Vec<f64> {
    let step = std::f64::consts::TAU / (length - 1) as f64;
    (0..length).map(|sample| 0.5 - 0.5 * (step * sample as f64).cos()).collect()
}

fn mel(hz: f64) -> f64 {
    1127.0 * (hz / 700.0).ln_1p()
}

/// The triangles over the bins of a spectrum of so many points. One that is narrower than a bin may be empty.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn bands(spec: &LogMelSpec, points: usize) -> Vec<Band> {
    let (low, high) = (mel(f64::from(spec.low_hz)), mel(spec.nyquist_hz()));
    let width = (high - low) / (spec.mel_bins + 1) as f64;
    let bin_hz = f64::from(spec.rate_hz) / points as f64;
    let bins: Vec<f64> = (0..=points / 2).map(|bin| mel(bin as f64 * bin_hz)).collect();
    (0..spec.mel_bins)
        .map(|band| {
            let peak = low + (band + 1) as f64 * width;
            let first = bins.partition_point(|mel| *mel <= peak - width);
            let end = bins.partition_point(|mel| *mel < peak + width);
            let weights = bins[first..end.max(first)].iter().map(|mel| 1.0 - (mel - peak).abs() / width);
            Band { first, weights: weights.collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_mel(spec: &LogMelSpec) -> LogMel {
        LogMel::new(spec).unwrap()
    }

    /// Without normalisation.
    fn small() -> LogMelSpec {
        LogMelSpec { mel_bins: 32, max_length: 20, mean: 0.0, std: 0.5, ..Default::default() }
    }

    fn tone(hz: f64, samples: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * hz / 16_000.0;
        (0..samples).map(|sample| (0.5 * (step * sample as f64).sin()) as f32).collect()
    }

    #[test]
    fn frames_are_counted_without_what_sticks_out() {
        let log_mel = log_mel(&small());
        let counts = [0, 399, 400, 559, 560, 16_000].map(|samples| log_mel.frames(samples));
        assert_eq!(counts, [0, 0, 1, 1, 2, 98]);
        assert_eq!((log_mel.shortest(), log_mel.longest()), (400, 400 + 19 * 160));
        assert_eq!(log_mel.frames(log_mel.longest()), 20);
    }

    #[test]
    fn a_tone_is_loudest_in_its_own_band_and_zeros_fill_up() {
        let log_mel = log_mel(&small());
        let values = log_mel.values(&tone(1000.0, 16_000 / 10));
        let (low, high) = (mel(20.0), mel(8000.0));
        let band = ((mel(1000.0) - low) / (high - low) * 33.0).round() as usize - 1;
        let (frames, padding) = values.split_at(log_mel.frames(1600) * 32);
        assert_eq!(frames.len(), 8 * 32);
        for frame in frames.chunks(32) {
            let loudest = (0..32).max_by(|a, b| frame[*a].total_cmp(&frame[*b])).unwrap();
            assert_eq!(loudest, band);
        }
        assert_eq!(padding, [0.0; 12 * 32]);
    }

    /// Each step of the definition, written out without a fast transform.
    #[test]
    fn values_are_those_of_the_plain_formula() {
        let spec =
            LogMelSpec { rate_hz: 8000, mel_bins: 6, max_length: 2, hop_ms: 7.0, ..Default::default() };
        let waveform: Vec<f32> = (0..300).map(|k| ((k * k % 97) as f32 - 40.0) / 60.0).collect();
        let got = log_mel(&spec).values(&waveform);
        let mut expected = Vec::new();
        for frame in 0..2 {
            let mut samples: Vec<f64> =
                waveform[frame * 56..][..200].iter().map(|sample| f64::from(*sample)).collect();
            let mean = samples.iter().sum::<f64>() / 200.0;
            for sample in &mut samples {
                *sample -= mean;
            }
            let before = [&samples[..1], &samples[..199]].concat();
            let weighted: Vec<f64> = (0..200)
                .map(|k| {
                    let window = 0.5 - 0.5 * (std::f64::consts::TAU * k as f64 / 199.0).cos();
                    window * (samples[k] - f64::from(0.97f32) * before[k])
                })
                .collect();
            let power = |bin: usize| {
                let angle = std::f64::consts::TAU * bin as f64 / 256.0;
                let part = |f: fn(f64) -> f64| {
                    weighted.iter().enumerate().map(|(k, w)| w * f(angle * k as f64)).sum::<f64>()
                };
                part(f64::cos).powi(2) + part(f64::sin).powi(2)
            };
            let edges: Vec<f64> =
                (0..8).map(|k| mel(20.0) + f64::from(k) * (mel(4000.0) - mel(20.0)) / 7.0).collect();
            for band in edges.windows(3) {
                let energy: f64 = (0..129)
                    .map(|bin| {
                        let at = mel(bin as f64 * 8000.0 / 256.0);
                        let (up, down) =
                            ((at - band[0]) / (band[1] - band[0]), (band[2] - at) / (band[2] - band[1]));
                        up.min(down).max(0.0) * power(bin)
                    })
                    .sum();
                expected.push((energy.ln() as f32 - spec.mean) / (2.0 * spec.std));
            }
        }
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
    }

    #[test]
    fn silence_is_at_the_floor_and_long_sounds_are_cut() {
        let log_mel = log_mel(&small());
        let values = log_mel.values(&vec![0.25; 8000]);
        assert!(values.iter().all(|value| (value - f32::EPSILON.ln()).abs() < 1e-5), "a constant is silent");
        let long = tone(700.0, 9000);
        assert_eq!(log_mel.values(&long), log_mel.values(&long[..log_mel.longest()]));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (spec, field) in [
            (LogMelSpec { rate_hz: 0, ..small() }, "`rate_hz` is 0"),
            (LogMelSpec { mel_bins: 0, ..small() }, "`mel_bins` is 0"),
            (LogMelSpec { max_length: 1 << 20, ..small() }, "`max_length` is 1048576"),
            (LogMelSpec { window_ms: 0.1, ..small() }, "`window_ms` is 0.1"),
            (LogMelSpec { window_ms: f32::INFINITY, ..small() }, "`window_ms` is inf"),
            (LogMelSpec { hop_ms: f32::NAN, ..small() }, "`hop_ms` is NaN"),
            (LogMelSpec { low_hz: 8000.0, ..small() }, "`low_hz` is 8000"),
            (LogMelSpec { preemphasis: 1.5, ..small() }, "`preemphasis` is 1.5"),
            (LogMelSpec { std: 0.0, ..small() }, "`std` is 0"),
        ] {
            let message = LogMel::new(&spec).unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
