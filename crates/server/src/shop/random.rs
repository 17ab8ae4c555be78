//! Chance with a seed.
//!
//! In: a seed. Out: the same numbers on every machine and in every version of the standard library.
//! Never uses logarithms or powers of floating point: their last bits differ between systems, so
//! the two long-tailed distributions are tables of quantiles and integer arithmetic.

/// xoshiro256++ (Blackman and Vigna), seeded through splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: [u64; 4],
}

/// Quantiles of a log-normal distribution (median 1, sigma 0.65) in thousandths, every 1/32.
const LONG_TAIL_MILLIS: [u64; 33] = [
    209, 298, 369, 425, 473, 519, 562, 604, 645, 686, 728, 770, 813, 857, 903, 950, 1000, 1052,
    1108, 1167, 1230, 1299, 1374, 1457, 1550, 1656, 1780, 1928, 2112, 2355, 2711, 3356, 6883,
];

/// Quantiles of the exponential distribution (mean 1) in thousandths, every 1/32.
const EXPONENTIAL_MILLIS: [u64; 33] = [
    0, 32, 65, 98, 134, 170, 208, 247, 288, 330, 375, 421, 470, 521, 575, 633, 693, 758, 827, 901,
    981, 1068, 1163, 1269, 1386, 1520, 1674, 1856, 2079, 2367, 2773, 3466, 5298,
];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut word = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut word)) }
    }

    /// 64 even bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let c_next = c ^ a;
        let d_next = d ^ b;
        self.state = [a ^ d_next, b ^ c_next, c_next ^ (b << 17), d_next.rotate_left(45)];
        result
    }

    /// A number below `bound`; 0 for an empty range. (Multiply-high: the bias is below 2^-40 here.)
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True `n` times in 1,000.
    pub(crate) fn per_mille(&mut self, n: u32) -> bool {
        n > 0 && self.below(1000) < u64::from(n)
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A duration whose median is `median_nanos` and whose tail is long: one in 32 is above 3.3
    /// times the median, none above 7 times.
    pub(crate) fn long_tail(&mut self, median_nanos: u64) -> u64 {
        self.scaled(median_nanos, &LONG_TAIL_MILLIS)
    }

    /// A gap between independent arrivals with the mean `mean_nanos`.
    pub(crate) fn gap(&mut self, mean_nanos: u64) -> u64 {
        self.scaled(mean_nanos, &EXPONENTIAL_MILLIS)
    }

    fn scaled(&mut self, unit: u64, quantiles_millis: &[u64; 33]) -> u64 {
        const FRACTION_BITS: u32 = 16;
        let position = self.below(32 << FRACTION_BITS);
        let (index, fraction) =
            ((position >> FRACTION_BITS) as usize, position & ((1 << FRACTION_BITS) - 1));
        let (low, high) = (quantiles_millis[index], quantiles_millis[index + 1]);
        let millis = low * 1000 + (((high - low) * 1000 * fraction) >> FRACTION_BITS);
        ((u128::from(unit) * u128::from(millis)) / 1_000_000) as u64
    }
}

/// The next word of a sequence that visits every 64-bit number once.
pub(crate) fn splitmix64(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *word;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
