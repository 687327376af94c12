use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use espalier_training::LocalEvaluator;
use serde::Deserialize;
use serde_json::json;

use super::arguments::{
    PolicyArguments, RecipeArguments, UsageError, check_device, policy_error, print_json,
    print_line,
};
use espalier::environment::Written;
use espalier::jsonl;
use espalier::policy::Policy;
use espalier::policy::prm::Judged;
use espalier::verifier::read_values;

/// Texts that are scored before their lines are printed.
const TOGETHER: usize = 256;

/// Read given texts with a net: the log-probability of each token, and the value of the state after the text; or given solutions with a
/// process reward model: the value of each step.
///
/// All tokens of a text are read in one pass, as if the net had sampled them after the context. Contexts that begin alike are read
/// once.
#[derive(Debug, Args)]
#[command(after_help = "Example row:\n  {\"context\": \"26:3 5 7\\n\", \"text\": \"7*3=\"}\n\n\
    espalier score steps.jsonl --checkpoint runs/countdown-s1/rounds/3/checkpoint\n\n\
    Example row for a reward model:\n  {\"question\": \"What is 2 + 3?\", \"steps\": [\"2 + 3 = 5.\", \"So 5.\"]}\n\n\
    espalier score solutions.jsonl --verifier Qwen2.5-Math-PRM-7B --form qwen2.5-math-prm")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Texts, one `{context, text}` a line; for a reward model solutions, one `{question, steps}` a line.
    file: PathBuf,
    #[command(flatten)]
    policy: PolicyArguments,
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
    let policy = arguments.policy.policy(&recipe)?;
    if let Some(prm) = policy.prm() {
        return steps(
            arguments,
            &prm.verifier(Judged::Steps, &recipe.compute).map_err(policy_error)?,
        );
    }
    let Some(checkpoint) = &arguments.policy.checkpoint else {
        return Err(UsageError(anyhow!(
            "--checkpoint DIR names the net, --verifier DIR a process reward model"
        ))
        .into());
    };
    let rows: Vec<(usize, Row)> = jsonl::read_numbered(&arguments.file)?;
    if rows.is_empty() {
        bail!("{} holds no texts", arguments.file.display());
    }
    let config = recipe.policy.local().inference(&recipe.compute, Vec::new());
    let net = LocalEvaluator::open(arguments.policy.base.of(checkpoint), config)
        .with_context(|| format!("cannot load {}", checkpoint.display()))?;
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

/// The value of each step of written solutions.
fn steps(arguments: &Arguments, policy: &Policy) -> Result<()> {
    let rows: Vec<(usize, Written)> = jsonl::read_numbered(&arguments.file)?;
    if rows.is_empty() {
        bail!("{} holds no solutions", arguments.file.display());
    }
    for rows in rows.chunks(TOGETHER) {
        let groups =
            rows.iter().map(|(_, written)| written.contexts()).collect::<Result<Vec<_>, _>>()?;
        let read = read_values(policy.evaluator(), &groups, "value steps", None)
            .with_context(|| format!("{}", arguments.file.display()))?;
        for ((line, _), values) in rows.iter().zip(read.values) {
            if arguments.json {
                print_json(
                    &json!({ "schema": "espalier.step_values/1", "line": line, "values": values }),
                )?;
            } else {
                let values: Vec<String> =
                    values.iter().map(|value| format!("{value:.4}")).collect();
                print_line(&format!("{line}: {}", values.join(" ")))?;
            }
        }
        if read.too_long > 0 {
            tracing::warn!(
                "{} steps are longer than the reward model reads; they count as -1",
                read.too_long
            );
        }
    }
    Ok(())
}
