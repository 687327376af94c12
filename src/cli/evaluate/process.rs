use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{ArgGroup, Args};

use super::verifier::VerifierArguments;
use crate::arguments::{UsageError, print_json, print_line, print_table};
use crate::outputs::{refuse_overwriting, same_file};
use espalier::evaluation::process::{Judge, metrics_table};
use espalier::policy::prm::Judged;
use espalier::seed;
use espalier::verifier::Kept;
use espalier::verifier::formats::ProcessFormat;
use espalier::verifier::process::both_kinds;

/// Find the first wrong step of written solutions with the value net, measured as ProcessBench does.
///
/// A step is called wrong when the value at its end is below the threshold, and the first such step is the prediction. F1 is the harmonic
/// mean of the accuracy on solutions with a wrong step (that one and no other is found) and on solutions without (none is called wrong).
/// 95 % intervals: Wilson's for accuracies, bootstrap for F1.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("choice").required(true).args(["threshold", "validation"])),
    after_help = "Example:\n  espalier evaluate process math.json --checkpoint runs/mine/rounds/3/checkpoint \
    --config mine.toml --validation gsm8k.json --json"
)]
pub struct Arguments {
    /// Solutions with their first wrong step: JSON Lines, a JSON array or Parquet.
    file: PathBuf,
    /// The form of the rows.
    #[arg(long, value_enum, default_value_t = ProcessFormat::Processbench)]
    format: ProcessFormat,
    #[command(flatten)]
    verifier: VerifierArguments,
    /// Values below this are called wrong.
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Choose the threshold of the best F1 on this other file of the same form.
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Write the values and the prediction of each solution to this file, one a line; killed and started again with the same command, the
    /// evaluation goes on after the last values that were read.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the metrics as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.verifier.recipe.load()?;
    arguments.verifier.with_verifier(Judged::Steps, &recipe, |verifier| {
        check(arguments)?;
        let solutions = arguments.format.read(&arguments.file)?;
        let mut validation = Vec::new();
        if let Some(path) = &arguments.validation {
            validation = arguments.format.read(path)?;
            both_kinds(validation.iter().map(|solution| solution.first_error))?;
        }
        let first = solutions.first().map(|solution| solution.question.as_str());
        let policy = verifier.load(first)?;
        let judge = Judge {
            template: &verifier.template,
            validation,
            threshold: arguments.threshold,
            seed: seed::derive(recipe.seed, &["process"]),
        };
        let kept = arguments.out.as_deref().map(|out| Kept::new(out, policy.fingerprint()));
        let judged = judge.judge(policy.evaluator(), solutions, kept.as_ref())?;
        if arguments.json {
            return print_json(&judged.object());
        }
        let rows = judged.chosen.map(|metrics| ("validation".to_owned(), metrics)).into_iter();
        let rows: Vec<_> = rows.chain([("measured".to_owned(), judged.measured)]).collect();
        print_table(&metrics_table(&rows))?;
        print_line(&format!("threshold {:.4}", judged.threshold))
    })
}

fn check(arguments: &Arguments) -> Result<()> {
    let fault = |message: &str| Err(UsageError(anyhow!("{message}")).into());
    if arguments.threshold.is_some_and(f64::is_nan) {
        return fault("--threshold must be a number");
    }
    match &arguments.validation {
        Some(path) if same_file(path, &arguments.file) => fault(
            "--validation: a threshold that is chosen on the measured file itself says nothing",
        ),
        _ => {
            let inputs = [
                ("the file that is read", Some(&*arguments.file)),
                ("--validation", arguments.validation.as_deref()),
            ];
            refuse_overwriting(&[("--out", arguments.out.as_deref())], &inputs)
        }
    }
}
