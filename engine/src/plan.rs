//! What a walk will cost, added up from the schedule that the executor performs.

mod tally;

pub use tally::{Tally, tally};
