//! What a walk will cost, added up from the schedule that the executor performs.

mod step;
mod tally;
mod time;

pub use step::{Phase, StepBytes, StepShape};
pub use tally::{Level, Part, Tally, tally};
pub use time::{
    Calibration, CalibrationError, Rate, WalkSecs, calibration, calibration_is_off, calibration_path,
    kept_calibration, walk_secs,
};
