use std::path::Path;

use super::*;
use crate::data::DataSpec;

/// 64 frames of 32 bands.
fn spec() -> SoundsSpec {
    let log_mel = LogMelSpec { mel_bins: 32, max_length: 64, ..Default::default() };
    SoundsSpec { seconds: 0.66, log_mel, train: 60, validation: 60, test: 60, ..Default::default() }
}

fn open(spec: SoundsSpec) -> Result<Box<dyn Source>, DataError> {
    DataSpec::Sounds(spec).open(Path::new(""), &View::default())
}

fn values(sample: &Sample) -> &[f32] {
    sample.columns["input_values"].as_floats().unwrap()
}

#[test]
fn samples_are_functions_of_spec_split_and_index() {
    let source = open(spec()).unwrap();
    assert_eq!(source.sample_shape(), [64, 32]);
    let sample = |spec: SoundsSpec, split, index| open(spec).unwrap().sample(split, index).unwrap();
    let first = source.sample(Split::Train, 7).unwrap();
    assert_eq!(first.columns["input_values"].shape, [64, 32]);
    assert_eq!(first, sample(SoundsSpec { train: 8, validation: 0, ..spec() }, Split::Train, 7));
    // Of the same class, all of them.
    for other in [
        sample(spec(), Split::Train, 13),
        sample(spec(), Split::Test, 7),
        sample(SoundsSpec { seed: 1, ..spec() }, Split::Train, 7),
    ] {
        assert_eq!(other.label(), first.label());
        assert_ne!(values(&other), values(&first));
    }
    assert!(values(&first).iter().all(|value| value.is_finite()));
    assert!(source.sample(Split::Test, 60).is_err());
}

#[test]
fn classes_are_equally_frequent() {
    let source = open(spec()).unwrap();
    for split in Split::ALL {
        let mut counts = vec![0; source.classes().len()];
        for index in 0..source.len(split) {
            let label = source.key(split, index, "labels").unwrap();
            counts[label as usize] += 1;
            assert!(index > 6 || source.sample(split, index).unwrap().label() == Some(label));
        }
        assert_eq!(counts, [10; 6]);
        assert_eq!(source.key(split, 60, "labels"), None);
    }
}

/// Loudest bands of the first and the last frame in which the event is heard.
fn ends(values: &[f32]) -> [usize; 2] {
    let loudest = |frame: &&[f32]| frame.iter().copied().fold(f32::MIN, f32::max);
    let frames: Vec<&[f32]> = values.chunks(32).collect();
    let most = frames.iter().map(&loudest).fold(f32::MIN, f32::max);
    // A normalised value is a ninth of a logarithm.
    let heard: Vec<&[f32]> = frames.into_iter().filter(|frame| loudest(frame) > most - 0.2).collect();
    [heard[0], heard[heard.len() - 1]]
        .map(|frame| (0..32).max_by(|a, b| frame[*a].total_cmp(&frame[*b])).unwrap())
}

#[test]
fn names_describe_what_is_heard() {
    let source = open(SoundsSpec { lowest_snr_db: 60.0, highest_snr_db: 60.0, ..spec() }).unwrap();
    for index in 0..source.len(Split::Train) {
        let sample = source.sample(Split::Train, index).unwrap();
        let [first, last] = ends(values(&sample));
        match source.classes()[sample.label().unwrap() as usize].as_str() {
            "rising chirp" => assert!(last > first, "{index}: {first} {last}"),
            "falling chirp" => assert!(last < first, "{index}: {first} {last}"),
            "tone" => assert!(last.abs_diff(first) <= 1, "{index}: {first} {last}"),
            _ => {}
        }
    }
}

