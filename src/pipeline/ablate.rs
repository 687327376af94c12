//! Ablations: a grid of search settings on a fixed net, resumable by cell.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use toml::{Table as TomlTable, Value};

use crate::environment::{AnyEnvironment, Split};
use crate::evaluation::decodings::{Accuracy, Decodings, accuracies, cuts_of, titles};
use crate::evaluation::{Measure, Record, Subject, listed_once};
use crate::policy::Policy;
use crate::recipe::{self, Recipe};
use crate::report::{Plot, Series, Table};
use crate::usage::UsageError;
use crate::{jsonl, problems, seed};

/// An ablation file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// Names the result directory and the plot.
    pub name: String,
    /// What is asked.
    #[serde(default)]
    pub about: String,
    /// The recipe whose `[evaluation]` the grid varies; relative to this file. Absent means the embedded one.
    pub recipe: Option<PathBuf>,
    /// Held-out problems.
    pub problems: usize,
    /// Times that each problem is decoded in each cell.
    pub seeds: usize,
    /// `decoding` and keys of `[evaluation.decode]`, each with its values. The cells are all combinations.
    pub grid: TomlTable,
}

/// A measured cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Key and value in the grid's order.
    pub settings: Vec<(String, Value)>,
    /// What came out.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

impl Ablation {
    /// Reads an ablation file and the recipe that it varies.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn read(path: &Path, overrides: &[String]) -> Result<(Self, Vec<Recipe>)> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read ablation {}", path.display()))?;
        let ablation: Self = toml::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end())
        })?;
        ensure!(ablation.problems > 0, "{}: problems must be at least 1", path.display());
        ensure!(ablation.seeds > 0, "{}: seeds must be at least 1", path.display());
        ensure!(!ablation.grid.is_empty(), "{}: [grid] is empty", path.display());
        let base = ablation
            .recipe
            .as_ref()
            .map(|recipe| path.parent().unwrap_or(Path::new("")).join(recipe));
        let recipe = recipe::load(base.as_deref(), overrides)?;
        let cells = ablation
            .combinations()?
            .iter()
            .map(|settings| {
                let cell = || format!("{}: [grid]: {}", path.display(), describe(settings));
                vary(&recipe, settings).with_context(cell)
            })
            .collect::<Result<_>>()?;
        Ok((ablation, cells))
    }

    /// All combinations of the grid's values, the last key varying fastest.
    fn combinations(&self) -> Result<Vec<Vec<(String, Value)>>> {
        let mut combinations = vec![Vec::new()];
        for (key, values) in &axes("", &self.grid)? {
            ensure!(!values.is_empty(), "[grid]: {key} has no values");
            listed_once(values).with_context(|| format!("[grid]: {key}"))?;
            combinations = combinations
                .iter()
                .flat_map(|settings: &Vec<(String, Value)>| {
                    values.iter().map(move |value| {
                        let mut settings = settings.clone();
                        settings.push((key.clone(), value.clone()));
                        settings
                    })
                })
                .collect();
        }
        Ok(combinations)
    }
}

/// The grid's keys, those of its tables dotted, with their values.
fn axes<'a>(prefix: &str, grid: &'a TomlTable) -> Result<Vec<(String, &'a [Value])>> {
    let mut axes = Vec::new();
    for (key, value) in grid {
        let key = format!("{prefix}{key}");
        match value {
            Value::Array(values) => axes.push((key, values.as_slice())),
            Value::Table(table) => axes.extend(self::axes(&format!("{key}."), table)?),
            other => bail!("[grid]: {key} = {other} must be a list of values"),
        }
    }
    Ok(axes)
}

/// The recipe of a cell: one decoding, with the cell's settings.
fn vary(recipe: &Recipe, settings: &[(String, Value)]) -> Result<Recipe> {
    let mut table = TomlTable::try_from(recipe).context("cannot write the recipe as TOML")?;
    for (key, value) in settings {
        if key == "decoding" {
            let list = Value::Array(vec![value.clone()]);
            recipe::set_value(&mut table, "evaluation.decodings", list)?;
        } else {
            recipe::set_value(&mut table, &format!("evaluation.decode.{key}"), value.clone())?;
        }
    }
    recipe::parse(table, &[], "cell")
}

