//! The families of models that this crate computes.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A family: Llama's blocks with small differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama (Touvron et al., arXiv 2302.13971) and what shares its form, as SmolLM2.
    Llama,
    /// Qwen2 and Qwen2.5 (arXiv 2407.10671): biases on query, key and value.
    Qwen2,
    /// Qwen3 (arXiv 2505.09388): RMSNorm on each head's query and key.
    Qwen3,
}

impl Family {
    const ALL: [Self; 3] = [Self::Llama, Self::Qwen2, Self::Qwen3];

    /// `model_type` in `config.json`; also the architecture's name in a GGUF file.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The name in `architectures`.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The family with this `model_type`.
    ///
    /// # Errors
    /// [`Error::Model`] when there is none.
    pub fn of_model_type(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|family| family.model_type() == name);
        found.ok_or_else(|| Error::Model {
            field: "model_type",
            message: format!("{name:?} is not supported, only llama, qwen2 and qwen3 are"),
        })
    }
}