/// Share of test clips that are nearest to the mean training clip of their class, in some features.
fn nearest_mean(spec: SoundsSpec, classes: &[usize], features: fn(&[f32]) -> Vec<f32>) -> f32 {
    let source = open(SoundsSpec { train: 360, test: 180, ..spec }).unwrap();
    let read = |split, index| features(values(&source.sample(split, index).unwrap()));
    let members = |split, class: usize| (class..source.len(split)).step_by(6);
    let means: Vec<Vec<f32>> = classes
        .iter()
        .map(|class| {
            let all: Vec<Vec<f32>> = members(Split::Train, *class).map(|i| read(Split::Train, i)).collect();
            (0..all[0].len()).map(|k| all.iter().map(|one| one[k]).sum::<f32>() / all.len() as f32).collect()
        })
        .collect();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let (mut right, mut all) = (0, 0);
    for (place, class) in classes.iter().enumerate() {
        for index in members(Split::Test, *class) {
            let own = read(Split::Test, index);
            let nearest = (0..means.len())
                .min_by(|a, b| distance(&own, &means[*a]).total_cmp(&distance(&own, &means[*b])));
            right += usize::from(nearest == Some(place));
            all += 1;
        }
    }
    right as f32 / all as f32
}

#[test]
fn classes_are_neither_hidden_nor_plain() {
    // Without the clip's own level.
    let centred = |values: &[f32]| -> Vec<f32> {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter().map(|value| value - mean).collect()
    };
    let share = nearest_mean(spec(), &[0, 1, 2, 3, 4, 5], centred);
    assert!((0.35..0.75).contains(&share), "{share}");
}

#[test]
fn chirps_differ_in_their_order_only() {
    let clear = || SoundsSpec { lowest_snr_db: 20.0, ..spec() };
    // Means over time, and how each half differs from the other.
    let bag = |values: &[f32]| -> Vec<f32> {
        (0..32).map(|band| values.iter().skip(band).step_by(32).sum::<f32>()).collect()
    };
    let halves = |values: &[f32]| -> Vec<f32> {
        let (early, late) = values.split_at(values.len() / 2);
        (0..32)
            .map(|band| {
                let sum = |half: &[f32]| half.iter().skip(band).step_by(32).sum::<f32>();
                sum(late) - sum(early)
            })
            .collect()
    };
    let (blind, seeing) = (nearest_mean(clear(), &[1, 2], bag), nearest_mean(clear(), &[1, 2], halves));
    assert!((blind - 0.5).abs() < 0.15, "{blind}");
    assert!(seeing > 0.8, "{seeing}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let rate = |rate_hz| LogMelSpec { rate_hz, ..spec().log_mel };
    for (spec, field) in [
        (SoundsSpec { seconds: 0.1, ..spec() }, "`seconds` is 0.1"),
        (SoundsSpec { seconds: f32::NAN, ..spec() }, "`seconds` is NaN"),
        (SoundsSpec { seconds: f32::INFINITY, ..spec() }, "`seconds` is inf"),
        (SoundsSpec { seconds: 2.0, ..spec() }, "such a clip has 198 frames"),
        (SoundsSpec { log_mel: rate(8000), ..spec() }, "`rate_hz` is 8000"),
        (SoundsSpec { log_mel: rate(10), ..spec() }, "`rate_hz` is 10"),
        (SoundsSpec { lowest_snr_db: f32::NAN, ..spec() }, "`lowest_snr_db` is NaN"),
        (SoundsSpec { lowest_snr_db: 30.0, ..spec() }, "`highest_snr_db` is 20"),
        (SoundsSpec { train: 0, ..spec() }, "train split is empty"),
    ] {
        let message = open(spec).unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
    let view = View { frames: Some(8), ..View::default() };
    assert!(DataSpec::Sounds(spec()).open(Path::new(""), &view).is_err());
}

#[test]
fn what_is_cached_is_keyed_by_what_it_depends_on() {
    let print = |spec: SoundsSpec, column| open(spec).unwrap().fingerprint(Split::Train, column).unwrap();
    let own = print(spec(), "input_values");
    assert_eq!(own, print(SoundsSpec { train: 12, test: 0, ..spec() }, "input_values"));
    let changed = LogMelSpec { mean: 0.0, ..spec().log_mel };
    for other in [
        SoundsSpec { seed: 9, ..spec() },
        SoundsSpec { seconds: 0.5, ..spec() },
        SoundsSpec { highest_snr_db: 21.0, ..spec() },
        SoundsSpec { log_mel: changed, ..spec() },
    ] {
        assert_ne!(own, print(other.clone(), "input_values"), "{other:?}");
        assert_eq!(print(spec(), "labels"), print(other, "labels"));
    }
}
