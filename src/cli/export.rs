use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use espalier_model::reward::save_token_classifier;
use espalier_training::Checkpoint;

use super::arguments::print_line;

/// Write a net's value head as a token classifier, which vLLM serves (`/pooling`) and Hugging Face's libraries read.
///
/// The folder is one of `...ForTokenClassification` with two labels. The value of a state is 2 p - 1, where p is the probability of label 1
/// at the last token of the state's text.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    espalier export runs/countdown-s1/rounds/3/checkpoint --out value-model")]
pub struct Arguments {
    /// The net.
    #[arg(value_name = "DIR")]
    checkpoint: PathBuf,
    /// Where to write the token classifier.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let place = || format!("cannot load {}", arguments.checkpoint.display());
    let checkpoint = Checkpoint::load(&arguments.checkpoint).with_context(place)?;
    save_token_classifier(&checkpoint, &arguments.out)?;
    let class = checkpoint.config.model_type;
    print_line(&format!("wrote the value head of a {class} model as a token classifier"))
}
