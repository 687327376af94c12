//! Rank and scale of each module, by `rank_pattern` and `alpha_pattern`.

use fancy_regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::adapter_config::AdapterConfig;

const RANKS: &str = "rank_pattern";
const ALPHAS: &str = "alpha_pattern";
/// Steps that the search for one match may take; a name has a hundred characters.
const PATIENCE: usize = 100_000;

/// Rank and factor of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// Rows of `A` by the configuration.
    pub rank: usize,
    /// What `B A x` is multiplied by.
    pub factor: f64,
}

/// The patterns of a configuration, compiled.
#[derive(Debug)]
pub(super) struct Patterns<'a> {
    config: &'a AdapterConfig,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
}

impl<'a> Patterns<'a> {
    /// # Errors
    /// Names the pattern that is no regular expression, or has no number.
    pub fn new(config: &'a AdapterConfig) -> Result<Self, String> {
        let ranks = compile(RANKS, config.rank_pattern())?;
        let alphas = compile(ALPHAS, config.alpha_pattern())?;
        Ok(Self { config, ranks, alphas })
    }

    /// Of the module of this name.
    ///
    /// # Errors
    /// When there is no such rank or scale, or a pattern takes too long.
    pub fn scale(&self, module: &str) -> Result<Scale, String> {
        let rank = first(RANKS, &self.ranks, module)?;
        let alpha = first(ALPHAS, &self.alphas, module)?.unwrap_or(self.config.alpha());
        let (field, rank) = match rank {
            None => ("r", self.config.rank()),
            Some(rank) if rank.fract() == 0.0 && (0.0..1e9).contains(&rank) => {
                (RANKS, rank as usize)
            }
            Some(rank) => return Err(format!("{RANKS}: {rank} is no rank")),
        };
        let width = rank as f64;
        let factor = alpha / if self.config.rank_stabilised() { width.sqrt() } else { width };
        if rank == 0 || !factor.is_finite() {
            let message =
                format!("{field}: {rank} with lora_alpha {alpha} gives {module} no scale");
            return Err(message);
        }
        Ok(Scale { rank, factor })
    }
}

/// As PEFT reads patterns: the end of a name, from a dot on.
fn compile(field: &str, patterns: &Map<String, Value>) -> Result<Vec<(Regex, f64)>, String> {
    let compiled = patterns.iter().map(|(pattern, value)| {
        let told = |why: String| format!("{field}: {pattern:?}: {why}");
        let number = value.as_f64().ok_or_else(|| told(format!("{value} is no number")))?;
        let regex = RegexBuilder::new(&format!(r"^(.*\.)?({pattern})$"))
            .backtrack_limit(PATIENCE)
            .build()
            .map_err(|error| told(error.to_string()))?;
        Ok((regex, number))
    });
    compiled.collect()
}

/// The number of the first pattern that fits.
fn first(field: &str, patterns: &[(Regex, f64)], module: &str) -> Result<Option<f64>, String> {
    for (regex, number) in patterns {
        let told = |error| format!("{field}: {}: {error}", regex.as_str());
        if regex.is_match(module).map_err(told)? {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}
