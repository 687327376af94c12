//! `sbs:B1xB2`: step-level beam search (AlphaMath, arXiv 2405.03553, algorithm 2).

use super::outcome::Outcome;
use super::path::{Path, best_finished};
use crate::guard::CheckedEvaluator;
use crate::seed::derive_seed;
use crate::{DecodeConfig, Environment, Request, SearchError};

/// Keeps `beams` partial solutions. Each level samples `samples` steps from each (`beams * samples`
/// from the root), asks for the value of every valid child in one batch and keeps the best; a kept
/// child that is an answer leaves the beam and takes its place with it. After `max_depth` levels
/// what is unfinished is dropped. The finished solution of highest value answers; ties go to the
/// first.
pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    (beams, samples): (usize, usize),
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let mut beam = vec![Path::new(root)];
    let mut places = beams;
    let mut finished: Vec<(String, Path<E::State>)> = Vec::new();
    for level in 0..config.max_depth as u64 {
        if beam.is_empty() {
            break;
        }
        let asked = if level == 0 { beams.saturating_mul(samples) } else { samples };
        let level_seed = derive_seed(seed, level);
        let mut children = children(environment, evaluator, &beam, asked, config, level_seed)?;
        value(environment, evaluator, &mut children)?;
        // Stable: equal values keep the order of sampling. No value is a NaN.
        children
            .sort_by(|a, b| b.value().partial_cmp(&a.value()).unwrap_or(std::cmp::Ordering::Equal));
        children.truncate(places);
        beam.clear();
        for child in children {
            match child.answer().map(str::to_owned) {
                Some(answer) => finished.push((answer, child)),
                None => beam.push(child),
            }
        }
        places = beams - finished.len();
    }
    Ok(best_finished(finished))
}

/// Every step sampled from the beam that did not end in an invalid way, in the order of sampling.
fn children<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    beam: &[Path<E::State>],
    samples: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Vec<Path<E::State>>, SearchError> {
    let request = |(index, path): (usize, &Path<E::State>)| {
        path.request(environment, samples, config.temperature, derive_seed(seed, index as u64))
    };
    let requests: Vec<Request> = beam.iter().enumerate().map(request).collect();
    let mut children = Vec::new();
    for (path, answer) in beam.iter().zip(evaluator.ask(&requests)?) {
        let mut seen: Vec<String> = Vec::new();
        // A context that is too long to read ends its path without children.
        for proposal in answer.into_iter().flat_map(|evaluation| evaluation.proposals) {
            let text = proposal.action.trim();
            if config.remove_duplicate {
                if seen.iter().any(|other| other == text) {
                    continue;
                }
                seen.push(text.to_owned());
            }
            let child = path.step(environment, proposal)?;
            if child.end.is_none() || child.answer().is_some() {
                children.push(child);
            }
        }
    }
    Ok(children)
}

/// Values all children in one batch and drops those that the model cannot read.
fn value<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    children: &mut Vec<Path<E::State>>,
) -> Result<(), SearchError> {
    let request = |path: &Path<E::State>| path.request(environment, 0, 0.0, 0);
    let requests: Vec<Request> = children.iter().map(request).collect();
    for (path, answer) in children.iter_mut().zip(evaluator.ask(&requests)?) {
        if let Some(evaluation) = answer {
            path.set_value(evaluation.value);
        }
    }
    children.retain(|path| path.value().is_some());
    Ok(())
}
