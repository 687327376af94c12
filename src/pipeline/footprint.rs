//! The host memory and the disk that a run takes at most, from its recipe and its net's shape.

use espalier_training::{Device, ModelConfig};
use serde::Serialize;

use super::dry_run::Memory;
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
    /// Checkpoints of all rounds, and a saved state of the last.
    pub disk_checkpoints: usize,
    /// Trees and labels of all rounds, were every tree full of steps of full length.
    pub disk_trees: usize,
    /// All of the run directory.
    pub disk: usize,
}

impl Footprint {
    /// Of a recipe whose net has this shape and takes this memory. `round_0_trains` says whether round 0's net is trained, and
    /// so saved with moments.
    pub(super) fn new(
        recipe: &Recipe,
        config: &ModelConfig,
        memory: &Memory,
        round_0_trains: bool,
    ) -> Self {
        let on_cpu = recipe.compute.device == Device::Cpu;
        let here = |bytes: usize| if on_cpu { bytes } else { 0 };
        let base = memory.read_weights;
        let step_bytes = BYTES_OF_TOKEN
            .saturating_mul(recipe.policy.local().max_step_tokens)
            .saturating_add(BYTES_OF_STEP);
        let tree = recipe.search.settings().most_steps().saturating_mul(step_bytes);
        let under_way = recipe.compute.concurrent_problems.saturating_mul(tree);
        let searching = base + here(memory.weights + memory.kv_cache) + under_way;
        let saved_copy = base + memory.optimizer;
        let trained = memory.training_weights + memory.gradients + memory.optimizer;
        let training = base + here(trained) + saved_copy;
        let rounds = recipe.rounds.count;
        let checkpoint =
            memory.parameters * config.dtype().map_or(4, espalier_training::Dtype::size);
        let with_moments = rounds + usize::from(round_0_trains);
        let disk_checkpoints =
            (rounds + 1) * checkpoint + with_moments * memory.optimizer + saved_copy;
        let trees = rounds * recipe.rounds.problems * recipe.rounds.trees_per_problem;
        let paths = recipe.labels.paths.max_correct + recipe.labels.paths.max_incorrect;
        let depth = recipe.search.settings().most_depth();
        let labels = rounds * recipe.rounds.problems;
        let labels = labels.saturating_mul(paths).saturating_mul(depth).saturating_mul(step_bytes);
        let disk_trees = trees.saturating_mul(tree).saturating_add(labels);
        Self {
            searching,
            training,
            host_peak: searching.max(training),
            disk_checkpoints,
            disk_trees,
            disk: disk_checkpoints.saturating_add(disk_trees),
        }
    }
}
