use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::verifier::VerifierArguments;
use crate::arguments::{UsageError, print_json, print_line, print_table};
use crate::outputs::refuse_overwriting;
use espalier::evaluation::votes::{Counted, check_samples, score_by_net, votes_table};
use espalier::jsonl;
use espalier::policy::prm::Judged;
use espalier::verifier::Kept;
use espalier::verifier::formats::SamplesFormat;
use espalier::verifier::votes::{Sampled, Weight};

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
    #[arg(long, value_enum, default_value_t = SamplesFormat::Samples)]
    format: SamplesFormat,
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
    check_samples(&arguments.samples).map_err(|error| UsageError(error.context("--samples")))?;
    let recipe = arguments.verifier.recipe.load()?;
    arguments.verifier.with_verifier(Judged::Solutions, &recipe, |verifier| {
        refuse_overwriting(
            &[("--out", arguments.out.as_deref())],
            &[("the file that is read", Some(&*arguments.file))],
        )?;
        let next_question = verifier.template.next_question();
        let mut problems = arguments.format.read(&arguments.file, next_question)?;
        let named = arguments.verifier.policy.checkpoint.is_some();
        let judged = arguments.verifier.policy.policy(&recipe)?.prm().is_some();
        let by_net = named || judged || !recipe.policy.kind().needs_checkpoint();
        if by_net {
            let first = problems.first().map(|problem| problem.question.as_str());
            let policy = verifier.load(first)?;
            let kept = arguments.out.as_deref().map(|out| Kept::new(out, policy.fingerprint()));
            let (evaluator, template) = (policy.evaluator(), &verifier.template);
            score_by_net(evaluator, template, &mut problems, kept.as_ref())?;
        } else if let Some(out) = &arguments.out {
            jsonl::write(out, problems.iter().map(Sampled::row))?;
        }
        let default = if by_net { Weight::Value } else { Weight::Score };
        let weight = arguments.weight.unwrap_or(default);
        let counted = Counted::new(&problems, &arguments.samples, weight)?;
        if arguments.json {
            return counted.objects(by_net, weight).iter().try_for_each(print_json);
        }
        print_table(&votes_table([(None, &counted)]))?;
        match counted.agreement {
            Some([same, of]) => {
                print_line(&format!("{same} of {of} samples are graded as in the file"))
            }
            None => Ok(()),
        }
    })
}
