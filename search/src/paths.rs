//! Paths sampled to their ends, all of a record at once.

use crate::environment::Environment;
use crate::error::SearchError;
use crate::growth::{Ask, Growth, Number, ROOT, Sampling};
use crate::seed::derive_seed;

/// Samples `count` paths, each until it ends or has `max_depth` steps, and gives their last nodes; none when the root's context
/// is too long to read. One call of the evaluator a level, over all open paths; the first level's steps come from one request.
pub(crate) fn sample_paths<E: Environment>(
    growth: &mut Growth<'_, E>,
    count: usize,
    temperature: f32,
    max_depth: usize,
) -> Result<Vec<Number>, SearchError> {
    let sampling = Sampling { temperature, without_replacement: false };
    let first = Ask { node: ROOT, samples: count, seed: growth.seed() };
    let mut paths = Vec::with_capacity(count);
    for proposal in growth.propose(&[first], sampling)?.into_iter().flatten() {
        paths.push(growth.step(ROOT, proposal)?);
    }
    for level in 1..max_depth as u64 {
        let level_seed = derive_seed(growth.seed(), level);
        let is_open = |index: &usize| growth.node(paths[*index]).terminal.is_none();
        let open: Vec<usize> = (0..paths.len()).filter(is_open).collect();
        if open.is_empty() {
            break;
        }
        let ask = |index: &usize| Ask {
            node: paths[*index],
            samples: 1,
            seed: derive_seed(level_seed, *index as u64),
        };
        let asked: Vec<Ask> = open.iter().map(ask).collect();
        for (index, mut proposals) in open.into_iter().zip(growth.propose(&asked, sampling)?) {
            if let Some(proposal) = proposals.pop() {
                paths[index] = growth.step(paths[index], proposal)?;
            }
        }
    }
    Ok(paths)
}
