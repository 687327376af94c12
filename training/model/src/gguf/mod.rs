//! llama.cpp's GGUF files as a checkpoint's parts.

mod blocks;
mod config;
mod file;
mod four_bit_blocks;
mod grid_blocks;
mod grids;
mod k_blocks;
#[cfg(test)]
mod llama_cpp;
mod pre_tokenizers;
mod rope;
mod sentencepiece;
mod split;
mod ternary_blocks;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::fused;
use crate::config::{Gguf, ModelConfig};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::parameters::{Parameter, Parameters};
use crate::tokenizer::Tokenizer;
use file::GgufFile;

/// Divisors of the rotary frequencies, which some files carry as a tensor.
const ROPE_FREQUENCIES: &str = "rope_freqs.weight";

/// What a file holds.
pub(crate) struct Contents {
    pub config: ModelConfig,
    pub tokenizer: Tokenizer,
    pub parameters: Parameters,
    /// The content of `tokenizer_config.json` that says the same as the file's metadata.
    pub tokenizer_config: Vec<u8>,
}

/// Reads a file whose net will be saved as `dtype`.
///
/// # Errors
/// When the file is damaged, of another family, or holds an element type or a tokenizer that is not supported; the
/// message names the tensor or the metadata key.
pub(crate) fn read(path: &Path, dtype: Dtype) -> Result<Contents> {
    let mut file = GgufFile::open(path)?;
    let stretch = file.tensors.iter().position(|tensor| tensor.name == ROPE_FREQUENCIES);
    let stretch = stretch.map(|index| file.read(index)).transpose()?;
    let config = config::config(&file, dtype, stretch.as_ref().map(|tensor| &tensor.values[..]))?;
    let tokenizer = tokenizer::tokenizer(&file)?;
    let tokenizer_config = tokenizer::settings(&file, config.max_position_embeddings)?;
    let mut tensors = tensors(&mut file, &config)?;
    fused::split(&config, &mut tensors)?;
    let parameters = Parameters::from_tensors(&config, tensors)?;
    Ok(Contents { config, tokenizer, parameters, tokenizer_config })
}

/// All tensors under their Hugging Face names.
fn tensors(file: &mut GgufFile, config: &ModelConfig) -> Result<BTreeMap<String, Parameter>> {
    let (_, gguf) = config::family(file)?;
    let offset = config.architecture()?.norm_offset;
    let mut tensors = BTreeMap::new();
    for index in 0..file.tensors.len() {
        let theirs = file.tensors[index].name.clone();
        if theirs == ROPE_FREQUENCIES {
            continue;
        }
        let Some(name) = hugging_face_name(gguf, &theirs) else {
            let found = file.tensors[index].shape.clone();
            return Err(Error::UnexpectedTensor { name: theirs, found });
        };
        let mut tensor = file.read(index)?;
        let heads = match theirs.split('.').nth(2) {
            Some("attn_q") if gguf.permuted => Some(config.num_attention_heads),
            Some("attn_k") if gguf.permuted => Some(config.key_value_heads()),
            _ => None,
        };
        if let Some(heads) = heads {
            tensor.values = unpermute(&tensor, heads, config.head_dim());
        }
        // llama.cpp's converter adds the offset into the weights.
        if offset != 0.0 && theirs.ends_with("norm.weight") {
            tensor.values.iter_mut().for_each(|value| *value -= offset);
        }
        // A matrix of one row may be a list.
        if name.ends_with("shared_expert_gate.weight") && tensor.shape.len() == 1 {
            tensor.shape.insert(0, 1);
        }
        for (name, tensor) in unstacked(name, tensor) {
            if tensors.insert(name, tensor).is_some() {
                return file.fail(format!("tensor {theirs}: there twice"));
            }
        }
    }
    Ok(tensors)
}

/// The matrices of a stack, whose name has a `*` for their numbers; a tensor with another name as it is, and a stack of
/// another shape under its own name, so that it is refused by it.
fn unstacked(name: String, tensor: Parameter) -> Vec<(String, Parameter)> {
    let (&[count, rows, columns], true) = (tensor.shape.as_slice(), name.contains('*')) else {
        return vec![(name, tensor)];
    };
    let matrices = tensor.values.chunks(rows.saturating_mul(columns).max(1)).take(count);
    let numbered = matrices.enumerate().map(|(number, values)| {
        let values = values.to_vec();
        (name.replace('*', &number.to_string()), Parameter { shape: vec![rows, columns], values })
    });
    numbered.collect()
}

/// `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`.
fn hugging_face_name(gguf: &Gguf, name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let mut parts = name.strip_prefix("blk.")?.splitn(3, '.');
    let (layer, part, what) = (parts.next()?, parts.next()?, parts.next()?);
    let own = gguf.parts.iter().find(|(theirs, _)| *theirs == part);
    if let Some((_, part)) = own {
        return Some(format!("model.layers.{layer}.{part}.{what}"));
    }
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
