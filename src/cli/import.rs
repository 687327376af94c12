use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use espalier_training::{Checkpoint, Dtype};
use serde::Serialize;

use super::arguments::{BaseArguments, print_json, print_line};
use super::outputs::refuse_overwriting;

/// Turn a GGUF file, or an adapter with its base, into a checkpoint folder, which every other command and Hugging Face's libraries read.
///
/// GGUF files of the supported families, with byte-level BPE or SentencePiece tokenizers; folders of PEFT's LoRA adapters, which are merged
/// into their base. A Hugging Face folder needs no import: name it where a command takes a checkpoint.
#[derive(Debug, Args)]
pub struct Arguments {
    /// GGUF file, or any one of a net in several files (`NAME-00001-of-00003.gguf`); or an adapter's folder.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    base: BaseArguments,
    /// Where to write the checkpoint.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Element type of the saved weights; quantised ones are widened to it.
    #[arg(long, value_enum, default_value_t = ElementType::Float32)]
    dtype: ElementType,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ElementType {
    /// Exactly what the file holds.
    Float32,
    /// Half the bytes, three significant digits.
    Bfloat16,
    /// Half the bytes, four significant digits, no number above 65,504.
    Float16,
}

#[derive(Debug, Serialize)]
struct Summary {
    schema: &'static str,
    model_type: String,
    parameters: usize,
    vocabulary: usize,
    dtype: &'static str,
    seconds: f64,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let dtype = match arguments.dtype {
        ElementType::Float32 => Dtype::Float32,
        ElementType::Bfloat16 => Dtype::BFloat16,
        ElementType::Float16 => Dtype::Float16,
    };
    let source = arguments.base.of(&arguments.path);
    let base = source.foundation()?;
    let inputs = [("PATH", Some(source.path)), ("its base", Some(&*base))];
    refuse_overwriting(&[("--out", Some(&*arguments.out))], &inputs)?;
    let mut checkpoint = Checkpoint::open(source)?;
    checkpoint.config.set_dtype(dtype);
    checkpoint.save(&arguments.out)?;
    let summary = Summary {
        schema: "espalier.import/1",
        model_type: checkpoint.config.model_type.clone(),
        parameters: checkpoint.parameters.count(),
        vocabulary: checkpoint.tokenizer.vocab_size(),
        dtype: dtype.name(),
        seconds: start.elapsed().as_secs_f64(),
    };
    if arguments.json {
        return print_json(&summary);
    }
    print_line(&format!(
        "imported a {} model of {} numbers and {} tokens as {} in {:.1} s",
        summary.model_type, summary.parameters, summary.vocabulary, summary.dtype, summary.seconds
    ))
}
