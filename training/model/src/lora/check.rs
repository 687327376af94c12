//! Whether an adapter is whole, and whether it fits a net.

use std::collections::BTreeMap;

use super::adapter_config::{AdapterConfig, Initial};
use super::parts::{self, Part, Parts};
use super::{Adapter, EMBEDDING, HEAD};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::parameters::{Parameter, Parameters, is_value_head};

/// Checks that the tensors of a file are those that its configuration calls for.
///
/// # Errors
/// [`Error::MissingTensor`] or [`Error::UnexpectedTensor`] with the first that is not.
pub(super) fn complete(config: &AdapterConfig, modules: &BTreeMap<&str, Parts<'_>>) -> Result<()> {
    for (&module, parts) in modules {
        let has = |part| parts.contains_key(&part);
        let linear = has(Part::A) || has(Part::B);
        let embedding = has(Part::EmbeddingA) || has(Part::EmbeddingB);
        let pair = linear || embedding;
        let whole = has(Part::Weight);
        // What must be there, and what may.
        for (part, must, may) in [
            (Part::A, linear, module != EMBEDDING),
            (Part::B, linear, module != EMBEDDING),
            (Part::BiasOfB, linear && config.biased(), linear && config.biased()),
            (Part::EmbeddingA, embedding, module == EMBEDDING),
            (Part::EmbeddingB, embedding, module == EMBEDDING),
            (Part::Magnitude, pair && config.dora(), pair && config.dora()),
            (
                Part::Tokens,
                false,
                !pair && [EMBEDDING, HEAD].contains(&module) && !config.saves(module),
            ),
            // PEFT passes over what stands under a pair by its plain name.
            (Part::Weight, false, !pair),
            (Part::Bias, false, !pair),
            (Part::WeightAgain, false, whole),
            (Part::BiasAgain, false, whole),
        ] {
            let name = || parts::name(module, part);
            match parts.get(&part) {
                None if must => {
                    return Err(Error::MissingTensor { name: name(), expected: Vec::new() });
                }
                Some(tensor) if !may => {
                    let found = tensor.shape.clone();
                    return Err(Error::UnexpectedTensor { name: name(), found });
                }
                _ => {}
            }
        }
        if has(Part::Tokens) && config.token_indices(module).is_none() && module == EMBEDDING {
            let message = "trainable_token_indices does not say of which tokens they are";
            return Err(refusal(module, Part::Tokens, message));
        }
    }
    Ok(())
}

/// An adapter's tensor that cannot be used.
pub(super) fn refusal(module: &str, part: Part, message: impl Into<String>) -> Error {
    Error::Adapter { name: parts::name(module, part), message: message.into() }
}

/// How an adapter changes embedding and head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vocabulary {
    /// Rows of both afterwards.
    pub size: usize,
    /// Whether the two are one tensor before.
    pub tied: bool,
    /// Whether rows of single tokens are those of both.
    pub shared_tokens: bool,
    /// Whether the head has to become a tensor of its own.
    pub parted: bool,
}

impl Adapter {
    /// Checks that the adapter fits a net.
    ///
    /// # Errors
    /// Names the first tensor that is missing, that the net has no place for, or of the wrong shape.
    pub fn check(&self, config: &ModelConfig, parameters: &Parameters) -> Result<()> {
        let modules = parts::modules(&self.tensors)?;
        let vocabulary = self.vocabulary(config, &modules)?;
        for (&module, parts) in &modules {
            self.check_module(module, parts, parameters, vocabulary)?;
        }
        self.check_saved(parameters, &modules)?;
        for (name, tensor) in self.iter().filter(|(name, _)| is_value_head(name)) {
            match parameters.get(name).map(|own| &own.shape) {
                Some(expected) => expect(name.to_owned(), tensor, expected)?,
                None => {
                    let (name, found) = (name.to_owned(), tensor.shape.clone());
                    return Err(Error::UnexpectedTensor { name, found });
                }
            }
        }
        Ok(())
    }

