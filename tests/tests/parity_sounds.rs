//! Log-mel values of WAV files against `transformers` (fixtures made by `fixtures/make_sounds.py`).

use graft_engine::data::{AudioFolderSpec, DataSpec, Fractions, LogMelSpec, Split, View};
use graft_tests::equal::same_to;
use graft_tests::{fixture, tensors};

/// Every format and length, filled up with zeros and cut, with the published means.
#[test]
fn folders_of_sounds_read_as_the_feature_extractor_does() {
    let expected = tensors("sounds/input_values.safetensors");
    let names = ["chirps/int16", "chirps/int24_stereo", "noises/float32", "noises/int8"];
    assert_eq!(expected.len(), 2 * names.len());
    for (size, mel_bins, max_length) in [("filled", 128, 48), ("cut", 32, 20)] {
        let spec = AudioFolderSpec {
            folder: fixture("sounds"),
            split: Fractions { validation: 0.0, test: 0.0 },
            log_mel: LogMelSpec { mel_bins, max_length, ..Default::default() },
            ..Default::default()
        };
        let source = DataSpec::AudioFolder(spec).open(&fixture(""), &View::default()).unwrap();
        assert_eq!(source.len(Split::Train), names.len());
        for (index, name) in names.into_iter().enumerate() {
            let sample = source.sample(Split::Train, index).unwrap();
            let values = &sample.columns["input_values"];
            let expected = &expected[&format!("{size}.{name}")];
            assert_eq!(values.shape, expected.shape);
            let (own, theirs) = (values.as_floats().unwrap(), &expected.data);
            same_to(1e-5, own, theirs, &format!("{size} {name}"));
        }
    }
}
