use std::fs;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::*;
use crate::data::{Batch, DataSpec, Split};

/// 20 frames of 32 bands, as logarithms.
fn log_mel() -> LogMelSpec {
    LogMelSpec { mel_bins: 32, max_length: 20, mean: 0.0, std: 0.5, ..Default::default() }
}

fn open(base: &Path) -> Box<dyn Source> {
    let split = Fractions { validation: 0.0, test: 0.0 };
    let spec = AudioFolderSpec { split, log_mel: log_mel(), ..Default::default() };
    DataSpec::AudioFolder(spec).open(base, &View::default()).unwrap()
}

fn path(base: &Path, name: &str) -> PathBuf {
    let path = base.join("sounds").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn tone(hz: f32, rate_hz: u32, samples: usize) -> Vec<f32> {
    let step = std::f32::consts::TAU * hz / rate_hz as f32;
    (0..samples).map(|sample| 0.5 * (step * sample as f32).sin()).collect()
}

/// Writes channels of equal length; 32 bits are floats when `format` says so.
fn write(path: &Path, channels: &[Vec<f32>], rate_hz: u32, bits: u16, format: SampleFormat) {
    let spec = WavSpec {
        channels: channels.len() as u16,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut writer = WavWriter::create(path, spec).unwrap();
    let full = 2f64.powi(i32::from(bits) - 1);
    for place in 0..channels[0].len() {
        for channel in channels {
            match format {
                SampleFormat::Float => writer.write_sample(channel[place]).unwrap(),
                SampleFormat::Int => {
                    writer.write_sample((f64::from(channel[place]) * full).round() as i32).unwrap();
                }
            }
        }
    }
    writer.finalize().unwrap();
}

fn write_tone(path: &Path) {
    write(path, &[tone(700.0, 16_000, 4000)], 16_000, 16, SampleFormat::Int);
}

fn values(source: &dyn Source, index: usize) -> Vec<f32> {
    source.sample(Split::Train, index).unwrap().columns["input_values"].as_floats().unwrap().to_vec()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_format_reads_as_what_was_written() {
    let base = tempfile::tempdir().unwrap();
    // Loud in every band, so that rounding to few bits is far below.
    let waveform: Vec<f32> = (0..4000u32)
        .map(|k| {
            let hash = k.wrapping_mul(2_654_435_761).rotate_left(11).wrapping_mul(2_246_822_519) >> 8;
            hash as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    let expected = LogMel::new(&log_mel()).unwrap().values(&waveform);
    let formats = [
        ("08", 8, SampleFormat::Int, 0.4),
        ("16", 16, SampleFormat::Int, 2e-3),
        ("24", 24, SampleFormat::Int, 1e-5),
        ("32", 32, SampleFormat::Int, 1e-5),
        ("float", 32, SampleFormat::Float, 0.0),
    ];
    for (name, bits, format, _) in formats {
        let quiet = waveform.iter().map(|value| 0.5 * value).collect::<Vec<_>>();
        let rest = waveform.iter().zip(&quiet).map(|(all, quiet)| 2.0 * all - quiet).collect::<Vec<_>>();
        write(
            &path(base.path(), &format!("mono/{name}.wav")),
            std::slice::from_ref(&waveform),
            16_000,
            bits,
            format,
        );
        write(&path(base.path(), &format!("stereo/{name}.WAV")), &[quiet, rest], 16_000, bits, format);
    }
    let source = open(base.path());
    assert_eq!(source.classes(), ["mono", "stereo"]);
    assert_eq!(source.sample_shape(), [20, 32]);
    for label in 0..2 {
        for (place, (name, _, _, tolerance)) in formats.iter().enumerate() {
            let index = label * formats.len() + place;
            assert_eq!(source.key(Split::Train, index, "labels"), Some(label as i64));
            let difference = largest_difference(&values(&*source, index), &expected);
            // The mean of two channels rounds once more.
            let tolerance = if label == 1 { tolerance + 1e-5 } else { *tolerance };
            assert!(difference <= tolerance, "{name} of {label}: {difference}");
        }
    }
    let batch = Batch::read(&*source, Split::Train, &[0, 9]).unwrap();
    assert_eq!((batch.labels(), &batch.columns["input_values"].shape[..]), (&[0, 1][..], &[2, 20, 32][..]));
}

#[test]
fn other_rates_are_converted_without_aliases() {
    let base = tempfile::tempdir().unwrap();
    let names = ["08000", "16000", "22050", "44100", "44101", "48000"];
    for name in names {
        let rate_hz: u32 = name.parse().unwrap();
        let waveform = tone(700.0, rate_hz, rate_hz as usize / 2);
        write(&path(base.path(), &format!("a/{name}.wav")), &[waveform], rate_hz, 32, SampleFormat::Float);
    }
    // Above what 16 kHz can hold: it must vanish, and not appear at 6 kHz.
    let high = tone(10_000.0, 48_000, 24_000);
    write(&path(base.path(), "b/high.wav"), &[high], 48_000, 32, SampleFormat::Float);
    let source = open(base.path());
    let own = values(&*source, 1);
    let loudest = own.iter().copied().fold(f32::MIN, f32::max);
    // Frames in the middle, and bands within 40 dB of the tone; what is below is the filter's ripple.
    let inside = 4 * 32..16 * 32;
    for (index, name) in names.iter().enumerate() {
        let converted = values(&*source, index);
        for place in inside.clone().filter(|place| own[*place] > loudest - 9.2) {
            let difference = (converted[place] - own[place]).abs();
            assert!(difference < 0.02, "{name} at {place}: {} for {}", converted[place], own[place]);
        }
    }
    let high = values(&*source, names.len());
    let heard = high[inside].iter().copied().fold(f32::MIN, f32::max);
    // By 60 dB.
    assert!(heard < loudest - 13.8, "{heard} of {loudest}");
}

#[test]
fn only_the_beginning_of_long_files_is_read() {
    let base = tempfile::tempdir().unwrap();
    let log_mel = LogMel::new(&log_mel()).unwrap();
    for (name, rate_hz) in [("16000", 16_000), ("48000", 48_000)] {
        let whole = tone(700.0, rate_hz, 3 * rate_hz as usize);
        let file = path(base.path(), &format!("a/{name}.wav"));
        write(&file, std::slice::from_ref(&whole), rate_hz, 16, SampleFormat::Int);
        let begun = path(base.path(), &format!("b/{name}.wav"));
        write(&begun, &[whole[..rate_hz as usize].to_vec()], rate_hz, 16, SampleFormat::Int);
        // What is missing behind what is looked at is not noticed.
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let read = wav::read(&file, 16_000, log_mel.longest()).unwrap();
        assert_eq!(read.len(), log_mel.longest());
        assert_eq!(read, wav::read(&begun, 16_000, log_mel.longest()).unwrap());
    }
}

/// Writes a number into a file at a place.
fn patch(path: &Path, place: usize, bytes: &[u8]) {
    let mut file = fs::read(path).unwrap();
    file[place..place + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).unwrap();
}

#[test]
fn damaged_files_are_skipped_by_name() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| path(base.path(), &format!("a/{name}.wav"));
    write_tone(&at("0 good"));
    write_tone(&at("1 cut"));
    let bytes = fs::read(at("1 cut")).unwrap();
    fs::write(at("1 cut"), &bytes[..1001]).unwrap();
    write(&at("2 no samples"), &[Vec::new()], 16_000, 16, SampleFormat::Int);
    write(&at("3 short"), &[vec![0.1; 399]], 16_000, 16, SampleFormat::Int);
    fs::write(at("4 empty"), "").unwrap();
    fs::write(at("5 text"), "no sound, but some words that are longer than a header is").unwrap();
    write(&at("6 not finite"), &[vec![f32::NAN; 4000]], 16_000, 32, SampleFormat::Float);
    // Channels, samples and bytes a second, bytes of data: places in a header without extension.
    write_tone(&at("7 no channels"));
    patch(&at("7 no channels"), 22, &[0, 0]);
    write_tone(&at("8 no rate"));
    patch(&at("8 no rate"), 24, &[0; 8]);
    write_tone(&at("9 absurd rate"));
    patch(
        &at("9 absurd rate"),
        24,
        &[&0x7000_0000u32.to_le_bytes()[..], &0xe000_0000u32.to_le_bytes()].concat(),
    );
    write_tone(&at("10 absurd length"));
    fs::write(at("10 absurd length"), &fs::read(at("10 absurd length")).unwrap()[..2000]).unwrap();
    patch(&at("10 absurd length"), 40, &0xffff_fff0u32.to_le_bytes());
    let source = open(base.path());
    let batch = Batch::read(&*source, Split::Train, &(0..11).collect::<Vec<_>>()).unwrap();
    assert_eq!(batch.indices, [0]);
    let reasons: Vec<String> =
        batch.skipped.iter().map(|skip| format!("{} {}", skip.what, skip.why)).collect();
    for (number, part) in [
        (1, "1 cut.wav"),
        (2, "holds 0 samples at 16000 Hz, and one frame takes 400"),
        (3, "holds 399 samples"),
        (4, "4 empty.wav"),
        (5, "5 text.wav"),
        (6, "sample 0 is not a finite number"),
        (7, "zero channels"),
        (8, "0 samples a second"),
        (9, "1879048192 samples a second"),
        (10, "10 absurd length.wav"),
    ] {
        assert!(reasons[number - 1].contains(part), "{reasons:#?}");
    }
    let error = source.sample(Split::Train, 1).unwrap_err().to_string();
    assert!(error.ends_with("1 cut.wav"), "{error}");
}

/// Whatever a header says, reading ends with a waveform or an error.
#[test]
fn no_header_breaks_the_reader() {
    let base = tempfile::tempdir().unwrap();
    for (name, bits, format) in [("int", 16, SampleFormat::Int), ("float", 32, SampleFormat::Float)] {
        let file = path(base.path(), &format!("a/{name}.wav"));
        write(&file, &[tone(700.0, 16_000, 500), tone(300.0, 16_000, 500)], 16_000, bits, format);
        let whole = fs::read(&file).unwrap();
        let header = whole.len() - 1000 * usize::from(bits / 8);
        let mut errors = 0;
        for place in 0..header {
            for value in [0, 3, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] = value;
                fs::write(&file, bytes).unwrap();
                match wav::read(&file, 16_000, 3440) {
                    Ok(samples) => assert!(samples.len() <= 3440),
                    Err(error) => {
                        assert!(error.to_string().ends_with(&format!("{name}.wav")), "{error}");
                        errors += 1;
                    }
                }
            }
        }
        assert!(errors > header / 2, "{errors} of {header} bytes");
    }
}

#[test]
fn caches_tell_files_and_settings_apart() {
    let base = tempfile::tempdir().unwrap();
    write_tone(&path(base.path(), "a/0.wav"));
    write_tone(&path(base.path(), "a/1.wav"));
    let print = |mel_bins| {
        let log_mel = LogMelSpec { mel_bins, ..log_mel() };
        let spec = AudioFolderSpec { log_mel, ..Default::default() };
        let source = DataSpec::AudioFolder(spec).open(base.path(), &View::default()).unwrap();
        source.fingerprint(Split::Train, "input_values").unwrap()
    };
    assert_ne!(print(32), print(31));
    let source = open(base.path());
    assert_ne!(source.identity(Split::Train, 0), source.identity(Split::Train, 1));
    let before = source.identity(Split::Train, 0);
    write(&path(base.path(), "a/0.wav"), &[vec![0.0; 500]], 16_000, 16, SampleFormat::Int);
    assert_ne!(before, source.identity(Split::Train, 0));
}
