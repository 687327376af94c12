//! The workers of one tree: each takes simulations on, gathers leaves, and evaluates and backs them up until the search ends.

use super::config::{Compatibility, MAX_DESCENTS};
use super::descend::{Descent, MAX_TOGETHER, descend, descend_together};
use super::expand::Scratch;
use super::state::Search;
use super::stop::Status;
use crate::environment::Environment;
use crate::error::SearchError;
use crate::evaluator::EvaluatorError;
use crate::guard::catch_panic;
use crate::selection::{NodeRule, Rule};
use crate::snapshot::StopReason;
use crate::sync::Ordering;
use crate::tree::Path;

impl<E: Environment> Search<'_, E> {
    /// Runs every worker to its end.
    pub(super) fn run(&self) -> Result<StopReason, SearchError> {
        std::thread::scope(|scope| {
            let others: Vec<_> =
                (1..self.config.workers).map(|_| scope.spawn(|| self.work())).collect();
            self.work();
            for other in others {
                // A worker catches what panics, and the scope would tell of anything else.
                _ = other.join();
            }
        });
        self.control.outcome()
    }

    fn work(&self) {
        match (&self.rules.root, &self.rules.interior) {
            // The default rule is compiled into the descent.
            (NodeRule::Puct(root), NodeRule::Puct(interior)) => self.work_by(interior, root),
            (root, interior) => self.work_by(interior.as_dyn(), root.as_dyn()),
        }
    }

    fn work_by<I: Rule + ?Sized, R: Rule + ?Sized>(&self, rule: &I, at_root: &R) {
        let batch = self.config.leaf_batch;
        let mut paths: Vec<Path<'_>> = Vec::new();
        paths.resize_with(MAX_DESCENTS as usize - 1 + batch, Path::new);
        let mut scratch = Scratch::default();
        loop {
            let taken = self.take(batch as u64);
            if taken == 0 {
                return;
            }
            if let Some(reason) = self.control.reason(self) {
                return self.control.end(reason);
            }
            let claimed = self.gather(rule, at_root, &mut paths, taken as usize);
            // Relaxed: as in `take`.
            self.counts.started.fetch_sub(taken - claimed as u64, Ordering::Relaxed);
            if claimed == 0 {
                return;
            }
            let paths = &paths[..claimed];
            let mut done = 0;
            // The evaluator's panics are caught where it is called; what is left is the
            // environment's.
            let simulated = catch_panic(|| self.simulate(paths, &mut scratch, &mut done));
            if let Err(error) = simulated.map_err(SearchError::Environment).flatten() {
                for path in &paths[done..] {
                    path.leaf().into_iter().for_each(|leaf| self.tree.release(leaf));
                    self.tree.retreat(path);
                }
                if error == SearchError::Evaluator(EvaluatorError::Cancelled) {
                    return self.control.end(self.control.cancellation());
                }
                return self.control.fail(error);
            }
        }
    }

    /// Takes up to `wanted` of the simulations that are left to begin.
    fn take(&self, wanted: u64) -> u64 {
        // Relaxed: tickets need only be taken once.
        let left = |started: u64| self.config.simulations.saturating_sub(started).min(wanted);
        let take = |started: u64| Some(started + left(started)).filter(|after| *after > started);
        let order = Ordering::Relaxed;
        self.counts.started.fetch_update(order, order, take).map_or(0, left)
    }

    /// Descends until `wanted` leaves are claimed or there are no more for now, and puts their paths in front;
    /// none when the search is over.
    ///
    /// A descent that meets a taken leaf is held while the next one goes down, so that its virtual
    /// loss pushes that one elsewhere; after a few such all are undone, and a worker without a leaf waits
    /// for any expansion to finish.
    fn gather<'t, I: Rule + ?Sized, R: Rule + ?Sized>(
        &'t self,
        rule: &I,
        at_root: &R,
        paths: &mut [Path<'t>],
        wanted: usize,
    ) -> usize {
        loop {
            let seen = self.control.progress.finished();
            let (mut claimed, mut held) = (0, 0);
            let mut met_worker = false;
            'gathering: while claimed < wanted
                && held < MAX_DESCENTS as usize
                && !self.control.progress.stopped()
            {
                // No more at a time than may be held: they are then the descents that would be made one by one.
                let first = claimed + held;
                let together = (wanted - claimed).min(MAX_DESCENTS as usize - held);
                let outcomes = match &mut paths[first..first + together] {
                    [path] => [descend(&self.tree, rule, at_root, path); MAX_TOGETHER],
                    paths => descend_together(&self.tree, rule, at_root, paths),
                };
                for outcome in &outcomes[..together] {
                    let next = claimed + held;
                    match outcome {
                        Descent::Leaf | Descent::Widening => {
                            paths.swap(claimed, next);
                            claimed += 1;
                        }
                        Descent::Collision => {
                            // Relaxed: a counter (see `collisions`).
                            self.counts.collisions.fetch_add(1, Ordering::Relaxed);
                            met_worker = true;
                            held += 1;
                        }
                        Descent::DeadEnd | Descent::Ended => {
                            if self.config.compatibility == Compatibility::AlphaMath {
                                self.control.end(StopReason::DeadEnd);
                            } else {
                                // Another worker is about to do so, or a shared state was exhausted by another way.
                                self.tree.close_exhausted(&paths[next]);
                            }
                            held += 1;
                        }
                        Descent::Exhausted => {
                            self.control.end(StopReason::Exhausted);
                            break 'gathering;
                        }
                    }
                }
            }
            for path in &paths[claimed..claimed + held] {
                self.tree.retreat(path);
            }
            if claimed > 0 {
                return claimed;
            }
            if self.control.progress.stopped() {
                return 0;
            }
            if met_worker {
                self.control.progress.wait_beyond(seen);
            } else {
                // What another worker is about to close takes it nanoseconds.
                std::thread::yield_now();
            }
        }
    }

    /// Evaluates the paths' claimed leaves in one batch, expands them and backs up; `done` counts those that
    /// are finished. On an error, or a cancellation, the tree is as if the others had not been begun.
    fn simulate(
        &self,
        paths: &[Path<'_>],
        scratch: &mut Scratch,
        done: &mut usize,
    ) -> Result<(), SearchError> {
        let answers = self.ask(paths, scratch)?;
        for (path, answer) in paths.iter().zip(answers) {
            match answer {
                Some(evaluation) => {
                    let draft = self.draft(self.leaf(path), evaluation, scratch)?;
                    self.score(&draft)?;
                    self.commit(path, draft);
                }
                None => self.end_unreadable(path),
            }
            *done += 1;
            // Relaxed: a counter (see `completed`).
            self.counts.completed.fetch_add(1, Ordering::Relaxed);
            self.control.progress.finish_one();
        }
        Ok(())
    }
}

impl<E: Environment> Status for Search<'_, E> {
    fn tokens(&self) -> u64 {
        self.evaluator.tokens()
    }

    fn bytes(&self) -> u64 {
        Search::bytes(self)
    }

    fn solved(&self) -> bool {
        // Relaxed: a flag that announces nothing but itself.
        self.counts.solved.load(Ordering::Relaxed)
    }

    fn settled(&self) -> bool {
        self.is_settled()
    }
}
