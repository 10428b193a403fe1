//! What this build can compute on, looked up away from the window's thread: opening a device takes its time.

use std::time::Instant;

use graft_engine::device::{self, DeviceRow};

use crate::newest::Newest;

/// The devices, as far as they are known.
#[derive(Debug)]
pub struct Devices {
    lookup: Newest<(), (Vec<DeviceRow>, f64)>,
    rows: Vec<DeviceRow>,
    secs: Option<f64>,
    waiting: bool,
    looks: u64,
}

impl Devices {
    /// Starts looking.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let look = |()| {
            let begin = Instant::now();
            let rows = device::list();
            (rows, begin.elapsed().as_secs_f64())
        };
        let lookup = Newest::start("graft-devices", look, wake)?;
        let mut found = Self { lookup, rows: Vec::new(), secs: None, waiting: false, looks: 0 };
        found.check();
        Ok(found)
    }

    /// Looks again.
    pub fn check(&mut self) {
        self.waiting |= self.lookup.ask(());
    }

    /// Takes the answer in.
    pub fn poll(&mut self) {
        while let Some((rows, secs)) = self.lookup.poll() {
            (self.rows, self.secs, self.waiting) = (rows, Some(secs), false);
            self.looks += 1;
        }
    }

    /// Whether nothing is being looked up.
    pub(crate) fn is_idle(&self) -> bool {
        !self.waiting
    }

    /// All kinds of devices, usable or not; empty until the first answer.
    #[must_use]
    pub fn rows(&self) -> &[DeviceRow] {
        &self.rows
    }

    /// How often was looked.
    #[must_use]
    pub const fn looks(&self) -> u64 {
        self.looks
    }

    /// Seconds that the last look took; none while one goes on.
    #[must_use]
    pub fn secs(&self) -> Option<f64> {
        self.secs.filter(|_| !self.waiting)
    }

    /// Why a device of this name cannot be used, as far as is known.
    #[must_use]
    pub fn refusal(&self, name: &str) -> Option<String> {
        let kind = name.split(':').next().unwrap_or_default();
        // An address is tried when a run begins, not before.
        if kind == "remote" && name.len() > kind.len() + 1 {
            return self.rows.iter().find(|row| row.name == kind && !row.built)?.reason.clone();
        }
        let kind = if kind == "tch-cuda" { "tch" } else { kind };
        match self.rows.iter().find(|row| row.name == kind) {
            Some(row) => row.reason.clone(),
            None if self.rows.is_empty() => None,
            None => Some("there is no device of this name".to_owned()),
        }
    }
}

/// What a device name means.
#[must_use]
pub fn about(name: &str) -> &'static str {
    match name.split(':').next().unwrap_or_default() {
        "flex" => "CPU, all cores",
        "wgpu" => "GPU by wgpu",
        "cuda" | "tch-cuda" => "NVIDIA GPU",
        "tch" => "CPU by LibTorch",
        "remote" => "another machine",
        _ => "",
    }
}
