//! What may befall a run: kills and signals at random moments, a full and a failing disk, damage to each of its files, two programs in
//! one directory, a policy that fails. Nothing finished is lost, nothing half-written is read, and the labels are an undisturbed run's.
//!
//! The suite does a little of each; `make chaos` sets [`AMOUNT`] and does much.

mod damage;
mod disk;
mod kills;
mod policy;
mod soak;
mod subject;
mod two;

use std::env;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How often each stage is killed; other faults come in proportion.
const AMOUNT: &str = "ESPALIER_CHAOS";
/// Of the moments and places, a number.
const SEED: &str = "ESPALIER_SEED";

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is no such number"))
}

fn amount() -> usize {
    setting(AMOUNT, 1)
}

fn random(stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(setting(SEED, 1));
    random.set_stream(stream);
    random
}
