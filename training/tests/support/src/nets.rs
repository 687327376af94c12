//! Small nets for the tests.

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::{Family, NetConfig};
use espalier_model::parameters::{Parameter, Parameters};
use espalier_model::tokenizer::{Tokenizer, Tokens};

/// A net small enough for a test, with sizes that are no multiples of vector widths.
#[must_use]
pub fn tiny() -> NetConfig {
    NetConfig {
        layers: 2,
        width: 24,
        heads: 4,
        key_value_heads: 2,
        intermediate: 37,
        max_length: 64,
        tie_embeddings: true,
        ..NetConfig::default()
    }
}

/// A fresh net over single characters.
///
/// # Panics
/// When the sizes do not fit each other.
#[must_use]
pub fn fresh(net: &NetConfig, seed: u64) -> Checkpoint {
    Checkpoint::initialise(net, Tokenizer::fresh(Tokens::Characters).unwrap(), seed).unwrap()
}

/// A fresh net whose matrices and value head are enlarged, so that it is far from uniform and its value from 0.
///
/// # Panics
/// As [`fresh`].
#[must_use]
pub fn opinionated(net: &NetConfig, seed: u64) -> Checkpoint {
    let mut checkpoint = fresh(net, seed);
    let tensors = checkpoint.parameters.iter().map(|(name, parameter)| {
        let count = parameter.values.len();
        let values = match name {
            "value_head.weight" => (0..count).map(|i| (i as f32 * 1.7).sin() * 0.2).collect(),
            "value_head.bias" => vec![0.1],
            _ if parameter.shape.len() == 1 => {
                (0..count).map(|i| 1.0 + 0.3 * (i as f32).cos()).collect()
            }
            _ => parameter.values.iter().map(|value| value * 2.5).collect(),
        };
        (name.to_owned(), Parameter { shape: parameter.shape.clone(), values })
    });
    let tensors = tensors.collect();
    checkpoint.parameters = Parameters::from_tensors(&checkpoint.config, tensors).unwrap();
    checkpoint
}

/// As [`opinionated`], a small net of Mistral's family whose tokens see `window` positions of up to 256.
///
/// # Panics
/// When the crate does not know the family.
#[must_use]
pub fn windowed(window: usize, seed: u64) -> Checkpoint {
    let family = Family::of_model_type("mistral").unwrap();
    let net = NetConfig { family, max_length: 256, ..tiny() };
    let mut checkpoint = opinionated(&net, seed);
    checkpoint.config.other.insert("sliding_window".to_owned(), window.into());
    checkpoint
}
