use anyhow::Result;
use clap::Args;
use espalier::recipe::{Setting, settings, to_toml};

use super::arguments::{RecipeArguments, print_json, print_line};

/// Print a recipe with all its keys, or every key that recipes can have.
///
/// A recipe is what its file says, laid over what it extends, over the defaults; this prints the whole.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier recipe --config configs/countdown.toml --set search.c_puct=2\n  espalier recipe --settings"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Print a table of every key of every section and kind, with its default, instead.
    #[arg(long, conflicts_with_all = ["config", "overrides", "seed", "threads"])]
    settings: bool,
    /// Print JSON: the recipe, or a line a key.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    if !arguments.settings {
        let recipe = arguments.recipe.load()?;
        return if arguments.json {
            print_json(&recipe)
        } else {
            print_line(to_toml(&recipe)?.trim_end())
        };
    }
    let settings = settings();
    if arguments.json {
        return settings.iter().try_for_each(print_json);
    }
    for section in settings.chunk_by(|a, b| (&a.section, &a.kind) == (&b.section, &b.kind)) {
        print_line(&table(section))?;
    }
    Ok(())
}

/// The keys of a section as a table of Markdown.
fn table(section: &[Setting]) -> String {
    let Setting { section: name, kind, .. } = &section[0];
    let title = match (name.as_str(), kind) {
        ("", _) => "Top of the file".to_owned(),
        (name, None) => format!("`[{name}]`"),
        (name, Some(kind)) => format!("`[{name}]` with `kind = \"{kind}\"`"),
    };
    let rows = section.iter().map(|setting| {
        let Setting { key, names, .. } = setting;
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "| `{key}` | `{}` | {} |\n",
            setting.default_text().replace('|', "\\|"),
            names.join(", ")
        )
    });
    format!(
        "{title}\n\n| key | default | names |\n| --- | --- | --- |\n{}",
        rows.collect::<String>()
    )
}
