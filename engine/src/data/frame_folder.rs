//! Clips, as folders of frames or GIF files, in one folder a class.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::PIXELS;
use super::folder::{Layout, entries};
use super::folder_source::{Decoder, FolderSource};
use super::picture::{EXTENSIONS, IMAGENET_MEAN, IMAGENET_STD, Preparation, decode, for_each_frame};
use super::view::sampled_frames;
use super::{DataError, Fit, Fractions, SampleError, Source, View, positive};

/// `<folder>/<class>/<clip>/<frame>` or `<folder>/<class>/<clip>.gif`.
///
/// A clip's frames are ordered by name with numbers as numbers (`frame2` before `frame10`). It is cut into
/// `frames` equal parts, and the frame in the middle of each stands for it; a clip that is too short repeats
/// frames. The time that a GIF shows each frame is not looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameFolderSpec {
    /// The folder with a sub-folder for each class.
    pub folder: PathBuf,
    /// A folder of the same form for validation, instead of a share of `folder`.
    pub validation_folder: Option<PathBuf>,
    /// A folder of the same form for the test, instead of a share of `folder`.
    pub test_folder: Option<PathBuf>,
    /// Shares of `folder` for splits that have no folder of their own.
    pub split: Fractions,
    /// The shares are drawn from this and the clips' names, a view's shuffling from this and the index.
    pub seed: u64,
    /// Frames a clip that the model sees.
    pub frames: usize,
    /// Side of the square that the model sees, pixels.
    pub size: usize,
    /// 3 (red, green, blue) or 1 (grey).
    pub channels: usize,
    /// How frames that are not square become so.
    pub fit: Fit,
    /// Subtracted from values in 0…1, one a channel; `ImageNet`'s if left out.
    pub mean: Vec<f32>,
    /// Divides after that, one a channel; `ImageNet`'s if left out.
    pub std: Vec<f32>,
}

impl Default for FrameFolderSpec {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("clips"),
            validation_folder: None,
            test_folder: None,
            split: Fractions::default(),
            seed: 0,
            frames: 8,
            size: 224,
            channels: 3,
            fit: Fit::default(),
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
        }
    }
}

pub(super) fn open(spec: &FrameFolderSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    let frames = view.frames.unwrap_or(spec.frames);
    positive("frames", frames)?;
    let preparation = Preparation {
        size: spec.size,
        channels: spec.channels,
        fit: spec.fit,
        mean: spec.mean.clone(),
        std: spec.std.clone(),
    };
    preparation.check()?;
    let layout = Layout {
        folder: &spec.folder,
        validation_folder: spec.validation_folder.as_deref(),
        test_folder: spec.test_folder.as_deref(),
        split: spec.split,
        seed: spec.seed,
        samples: "clips (folders of frames, or .gif)",
        is_sample: |entry| entry.is_folder || entry.has_extension(&["gif"]),
    };
    let decoder = Frames { preparation, frames };
    view.apply(FolderSource { catalogue: layout.catalogue(base)?, decoder }, spec.seed)
}

/// What makes a clip of a folder of pictures or an animation.
#[derive(Debug)]
struct Frames {
    preparation: Preparation,
    frames: usize,
}

impl Frames {
    /// A clip from a folder of pictures.
    fn read_folder(&self, clip: &Path) -> Result<Vec<f32>, SampleError> {
        let unreadable = |reason: String| SampleError::Unreadable { reason, path: clip.to_owned() };
        let mut files = entries(clip).map_err(|error| unreadable(error.to_string()))?;
        files.retain(|entry| !entry.is_folder && entry.has_extension(&EXTENSIONS));
        if files.is_empty() {
            return Err(unreadable("the clip's folder holds no pictures".to_owned()));
        }
        self.gather(files.len(), |number, pixels| {
            self.preparation.append(&decode(&files[number].path)?, pixels);
            Ok(())
        })
    }

    /// A clip from an animation.
    fn read_animation(&self, clip: &Path) -> Result<Vec<f32>, SampleError> {
        // Decoding twice costs time but no memory: whole animations can be large.
        let mut available = 0;
        for_each_frame(clip, |_, _| {
            available += 1;
            true
        })?;
        let wanted: Vec<usize> = sampled_frames(available, self.frames).collect();
        let mut prepared = vec![Vec::new(); available];
        for_each_frame(clip, |number, picture| {
            if wanted.contains(&number) {
                self.preparation.append(&picture, &mut prepared[number]);
            }
            wanted.last().is_some_and(|last| number < *last)
        })?;
        if available == 0 {
            let reason = "the animation holds no frames".to_owned();
            return Err(SampleError::Unreadable { reason, path: clip.to_owned() });
        }
        self.gather(available, |number, pixels| {
            pixels.extend_from_slice(&prepared[number]);
            Ok(())
        })
    }

    /// The sampled frames one after the other, each from `append`; repeated ones are asked for once.
    fn gather(
        &self,
        available: usize,
        append: impl Fn(usize, &mut Vec<f32>) -> Result<(), SampleError>,
    ) -> Result<Vec<f32>, SampleError> {
        let area = self.preparation.channels * self.preparation.size * self.preparation.size;
        let mut pixels = Vec::with_capacity(self.frames * area);
        let mut previous = None;
        for number in sampled_frames(available, self.frames) {
            if previous == Some(number) {
                pixels.extend_from_within(pixels.len() - area..);
            } else {
                append(number, &mut pixels)?;
            }
            previous = Some(number);
        }
        Ok(pixels)
    }
}

