//! Seeds of independent streams, derived and never drawn, so that a result depends on no order of
//! threads.

/// The seed of stream `stream` under `seed`: SplitMix64's output function (Steele, Lea and Flood
/// 2014) over both.
///
/// Nested use gives trees of streams: `derive(derive(seed, level), path)`.
#[must_use]
pub fn derive_seed(seed: u64, stream: u64) -> u64 {
    mix(mix(seed).wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Streams of a search's seed beside those of its leaves, whose ids have 32 bits.
pub(crate) mod stream {
    /// Noise on the root's priors.
    pub(crate) const NOISE: u64 = 1 << 32;
    /// Noise of sequential halving.
    pub(crate) const GUMBEL: u64 = (1 << 32) + 1;
    /// The first of several roots; the others follow.
    pub(crate) const ROOTS: u64 = 1 << 33;
    /// Widenings of nodes, by how many are left; each is a seed of the nodes' ids.
    pub(crate) const WIDENINGS: u64 = 1 << 34;
}

/// SplitMix64: one step of the state and its finaliser. A bijection of `u64`.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Shuffles by Fisher and Yates from the end, each index drawn from the stream of its position. The
/// modulo's bias is below `len / 2^64`.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    for last in (1..items.len()).rev() {
        let drawn = derive_seed(seed, last as u64) % (last as u64 + 1);
        items.swap(last, drawn as usize);
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn mix_is_splitmix64() {
        // The first outputs of the reference implementation seeded with 1234567.
        let mut state = 1_234_567_u64;
        let mut outputs = Vec::new();
        for _ in 0..3 {
            outputs.push(mix(state));
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        let reference =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(outputs, reference);
    }

    #[test]
    fn streams_of_neighbouring_seeds_do_not_meet() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..64 {
            for stream in 0..64 {
                assert!(seen.insert(derive_seed(seed, stream)), "{seed} {stream}");
            }
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_follows_its_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<u32>>());
    }
}
