//! One tree from its root to its end, by one worker or several.

use std::time::Instant;

use dashmap::DashMap;

use super::config::{Compatibility, MAX_DESCENTS, MctsConfig};
use super::descend::{Descent, descend};
use super::expand::Scratch;
use super::progress::Progress;
use super::step_data::StepData;
use super::step_table::StepTable;
use super::stop::{Status, StopRule};
use crate::guard::{CheckedEvaluator, catch_panic};
use crate::seed::{derive_seed, stream};
use crate::selection::gumbel::{GumbelInterior, GumbelRoot};
use crate::selection::{Bonus, Puct, Rule, RuleName, Scored};
use crate::snapshot::StopReason;
use crate::sync::{AtomicBool, AtomicU64, OnceLock, Ordering};
use crate::tree::{Node, NodeId, Path, SharedNode, Tree};
use crate::{Cancel, ConfigError, Environment, Evaluator, EvaluatorError, Problem, SearchError};

/// The nodes of states by depth and key.
pub(super) type SharedStates = DashMap<(usize, String), SharedNode>;

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
    pub(super) cold: StepTable<E::State>,
    /// Heap bytes of the cold side; counted where they are limited.
    cold_bytes: AtomicU64,
    /// Where states share nodes.
    pub(super) states: Option<SharedStates>,
    gumbel_root: GumbelRoot,
    progress: Progress,
    /// What the search's caller may cancel, and below it what ends this search's evaluations.
    outside: Cancel,
    cancel: Cancel,
    /// When the time is up.
    deadline: Option<Instant>,
    stop_rules: Vec<Box<dyn StopRule>>,
    /// Simulations that workers have taken on.
    pub(super) started: AtomicU64,
    pub(super) completed: AtomicU64,
    pub(super) collisions: AtomicU64,
    pub(super) solved: AtomicBool,
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
        cancel: &Cancel,
    ) -> Result<Self, SearchError> {
        config.validate()?;
        let deadline = config.stop.deadline();
        let (outside, cancel) = (cancel.clone(), cancel.child(deadline));
        let tree = config.tree().ok_or_else(|| ConfigError {
            field: "simulations",
            value: config.simulations.to_string(),
            requirement: "too many for any statistics layout".to_owned(),
        })?;
        let search = Self {
            environment,
            evaluator: CheckedEvaluator::new(evaluator, cancel.clone()),
            problem,
            config,
            seed,
            ground_truth,
            tree: Tree::new(&tree),
            cold: StepTable::new(),
            cold_bytes: AtomicU64::new(0),
            states: config.transpositions.then(DashMap::new),
            gumbel_root: GumbelRoot::new(
                config.selection.gumbel,
                config.simulations,
                derive_seed(seed, stream::GUMBEL),
            ),
            outside,
            cancel,
            deadline,
            stop_rules: config.stop.rules(),
            solved: AtomicBool::new(false),
            progress: Progress::default(),
            started: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            collisions: AtomicU64::new(0),
            stop: OnceLock::new(),
            failure: OnceLock::new(),
        };
        search.insert(NodeId::ROOT, vec![StepData::of_state(environment.root(problem)?, 0)]);
        Ok(search)
    }

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
    pub(super) fn data(&self, node: Node<'_>) -> &StepData<E::State> {
        self.cold.get(node)
    }

    /// The leaf of a path.
    pub(super) fn leaf<'t>(&'t self, path: &Path<'t>) -> Node<'t> {
        path.leaf().unwrap_or_else(|| self.tree.root())
    }

    /// The nodes of the steps below a node, in order: through the shared node where the node is an edge to
    /// one.
    pub(super) fn steps_below<'t>(
        &'t self,
        node: Node<'t>,
    ) -> impl ExactSizeIterator<Item = Node<'t>> + Clone {
        let shared = self.data(node).shared;
        shared.map_or(node, |shared| self.tree.shared(shared)).children(&self.tree)
    }

    /// What is known of the state that a node leads to: its own data, or the shared node's.
    pub(super) fn state_data<'s>(&'s self, data: &'s StepData<E::State>) -> &'s StepData<E::State> {
        data.shared.map_or(data, |shared| self.data(self.tree.shared(shared)))
    }

    /// Whether the nodes below an edge to a shared node stand under this edge; true of every other node.
    pub(super) fn owns_steps(&self, node: Node<'_>) -> bool {
        let first =
            |shared: SharedNode| self.data(self.tree.shared(shared)).first_edge.get().copied();
        self.data(node).shared.is_none_or(|shared| first(shared) == Some(node.id()))
    }

    /// Writes the cold sides of siblings that are not published yet; their ids go on from `first`.
    pub(super) fn insert(&self, first: NodeId, family: Vec<StepData<E::State>>) {
        if self.config.stop.memory_mib.is_some() {
            let bytes = |data: &StepData<E::State>| {
                let text = data.step.as_ref().map_or(0, |step| step.text().len());
                size_of_val(data) + text + self.environment.context(&data.state).len()
            };
            let bytes: usize = family.iter().map(bytes).sum();
            // Relaxed: a count.
            self.cold_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.cold.insert(first, family);
    }

    fn work(&self) {
        let MctsConfig { c_puct, selection, .. } = self.config;
        let bonus = match selection.rule {
            RuleName::Gumbel => {
                return self.work_by(&GumbelInterior(selection.gumbel), &self.gumbel_root);
            }
            RuleName::Puct if selection.is_plain_puct() => {
                let puct = Puct { c_puct: *c_puct, base: selection.c_puct_base };
                return self.work_by(&puct, &puct);
            }
            RuleName::Puct => Bonus::Puct { c_puct: *c_puct, base: selection.c_puct_base },
            RuleName::Uct => Bonus::Uct { c: *c_puct },
        };
        let rule = Scored {
            bonus,
            first_play_urgency: selection.first_play(),
            normalise_q: selection.normalise_q,
            widening: selection.widening,
        };
        self.work_by(&rule, &rule);
    }

    fn work_by(&self, rule: &impl Rule, at_root: &impl Rule) {
        let batch = self.config.leaf_batch;
        let mut paths: Vec<Path<'_>> = Vec::new();
        paths.resize_with(MAX_DESCENTS as usize - 1 + batch, Path::new);
        let mut scratch = Scratch::default();
        loop {
            let taken = self.take(batch as u64);
            if taken == 0 {
                return;
            }
            if let Some(reason) = self.stop_rules.iter().find_map(|rule| rule.reason(self)) {
                return self.end(reason);
            }
            if self.cancel.is_cancelled() {
                return self.end(self.cancellation());
            }
            let claimed = self.gather(rule, at_root, &mut paths, taken as usize);
            // Relaxed: as in `take`.
            self.started.fetch_sub(taken - claimed as u64, Ordering::Relaxed);
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
                    return self.end(self.cancellation());
                }
                // The first cause is the one that is told.
                _ = self.failure.set(error);
                return self.stop_all();
            }
        }
    }

    /// Takes up to `wanted` of the simulations that are left to begin.
    fn take(&self, wanted: u64) -> u64 {
        // Relaxed: tickets need only be taken once.
        let left = |started: u64| self.config.simulations.saturating_sub(started).min(wanted);
        let take = |started: u64| Some(started + left(started)).filter(|after| *after > started);
        let order = Ordering::Relaxed;
        self.started.fetch_update(order, order, take).map_or(0, left)
    }

    /// Descends until `wanted` leaves are claimed or there are no more for now, and puts their paths in front;
    /// none when the search is over.
    ///
    /// A descent that meets a taken leaf is held while the next one goes down, so that its virtual
    /// loss pushes that one elsewhere; after a few such all are undone, and a worker without a leaf waits
    /// for any expansion to finish.
    fn gather<'t>(
        &'t self,
        rule: &impl Rule,
        at_root: &impl Rule,
        paths: &mut [Path<'t>],
        wanted: usize,
    ) -> usize {
        loop {
            let seen = self.progress.finished();
            let (mut claimed, mut held) = (0, 0);
            let mut met_worker = false;
            while claimed < wanted && held < MAX_DESCENTS as usize && !self.progress.stopped() {
                let next = claimed + held;
                match descend(&self.tree, rule, at_root, &mut paths[next]) {
                    Descent::Leaf => {
                        paths.swap(claimed, next);
                        claimed += 1;
                    }
                    Descent::Collision => {
                        // Relaxed: a counter (see `collisions`).
                        self.collisions.fetch_add(1, Ordering::Relaxed);
                        met_worker = true;
                        held += 1;
                    }
                    Descent::DeadEnd | Descent::Ended => {
                        if self.config.compatibility == Compatibility::AlphaMath {
                            self.end(StopReason::DeadEnd);
                        } else {
                            // Another worker is about to do so, or a shared state was exhausted by another way.
                            self.tree.close_exhausted(&paths[next]);
                        }
                        held += 1;
                    }
                    Descent::Exhausted => {
                        self.end(StopReason::Exhausted);
                        break;
                    }
                }
            }
            for path in &paths[claimed..claimed + held] {
                self.tree.retreat(path);
            }
            if claimed > 0 {
                return claimed;
            }
            if self.progress.stopped() {
                return 0;
            }
            if met_worker {
                self.progress.wait_beyond(seen);
            } else {
                // What another worker is about to close takes it nanoseconds.
                std::thread::yield_now();
            }
        }
    }

    fn end(&self, reason: StopReason) {
        // The first reason stands.
        _ = self.stop.set(reason);
        self.stop_all();
    }

    /// Tells every worker to stop: those whose evaluations are under way, and those that wait for one.
    fn stop_all(&self) {
        self.cancel.cancel();
        self.progress.stop();
    }

    /// Why evaluations are cancelled that no worker of this search has cancelled: then its reason or failure stands
    /// already.
    fn cancellation(&self) -> StopReason {
        match self.deadline {
            Some(end) if Instant::now() >= end && !self.outside.is_cancelled() => StopReason::Time,
            _ => StopReason::Cancelled,
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
            self.completed.fetch_add(1, Ordering::Relaxed);
            self.progress.finish_one();
        }
        Ok(())
    }
}

impl<E: Environment> Status for Search<'_, E> {
    fn tokens(&self) -> u64 {
        self.evaluator.tokens()
    }

    fn bytes(&self) -> u64 {
        // Relaxed: a count.
        self.tree.bytes() as u64 + self.cold_bytes.load(Ordering::Relaxed)
    }

    fn solved(&self) -> bool {
        // Relaxed: a flag that announces nothing but itself.
        self.solved.load(Ordering::Relaxed)
    }

    fn settled(&self) -> bool {
        self.is_settled()
    }
}
