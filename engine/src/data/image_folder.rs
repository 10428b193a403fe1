//! Pictures in one folder a class.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::PIXELS;
use super::folder::Layout;
use super::folder_source::{Decoder, FolderSource};
use super::picture::{EXTENSIONS, IMAGENET_MEAN, IMAGENET_STD, Preparation, decode};
use super::{DataError, Fit, Fractions, SampleError, Source, View};

/// `<folder>/<class>/<file>`: classes in alphabetical order, files PNG, JPEG, WebP or GIF (its first frame).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFolderSpec {
    /// The folder with a sub-folder for each class.
    pub folder: PathBuf,
    /// A folder of the same form for validation, instead of a share of `folder`.
    pub validation_folder: Option<PathBuf>,
    /// A folder of the same form for the test, instead of a share of `folder`.
    pub test_folder: Option<PathBuf>,
    /// Shares of `folder` for splits that have no folder of their own.
    pub split: Fractions,
    /// The shares are drawn from this and the files' names.
    pub seed: u64,
    /// Side of the square that the model sees, pixels.
    pub size: usize,
    /// 3 (red, green, blue) or 1 (grey).
    pub channels: usize,
    /// How pictures that are not square become so.
    pub fit: Fit,
    /// Subtracted from values in 0…1, one a channel; `ImageNet`'s if left out.
    pub mean: Vec<f32>,
    /// Divides after that, one a channel; `ImageNet`'s if left out.
    pub std: Vec<f32>,
}

impl Default for ImageFolderSpec {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("images"),
            validation_folder: None,
            test_folder: None,
            split: Fractions::default(),
            seed: 0,
            size: 224,
            channels: 3,
            fit: Fit::default(),
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
        }
    }
}

pub(super) fn open(spec: &ImageFolderSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
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
        samples: "pictures (.png, .jpg, .jpeg, .webp, .gif)",
        is_sample: |entry| !entry.is_folder && entry.has_extension(&EXTENSIONS),
    };
    Ok(Box::new(FolderSource { catalogue: layout.catalogue(base)?, decoder: preparation }))
}

impl Decoder for Preparation {
    const COLUMN: &'static str = PIXELS;

    fn shape(&self) -> Vec<usize> {
        vec![self.channels, self.size, self.size]
    }

    fn fingerprint(&self) -> String {
        format!("picture {self:?}")
    }

    fn values(&self, path: &Path) -> Result<Vec<f32>, SampleError> {
        let mut pixels = Vec::new();
        self.append(&decode(path)?, &mut pixels);
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::data::{DataSpec, Loader, Skipped, Split};

    fn spec() -> ImageFolderSpec {
        ImageFolderSpec {
            folder: "pictures".into(),
            size: 8,
            split: Fractions { validation: 0.0, test: 0.0 },
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
            ..Default::default()
        }
    }

    fn open(spec: ImageFolderSpec, base: &Path) -> Result<Box<dyn Source>, DataError> {
        DataSpec::ImageFolder(spec).open(base, &View::default())
    }

    /// One grey picture a name, whose value is its position in the list.
    fn write(base: &Path, names: &[&str]) {
        for (value, name) in names.iter().enumerate() {
            let path = base.join("pictures").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(12, 9, Rgb([value as u8 * 10; 3])).save(path).unwrap();
        }
    }

    #[test]
    fn every_format_reads() {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), &["b/0.png", "b/1.jpg", "b/2.webp", "b/10.gif", "a/x.JPEG"]);
        let source = open(spec(), base.path()).unwrap();
        assert_eq!(source.classes(), ["a", "b"]);
        assert_eq!(source.sample_shape(), [3, 8, 8]);
        assert_eq!(Split::ALL.map(|split| source.len(split)), [5, 0, 0]);
        for (index, (label, value)) in
            [(0, 40.0), (1, 0.0), (1, 10.0), (1, 20.0), (1, 30.0)].into_iter().enumerate()
        {
            let sample = source.sample(Split::Train, index).unwrap();
            assert_eq!((sample.label(), sample.pixels().len()), (Some(label), 192));
            assert_eq!(source.key(Split::Train, index, "labels"), Some(label));
            let tolerance = 3.0 / 255.0;
            assert!(sample.pixels().iter().all(|pixel| (pixel - value / 255.0).abs() < tolerance), "{index}");
        }
        assert!(source.sample(Split::Validation, 0).is_err());
    }

    #[test]
    fn damaged_files_are_skipped_by_name() {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), &["a/0.png", "a/1.png", "a/2.jpg", "b/3.gif"]);
        let damage = |name: &str, keep: usize| {
            let path = base.path().join("pictures").join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..keep.min(bytes.len())]).unwrap();
        };
        damage("a/1.png", 40);
        damage("a/2.jpg", 0);
        damage("b/3.gif", 15);
        fs::write(base.path().join("pictures/b/text.png"), "no picture").unwrap();
        let source: Arc<dyn Source> = Arc::from(open(spec(), base.path()).unwrap());
        let batches: Vec<_> = Loader::new(source, Split::Train, vec![vec![0, 1, 2], vec![3, 4]], 2, 2)
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches[0].indices, [0]);
        assert!(batches[1].is_empty() && batches[1].columns.is_empty());
        let skipped: Vec<&Skipped> = batches.iter().flat_map(|batch| &batch.skipped).collect();
        let names = ["1.png", "2.jpg", "3.gif", "text.png"];
        assert_eq!(skipped.len(), names.len());
        for (skip, name) in skipped.iter().zip(names) {
            assert!(skip.what.ends_with(name) && !skip.why.is_empty(), "{skip:?}");
        }
    }

    #[test]
    fn folders_without_classes_are_refused() {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), &["0.png", "1.png"]);
        let message = open(spec(), base.path()).unwrap_err().to_string();
        assert!(message.contains("sub-folder for each class, holding pictures (.png"), "{message}");
        assert!(message.contains("found 2 files") && message.ends_with("pictures"), "{message}");
        let view = View { frames: Some(2), ..View::default() };
        assert!(DataSpec::ImageFolder(spec()).open(base.path(), &view).is_err());
    }
}
