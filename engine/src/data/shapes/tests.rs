use std::path::Path;

use super::*;
use crate::data::DataSpec;

fn source(spec: ShapesSpec) -> Box<dyn Source> {
    DataSpec::Shapes(spec).open(Path::new("."), &View::default()).unwrap()
}

fn floats<'a>(sample: &'a Sample, column: &str) -> &'a [f32] {
    sample.columns[column].as_floats().unwrap()
}

fn integers<'a>(sample: &'a Sample, column: &str) -> &'a [i64] {
    sample.columns[column].as_integers().unwrap()
}

#[test]
fn a_sample_depends_on_seed_split_and_index_only() {
    let (one, more) = (source(ShapesSpec::default()), source(ShapesSpec { train: 9, ..Default::default() }));
    let sample = one.sample(Split::Train, 7).unwrap();
    assert_eq!(sample, more.sample(Split::Train, 7).unwrap());
    assert_ne!(sample, one.sample(Split::Test, 7).unwrap());
    assert_ne!(sample, source(ShapesSpec { seed: 1, ..Default::default() }).sample(Split::Train, 7).unwrap());
    assert!(more.sample(Split::Train, 9).is_err());
    for column in [PHRASE, DOMAIN] {
        assert_eq!(one.key(Split::Train, 7, column), Some(integers(&sample, column)[0]));
    }
}

/// In bright pictures: where the mask is, the colour is the phrase's, and elsewhere it is only where another is alike.
#[test]
fn the_mask_is_the_shape_that_the_phrase_names() {
    for alike in [false, true] {
        check_masks(alike);
    }
}

fn check_masks(alike: bool) {
    let source = source(ShapesSpec { size: 32, alike, ..Default::default() });
    for index in (0..40).step_by(2) {
        let sample = source.sample(Split::Train, index).unwrap();
        let (mask, pixels) = (floats(&sample, MASKS), floats(&sample, PIXELS));
        let covered = mask.iter().filter(|value| **value > 0.5).count();
        assert!((16..200).contains(&covered), "{covered}");
        let ids = integers(&sample, IDS);
        assert_eq!((ids[0], ids[3]), (START, END));
        let colour = COLOURS[usize::try_from(ids[1] - FIRST_COLOUR).unwrap()];
        for (place, _) in mask.iter().enumerate().filter(|(_, value)| **value > 0.5) {
            for channel in 0..3 {
                let found = pixels[channel * 1024 + place].midpoint(1.0);
                assert!((found - colour[channel]).abs() < 0.2, "{found} {colour:?}");
            }
        }
        let of_colour = (0..1024).filter(|place| {
            (0..3).all(|channel| (pixels[channel * 1024 + place].midpoint(1.0) - colour[channel]).abs() < 0.2)
        });
        let elsewhere = of_colour.count() - covered;
        assert_eq!(elsewhere > 10, alike, "{elsewhere}");
    }
}

#[test]
fn domains_take_turns_and_can_be_chosen() {
    let spec = ShapesSpec { train: 10, validation: 3, test: 4, ..Default::default() };
    let only = View { only: vec![("domain".to_owned(), 1)], ..View::default() };
    let dull = DataSpec::Shapes(spec.clone()).open(Path::new("."), &only).unwrap();
    assert_eq!(Split::ALL.map(|split| dull.len(split)), [5, 1, 2]);
    let all = source(spec);
    assert_eq!(dull.sample(Split::Train, 2).unwrap(), all.sample(Split::Train, 5).unwrap());
    let spread = |index: usize| {
        let sample = all.sample(Split::Train, index).unwrap();
        let pixels = floats(&sample, PIXELS);
        let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
        let largest = pixels.iter().fold(0.0f32, |most, pixel| most.max((pixel - mean).abs()));
        (mean, largest)
    };
    assert!(spread(1).0 > spread(0).0 + 0.2, "the ground is brighter");
}

#[test]
fn wrong_settings_are_named() {
    let message = |spec: ShapesSpec| {
        DataSpec::Shapes(spec).open(Path::new("."), &View::default()).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        message(ShapesSpec { size: 8, ..Default::default() }),
        "`size` is 8; it must be from 24 to 1024"
    );
    assert!(message(ShapesSpec { train: 0, ..Default::default() }).contains("`train` is 0"));
}
