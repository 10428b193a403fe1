//! Device names ↔ devices, and what this build can use. A device is always named, never a default.

use burn::tensor::Device;
use serde::Serialize;

/// The device that is always there: burn's pure Rust CPU backend.
pub const CPU: &str = "flex";

/// Why a device name could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No such name.
    #[error("unknown device `{name}`; names are flex, wgpu[:N], cuda[:N], tch, tch-cuda[:N], remote:URL")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The name is right but this build has no support for it.
    #[error("device `{name}` is not in this build; rebuild with `--features {feature}`, or use `flex`")]
    NotBuilt {
        /// What was asked for.
        name: String,
        /// The Cargo feature that brings it.
        feature: &'static str,
    },
    /// The device could not be opened.
    #[error(
        "device `{name}` could not be opened: {reason}; use `flex`, or `graft devices` to see what works here"
    )]
    Unavailable {
        /// What was asked for.
        name: String,
        /// What the backend said.
        reason: String,
    },
}

/// One row of `graft devices`.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceRow {
    /// Name for `--device`.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Whether this build has it.
    pub built: bool,
    /// Whether it opened here, where that was tried.
    pub usable: bool,
    /// Why it cannot be used, if it can't.
    pub reason: Option<String>,
}

/// Opens a device by name.
///
/// # Errors
/// When the name is unknown, not in this build, or does not open.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (name, None),
    };
    let number = || -> Result<usize, DeviceError> {
        index.map_or(Ok(0), |text| text.parse().map_err(|_| DeviceError::Unknown { name: name.to_owned() }))
    };
    match kind {
        "flex" if index.is_none() => Ok(Device::flex()),
        "wgpu" => wgpu(name, index.map(|_| number()).transpose()?),
        "cuda" => cuda(name, number()?),
        "tch" if index.is_none() => tch(name),
        "tch-cuda" => tch_cuda(name, number()?),
        "remote" => remote(name, index.unwrap_or_default()),
        _ => Err(DeviceError::Unknown { name: name.to_owned() }),
    }
}

/// Opens a device and does one small computation on it, so that what cannot work fails here.
///
/// # Errors
/// As [`open`], and when the computation fails.
pub fn open_checked(name: &str) -> Result<Device, DeviceError> {
    if name == CPU {
        return open(name);
    }
    let owned = name.to_owned();
    let attempt = std::panic::catch_unwind(move || {
        let device = open(&owned)?;
        let one = crate::tensor::Value::from_f32(vec![1.0], &[1], &device).add_scalar(1.0);
        let _sum = one.to_scalar();
        Ok(device)
    });
    attempt.unwrap_or_else(|panic| {
        Err(DeviceError::Unavailable { name: name.to_owned(), reason: panic_message(&*panic) })
    })
}

/// What a caught panic said.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it stopped without a message".to_owned())
}

/// Every kind of device with its state in this build on this machine.
#[must_use]
pub fn list() -> Vec<DeviceRow> {
    let rows: [(&str, &str, bool, &str); 5] = [
        ("flex", "CPU, all cores, pure Rust", true, ""),
        ("wgpu", "GPU by Vulkan, Metal or DirectX 12", cfg!(feature = "wgpu"), "wgpu"),
        ("cuda", "NVIDIA GPU", cfg!(feature = "cuda"), "cuda"),
        ("tch", "CPU by LibTorch", cfg!(feature = "tch"), "tch"),
        ("remote", "another machine's device, as remote:URL", cfg!(feature = "remote"), "remote"),
    ];
    rows.into_iter()
        .map(|(name, description, built, feature)| {
            let reason = if !built {
                Some(format!("not in this build: rebuild with `--features {feature}`"))
            } else if name == "remote" {
                Some("needs an address: remote:ws://host:port".to_owned())
            } else {
                open_checked(name).err().map(|error| error.to_string())
            };
            DeviceRow { name, description, built, usable: reason.is_none(), reason }
        })
        .collect()
}

macro_rules! not_built {
    ($name:expr, $feature:literal) => {
        Err(DeviceError::NotBuilt { name: $name.to_owned(), feature: $feature })
    };
}

#[cfg(feature = "wgpu")]
fn wgpu(_name: &str, index: Option<usize>) -> Result<Device, DeviceError> {
    use burn::tensor::DeviceKind;
    // Without an index the adapter is wgpu's own choice; with one, the N-th discrete GPU.
    Ok(Device::wgpu(index.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _index: Option<usize>) -> Result<Device, DeviceError> {
    not_built!(name, "wgpu")
}

#[cfg(feature = "cuda")]
#[expect(clippy::unnecessary_wraps, reason = "same signature as without the feature")]
fn cuda(_name: &str, index: usize) -> Result<Device, DeviceError> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _index: usize) -> Result<Device, DeviceError> {
    not_built!(name, "cuda")
}

#[cfg(feature = "tch")]
#[expect(deprecated, reason = "burn-tch is deprecated upstream but wanted here")]
#[expect(clippy::unnecessary_wraps, reason = "same signature as without the feature")]
fn tch(_name: &str) -> Result<Device, DeviceError> {
    Ok(Device::libtorch())
}

#[cfg(not(feature = "tch"))]
fn tch(name: &str) -> Result<Device, DeviceError> {
    not_built!(name, "tch")
}

#[cfg(feature = "tch")]
#[expect(deprecated, reason = "burn-tch is deprecated upstream but wanted here")]
#[expect(clippy::unnecessary_wraps, reason = "same signature as without the feature")]
fn tch_cuda(_name: &str, index: usize) -> Result<Device, DeviceError> {
    Ok(Device::libtorch_cuda(index))
}

#[cfg(not(feature = "tch"))]
fn tch_cuda(name: &str, _index: usize) -> Result<Device, DeviceError> {
    not_built!(name, "tch")
}

#[cfg(feature = "remote")]
fn remote(name: &str, url: &str) -> Result<Device, DeviceError> {
    let host = burn::tensor::remote::RemoteHost::websocket(url);
    Device::remote_options(&host)
        .init()
        .map_err(|error| DeviceError::Unavailable { name: name.to_owned(), reason: format!("{error:?}") })
}

#[cfg(not(feature = "remote"))]
fn remote(name: &str, _url: &str) -> Result<Device, DeviceError> {
    not_built!(name, "remote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(open("flex").is_ok());
        assert!(matches!(open("flexx"), Err(DeviceError::Unknown { .. })));
        assert!(matches!(open("flex:1"), Err(DeviceError::Unknown { .. })));
        #[cfg(not(feature = "cuda"))]
        assert!(matches!(open("cuda:1"), Err(DeviceError::NotBuilt { feature: "cuda", .. })));
    }
}
