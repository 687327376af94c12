//! The `[policy]` section of kind `table`: steps with their probabilities, and values, out of a file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use espalier_model::checkpoint::Source;
use espalier_search::{
    Action, Cancel, ConfigError, Evaluation, Evaluator, EvaluatorError, Request,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::distribution::{Weighted, draw};
use super::error::PolicyError;
use super::kind::{Backend, Policy, PolicyKind, identity, refuse_checkpoint};
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::jsonl;

/// A policy that is written down: `{"context": .., "value": .., "steps": [{"action": .., "probability": ..}, ..]}` a line. A context
/// is the whole of what a policy reads. The probabilities of its steps are divided by their sum. One that the file does not hold
/// has the value 0; to ask it for steps fails the search, with the context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableRecipe {
    /// The file, JSON Lines; a relative path starts at the working directory.
    pub path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    context: String,
    #[serde(default)]
    value: f64,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    action: Action,
    probability: f64,
}

struct Entry {
    value: f64,
    steps: Vec<Weighted>,
}

impl PolicyKind for TableRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        let named = !self.path.as_os_str().is_empty();
        ConfigError::require(named, "path", &"\"\"", "must name the table's file")
    }

    fn load(
        &self,
        _: &AnyEnvironment,
        _: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError> {
        refuse_checkpoint("table", checkpoint)?;
        let table = Table::read(&self.path).map_err(PolicyError::Usage)?;
        let source = format!("{} ({})", self.path.display(), table.fingerprint);
        let fingerprint = table.fingerprint.clone();
        Ok(Policy::new(table, fingerprint, source))
    }

    fn untrainable(&self) -> Option<&'static str> {
        Some(
            "[policy] kind = \"table\" has no net to train. Use `espalier search`, `harvest`, `evaluate` and `solve`, or write \
             kind = \"local\" for a run",
        )
    }
}

struct Table {
    path: PathBuf,
    entries: HashMap<String, Entry>,
    fingerprint: String,
}

impl Table {
    fn read(path: &Path) -> Result<Self, String> {
        let rows: Vec<(usize, Row)> =
            jsonl::read_numbered(path).map_err(|error| format!("[policy] path: {error:#}"))?;
        let contents: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
        let fingerprint =
            identity(&json!({ "policy": "table", "rows": contents })).map_err(|e| e.to_string())?;
        let mut entries = HashMap::with_capacity(rows.len());
        for (line, row) in rows {
            let place = |fault: &str| format!("[policy] path: {}:{line}: {fault}", path.display());
            let (context, entry) = entry(row).map_err(|fault| place(&fault))?;
            if entries.insert(context, entry).is_some() {
                return Err(place("the context stands in an earlier line, too"));
            }
        }
        Ok(Self { path: path.to_owned(), entries, fingerprint })
    }

    fn answer(&self, request: &Request) -> Result<Evaluation, EvaluatorError> {
        let entry = self.entries.get(&*request.context);
        let steps = entry.map_or(&[][..], |entry| &entry.steps);
        if request.samples > 0 && steps.is_empty() {
            return Err(EvaluatorError::Failed(format!(
                "[policy] kind = \"table\": {} has no steps for the context {:?}",
                self.path.display(),
                request.context
            )));
        }
        let value = entry.map_or(0.0, |entry| entry.value);
        Ok(Evaluation { proposals: draw(steps, request), value })
    }
}

fn entry(row: Row) -> Result<(String, Entry), String> {
    let Row { context, value, steps } = row;
    if !(-1.0..=1.0).contains(&value) {
        return Err(format!("value = {value} must be in [-1, 1]"));
    }
    for Step { action, probability } in &steps {
        if !(probability.is_finite() && *probability > 0.0) {
            return Err(format!("probability = {probability} of {action:?} must be positive"));
        }
    }
    let sum: f64 = steps.iter().map(|step| step.probability).sum();
    let weighted = |step: Step| (step.action, step.probability / sum);
    Ok((context, Entry { value, steps: steps.into_iter().map(weighted).collect() }))
}

impl Evaluator for Table {
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(|request| self.answer(request)).collect()
    }
}

impl Backend for Table {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::environment::countdown::Countdown;

    fn load(text: &str) -> Result<Policy, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.jsonl");
        fs::write(&path, text).unwrap();
        let environment = Countdown::default().into();
        let recipe = TableRecipe { path };
        recipe
            .load(&environment, &ComputeRecipe::default(), None)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_context_has_its_steps_and_its_value() {
        let policy = load(
            "{\"context\": \"q\\n\", \"value\": 0.25, \"steps\": [{\"action\": \"a\", \"probability\": 3}, \
             {\"action\": \"b\", \"probability\": 1}]}\n{\"context\": \"q\\na\\n\", \"value\": -0.5}\n",
        )
        .unwrap();
        let ask = |context: &str, samples| {
            let request = Request::steps(context.into(), samples, 0.0, 3);
            policy.evaluator().evaluate(&[request], &Cancel::new()).remove(0)
        };
        let root = ask("q\n", 2).unwrap();
        assert_eq!((root.value, root.proposals[1].action.as_str()), (0.25, "a"));
        assert!((root.proposals[0].prior() - 0.75).abs() < 1e-12);
        assert_eq!(ask("q\na\n", 0).unwrap().value, -0.5);
        assert_eq!(ask("elsewhere", 0).unwrap().value, 0.0);
        for context in ["q\na\n", "elsewhere"] {
            let error = ask(context, 1).unwrap_err().to_string();
            assert!(
                error.contains("table.jsonl has no steps")
                    && error.contains(&format!("{context:?}"))
            );
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, part) in [
            ("{\"context\": \"q\", \"value\": 2}", ":1: value = 2"),
            ("{\"context\": \"q\"}\n{\"context\": \"q\"}", ":2: the context"),
            (
                "{\"context\": \"q\", \"steps\": [{\"action\": \"a\", \"probability\": 0}]}",
                "probability = 0 of \"a\"",
            ),
            ("{\"context\": \"q\", \"valeu\": 1}", "valeu"),
        ] {
            let error = load(text).err().expect(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(TableRecipe::default().validate().unwrap_err().to_string().contains("path"));
    }
}
