//! The state that the workers of one tree share, and how it is read.

use dashmap::DashMap;

use super::config::MctsConfig;
use super::control::Control;
use super::order::Order;
use super::step_data::StepData;
use super::step_table::StepTable;
use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::{ConfigError, SearchError};
use crate::evaluator::Evaluator;
use crate::guard::CheckedEvaluator;
use crate::selection::RuleSet;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::tree::{Node, NodeId, Path, SharedNode, Tree};

/// The nodes of states by depth and key.
pub(super) type SharedStates = DashMap<(u32, String), SharedNode>;

/// One tree with the question that it answers. The halves of a simulation and the readers of a tree (`worker`, `expand`,
/// `resume`, `settled`, `order`, `record`) each add their methods to it; none of them adds a field.
pub(super) struct Search<'a, E: Environment> {
    pub(super) environment: &'a E,
    pub(super) evaluator: CheckedEvaluator<'a>,
    pub(super) problem: &'a Problem,
    pub(super) config: &'a MctsConfig,
    pub(super) seed: u64,
    /// Whether answers may be graded.
    pub(super) ground_truth: bool,
    /// How children are chosen.
    pub(super) rules: RuleSet,
    pub(super) tree: Tree,
    pub(super) cold: StepTable<E::State>,
    /// Heap bytes of the cold side; counted where they are limited.
    cold_bytes: AtomicU64,
    /// Where states share nodes.
    pub(super) states: Option<SharedStates>,
    /// The simulations so far, where their order is kept.
    pub(super) order: Option<Order>,
    /// What ends the search.
    pub(super) control: Control,
    pub(super) counts: Counts,
}

/// What a search has done so far.
#[derive(Default)]
pub(super) struct Counts {
    /// Simulations that workers have taken on.
    pub(super) started: AtomicU64,
    /// Simulations that were backed up.
    pub(super) completed: AtomicU64,
    /// Descents that met a leaf which another worker was expanding.
    pub(super) collisions: AtomicU64,
    /// Whether a right answer was found.
    pub(super) solved: AtomicBool,
}

impl<'a, E: Environment> Search<'a, E> {
    /// A search whose tree is a bare root.
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
        let control = Control::new(&config.stop, cancel);
        let tree = config.tree().ok_or_else(|| ConfigError {
            field: "simulations",
            value: config.simulations.to_string(),
            requirement: "too many for any statistics layout".to_owned(),
        })?;
        let search = Self {
            environment,
            evaluator: CheckedEvaluator::new(evaluator, control.handle().clone()),
            problem,
            config,
            seed,
            ground_truth,
            rules: config.rules(seed),
            tree: Tree::new(&tree),
            cold: StepTable::new(),
            cold_bytes: AtomicU64::new(0),
            states: config.transpositions.then(DashMap::new),
            order: config.keep_order.then(Order::default),
            control,
            counts: Counts::default(),
        };
        search.insert(NodeId::ROOT, vec![StepData::of_state(environment.root(problem)?, 0)]);
        Ok(search)
    }

    /// Simulations that were backed up.
    pub(super) fn completed(&self) -> u64 {
        // Relaxed: a counter, read when the workers have been joined.
        self.counts.completed.load(Ordering::Relaxed)
    }

    /// Descents that met a leaf which another worker was expanding.
    pub(super) fn collisions(&self) -> u64 {
        // Relaxed: as for `completed`.
        self.counts.collisions.load(Ordering::Relaxed)
    }

    /// Bytes of nodes, steps and states.
    pub(super) fn bytes(&self) -> u64 {
        // Relaxed: a count.
        self.tree.bytes() as u64 + self.cold_bytes.load(Ordering::Relaxed)
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
                let tokens = data.sampled.as_ref().map_or(0, |sampled| sampled.bytes());
                size_of_val(data) + text + tokens + self.environment.context(&data.state).len()
            };
            let bytes: usize = family.iter().map(bytes).sum();
            // Relaxed: a count.
            self.cold_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.cold.insert(first, family);
    }
}
