//! Pausing and stopping a run from another thread.

use std::sync::{Condvar, Mutex, PoisonError};

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

/// Shared between a run and whoever steers it.
#[derive(Debug, Default)]
pub struct Control {
    wish: Mutex<Wish>,
    changed: Condvar,
}

impl Control {
    /// A control that says run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is wanted. A stop is final.
    pub fn set(&self, wish: Wish) {
        let mut current = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != Wish::Stop {
            *current = wish;
        }
        self.changed.notify_all();
    }

    /// What is wanted now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while paused; returns whether to stop.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut current = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        while *current == Wish::Pause {
            current = self.changed.wait(current).unwrap_or_else(PoisonError::into_inner);
        }
        *current == Wish::Stop
    }
}
