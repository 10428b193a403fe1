use super::*;
use crate::data::DataSpec;
use crate::data::idx::tests::bundled;

fn spec() -> MovingDigitsSpec {
    MovingDigitsSpec { folder: PathBuf::new(), ..Default::default() }
}

fn source(spec: &MovingDigitsSpec) -> MovingDigits {
    MovingDigits::new(spec, &bundled(), spec.frames).unwrap()
}

fn open(spec: MovingDigitsSpec, view: &View) -> Result<Box<dyn Source>, DataError> {
    DataSpec::MovingDigits(spec).open(&bundled(), view)
}

/// Centre of brightness of a frame without distractors or noise, pixels.
fn place(frame: &[f32], size: usize) -> [f32; 2] {
    let mass: f32 = frame.iter().sum();
    let mut sums = [0.0; 2];
    for (index, pixel) in frame.iter().enumerate() {
        sums[0] += pixel * (index % size) as f32;
        sums[1] += pixel * (index / size) as f32;
    }
    sums.map(|sum| sum / mass)
}

#[test]
fn names_describe_the_motion_that_is_seen() {
    let source = source(&MovingDigitsSpec { frames: 64, jitter_degrees: 5.0, ..spec() });
    for (label, name) in source.classes().iter().enumerate() {
        let sample = source.sample(Split::Train, label).unwrap();
        assert_eq!(sample.label(), Some(label as i64));
        assert_eq!(source.key(Split::Train, label, "labels"), sample.label());
        let at: Vec<[f32; 2]> = sample.pixels().chunks(1024).take(3).map(|frame| place(frame, 32)).collect();
        let step = |k: usize| [at[k + 1][0] - at[k][0], at[k + 1][1] - at[k][1]];
        let (first, second) = (step(0), step(1));
        let heading = match (first[0].abs() > first[1].abs(), first[0] + first[1] > 0.0) {
            (true, true) => "right",
            (true, false) => "left",
            (false, true) => "down",
            (false, false) => "up",
        };
        // With y pointing down a positive cross product turns clockwise.
        let turn = first[0] * second[1] - first[1] * second[0];
        let sense = if turn > 0.0 { "clockwise" } else { "anticlockwise" };
        assert_eq!(name, &format!("{heading} {sense}"));
    }
}

/// The control, exactly: the classes' bags of frames are the same bags, to the bit.
#[test]
fn classes_have_equal_bags_of_frames() {
    for (frames, revolutions) in [(16, 1), (4, 1), (12, 1), (8, 2), (16, 2), (24, 2)] {
        let source = source(&MovingDigitsSpec { frames, revolutions, distractors: 2, ..spec() });
        for index in 0..6 {
            let mut bags: Vec<Vec<Vec<u32>>> = Vec::new();
            for label in 0..CLASSES {
                let clip = Clip { label, ..source.clip(Split::Train, index) };
                let pixels = source.render(&clip, Split::Train, index);
                let mut bag: Vec<Vec<u32>> = pixels
                    .chunks(1024)
                    .map(|frame| frame.iter().map(|pixel| pixel.to_bits()).collect())
                    .collect();
                assert_ne!(bag[0], bag[1]);
                bag.sort();
                bags.push(bag);
            }
            assert!(bags.iter().all(|bag| *bag == bags[0]), "{frames} frames, {revolutions} revolutions");
        }
    }
}

/// Share of correct answers of the nearest class mean, fitted on 2,000 clips, on 1,000 others.
fn nearest_mean_accuracy(source: &MovingDigits, features: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
    let mut means = vec![vec![0.0f32; 0]; CLASSES];
    let (fitted, tested) = (2000, 1000);
    for index in 0..fitted {
        let sample = source.sample(Split::Train, index).unwrap();
        let seen = features(sample.pixels());
        let mean = &mut means[sample.label().unwrap() as usize];
        mean.resize(seen.len(), 0.0);
        for (sum, value) in mean.iter_mut().zip(&seen) {
            *sum += value / (fitted / CLASSES) as f32;
        }
    }
    let distance =
        |mean: &[f32], seen: &[f32]| mean.iter().zip(seen).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let correct = (fitted..fitted + tested).filter(|index| {
        let sample = source.sample(Split::Train, *index).unwrap();
        let seen = features(sample.pixels());
        let distances: Vec<f32> = means.iter().map(|mean| distance(mean, &seen)).collect();
        let nearest = (0..CLASSES).min_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        nearest == Some(sample.label().unwrap() as usize)
    });
    correct.count() as f64 / tested as f64
}

