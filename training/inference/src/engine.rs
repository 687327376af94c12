//! A net with its caches: the state that all schedulers of an evaluator share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use espalier_model::checkpoint::Checkpoint;
use espalier_model::error::Result;
use espalier_model::head::Head;
use espalier_model::tokenizer::Tokenizer;

use super::backend::Backend;
use super::config::InferenceConfig;
use super::metrics::{Counters, InferenceStats};
use super::pages::Pool;
use super::prefix::PrefixCache;
use super::sampling::SamplingConfig;
use super::stops::Stops;

/// The net, its keys and values, and how answers are drawn.
pub(super) struct Engine {
    pub model: Backend,
    /// What values are read by, on the host whatever computes the net.
    pub head: Head,
    pub pool: Arc<Pool>,
    pub cache: Mutex<PrefixCache>,
    pub tokenizer: Tokenizer,
    pub stops: Stops,
    pub sampling: SamplingConfig,
    pub slots: usize,
    pub counters: Counters,
}

impl Engine {
    /// What was done so far, by so many schedulers.
    pub fn stats(&self, schedulers: usize) -> InferenceStats {
        self.counters.stats(schedulers, self.cache().recomputed())
    }

    /// # Errors
    /// [`Error::Setting`](espalier_model::error::Error::Setting) when no token contains one of the stops.
    pub fn new(
        model: Backend,
        checkpoint: &Checkpoint,
        head: Head,
        config: &InferenceConfig,
    ) -> Result<Self> {
        let &InferenceConfig { max_step_tokens, slots, sampling, .. } = config;
        let tokenizer = checkpoint.tokenizer.clone();
        let (vocab_size, eos) = (checkpoint.config.vocab_size, checkpoint.eos_token_ids()?);
        let stops = Stops::new(&tokenizer, vocab_size, &eos, &config.stops, max_step_tokens)?;
        let pool = model.pool(config.kv_cache_dtype);
        let cache = PrefixCache::new(config.kv_cache_megabytes << 20, Arc::clone(&pool));
        let (cache, counters) = (Mutex::new(cache), Counters::default());
        Ok(Self { model, head, pool, cache, tokenizer, stops, sampling, slots, counters })
    }

    /// The cache, also after a thread panicked with it: it is replaced then.
    pub fn cache(&self) -> MutexGuard<'_, PrefixCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the cache: after a failure parts of it stay reserved, and no request computes them any more.
    pub fn forget(&self) {
        self.cache().forget();
    }
}
