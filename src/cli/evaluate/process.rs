use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::verifier::{VerifierArguments, check_out, same_file};
use crate::arguments::{UsageError, print_json, print_line};
use espalier::report::{Proportion, Table};
use espalier::seed;
use espalier::verifier::Kept;
use espalier::verifier::process::{
    Format, Metrics, Scored, best_threshold, both_kinds, metrics, read, score,
};

/// Find the first wrong step of written solutions with the value net, measured as ProcessBench does.
///
/// A step is called wrong when the value at its end is below the threshold, and the first such step is the prediction. F1 is the harmonic
/// mean of the accuracy on solutions with a wrong step (that one and no other is found) and on solutions without (none is called wrong).
/// 95 % intervals: Wilson's for accuracies, bootstrap for F1.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("choice").required(true).args(["threshold", "validation"])),
    after_help = "Example:\n  espalier evaluate process math.json --checkpoint runs/mine/rounds/3/checkpoint \
    --validation gsm8k.json --prompt '<question> {question} </question>\\n' --json"
)]
pub struct Arguments {
    /// Solutions with their first wrong step: JSON Lines, a JSON array or Parquet.
    file: PathBuf,
    /// The form of the rows.
    #[arg(long, value_enum, default_value_t = Format::Processbench)]
    format: Format,
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
    let template = arguments.verifier.template()?;
    check(arguments)?;
    let solutions = read(&arguments.file, arguments.format)?;
    let mut all = Vec::new();
    if let Some(validation) = &arguments.validation {
        all = read(validation, arguments.format)?;
        both_kinds(all.iter().map(|solution| solution.first_error))?;
    }
    let chosen_on = all.len();
    all.extend(solutions);
    let policy = arguments.verifier.load(&recipe)?;
    let stream = seed::derive(recipe.seed, &["process"]);
    let kept = arguments.out.as_deref().map(|out| Kept::new(out, policy.fingerprint()));
    let (all, too_long) = score(policy.evaluator(), &template, &all, kept.as_ref())?;
    let (validation, scored) = all.split_at(chosen_on);
    let (threshold, chosen) = match arguments.threshold {
        Some(threshold) => (threshold, None),
        None => {
            let threshold = best_threshold(validation)?;
            (threshold, Some(metrics(validation, threshold, stream)))
        }
    };
    let measured = metrics(scored, threshold, stream);
    if too_long > 0 {
        tracing::warn!("{too_long} step ends are longer than the net reads; they count as wrong");
    }
    if let Some(kept) = &kept {
        kept.write(scored.iter().map(|scored| prediction(scored, threshold)))?;
    }
    if !arguments.json {
        return print_table(threshold, chosen.as_ref(), &measured);
    }
    let mut object = Map::new();
    object.insert("schema".into(), json!("espalier.process/1"));
    object.extend(self::object(&measured));
    object.insert("threshold".into(), json!(threshold));
    object.insert("too_long".into(), json!(too_long));
    object.insert("validation".into(), chosen.as_ref().map(self::object).into());
    print_json(&object)
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
        _ => check_out(arguments.out.as_deref(), &arguments.file),
    }
}

/// Labels as ProcessBench has them: -1 for no wrong step.
fn label(step: Option<usize>) -> Value {
    step.map_or(json!(-1), |step| json!(step))
}

fn prediction(scored: &Scored, threshold: f64) -> Value {
    json!({
        "schema": "espalier.process_prediction/1",
        "id": scored.id,
        "label": label(scored.first_error),
        "prediction": label(scored.prediction(threshold)),
        "values": scored.values,
    })
}

fn object(metrics: &Metrics) -> Map<String, Value> {
    let Metrics { n, n_error, n_correct, accuracy_error, accuracy_correct, f1 } = metrics;
    let mut object = Map::new();
    for (name, share) in
        [("accuracy_error", accuracy_error), ("accuracy_correct", accuracy_correct), ("f1", f1)]
    {
        object.insert(name.into(), share.map(|share| share.mean).into());
        let interval = share.map(|share| vec![share.low, share.high]);
        object.insert(format!("{name}_interval"), interval.into());
    }
    for (name, count) in [("n", n), ("n_error", n_error), ("n_correct", n_correct)] {
        object.insert(name.into(), json!(count));
    }
    object
}

fn print_table(threshold: f64, chosen: Option<&Metrics>, measured: &Metrics) -> Result<()> {
    let mut table = Table::new([
        "solutions",
        "n",
        "% found, with an error",
        "% passed, without",
        "F1",
        "95 % interval of F1",
    ]);
    let percent = |share: Option<Proportion>| {
        share.map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share.mean))
    };
    let rows = chosen.map(|metrics| ("validation", metrics)).into_iter();
    for (name, metrics) in rows.chain([("measured", measured)]) {
        table.push([
            name.to_owned(),
            format!("{} + {}", metrics.n_error, metrics.n_correct),
            percent(metrics.accuracy_error),
            percent(metrics.accuracy_correct),
            percent(metrics.f1),
            metrics.f1.map_or("–".to_owned(), |f1| {
                format!("[{:.1}, {:.1}]", 100.0 * f1.low, 100.0 * f1.high)
            }),
        ]);
    }
    print_line(&table.text())?;
    print_line(&format!("threshold {threshold:.4}"))
}
