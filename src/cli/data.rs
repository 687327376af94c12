use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};

use super::arguments::{UsageError, print_json, print_line};
use super::outputs::refuse_overwriting;
use espalier::data::{
    self, DatasetRecipe, DecontaminateRecipe, Fields, Format, Paths, SourceRecipe,
};
use espalier::jsonl;

/// Read a public data set from local files, say what is in it, and write it as problems that the other commands read.
///
/// The command tells JSON Lines, JSON arrays, single objects, CSV, Parquet and Arrow apart; a folder stands for all data files in it. A row
/// that cannot be read ends the command with file, row and field.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  espalier data gsm8k train.jsonl --against test.jsonl --out problems.jsonl\n  \
    espalier data math MATH/train --out problems.jsonl\n  \
    espalier data generic rows.parquet --field question=prompt --field answer=reward.ground_truth --json"
)]
pub struct Arguments {
    /// What the rows mean.
    format: Format,
    /// Files or folders.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the problems here, one `{id, question, answer, metadata}` a line [default: report alone].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a part of the problem stands in rows of `generic`: `question`, `answer`, `id` or `solution`, and a dotted path; may be
    /// repeated.
    #[arg(long = "field", value_name = "PART=PATH")]
    fields: Vec<String>,
    /// Leave out rows that cannot be read, and list them.
    #[arg(long)]
    skip_bad_rows: bool,
    /// Keep the first of equal questions alone.
    #[arg(long)]
    deduplicate: bool,
    /// Take out problems whose question is a question of this test file or shares words with one; in the same format, or
    /// FORMAT:FILE; may be repeated.
    #[arg(long, value_name = "FILE")]
    against: Vec<String>,
    /// How many words in a row a question may not share with a test question; shorter questions are compared whole.
    #[arg(long, value_name = "N", default_value_t = DecontaminateRecipe::default().n, requires = "against")]
    ngram: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = recipe(arguments).map_err(|message| UsageError(anyhow!(message)))?;
    let against = recipe.decontaminate.iter().flat_map(|decontaminate| &decontaminate.against);
    let against = against.flat_map(|source| source.path.iter());
    let mut inputs: Vec<_> = against.map(|path| ("--against", Some(&**path))).collect();
    inputs.extend(recipe.path.iter().map(|file| ("a file that is read", Some(&**file))));
    refuse_overwriting(&[("--out", arguments.out.as_deref())], &inputs)?;
    let (problems, report) = data::read(&recipe)?;
    if let Some(out) = &arguments.out {
        jsonl::write(out, problems.iter().map(|located| &located.problem))?;
    }
    if arguments.json { print_json(&report) } else { print_line(&report.text()) }
}

fn recipe(arguments: &Arguments) -> Result<DatasetRecipe, String> {
    let fields = fields(&arguments.fields)?;
    let test = |named: &String| {
        let (format, path) = match named.split_once(':') {
            // What stands before the colon may as well be a part of a file's name.
            Some((name, path)) if Format::from_str(name, false).is_ok() => {
                (Format::from_str(name, false)?, path)
            }
            _ => (arguments.format, named.as_str()),
        };
        let fields = if format == arguments.format { fields.clone() } else { Fields::default() };
        Ok(SourceRecipe { format, path: Paths::One(path.into()), fields })
    };
    let against = arguments.against.iter().map(test).collect::<Result<Vec<_>, String>>()?;
    let decontaminate = DecontaminateRecipe { against, n: arguments.ngram };
    let recipe = DatasetRecipe {
        format: arguments.format,
        path: Paths::Many(arguments.files.clone()),
        fields: fields.clone(),
        skip_bad_rows: arguments.skip_bad_rows,
        deduplicate: arguments.deduplicate,
        decontaminate: Some(decontaminate)
            .filter(|decontaminate| !decontaminate.against.is_empty()),
        test: None,
    };
    recipe.validate()?;
    Ok(recipe)
}

fn fields(assignments: &[String]) -> Result<Fields, String> {
    let mut fields = Fields::default();
    for assignment in assignments {
        let (part, path) =
            assignment.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(|| {
                format!("--field {assignment}: write PART=PATH, as in question=prompt")
            })?;
        match part {
            "question" => path.clone_into(&mut fields.question),
            "answer" => path.clone_into(&mut fields.answer),
            "id" => fields.id = Some(path.to_owned()),
            "solution" => fields.solution = Some(path.to_owned()),
            _ => {
                return Err(format!(
                    "--field {assignment}: the parts are question, answer, id and solution"
                ));
            }
        }
    }
    Ok(fields)
}
