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
    /// A file that was written could not be read again.
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

/// The times of a device, if they are there and of this build.
#[must_use]
pub fn kept_calibration(name: &str) -> Option<Calibration> {
    let bytes = std::fs::read(calibration_path(name)).ok()?;
    let kept: Calibration = serde_json::from_slice(&bytes).ok()?;
    (kept.fingerprint == fingerprint(name)).then_some(kept)
}

/// The times of a device: those in the file when they are of this build, else measured now. `tell` is called before
/// that begins, and `refine` once single ops are measured.
///
/// # Errors
/// When what was measured cannot be written.
pub fn calibration(
    name: &str,
    device: &Device,
    tell: &mut dyn FnMut(),
    refine: &mut dyn FnMut(&mut Calibration),
) -> Result<Calibration, CalibrationError> {
    if let Some(kept) = kept_calibration(name) {
        return Ok(kept);
    }
    tell();
    let path = calibration_path(name);
    let begin = Instant::now();
    let mut found = probes::measure(device, fingerprint(name));
    refine(&mut found);
    found.secs = begin.elapsed().as_secs_f64();
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_atomically(&path, &serde_json::to_vec(&found).map_err(std::io::Error::other)?)
    };
    write().map_err(|error| CalibrationError::Write { error, path: path.clone() })?;
    Ok(found)
}
