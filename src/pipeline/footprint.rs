//! The host memory and the disk that a run takes at most, from its recipe and its net's shape.

use espalier_search::SearchSettings;
use espalier_training::Device;
use serde::Serialize;

use super::memory::Memory;
use crate::recipe::Recipe;

/// Bytes of a token's text, as in English and code.
const BYTES_OF_TOKEN: usize = 4;
/// Bytes of a step in a file of trees beside its text: tag, statistics and names.
const BYTES_OF_STEP: usize = 250;

/// Estimates in bytes. A process takes 1 to 2 GiB more for libtorch, and training on the CPU its activations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Host memory while trees are grown: the net as it was read and as it is searched, keys and values, and the trees under way.
    pub searching: usize,
    /// Host memory of training: the net that it starts from, the trained one, gradients and moments, and the copies of a saved state.
    pub training: usize,
    /// The larger of the two.
    pub host_peak: usize,
    /// Checkpoints of all rounds that are kept, and the states that are saved meanwhile.
    pub disk_checkpoints: usize,
    /// Trees of the rounds that are kept and labels of all, were every tree full of steps of full length.
    pub disk_trees: usize,
    /// All of the run directory.
    pub disk: usize,
}

impl Footprint {
    /// Of a recipe whose net takes this memory.
    pub(super) fn new(recipe: &Recipe, memory: &Memory) -> Self {
        let on_cpu = recipe.compute.device == Device::Cpu;
        let here = |bytes: usize| if on_cpu { bytes } else { 0 };
        let mut search = recipe.search.clone();
        if let Some(curriculum) = &recipe.rounds.curriculum {
            search.settings_mut().scale_budget(curriculum.most);
        }
        let (base, search) = (memory.read_weights, search.settings());
        let step =
            sum([product([BYTES_OF_TOKEN, recipe.policy.local().max_step_tokens]), BYTES_OF_STEP]);
        let tree = product([search.most_steps(), step]);
        let under_way = product([recipe.compute.concurrent_problems, tree]);
        let searching = sum([base, here(memory.weights), here(memory.kv_cache), under_way]);
        let saved = [base, memory.optimizer];
        let trained = [memory.training_weights, memory.gradients, memory.optimizer].map(here);
        let training = sum([base].into_iter().chain(trained).chain(saved));

        let rounds = recipe.rounds.count;
        let keep = recipe.rounds.keep.clone().unwrap_or_default();
        // Round 0's stays, the gate's, and until a round is done that of the round before.
        let nets = keep.checkpoints.map_or(usize::MAX, |kept| kept.saturating_add(2));
        let nets = nets.min(rounds.saturating_add(1));
        let disk_checkpoints = Saved::new(memory, recipe).bytes(nets) as usize;
        let problems = product([rounds, recipe.rounds.problems]);
        let kept = keep.trees.map_or(rounds, |kept| kept.saturating_add(1).min(rounds));
        let trees = product([kept, recipe.rounds.problems]);
        let paths = &recipe.labels.paths;
        let solutions = sum([paths.max_correct, paths.max_incorrect]);
        let probe = recipe.rounds.probe.as_ref().map_or(0, |probe| {
            let steps = [
                probe.search.most_steps(),
                product([probe.pass_at_k.samples, probe.search.max_depth]),
            ];
            product([rounds.saturating_add(1), probe.problems, sum(steps), step])
        });
        let disk_trees = sum([
            probe,
            product([trees, recipe.rounds.trees_per_problem, tree]),
            product([problems, solutions, search.most_depth(), step]),
        ]);
        Self {
            searching,
            training,
            host_peak: searching.max(training),
            disk_checkpoints,
            disk_trees,
            disk: sum([disk_checkpoints, disk_trees]),
        }
    }
}

/// What a checkpoint takes on the disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    /// A finished one: the weights in the net's element type, with the optimiser's moments.
    finished: usize,
    /// The state of an unfinished training, in float32.
    state: usize,
}

impl Saved {
    /// Of a recipe whose net takes this memory.
    pub(super) fn new(memory: &Memory, recipe: &Recipe) -> Self {
        let adapter =
            recipe.training.lora.as_ref().map(|_| product([4, memory.trained_parameters]));
        let trained = adapter.unwrap_or(memory.read_weights);
        Self {
            finished: sum([memory.saved_weights, memory.optimizer, adapter.unwrap_or(0)]),
            state: sum([trained, memory.optimizer]),
        }
    }

    /// Of so many finished ones, while the next is trained: a state is written beside the one before.
    pub(super) fn bytes(self, finished: usize) -> u64 {
        sum([product([finished, self.finished]), product([2, self.state])]) as u64
    }
}

/// The sum, or the greatest number where it is larger: settings are bounded one by one, and not their products.
fn sum(terms: impl IntoIterator<Item = usize>) -> usize {
    terms.into_iter().fold(0, usize::saturating_add)
}

/// As [`sum`].
fn product(factors: impl IntoIterator<Item = usize>) -> usize {
    factors.into_iter().fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_number_holds_is_the_greatest() {
        assert_eq!((sum([usize::MAX, 1]), product([usize::MAX, 2])), (usize::MAX, usize::MAX));
        assert_eq!((sum([]), product([]), product([usize::MAX, 2, 0])), (0, 1, 0));
    }
}
