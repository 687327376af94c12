//! llama.cpp's GGUF files of the Llama, Qwen2 and Qwen3 families, read into a [`Checkpoint`].

mod blocks;
mod config;
mod file;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::{TOKENIZER_CONFIG, name_special_tokens};
use crate::parameters::Parameter;
use crate::{Checkpoint, Dtype, Error, Family, ModelConfig, Parameters, Result};
use file::GgufFile;

/// Divisors of the rotary frequencies, which some files carry as a tensor.
const ROPE_FREQUENCIES: &str = "rope_freqs.weight";

impl Checkpoint {
    /// Reads a GGUF file (version 2 or 3; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K). Quantised
    /// numbers are widened to what they stand for; [`Checkpoint::save`] will write them as `dtype`. The value head is
    /// fresh.
    ///
    /// # Errors
    /// When the file is damaged, of another family, or holds an element type or a tokenizer that is not supported; the
    /// message names the tensor or the metadata key.
    pub fn load_gguf(path: &Path, dtype: Dtype) -> Result<Self> {
        let mut file = GgufFile::open(path)?;
        let stretch = file.tensors.iter().position(|tensor| tensor.name == ROPE_FREQUENCIES);
        let stretch = stretch.map(|index| file.read(index)).transpose()?;
        let config =
            config::config(&file, dtype, stretch.as_ref().map(|tensor| &tensor.values[..]))?;
        let mut tokenizer = tokenizer::tokenizer(&file)?;
        if tokenizer.id_limit() > config.vocab_size {
            let (tokens, rows) = (tokenizer.id_limit(), config.vocab_size);
            let message = format!("{tokens} tokens, but token_embd.weight has {rows} rows");
            return Err(Error::format(path, message));
        }
        let settings = tokenizer::settings(&file, config.max_position_embeddings)?;
        let companions = BTreeMap::from([(TOKENIZER_CONFIG.to_owned(), settings)]);
        name_special_tokens(&mut tokenizer, &config, &companions)?;
        let parameters = Parameters::from_tensors(&config, tensors(&mut file, &config)?)?;
        Ok(Self { config, tokenizer, parameters, companions })
    }
}

/// All tensors under their Hugging Face names.
fn tensors(file: &mut GgufFile, config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    let permuted = config.family()? == Family::Llama;
    let mut tensors = BTreeMap::new();
    for index in 0..file.tensors.len() {
        let theirs = file.tensors[index].name.clone();
        if theirs == ROPE_FREQUENCIES {
            continue;
        }
        let Some(name) = hugging_face_name(&theirs) else {
            let found = file.tensors[index].shape.clone();
            return Err(Error::UnexpectedTensor { name: theirs, found });
        };
        let mut tensor = file.read(index)?;
        let heads = match theirs.split('.').nth(2) {
            Some("attn_q") if permuted => Some(config.num_attention_heads),
            Some("attn_k") if permuted => Some(config.key_value_heads()),
            _ => None,
        };
        if let Some(heads) = heads {
            tensor.values = unpermute(&tensor, heads, config.head_dim());
        }
        if tensors.insert(name, tensor).is_some() {
            return file.fail(format!("tensor {theirs}: there twice"));
        }
    }
    Ok(tensors)
}

/// `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`.
fn hugging_face_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let mut parts = name.strip_prefix("blk.")?.splitn(3, '.');
    let (layer, part, what) = (parts.next()?, parts.next()?, parts.next()?);
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{what}"))
}

/// Puts the rows of Llama's query and key back: llama.cpp stores the two rows of a rotary pair side by side, Hugging
/// Face half a head apart. A tensor of another shape is left for the check of shapes.
fn unpermute(tensor: &Parameter, heads: usize, head_dim: usize) -> Vec<f32> {
    let row = tensor.shape.get(1).copied().unwrap_or(1);
    if tensor.shape.first() != Some(&(heads * head_dim)) || tensor.values.is_empty() {
        return tensor.values.clone();
    }
    let half = head_dim / 2;
    let mut values = Vec::with_capacity(tensor.values.len());
    for to in 0..heads * head_dim {
        let (head, within) = (to / head_dim, to % head_dim);
        let from = head * head_dim + within % half * 2 + within / half;
        values.extend_from_slice(&tensor.values[from * row..][..row]);
    }
    values
}
