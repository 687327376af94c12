//! The evaluator shared by all searches of a stage.

use espalier_search::{BatchStats, Batcher, BatcherConfig, Evaluator};

use crate::recipe::ComputeRecipe;

/// Runs `work` with a batching front of the evaluator: requests of all problems are gathered into batches, which as many
/// threads as the recipe has cores answer.
pub fn serve_with_stats<R>(
    evaluator: &dyn Evaluator,
    compute: &ComputeRecipe,
    work: impl FnOnce(&Batcher) -> R,
) -> (R, BatchStats) {
    let config = BatcherConfig {
        threads: compute.resolved_threads(),
        max_batch: compute.max_batch,
        ..BatcherConfig::default()
    };
    espalier_search::serve(evaluator, &config, work)
}

/// [`serve_with_stats`] for callers that do not report them.
pub fn serve<R>(
    evaluator: &dyn Evaluator,
    compute: &ComputeRecipe,
    work: impl FnOnce(&Batcher) -> R,
) -> R {
    serve_with_stats(evaluator, compute, work).0
}
