//! What `graft-peer` measures: the shapes of `tests/peers/`, samples held ready in memory, and resident memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use graft_engine::data::{Sample, SampleError, Source, Split};
use graft_engine::project::{Project, ProjectError, parse};
use graft_engine::tensor::Stream;
use graft_engine::train::TrainSpec;

/// One of the shapes that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// LoRA on an image transformer.
    A,
    /// The same transformer, all trained.
    B,
    /// A video transformer whose spatial part is frozen.
    C,
}

impl Shape {
    /// By its letter.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "a" => Some(Self::A),
            "b" => Some(Self::B),
            "c" => Some(Self::C),
            _ => None,
        }
    }

    /// Its project, as it stands in the file.
    ///
    /// # Errors
    /// When the file is no project.
    pub fn project(self) -> Result<Project, ProjectError> {
        let (text, name) = match self {
            Self::A => (include_str!("../peers/vit_lora.ron"), "vit_lora.ron"),
            Self::B => (include_str!("../peers/vit_full.ron"), "vit_full.ron"),
            Self::C => (include_str!("../peers/vivit_bridge.ron"), "vivit_bridge.ron"),
        };
        parse(text, Path::new(name))
    }

    /// Extents of one sample.
    #[must_use]
    pub const fn sample(self) -> &'static [usize] {
        match self {
            Self::A | Self::B => &[3, 224, 224],
            Self::C => &[16, 3, 112, 112],
        }
    }

    /// Rules over the regions that are computed again in backward when that is asked for.
    #[must_use]
    pub fn recompute(self) -> Vec<String> {
        let blocks = match self {
            Self::A | Self::B => "model.blocks.*",
            Self::C => "model.temporal.blocks.*",
        };
        // Apart from each other: while one is differentiated, the other's values are not there.
        vec![format!("{blocks}.attention"), format!("{blocks}.mlp")]
    }
}

/// The stage of a project that has one stage, which trains.
#[must_use]
pub fn stage_of(project: &mut Project) -> Option<&mut TrainSpec> {
    project.stages.first_mut()?.as_train_mut()
}

/// Random samples, all held in memory: one batch of them is the whole epoch.
#[derive(Debug)]
pub struct Held {
    shape: Vec<usize>,
    classes: Vec<String>,
    samples: Vec<Sample>,
}

impl Held {
    /// As many as wanted, of random pixels and classes.
    #[must_use]
    pub fn new(count: usize, classes: usize, shape: &[usize], seed: u64) -> Self {
        let values: usize = shape.iter().product();
        let mut draws = Stream::new(seed, "peer").at(0);
        let samples = (0..count)
            .map(|index| {
                let pixels = (0..values).map(|_| draws.normal()).collect();
                let label = i64::try_from(index % classes).unwrap_or(0);
                Sample::classified(pixels, shape, label)
            })
            .collect();
        let classes = (0..classes).map(|class| class.to_string()).collect();
        Self { shape: shape.to_vec(), classes, samples }
    }
}

impl Source for Held {
    fn len(&self, split: Split) -> usize {
        if split == Split::Train { self.samples.len() } else { 0 }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        // The same seed draws the same ones.
        Some(format!("random {column} of {:?}", self.shape))
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        let len = self.len(split);
        self.samples.get(index).filter(|_| index < len).cloned().ok_or(SampleError::OutOfRange {
            split,
            index,
            len,
        })
    }
}

/// Resident memory of this process above where it stood at the start.
#[derive(Debug)]
pub struct Resident {
    before: u64,
    /// Whether the kernel took the order to forget the earlier peak.
    forgot: bool,
    polled: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resident {
    /// Has the kernel forget the earlier peak; a thread looks every few milliseconds where it cannot.
    #[must_use]
    pub fn start() -> Self {
        let forgot = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        let before = status("VmRSS:");
        let (polled, done) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (largest, ended) = (Arc::clone(&polled), Arc::clone(&done));
        let poll = move || {
            while !ended.load(Relaxed) {
                largest.fetch_max(status("VmRSS:"), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let thread = if forgot {
            None
        } else {
            std::thread::Builder::new().name("resident".to_owned()).spawn(poll).ok()
        };
        Self { before, forgot, polled, done, thread }
    }

    /// Bytes of the peak above the start.
    #[must_use]
    pub fn peak(mut self) -> u64 {
        self.done.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        let peak = if self.forgot { status("VmHWM:") } else { self.polled.load(Relaxed) };
        peak.saturating_sub(self.before)
    }
}

/// A line of `/proc/self/status` in bytes; 0 on systems without it.
fn status(line: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = text.lines().find_map(|own| own.strip_prefix(line));
    let kibibytes =
        found.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
