use safetensors::tensor::{Dtype, TensorView, serialize};

use super::*;
use crate::data::{Batch, DataSpec, FrameShuffle, batches};

/// A tensor to write: its name, dtype, shape and bytes.
type Entry = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn labels(name: &'static str, values: &[i64]) -> Entry {
    (name, Dtype::I64, vec![values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Integers of any shape.
fn integers(name: &'static str, shape: &[usize], values: &[i64]) -> Entry {
    (name, Dtype::I64, shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn bytes(name: &'static str, shape: &[usize]) -> Entry {
    (name, Dtype::U8, shape.to_vec(), (0..elements(shape)).map(|value| (value % 256) as u8).collect())
}

fn floats(name: &'static str, shape: &[usize]) -> Entry {
    let values = (0..elements(shape)).flat_map(|value| (value as f32).to_le_bytes());
    (name, Dtype::F32, shape.to_vec(), values.collect())
}

fn open(entries: &[Entry], spec: TensorsSpec, view: &View) -> Result<Box<dyn Source>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(folder.path().join("data.safetensors"), serialize(views, None).unwrap()).unwrap();
    DataSpec::Tensors(spec).open(folder.path(), view)
}

fn spec() -> TensorsSpec {
    TensorsSpec { validation: 0.0, ..TensorsSpec::default() }
}

#[test]
fn bytes_are_scaled_then_normalised_by_channel() {
    let entries = [bytes("inputs", &[2, 3, 2, 2]), labels("labels", &[1, 0])];
    let source =
        open(&entries, TensorsSpec { mean: vec![0.0, 0.5, 1.0], std: vec![2.0], ..spec() }, &View::default())
            .unwrap();
    assert_eq!(source.sample_shape(), [3, 2, 2]);
    assert_eq!(source.classes(), ["0", "1"]);
    assert_eq!(Split::ALL.map(|split| source.len(split)), [2, 0, 0]);
    let sample = source.sample(Split::Train, 1).unwrap();
    assert_eq!(sample.label(), Some(0));
    for (position, pixel) in sample.pixels().iter().enumerate() {
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
    let source = open(&entries, spec(), &View::default()).unwrap();
    assert_eq!(source.classes().len(), 6);
    assert_eq!(
        source.sample(Split::Train, 2).unwrap(),
        Sample::classified(vec![8.0, 9.0, 10.0, 11.0], &[4], 2)
    );
    assert_eq!(source.sample(Split::Test, 0).unwrap(), Sample::classified(vec![0.0, 1.0, 2.0, 3.0], &[4], 5));
    assert_eq!(source.columns(), [Column::floats("pixel_values", &[4]), Column::integers("labels", &[])]);
    assert_eq!(source.key(Split::Test, 0, "labels"), Some(5));
    assert!(source.sample(Split::Test, 2).is_err());
}

#[test]
fn validation_is_drawn_by_index_so_that_more_samples_move_none() {
    let held = |count: usize| {
        let entries = [floats("inputs", &[count, 1]), labels("labels", &vec![0; count])];
        let source = open(&entries, TensorsSpec { validation: 0.2, ..spec() }, &View::default()).unwrap();
        assert_eq!(source.len(Split::Train) + source.len(Split::Validation), count);
        let sample = |index| source.sample(Split::Validation, index).unwrap().pixels()[0];
        (0..source.len(Split::Validation)).map(sample).collect::<Vec<_>>()
    };
    let (few, many) = (held(500), held(800));
    assert!((70..130).contains(&few.len()), "{}", few.len());
    assert_eq!(few, many[..few.len()]);
}

#[test]
fn views_sample_and_shuffle_clips() {
    let entries = [floats("inputs", &[2, 4, 1, 1, 1]), labels("labels", &[0, 1])];
    let coarse = open(&entries, spec(), &View { frames: Some(2), ..View::default() }).unwrap();
    assert_eq!(coarse.sample_shape(), [2, 1, 1, 1]);
    assert_eq!(coarse.sample(Split::Train, 1).unwrap().pixels(), [5.0, 7.0]);
    let shuffled =
        open(&entries, spec(), &View { shuffle: FrameShuffle::Frames, ..View::default() }).unwrap();
    let mut bag = shuffled.sample(Split::Train, 1).unwrap().pixels().to_vec();
    bag.sort_by(f32::total_cmp);
    assert_eq!(bag, [4.0, 5.0, 6.0, 7.0]);
    let still = [floats("inputs", &[2, 1, 1, 1]), labels("labels", &[0, 1])];
    assert!(open(&still, spec(), &View { frames: Some(2), ..View::default() }).is_err());
}

#[test]
fn files_of_another_form_say_what_was_expected_and_found() {
    let check = |entries: &[Entry], spec: TensorsSpec, expected: &[&str]| {
        let message = open(entries, spec, &View::default()).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    };
    let inputs = || bytes("inputs", &[2, 1, 2, 2]);
    let two = || labels("labels", &[0, 1]);
    check(&[], spec(), &["a tensor `inputs` of U8 or F32 or I64", "found no tensors"]);
    check(&[two(), bytes("images", &[2])], spec(), &["a tensor `inputs`", "found only images, labels"]);
    check(&[inputs()], spec(), &["a tensor `labels` of I64", "only inputs"]);
    let halves = ("inputs", Dtype::F16, vec![2], vec![0; 4]);
    check(&[halves, two()], spec(), &["`inputs` of U8 or F32", "found F16"]);
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
fn tokens_and_further_tensors_are_columns_of_their_own() {
    let entries = [
        integers("inputs", &[2, 3], &[5, 6, 7, 8, 9, 10]),
        labels("labels", &[0, 1]),
        bytes("mask", &[2, 3]),
        floats("weight", &[2]),
        labels("task", &[4, 3]),
        integers("test_inputs", &[1, 3], &[1, 2, 3]),
        labels("test_labels", &[1]),
        bytes("test_mask", &[1, 3]),
        floats("test_weight", &[1]),
        bytes("test_task", &[1]),
        floats("class_means", &[7]),
    ];
    let source = open(&entries, spec(), &View::default()).unwrap();
    assert_eq!(
        source.columns(),
        [
            Column::integers("input_ids", &[3]),
            Column::integers("labels", &[]),
            Column::integers("mask", &[3]),
            Column::integers("task", &[]),
            Column::floats("weight", &[]),
        ]
    );
    assert_eq!(source.sample_shape(), [3]);
    let batch = Batch::read(source.as_ref(), Split::Train, &[1, 0]).unwrap();
    assert_eq!(batch.columns["input_ids"], Field::integers(vec![8, 9, 10, 5, 6, 7], &[2, 3]));
    assert_eq!(batch.columns["mask"], Field::integers(vec![3, 4, 5, 0, 1, 2], &[2, 3]));
    assert_eq!(batch.columns["weight"], Field::floats(vec![1.0, 0.0], &[2]));
    assert_eq!(batch.columns["task"], Field::integers(vec![3, 4], &[2]));
    assert_eq!(batch.labels(), [1, 0]);
    assert_eq!(source.key(Split::Train, 1, "task"), Some(3));
    assert_eq!(source.key(Split::Test, 0, "task"), Some(0));
    for (index, column) in [(0, "mask"), (0, "weight"), (0, "none"), (2, "task")] {
        assert_eq!(source.key(Split::Train, index, column), None, "{column}");
    }
    let view = View { only: vec![("task".into(), 3), ("labels".into(), 1)], ..View::default() };
    let chosen = open(&entries, spec(), &view).unwrap();
    assert_eq!(Split::ALL.map(|split| chosen.len(split)), [1, 0, 0]);
    assert_eq!(chosen.sample(Split::Train, 0).unwrap(), source.sample(Split::Train, 1).unwrap());
}

#[test]
fn pixels_beside_tokens_are_pictures() {
    let entries =
        [integers("inputs", &[1, 2], &[1, 2]), labels("labels", &[0]), bytes("pixel_values", &[1, 3, 1, 2])];
    let source =
        open(&entries, TensorsSpec { mean: vec![0.0, 1.0, 2.0], ..spec() }, &View::default()).unwrap();
    assert_eq!(source.sample_shape(), [3, 1, 2]);
    let pixels = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|value| value / 255.0);
    let sample = source.sample(Split::Train, 0).unwrap();
    for (position, (found, stored)) in sample.pixels().iter().zip(pixels).enumerate() {
        assert!((found - (stored - (position / 2) as f32)).abs() < 1e-6);
    }
    assert_eq!(sample.columns["input_ids"], Field::integers(vec![1, 2], &[2]));
}

/// Four token sequences of lengths 2, 1, 2, 3, with 1, 0, 1, 2 boxes.
fn ragged() -> Vec<Entry> {
    vec![
        labels("inputs", &[10, 11, 20, 30, 31, 40, 41, 42]),
        integers("inputs.extents", &[4, 1], &[2, 1, 2, 3]),
        labels("labels", &[0, 1, 0, 1]),
        floats("boxes", &[16]),
        integers("boxes.extents", &[4, 2], &[1, 4, 0, 4, 1, 4, 2, 4]),
        floats("age", &[4]),
    ]
}

#[test]
fn ragged_columns_batch_by_equal_extents() {
    let source = open(&ragged(), spec(), &View::default()).unwrap();
    assert_eq!(source.sample_shape(), [3], "the longest");
    let column =
        |name: &str, integers, extents: &[_]| Column { name: name.into(), integers, extents: extents.into() };
    let columns = source.columns();
    assert_eq!(columns[0], column("input_ids", true, &[None]));
    assert_eq!(columns[3], column("boxes", false, &[None, Some(4)]));
    let sample = source.sample(Split::Train, 3).unwrap();
    assert_eq!(sample.columns["input_ids"], Field::integers(vec![40, 41, 42], &[3]));
    let boxes: Vec<f32> = (8..16).map(|value| value as f32).collect();
    assert_eq!(sample.columns["boxes"], Field::floats(boxes, &[2, 4]));
    let none = source.sample(Split::Train, 1).unwrap();
    assert_eq!(none.columns["boxes"], Field::floats(Vec::new(), &[0, 4]));

    let batches = batches(source.as_ref(), Split::Train, &[0, 1, 2, 3], 2);
    assert_eq!(batches, [vec![0, 2], vec![1], vec![3]]);
    let read = |indices: &[usize]| Batch::read(source.as_ref(), Split::Train, indices);
    let first = read(&batches[0]).unwrap();
    assert_eq!(first.columns["input_ids"], Field::integers(vec![10, 11, 30, 31], &[2, 2]));
    assert_eq!(first.columns["boxes"].shape, [2, 1, 4]);
    assert_eq!(read(&batches[1]).unwrap().columns["boxes"], Field::floats(Vec::new(), &[1, 0, 4]));
    let message = read(&[0, 3]).unwrap_err().to_string();
    assert!(message.contains("`boxes` of sample 3") && message.contains("floats [1, 4] as in"), "{message}");
}

#[test]
fn ragged_clips_take_the_frames_of_a_view() {
    let entries = [
        floats("inputs", &[12]),
        integers("inputs.extents", &[2, 4], &[4, 1, 1, 2, 2, 1, 1, 2]),
        labels("labels", &[0, 1]),
    ];
    let source = open(&entries, spec(), &View::default()).unwrap();
    assert_eq!(source.sample_shape(), [4, 1, 1, 2]);
    assert_ne!(source.group(Split::Train, 0), source.group(Split::Train, 1));
    let shuffled = View { shuffle: FrameShuffle::Frames, ..View::default() };
    let bag = open(&entries, spec(), &shuffled).unwrap();
    for index in 0..2 {
        let (ordered, bag) =
            (source.sample(Split::Train, index).unwrap(), bag.sample(Split::Train, index).unwrap());
        assert_eq!(ordered.columns["pixel_values"].shape, bag.columns["pixel_values"].shape);
        let mut pixels = bag.pixels().to_vec();
        pixels.sort_by(f32::total_cmp);
        assert_eq!(pixels, ordered.pixels());
    }
    let fixed = open(&entries, spec(), &View { frames: Some(2), ..View::default() }).unwrap();
    assert_eq!(fixed.columns()[0], Column::floats("pixel_values", &[2, 1, 1, 2]));
    assert_eq!(fixed.group(Split::Train, 0), fixed.group(Split::Train, 1));
    assert_eq!(
        Batch::read(fixed.as_ref(), Split::Train, &[0, 1]).unwrap().columns["pixel_values"],
        Field::floats(vec![2.0, 3.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0], &[2, 2, 1, 1, 2])
    );
    let groups = View { shuffle: FrameShuffle::Groups(2), ..View::default() };
    let message = open(&entries, spec(), &groups).unwrap_err().to_string();
    assert!(message.contains("different numbers of frames"), "{message}");
    assert!(open(&entries, spec(), &View { frames: Some(4), ..groups }).is_ok());
}

#[test]
fn columns_of_wrong_extents_are_named() {
    let check = |change: &dyn Fn(&mut Vec<Entry>), expected: &[&str]| {
        let mut entries = ragged();
        change(&mut entries);
        let message = open(&entries, spec(), &View::default()).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        assert!(message.ends_with("data.safetensors"), "{message}");
    };
    // Replaces the tensor of the same name, or adds one.
    let put = |entry: Entry| {
        move |entries: &mut Vec<Entry>| {
            entries.retain(|(name, ..)| *name != entry.0);
            entries.push(entry.clone());
        }
    };
    let lengths = |values: &[i64]| put(integers("inputs.extents", &[values.len(), 1], values));
    check(&lengths(&[2, 1, 2, -3]), &["`inputs.extents` with no extent below 0", "-3 for sample 3"]);
    check(&lengths(&[2, 1, 2, 2]), &["covers the 8 values of `inputs`", "extents for 7 values"]);
    check(&lengths(&[2, 1, 2, 4]), &["[4] for sample 3, which goes beyond"]);
    check(&lengths(&[i64::MAX, 1, 2, 3]), &["for sample 0, which goes beyond"]);
    check(&lengths(&[5, 0, 2, 1]), &["`inputs` with at least one value", "sample 1"]);
    check(&lengths(&[2, 1, 5]), &["`labels` of shape [3]", "found shape [4]"]);
    check(&put(integers("inputs.extents", &[4], &[2, 1, 2, 3])), &["`inputs.extents` of shape [N,", "[4]"]);
    check(&put(integers("inputs.extents", &[4, 0], &[])), &["`inputs.extents` of shape [N,", "[4, 0]"]);
    check(&put(floats("inputs.extents", &[4, 1])), &["`inputs.extents` of I64", "found F32"]);
    check(&put(bytes("inputs", &[2, 4])), &["`inputs` with one axis", "shape [2, 4]"]);
    let boxes = |values: &[i64]| put(integers("boxes.extents", &[values.len() / 2, 2], values));
    check(&boxes(&[1, 4, 0, 4]), &["`boxes.extents` of shape [4, …]", "each of `inputs`", "shape [2, 2]"]);
    let huge = 1 << 62;
    check(&boxes(&[1, 4, 0, 4, 1, 4, huge, huge]), &["for sample 3, which goes beyond"]);
    let empty = [4, 4, 1, 0, huge, huge, 0, 0, 0, 0, 0, 0];
    check(&put(integers("boxes.extents", &[4, 3], &empty)), &["for sample 1, which goes beyond"]);
    check(&put(integers("seen.extents", &[4, 1], &[0; 4])), &["a tensor `seen` beside `seen.extents`"]);
    check(&put(labels("input_ids", &[0; 4])), &["one column `input_ids`"]);
    let labelled = integers("labels.extents", &[4, 1], &[1; 4]);
    check(&put(labelled), &["`labels` as one number a sample"]);

    let tested = |more: Vec<Entry>| {
        move |entries: &mut Vec<Entry>| {
            entries.extend([
                labels("test_inputs", &[1, 2]),
                integers("test_inputs.extents", &[1, 1], &[2]),
                labels("test_labels", &[0]),
            ]);
            entries.extend(more.clone());
        }
    };
    check(&tested(Vec::new()), &["`test_age` for `test_inputs`, as `age` is for `inputs`"]);
    let age = floats("test_age", &[1]);
    check(&tested(vec![floats("test_age", &[2])]), &["`test_age` of shape [1, …]", "shape [2]"]);
    check(&tested(vec![labels("test_age", &[2])]), &["`test_age` of F32", "found I64"]);
    check(
        &tested(vec![age.clone(), floats("test_boxes", &[1, 4])]),
        &["a tensor `test_boxes.extents` like `boxes.extents`"],
    );
    let extents = integers("test_boxes.extents", &[1, 1], &[4]);
    check(
        &tested(vec![age, floats("test_boxes", &[4]), extents]),
        &["`test_boxes.extents` of shape [N, 2]", "shape [N, 1]"],
    );
}

#[test]
fn tensors_that_are_no_columns_are_left_alone() {
    let entries = [
        floats("inputs", &[2, 4]),
        labels("labels", &[0, 1]),
        floats("class_means", &[3, 4]),
        ("halves", Dtype::F16, vec![2], vec![0; 4]),
        labels("test_task", &[1, 2]),
    ];
    let source = open(&entries, spec(), &View::default()).unwrap();
    assert_eq!(source.columns(), [Column::floats("pixel_values", &[4]), Column::integers("labels", &[])]);
    let message = open(&ragged(), TensorsSpec { std: vec![2.0], ..spec() }, &View::default()).unwrap_err();
    assert!(message.to_string().contains("`std` is [2.0]; there is no column `pixel_values`"), "{message}");
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
