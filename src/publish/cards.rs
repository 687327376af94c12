//! The cards of repositories: front matter that the Hub reads, and how the files came about.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Published;
use crate::recipe::Recipe;

/// The card of what a round of a run gave.
///
/// # Errors
/// When the run's recipe cannot be read.
pub(super) fn card(run: &Path, name: &str, round: usize, published: Published) -> Result<String> {
    let place = run.join("recipe.toml");
    let text =
        fs::read_to_string(&place).with_context(|| format!("cannot read {}", place.display()))?;
    let recipe: Recipe =
        toml::from_str(&text).with_context(|| format!("cannot read {}", place.display()))?;
    let (front, about) = match published {
        Published::Checkpoint => (
            "library_name: transformers\npipeline_tag: text-generation\ntags:\n- espalier\n- process-supervision\n- monte-carlo-tree-search\n",
            "A policy and value net that learned from its own tree searches. `AutoModelForCausalLM` reads the policy; the value head's weights \
             are in `value_head.safetensors`, and `espalier export` makes a token classifier of it.",
        ),
        Published::Labels => (
            "configs:\n- config_name: steps\n  data_files: labels.jsonl\n- config_name: trl\n  data_files: stepwise.jsonl\ntags:\n- espalier\n\
             - process-supervision\n",
            "Step labels: solutions whose steps carry the Q-values that a tree search gave them (`steps`), and the same in TRL's stepwise form \
             (`trl`).",
        ),
    };
    let mut card = format!("---\n{front}---\n\n# {name}, round {round}\n\n{about}\n");
    if !recipe.about.trim().is_empty() {
        card.push_str(&format!("\nRecipe `{}`: {}\n", recipe.name, recipe.about.trim()));
    }
    if let Ok(table) = fs::read_to_string(run.join("table.md")) {
        card.push_str(&format!("\n## Measured\n\n{}\n", table.trim()));
    }
    card.push_str(&format!(
        "\n## Recipe\n\nMade by Espalier {}.\n\n```toml\n{}\n```\n",
        env!("CARGO_PKG_VERSION"),
        text.trim()
    ));
    Ok(card)
}
