//! What the tests that cross rooms share: fixtures and comparisons.

pub mod canned;
pub mod case;
pub mod equal;
pub mod large;
pub mod matrix;
pub mod peer;
pub mod proving;
pub mod shots;
pub mod sound;
pub mod window;

use std::collections::BTreeMap;
use std::path::PathBuf;

use graft_engine::weights::{Tensor, read_tensors};

/// A file or folder below `tests/fixtures`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A file or folder of the repository.
#[must_use]
pub fn repository(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Float tensors of a fixture file; integer ones are left out.
///
/// # Panics
/// When the file is not there.
#[must_use]
pub fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    let path = fixture(name);
    read_tensors(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// An i64 tensor of a fixture file.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn integers(name: &str, tensor: &str) -> Vec<i64> {
    integers_of(&fixture(name), tensor)
}

/// An i64 tensor of a file.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn integers_of(path: &std::path::Path, tensor: &str) -> Vec<i64> {
    let mut integers = graft_engine::weights::read_integers(path).unwrap_or_else(|error| panic!("{error}"));
    match integers.remove(tensor) {
        Some((_, values)) => values,
        None => panic!("there is no {tensor} in {}", path.display()),
    }
}

/// A tiny two-stage video project on the repository's digits; its base folder is [`repository`]`("projects")`.
///
/// # Panics
/// When the text below is no project.
#[must_use]
pub fn tiny_project() -> graft_engine::project::Project {
    let text = r#"(
        version: 1,
        name: "tiny",
        seed: 3,
        model: Vivit(
            spatial: Vit(width: 16, blocks: 1, heads: 2, mlp: 24, patch: 8),
            temporal: (blocks: 1, heads: 2, mlp: 24),
        ),
        data: MovingDigits(
            folder: "../assets/digits", frames: 8, size: 24, digit: 12, train: 48, validation: 16, test: 24,
        ),
        adapters: [
            (at: "model.bridge", kind: Bridge(width: 4)),
            (at: "model.temporal.blocks.*.attention.{query,value}", kind: Lora(rank: 2, alpha: 4)),
            (at: "model.temporal.blocks.0.{P1,P4}", kind: Bottleneck(width: 3)),
        ],
        stages: [
            Train(name: "one", frames: 4, adapters: None, epochs: 1, batch: 16, clip_norm: 1.0),
            Train(name: "two", freeze: ["model.spatial"], epochs: 2, batch: 16, accumulate: 2),
        ],
    )"#;
    graft_engine::project::parse(text, std::path::Path::new("tiny.ron"))
        .unwrap_or_else(|error| panic!("{error}"))
}
