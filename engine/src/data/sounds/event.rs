//! What is heard in a clip, and what it looks like as a waveform.

use std::f64::consts::{PI, TAU};

use crate::tensor::Draws;

/// Names and forms, in label order.
pub(super) const CLASSES: [(&str, Form); 6] = [
    ("tone", Form::Chirp { direction: 0.0 }),
    ("rising chirp", Form::Chirp { direction: 1.0 }),
    ("falling chirp", Form::Chirp { direction: -1.0 }),
    ("noise burst", Form::Noise),
    ("tremolo", Form::Tremolo),
    ("double click", Form::Clicks),
];

/// What an event sounds like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// The pitch moves by the event's octaves times this.
    Chirp { direction: f64 },
    /// White noise.
    Noise,
    /// A tone whose level swings.
    Tremolo,
    /// Two decaying strokes, at the beginning and after the gap.
    Clicks,
}

/// Pitches in the middle of an event, Hz: equally likely in each octave.
const PITCHES_HZ: [f64; 2] = [400.0, 2400.0];
/// How far a chirp goes, octaves.
const OCTAVES: [f64; 2] = [0.7, 2.0];
/// The highest that a chirp reaches, Hz.
pub(super) const HIGHEST_HZ: f64 = 2.0 * PITCHES_HZ[1];
/// Share of the clip that an event lasts.
const LASTS: [f64; 2] = [0.6, 0.9];
/// Peak of a steady tone; equally likely in each decibel.
const LEVELS: [f64; 2] = [0.05, 0.5];
/// Swells of a tremolo in a second.
const SWELLS_HZ: [f64; 2] = [8.0, 16.0];
/// How much of a tremolo's level swings.
const DEPTHS: [f64; 2] = [0.6, 1.0];
/// From click to click, as a share of the event.
const GAPS: [f64; 2] = [0.3, 0.8];
/// Over this time an event fades in, and out, unless it clicks; seconds.
const FADE_SECONDS: f64 = 0.01;
/// After this time a click is at 1/e, seconds.
const DECAY_SECONDS: f64 = 0.01;

/// All of an event but its form.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Seconds into the clip.
    onset: f64,
    /// Seconds.
    lasts: f64,
    /// In the middle of the event, Hz.
    pitch_hz: f64,
    octaves: f64,
    /// Radians.
    phase: f64,
    /// Peak of a steady tone.
    pub(super) level: f64,
    swells_hz: f64,
    depth: f64,
    gap: f64,
}

impl Event {
    /// Draws everything, whatever the form will be.
    pub(super) fn draw(draws: &mut Draws, clip_seconds: f64) -> Self {
        let lasts = clip_seconds * between(draws, LASTS);
        Self {
            lasts,
            onset: between(draws, [0.0, clip_seconds - lasts]),
            pitch_hz: in_octaves(draws, PITCHES_HZ),
            octaves: between(draws, OCTAVES),
            phase: between(draws, [0.0, TAU]),
            level: in_octaves(draws, LEVELS),
            swells_hz: between(draws, SWELLS_HZ),
            depth: between(draws, DEPTHS),
            gap: lasts * between(draws, GAPS),
        }
    }

    /// Puts the event into a waveform. Only noise draws further.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "places within a clip, and samples that are wanted in f32"
    )]
    pub(super) fn add(&self, form: Form, rate_hz: f64, draws: &mut Draws, waveform: &mut [f32]) {
        let begin = (self.onset * rate_hz) as usize;
        let length = (self.lasts * rate_hz) as usize;
        let mut phase = self.phase;
        for (place, sample) in waveform.iter_mut().skip(begin).take(length).enumerate() {
            let time = place as f64 / rate_hz;
            let (bend, strength) = match form {
                Form::Chirp { direction } => {
                    (direction * self.octaves * (time / self.lasts - 0.5), self.fade(time))
                }
                Form::Noise => (0.0, self.fade(time)),
                Form::Tremolo => (0.0, self.fade(time) * self.swell(time)),
                Form::Clicks => (0.0, self.strokes(time)),
            };
            let carrier = match form {
                // As strong as a tone.
                Form::Noise => f64::from(draws.normal()) / std::f64::consts::SQRT_2,
                Form::Chirp { .. } | Form::Tremolo | Form::Clicks => phase.sin(),
            };
            *sample += (self.level * strength * carrier) as f32;
            phase += TAU * self.pitch_hz * bend.exp2() / rate_hz;
        }
    }

    /// From 1 − depth to 1.
    fn swell(&self, time: f64) -> f64 {
        1.0 - self.depth * 0.5 * (1.0 + (TAU * self.swells_hz * time).cos())
    }

    /// Twice as high as a tone, since they are short.
    fn strokes(&self, time: f64) -> f64 {
        let since = if time < self.gap { time } else { time - self.gap };
        2.0 * (-since / DECAY_SECONDS).exp()
    }

    /// From 0 at both ends to 1 between them.
    fn fade(&self, time: f64) -> f64 {
        let inside = (time.min(self.lasts - time) / FADE_SECONDS).clamp(0.0, 1.0);
        0.5 - 0.5 * (PI * inside).cos()
    }
}

/// Uniform between two bounds.
fn between(draws: &mut Draws, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * f64::from(draws.uniform())
}

/// Uniform in the logarithm.
fn in_octaves(draws: &mut Draws, [low, high]: [f64; 2]) -> f64 {
    between(draws, [low.log2(), high.log2()]).exp2()
}
