//! The shared tree: an append-only arena of 24-byte nodes, searched by many threads without a lock.
//!
//! A leaf is *claimed* by one thread, which *prepares* its children's records where nobody can see
//! them yet, writes whatever cold data belongs to them, and *publishes* all of them with one
//! Release store of the leaf's `children` word. Whoever reads that word with Acquire sees the
//! children whole.

mod children;
mod chunked;
mod node;
mod stats;

pub(crate) use chunked::Chunked;
use chunked::fits_one_chunk;
use node::Node;

pub use children::{Children, MAX_CHILDREN, NodeState};
pub use stats::{Stats, StatsLayout, Visits};

use crate::sync::{AtomicU32, Ordering};

/// A node's index in its tree. Ids grow in the order of creation; some stay unused where a chunk
/// ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Every tree's root.
    pub const ROOT: Self = Self(0);

    /// As a number, unique within the tree.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }
}

/// What a child starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewChild {
    /// P(s, a), in [0, 1].
    pub prior: f32,
    /// Whether the path ends here.
    pub terminal: bool,
    /// A value in [-1, 1] that is backed up at once: its first visit.
    pub value: Option<f64>,
}

/// Children that are written and not yet published.
#[derive(Debug)]
#[must_use = "prepared children are lost unless they are published"]
pub struct Run {
    first: NodeId,
    count: usize,
    open: usize,
}

impl Run {
    /// The children's ids, in the order in which they were given.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = NodeId> {
        Children::expanded(self.first, self.count, self.open).ids()
    }
}

/// Statistics and shape of a search tree. All methods take `&self` and may be called from many
/// threads.
pub struct Tree {
    nodes: Chunked<Node>,
    /// The next id that was never handed out.
    next: AtomicU32,
    layout: StatsLayout,
}

impl Tree {
    /// A tree of an unexpanded root.
    #[must_use]
    pub fn new(layout: StatsLayout) -> Self {
        let nodes = Chunked::new();
        nodes.reserve(NodeId::ROOT.0);
        Self { nodes, next: AtomicU32::new(1), layout }
    }

    /// How this tree packs its statistics.
    #[must_use]
    pub fn layout(&self) -> StatsLayout {
        self.layout
    }

    /// A node's statistics. Under way they may lag behind other threads' updates; they are whole in
    /// themselves.
    #[inline]
    #[must_use]
    pub fn stats(&self, id: NodeId) -> Stats {
        // Relaxed: the word carries all that belongs together, and nothing else is read on its
        // account.
        self.layout.unpack(self.nodes.get(id.0).stats.load(Ordering::Relaxed))
    }

    /// A node's children word; the children that it names are whole.
    #[inline]
    #[must_use]
    pub fn children(&self, id: NodeId) -> Children {
        // Acquire: pairs with the Release in `publish` and `end`.
        Children(self.nodes.get(id.0).children.load(Ordering::Acquire))
    }

    /// P(s, a) of the step into a node.
    #[must_use]
    pub fn prior(&self, id: NodeId) -> f32 {
        // Relaxed: written before the node was published; the Acquire that led here makes it
        // visible.
        f32::from_bits(self.nodes.get(id.0).prior.load(Ordering::Relaxed))
    }

