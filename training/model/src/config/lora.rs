//! The recipe's `[training] lora` section.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Low-rank training: the net's own weights stay, and a pair of small matrices beside each chosen one learns. The value
/// head is trained in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the pairs, r.
    pub rank: usize,
    /// The pairs' product is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Which of a block's linear modules get a pair: any of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj` and `down_proj`.
    pub target_modules: Vec<String>,
}

const MODULES: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl Default for LoraConfig {
    /// All linear modules, as QLoRA found best (arXiv 2305.14314 §4).
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, target_modules: MODULES.map(str::to_owned).to_vec() }
    }
}

impl LoraConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first field that is outside its range.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, message: String| Err(Error::Setting { field, message });
        if !(1..=1 << 16).contains(&self.rank) {
            return fail("lora.rank", format!("must be at least 1, is {}", self.rank));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return fail("lora.alpha", format!("must be a positive number, is {}", self.alpha));
        }
        if self.target_modules.is_empty() {
            return fail("lora.target_modules", "must name at least one module".to_owned());
        }
        match self.target_modules.iter().find(|name| !MODULES.contains(&name.as_str())) {
            Some(name) => {
                fail("lora.target_modules", format!("{name:?} is none of {}", MODULES.join(", ")))
            }
            None => Ok(()),
        }
    }
}
