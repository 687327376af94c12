//! The families of models that this crate computes. Each is one file here, and one line in [`ALL`].

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

use super::architecture::{Activation, Architecture, Experts};
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

/// Reading what a family's files ask for.
impl ModelConfig {
    /// Checks the name of the activation in one of two fields.
    fn check_activation(&self, field: &'static str, wanted: Activation) -> Result<()> {
        let names: &[&str] = match wanted {
            Activation::Silu => &["silu", "swish"],
            Activation::GeluTanh => &["gelu_pytorch_tanh"],
        };
        match self.set(field) {
            Some(value) if names.iter().all(|name| value != name) => self.refuse(field),
            _ => Ok(()),
        }
    }

    /// Refuses a field that is set.
    fn refuse(&self, field: &'static str) -> Result<()> {
        match self.set(field) {
            Some(value) => fail(field, format!("{value} is not supported")),
            None => Ok(()),
        }
    }

    /// A number in a field, `default` where the file does not have the field; none where it says null.
    fn number(&self, field: &'static str, default: f64) -> Result<Option<f64>> {
        if !self.other.contains_key(field) {
            return Ok(Some(default));
        }
        let Some(value) = self.set(field) else { return Ok(None) };
        match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => fail(field, format!("must be a positive number, is {value}")),
        }
    }

    /// As [`Self::number`], in whole positions or layers.
    fn whole(&self, field: &'static str, default: usize) -> Result<Option<usize>> {
        match self.number(field, default as f64)? {
            Some(number) if number.fract() != 0.0 || number > f64::from(i32::MAX) => {
                fail(field, format!("must be a positive whole number, is {number}"))
            }
            number => Ok(number.map(|number| number as usize)),
        }
    }

    /// A number in a field that need not be there.
    fn optional(&self, field: &'static str) -> Result<Option<f64>> {
        self.set(field).map_or(Ok(None), |_| self.number(field, 1.0))
    }

    /// As [`Self::optional`], in whole positions or layers.
    fn optional_whole(&self, field: &'static str) -> Result<Option<usize>> {
        self.set(field).map_or(Ok(None), |_| self.whole(field, 1))
    }

    /// Refuses layers that do not see the whole context. A window that is off, or as long as the context, hides nothing.
    fn check_whole_context(&self) -> Result<()> {
        let on = self.flag("use_sliding_window");
        let off = self.other.contains_key("use_sliding_window") && !on;
        let window = if off { None } else { self.optional_whole("sliding_window")? };
        let hides = window.is_some_and(|window| window < self.max_position_embeddings);
        if on && (hides || window.is_none()) {
            return fail("use_sliding_window", "is not supported in this family".to_owned());
        }
        if hides {
            return self.refuse("sliding_window");
        }
        self.windows(window, |_| false).map(drop)
    }

    /// The window of each layer: by `layer_types` where the file has them, else in the layers that `sliding` picks.
    fn windows(
        &self,
        window: Option<usize>,
        sliding: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let layers = self.num_hidden_layers;
        // A window as long as the context hides nothing.
        let hiding = window.filter(|window| *window < self.max_position_embeddings);
        let Some(types) = self.set("layer_types") else {
            return Ok((0..layers).map(|layer| hiding.filter(|_| sliding(layer))).collect());
        };
        let kind = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Some(None),
            Some("sliding_attention") if window.is_some() => Some(hiding),
            _ => None,
        };
        let windows = types.as_array().filter(|types| types.len() == layers);
        let windows = windows.and_then(|types| types.iter().map(kind).collect());
        windows.ok_or_else(|| Error::Model {
            field: "layer_types",
            message: format!("{types} is not supported"),
        })
    }

    /// Which layers are of a kind: by `layer_types` where the file has them, else those that `pick` picks.
    fn layers_of(&self, kind: &str, pick: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
        let layers = self.num_hidden_layers;
        match self.set("layer_types") {
            None => Ok((0..layers).map(pick).collect()),
            Some(Value::Array(types)) if types.len() == layers => {
                Ok(types.iter().map(|other| other == kind).collect())
            }
            Some(types) => fail("layer_types", format!("{types} is not supported")),
        }
    }

    /// Qwen's windows: off unless `use_sliding_window`, and then in the layers from `max_window_layers` on.
    fn late_windows(&self) -> Result<Vec<Option<usize>>> {
        if !self.flag("use_sliding_window") {
            return self.windows(None, |_| false);
        }
        let first = match self.set("max_window_layers").and_then(Value::as_u64) {
            Some(layer) => layer as usize,
            None => 28,
        };
        self.windows(self.whole("sliding_window", 4096)?, |layer| layer >= first)
    }

    /// A mixture of experts by the fields that Qwen's files have.
    fn experts(&self) -> Result<Experts> {
        let required = |field: &'static str| match self.optional_whole(field)? {
            Some(number) if number <= MOST_EXPERTS => Ok(number),
            Some(number) => fail(field, format!("{number} is too large")),
            None => fail(field, "is missing".to_owned()),
        };
        // Newer files have the other name.
        let name = match self.set("num_local_experts") {
            Some(_) => "num_local_experts",
            None => "num_experts",
        };
        let count = required(name)?;
        let per_token = required("num_experts_per_tok")?;
        if per_token > count {
            return fail(
                "num_experts_per_tok",
                format!("{per_token} is more than num_experts = {count}"),
            );
        }
        let layers = self.num_hidden_layers;
        if count * layers > MOST_EXPERTS {
            return fail("num_experts", format!("{count} in {layers} layers are too many"));
        }
        let step = self.whole("decoder_sparse_step", 1)?.unwrap_or(1);
        let plain: Vec<u64> = match self.set("mlp_only_layers") {
            None => Vec::new(),
            Some(value) => {
                let list = value.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
                let Some(list) = list else {
                    return fail("mlp_only_layers", format!("{value} is not a list of layers"));
                };
                list
            }
        };
        let sparse =
            |layer: usize| (layer + 1).is_multiple_of(step) && !plain.contains(&(layer as u64));
        Ok(Experts {
            count,
            per_token,
            inner: required("moe_intermediate_size")?,
            normalised: self.flag("norm_topk_prob"),
            shared: None,
            layers: (0..layers).map(sparse).collect(),
        })
    }
}

/// Far beyond any model, in all layers together: a damaged file must not make a list of tensors that fills memory.
const MOST_EXPERTS: usize = 1 << 16;

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
