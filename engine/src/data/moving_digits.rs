//! Clips whose class is in the motion only: a digit goes round a closed loop, computed on the fly.

use std::f32::consts::{FRAC_PI_2, TAU};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digits::check_canvas;
use super::field::LABELS;
use super::glyph::{Glyph, Scaler};
use super::idx::{self, Pictures};
use super::{DataError, Sample, SampleError, Source, Split, View, check_normalisation, positive};
use crate::tensor::{Draws, Stream};

/// Eight classes of clips: where a digit heads first (right, down, left, up) × which way it turns.
///
/// A digit drawn by chance travels round a circle of random centre and radius, sampled uniformly over
/// `frames` frames and exactly periodic: frame `frames` would be frame 0 again. Frame k of T shows time k/T,
/// so a [`View`] with fewer frames sees the same clip more coarsely.
///
/// # Why a bag of frames says nothing about the class
///
/// Let the digit stand at centre + radius · (cos φ, sin φ). Heading h (0…3, in quarter turns) and turning
/// sense s = ±1 fix the angle at which the clip starts, (h − s) quarter turns, and with a jitter j
/// frame k stands at
///
/// φₖ = j + 2π/T · (T/4 · (h − s) + s · r · k),  r = 1 or 2 revolutions.
///
/// When 4·r divides T, the second term is a multiple of r, and as k runs from 0 to T − 1 the bracket
/// runs r times through *all* multiples of r modulo T, from whatever start and in whatever direction. So
/// the multiset of frames is {j + 2π·r·m/T}, each r times: neither h nor s is left in it. Digit,
/// centre, radius, jitter, r and distractors are drawn without looking at the class, noise is drawn alike
/// for every frame; hence bag and class are independent, and nothing that ignores the order of frames
/// beats one in eight. Phases are counted in whole steps of the lattice, so the multisets agree to the bit.
///
/// The order is needed, but parts of it tell a part: the first frame, known to be the first, shows the
/// starting angle, which two classes share (right in one of two); neighbouring frames that do not know their
/// time, as in a bag of tubelets, show the sense without the heading (right in one of four).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MovingDigitsSpec {
    /// Where the digits' IDX files are, as for [`super::DigitsSpec`].
    pub folder: PathBuf,
    /// Everything random is drawn from (this, split, index).
    pub seed: u64,
    /// Frames a clip; a multiple of 4 · `revolutions`.
    pub frames: usize,
    /// Side of a frame, pixels; at least `digit` + 4.
    pub size: usize,
    /// Side of the digit, pixels.
    pub digit: usize,
    /// 1, or 3 equal ones.
    pub channels: usize,
    /// Subtracted from values in 0…1. With 0 the empty canvas stays exactly zero.
    pub mean: f32,
    /// Divides after that.
    pub std: f32,
    /// Clips to train on, showing eleven of twelve training digits.
    pub train: usize,
    /// Clips for validation, showing the other training digits.
    pub validation: usize,
    /// Clips for the test, showing test digits.
    pub test: usize,
    /// The starting angle is off by at most this, either way; below 45.
    pub jitter_degrees: f32,
    /// Radius of the smallest circle, as a share of the largest that fits; above 0, at most 0.95.
    pub smallest_radius: f32,
    /// 1: each clip goes round once. 2: once or twice, by chance.
    pub revolutions: usize,
    /// Standard deviation of noise added to each pixel, in units of 0…1, before `mean` and `std`.
    pub noise: f32,
    /// Digits that stand still at random places in each clip.
    pub distractors: usize,
}

impl Default for MovingDigitsSpec {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("digits"),
            seed: 0,
            frames: 16,
            size: 32,
            digit: 14,
            channels: 1,
            mean: 0.0,
            std: 1.0,
            train: 4000,
            validation: 1000,
            test: 5000,
            jitter_degrees: 20.0,
            smallest_radius: 0.5,
            revolutions: 1,
            noise: 0.0,
            distractors: 0,
        }
    }
}

/// Share of the largest circle that fits: a little room is left for its centre.
const LARGEST_RADIUS: f32 = 0.95;
/// Every how many-th training digit is kept for validation.
const HELD_OUT: usize = 12;
/// Moments of a clip that noise tells apart, and so the most frames.
const TICKS: usize = 1 << 16;
const HEADINGS: [&str; 4] = ["right", "down", "left", "up"];
const SENSES: [&str; 2] = ["clockwise", "anticlockwise"];
const CLASSES: usize = HEADINGS.len() * SENSES.len();

pub(super) fn open(spec: &MovingDigitsSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    let source = MovingDigits::new(spec, base, view.frames.unwrap_or(spec.frames))?;
    view.apply(source, spec.seed)
}

