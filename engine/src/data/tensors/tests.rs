use safetensors::tensor::{TensorView, serialize};

use super::*;
use crate::data::{DataSpec, FrameShuffle};

/// A tensor to write: its name, dtype, shape and bytes.
type Entry = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn labels(name: &'static str, values: &[i64]) -> Entry {
    (name, Dtype::I64, vec![values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn bytes(name: &'static str, shape: &[usize]) -> Entry {
    (name, Dtype::U8, shape.to_vec(), (0..elements(shape)).map(|value| (value % 256) as u8).collect())
}

fn floats(name: &'static str, shape: &[usize]) -> Entry {
    let values = (0..elements(shape)).flat_map(|value| (value as f32).to_le_bytes());
    (name, Dtype::F32, shape.to_vec(), values.collect())
}

fn open(entries: &[Entry], spec: TensorsSpec, view: View) -> Result<Box<dyn Source>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(folder.path().join("data.safetensors"), serialize(views, None).unwrap()).unwrap();
    DataSpec::Tensors(spec).open(folder.path(), &view)
}

fn spec() -> TensorsSpec {
    TensorsSpec { validation: 0.0, ..TensorsSpec::default() }
}

#[test]
fn bytes_are_scaled_then_normalised_by_channel() {
    let entries = [bytes("inputs", &[2, 3, 2, 2]), labels("labels", &[1, 0])];
    let source =
        open(&entries, TensorsSpec { mean: vec![0.0, 0.5, 1.0], std: vec![2.0], ..spec() }, View::default())
            .unwrap();
    assert_eq!(source.sample_shape(), [3, 2, 2]);
    assert_eq!(source.classes(), ["0", "1"]);
    assert_eq!(Split::ALL.map(|split| source.len(split)), [2, 0, 0]);
    let sample = source.sample(Split::Train, 1).unwrap();
    assert_eq!(sample.label, 0);
    for (position, pixel) in sample.pixels.iter().enumerate() {
        let expected = ((position + 12) as f32 / 255.0 - [0.0, 0.5, 1.0][position / 4]) / 2.0;
        assert!((pixel - expected).abs() < 1e-6);
    }
}

#[test]
fn floats_are_taken_as_they_are_and_test_samples_are_apart() {
    let entries = [
        floats("inputs", &[3, 4]),
        labels("labels", &[0, 0, 2]),
        floats("test_inputs", &[2, 4]),
        labels("test_labels", &[5, 1]),
    ];
    let source = open(&entries, spec(), View::default()).unwrap();
    assert_eq!(source.classes().len(), 6);
    assert_eq!(
        source.sample(Split::Train, 2).unwrap(),
        Sample { pixels: vec![8.0, 9.0, 10.0, 11.0], label: 2 }
    );
    assert_eq!(source.sample(Split::Test, 0).unwrap(), Sample { pixels: vec![0.0, 1.0, 2.0, 3.0], label: 5 });
    assert!(source.sample(Split::Test, 2).is_err());
}

#[test]
fn validation_is_drawn_by_index_so_that_more_samples_move_none() {
    let held = |count: usize| {
        let entries = [floats("inputs", &[count, 1]), labels("labels", &vec![0; count])];
        let source = open(&entries, TensorsSpec { validation: 0.2, ..spec() }, View::default()).unwrap();
        assert_eq!(source.len(Split::Train) + source.len(Split::Validation), count);
        let sample = |index| source.sample(Split::Validation, index).unwrap().pixels[0];
        (0..source.len(Split::Validation)).map(sample).collect::<Vec<_>>()
    };
    let (few, many) = (held(500), held(800));
    assert!((70..130).contains(&few.len()), "{}", few.len());
    assert_eq!(few, many[..few.len()]);
}

#[test]
fn views_sample_and_shuffle_clips() {
    let entries = [floats("inputs", &[2, 4, 1, 1, 1]), labels("labels", &[0, 1])];
    let coarse = open(&entries, spec(), View { frames: Some(2), ..View::default() }).unwrap();
    assert_eq!(coarse.sample_shape(), [2, 1, 1, 1]);
    assert_eq!(coarse.sample(Split::Train, 1).unwrap().pixels, [5.0, 7.0]);
    let shuffled = open(&entries, spec(), View { frames: None, shuffle: FrameShuffle::Frames }).unwrap();
    let mut bag = shuffled.sample(Split::Train, 1).unwrap().pixels;
    bag.sort_by(f32::total_cmp);
    assert_eq!(bag, [4.0, 5.0, 6.0, 7.0]);
    let still = [floats("inputs", &[2, 1, 1, 1]), labels("labels", &[0, 1])];
    assert!(open(&still, spec(), View { frames: Some(2), ..View::default() }).is_err());
}

#[test]
fn files_of_another_form_say_what_was_expected_and_found() {
    let check = |entries: &[Entry], spec: TensorsSpec, expected: &[&str]| {
        let message = open(entries, spec, View::default()).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    };
    let inputs = || bytes("inputs", &[2, 1, 2, 2]);
    let two = || labels("labels", &[0, 1]);
    check(&[], spec(), &["a tensor `inputs` of U8 or F32", "found no tensors"]);
    check(&[two(), bytes("images", &[2])], spec(), &["a tensor `inputs`", "found only images, labels"]);
    check(&[inputs()], spec(), &["a tensor `labels` of I64", "only inputs"]);
    check(&[labels("inputs", &[1, 2]), two()], spec(), &["`inputs` of U8 or F32", "found I64"]);
    check(&[inputs(), floats("labels", &[2])], spec(), &["`labels` of I64", "found F32", "data.safetensors"]);
    check(&[inputs(), labels("labels", &[0; 3])], spec(), &["shape [2]", "found shape [3]"]);
    check(&[inputs(), labels("labels", &[0, -1])], spec(), &["from 0", "the label -1"]);
    check(&[inputs(), two(), bytes("test_inputs", &[2, 1, 2, 2])], spec(), &["`test_labels`"]);
    let other = [inputs(), two(), bytes("test_inputs", &[1, 9]), labels("test_labels", &[0])];
    check(&other, spec(), &["samples [1, 2, 2] like `inputs`", "samples [9]"]);
    check(&[bytes("inputs", &[0, 4]), labels("labels", &[])], spec(), &["train split is empty"]);
    check(
        &[inputs(), two()],
        TensorsSpec { mean: vec![0.0; 3], ..spec() },
        &["`mean`", "each of the 1 channels"],
    );
    check(&[inputs(), two()], TensorsSpec { validation: 1.0, ..spec() }, &["`validation` is 1"]);
    check(&[inputs(), two()], TensorsSpec { classes: vec!["a".into()], ..spec() }, &["`classes`", "name 2"]);
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = || DataSpec::Tensors(spec()).open(folder.path(), &View::default()).unwrap_err().to_string();
    assert!(open().starts_with("could not be read"));
    std::fs::write(folder.path().join("data.safetensors"), [9; 20]).unwrap();
    let message = open();
    assert!(message.contains("undamaged .safetensors") && message.ends_with("data.safetensors"), "{message}");
}
