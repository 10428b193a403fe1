//! What one plot shows.

use crate::session::{EvalPoint, Series, StepPoint};

/// What one plot shows.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) kind: Kind,
    pub(super) series: &'a Series,
    pub(super) budget: Option<u64>,
    /// The step at which the legends read their values; the last one where there is none.
    pub(super) pointed: Option<f64>,
}

impl Shown<'_> {
    pub(super) fn step(&self) -> Option<&StepPoint> {
        let steps = &self.series.steps;
        match self.pointed {
            None => steps.last(),
            Some(x) => {
                let place = steps.partition_point(|point| point.x < x.round());
                steps.get(place).or(steps.last())
            }
        }
    }

    /// The latest evaluation, or the one before the pointer.
    pub(super) fn eval(&self, test: bool) -> Option<&EvalPoint> {
        let reached = |point: &&EvalPoint| self.pointed.is_none_or(|x| point.x <= x.round());
        self.series.evals.iter().rev().filter(reached).find(|point| point.test == test)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Loss,
    Accuracy,
    Time,
    Memory,
    Rate,
    Norm,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Loss, Self::Accuracy, Self::Time, Self::Memory, Self::Rate, Self::Norm];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Loss => "Loss",
            Self::Accuracy => "Accuracy",
            Self::Time => "Step time",
            Self::Memory => "Memory",
            Self::Rate => "Learning rate",
            Self::Norm => "Gradient norm",
        }
    }

    pub(super) fn remark(self, series: &Series) -> String {
        match self {
            Self::Accuracy => format!("{}, %", series.metric),
            Self::Time => "ms by phase".to_owned(),
            Self::Memory => "MiB".to_owned(),
            Self::Loss | Self::Rate => String::new(),
            Self::Norm => "before clipping".to_owned(),
        }
    }
}
