//! The card of a model repository.

use std::path::Path;

use anyhow::Result;
use toml::Table;

use super::repository::Licence;
use crate::evaluation::ROWS;
use crate::form::Form;
use crate::provenance;
use crate::recipe::{BootstrapKind, Recipe, to_toml};
use crate::report::one_line::one_line;
use crate::report::rounds_table;

/// Where a net comes from.
pub(super) struct OfRun<'a> {
    pub run: &'a Path,
    pub recipe: &'a Recipe,
    /// The round that made it.
    pub round: usize,
    /// The round after which it goes on.
    pub after: usize,
}

/// Writes the card of a checkpoint's folder: of a run's with its recipe and accuracies.
///
/// # Errors
/// When a file of the run or the checkpoint's form cannot be read.
pub(super) fn write(
    folder: &Path,
    of_run: Option<&OfRun<'_>>,
    licence: &Licence,
) -> Result<String> {
    let form = Form::read(folder)?;
    let environment = form.as_ref().and_then(|form| form.environment.get("kind")?.as_str());
    let mut tags = vec!["espalier", "process-supervision", "tree-search"];
    tags.extend(environment);
    let told = of_run.map(OfRun::tell).transpose()?;
    let value_head = folder.join(espalier_model::folder::VALUE_HEAD).exists();
    Ok(format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: {licence}\ntags:\n{}---\n\n{}{}",
        tags.iter().map(|tag| format!("- {tag}\n")).collect::<String>(),
        told.unwrap_or_else(|| "# A net for reasoning by search\n".to_owned()),
        usage(value_head)
    ))
}

fn usage(value_head: bool) -> String {
    let mut text =
        "\n## Use\n\nThe folder is a Hugging Face one: `AutoModelForCausalLM.from_pretrained` reads the policy.".to_owned();
    if value_head {
        text += " The value head, which values the state after each step, lies beside it in `value_head.safetensors` and is read by Espalier:";
    } else {
        text += " Espalier searches with it:";
    }
    text += "\n\n```sh\nespalier solve \"<problem>\" --checkpoint FOLDER\n```\n\n`espalier.json`, where it is there, says how the net was trained \
             to be asked.\n";
    text
}

impl OfRun<'_> {
    fn tell(&self) -> Result<String> {
        let Self { run, recipe, round, after } = self;
        let table: Table = to_toml(recipe)?.parse()?;
        let kind = |section: &str| {
            table.get(section).and_then(|section| section.get("kind")?.as_str()).unwrap_or("–")
        };
        let kept = match after {
            after if after == round => String::new(),
            after => format!(" (the gate kept it up to round {after})"),
        };
        let program =
            format!("Espalier {} ({})", env!("CARGO_PKG_VERSION"), provenance::get().git_revision);
        let name = cell(&recipe.name);
        let mut text = format!(
            "# {name}, round {round}\n\nA policy and value net that taught itself to reason by tree search: each round grows trees on training \
             problems, takes the Q-value of every step as its label, and trains the net on the labels.\n\n| | |\n|---|---|\n"
        );
        for (key, value) in [
            ("recipe", name),
            ("about", cell(&recipe.about)),
            ("round", format!("{round} of {}{kept}", recipe.rounds.count)),
            ("seed", recipe.seed.to_string()),
            ("base", base(recipe)),
            ("environment", kind("environment").to_owned()),
            ("search", kind("search").to_owned()),
            ("labels", kind("labels").to_owned()),
            ("objective", kind("objective").to_owned()),
            ("program", program),
        ] {
            if !value.is_empty() {
                text += &format!("| {key} | {value} |\n");
            }
        }
        let figures = rounds_table(&[run.to_path_buf()], ROWS)?.markdown();
        text += &format!(
            "\n## Results\n\nOf {} held-out problems, by decoding; in brackets 95 % intervals.\n\n{figures}\n",
            recipe.evaluation.problems
        );
        Ok(text)
    }
}

/// What round 0 was; of a file its name alone, for the folders around it are nobody's business.
fn base(recipe: &Recipe) -> String {
    let bootstrap = &recipe.bootstrap;
    let path = bootstrap.path.as_deref().and_then(Path::file_name);
    let file = cell(&path.unwrap_or_default().to_string_lossy());
    match bootstrap.kind {
        BootstrapKind::RandomLines => {
            format!("a fresh net that read {} random legal lines and no solution", bootstrap.lines)
        }
        BootstrapKind::Checkpoint => format!("`{file}`"),
        BootstrapKind::Solutions => format!("`{file}`, trained on worked solutions"),
    }
}

/// Any text as a cell of a table.
pub(super) fn cell(text: &str) -> String {
    one_line(text, 400).replace('|', "\\|").replace('<', "&lt;")
}
