//! The families of models that this crate computes. Each is one file here, and one line in [`ALL`].

mod fields;
mod gemma2;
mod gemma3;
mod granite;
mod llama;
mod mistral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod smollm3;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::architecture::Architecture;
use super::{ModelConfig, NetConfig};
use crate::error::{Error, Result};

const ALL: &[&Description] = &[
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &granite::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &olmo2::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen2_moe::FAMILY,
    &qwen3::FAMILY,
    &qwen3_moe::FAMILY,
    &smollm3::FAMILY,
];

/// What a family's file says of it.
struct Description {
    /// `model_type` in `config.json`, and the name in recipes.
    model_type: &'static str,
    /// The name in `architectures`.
    class: &'static str,
    /// Width of a head where a file is silent, if it does not follow from the other sizes.
    head_dim: Option<usize>,
    /// Whether the head reuses the embedding matrix where a file is silent.
    tied: bool,
    /// RMSNorm's epsilon where a file is silent.
    rms_norm_eps: f64,
    /// Base of the rotary embedding where a file is silent.
    rope_theta: f64,
    /// Matrices that the family's files hold as one.
    fused: &'static [Fused],
    /// The facts of a configuration whose sizes were checked, or the first field that asks for something that is not
    /// supported.
    architecture: fn(&ModelConfig) -> Result<Architecture>,
    /// Adds to `config.json` of a fresh net what the family's files have beyond the fields of [`ModelConfig`].
    fresh: fn(&NetConfig, &mut Map<String, Value>),
    gguf: Option<&'static Gguf>,
}

/// What a family's file need not say.
const PLAIN: Description = Description {
    model_type: "",
    class: "",
    head_dim: None,
    tied: false,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000.0,
    fused: &[],
    architecture: Architecture::llama,
    fresh: silu,
    gguf: None,
};

/// Matrices of one input that a family's files hold as one: the rows of the first, then those of the next.
#[derive(Debug)]
pub(crate) struct Fused {
    pub name: &'static str,
    pub parts: &'static [&'static str],
}

/// How llama.cpp's files hold a family.
#[derive(Debug)]
pub(crate) struct Gguf {
    /// `general.architecture`, and what its keys begin with.
    pub architecture: &'static str,
    /// The activation, which files do not name.
    pub hidden_act: &'static str,
    /// Whether the two rows of a rotary pair lie side by side in query and key, where Hugging Face has them half a head
    /// apart.
    pub permuted: bool,
    /// Parts of tensors' names that are not Llama's: theirs, and Hugging Face's, where a `*` stands for the number of each
    /// matrix in a stack of them.
    pub parts: &'static [(&'static str, &'static str)],
    /// Numbers of the metadata, and the fields of `config.json` that they become.
    pub numbers: &'static [(&'static str, &'static str)],
    /// Adds to `config.json` what follows from the rest.
    pub complete: fn(&mut Map<String, Value>),
}

/// What a family's part of [`Gguf`] need not say.
const PLAIN_GGUF: Gguf = Gguf {
    architecture: "",
    hidden_act: "silu",
    permuted: false,
    parts: &[],
    numbers: &[],
    complete: |_| {},
};

/// llama.cpp's names of a mixture's tensors, and Hugging Face's.
const EXPERT_PARTS: &[(&str, &str)] = &[
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.experts.*.gate_proj"),
    ("ffn_up_exps", "mlp.experts.*.up_proj"),
    ("ffn_down_exps", "mlp.experts.*.down_proj"),
    ("ffn_gate_inp_shexp", "mlp.shared_expert_gate"),
    ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
    ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
];
/// llama.cpp's names of its sizes, and Hugging Face's.
const EXPERT_NUMBERS: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
];

/// A family of models, by `model_type`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Family(&'static Description);

impl Family {
    /// `model_type` in `config.json`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        self.0.model_type
    }

    /// The name in `architectures`.
    #[must_use]
    pub fn class(self) -> &'static str {
        self.0.class
    }

    /// The family with this `model_type`.
    ///
    /// # Errors
    /// [`Error::Model`] when there is none.
    pub fn of_model_type(name: &str) -> Result<Self> {
        let found = ALL.iter().find(|family| family.model_type == name);
        found.map(|family| Self(family)).ok_or_else(|| Error::Model {
            field: "model_type",
            message: format!("{name:?} is not supported, only {} are", names(|f| f.model_type)),
        })
    }

    /// The family that a GGUF file's `general.architecture` names, and how the file holds it.
    pub(crate) fn of_gguf(name: &str) -> Result<(Self, &'static Gguf), String> {
        let found = ALL.iter().find_map(|family| {
            let gguf = family.gguf.filter(|gguf| gguf.architecture == name)?;
            Some((Self(family), gguf))
        });
        found.ok_or_else(|| {
            let known = names(|family| family.gguf.map_or("", |gguf| gguf.architecture));
            format!("{name:?} is not supported, only {known} are")
        })
    }

    pub(super) fn head_dim(self) -> Option<usize> {
        self.0.head_dim
    }

    pub(super) fn tied(self) -> bool {
        self.0.tied
    }

    pub(super) fn rms_norm_eps(self) -> f64 {
        self.0.rms_norm_eps
    }

    pub(super) fn rope_theta(self) -> f64 {
        self.0.rope_theta
    }

    pub(crate) fn fused(self) -> &'static [Fused] {
        self.0.fused
    }

    pub(super) fn architecture(self, config: &ModelConfig) -> Result<Architecture> {
        (self.0.architecture)(config)
    }

    pub(super) fn fresh(self, net: &NetConfig, fields: &mut Map<String, Value>) {
        (self.0.fresh)(net, fields);
    }
}

/// The families' names in a sentence.
fn names(name: impl Fn(&Description) -> &'static str) -> String {
    let names: Vec<&str> =
        ALL.iter().map(|family| name(family)).filter(|name| !name.is_empty()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

impl Default for Family {
    /// Llama.
    fn default() -> Self {
        Self(&llama::FAMILY)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.model_type() == other.model_type()
    }
}

impl Eq for Family {}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

impl TryFrom<String> for Family {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::of_model_type(&name)
    }
}

impl From<Family> for String {
    fn from(family: Family) -> Self {
        family.model_type().to_owned()
    }
}

fn fail<T>(field: &'static str, message: String) -> Result<T> {
    Err(Error::Model { field, message })
}

/// A fresh net's experts: four, of which two read a token, each of half the feed-forward layer's width.
fn fresh_experts(net: &NetConfig, fields: &mut Map<String, Value>) {
    silu(net, fields);
    fields.insert("num_experts".to_owned(), 4.into());
    fields.insert("num_experts_per_tok".to_owned(), 2.into());
    fields.insert("moe_intermediate_size".to_owned(), (net.intermediate / 2).max(1).into());
    fields.insert("norm_topk_prob".to_owned(), true.into());
}

/// A fresh net's activation, as most families' files name it.
fn silu(_: &NetConfig, fields: &mut Map<String, Value>) {
    fields.insert("hidden_act".to_owned(), "silu".into());
}
