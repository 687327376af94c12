//! Gemma 3's text models (arXiv 2503.19786): Gemma 2's blocks with an RMSNorm on each head's query and key in the place of
//! soft caps, and with a rotary base of its own in the layers that see a window, five of six.

use super::gemma2::{NORMS, complete, fresh, score_width};
use super::{Description, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases, BlockNorms, NormWidth};
use crate::error::Result;
use crate::rotary::Rope;

pub(super) const FAMILY: Description = Description {
    model_type: "gemma3_text",
    class: "Gemma3ForCausalLM",
    head_dim: Some(256),
    tied: true,
    rope_theta: 1_000_000.0,
    architecture,
    fresh,
    gguf: Some(&Gguf {
        architecture: "gemma3",
        hidden_act: "gelu_pytorch_tanh",
        parts: NORMS,
        numbers: &[
            ("attention.sliding_window", "sliding_window"),
            ("rope.freq_base_swa", "rope_local_base_freq"),
            ("final_logit_softcapping", "final_logit_softcapping"),
        ],
        complete: |fields| complete(fields, LARGEST),
        ..PLAIN_GGUF
    }),
    ..PLAIN
};

/// Where a file is silent.
const WINDOW: usize = 4096;
/// Base of the rotary embedding in layers that see a window, where a file is silent.
const LOCAL_THETA: f64 = 10_000.0;
/// Blocks of the 27B model, which alone divides scores by another root than that of a head's width.
const LARGEST: u64 = 62;
/// One of so many layers sees all, where a file is silent.
const PATTERN: usize = 6;

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    let score_width = score_width(config)?;
    // The library's configuration has the field, and its code does not read it.
    config.refuse("attn_logit_softcapping")?;
    let pattern = config.whole("sliding_window_pattern", PATTERN)?.unwrap_or(PATTERN);
    let sliding = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    let local = config.layers_of("sliding_attention", sliding)?;
    let ropes = vec![
        Rope::of_kind(config, "full_attention", ("rope_theta", true), FAMILY.rope_theta)?,
        Rope::of_kind(config, "sliding_attention", ("rope_local_base_freq", false), LOCAL_THETA)?,
    ];
    Ok(Architecture {
        biases: Biases::attention(config.flag("attention_bias")),
        query_key_norms: Some(NormWidth::Head),
        norms: BlockNorms::AROUND,
        norm_offset: 1.0,
        activation: Activation::GeluTanh,
        embedding_scale: Some((config.hidden_size as f64).sqrt() as f32),
        score_width,
        final_cap: config.optional("final_logit_softcapping")?.map(|cap| cap as f32),
        windows: config.windows(config.whole("sliding_window", WINDOW)?, sliding)?,
        rope_of_layer: local.into_iter().map(|local| Some(usize::from(local))).collect(),
        ..Architecture::turned_by(config, ropes)
    })
}
