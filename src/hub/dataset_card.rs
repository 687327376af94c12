//! The card of a dataset repository, which tells `datasets` where the labels lie and what their columns are: left to itself it takes a
//! column whose first rows lack a value for another one, and answers that look like dates for times.

use std::path::Path;

use anyhow::Result;
use espalier_search::LabelledSolution;

use super::model_card::cell;
use super::repository::Licence;
use crate::jsonl::Rows;
use crate::recipe::Recipe;

/// Columns of labelled solutions, in the card's YAML.
const SOLUTION: &str = include_str!("solution_features.yaml");
/// Columns of TRL's stepwise form.
const STEPWISE: &str = include_str!("stepwise_features.yaml");

/// What the card tells.
#[derive(Debug, Default)]
pub(super) struct DatasetCard {
    /// The recipe's name, its seed and the last round, where the labels are a run's.
    pub run: Option<(String, u64, usize)>,
    /// Files of labelled solutions.
    pub solutions: Vec<Labels>,
    /// Split and path of the files in TRL's form.
    pub stepwise: Vec<(String, String)>,
}

/// A file of labelled solutions.
#[derive(Debug)]
pub(super) struct Labels {
    split: String,
    path: String,
    rows: usize,
    correct: usize,
    steps: usize,
}

impl Labels {
    /// Reads a file that will be a split with this path.
    ///
    /// # Errors
    /// With the line that is no labelled solution.
    pub fn read(split: String, path: String, file: &Path) -> Result<Self> {
        let mut labels = Self { split, path, rows: 0, correct: 0, steps: 0 };
        for solution in Rows::<LabelledSolution>::open(file)?.rows() {
            let solution = solution?;
            labels.rows += 1;
            labels.correct += usize::from(solution.correct);
            labels.steps += solution.steps.len();
        }
        Ok(labels)
    }
}

impl DatasetCard {
    /// Of the labels of a run up to a round.
    pub fn of_run(recipe: &Recipe, round: usize) -> Self {
        Self { run: Some((cell(&recipe.name), recipe.seed, round)), ..Self::default() }
    }

    /// The card.
    pub fn write(&self, licence: &Licence) -> String {
        let solutions = self.solutions.iter().map(|labels| (&labels.split, &labels.path));
        let stepwise = self.stepwise.iter().map(|(split, path)| (split, path));
        let mut configs = config("default", solutions);
        let mut columns = features("default", SOLUTION);
        if !self.stepwise.is_empty() {
            configs += &config("stepwise", stepwise);
            columns += &features("stepwise", STEPWISE);
        }
        format!(
            "---\nlicense: {licence}\ntask_categories:\n- text-generation\ntags:\n- espalier\n- process-supervision\n- tree-search\n\
             configs:\n{configs}dataset_info:\n{columns}---\n\n{}",
            self.tell()
        )
    }

    fn tell(&self) -> String {
        let mut text = match &self.run {
            Some((name, seed, round)) => format!(
                "# Step labels of {name}\n\nReasoning steps with labels from tree search, of a run of the recipe `{name}` (seed {seed}) up to \
                 round {round}; each round is a split.\n"
            ),
            None => "# Step labels\n\nReasoning steps with labels from tree search.\n".to_owned(),
        };
        text += "\n| split | solutions | right ones | steps |\n|---|---|---|---|\n";
        for Labels { split, rows, correct, steps, .. } in &self.solutions {
            text += &format!("| `{split}` | {rows} | {correct} | {steps} |\n");
        }
        text += "\nA row is a solution. `prompt` is what the policy read first, `steps[].action` what it wrote, `steps[].observation` what the \
                 environment appended; `steps[].q` is the step's label in [−1, 1], `visits` how often the search went there, `prior` the policy's \
                 probability, `value` what the value net had said. `correct` says whether `answer` is right. Null are `answer` where a step \
                 broke the rules, `hindsight` and `values_only` where they are false, and a `weight` of 1.\n";
        if !self.stepwise.is_empty() {
            text += "\nThe configuration `stepwise` has the solutions in the form of TRL's stepwise supervision, with the labels (`values`) and the \
                     visits beside the verdicts (`labels`: whether the label is at least 0).\n";
        }
        text
    }
}

fn config<'a>(name: &str, files: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let files: String =
        files.map(|(split, path)| format!("  - split: {split}\n    path: {path}\n")).collect();
    format!("- config_name: {name}\n  data_files:\n{files}")
}

fn features(name: &str, columns: &str) -> String {
    let columns: String = columns.lines().map(|line| format!("  {line}\n")).collect();
    format!("- config_name: {name}\n  features:\n{columns}")
}
