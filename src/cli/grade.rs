use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::arguments::{UsageError, print_json, print_line, unescape};
use espalier::grading::{MathVerify, Verdict, extract, grade, until};
use espalier::jsonl;

/// Compare answers with the ones that are known to be right.
///
/// Verdicts are `equal`, `different` and `undecided`, with the rule that decided and whether it is a proof. Texts are read as LaTeX
/// with the habits of models and of the MATH data set; what is not shown to be equal is not called equal.
#[derive(Debug, Args)]
#[command(after_help = "Example row:\n  {\"gold\": \"\\\\frac{1}{2}\", \"pred\": \"0.5\"}")]
pub struct Arguments {
    /// Pairs, one `{gold, pred}` a line: texts or numbers; other keys are passed over.
    file: PathBuf,
    /// Take the answers out of solutions: what stands last in `\boxed{}` or `\fbox{}`, behind `####` or behind `Final Answer:`. A
    /// `gold` without such a mark is the answer itself, a `pred` without one has none.
    #[arg(long)]
    extract: bool,
    /// Read a `pred` up to this text, such as `Question:`, where a model goes on with a question of its own; `\n` is a line end. May be
    /// given several times: the first that occurs counts, but not at the very beginning.
    #[arg(long, value_name = "TEXT", requires = "extract")]
    stop: Vec<String>,
    /// Ask the library math-verify of this Python interpreter about what is undecided.
    #[arg(long, value_name = "PYTHON")]
    math_verify: Option<PathBuf>,
    /// Seconds that math-verify may think about a pair.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    math_verify_limit: u64,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(deserialize_with = "text")]
    gold: String,
    /// `null` where there is no answer
    #[serde(deserialize_with = "text_or_nothing")]
    pred: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_or_nothing(deserializer)?.ok_or_else(|| serde::de::Error::custom("gold is null"))
}

/// A text, or a number as it is written.
fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    jsonl::text_or_number(&value)
        .map_err(|wrong| serde::de::Error::custom(format!("{value} {wrong}")))
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let rows: Vec<(usize, Row)> = jsonl::read_numbered(&arguments.file)?;
    if rows.is_empty() {
        bail!("{} holds no pairs", arguments.file.display());
    }
    let stops = arguments.stop.iter().map(|stop| unescape("--stop", stop));
    let stops: Vec<String> = stops.collect::<Result<_, _>>()?;
    if stops.iter().any(String::is_empty) {
        return Err(UsageError(anyhow!("--stop must not be empty")).into());
    }
    let limit = Duration::from_secs(arguments.math_verify_limit);
    let start = |python: &PathBuf| {
        MathVerify::start(python, limit).map_err(|error| UsageError(error.into()))
    };
    let mut math_verify = arguments.math_verify.as_ref().map(start).transpose()?;
    let mut counts = [0_usize; 3];
    for (line, row) in &rows {
        let mut gold = Cow::Borrowed(row.gold.as_str());
        let mut prediction = Cow::Borrowed(row.pred.as_deref().unwrap_or_default());
        if arguments.extract {
            gold = extract(&row.gold).unwrap_or(gold);
            prediction = row
                .pred
                .as_deref()
                .and_then(|text| extract(until(text, &stops)))
                .unwrap_or_default();
        }
        let mut graded = grade(&gold, &prediction);
        if let (Verdict::Undecided, Some(worker)) = (graded.verdict, &mut math_verify) {
            graded = worker.grade(&gold, &prediction)?;
        }
        counts[match graded.verdict {
            Verdict::Equal => 0,
            Verdict::Different => 1,
            Verdict::Undecided => 2,
        }] += 1;
        if !arguments.json {
            print_line(&format!("{line}: {} ({})", graded.verdict, graded.rule))?;
            continue;
        }
        let mut object = json!({
            "schema": "espalier.grade/1",
            "line": line,
            "verdict": graded.verdict,
            "rule": graded.rule,
            "exact": graded.exact,
        });
        if arguments.extract {
            object["gold"] = json!(gold);
            object["pred"] = json!(prediction);
        }
        print_json(&object)?;
    }
    let [equal, different, undecided] = counts;
    tracing::info!(
        "{} pairs: {equal} equal, {different} different, {undecided} undecided",
        rows.len()
    );
    Ok(())
}
