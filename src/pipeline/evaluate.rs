//! The evaluation of a round's net: the measures of the recipe that its summary does not hold yet.

use anyhow::Result;
use serde_json::{Value, json};

use super::Rounds;
use crate::evaluation::{self, EvaluationRecipe, Figures, MeasureRecipe, Subject};
use crate::report::record_name;

/// The key of the measures, with their settings, that a round's summary holds figures of.
const TAKEN: &str = "measures";

impl Rounds<'_> {
    /// Takes what the summary of a round lacks, and adds it; nothing where it lacks nothing.
    pub(super) fn evaluate(&self, round: usize, done: Option<&Value>) -> Result<Option<Value>> {
        let recipe = &self.recipe.evaluation;
        let mut summary = done.cloned().unwrap_or_else(|| json!({}));
        let sources = std::iter::once(None).chain(recipe.others.keys().map(Some));
        let lacking = sources.map(|source| (source, lacking(recipe, &summary, source)));
        let lacking: Vec<(Option<&String>, EvaluationRecipe)> =
            lacking.filter(|(_, lacking)| !lacking.measures.is_empty()).collect();
        if lacking.is_empty() && done.is_some() {
            return Ok(None);
        }
        if done.is_some() && !self.has_net(round) {
            tracing::warn!(
                "round {round}: its net is not kept (rounds.keep.checkpoints), so it is not measured further"
            );
            return Ok(None);
        }
        let (policy, further) = (self.policy(round)?, done.is_some());
        for (source, lacking) in lacking {
            let problems = match source {
                None => self.held_out_problems()?,
                Some(name) => self.other_problems(name, &recipe.others[name])?,
            };
            let source = source.map(String::as_str);
            let out = self.run.round(round).join(record_name(source));
            let subject = Subject {
                environment: &self.environment(round),
                evaluator: policy.evaluator(),
                net: policy.fingerprint(),
                problems: &problems,
                recipe: &lacking,
                seeds: 1,
                seed: self.stream("evaluate", round),
                concurrent_problems: self.recipe.compute.concurrent_problems,
                out: Some(&out),
                further,
            };
            let of = source.map(|name| format!("{name}, ")).unwrap_or_default();
            for (measure, figures) in evaluation::evaluate(&subject, &lacking.measures)? {
                for note in &figures.notes {
                    tracing::info!("round {round}: {of}{note}");
                }
                if let Some(place) = place(&mut summary, measure, source) {
                    put(place, measure, figures);
                }
            }
        }
        let mut taken = taken(&summary);
        for measure in &recipe.measures {
            taken.retain(|earlier| earlier.kind() != measure.kind());
            taken.push(measure.clone());
        }
        summary[TAKEN] = serde_json::to_value(taken)?;
        Ok(Some(summary))
    }
}

/// What of a recipe the summary of a round lacks on a source's problems. A measure whose settings have changed is lacking as a
/// whole, but for decodings, which are measured one by one.
fn lacking(
    recipe: &EvaluationRecipe,
    summary: &Value,
    source: Option<&String>,
) -> EvaluationRecipe {
    let mut lacking = recipe.clone();
    let taken = taken(summary);
    lacking.measures.retain(|measure| {
        let Some(figures) = figures(summary, measure, source) else {
            return source.is_none() || measure.keys().1.is_some();
        };
        if let MeasureRecipe::Decodings(_) = measure {
            let there = |name: &str| {
                let results = figures.as_array();
                results.is_some_and(|all| all.iter().any(|result| result["decoding"] == name))
            };
            lacking.decodings.retain(|decoding| !there(&decoding.to_string()));
            return !lacking.decodings.is_empty();
        }
        // Summaries of earlier versions do not say under which settings they were made: under those of their run.
        let earlier = taken.iter().find(|earlier| earlier.kind() == measure.kind());
        earlier.is_some_and(|earlier| earlier != measure)
    });
    lacking
}

/// The measures that a summary holds.
fn taken(summary: &Value) -> Vec<MeasureRecipe> {
    let taken = summary.get(TAKEN).cloned().unwrap_or_default();
    serde_json::from_value(taken).unwrap_or_default()
}

/// The figures of a measure in a summary.
fn figures<'a>(
    summary: &'a Value,
    measure: &MeasureRecipe,
    source: Option<&String>,
) -> Option<&'a Value> {
    let (own, others) = measure.keys();
    match source {
        None => summary.get(own),
        Some(name) => summary.get(others?)?.get(name),
    }
}

/// Where the figures of a measure stand in a summary; `None` for a measure that other sources do not have.
fn place<'a>(
    summary: &'a mut Value,
    measure: &MeasureRecipe,
    source: Option<&str>,
) -> Option<&'a mut Value> {
    let (own, others) = measure.keys();
    Some(match source {
        None => &mut summary[own],
        Some(name) => &mut summary[others?][name],
    })
}

/// Puts new figures in their place; those of further decodings come behind the others.
fn put(place: &mut Value, measure: &MeasureRecipe, figures: Figures) {
    match (measure, place, figures.summary) {
        (MeasureRecipe::Decodings(_), Value::Array(there), Value::Array(more)) => {
            there.extend(more);
        }
        (_, place, figures) => *place = figures,
    }
}
