//! `config.json` from a GGUF file's metadata.

use serde_json::json;

use super::file::{GgufFile, Value};
use super::rope;
use crate::config::{Family, Gguf, ModelConfig};
use crate::dtype::Dtype;
use crate::error::Result;

/// Typed reading of the metadata.
impl GgufFile {
    fn wrong<T>(&self, key: &str, wanted: &str) -> Result<T> {
        match self.metadata.get(key) {
            None => self.fail(format!("{key}: missing")),
            Some(Value::List(_)) => self.fail(format!("{key}: must be {wanted}, is a list")),
            Some(value) => self.fail(format!("{key}: must be {wanted}, is {value:?}")),
        }
    }

    /// A whole number, if the key is there.
    pub fn optional_integer(&self, key: &str) -> Result<Option<u64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number)),
            Some(Value::Signed(number)) if *number >= 0 => Ok(Some(number.unsigned_abs())),
            Some(_) => self.wrong(key, "a whole number"),
        }
    }

    fn integer(&self, key: &str) -> Result<u64> {
        match self.optional_integer(key)? {
            Some(number) => Ok(number),
            None => self.wrong(key, "a whole number"),
        }
    }

    pub fn optional_float(&self, key: &str) -> Result<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(_) => self.wrong(key, "a number"),
        }
    }

    /// A whole number or another, if the key is there.
    fn optional_number(&self, key: &str) -> Result<Option<serde_json::Value>> {
        match self.metadata.get(key) {
            Some(Value::Float(_)) => Ok(self.optional_float(key)?.map(Into::into)),
            _ => Ok(self.optional_integer(key)?.map(Into::into)),
        }
    }

    pub fn optional_text(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => self.wrong(key, "a text"),
        }
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        match self.optional_text(key)? {
            Some(text) => Ok(text),
            None => self.wrong(key, "a text"),
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        self.metadata.get(key) == Some(&Value::Bool(true))
    }

    pub fn list(&self, key: &str) -> Result<&[Value]> {
        match self.metadata.get(key) {
            Some(Value::List(values)) => Ok(values),
            _ => self.wrong(key, "a list"),
        }
    }

    fn has_tensor(&self, name: &str) -> bool {
        self.tensors.iter().any(|tensor| tensor.name == name)
    }
}

/// The family that a file's architecture names, and how the file holds it.
pub(super) fn family(file: &GgufFile) -> Result<(Family, &'static Gguf)> {
    let name = file.text("general.architecture")?;
    Family::of_gguf(name).or_else(|message| file.fail(format!("general.architecture: {message}")))
}

/// The configuration of a file's net, to be saved in `dtype`. `stretch` is what the tensor `rope_freqs.weight` holds.
pub(super) fn config(
    file: &GgufFile,
    dtype: Dtype,
    stretch: Option<&[f32]>,
) -> Result<ModelConfig> {
    let (family, gguf) = family(file)?;
    let key = |name: &str| format!("{}.{name}", gguf.architecture);
    let known = |name: &str| gguf.numbers.iter().any(|(theirs, _)| *theirs == name);
    for name in ["expert_count", "attention.sliding_window"].into_iter().filter(|name| !known(name))
    {
        if let Some(number) = file.optional_integer(&key(name))?.filter(|number| *number > 0) {
            return file.fail(format!("{}: {number} is not supported", key(name)));
        }
    }
    let scales = ["attention.scale", "logit_scale", "residual_scale", "embedding_scale"];
    let caps = ["attn_logit_softcapping", "final_logit_softcapping"];
    for name in scales.into_iter().chain(caps).filter(|name| !known(name)) {
        if let Some(number) = file.optional_float(&key(name))? {
            return file.fail(format!("{}: {number} is not supported", key(name)));
        }
    }
    let width = file.integer(&key("embedding_length"))?;
    let heads = file.integer(&key("attention.head_count"))?;
    let key_value_heads = file.optional_integer(&key("attention.head_count_kv"))?;
    let default_head_dim = width.checked_div(heads).unwrap_or(0);
    let head_dim = file.optional_integer(&key("attention.key_length"))?;
    let head_dim = head_dim.unwrap_or(default_head_dim);
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = file.optional_integer(&key(name))?.filter(|other| *other != head_dim) {
            let message = format!("{} is {other} and a head's width {head_dim}", key(name));
            return file.fail(format!("{message}: different widths are not supported"));
        }
    }
    let Some(embedding) = file.tensors.iter().find(|tensor| tensor.name == "token_embd.weight")
    else {
        return file.fail("tensor token_embd.weight: missing");
    };
    let context = file.integer(&key("context_length"))?;
    let mut config = json!({
        "architectures": [family.class()],
        "model_type": family.model_type(),
        "vocab_size": embedding.shape.first().copied().unwrap_or(0),
        "hidden_size": width,
        "intermediate_size": file.integer(&key("feed_forward_length"))?,
        "num_hidden_layers": file.integer(&key("block_count"))?,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads.unwrap_or(heads),
        "head_dim": head_dim,
        "rms_norm_eps": file.optional_float(&key("attention.layer_norm_rms_epsilon"))?,
        "rope_theta": file.optional_float(&key("rope.freq_base"))?,
        "max_position_embeddings": context,
        "tie_word_embeddings": !file.has_tensor("output.weight"),
        "torch_dtype": dtype.name(),
        "hidden_act": gguf.hidden_act,
        "eos_token_id": eos(file)?,
        "bos_token_id": file.optional_integer("tokenizer.ggml.bos_token_id")?,
        "pad_token_id": file.optional_integer("tokenizer.ggml.padding_token_id")?,
        "rope_scaling": rope::scaling(file, &key, context, stretch)?,
    });
    if let Some(fields) = config.as_object_mut() {
        // Families that have these biases in any case, or none, do not look at the fields.
        for (tensor, field) in
            [("blk.0.attn_output.bias", "attention_bias"), ("blk.0.ffn_up.bias", "mlp_bias")]
        {
            if file.has_tensor(tensor) {
                fields.insert(field.to_owned(), true.into());
            }
        }
        for (theirs, field) in gguf.numbers {
            if let Some(number) = file.optional_number(&key(theirs))? {
                fields.insert((*field).to_owned(), number);
            }
        }
        (gguf.complete)(fields);
        fields.retain(|_, value| !value.is_null());
    }
    let mut config: ModelConfig = match serde_json::from_value(config) {
        Ok(config) => config,
        Err(error) => return file.fail(error),
    };
    config.complete();
    config.validate()?;
    Ok(config)
}

/// Tokens that end a text.
fn eos(file: &GgufFile) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
        if let Some(id) = file.optional_integer(key)?.filter(|id| !ids.contains(id)) {
            ids.push(id);
        }
    }
    Ok(ids)
}
