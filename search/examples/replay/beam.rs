//! Replays a step-level beam search and compares what it expanded, valued and finished.

use std::collections::HashMap;

use espalier_search::decoding::StepBeam;
use espalier_search::{Cancel, Candidate, DecodeConfig, MctsConfig, Outcome, decode};

use super::ReplayError;
use super::difference::{Difference, close, same, same_text};
use super::model::{Model, Steps, problem};
use super::trace::{Kind, NO_VALUE, ROOT, Trace};

const VALUE_TOLERANCE: f64 = 1e-9;

/// Decodes under the original's settings. The model answers only when the states expanded and valued are the original's in
/// the original's order.
pub(super) fn replay(trace: &Trace) -> Result<(), ReplayError> {
    let decoding =
        StepBeam { beams: trace.config.step_beam_width, samples: trace.config.n_generate_sample };
    let config = DecodeConfig {
        remove_duplicate: trace.config.remove_duplicate,
        tree: MctsConfig { max_depth: trace.config.max_depth, ..DecodeConfig::default().tree },
    };
    let (steps, model) = (Steps::new(trace)?, Model::new(trace));
    let outcome =
        decode(decoding.into(), &steps, &model, &problem(trace), &config, 0, &Cancel::new())
            .map_err(|error| model.explain(error))?;
    model.exhausted()?;
    compare_values(trace)?;
    compare_solutions(&outcome, trace)?;
    same(ROOT, "iterations_used", levels(trace), trace.iterations_used)?;
    Ok(())
}

/// Sets every node against what the model said when the search asked about it. That its text was the recorded one is what
/// the model answered on.
fn compare_values(trace: &Trace) -> Result<(), Difference> {
    let values = trace.calls.iter().filter(|call| call.kind == Kind::Value);
    let mut values: HashMap<&str, Option<f64>> =
        values.map(|call| (call.tag.as_str(), call.value)).collect();
    // The root is expanded unvalued.
    values.insert(ROOT, None);
    for (tag, node) in trace.nodes() {
        let Some(found) = values.get(tag.as_str()) else {
            return Err(Difference::new(tag, "react", "no such node", "a node"));
        };
        close(tag, "value", found.unwrap_or(NO_VALUE), node.value, VALUE_TOLERANCE)?;
    }
    Ok(())
}

/// Levels expanded, when the search has asked for every call.
fn levels(trace: &Trace) -> u64 {
    let expanded = trace.calls.iter().filter(|call| call.kind == Kind::Expand);
    expanded.map(|call| 1 + call.tag.matches('.').count() as u64).max().unwrap_or(0)
}

fn compare_solutions(outcome: &Outcome, trace: &Trace) -> Result<(), Difference> {
    let mut found: Vec<&Candidate> = outcome.candidates.iter().collect();
    // Stable, as the original sorts: equal values keep the order in which they were reached.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let expected = trace.solutions();
    for (candidate, solution) in found.iter().zip(expected) {
        let tag = &solution.tag;
        close(tag, "solutions.value", candidate.score, solution.value, VALUE_TOLERANCE)?;
        same_text(tag, "solutions.final_answer", &candidate.answer, &solution.final_answer)?;
    }
    same(ROOT, "solutions", found.len() as u64, expected.len() as u64)?;
    let Some(best) = expected.first() else { return Ok(()) };
    let steps: String = outcome
        .solution
        .iter()
        .map(|step| format!("{}{}", step.action, step.observation))
        .collect();
    let recorded = trace.context(&best.tag).unwrap_or_default();
    same_text(&best.tag, "solutions.tag", &steps, &recorded)?;
    let answer = outcome.answer.as_deref().unwrap_or_default();
    same_text(&best.tag, "solutions.final_answer", answer, &best.final_answer)
}
