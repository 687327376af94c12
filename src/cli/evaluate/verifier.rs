//! What `process` and `votes` share: the net, and how it is asked.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::arguments::{PolicyArguments, RecipeArguments, UsageError, environment_without_steps};
use espalier::policy::Policy;
use espalier::recipe::Recipe;
use espalier::verifier::Template;

#[derive(Debug, Args)]
pub struct VerifierArguments {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    #[command(flatten)]
    pub policy: PolicyArguments,
    /// What the value net reads before the first step; `{question}` is the question, `\n` a line end.
    #[arg(long, value_name = "TEMPLATE", default_value = "{question}\\n")]
    prompt: String,
    /// What ends a step: the value is read at its last token.
    #[arg(long, value_name = "TEXT", default_value = "\\n")]
    step_delimiter: String,
}

impl VerifierArguments {
    /// How a question and its steps are put to the net.
    pub fn template(&self) -> Result<Template> {
        let read = |option: &str, text: &str| {
            unescape(text)
                .ok_or_else(|| UsageError(anyhow!("{option} {text:?}: after \\ write n, t or \\")))
        };
        let prompt = read("--prompt", &self.prompt)?;
        let delimiter = read("--step-delimiter", &self.step_delimiter)?;
        Template::new(&prompt, &delimiter)
            .map_err(|error| UsageError(anyhow!("--prompt: {error}")).into())
    }

    /// Loads the net.
    pub fn load(&self, recipe: &Recipe) -> Result<Policy> {
        self.policy.load(&environment_without_steps(recipe)?, recipe)
    }
}

/// Whether two paths lead to one file.
pub fn same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

/// Refuses to write over what is read.
pub fn check_out(out: Option<&Path>, file: &Path) -> Result<()> {
    if out.is_some_and(|out| same_file(out, file)) {
        return Err(
            UsageError(anyhow!("--out: {} is the file that is read", file.display())).into()
        );
    }
    Ok(())
}

/// `\n`, `\t` and `\\` as they are written on a command line.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                't' => '\t',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape("a\\n\\t\\\\n").as_deref(), Some("a\n\t\\n"));
        assert_eq!((unescape("\\x"), unescape("\\")), (None, None));
    }
}
