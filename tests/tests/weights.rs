//! What `torch.save` writes against what torch says is in it (fixtures made by `fixtures/make_pytorch.py`).

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use graft_engine::weights::{Checkpoint, WeightSource, load};
use graft_engine::{device, models};
use graft_tests::equal::same_bits;
use graft_tests::{fixture, tensors};

/// Every float tensor of a folder is what torch wrote beside it.
fn check(folder: &str) {
    let checkpoint = Checkpoint::open(&fixture(folder)).unwrap();
    let expected = tensors("pytorch_values/expected.safetensors");
    for (name, want) in &expected {
        assert_eq!(checkpoint.shape(name), Some(&*want.shape), "{folder}: {name}");
        let got = checkpoint.read(name).unwrap();
        assert_eq!(got.shape, want.shape);
        same_bits(&got.data, &want.data, &format!("{folder}: {name}"));
    }
    assert_eq!(expected.len() + 1, checkpoint.names().len(), "and the integers: {checkpoint:?}");
    let error = checkpoint.read("count").unwrap_err().to_string();
    assert!(error.contains("`count`") && error.contains("I64"), "{error}");
}

#[test]
fn views_ties_and_dtypes_are_read_as_torch_has_them() {
    check("pytorch_values");
}

/// The layout before PyTorch 1.6, the weights under `state_dict` beside an optimiser's tensors.
#[test]
fn a_training_script_s_file_is_read_by_its_state_dict() {
    check("pytorch_nested");
}

/// Tied tensors have the same values under both names.
#[test]
fn a_tied_tensor_is_there_under_each_name() {
    let checkpoint = Checkpoint::open(&fixture("pytorch_values")).unwrap();
    assert_eq!(checkpoint.read("tied.first").unwrap(), checkpoint.read("tied.second").unwrap());
}

/// A model in `PyTorch` shards is the same model as in safetensors, to the bit.
#[test]
fn a_model_in_pytorch_shards_has_the_same_weights() {
    let device = device::open("flex").unwrap();
    let [ours, theirs] = ["vit_pytorch", "vit_tiny"].map(|folder| {
        let resolved = models::open(&fixture(folder)).unwrap();
        let graph = resolved.architecture.build("model").unwrap();
        load(&graph, resolved.weights.as_ref(), 0, &device).unwrap()
    });
    assert_eq!(ours.1, theirs.1);
    assert!(ours.1.missing.is_empty() && !ours.1.copied.is_empty(), "{:?}", ours.1);
    for ((path, got), (other, want)) in ours.0.iter().zip(theirs.0.iter()) {
        assert_eq!(path, other);
        same_bits(&got.to_f32(), &want.to_f32(), path);
    }
}

/// A pickle that asks for a command is data like any other.
#[test]
fn no_code_in_a_pickle_is_run() {
    let folder = fixture("pytorch_code");
    let written = std::fs::read(folder.join("pytorch_model.bin")).unwrap();
    let asks = b"touch code_was_run";
    assert!(written.windows(asks.len()).any(|bytes| bytes == asks));
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["single"]);
    let want = &tensors("pytorch_values/expected.safetensors")["single"];
    assert_eq!(&checkpoint.read("single").unwrap(), want);
    assert!(!std::env::current_dir().unwrap().join("code_was_run").exists());
}

/// A source that renames finds its tensors in either format.
#[test]
fn names_below_a_prefix_are_found() {
    let device = device::open("flex").unwrap();
    let resolved = models::open(&fixture("vit_pytorch")).unwrap();
    let graph = resolved.architecture.build("model").unwrap();
    let from = WeightSource {
        folder: fixture("vit_pytorch"),
        from: "vit.".to_owned(),
        to: "vit.".to_owned(),
        partial: true,
    };
    let (_, report) = load(&graph, Some(&from), 0, &device).unwrap();
    assert_eq!(
        report.missing.iter().map(|m| &*m.path).collect::<Vec<_>>(),
        ["model.head.weight", "model.head.bias"]
    );
    assert!(report.missing.iter().all(|misfit| !misfit.expected));
}