/// The control, statistically: what a classifier gets out of each part of a clip.
#[test]
fn only_the_order_of_frames_tells_the_class() {
    let chance: f64 = 1.0 / CLASSES as f64;
    let error = (chance * (1.0 - chance) / 1000.0).sqrt();
    for noise in [0.0, 0.1] {
        let source = source(&MovingDigitsSpec { noise, ..spec() });
        let average = nearest_mean_accuracy(&source, |clip| {
            clip[..1024]
                .iter()
                .enumerate()
                .map(|(at, _)| clip[at..].iter().step_by(1024).sum::<f32>() / 16.0)
                .collect()
        });
        let first = nearest_mean_accuracy(&source, |clip| clip[..1024].to_vec());
        let ordered = nearest_mean_accuracy(&source, |clip| {
            let at: Vec<[f32; 2]> = clip.chunks(1024).map(|frame| place(frame, 32)).collect();
            at.windows(2).flat_map(|pair| [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]]).collect()
        });
        println!("noise {noise}: frame average {average}, first frame {first}, steps in order {ordered}");
        assert!((average - chance).abs() <= 3.0 * error, "frame average {average}");
        assert!(first > chance + 5.0 * error && first < 0.5 + 5.0 * error, "first frame {first}");
        if noise == 0.0 {
            assert!(ordered > 0.95, "steps in order {ordered}");
        }
    }
}

#[test]
fn coarser_views_show_the_same_clip() {
    let spec = MovingDigitsSpec { noise: 0.1, distractors: 1, ..spec() };
    let fine = open(spec.clone(), &View::default()).unwrap();
    let coarse = open(spec, &View { frames: Some(8), ..View::default() }).unwrap();
    assert_eq!(coarse.sample_shape(), [8, 1, 32, 32]);
    for split in Split::ALL {
        let (fine, coarse) = (fine.sample(split, 13).unwrap(), coarse.sample(split, 13).unwrap());
        assert_eq!(fine.label(), coarse.label());
        for (even, frame) in fine.pixels().chunks(1024).step_by(2).zip(coarse.pixels().chunks(1024)) {
            let difference = even.iter().zip(frame).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-4, "{difference}");
        }
    }
}

#[test]
fn clips_are_deterministic_and_splits_differ() {
    let open =
        |seed| open(MovingDigitsSpec { seed, channels: 3, noise: 0.2, ..spec() }, &View::default()).unwrap();
    let source = open(1);
    assert_eq!(Split::ALL.map(|split| source.len(split)), [4000, 1000, 5000]);
    let sample = source.sample(Split::Train, 5).unwrap();
    assert_eq!(sample.pixels().len(), 16 * 3 * 1024);
    assert_eq!(sample.pixels()[..1024], sample.pixels()[2048..3072]);
    assert_eq!(sample, open(1).sample(Split::Train, 5).unwrap());
    assert_ne!(sample, open(2).sample(Split::Train, 5).unwrap());
    assert_ne!(sample, source.sample(Split::Validation, 5).unwrap());
    assert!(source.sample(Split::Validation, 1000).is_err());
}

#[test]
fn the_digit_stays_on_the_canvas() {
    let source = source(&spec());
    for index in 0..200 {
        let sample = source.sample(Split::Test, index).unwrap();
        let masses: Vec<f32> = sample.pixels().chunks(1024).map(|frame| frame.iter().sum()).collect();
        assert!(masses.iter().all(|mass| (mass - masses[0]).abs() < 1e-2 * masses[0]), "{masses:?}");
    }
}

#[test]
fn settings_that_would_leak_the_class_are_refused() {
    let view = |frames| View { frames: Some(frames), ..View::default() };
    for (spec, view, expected) in [
        (MovingDigitsSpec { frames: 6, ..spec() }, View::default(), "`frames` is 6"),
        (MovingDigitsSpec { revolutions: 2, ..spec() }, view(4), "`frames` is 4"),
        (spec(), view(10), "`frames` is 10"),
        (MovingDigitsSpec { smallest_radius: 1.0, ..spec() }, View::default(), "`smallest_radius` is 1"),
        (MovingDigitsSpec { jitter_degrees: 45.0, ..spec() }, View::default(), "`jitter_degrees` is 45"),
        (MovingDigitsSpec { revolutions: 3, ..spec() }, View::default(), "`revolutions` is 3"),
        (MovingDigitsSpec { size: 16, ..spec() }, View::default(), "`size` is 16"),
        (MovingDigitsSpec { noise: f32::NAN, ..spec() }, View::default(), "`noise` is NaN"),
        (MovingDigitsSpec { train: 0, ..spec() }, View::default(), "train split is empty"),
    ] {
        let message = open(spec, &view).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
