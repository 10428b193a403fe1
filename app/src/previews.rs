//! Samples of the project's data as the model sees them, read away from the window's thread.

use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::data::{DataSpec, Field, FieldValues, Sample, Split, View};

use crate::newest::{Newest, guarded};
use crate::sources::Sources;

/// Samples that are shown at once.
pub const SHOWN: usize = 12;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The data.
    pub data: DataSpec,
    /// How the stage reads it.
    pub view: View,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Which part.
    pub split: Split,
    /// Which samples.
    pub samples: Which,
}

/// Which samples are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// A page of [`SHOWN`] from this one on.
    From(usize),
    /// These.
    These(Vec<usize>),
}

/// A picture of a channel or three: rows of RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width and height in pixels.
    pub size: [usize; 2],
    /// Red, green, blue of each pixel, row after row.
    pub rgb: Vec<u8>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Its place in the split.
    pub index: usize,
    /// Its class's name, or what stands for it.
    pub label: String,
    /// Its pictures, one a frame; one for what does not move, none for what cannot be drawn.
    pub frames: Vec<Picture>,
    /// Its columns with their extents, and the numbers of those that are short.
    pub columns: Vec<String>,
}

/// A page of samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The samples, or why one could not be read.
    pub samples: Vec<Result<Preview, String>>,
    /// Samples in the split.
    pub count: usize,
    /// Grows with each answer, so that what is made from it can be kept.
    pub number: u64,
}

type Answer = (Wanted, Result<Page, String>);

/// The window's side.
#[derive(Debug)]
pub struct Previews {
    thread: Newest<Wanted, Answer>,
    asked: Option<Wanted>,
    page: Option<Result<Page, String>>,
    number: u64,
}

impl Previews {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sources: Sources, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let work = move |wanted: Wanted| {
            let page = guarded(|| page(&sources, &wanted));
            (wanted, page)
        };
        let thread = Newest::start("graft-previews", work, wake)?;
        Ok(Self { thread, asked: None, page: None, number: 0 })
    }

    /// Asks for a page unless it was asked for already.
    pub fn ask(&mut self, wanted: Wanted) {
        if self.asked.as_ref() != Some(&wanted) && self.thread.ask(wanted.clone()) {
            self.asked = Some(wanted);
            self.page = None;
        }
    }

    /// Takes answers in.
    pub fn poll(&mut self) {
        while let Some((wanted, page)) = self.thread.poll() {
            if self.asked.as_ref() == Some(&wanted) {
                self.number += 1;
                let number = self.number;
                self.page = Some(page.map(|page| Page { number, ..page }));
            }
        }
    }

    /// Whether nothing is being read.
    pub(crate) fn is_idle(&self) -> bool {
        self.thread.is_idle()
    }

    /// The page, why there is none, or nothing while it is being read.
    #[must_use]
    pub const fn page(&self) -> Option<&Result<Page, String>> {
        self.page.as_ref()
    }
}

fn page(sources: &Sources, wanted: &Wanted) -> Result<Page, String> {
    let source = sources.open(&wanted.data, &wanted.view, &wanted.base).map_err(|error| error.to_string())?;
    let source = Arc::clone(&source);
    let count = source.len(wanted.split);
    let listed: Vec<usize> = match &wanted.samples {
        Which::From(first) => (*first..(first + SHOWN).min(count)).collect(),
        Which::These(listed) => listed.clone(),
    };
    let samples = listed
        .into_iter()
        .map(|index| {
            let sample = source.sample(wanted.split, index).map_err(|error| error.to_string())?;
            Ok(preview(index, &sample, source.classes()))
        })
        .collect();
    Ok(Page { samples, count, number: 0 })
}

fn preview(index: usize, sample: &Sample, classes: &[String]) -> Preview {
    let class = |field: &Field| match field.as_integers() {
        Some([label]) => usize::try_from(*label)
            .ok()
            .and_then(|label| classes.get(label).cloned())
            .unwrap_or_else(|| label.to_string()),
        _ => String::new(),
    };
    let label = sample.columns.get("labels").map(class).unwrap_or_default();
    // The largest column of floats is what the model looks at.
    let floats = sample.columns.values().filter(|field| field.as_floats().is_some());
    let main = floats.max_by_key(|field| field.values.len());
    Preview {
        index,
        label,
        frames: main.map(frames).unwrap_or_default(),
        columns: sample.columns.iter().map(|(name, field)| described(name, field)).collect(),
    }
}

