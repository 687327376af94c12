//! One tree from its root to its end, by one worker or several.

use super::config::{DeadEnd, MAX_DESCENTS, MctsConfig};
use super::descend::{Descent, descend};
use super::progress::Progress;
use super::step_data::StepData;
use crate::guard::{CheckedEvaluator, catch_panic};
use crate::selection::Rule;
use crate::snapshot::StopReason;
use crate::sync::{AtomicU64, OnceLock, Ordering};
use crate::tree::{Chunked, Node, NodeId, Path, Tree};
use crate::{ConfigError, Environment, Evaluator, Problem, SearchError};

/// What the workers of one tree share.
pub(super) struct Search<'a, E: Environment> {
    pub(super) environment: &'a E,
    pub(super) evaluator: CheckedEvaluator<'a>,
    pub(super) problem: &'a Problem,
    pub(super) config: &'a MctsConfig,
    pub(super) seed: u64,
    /// Whether answers may be graded.
    pub(super) ground_truth: bool,
    pub(super) tree: Tree,
    cold: Chunked<OnceLock<StepData<E::State>>>,
    progress: Progress,
    /// Simulations that workers have taken on, those beyond the budget included.
    started: AtomicU64,
    completed: AtomicU64,
    collisions: AtomicU64,
    stop: OnceLock<StopReason>,
    failure: OnceLock<SearchError>,
}

impl<'a, E: Environment> Search<'a, E> {
    pub(super) fn new(
        environment: &'a E,
        evaluator: &'a dyn Evaluator,
        problem: &'a Problem,
        config: &'a MctsConfig,
        seed: u64,
        ground_truth: bool,
    ) -> Result<Self, SearchError> {
        config.validate()?;
        let tree = config.tree().ok_or_else(|| ConfigError {
            field: "simulations",
            value: config.simulations.to_string(),
            requirement: "too many for any statistics layout".to_owned(),
        })?;
        let search = Self {
            environment,
            evaluator: CheckedEvaluator::new(evaluator),
            problem,
            config,
            seed,
            ground_truth,
            tree: Tree::new(&tree),
            cold: Chunked::new(),
            progress: Progress::default(),
            started: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            collisions: AtomicU64::new(0),
            stop: OnceLock::new(),
            failure: OnceLock::new(),
        };
        search.insert(NodeId::ROOT, StepData::root(environment.root(problem)?));
        Ok(search)
    }

    /// Runs every worker to its end.
    pub(super) fn run(&self) -> Result<StopReason, SearchError> {
        std::thread::scope(|scope| {
            for _ in 1..self.config.workers {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        match self.failure.get() {
            Some(error) => Err(error.clone()),
            None => Ok(self.stop.get().copied().unwrap_or(StopReason::Simulations)),
        }
    }

    /// Simulations that were backed up.
    pub(super) fn completed(&self) -> u64 {
        // Relaxed: a counter, read when the workers have been joined.
        self.completed.load(Ordering::Relaxed)
    }

    /// Descents that met a leaf which another worker was expanding.
    pub(super) fn collisions(&self) -> u64 {
        // Relaxed: as for `completed`.
        self.collisions.load(Ordering::Relaxed)
    }

    /// The cold side of a node that this thread claimed, created, or read of in a published word.
    pub(super) fn data(&self, id: NodeId) -> &StepData<E::State> {
        self.cold.get(id.index()).get().expect("cold data are written before a node is published")
    }

    /// Writes the cold side of a node that is not published yet.
    pub(super) fn insert(&self, id: NodeId, data: StepData<E::State>) {
        self.cold.reserve(id.index());
        let fresh = self.cold.get(id.index()).set(data);
        debug_assert!(fresh.is_ok(), "an id is handed out once");
    }

    fn work(&self) {
        let rule = self.config.puct();
        let mut paths: [Path<'_>; MAX_DESCENTS as usize] = std::array::from_fn(|_| Path::new());
        // Relaxed: tickets need only differ.
        while self.started.fetch_add(1, Ordering::Relaxed) < self.config.simulations {
            let Some(path) = self.next_leaf(&rule, &mut paths) else {
                return;
            };
            // The evaluator's panics are caught where it is called; what is left is the
            // environment's.
            let simulated = catch_panic(|| self.simulate(path));
            if let Err(error) = simulated.map_err(SearchError::Environment).flatten() {
                path.leaf().into_iter().for_each(|leaf| self.tree.release(leaf));
                self.tree.retreat(path);
                // The first cause is the one that is told.
                _ = self.failure.set(error);
                self.progress.stop();
                return;
            }
            // Relaxed: a counter (see `completed`).
            self.completed.fetch_add(1, Ordering::Relaxed);
            self.progress.finish_one();
        }
    }

    /// Descends until a leaf can be claimed; `None` when the search is over.
    ///
    /// A descent that meets a taken leaf is held while the next one goes down, so that its virtual
    /// loss pushes that one elsewhere; when a few have failed, all are undone and the worker waits
    /// for any expansion to finish.
    fn next_leaf<'p, 't>(
        &'t self,
        rule: &impl Rule,
        paths: &'p mut [Path<'t>],
    ) -> Option<&'p Path<'t>> {
        loop {
            let seen = self.progress.finished();
            let mut held = 0;
            let mut claimed = false;
            let mut met_worker = false;
            while held < paths.len() && !self.progress.stopped() {
                match descend(&self.tree, rule, rule, &mut paths[held]) {
                    Descent::Leaf => {
                        claimed = true;
                        break;
                    }
                    Descent::Collision => {
                        // Relaxed: a counter (see `collisions`).
                        self.collisions.fetch_add(1, Ordering::Relaxed);
                        met_worker = true;
                        held += 1;
                    }
                    Descent::DeadEnd | Descent::Ended => {
                        held += 1;
                        if self.config.dead_end == DeadEnd::Stop {
                            self.end(StopReason::DeadEnd);
                        }
                    }
                    Descent::Exhausted => {
                        self.end(StopReason::Exhausted);
                        break;
                    }
                }
            }
            for path in &paths[..held] {
                self.tree.retreat(path);
            }
            if claimed {
                return Some(&paths[held]);
            }
            if self.progress.stopped() {
                return None;
            }
            if met_worker {
                self.progress.wait_beyond(seen);
            } else {
                // Another worker is between closing a node and telling its parent: a matter of
                // nanoseconds.
                std::thread::yield_now();
            }
        }
    }

    fn end(&self, reason: StopReason) {
        // The first reason stands.
        _ = self.stop.set(reason);
        self.progress.stop();
    }

    /// Evaluates a path's claimed leaf, expands it and backs up. On an error the tree is as it was
    /// before.
    fn simulate(&self, path: &Path<'_>) -> Result<(), SearchError> {
        let leaf = path.leaf().map_or(NodeId::ROOT, Node::id);
        let mut answers = self.evaluator.ask(&[self.request(leaf)])?;
        match answers.pop().flatten() {
            Some(evaluation) => {
                let draft = self.draft(leaf, path.depth(), evaluation);
                self.score(&draft)?;
                self.commit(path, leaf, draft);
            }
            None => self.end_unreadable(path, leaf),
        }
        Ok(())
    }
}
