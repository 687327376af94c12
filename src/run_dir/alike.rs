//! Whether runs are those of one recipe with several seeds.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use toml::Table;

use super::changes::Change;
use super::{RECIPE, manifest, table};
use crate::recipe;
use crate::usage::UsageError;

/// Checks that runs differ in nothing but their seeds and what does not change their rounds: how many there are, what is measured of
/// them, and on which machine.
///
/// # Errors
/// Names the first key that differs, or the folder that holds no run.
pub fn check_one_recipe(runs: &[PathBuf]) -> Result<()> {
    let [first, others @ ..] = runs else { return Ok(()) };
    if others.is_empty() {
        return Ok(());
    }
    let expected = recipe_of(first)?;
    for run in others {
        if let Some(change) = difference(&expected, &recipe_of(run)?) {
            let [there, here] = [first, run].map(|run| format!("in {}", run.display()));
            bail!(UsageError(anyhow!(
                "the runs are not of one recipe: {}; their mean would say nothing, report them one by one, or side by side with --html",
                change.between(&there, &here)
            )));
        }
    }
    Ok(())
}

/// Runs in groups of one recipe, in the order of their first ones. A single one need not have a recipe.
///
/// # Errors
/// Names the folder of several that holds no run.
pub fn by_recipe(runs: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>> {
    if let [_] = runs {
        return Ok(vec![runs.to_vec()]);
    }
    let mut groups: Vec<(Table, Vec<PathBuf>)> = Vec::new();
    for run in runs {
        let recipe = recipe_of(run)?;
        match groups.iter_mut().find(|(other, _)| difference(other, &recipe).is_none()) {
            Some((_, group)) => group.push(run.clone()),
            None => groups.push((recipe, vec![run.clone()])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

fn recipe_of(run: &Path) -> Result<Table> {
    let file = run.join(RECIPE);
    ensure!(file.exists(), UsageError(anyhow!("{} is no run directory", run.display())));
    manifest::read(run)?;
    table(&recipe::load(Some(&file), &[])?)
}

/// The first change between recipes by which their runs are not of one.
fn difference(one: &Table, other: &Table) -> Option<Change> {
    Change::all(one, other).into_iter().find(|change| !change.is_of_one_recipe())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_dir::RunDir;

    #[test]
    fn runs_of_other_recipes_are_told_apart_by_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
            let path = folder.path().join(name);
            let recipe = recipe::parse(toml::Table::new(), &settings, name).unwrap();
            RunDir::open(&path, &recipe).unwrap();
            path
        };
        let one = run("one", &[]);
        let alike = [
            run("seed", &["seed=2", "name=b", "compute.threads=7"]),
            run("rounds", &["seed=3", "rounds.count=5"]),
            run(
                "measures",
                &[
                    "seed=4",
                    "evaluation.decodings=['greedy']",
                    "evaluation.measures=[{kind='decodings'}]",
                ],
            ),
            run("probe", &["seed=5", "rounds.probe.problems=3"]),
        ];
        for other in &alike {
            for pair in [[one.clone(), other.clone()], [other.clone(), one.clone()]] {
                check_one_recipe(&pair).unwrap();
            }
        }
        let other = run("other", &["seed=2", "search.c_puct=3"]);
        let error = check_one_recipe(&[one.clone(), alike[0].clone(), other.clone()]).unwrap_err();
        assert!(error.is::<UsageError>());
        let error = error.to_string();
        for part in ["search.c_puct is ", " and 3.0 in ", "one by one"] {
            assert!(error.contains(part), "{error}");
        }
        // Nothing to compare.
        check_one_recipe(&[folder.path().join("absent")]).unwrap();
        let error = check_one_recipe(&[one, folder.path().join("absent")]).unwrap_err();
        assert!(error.to_string().contains("absent is no run directory"), "{error}");
    }
}