    /// Checks that the adapter is one that can be trained beside the weights: pairs of blocks' layers, which begin as deltas,
    /// and a value head.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the first tensor that cannot.
    pub fn check_trainable(&self) -> Result<()> {
        for (module, parts) in parts::modules(&self.tensors)? {
            let other = parts.keys().find(|part| ![Part::A, Part::B].contains(part));
            let part = match (other, self.config.initial) {
                (Some(&part), _) => part,
                (None, Initial::Plain) if module != HEAD => continue,
                (None, _) => Part::A,
            };
            let message =
                "is merged into weights, but not trained further; train on the merged net";
            return Err(refusal(module, part, message));
        }
        Ok(())
    }

    /// Whether a module's own tensors take the place of the base's, and not of what the module uses beside it.
    pub(super) fn of_base(&self, module: &str, tied: bool) -> bool {
        let one = tied && self.config.stays_tied() && [EMBEDDING, HEAD].contains(&module);
        one || !self.config.saves(module)
    }

    /// The numbers that a weight of the base is to have before pairs are added.
    pub(super) fn base_weight<'a>(
        &self,
        module: &str,
        parts: &Parts<'a>,
        tied: bool,
    ) -> Option<&'a Parameter> {
        let own = parts.get(&Part::Weight).filter(|_| self.of_base(module, tied));
        parts.get(&Part::BaseWeight).or(own).copied()
    }

    pub(super) fn vocabulary(
        &self,
        config: &ModelConfig,
        modules: &BTreeMap<&str, Parts<'_>>,
    ) -> Result<Vocabulary> {
        let none = Parts::new();
        let [embedding, head] =
            [EMBEDDING, HEAD].map(|module| modules.get(module).unwrap_or(&none));
        let tied = config.tied();
        let bases =
            [self.base_weight(EMBEDDING, embedding, tied), self.base_weight(HEAD, head, tied)];
        if let ([Some(one), Some(other)], true) = (bases, tied)
            && one != other
        {
            let message = "differs from the embedding, with which it is one tensor in this model";
            let part =
                if head.contains_key(&Part::BaseWeight) { Part::BaseWeight } else { Part::Weight };
            return Err(refusal(HEAD, part, message));
        }
        let wholes = [embedding, head].map(|parts| parts.get(&Part::Weight).copied());
        let rows = |tensor: &Parameter| tensor.shape.first().copied();
        let given = wholes.into_iter().chain(bases).flatten().find_map(rows);
        let size = given.unwrap_or(config.vocab_size);
        if size == 0 {
            return Err(refusal(EMBEDDING, Part::Weight, "has no rows"));
        }
        if size != config.vocab_size {
            // Rows beyond the base's are nowhere but in the file.
            let shared = tied && bases.iter().any(Option::is_some);
            for (at, module) in [EMBEDDING, HEAD].into_iter().enumerate() {
                if wholes[at].is_none() && bases[at].is_none() && !shared {
                    let name = parts::name(module, Part::Weight);
                    return Err(Error::MissingTensor {
                        name,
                        expected: vec![size, config.hidden_size],
                    });
                }
            }
        }
        let tokens = [EMBEDDING, HEAD].map(|module| self.config.token_indices(module));
        let shared_tokens = tied
            && embedding.contains_key(&Part::Tokens)
            && (tokens[1].is_none() || tokens[0] == tokens[1]);
        let apart = |module: &str, parts: &Parts<'_>| {
            let has = |part| parts.contains_key(&part);
            has(Part::A)
                || has(Part::EmbeddingA)
                || (has(Part::Weight) && !self.of_base(module, tied))
                || (has(Part::Tokens) && !shared_tokens)
        };
        let parted = tied && (apart(EMBEDDING, embedding) || apart(HEAD, head));
        if parted && shared_tokens {
            let message =
                "are rows of the head too, which has numbers of its own; this is not supported";
            return Err(refusal(EMBEDDING, Part::Tokens, message));
        }
        if parted
            && self.config.initial != Initial::Plain
            && head.contains_key(&Part::A)
            && bases[1].is_none()
        {
            let message = "init_lora_weights changes the embedding with the head here, which is not supported";
            return Err(refusal(HEAD, Part::A, message));
        }
        Ok(Vocabulary { size, tied, shared_tokens, parted })
    }

    fn check_module(
        &self,
        module: &str,
        parts: &Parts<'_>,
        parameters: &Parameters,
        vocabulary: Vocabulary,
    ) -> Result<()> {
        // The head of a tied model is the embedding.
        let alias = module == HEAD && vocabulary.tied;
        let own = parameters.get(&format!("{}.weight", if alias { EMBEDDING } else { module }));
        let bias = parameters.get(&format!("{module}.bias")).map(|bias| bias.shape.clone());
        let mut shape = own.map(|weight| weight.shape.clone());
        if let Some(shape) = shape.as_mut().filter(|_| [EMBEDDING, HEAD].contains(&module)) {
            shape[0] = vocabulary.size;
        }
        let scale = self.scales.get(module);
        let decomposed = self.config.initial != Initial::Plain && module != EMBEDDING;
        let matrix = match shape.as_deref() {
            Some(&[out, input]) => Some((out, input)),
            _ => None,
        };
        for (&part, tensor) in parts {
            let rank = scale.map(|scale| match matrix {
                // A decomposition has no more directions than the weight.
                Some((out, input)) if decomposed => scale.rank.min(out).min(input),
                _ => scale.rank,
            });
            let expected = match part {
                Part::Weight | Part::BaseWeight | Part::WeightAgain => shape.clone(),
                Part::Bias | Part::BaseBias | Part::BiasAgain => bias.clone(),
                Part::BiasOfB => {
                    let place = bias.clone();
                    Some(place.ok_or_else(|| {
                        refusal(
                            module,
                            part,
                            format!("{module} has no bias in this model to add it to"),
                        )
                    })?)
                }
                Part::A => matrix.zip(rank).map(|((_, input), rank)| vec![rank, input]),
                Part::B => matrix.zip(rank).map(|((out, _), rank)| vec![out, rank]),
                Part::EmbeddingA => matrix.zip(rank).map(|((rows, _), rank)| vec![rank, rows]),
                Part::EmbeddingB => matrix.zip(rank).map(|((_, width), rank)| vec![width, rank]),
                Part::Magnitude if module == EMBEDDING => matrix.map(|(_, width)| vec![width]),
                Part::Magnitude => matrix.map(|(out, _)| vec![out]),
                Part::Tokens => {
                    let indices = self.config.token_indices(module);
                    let of_both = || self.config.token_indices(EMBEDDING);
                    let indices =
                        indices.or_else(|| of_both().filter(|_| vocabulary.shared_tokens));
                    if let Some(token) =
                        indices.into_iter().flatten().find(|&&at| at >= vocabulary.size)
                    {
                        let message = format!("trainable_token_indices: there is no token {token}");
                        return Err(refusal(module, part, message));
                    }
                    matrix.zip(indices).map(|((_, width), indices)| vec![indices.len(), width])
                }
            };
            match expected {
                Some(expected) => expect(parts::name(module, part), tensor, &expected)?,
                None => {
                    let (name, found) = (parts::name(module, part), tensor.shape.clone());
                    return Err(Error::UnexpectedTensor { name, found });
                }
            }
        }
        Ok(())
    }

    /// Checks that every module that was trained whole is there.
    fn check_saved(
        &self,
        parameters: &Parameters,
        modules: &BTreeMap<&str, Parts<'_>>,
    ) -> Result<()> {
        let weights = parameters.iter().filter_map(|(name, _)| name.strip_suffix(".weight"));
        for module in weights.chain([HEAD]).filter(|module| self.config.saves(module)) {
            if modules.get(module).is_none_or(|parts| !parts.contains_key(&Part::Weight)) {
                let name = parts::name(module, Part::Weight);
                return Err(Error::MissingTensor { name, expected: Vec::new() });
            }
        }
        Ok(())
    }
}

fn expect(name: String, tensor: &Parameter, expected: &[usize]) -> Result<()> {
    let found = tensor.shape.clone();
    if found == expected {
        return Ok(());
    }
    Err(Error::Shape { name, expected: expected.to_vec(), found })
}
