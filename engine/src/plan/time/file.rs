//! Measured once, kept in a small file, measured again when the build or the device changes.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;

use super::probes;
use super::rates::Calibration;
use crate::weights::write_atomically;

/// Why no times are known.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// Something else began on the device.
    #[error(
        "the measurement was interrupted, and nothing of it is kept; measure again when the device is idle"
    )]
    Interrupted,
    /// They could not be written; then nothing is measured.
    #[error("the measured times cannot be kept ({error}); set GRAFT_CACHE to a folder that can be written: {}", path.display())]
    Write {
        /// What the system said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
}

/// Where the times of a device are kept: below `GRAFT_CACHE`, or the user's own cache folder.
#[must_use]
pub fn calibration_path(device: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("GRAFT_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("graft")))
        .or_else(|| variable("LOCALAPPDATA").map(|path| path.join("graft")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache").join("graft")))
        .unwrap_or_else(|| std::env::temp_dir().join("graft"));
    let name: String =
        device.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    folder.join(format!("calibration-{name}.json"))
}

/// What the times hold for.
fn fingerprint(name: &str) -> String {
    format!("{}; {name}; {}; {} threads", env!("GRAFT_OPS_BUILD"), processor(), rayon::current_num_threads())
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    named.map_or_else(
        || std::env::var("PROCESSOR_IDENTIFIER").unwrap_or_else(|_| std::env::consts::ARCH.to_owned()),
        |name| name.trim().to_owned(),
    )
}

/// Whether nothing is to be measured: `GRAFT_CALIBRATE=off`. Times that are kept hold all the same.
#[must_use]
pub fn calibration_is_off() -> bool {
    std::env::var("GRAFT_CALIBRATE").is_ok_and(|value| value == "off")
}

/// The times of a device, if they are there and of this build.
#[must_use]
pub fn kept_calibration(name: &str) -> Option<Calibration> {
    let bytes = std::fs::read(calibration_path(name)).ok()?;
    let kept: Calibration = serde_json::from_slice(&bytes).ok()?;
    (kept.fingerprint == fingerprint(name)).then_some(kept)
}

/// The times of a device: those in the file when they are of this build, else measured now. `tell` is called before
/// that begins, and `refine` once single ops are measured. `stopped` is asked between what is measured, and at the end:
/// what was measured beside something else is not kept.
///
/// # Errors
/// When `stopped` says so, and when what was measured cannot be written.
pub fn calibration(
    name: &str,
    device: &Device,
    tell: &mut dyn FnMut(),
    stopped: &dyn Fn() -> bool,
    refine: &mut dyn FnMut(&mut Calibration),
) -> Result<Calibration, CalibrationError> {
    if let Some(kept) = kept_calibration(name) {
        return Ok(kept);
    }
    let path = calibration_path(name);
    let wrong = |error| CalibrationError::Write { error, path: path.clone() };
    // What cannot be kept would be measured again each time: that is told before it takes its seconds.
    let trial = path.with_extension(format!("{}.trial", std::process::id()));
    let prepared = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let tried =
        prepared.and_then(|()| write_atomically(&trial, b"")).and_then(|()| std::fs::remove_file(&trial));
    tried.map_err(wrong)?;
    tell();
    let begin = Instant::now();
    let measured = probes::measure(device, fingerprint(name), stopped);
    let mut found = measured.ok_or(CalibrationError::Interrupted)?;
    refine(&mut found);
    if stopped() {
        return Err(CalibrationError::Interrupted);
    }
    found.secs = begin.elapsed().as_secs_f64();
    let bytes = serde_json::to_vec(&found).map_err(|error| wrong(std::io::Error::other(error)))?;
    write_atomically(&path, &bytes).map_err(wrong)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn nothing_is_kept_of_a_measurement_that_is_interrupted() {
        let device = crate::device::open(crate::device::CPU).unwrap();
        let name = format!("interrupted-{}", std::process::id());
        // Before the first probe, and after some.
        for most in [0, 3] {
            let asked = Cell::new(0);
            let stopped = || asked.replace(asked.get() + 1) >= most;
            let refine = &mut |_: &mut Calibration| panic!("nothing is to be refined");
            let found = calibration(&name, &device, &mut || (), &stopped, refine);
            assert!(matches!(found, Err(CalibrationError::Interrupted)));
            assert_eq!(asked.get(), most + 1, "no probe more");
            assert!(!calibration_path(&name).exists());
        }
    }
}
