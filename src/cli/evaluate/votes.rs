use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::verifier::{VerifierArguments, check_out};
use crate::arguments::{print_json, print_line};
use espalier::jsonl;
use espalier::report::Table;
use espalier::verifier::Kept;
use espalier::verifier::votes::{Accuracy, Ballot, Format, Sampled, Weight, measure, read, score};

/// Choose among sampled solutions by majority, by the best score and by weighted votes, and grade the choices.
///
/// Equal answers (1/2 and 0.5) are one. With `--checkpoint` the value net scores the samples; without, the file's own scores do.
/// `sample` is the mean over single samples, `any` what the best choice would reach.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier evaluate votes samples.jsonl --format qwen_math --weight sigmoid --json"
)]
pub struct Arguments {
    /// Problems with samples: JSON Lines, a JSON array or Parquet.
    file: PathBuf,
    /// The form of the rows.
    #[arg(long, value_enum, default_value_t = Format::Samples)]
    format: Format,
    #[command(flatten)]
    verifier: VerifierArguments,
    /// What a score counts for in a vote [default: `value` for the net's, else `score`].
    #[arg(long, value_enum)]
    weight: Option<Weight>,
    /// Choose among the first so many samples, separated by commas [default: all].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    samples: Vec<usize>,
    /// Write the problems with the scores that counted to this file, in the form of `samples`, one a line; killed and started again with
    /// the same command, scoring goes on after the last scores of the net that were read.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object a way to choose.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.verifier.recipe.load()?;
    let template = arguments.verifier.template()?;
    check_out(arguments.out.as_deref(), &arguments.file)?;
    let mut problems = read(&arguments.file, arguments.format)?;
    let by_net = arguments.verifier.policy.checkpoint.is_some() || !recipe.policy.is_local();
    if by_net {
        let policy = arguments.verifier.load(&recipe)?;
        let kept = arguments.out.as_deref().map(|out| Kept::new(out, policy.fingerprint()));
        let too_long = score(policy.evaluator(), &template, &mut problems, kept.as_ref())?;
        if too_long > 0 {
            tracing::warn!("{too_long} samples are longer than the net reads; they count as wrong");
        }
        if let Some(kept) = kept {
            kept.write(problems.iter().map(Sampled::row))?;
        }
    } else if let Some(out) = &arguments.out {
        jsonl::write(out, problems.iter().map(Sampled::row))?;
    }
    let ballots = problems.iter().map(Ballot::new).collect::<Result<Vec<_>>>()?;
    if !ballots.iter().any(Ballot::has_scores) {
        tracing::warn!(
            "no sample has a score: there is nothing to choose the best or weigh votes by"
        );
    }
    let default = if by_net { Weight::Value } else { Weight::Score };
    let weight = arguments.weight.unwrap_or(default);
    let mut measured = Vec::new();
    if arguments.samples.is_empty() {
        measured = measure(&ballots, None, weight)?;
    }
    for k in &arguments.samples {
        measured.extend(measure(&ballots, Some(*k), weight)?);
    }
    let agreement = agreement(&problems, &ballots);
    if !arguments.json {
        return print_table(&measured, ballots.len(), agreement);
    }
    for Accuracy { method, samples, accuracy } in &measured {
        print_json(&json!({
            "schema": "espalier.votes/1",
            "method": method,
            "samples": samples,
            "accuracy": accuracy.mean,
            "low": accuracy.low,
            "high": accuracy.high,
            "n": ballots.len(),
            "scores": if by_net { "net" } else { "file" },
            "weight": weight,
            "graded_as_in_file": agreement.map(|[same, of]| json!({ "same": same, "of": of })),
        }))?;
    }
    Ok(())
}

/// How many samples are graded as the file itself grades them, and how many it grades.
fn agreement(problems: &[Sampled], ballots: &[Ballot]) -> Option<[usize; 2]> {
    let mut counts = [0, 0];
    for (problem, ballot) in problems.iter().zip(ballots) {
        for (sample, right) in problem.samples.iter().zip(ballot.right()) {
            if let Some(correct) = sample.correct {
                counts[0] += usize::from(correct == *right);
                counts[1] += 1;
            }
        }
    }
    Some(counts).filter(|counts| counts[1] > 0)
}

fn print_table(measured: &[Accuracy], n: usize, agreement: Option<[usize; 2]>) -> Result<()> {
    let mut table = Table::new(["choice", "samples", "% right", "95 % interval", "n"]);
    for Accuracy { method, samples, accuracy } in measured {
        table.push([
            method.name().to_owned(),
            samples.map_or("–".into(), |samples| samples.to_string()),
            format!("{:.1}", 100.0 * accuracy.mean),
            format!("[{:.1}, {:.1}]", 100.0 * accuracy.low, 100.0 * accuracy.high),
            n.to_string(),
        ]);
    }
    print_line(&table.text())?;
    match agreement {
        Some([same, of]) => {
            print_line(&format!("{same} of {of} samples are graded as in the file"))
        }
        None => Ok(()),
    }
}