/// `input_ids 12: 4 7 1 …`
fn described(name: &str, field: &Field) -> String {
    let values: Vec<String> = match &field.values {
        FieldValues::Integers(values) => values.iter().take(24).map(ToString::to_string).collect(),
        FieldValues::Floats(_) => Vec::new(),
    };
    let more = if field.values.len() > values.len() && !values.is_empty() { " …" } else { "" };
    let extents = crate::format::shape(&field.shape);
    let extents = if extents.is_empty() { String::new() } else { format!(" {extents}") };
    if values.is_empty() {
        format!("{name}{extents}")
    } else {
        format!("{name}{extents}: {}{more}", values.join(" "))
    }
}

/// Pictures of `[height, width]`, `[channels, height, width]` or `[frames, channels, height, width]`, each stretched
/// from the sample's smallest to its largest value. Of sounds, `[time, frequency]`, low frequencies lie below.
fn frames(field: &Field) -> Vec<Picture> {
    let Some(values) = field.as_floats() else { return Vec::new() };
    let (frames, channels, height, width) = match *field.shape.as_slice() {
        [height, width] => return vec![spectrum(values, height, width)],
        [channels, height, width] => (1, channels, height, width),
        [frames, channels, height, width] => (frames, channels, height, width),
        _ => return Vec::new(),
    };
    if width * height == 0 || channels == 0 || values.len() != frames * channels * height * width {
        return Vec::new();
    }
    let scale = scale(values);
    let plane = height * width;
    let of = |frame: usize| {
        let base = frame * channels * plane;
        let rgb = (0..plane).flat_map(|pixel| {
            [0, 1, 2].map(|color: usize| scale(values[base + color.min(channels - 1) * plane + pixel]))
        });
        Picture { size: [width, height], rgb: rgb.collect() }
    };
    (0..frames).map(of).collect()
}

fn spectrum(values: &[f32], times: usize, bins: usize) -> Picture {
    if times * bins == 0 || values.len() != times * bins {
        return Picture { size: [0, 0], rgb: Vec::new() };
    }
    let scale = scale(values);
    let mut rgb = Vec::with_capacity(3 * times * bins);
    for bin in (0..bins).rev() {
        for time in 0..times {
            rgb.extend([scale(values[time * bins + bin]); 3]);
        }
    }
    Picture { size: [times, bins], rgb }
}

/// From the smallest value to the largest, as 0 to 255.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
fn scale(values: &[f32]) -> impl Fn(f32) -> u8 {
    let (low, high) = values
        .iter()
        .filter(|value| value.is_finite())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
    let span = (high - low).max(f32::MIN_POSITIVE);
    move |value| ((value - low) / span * 255.0).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_pictures_and_sounds_become_frames() {
        let clip = Field::floats((0..24_u8).map(f32::from).collect(), &[2, 3, 2, 2]);
        let found = frames(&clip);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].rgb[..3], [0, 44, 88], "first pixel: one value of each channel's plane");
        let grey = Field::floats(vec![0.0, 1.0], &[1, 1, 2]);
        assert_eq!(frames(&grey)[0].rgb, [0, 0, 0, 255, 255, 255]);
        let sound = Field::floats(vec![0.0, 1.0, 0.0, 0.0], &[2, 2]);
        assert_eq!(
            frames(&sound)[0].rgb[..3],
            [255; 3],
            "the high bin of the first moment stands at the top left"
        );
        assert!(frames(&Field::floats(vec![1.0], &[1])).is_empty());
    }

    #[test]
    fn short_integers_are_told() {
        assert_eq!(described("input_ids", &Field::integers(vec![4, 7], &[2])), "input_ids 2: 4 7");
        assert_eq!(described("labels", &Field::integers(vec![4], &[])), "labels: 4");
    }
}