    /// A node's parent; `None` at the root.
    #[inline]
    #[must_use]
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        // Relaxed: as for `prior`.
        (id != NodeId::ROOT).then(|| NodeId(self.nodes.get(id.0).parent.load(Ordering::Relaxed)))
    }

    /// Counts one simulation in flight at a node and returns the statistics from before.
    #[inline]
    pub fn enter(&self, id: NodeId) -> Stats {
        let node = self.nodes.get(id.0);
        // Relaxed: a statistic; read-modify-writes of one word never lose an addition.
        self.layout.unpack(node.stats.fetch_add(self.layout.in_flight(), Ordering::Relaxed))
    }

    /// The open child with the highest `score`, the first of equals; `None` when no child is open.
    /// With `closed_too` a child counts as open unless it is terminal itself.
    ///
    /// `children` is a word read from this tree.
    #[inline]
    pub fn best_child(
        &self,
        children: Children,
        closed_too: bool,
        mut score: impl FnMut(Stats, f32) -> f64,
    ) -> Option<NodeId> {
        let first = children.first();
        let mut best: Option<(f64, u32)> = None;
        for (id, node) in (first..).zip(self.nodes.run(first, children.count())) {
            // Relaxed: only the flags are looked at here; `children` reads again with Acquire
            // before it goes below.
            let word = Children(node.children.load(Ordering::Relaxed));
            let skipped =
                if closed_too { word.state() == NodeState::Terminal } else { word.is_closed() };
            if skipped {
                continue;
            }
            // Relaxed: a statistic (see `stats`); the prior was written before publication (see
            // `prior`).
            let stats = self.layout.unpack(node.stats.load(Ordering::Relaxed));
            let prior = f32::from_bits(node.prior.load(Ordering::Relaxed));
            let score = score(stats, prior);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, id));
            }
        }
        best.map(|(_, id)| NodeId(id))
    }

    /// Takes a leaf for expansion; false when another thread has it or had it.
    #[must_use]
    pub fn claim(&self, id: NodeId) -> bool {
        let word = &self.nodes.get(id.0).children;
        let (free, taken) = (Children::UNEXPANDED.0, Children::EXPANDING.0);
        // Acquire on success pairs with the Release in `release`: a second claimant sees what the
        // first one left behind. Relaxed on failure: nothing is read then.
        word.compare_exchange(free, taken, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives a claimed leaf back unexpanded.
    pub fn release(&self, leaf: NodeId) {
        // Release: pairs with the Acquire in `claim`.
        self.nodes.get(leaf.0).children.store(Children::UNEXPANDED.0, Ordering::Release);
    }

    /// Writes the records of a claimed leaf's children where nobody sees them yet.
    ///
    /// # Panics
    /// With no children, or with more than [`MAX_CHILDREN`].
    pub fn prepare(&self, leaf: NodeId, children: &[NewChild]) -> Run {
        assert!((1..=MAX_CHILDREN).contains(&children.len()), "{} children", children.len());
        let first = self.allocate(children.len() as u32);
        for (node, child) in self.nodes.run(first, children.len()).iter().zip(children) {
            let word = if child.terminal { Children::TERMINAL } else { Children::UNEXPANDED };
            let visits = child.value.map_or(0, |value| self.layout.visits(&[value]).0);
            // Relaxed: nobody reads these before `publish` stores the leaf's word with Release.
            node.stats.store(visits, Ordering::Relaxed);
            node.children.store(word.0, Ordering::Relaxed);
            node.prior.store(child.prior.to_bits(), Ordering::Relaxed);
            node.parent.store(leaf.0, Ordering::Relaxed);
        }
        let open = children.iter().filter(|child| !child.terminal).count();
        Run { first: NodeId(first), count: children.len(), open }
    }

    /// Shows a claimed leaf's children to every thread. When none of them is open the leaf is
    /// exhausted, and so may be nodes above it.
    pub fn publish(&self, leaf: NodeId, run: &Run) {
        let word = Children::expanded(run.first, run.count, run.open);
        // Release: pairs with the Acquire in `children`; the records and their cold data go before
        // it.
        self.nodes.get(leaf.0).children.store(word.0, Ordering::Release);
        if run.open == 0 {
            self.close_in_parent(leaf);
        }
    }

    /// Makes a claimed leaf terminal.
    pub fn end(&self, leaf: NodeId) {
        // Release: pairs with the Acquire in `children`; the reason in the cold data goes before
        // it.
        self.nodes.get(leaf.0).children.store(Children::TERMINAL.0, Ordering::Release);
        self.close_in_parent(leaf);
    }

    /// Ends a simulation: from `leaf` to the root each node gets the visits and one simulation less
    /// in flight.
    pub fn backup(&self, leaf: NodeId, visits: Visits) {
        self.add_upwards(leaf, visits.0.wrapping_sub(self.layout.in_flight()));
    }

    /// Undoes a descent: from `leaf` to the root one simulation less in flight.
    pub fn retreat(&self, leaf: NodeId) {
        self.add_upwards(leaf, self.layout.in_flight().wrapping_neg());
    }

    fn add_upwards(&self, leaf: NodeId, amount: u64) {
        let mut id = leaf;
        loop {
            // Relaxed: a statistic, as in `enter`. Additions commute, and no field leaves its
            // range: each count that is taken away was added by the same simulation.
            self.nodes.get(id.0).stats.fetch_add(amount, Ordering::Relaxed);
            match self.parent(id) {
                Some(parent) => id = parent,
                None => return,
            }
        }
    }

    /// Tells the ancestors that nothing is left to search below `id`.
    fn close_in_parent(&self, id: NodeId) {
        let mut id = id;
        while let Some(parent) = self.parent(id) {
            let word = &self.nodes.get(parent.0).children;
            // Relaxed: the count is its own message. A read-modify-write continues the release
            // sequence of `publish`, so whoever acquires the new word still sees the children
            // whole.
            let before = Children(word.fetch_sub(Children::ONE_OPEN, Ordering::Relaxed));
            if before.open() > 1 {
                return;
            }
            id = parent;
        }
    }

    /// `count` fresh ids in one chunk. Ids that would straddle a boundary are given up: a fraction
    /// of a per cent.
    fn allocate(&self, count: u32) -> u32 {
        loop {
            // Relaxed: only uniqueness matters here.
            let first = self.next.fetch_add(count, Ordering::Relaxed);
            if fits_one_chunk(first, count) {
                self.nodes.reserve(first);
                return first;
            }
        }
    }
}

#[cfg(test)]
mod tests;
