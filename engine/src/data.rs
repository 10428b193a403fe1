use serde::{Deserialize, Serialize};
use std::path::Path; use std::sync::Arc; use std::fmt::Debug;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)] pub enum Split { Train, Validation, Test }
impl Split { pub fn name(self) -> &'static str { "x" } }
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)] pub enum FrameShuffle { #[default] None, Frames, Groups(usize) }
pub struct View { pub frames: Option<usize>, pub shuffle: FrameShuffle }
pub struct Sample { pub pixels: Vec<f32>, pub label: i64 }
pub struct SampleError; 
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct DataError;
pub struct Skipped; impl std::fmt::Display for Skipped { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
pub trait Source: Send + Sync + Debug { fn len(&self, split: Split) -> usize; fn classes(&self) -> &[String]; fn sample_shape(&self) -> Vec<usize>; fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError>; }
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)] pub enum DataSpec { X }
impl DataSpec { pub fn open(&self, _b: &Path, _v: &View) -> Result<Box<dyn Source>, DataError> { Err(DataError) } }
pub struct Batch { pub pixels: Vec<f32>, pub shape: Vec<usize>, pub labels: Vec<i64>, pub indices: Vec<usize>, pub skipped: Vec<Skipped> }
pub struct Loader; impl Loader { pub fn new(_s: Arc<dyn Source>, _: Split, _: Vec<usize>, _: usize, _: usize, _: usize) -> Self { Self } }
impl Iterator for Loader { type Item = Result<Batch, DataError>; fn next(&mut self) -> Option<Self::Item> { None } }
pub fn epoch_order(_: u64, _: u64, _: usize) -> Vec<usize> { vec![] }
