//! Whether this crate computes what a `config.json` means.

use serde_json::Value;

use super::ModelConfig;
use crate::error::{Error, Result};

/// Keeps the product of any two sizes inside 64 bits.
const LARGEST_SIZE: usize = i32::MAX as usize;
/// Both are far beyond any model: a damaged file must not make a list of tensors, or of rotary frequencies, that fills memory.
const MOST_LAYERS: usize = 1 << 12;
const WIDEST_HEAD: usize = 1 << 16;

impl ModelConfig {
    /// Checks that this crate computes what the configuration means.
    ///
    /// # Errors
    /// [`Error::Model`] with the field that is out of range or asks for something that is not supported.
    pub fn validate(&self) -> Result<()> {
        let family = self.family()?;
        let named = self.architectures.is_empty()
            || self.architectures.iter().any(|name| name == family.class());
        if !named {
            return fail(
                "architectures",
                format!(
                    "{:?} is not supported, a {} model must hold {}",
                    self.architectures,
                    self.model_type,
                    family.class()
                ),
            );
        }
        self.validate_sizes()?;
        let epsilon = self.rms_norm_eps();
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return fail("rms_norm_eps", format!("must be a positive number, is {epsilon}"));
        }
        self.dtype()?;
        self.validate_other()?;
        self.architecture().map(drop)
    }

    fn validate_sizes(&self) -> Result<()> {
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.key_value_heads()),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", self.head_dim.unwrap_or(2)),
        ] {
            let most = if field == "num_hidden_layers" { MOST_LAYERS } else { LARGEST_SIZE };
            if !(1..=most).contains(&value) {
                return fail(field, format!("must be at least 1 and at most {most}, is {value}"));
            }
        }
        let (width, heads, head_dim) =
            (self.hidden_size, self.num_attention_heads, self.head_dim());
        if !head_dim.is_multiple_of(2) || head_dim == 0 {
            let field = if self.head_dim.is_some() { "head_dim" } else { "hidden_size" };
            return fail(field, format!("{width} does not give {heads} heads of an even width"));
        }
        if self.head_dim.is_none()
            && self.family()?.head_dim().is_none()
            && head_dim * heads != width
        {
            return fail(
                "hidden_size",
                format!("{width} does not give {heads} heads of an even width"),
            );
        }
        if head_dim > WIDEST_HEAD
            || heads.checked_mul(head_dim).is_none_or(|query| query > LARGEST_SIZE)
        {
            return fail("head_dim", format!("{heads} heads of {head_dim} are too wide"));
        }
        if !heads.is_multiple_of(self.key_value_heads()) {
            return fail(
                "num_key_value_heads",
                format!("{} does not divide num_attention_heads = {heads}", self.key_value_heads()),
            );
        }
        Ok(())
    }

    /// Settings that would change the computation and that this crate has no code for.
    fn validate_other(&self) -> Result<()> {
        let refuse = |field, value: &Value| fail(field, format!("{value} is not supported"));
        if let Some(value) = self.set("quantization_config") {
            return refuse("quantization_config", value);
        }
        for field in ["attention_bias", "mlp_bias", "use_sliding_window"] {
            if let Some(value) = self.set(field)
                && !value.is_boolean()
            {
                return fail(field, format!("must be true or false, is {value}"));
            }
        }
        Ok(())
    }
}

fn fail<T>(field: &'static str, message: String) -> Result<T> {
    Err(Error::Model { field, message })
}
