//! How fast a policy is searched under some settings: what it does in a while, in the middle of a search that does not end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use espalier_search::{
    Cancel, Evaluation, Evaluator, EvaluatorError, Problem, Request, SearchConfig, SearchError,
    for_each_index,
};

use super::climb::Comparison;
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::interrupt::Work;
use crate::policy::{LimitWatch, Policy};
use crate::seed;

/// Pairs of measurements of a comparison; the first ends it where it is clear.
const PAIRS: usize = 3;
/// Below this ratio one pair is enough.
const CLEARLY_SLOWER: f64 = 0.97;
/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(50);

/// A search to be timed.
pub struct Searched<'a> {
    /// The environment in which the policy is asked.
    pub environment: &'a AnyEnvironment,
    /// The problems, which come again and again.
    pub problems: &'a [Problem],
    /// How each is searched.
    pub config: &'a SearchConfig,
    /// Root of the seeds.
    pub seed: u64,
    /// Seconds of a measurement.
    pub seconds: f64,
    /// Loads the policy.
    pub load: &'a (dyn Fn(&ComputeRecipe) -> Result<Policy> + Sync),
    /// Whether it is a local net.
    pub net: bool,
}

impl Searched<'_> {
    pub(super) fn has_net(&self) -> bool {
        self.net
    }

    /// What is counted.
    pub(super) fn unit(&self) -> &'static str {
        if self.net { "tokens" } else { "states" }
    }

    /// How much faster the second is; both are measured in turn, until it is clear that it is not.
    pub(super) fn compare(
        &self,
        first: &ComputeRecipe,
        second: &ComputeRecipe,
    ) -> Result<Comparison> {
        let (_, compared) = self.pairs(first, second, CLEARLY_SLOWER)?;
        Ok(compared)
    }

    /// The median rates of two, and how much faster the second is, by all pairs.
    pub(super) fn compare_whole(
        &self,
        first: &ComputeRecipe,
        second: &ComputeRecipe,
    ) -> Result<([f64; 2], Comparison)> {
        self.pairs(first, second, 0.0)
    }

    fn pairs(
        &self,
        first: &ComputeRecipe,
        second: &ComputeRecipe,
        enough: f64,
    ) -> Result<([f64; 2], Comparison)> {
        let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
        while ratios.len() < PAIRS && ratios.last().is_none_or(|&ratio| ratio >= enough) {
            let pair = [self.rate(first)?, self.rate(second)?];
            ratios.push(pair[1] / pair[0]);
            rates.iter_mut().zip(pair).for_each(|(rates, rate)| rates.push(rate));
        }
        Ok((rates.map(|rates| Comparison::of(rates).median), Comparison::of(ratios)))
    }

    /// Units a second under some settings.
    pub(super) fn rate(&self, compute: &ComputeRecipe) -> Result<f64> {
        let policy = (self.load)(compute)?;
        let counting = Counting { inner: policy.evaluator(), answered: AtomicU64::new(0) };
        let done = || match policy.inference() {
            Some(stats) => stats.tokens_sampled,
            // Relaxed: a count, nothing is published with it.
            None => counting.answered.load(Ordering::Relaxed),
        };
        let watch = LimitWatch::new(&counting);
        let work = Work::begin();
        let cancel = work.cancel();
        let over = AtomicBool::new(false);
        let measured = thread::scope(|scope| {
            let searching = scope.spawn(|| {
                let searched = self.search(&watch, compute, cancel);
                over.store(true, Ordering::Relaxed);
                searched
            });
            let pass = |seconds: f64| {
                let start = Instant::now();
                while start.elapsed().as_secs_f64() < seconds && !over.load(Ordering::Relaxed) {
                    thread::sleep(TICK);
                }
                start.elapsed().as_secs_f64()
            };
            // A search begins with short contexts and an empty cache.
            pass(self.seconds / 2.0);
            let before = done();
            let seconds = pass(self.seconds);
            let units = done() - before;
            cancel.cancel();
            let searched = searching.join().map_err(|_| anyhow!("the search panicked"))?;
            searched.map(|()| units as f64 / seconds)
        });
        work.check(|| "nothing is written".to_owned())?;
        let rate = measured.context("a search failed")?;
        ensure!(
            rate > 0.0,
            "nothing came of {} s of searching; give it more --seconds",
            self.seconds
        );
        Ok(rate)
    }

    /// Searches problem after problem until it is cancelled.
    fn search(
        &self,
        evaluator: &dyn Evaluator,
        compute: &ComputeRecipe,
        cancel: &Cancel,
    ) -> Result<()> {
        let kind = self.config.kind::<AnyEnvironment>();
        let search = |index: usize| -> Result<(), SearchError> {
            let problem = &self.problems[index % self.problems.len()];
            let stream = seed::derive(self.seed, &["tune", &index.to_string()]);
            kind.grow(self.environment, evaluator, problem, stream, true, cancel).map(|_| ())
        };
        for_each_index(usize::MAX, compute.concurrent_problems, cancel, search)?;
        Ok(())
    }
}

/// Counts what was asked and answered.
struct Counting<'a> {
    inner: &'a dyn Evaluator,
    answered: AtomicU64,
}

impl Evaluator for Counting<'_> {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let answers = self.inner.evaluate(requests, cancel);
        let answered = answers.iter().filter(|answer| answer.is_ok()).count();
        // Relaxed: a count, nothing is published with it.
        self.answered.fetch_add(answered as u64, Ordering::Relaxed);
        answers
    }
}
