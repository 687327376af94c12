//! `rope_scaling` of `config.json` from a GGUF file's metadata, as llama.cpp reads it.

use serde_json::{Map, Value};

use super::file::GgufFile;
use crate::error::Result;

/// Keys that converters write and llama.cpp does not read in any family here, with the values that change nothing.
const UNREAD: [(&str, f64); 5] = [
    ("rope.scaling.yarn_beta_fast", 32.0),
    ("rope.scaling.yarn_beta_slow", 1.0),
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];

/// The scaling of a file's rotary embedding, if it has one. `stretch` is what the tensor `rope_freqs.weight` holds.
///
/// # Errors
/// Names the key that asks for something that is not supported, or that llama.cpp and the model's makers take differently.
pub(super) fn scaling(
    file: &GgufFile,
    key: &dyn Fn(&str) -> String,
    context: u64,
    stretch: Option<&[f32]>,
) -> Result<Option<Map<String, Value>>> {
    let mut factor = file.optional_float(&key("rope.scaling.factor"))?;
    if factor.is_none() {
        factor = file.optional_float(&key("rope.scale_linear"))?;
    }
    let factor = factor.filter(|factor| *factor != 0.0);
    let kind_key = key("rope.scaling.type");
    // A factor alone is linear.
    let silent = if factor.is_some() { "linear" } else { "none" };
    let kind = file.optional_text(&kind_key)?.unwrap_or(silent);
    let attention_key = key("rope.scaling.attn_factor");
    let attention = file.optional_float(&attention_key)?.unwrap_or(1.0);
    if attention != 1.0 && kind != "yarn" {
        return file.fail(format!("{attention_key}: {attention} is only supported with yarn"));
    }
    let mut scaling = Map::new();
    match (kind, stretch) {
        ("none", None) => return Ok(None),
        ("linear", None) if factor.is_none() => return Ok(None),
        ("linear", None) => {}
        ("yarn", None) => {
            for (name, plain) in UNREAD {
                let name = key(name);
                if let Some(number) = file.optional_float(&name)?.filter(|number| *number != plain)
                {
                    return file.fail(format!(
                        "{name}: {number} is not supported: llama.cpp computes as if it were {plain}, and the model's \
                         makers meant it; take the Hugging Face folder"
                    ));
                }
            }
            let original = file.optional_integer(&key("rope.scaling.original_context_length"))?;
            let original = original.unwrap_or(context).into();
            scaling.insert("original_max_position_embeddings".to_owned(), original);
            if attention != 1.0 {
                // llama.cpp multiplies what YaRN gives by it; Hugging Face has the product.
                let whole = attention * (0.1 * factor.unwrap_or(1.0).max(1.0).ln() + 1.0);
                scaling.insert("attention_factor".to_owned(), whole.into());
            }
        }
        ("none" | "llama3", Some(stretch)) => return llama3(file, key, stretch).map(Some),
        (kind, _) => return file.fail(format!("{kind_key}: {kind:?} is not supported")),
    }
    scaling.insert("factor".to_owned(), factor.unwrap_or(1.0).into());
    scaling.insert("rope_type".to_owned(), kind.into());
    Ok(Some(scaling))
}

/// The settings of Llama 3.1's scaling that give these divisors. A GGUF file has what they lead to and not the settings;
/// all published models have the three that stand here and differ in the factor.
fn llama3(
    file: &GgufFile,
    key: &dyn Fn(&str) -> String,
    stretch: &[f32],
) -> Result<Map<String, Value>> {
    const ORIGINAL: f64 = 8192.0;
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    let theta = file.optional_float(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    let factor = f64::from(stretch.iter().copied().fold(1.0, f32::max));
    let half = stretch.len() as f64;
    let fits = stretch.iter().enumerate().all(|(pair, &found)| {
        let waves = ORIGINAL * theta.powf(-(pair as f64) / half) / std::f64::consts::TAU;
        let smooth = ((waves - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        let expected = 1.0 / ((1.0 - smooth) / factor + smooth);
        (f64::from(found) - expected).abs() < 1e-3 * expected
    });
    if !fits {
        return file.fail("tensor rope_freqs.weight: not the divisors of a known scaling");
    }
    let mut scaling = Map::new();
    for (name, value) in [
        ("rope_type", "llama3".into()),
        ("factor", factor.into()),
        ("low_freq_factor", LOW.into()),
        ("high_freq_factor", HIGH.into()),
        ("original_max_position_embeddings", (ORIGINAL as u64).into()),
    ] {
        scaling.insert(name.to_owned(), value);
    }
    Ok(scaling)
}