struct MovingDigits {
    spec: MovingDigitsSpec,
    /// What the view asks for, or the spec's own.
    frames: usize,
    train: Pictures,
    test: Pictures,
    /// For the training and the test pictures.
    scalers: [Scaler; 2],
    /// Pictures that each split may show.
    members: [Vec<usize>; 3],
    clips: [Stream; 3],
    noise: [Stream; 3],
    classes: Vec<String>,
}

/// All of a clip that is random, except noise.
struct Clip {
    label: usize,
    glyph: Glyph,
    /// Upper left corner of the digit when at the circle's centre, pixels.
    centre: [f32; 2],
    /// Pixels.
    radius: f32,
    /// Radians.
    jitter: f32,
    revolutions: usize,
    /// With the upper left corner of each.
    distractors: Vec<(Glyph, [f32; 2])>,
}

impl MovingDigits {
    fn new(spec: &MovingDigitsSpec, base: &Path, frames: usize) -> Result<Self, DataError> {
        check(spec, frames)?;
        let folder = base.join(&spec.folder);
        let train = idx::read(&folder, &["train"])?;
        let test = idx::read(&folder, &["test", "t10k"])?;
        let (kept, held) = train.hold_out((train.len() / HELD_OUT).max(1));
        if kept.is_empty() {
            let why =
                format!("{} training digits leave none beside those for validation; add more", train.len());
            return Err(DataError::EmptyTrain { why });
        }
        Ok(Self {
            frames,
            scalers: [&train, &test].map(|set| Scaler::new(set.height, set.width, spec.digit)),
            members: [kept, held, (0..test.len()).collect()],
            clips: Split::streams(spec.seed, "data.moving_digits"),
            noise: Split::streams(spec.seed, "data.moving_digits.noise"),
            classes: HEADINGS
                .iter()
                .flat_map(|heading| SENSES.iter().map(move |sense| format!("{heading} {sense}")))
                .collect(),
            spec: spec.clone(),
            train,
            test,
        })
    }

    fn clip(&self, split: Split, index: usize) -> Clip {
        let mut draws = self.clips[split.position()].at(index as u64);
        let glyph = self.glyph(split, &mut draws);
        let revolutions = 1 + draws.below(self.spec.revolutions);
        // The digit's corner may lie within 0..=room: the circle must, whatever its centre.
        let room = self.room();
        let radius = room / 2.0 * between(&mut draws, self.spec.smallest_radius, LARGEST_RADIUS);
        let centre = [0; 2].map(|_| between(&mut draws, radius, room - radius));
        let jitter = self.spec.jitter_degrees.to_radians() * between(&mut draws, -1.0, 1.0);
        let distractors = (0..self.spec.distractors)
            .map(|_| {
                let glyph = self.glyph(split, &mut draws);
                (glyph, [0; 2].map(|_| between(&mut draws, 0.0, room)))
            })
            .collect();
        // Taken in turn, so that every class is equally frequent; nothing above depends on it.
        Clip { label: index % CLASSES, glyph, centre, radius, jitter, revolutions, distractors }
    }

    fn glyph(&self, split: Split, draws: &mut Draws) -> Glyph {
        let members = &self.members[split.position()];
        let picture = members[draws.below(members.len())];
        match split {
            Split::Test => self.scalers[1].glyph(self.test.pixels(picture)),
            Split::Train | Split::Validation => self.scalers[0].glyph(self.train.pixels(picture)),
        }
    }

    /// Pixels along which the digit's corner may move.
    #[expect(clippy::cast_precision_loss, reason = "the side of a canvas of a few thousand pixels at most")]
    fn room(&self) -> f32 {
        (self.spec.size - self.spec.digit) as f32
    }

    /// The clip as `[frames, channels, size, size]`.
    fn render(&self, clip: &Clip, split: Split, index: usize) -> Vec<f32> {
        let size = self.spec.size;
        let area = size * size;
        let mut background = vec![0.0; area];
        for (glyph, [x, y]) in &clip.distractors {
            glyph.place(&mut background, size, *x, *y);
        }
        let mut pixels = Vec::with_capacity(self.frames * self.spec.channels * area);
        for frame in 0..self.frames {
            let start = pixels.len();
            pixels.extend_from_slice(&background);
            let canvas = &mut pixels[start..];
            let angle = angle(clip, frame, self.frames);
            let x = clip.centre[0] + clip.radius * angle.cos();
            let y = clip.centre[1] + clip.radius * angle.sin();
            clip.glyph.place(canvas, size, x, y);
            if self.spec.noise > 0.0 {
                // Keyed by time, so that a coarser view of the clip has the same noise in the same moments.
                let moment = (index * TICKS + frame * TICKS / self.frames) as u64;
                let mut draws = self.noise[split.position()].at(moment);
                for pixel in &mut *canvas {
                    *pixel += self.spec.noise * draws.normal();
                }
            }
            for pixel in &mut *canvas {
                *pixel = (*pixel - self.spec.mean) / self.spec.std;
            }
            for _ in 1..self.spec.channels {
                pixels.extend_from_within(start..start + area);
            }
        }
        pixels
    }
}