/// Measures every cell of an ablation on a policy and writes `table.txt`, `table.md`, `table.csv` and `plot.svg` to `out`. A cell
/// that is finished is not measured again; in an unfinished one the finished problems are kept.
///
/// # Errors
/// When files cannot be read or written, `out` holds another ablation, or a problem cannot be decoded.
pub fn ablate(
    environment: &AnyEnvironment,
    ablation: &Ablation,
    cells: &[Recipe],
    policy: &Policy,
    out: &Path,
) -> Result<(Table, Vec<Measured>)> {
    let settings = ablation.combinations()?;
    let first = cells.first().context("[grid] is empty")?;
    claim(ablation, first, policy, out)?;
    let seed = first.evaluation.seed;
    let problems =
        problems::draw(environment, &first.problems, Split::Test, 0, ablation.problems, seed)?;
    let mut measured = Vec::new();
    for (index, (recipe, settings)) in cells.iter().zip(settings).enumerate() {
        let path = out.join("cells").join(format!("{index}.json"));
        let name = describe(&settings);
        if let Ok(text) = fs::read_to_string(&path) {
            let cell: Measured = serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged; remove it", path.display()))?;
            measured.push(cell);
            continue;
        }
        tracing::info!("cell {} of {}: {name}", index + 1, cells.len());
        let rows = path.with_extension("jsonl");
        let subject = Subject {
            environment,
            evaluator: policy.evaluator(),
            net: policy.fingerprint(),
            problems: &problems,
            recipe: &recipe.evaluation,
            seeds: ablation.seeds,
            seed: seed::derive(recipe.seed, &["ablation"]),
            concurrent_problems: recipe.compute.concurrent_problems,
            out: Some(&rows),
            further: false,
        };
        let record = Record::gather(&subject, &Decodings {}.needs(&recipe.evaluation))?;
        let results = accuracies(&subject, &record)?;
        for accuracy in results {
            let cell = Measured { settings: settings.clone(), accuracy };
            jsonl::write_file(&path, &serde_json::to_vec_pretty(&cell)?)?;
            measured.push(cell);
        }
    }
    let table = table(&measured);
    let plot = plot(ablation, &measured);
    for (name, text) in [
        ("table.txt", table.text()),
        ("table.md", table.markdown()),
        ("table.csv", table.csv()),
        ("plot.svg", plot.svg().context("cannot draw the plot")?),
    ] {
        jsonl::write_file(&out.join(name), text.as_bytes())?;
    }
    Ok((table, measured))
}

/// Writes down what the directory is for, or checks that it is for the same.
fn claim(ablation: &Ablation, recipe: &Recipe, policy: &Policy, out: &Path) -> Result<()> {
    let mut manifest = crate::run_dir::manifest(recipe.seed);
    let identity = serde_json::json!({
        "ablation": ablation.name,
        "grid": ablation.grid,
        "problems": ablation.problems,
        "seeds": ablation.seeds,
        "checkpoint": policy.source(),
        "recipe": { "environment": recipe.environment, "problems": recipe.problems, "seed": recipe.seed },
    });
    manifest["identity"] = identity.clone();
    let path = out.join("manifest.json");
    if let Ok(text) = fs::read_to_string(&path) {
        let before: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(
            before["identity"] == identity,
            UsageError(anyhow!(
                "{} holds another ablation (see its manifest.json); choose another --out",
                out.display()
            ))
        );
        return Ok(());
    }
    jsonl::write_file(&path, &serde_json::to_vec_pretty(&manifest)?)
}

fn describe(settings: &[(String, Value)]) -> String {
    settings
        .iter()
        .map(|(key, value)| format!("{key} = {}", plain(value)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn table(measured: &[Measured]) -> Table {
    let cuts = cuts_of(measured.iter().map(|cell| &cell.accuracy));
    let keys: Vec<String> = measured[0].settings.iter().map(|(key, _)| key.clone()).collect();
    let last = ["simulations a problem", "seconds"].map(str::to_owned).to_vec();
    let mut table = Table::new([keys, titles(&cuts), last].concat());
    for Measured { settings, accuracy } in measured {
        let settings = settings.iter().map(|(_, value)| plain(value)).collect();
        let simulations = format!("{:.1}", accuracy.simulations_per_problem);
        let last = vec![simulations, accuracy.seconds_cell()];
        table.push([settings, accuracy.cells(&cuts), last].concat());
    }
    table
}

/// Accuracy along the last key, one curve for each combination of the others.
fn plot(ablation: &Ablation, measured: &[Measured]) -> Plot {
    let mut series: Vec<Series> = Vec::new();
    let mut ticks: Vec<String> = Vec::new();
    for cell in measured {
        let Some(((_, last), others)) = cell.settings.split_last() else { continue };
        let label = describe(others);
        let tick = plain(last);
        let x = ticks.iter().position(|seen| *seen == tick).unwrap_or_else(|| {
            ticks.push(tick);
            ticks.len() - 1
        });
        let accuracy = &cell.accuracy;
        let point = (x as f64, accuracy.accuracy, accuracy.low, accuracy.high);
        match series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.points.push(point),
            None => series.push(Series { label, points: vec![point] }),
        }
    }
    let x_label = ablation.grid.keys().next_back().cloned().unwrap_or_default();
    Plot { title: ablation.name.clone(), x_label, y_label: "share right".into(), ticks, series }
}
