use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use espalier_training::LocalEvaluator;
use serde::Deserialize;
use serde_json::json;

use super::arguments::{RecipeArguments, check_device, print_json, print_line};
use espalier::jsonl;

/// Texts that are scored before their lines are printed.
const TOGETHER: usize = 256;

/// Read given texts with a net: the log-probability of each token, and the value of the state after the text.
///
/// All tokens of a text are read in one pass, as if the net had sampled them after the context. Contexts that begin alike are read
/// once.
#[derive(Debug, Args)]
#[command(after_help = "Example row:\n  {\"context\": \"26:3 5 7\\n\", \"text\": \"7*3=\"}\n\n\
    espalier score steps.jsonl --checkpoint runs/countdown-s1/rounds/3/checkpoint")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Texts, one `{context, text}` a line.
    file: PathBuf,
    /// The net.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Print one JSON object a text, with every token's log-probability.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    context: String,
    text: String,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    check_device(&recipe)?;
    let rows: Vec<(usize, Row)> = jsonl::read_numbered(&arguments.file)?;
    if rows.is_empty() {
        bail!("{} holds no texts", arguments.file.display());
    }
    let config = recipe.policy.local().inference(&recipe.compute, Vec::new());
    let net = LocalEvaluator::load(&arguments.checkpoint, config)
        .with_context(|| format!("cannot load {}", arguments.checkpoint.display()))?;
    let (mut sum, mut tokens) = (0.0, 0);
    for rows in rows.chunks(TOGETHER) {
        let texts: Vec<(&str, &str)> =
            rows.iter().map(|(_, row)| (row.context.as_str(), row.text.as_str())).collect();
        for ((line, _), score) in rows.iter().zip(net.score(&texts)) {
            let score =
                score.with_context(|| format!("{}, line {line}", arguments.file.display()))?;
            let log_prob: f64 = score.log_probs.iter().sum();
            let count = score.log_probs.len();
            (sum, tokens) = (sum + log_prob, tokens + count);
            if arguments.json {
                print_json(&json!({
                    "schema": "espalier.score/1",
                    "line": line,
                    "log_prob": log_prob,
                    "tokens": count,
                    "prior": (log_prob / count as f64).exp(),
                    "value": score.value,
                    "log_probs": score.log_probs,
                }))?;
            } else {
                let value = score.value;
                print_line(&format!("{line}: {log_prob:.4} in {count} tokens, value {value:.4}"))?;
            }
        }
    }
    let perplexity = (-sum / tokens as f64).exp();
    tracing::info!("{} texts, {tokens} tokens, perplexity {perplexity:.4}", rows.len());
    Ok(())
}
