//! How a net was trained to be asked, written beside it: the environment of its round with prompts, worked examples and the format of
//! steps. Whoever loads the net later asks it in the same way.

use anyhow::{Context, Result, ensure};
use espalier_model::checkpoint::{self, Checkpoint, Source};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::environment::EnvironmentRecipe;
use crate::run_dir::Change;

const SCHEMA: &str = "espalier.form/1";

/// The content of `espalier.json` in a checkpoint's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    schema: String,
    /// The round that made the net; 0 is the one before any search.
    pub round: usize,
    /// `[environment]` of its recipe: the keys on which its prompts and steps depend, with what their files held.
    pub environment: Table,
}

/// A net's environment, and what of it the recipe says otherwise.
pub struct Asked {
    /// The environment, as the net is asked.
    pub environment: EnvironmentRecipe,
    /// Keys of `[environment]` whose values in the recipe are not used.
    pub overruled: Vec<Change>,
}

impl Form {
    /// Of a net that a round trains in this environment.
    ///
    /// # Errors
    /// When a file that the environment names cannot be read.
    pub fn new(environment: &EnvironmentRecipe, round: usize) -> Result<Self> {
        let environment = of_form(environment)?;
        Ok(Self { schema: SCHEMA.to_owned(), round, environment })
    }

    /// The form of a checkpoint; `None` where it does not tell.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read<'a>(source: impl Into<Source<'a>>) -> Result<Option<Self>> {
        let source = source.into();
        let file = || source.path.join(checkpoint::FORM);
        let Some(bytes) = checkpoint::read_form(source)? else {
            return Ok(None);
        };
        let form: Self = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} cannot be read", file().display()))?;
        let Self { schema, .. } = &form;
        ensure!(schema == SCHEMA, "{}: {schema:?} is not {SCHEMA:?}", file().display());
        Ok(Some(form))
    }

    /// Writes it into a net, which keeps it when it is saved.
    ///
    /// # Errors
    /// Never for a form that was made here.
    pub fn put(&self, net: &mut Checkpoint) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        net.companions.insert(checkpoint::FORM.to_owned(), bytes);
        Ok(())
    }

    /// The recipe's environment with prompts and steps of this form, but for keys that `keep` names: these stay as they are in the recipe.
    /// Of another kind of environment the form's alone is taken.
    ///
    /// # Errors
    /// When a file of the recipe cannot be read, or this program does not know a key of the form.
    pub fn asked(&self, recipe: &EnvironmentRecipe, keep: &[&str]) -> Result<Asked> {
        let same_kind = self.environment.get("kind") == table(recipe)?.get("kind");
        let mut environment = if same_kind { table(recipe)? } else { Table::new() };
        let keys: Vec<String> =
            environment.keys().filter(|key| is_of_form(recipe, key)).cloned().collect();
        for key in keys.iter().filter(|key| !keep.contains(&key.as_str())) {
            environment.remove(key);
        }
        for (key, value) in self.environment.iter().filter(|(key, _)| !keep.contains(&key.as_str()))
        {
            environment.insert(key.clone(), value.clone());
        }
        let environment: EnvironmentRecipe =
            Value::Table(environment).try_into().context("the form of the checkpoint")?;
        let overruled = Change::all(&of_form(recipe)?, &of_form(&environment)?);
        Ok(Asked { environment, overruled })
    }
}

fn is_of_form(environment: &EnvironmentRecipe, key: &str) -> bool {
    environment.form_keys().is_none_or(|keys| keys.contains(&key) || key == "kind")
}

/// The keys of the form, with what the files hold that they name.
fn of_form(environment: &EnvironmentRecipe) -> Result<Table> {
    let environment = environment.with_files()?;
    let mut all = table(&environment)?;
    all.retain(|key, _| is_of_form(&environment, key));
    Ok(all)
}

fn table(environment: &EnvironmentRecipe) -> Result<Table> {
    Table::try_from(environment).context("[environment]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> EnvironmentRecipe {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_net_is_asked_as_it_was_trained_and_limits_are_the_recipe_s() {
        let folder = tempfile::tempdir().unwrap();
        let shots = folder.path().join("shots.jsonl");
        std::fs::write(&shots, "{\"question\": \"1 + 1?\", \"solution\": \"#### 2\"}\n").unwrap();
        let trained = format!(
            "kind = \"program\"\nmax_depth = 3\nshots_file = {:?}\nformat = {{preset = \"plain\"}}",
            shots.display()
        );
        let form = Form::new(&recipe(&trained), 2).unwrap();
        std::fs::remove_file(&shots).unwrap();
        let now = recipe("kind = \"program\"\nmax_depth = 5\nformat = {preset = \"xml\"}");
        let asked = form.asked(&now, &[]).unwrap();
        let expected = recipe(
            "kind = \"program\"\nmax_depth = 5\nformat = {preset = \"plain\"}\n\
             shots = [{question = \"1 + 1?\", solution = \"#### 2\"}]",
        );
        assert_eq!(asked.environment, expected);
        let told: Vec<&str> = asked.overruled.iter().map(|change| &*change.key).collect();
        assert_eq!(told, ["format.preset", "shots"]);
        let kept = form.asked(&now, &["format", "shots"]).unwrap();
        assert_eq!((kept.environment, kept.overruled), (now, Vec::new()));
        // A net of another environment brings it along.
        let asked = form.asked(&recipe("kind = \"countdown\""), &[]).unwrap();
        assert!(matches!(asked.environment, EnvironmentRecipe::Program(_)));
        assert!(asked.overruled.iter().any(|change| change.key == "kind"));
    }

    #[test]
    fn what_is_no_form_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Form::read(folder.path()).unwrap(), None);
        let file = folder.path().join("espalier.json");
        std::fs::write(&file, "{").unwrap();
        let error = format!("{:#}", Form::read(folder.path()).unwrap_err());
        assert!(error.contains("espalier.json cannot be read"), "{error}");
        let other = "{\"schema\": \"espalier.form/9\", \"round\": 1, \"environment\": {}}";
        std::fs::write(&file, other).unwrap();
        let error = format!("{:#}", Form::read(folder.path()).unwrap_err());
        assert!(error.contains("espalier.form/9"), "{error}");
    }
}
