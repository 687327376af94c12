//! `[environment]` of kind `program`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use espalier_search::ConfigError;
use serde::{Deserialize, Serialize};

use super::format::{Format, FormatRecipe};
use super::step::{self, Step};
use crate::execution::ExecutorConfig;
use crate::jsonl;

/// Word problems, solved in steps of text and Python. The defaults of limits are AlphaMath's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgramRecipe {
    /// The form in which steps are written.
    pub format: FormatRecipe,
    /// Most steps of a path: a bound of the environment's own, beside `max_depth` of `[search]` (8 in AlphaMath) and of
    /// `[evaluation.decode]` (10 in its step beam search), of which the smaller counts.
    pub max_depth: usize,
    /// Most code errors in a row that a path survives.
    pub errors_threshold: usize,
    /// Longest context in characters, prompt and steps together; a longer one ends its path. AlphaMath's 4096 tokens are about as
    /// many as the default's characters hold; a net refuses what is longer than it reads in any case.
    pub max_context_characters: usize,
    /// Worked examples, put before the problem.
    pub shots: Vec<Shot>,
    /// A file of further ones, `{question, solution}` a line; a relative path starts at the working directory.
    pub shots_file: Option<PathBuf>,
    /// Nets of rounds before this one are shown the worked examples; later ones have been trained without. 0: none is.
    pub shots_until_round: usize,
    /// How an instruction-tuned model is asked; absent: the prompt is plain text.
    pub chat: Option<ChatRecipe>,
    /// Who runs code steps, and within which limits.
    pub executor: ExecutorConfig,
}

impl Default for ProgramRecipe {
    fn default() -> Self {
        Self {
            format: FormatRecipe::default(),
            max_depth: 10,
            errors_threshold: 3,
            max_context_characters: 4 * 4096,
            shots: Vec::new(),
            shots_file: None,
            shots_until_round: 1,
            chat: None,
            executor: ExecutorConfig::default(),
        }
    }
}

/// A worked example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shot {
    /// As a problem's question.
    pub question: String,
    /// All of its steps in the format, observations included, up to the final answer.
    pub solution: String,
}

/// The name of the template that needs no file: that of Qwen2.5, SmolLM2 and many others.
pub(super) const CHATML: &str = "chatml";

/// How an instruction-tuned model is asked: each question is a user's turn, each solution an assistant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatRecipe {
    /// `chatml`, a file with a Jinja template, or a checkpoint's folder that has one.
    pub template: String,
    /// The system's turn; empty: none.
    pub system: String,
}

impl Default for ChatRecipe {
    fn default() -> Self {
        Self { template: CHATML.to_owned(), system: String::new() }
    }
}

impl ProgramRecipe {
    /// Checks every field; files are not opened.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn validate(&self) -> Result<()> {
        let format = self.format.resolve().map_err(anyhow::Error::msg)?;
        for (key, value) in
            [("max_depth", self.max_depth), ("max_context_characters", self.max_context_characters)]
        {
            ConfigError::require(value > 0, key, &value, "must be at least 1")?;
        }
        for (index, shot) in self.shots.iter().enumerate() {
            check(shot, &format).with_context(|| format!("shots, number {}", index + 1))?;
        }
        self.executor.validate().context("executor")
    }

    /// Whether steps may have code; false, too, of a format that cannot be used.
    #[must_use]
    pub fn has_code(&self) -> bool {
        self.format.resolve().is_ok_and(|format| format.code.is_some())
    }

    /// The worked examples of the recipe and of its file.
    ///
    /// # Errors
    /// When the file cannot be read, or an example has no final answer.
    pub(super) fn all_shots(&self, format: &Format) -> Result<Vec<Shot>> {
        let mut shots = self.shots.clone();
        if let Some(path) = &self.shots_file {
            shots.extend(read_shots(path, format)?);
        }
        Ok(shots)
    }
}

fn read_shots(path: &Path, format: &Format) -> Result<Vec<Shot>> {
    let rows: Vec<(usize, Shot)> = jsonl::read_numbered(path).context("shots_file")?;
    for (line, shot) in &rows {
        check(shot, format).with_context(|| format!("shots_file: {}:{line}", path.display()))?;
    }
    Ok(rows.into_iter().map(|(_, shot)| shot).collect())
}

/// A worked example must show how a solution ends.
fn check(shot: &Shot, format: &Format) -> Result<()> {
    let last = Format { code: None, thoughts: true, ..format.clone() };
    match step::read(&last, &shot.solution) {
        Ok(Step::Answer(_)) => Ok(()),
        _ => bail!("the solution has no final answer: it needs one of {:?}", format.answer_marks),
    }
}
