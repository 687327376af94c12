//! The threads that share one forward pass.

use rayon::prelude::*;

use espalier_model::error::{Error, Result};

/// One thread, or several that divide the products and the attention of every layer among them. What they compute does
/// not depend on how many there are.
pub(super) struct Team(Option<rayon::ThreadPool>);

impl Team {
    /// A team of `threads`; one is the caller itself.
    pub fn new(threads: usize) -> Result<Self> {
        if threads <= 1 {
            return Ok(Self(None));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("inference-{index}"))
            .build();
        let refused = |error: rayon::ThreadPoolBuildError| Error::Setting {
            field: "threads",
            message: format!("{threads} threads cannot be started: {error}"),
        };
        Ok(Self(Some(pool.map_err(refused)?)))
    }

    /// Threads.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Runs `work` among the team's threads, where [`Self::each`] finds them awake.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `work` once for each item.
    pub fn each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Sync + Send) {
        match &self.0 {
            Some(_) if items.len() > 1 => items.into_par_iter().with_max_len(1).for_each(work),
            _ => items.into_iter().for_each(work),
        }
    }
}
