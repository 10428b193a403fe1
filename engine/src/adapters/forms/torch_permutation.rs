//! PyTorch's random permutation, so that masks drawn from a seed are the ones that its libraries draw.

use rand_mt::Mt;

/// The first `count` numbers of `torch.randperm(total, generator)` on a CPU generator seeded with `seed`: at each place
/// the number there is exchanged for one of those not yet placed, chosen by a 32-bit Mersenne twister's next output
/// modulo how many there are. For `total` below 2³²/20, as any weight of today.
pub(super) fn permutation(seed: u32, total: usize, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..total).collect();
    let mut twister = Mt::new(seed);
    for place in 0..count.min(total.saturating_sub(1)) {
        let left = total - place;
        let chosen = twister.next_u32() as usize % left;
        numbers.swap(place, place + chosen);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::permutation;

    /// Printed by PyTorch 2.9.0.
    #[test]
    fn is_that_of_pytorch() {
        assert_eq!(permutation(0, 10, 10), PYTORCH_0_10);
        assert_eq!(permutation(7, 40, 12), PYTORCH_7_40);
        assert_eq!(permutation(42, 1000, 12), PYTORCH_42_1000);
    }

    const PYTORCH_0_10: [usize; 10] = [4, 1, 7, 5, 3, 9, 0, 8, 6, 2];
    const PYTORCH_7_40: [usize; 12] = [15, 26, 35, 6, 2, 37, 7, 24, 36, 13, 38, 4];
    const PYTORCH_42_1000: [usize; 12] = [542, 618, 816, 68, 94, 215, 60, 585, 942, 165, 968, 829];
}
