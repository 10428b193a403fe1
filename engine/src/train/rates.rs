//! Learning-rate schedules: warm-up, then cosine, linear or constant, as `transformers` computes them.

use serde::{Deserialize, Serialize};

/// How the learning rate moves over a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSpec {
    /// Share of all steps over which the rate rises linearly from zero.
    pub warmup: f64,
    /// What follows.
    pub decay: Decay,
}

impl Default for ScheduleSpec {
    fn default() -> Self {
        Self { warmup: 0.05, decay: Decay::Cosine }
    }
}

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decay {
    /// Half a cosine down to zero.
    Cosine,
    /// A line down to zero.
    Linear,
    /// No decay.
    Constant,
}

impl ScheduleSpec {
    /// Warm-up steps of a stage of `total` steps.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "step counts are far below 2^52"
    )]
    pub fn warmup_steps(&self, total: u64) -> u64 {
        (self.warmup.clamp(0.0, 1.0) * total as f64).round() as u64
    }

    /// Factor on the learning rate at a step (from 0) of `total`.
    #[must_use]
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        self.decay.factor(step, self.warmup_steps(total), total)
    }
}

impl Decay {
    /// Factor at a step (from 0) with `warmup` warm-up steps of `total`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    pub fn factor(self, step: u64, warmup: u64, total: u64) -> f64 {
        if step < warmup {
            return step as f64 / warmup.max(1) as f64;
        }
        let span = total.saturating_sub(warmup).max(1) as f64;
        let progress = (step - warmup) as f64 / span;
        match self {
            Self::Constant => 1.0,
            Self::Linear => (1.0 - progress).max(0.0),
            Self::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0),
        }
    }
}
