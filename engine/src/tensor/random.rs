//! Counter-based random numbers: Philox 4x32-10 (Salmon et al., 2011), keyed by seed and stream name.
//!
//! A draw depends on (seed, stream, position, index) and on nothing that ran before it, so adding an
//! adapter re-rolls nothing else and a resumed run draws what an uninterrupted one would have drawn.

/// One named stream of random numbers under a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream `name` (a node's or parameter's path, a purpose) under `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        Self { key: mix(seed ^ mix(fnv1a(name.as_bytes()))) }
    }

    /// The draws at one position of the stream (step, sample index, epoch).
    #[must_use]
    pub const fn at(self, position: u64) -> Draws {
        Draws { key: self.key, position, block: 0, buffer: [0; 4], used: 4 }
    }
}

/// An iterator-like source of random numbers at one position of a [`Stream`].
#[derive(Clone, Debug)]
pub struct Draws {
    key: u64,
    position: u64,
    block: u64,
    buffer: [u32; 4],
    used: usize,
}

impl Draws {
    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.buffer = philox(self.key, self.position, self.block);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// Uniform in `[0, 1)`, 24 bits.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Standard normal (Box–Muller, in f64).
    pub fn normal(&mut self) -> f32 {
        let u = (f64::from(self.next_u32()) + 1.0) / 4_294_967_296.0;
        let v = f64::from(self.next_u32()) / 4_294_967_296.0;
        #[expect(clippy::cast_possible_truncation, reason = "the result is wanted in f32")]
        let z = ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32;
        z
    }

    /// Uniform in `0..bound` (multiply-shift; bias below 2⁻³² · bound).
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "an empty range has no draw");
        let wide = u128::from(self.next_u32()) << 32 | u128::from(self.next_u32());
        usize::try_from((wide * bound as u128) >> 64).unwrap_or(0)
    }

    /// Fisher–Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of `SplitMix64`: spreads every input bit over the word.
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Ten rounds of Philox 4x32 on the counter (block, position) under `key`.
#[expect(clippy::cast_possible_truncation, reason = "the algorithm works on 32-bit halves")]
fn philox(key: u64, position: u64, block: u64) -> [u32; 4] {
    let mut counter = [block as u32, (block >> 32) as u32, position as u32, (position >> 32) as u32];
    let mut round_key = [key as u32, (key >> 32) as u32];
    for _ in 0..10 {
        let low = u64::from(counter[0]) * 0xD251_1F53;
        let high = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (high >> 32) as u32 ^ counter[1] ^ round_key[0],
            high as u32,
            (low >> 32) as u32 ^ counter[3] ^ round_key[1],
            low as u32,
        ];
        round_key = [round_key[0].wrapping_add(0x9E37_79B9), round_key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the reference implementation (Random123, `kat_vectors`).
    #[test]
    fn philox_matches_known_answers() {
        assert_eq!(philox(0, 0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox(u64::MAX, u64::MAX, u64::MAX),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn draws_depend_on_name_and_position_only() {
        let stream = Stream::new(7, "model.temporal.blocks.0");
        let first: Vec<u32> = {
            let mut d = stream.at(3);
            (0..9).map(|_| d.next_u32()).collect()
        };
        let again: Vec<u32> = {
            let mut d = Stream::new(7, "model.temporal.blocks.0").at(3);
            (0..9).map(|_| d.next_u32()).collect()
        };
        assert_eq!(first, again);
        assert_ne!(first[0], stream.at(4).next_u32());
        assert_ne!(first[0], Stream::new(8, "model.temporal.blocks.0").at(3).next_u32());
        assert_ne!(first[0], Stream::new(7, "model.temporal.blocks.1").at(3).next_u32());
    }

    #[test]
    fn normal_has_mean_zero_and_unit_variance() {
        let mut draws = Stream::new(1, "test").at(0);
        let sample: Vec<f64> = (0..20_000).map(|_| f64::from(draws.normal())).collect();
        let mean = sample.iter().sum::<f64>() / 20_000.0;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Stream::new(1, "order").at(0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
