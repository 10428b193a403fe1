//! WAV files as one channel at the rate that is wanted.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use hound::{SampleFormat, WavReader};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler as _};

use super::SampleError;
use super::log_mel::RATES_HZ;

/// Endings of sound files that can be read.
pub(super) const EXTENSIONS: [&str; 2] = ["wav", "wave"];
/// Samples that a resampler takes at once.
const CHUNK: usize = 1024;

/// The beginning of a file, at most `longest` samples at `rate_hz`, in −1…1: the mean of its channels, converted from the
/// file's own rate by a band-limited filter. What lies behind that is not read.
pub(super) fn read(path: &Path, rate_hz: u32, longest: usize) -> Result<Vec<f32>, SampleError> {
    let unreadable = |reason: String| SampleError::Unreadable { reason, path: path.to_owned() };
    let mut reader = WavReader::open(path).map_err(|error| unreadable(error.to_string()))?;
    let own_hz = reader.spec().sample_rate;
    if !RATES_HZ.contains(&own_hz) {
        let (least, most) = (RATES_HZ.start(), RATES_HZ.end());
        return Err(unreadable(format!("{own_hz} samples a second, where {least} to {most} are possible")));
    }
    if own_hz == rate_hz {
        return mono(&mut reader, longest).map_err(unreadable);
    }
    // A tenth of a second more, so that the filter does not see the cut.
    let scaled = longest as u64 * u64::from(own_hz) / u64::from(rate_hz) + u64::from(own_hz / 10);
    let wanted = usize::try_from(scaled).unwrap_or(usize::MAX);
    let mut samples = mono(&mut reader, wanted)
        .and_then(|samples| resample(samples, own_hz, rate_hz))
        .map_err(unreadable)?;
    samples.truncate(longest);
    Ok(samples)
}

/// The mean over the channels of the first samples.
fn mono(reader: &mut WavReader<BufReader<File>>, longest: usize) -> Result<Vec<f32>, String> {
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    match spec.sample_format {
        SampleFormat::Float => {
            mean(reader.samples::<f32>().map(|read| read.map(f64::from)), channels, longest)
        }
        SampleFormat::Int => {
            let full = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.samples::<i32>().map(|read| read.map(|value| f64::from(value) / full));
            mean(samples, channels, longest)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "wanted in f32; few channels"
)]
fn mean(
    mut samples: impl Iterator<Item = hound::Result<f64>>,
    channels: usize,
    longest: usize,
) -> Result<Vec<f32>, String> {
    // What the header says of the length is not believed: memory grows with what is there.
    let mut mixed = Vec::new();
    while mixed.len() < longest {
        let Some(first) = samples.next() else { break };
        let mut sum = first.map_err(|error| error.to_string())?;
        for _ in 1..channels {
            let next = samples.next().ok_or("its last sample lacks channels")?;
            sum += next.map_err(|error| error.to_string())?;
        }
        if !sum.is_finite() {
            return Err(format!("sample {} is not a finite number", mixed.len()));
        }
        mixed.push((sum / channels as f64) as f32);
    }
    Ok(mixed)
}

fn resample(samples: Vec<f32>, from_hz: u32, to_hz: u32) -> Result<Vec<f32>, String> {
    let length = samples.len();
    if length == 0 {
        return Ok(samples);
    }
    let convert = || -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let (from, to) = (usize::try_from(from_hz)?, usize::try_from(to_hz)?);
        let mut resampler = Fft::<f32>::new(from, to, CHUNK, 1, FixedSync::Both)?;
        let input = InterleavedOwned::new_from(samples, 1, length)?;
        Ok(resampler.process_all(&input, length, None)?.take_data())
    };
    convert().map_err(|error| format!("could not be converted from {from_hz} to {to_hz} Hz: {error}"))
}