/// Where on the circle the digit stands, radians; y points down, so that growing angles turn clockwise.
#[expect(clippy::cast_precision_loss, reason = "a step of at most 2^16")]
fn angle(clip: &Clip, frame: usize, frames: usize) -> f32 {
    let (heading, clockwise) = (clip.label / SENSES.len(), clip.label.is_multiple_of(SENSES.len()));
    let travelled = clip.revolutions * frame % frames;
    // Clockwise means heading a quarter turn ahead of where the digit stands, anticlockwise one behind.
    // Whole steps, never sums of fractions: equal places must be equal to the bit in every class.
    let (start, signed) =
        if clockwise { (heading + 3, travelled) } else { (heading + 1, frames - travelled) };
    let step = (start * (frames / 4) + signed) % frames;
    clip.jitter + TAU * step as f32 / frames as f32
}

/// Uniform between `low` and `high`.
fn between(draws: &mut Draws, low: f32, high: f32) -> f32 {
    low + (high - low) * draws.uniform()
}

fn check(spec: &MovingDigitsSpec, frames: usize) -> Result<(), DataError> {
    check_canvas(spec.size, spec.digit, spec.channels)?;
    if spec.size < spec.digit + 4 {
        let rule = format!("the digit needs room to move: at least `digit` + 4 = {}", spec.digit + 4);
        return Err(DataError::setting("size", spec.size, rule));
    }
    if ![1, 2].contains(&spec.revolutions) {
        return Err(DataError::setting("revolutions", spec.revolutions, "it must be 1 or 2"));
    }
    positive("frames", frames)?;
    let unit = 4 * spec.revolutions;
    if !frames.is_multiple_of(unit) || frames > TICKS {
        let rule = format!(
            "it must be a multiple of 4 · `revolutions` = {unit}, or the frames alone would tell the class"
        );
        return Err(DataError::setting("frames", frames, rule));
    }
    if !(spec.jitter_degrees.to_radians() < FRAC_PI_2 / 2.0 && spec.jitter_degrees >= 0.0) {
        let rule = "it must be from 0 to below 45, where headings meet";
        return Err(DataError::setting("jitter_degrees", spec.jitter_degrees, rule));
    }
    if !(spec.smallest_radius > 0.0 && spec.smallest_radius <= LARGEST_RADIUS) {
        let rule = format!("it must be above 0 and at most {LARGEST_RADIUS}");
        return Err(DataError::setting("smallest_radius", spec.smallest_radius, rule));
    }
    if !(spec.noise.is_finite() && spec.noise >= 0.0) {
        return Err(DataError::setting("noise", spec.noise, "it must be finite and not below 0"));
    }
    if spec.train == 0 {
        return Err(DataError::EmptyTrain { why: "`train` is 0; set the number of clips".to_owned() });
    }
    check_normalisation(&[spec.mean], &[spec.std])
}

impl fmt::Debug for MovingDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingDigits")
            .field("spec", &self.spec)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

impl Source for MovingDigits {
    fn len(&self, split: Split) -> usize {
        [self.spec.train, self.spec.validation, self.spec.test][split.position()]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        vec![self.frames, self.spec.channels, self.spec.size, self.spec.size]
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 8")]
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        (column == LABELS && index < self.len(split)).then_some((index % CLASSES) as i64)
    }

    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        if column == LABELS {
            return Some(format!("one of {CLASSES} in turn"));
        }
        let spec = &self.spec;
        let canvas = (self.frames, spec.size, spec.digit, spec.channels, spec.mean, spec.std);
        let motion = (spec.seed, spec.jitter_degrees, spec.smallest_radius, spec.revolutions);
        let set = if split == Split::Test { &self.test } else { &self.train };
        let clutter = (spec.noise, spec.distractors);
        // How many clips there are says nothing of each.
        Some(format!("moving digits {} {canvas:?} {motion:?} {clutter:?}", set.digest()))
    }

    #[expect(clippy::cast_possible_wrap, reason = "a label below 8")]
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let clip = self.clip(split, index);
        Ok(Sample::classified(self.render(&clip, split, index), &self.sample_shape(), clip.label as i64))
    }
}

#[cfg(test)]
mod tests;
