//! Replays a tree and compares it node for node.

use espalier_search::{
    Cancel, Compatibility, MctsConfig, NodeRecord, Terminal, TreeRecord, search_tree,
};

use super::ReplayError;
use super::difference::{Difference, close, same, same_text};
use super::model::{Model, Steps, TOO_DEEP, TOO_MANY_ERRORS, problem};
use super::trace::{NO_VALUE, Node, ROOT, Trace};

/// Values and Q-values are sums in another order, or in fixed point.
const VALUE_TOLERANCE: f64 = 1e-9;
/// Priors are one division and one exponential.
const PRIOR_TOLERANCE: f64 = 1e-12;

/// Grows the tree under the settings that are compatible with the original.
pub(super) fn replay(trace: &Trace) -> Result<(), ReplayError> {
    let config = MctsConfig {
        c_puct: trace.config.c_puct,
        samples: trace.config.n_generate_sample,
        simulations: trace.config.iterations,
        max_depth: trace.config.max_depth,
        remove_duplicate: trace.config.remove_duplicate,
        update_leaf_value: trace.config.update_leaf_value,
        positive_reward: trace.config.positive_reward,
        negative_reward: trace.config.negative_reward,
        compatibility: Compatibility::AlphaMath,
        ..MctsConfig::default()
    };
    let (steps, model) = (Steps::new(trace)?, Model::new(trace));
    let ground_truth = trace.ground_truth.is_some();
    let record =
        search_tree(&steps, &model, &problem(trace), &config, 0, ground_truth, &Cancel::new())
            .map_err(|error| model.explain(error))?;
    compare(&record, trace)?;
    model.exhausted()?;
    Ok(())
}

fn compare(record: &TreeRecord, trace: &Trace) -> Result<(), Difference> {
    for (tag, expected) in trace.nodes() {
        let found = record.react.get(tag.as_str());
        let found = found.ok_or_else(|| Difference::new(tag, "react", "no such node", "a node"))?;
        compare_node(tag, found, expected)?;
    }
    if let Some(tag) = record.react.keys().find(|tag| !trace.nodes().contains_key(tag.as_str())) {
        return Err(Difference::new(tag, "react", "a node", "no such node"));
    }
    same(ROOT, "iterations_used", record.simulations, trace.iterations_used)
}

fn compare_node(tag: &str, found: &NodeRecord, expected: &Node) -> Result<(), Difference> {
    // At the root the search has the prompt, the original nothing.
    if tag != ROOT {
        same_text(tag, "text", found.text(), &expected.text)?;
    }
    let none = || Difference::new(tag, "visit_count", found.visit_count, "statistics");
    let statistics = expected.statistics().ok_or_else(none)?;
    same(tag, "visit_count", found.visit_count, statistics.visit_count)?;
    let value = found.value.unwrap_or(NO_VALUE);
    close(tag, "value", value, expected.value, VALUE_TOLERANCE)?;
    close(tag, "q_value", found.q_value, statistics.q_value, VALUE_TOLERANCE)?;
    close(tag, "prior", found.prior, statistics.prior, PRIOR_TOLERANCE)?;
    same_text(tag, "final_answer", ending(found), &expected.final_answer)
}

/// How the original tells the ending of a node.
fn ending(node: &NodeRecord) -> &str {
    match &node.terminal {
        Some(Terminal::Answer(answer)) => answer,
        Some(Terminal::Invalid(reason)) if reason == TOO_MANY_ERRORS => TOO_MANY_ERRORS,
        Some(Terminal::Invalid(reason)) if reason == "too many steps" => TOO_DEEP,
        // An over-long prompt ends a path without a word.
        _ => "",
    }
}
