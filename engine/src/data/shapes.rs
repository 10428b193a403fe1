//! Drawn shapes and a phrase that names one of them, computed on the fly: what a text-prompted segmenter learns from.

mod drawing;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::drawing::{COLOURS, Form, Object};
use super::field::{MASKS, PIXELS};
use super::{Column, DataError, Field, Sample, SampleError, Source, Split, View};
use crate::tensor::{Draws, Stream};

/// Pictures of coloured shapes (squares, rings, crosses), with a phrase (`red square`) and the mask of the shape that it names.
///
/// `pixel_values` `[3, size, size]`, about −1…1. `input_ids` `[4]`: 0 begins a phrase, 1 to 4 are colours, 5 to 7 shapes,
/// and 8 ends it (`eos_token_id: 8`). `masks` `[size, size]`: 1 on the named shape, 0 elsewhere. One other shape has its
/// form; the third another form and, with `alike`, its colour, so that neither word suffices. None overlaps. `phrase` tells phrases apart by one number,
/// and `domain` the two kinds of pictures, every second one each: 0 is bright colours on a dark ground, 1 dull ones under
/// uneven light and speckle, as an ultrasound has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapesSpec {
    /// Everything random is drawn from (this, split, index).
    pub seed: u64,
    /// Rows (and columns) of a picture, pixels.
    pub size: usize,
    /// Whether another shape has the colour of the named one, so that its form has to be told as well.
    pub alike: bool,
    /// Pictures to train on, of both domains.
    pub train: usize,
    /// Pictures for validation.
    pub validation: usize,
    /// Pictures for the test.
    pub test: usize,
}

impl Default for ShapesSpec {
    fn default() -> Self {
        Self { seed: 0, size: 32, alike: false, train: 4000, validation: 400, test: 1000 }
    }
}

const IDS: &str = "input_ids";
const PHRASE: &str = "phrase";
const DOMAIN: &str = "domain";
/// Begins a phrase; colours and shapes follow, and then what ends it.
const START: i64 = 0;
const FIRST_COLOUR: i64 = 1;
const FIRST_FORM: i64 = 5;
const END: i64 = 8;
/// Tokens of a phrase.
const LENGTH: usize = 4;
/// Pictures of two kinds.
const DOMAINS: usize = 2;
/// Sides on which shapes are still told apart, and are still quickly drawn.
const SIDES: std::ops::RangeInclusive<usize> = 24..=1024;

pub(super) fn open(spec: &ShapesSpec, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
    if !SIDES.contains(&spec.size) {
        let rule = format!("it must be from {} to {}", SIDES.start(), SIDES.end());
        return Err(DataError::setting("size", spec.size, rule));
    }
    if spec.train == 0 {
        return Err(DataError::EmptyTrain { why: "`train` is 0; set the number of pictures".to_owned() });
    }
    Ok(Box::new(Shapes { streams: Split::streams(spec.seed, "data.shapes"), spec: spec.clone() }))
}

struct Shapes {
    spec: ShapesSpec,
    streams: [Stream; 3],
}

/// What a phrase names: a colour's and a form's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phrase {
    colour: usize,
    form: usize,
}

#[expect(clippy::cast_possible_wrap, reason = "numbers below 12")]
impl Phrase {
    fn draw(draws: &mut Draws) -> Self {
        Self { colour: draws.below(COLOURS.len()), form: draws.below(Form::ALL.len()) }
    }

    const fn number(self) -> i64 {
        (self.colour * Form::ALL.len() + self.form) as i64
    }

    fn tokens(self) -> Vec<i64> {
        vec![START, FIRST_COLOUR + self.colour as i64, FIRST_FORM + self.form as i64, END]
    }
}

/// Another number below `count`.
fn other(number: usize, count: usize, draws: &mut Draws) -> usize {
    (number + 1 + draws.below(count - 1)) % count
}

impl Shapes {
    /// The draws of a sample, behind those of its phrase.
    fn phrase(&self, split: Split, index: usize) -> (Phrase, Draws) {
        let mut draws = self.streams[split.position()].at(index as u64);
        (Phrase::draw(&mut draws), draws)
    }

    /// The named shape first, then one of another form, then one of its form.
    fn objects(&self, phrase: Phrase, draws: &mut Draws) -> Vec<Object> {
        let Phrase { colour, form } = phrase;
        let (forms, colours) = (Form::ALL.len(), COLOURS.len());
        let second = if self.spec.alike { colour } else { other(colour, colours, draws) };
        let named =
            [(colour, form), (second, other(form, forms, draws)), (other(colour, colours, draws), form)];
        Object::place(self.spec.size, &named, draws)
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shapes").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Source for Shapes {
    fn len(&self, split: Split) -> usize {
        [self.spec.train, self.spec.validation, self.spec.test][split.position()]
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn sample_shape(&self) -> Vec<usize> {
        vec![3, self.spec.size, self.spec.size]
    }

    fn columns(&self) -> Vec<Column> {
        let size = self.spec.size;
        vec![
            Column::floats(PIXELS, &self.sample_shape()),
            Column::integers(IDS, &[LENGTH]),
            Column::floats(MASKS, &[size, size]),
            Column::integers(PHRASE, &[]),
            Column::integers(DOMAIN, &[]),
        ]
    }

    #[expect(clippy::cast_possible_wrap, reason = "0 or 1")]
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        if index >= self.len(split) {
            return None;
        }
        match column {
            PHRASE => Some(self.phrase(split, index).0.number()),
            DOMAIN => Some((index % DOMAINS) as i64),
            _ => None,
        }
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        if column == DOMAIN {
            return Some(format!("one of {DOMAINS} in turn"));
        }
        // How many pictures there are says nothing of each.
        Some(format!("shapes {column} {:?}", (self.spec.seed, self.spec.size, self.spec.alike)))
    }

    #[expect(clippy::cast_possible_wrap, reason = "0 or 1")]
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let (phrase, mut draws) = self.phrase(split, index);
        let objects = self.objects(phrase, &mut draws);
        let domain = index % DOMAINS;
        let size = self.spec.size;
        let pixels = drawing::picture(&objects, size, domain == 1, &mut draws);
        let masks = drawing::mask(&objects[0], size);
        let columns = [
            (PIXELS, Field::floats(pixels, &self.sample_shape())),
            (IDS, Field::integers(phrase.tokens(), &[LENGTH])),
            (MASKS, Field::floats(masks, &[size, size])),
            (PHRASE, Field::integers(vec![phrase.number()], &[])),
            (DOMAIN, Field::integers(vec![domain as i64], &[])),
        ];
        Ok(Sample { columns: columns.into_iter().map(|(name, field)| (name.to_owned(), field)).collect() })
    }
}

#[cfg(test)]
mod tests;
