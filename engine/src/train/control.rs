//! Pausing, stopping and asking things of a run from another thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What the other thread wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    #[default]
    Run,
    /// Wait, keeping everything warm.
    Pause,
    /// Save and end.
    Stop,
}

/// What can be asked of a training stage between two steps, also while it is paused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Ask {
    /// From the next step to the stage's end the learning rate is this many times what the project says.
    Rate {
        /// How many times; positive.
        scale: f64,
    },
    /// Evaluate on the validation split. It chooses no best checkpoint: only the evaluations that the project asks
    /// for do.
    Evaluate,
    /// Write a checkpoint, from which the run can be resumed.
    Checkpoint,
}

impl Ask {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Rate { scale } => format!("learning rate × {scale}"),
            Self::Evaluate => "an evaluation".to_owned(),
            Self::Checkpoint => "a checkpoint".to_owned(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    wish: Wish,
    asks: VecDeque<Ask>,
}

/// Shared between a run and whoever steers it.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

impl Control {
    /// A control that says run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is wanted. A stop is final.
    pub fn set(&self, wish: Wish) {
        let mut state = self.state();
        if state.wish != Wish::Stop {
            state.wish = wish;
        }
        self.changed.notify_all();
    }

    /// What is wanted now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        self.state().wish
    }

    /// Asks for something, after what was asked for before. What makes no sense is dropped.
    pub fn ask(&self, ask: Ask) {
        if let Ask::Rate { scale } = ask
            && !(scale.is_finite() && scale > 0.0)
        {
            return;
        }
        self.state().asks.push_back(ask);
        self.changed.notify_all();
    }

    /// What was asked for next, taken from the list.
    #[must_use]
    pub fn take(&self) -> Option<Ask> {
        self.state().asks.pop_front()
    }

    /// Waits while paused; returns whether to stop.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut state = self.state();
        while state.wish == Wish::Pause {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wish == Wish::Stop
    }

    /// Waits while paused and nothing is asked for.
    pub fn wait_or_ask(&self) {
        let mut state = self.state();
        while state.wish == Wish::Pause && state.asks.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_come_in_order_and_wake_who_waits() {
        let control = Control::new();
        control.set(Wish::Pause);
        for ask in [Ask::Rate { scale: f64::NAN }, Ask::Rate { scale: 0.0 }, Ask::Evaluate, Ask::Checkpoint] {
            control.ask(ask);
        }
        control.wait_or_ask();
        assert_eq!(
            [control.take(), control.take(), control.take()],
            [Some(Ask::Evaluate), Some(Ask::Checkpoint), None]
        );
        control.set(Wish::Stop);
        control.set(Wish::Run);
        assert!(control.wait());
        assert_eq!(control.wish(), Wish::Stop, "a stop is final");
    }

    #[test]
    fn asks_are_written_by_what_they_are_for() {
        let text = serde_json::to_string(&Ask::Rate { scale: 0.5 }).unwrap();
        assert_eq!(text, r#"{"what":"rate","scale":0.5}"#);
        assert_eq!(serde_json::to_string(&Ask::Evaluate).unwrap(), r#"{"what":"evaluate"}"#);
    }
}
