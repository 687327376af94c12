//! What the tensors of an adapter's file are, by their names.

use std::collections::BTreeMap;

use super::PREFIX;
use crate::error::{Error, Result};
use crate::parameters::{Parameter, is_value_head};

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// `[rank, in]`.
    A,
    /// `[out, rank]`.
    B,
    /// Added to what `B` computes, `[out]`.
    BiasOfB,
    /// Of an embedding, `[rank, V]`.
    EmbeddingA,
    /// Of an embedding, `[D, rank]`.
    EmbeddingB,
    /// DoRA's: the length of each row of a linear weight, of each column of an embedding.
    Magnitude,
    /// Rows of single tokens, `[tokens, D]`.
    Tokens,
    /// The module's own weight: of one that was trained whole, or that the base's takes.
    Weight,
    /// The module's own bias.
    Bias,
    /// The weight under the adapter.
    BaseWeight,
    /// The bias under the adapter.
    BaseBias,
    /// [`Self::Weight`] again, under PEFT's inner name.
    WeightAgain,
    /// [`Self::Bias`] again.
    BiasAgain,
}

/// Ends of names; longer ones stand before their own ends.
const ENDS: [(&str, Part); 17] = [
    (".lora_A.weight", Part::A),
    (".lora_B.weight", Part::B),
    (".lora_B.bias", Part::BiasOfB),
    (".lora_embedding_A", Part::EmbeddingA),
    (".lora_embedding_B", Part::EmbeddingB),
    (".lora_magnitude_vector", Part::Magnitude),
    (".lora_magnitude_vector.weight", Part::Magnitude),
    (".token_adapter.trainable_tokens_delta", Part::Tokens),
    (".token_adapter.base_layer.weight", Part::BaseWeight),
    (".base_layer.weight", Part::BaseWeight),
    (".base_layer.bias", Part::BaseBias),
    (".original_module.weight", Part::BaseWeight),
    (".original_module.bias", Part::BaseBias),
    (".modules_to_save.weight", Part::WeightAgain),
    (".modules_to_save.bias", Part::BiasAgain),
    (".weight", Part::Weight),
    (".bias", Part::Bias),
];

/// The name of a module's tensor in PEFT's file.
pub(super) fn name(module: &str, part: Part) -> String {
    let end = ENDS.iter().find(|(_, of)| *of == part).map_or("", |(end, _)| end);
    format!("{PREFIX}{module}{end}")
}

/// A module's tensors.
pub(super) type Parts<'a> = BTreeMap<Part, &'a Parameter>;

/// The tensors of a file by module, the value head's left out.
///
/// # Errors
/// [`Error::UnexpectedTensor`] with the first whose name says nothing, or whose place is taken.
pub(super) fn modules(tensors: &BTreeMap<String, Parameter>) -> Result<BTreeMap<&str, Parts<'_>>> {
    let mut modules: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
    for (name, tensor) in tensors.iter().filter(|(name, _)| !is_value_head(name)) {
        let parted = name.strip_prefix(PREFIX).and_then(|name| {
            let (end, part) = ENDS.iter().find(|(end, _)| name.ends_with(end))?;
            Some((name.strip_suffix(end)?, *part))
        });
        let taken = match parted {
            Some((module, part)) => {
                modules.entry(module).or_default().insert(part, tensor).is_some()
            }
            None => true,
        };
        if taken {
            let found = tensor.shape.clone();
            return Err(Error::UnexpectedTensor { name: name.clone(), found });
        }
    }
    Ok(modules)
}
