//! Ctrl-C asks the run to save and end; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::train::{Control, Wish};

/// Steers a control by Ctrl-C.
#[derive(Debug, Default)]
pub(super) struct Interrupt {
    caught: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen.
    pub(super) fn listen(control: &Arc<Control>) -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let (caught, control) = (Arc::clone(&interrupt.caught), Arc::clone(control));
        ctrlc::set_handler(move || {
            if caught.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("graft: saving and stopping; once more to stop at once");
            control.set(Wish::Stop);
        })?;
        Ok(interrupt)
    }

    pub(super) fn caught(&self) -> bool {
        self.caught.load(Ordering::SeqCst)
    }
}