impl Decoder for Frames {
    const COLUMN: &'static str = PIXELS;

    fn shape(&self) -> Vec<usize> {
        vec![self.frames, self.preparation.channels, self.preparation.size, self.preparation.size]
    }

    fn fingerprint(&self) -> String {
        format!("clip of {} {:?}", self.frames, self.preparation)
    }

    fn values(&self, path: &Path) -> Result<Vec<f32>, SampleError> {
        if path.is_dir() { self.read_folder(path) } else { self.read_animation(path) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::codecs::gif::GifEncoder;
    use image::{Frame, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;
    use crate::data::{Batch, DataSpec, FrameShuffle, Sample, Split};

    fn open(base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
        let spec = FrameFolderSpec {
            frames: 4,
            size: 6,
            channels: 1,
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
            split: Fractions { validation: 0.0, test: 0.0 },
            ..Default::default()
        };
        DataSpec::FrameFolder(spec).open(base, view)
    }

    /// A folder clip of 12 frames whose value is ten times their number, and the same as an animation.
    fn write(base: &Path) {
        let clip = base.join("clips/a/walk");
        fs::create_dir_all(&clip).unwrap();
        fs::create_dir_all(base.join("clips/b")).unwrap();
        let mut animation = GifEncoder::new(fs::File::create(base.join("clips/b/run.gif")).unwrap());
        for number in 0..12u8 {
            let value = number * 10;
            RgbImage::from_pixel(9, 6, Rgb([value; 3]))
                .save(clip.join(format!("frame{number}.png")))
                .unwrap();
            animation
                .encode_frame(Frame::new(RgbaImage::from_pixel(9, 6, Rgba([value, value, value, 255]))))
                .unwrap();
        }
        fs::write(clip.join("notes.txt"), "no frame").unwrap();
    }

    fn values(sample: &Sample) -> Vec<i64> {
        sample.pixels().chunks(36).map(|frame| (frame.iter().sum::<f32>() / 36.0).round() as i64).collect()
    }

    #[test]
    fn frames_come_in_natural_order_from_folders_and_animations() {
        let base = tempfile::tempdir().unwrap();
        write(base.path());
        let source = open(base.path(), &View::default()).unwrap();
        assert_eq!(source.classes(), ["a", "b"]);
        assert_eq!(source.sample_shape(), [4, 1, 6, 6]);
        for (index, label) in [(0, 0), (1, 1)] {
            let sample = source.sample(Split::Train, index).unwrap();
            assert_eq!((sample.label(), values(&sample)), (Some(label), vec![10, 40, 70, 100]));
            assert_eq!(source.key(Split::Train, index, "labels"), Some(label));
        }
        let all = open(base.path(), &View { frames: Some(12), ..View::default() }).unwrap();
        let repeated = open(base.path(), &View { frames: Some(24), ..View::default() }).unwrap();
        let shuffled = open(base.path(), &View { shuffle: FrameShuffle::Frames, ..View::default() }).unwrap();
        for index in 0..2 {
            assert_eq!(
                values(&all.sample(Split::Train, index).unwrap()),
                (0..12).map(|n| n * 10).collect::<Vec<_>>()
            );
            let twice = values(&repeated.sample(Split::Train, index).unwrap());
            assert_eq!(twice, (0..24).map(|n| n / 2 * 10).collect::<Vec<_>>());
            let mut bag = values(&shuffled.sample(Split::Train, index).unwrap());
            bag.sort_unstable();
            assert_eq!(bag, [10, 40, 70, 100]);
        }
    }

    #[test]
    fn clips_that_cannot_be_read_are_skipped_by_name() {
        let base = tempfile::tempdir().unwrap();
        write(base.path());
        fs::create_dir_all(base.path().join("clips/a/empty")).unwrap();
        fs::write(base.path().join("clips/a/walk/frame4.png"), "damaged").unwrap();
        fs::write(base.path().join("clips/b/bad.gif"), "damaged").unwrap();
        let source = open(base.path(), &View::default()).unwrap();
        let batch = Batch::read(&*source, Split::Train, &[0, 1, 2, 3]).unwrap();
        assert_eq!(batch.indices, [3]);
        assert_eq!(batch.columns["pixel_values"].shape, [1, 4, 1, 6, 6]);
        let names = ["empty", "frame4.png", "bad.gif"];
        assert_eq!(batch.skipped.len(), names.len());
        for (skip, name) in batch.skipped.iter().zip(names) {
            assert!(skip.what.ends_with(name), "{skip:?}");
        }
    }

    #[test]
    fn pictures_where_clips_belong_are_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("clips/a")).unwrap();
        fs::write(base.path().join("clips/a/frame1.png"), "x").unwrap();
        let message = open(base.path(), &View::default()).unwrap_err().to_string();
        assert!(message.contains("expected clips (folders of frames, or .gif)"), "{message}");
        assert!(message.contains("1 other"), "{message}");
    }
}
