//! Seeds derived from seeds, and draws that are the same on every machine.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator for one purpose: streams of different `parts` under one seed are independent.
#[must_use]
pub fn stream(seed: u64, parts: [u64; 2]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, part) in key.chunks_exact_mut(8).zip([seed, parts[0], parts[1], 0]) {
        bytes.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A hash of tokens (FNV-1a), for a part of a [`stream`] that depends on a text.
#[must_use]
pub fn token_hash(tokens: &[u32]) -> u64 {
    let mix = |hash: u64, &token: &u32| (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3);
    tokens.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Uniform in [0, 1), 24 bits.
pub fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Standard normal (Box-Muller, cosine branch).
pub fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f32::consts::TAU * uniform(rng)).cos()
}

/// Fisher-Yates; written here so that the order does not change with a library's version.
pub fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        // 64 random bits make the modulo's bias smaller than 1e-10 for any list that fits memory.
        items.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
    }
}
