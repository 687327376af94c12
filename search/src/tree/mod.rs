//! The shared tree: an append-only arena of 16-byte slots, searched by many threads without a lock.
//!
//! ```text
//! slot of a node     │ stats 64 │ link 32 │ prior 32 │
//! run of siblings    │ header │ node │ node │ node │ ...      the link of their parent names the header
//! ```
//! A run of `n` children takes `16 (n + 1)` bytes: 19.2 a child for five, 18 for eight.
//!
//! A leaf is *claimed* by one thread, which *prepares* its children where no other thread sees them yet,
//! writes whatever cold data belongs to them, and *publishes* all of them with one Release store of
//! the leaf's link. Whoever reads that link with Acquire sees the children whole. Nodes do not know
//! their parents: a descent remembers its [`Path`].
//!
//! A node with [`Room`] that has run out of open children is not closed but *widened*: a thread claims it once more, writes
//! further children behind the first, and publishes them with one Release addition to their number.

mod chunked;
mod link;
mod node;
mod path;
mod prefetch;
mod siblings;
mod slot;
mod stats;
#[cfg(not(espalier_loom))]
mod zeroed;

use chunked::{Address, CAPACITY, fits_one_chunk};
use link::Link;
use prefetch::prefetch;
use slot::{SLOT_BYTES, Slot};

pub use chunked::Chunked;
pub use link::NodeState;
pub use node::{Node, NodeId};
pub use path::Path;
pub use siblings::{Child, Entered, InFlight, Pair, Siblings};
pub use stats::{Stats, StatsLayout, Visits};

use crate::sync::{AtomicU64, Ordering};

/// Most children of a node.
pub const MAX_CHILDREN: usize = (1 << 15) - 1;
/// Most times that a node may be widened.
pub const MAX_WIDENINGS: usize = (1 << 15) - 1;

/// What a child starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewChild {
    /// P(s, a), in [0, 1].
    pub prior: f32,
    /// How the path ends here, if it does.
    pub end: Option<End>,
    /// A value in [-1, 1] that is backed up at once: its first visit.
    pub value: Option<f64>,
    /// The node of a state that several steps lead to; the child is the edge to it.
    pub shared: Option<SharedNode>,
}

impl NewChild {
    /// A leaf without a visit.
    #[must_use]
    pub fn open(prior: f32) -> Self {
        Self { prior, end: None, value: None, shared: None }
    }
}

/// The node of a state to which several steps lead ([`Tree::share`]).
///
/// Each of the steps is an *edge*: a node with visits of its own whose one child is the shared node. A descent
/// goes through both, so that the visits of an edge and those of the state are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedNode {
    address: Address,
    id: NodeId,
}

impl SharedNode {
    /// The node's number.
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }
}

/// What selection does at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is never selected: its reward was backed up when it was made. So are all ends of [`crate::search_tree`].
    Closed,
    /// It is selected like any other node, and each time its value is backed up again: the rule of two-player engines,
    /// for callers that drive a tree themselves, as the benchmark does that plays the same game in other engines.
    Revisited,
}

/// Room for children that a node may get later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// How often they may come ([`Tree::claim_widening`]), at most [`MAX_WIDENINGS`].
    pub widenings: usize,
    /// How many there may be in all.
    pub children: usize,
}

/// Children that are written and not yet published.
#[derive(Debug)]
#[must_use = "prepared children are lost unless they are published"]
pub struct Run {
    address: Address,
    first_id: u32,
    count: usize,
    open: usize,
}

impl Run {
    /// The first child's id; the others' go on from there.
    pub fn first(&self) -> NodeId {
        NodeId(self.first_id)
    }

    /// The children's ids, in the order in which they were given.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = NodeId> {
        let first = self.first_id;
        (0..self.count).map(move |index| NodeId(first + index as u32))
    }
}

/// Published siblings.
struct RunView<'t> {
    header: &'t Slot,
    siblings: &'t [Slot],
}

/// What a tree is to be used for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeConfig {
    /// How statistics are packed.
    pub layout: StatsLayout,
    /// What a simulation in flight counts for. None where one descent at a time is under way.
    pub in_flight: Option<InFlight>,
    /// Whether several threads search the tree. Otherwise statistics are changed by plain stores, and more threads would
    /// lose each other's visits.
    pub shared: bool,
    /// Whether selection passes over nodes below which nothing is left, and not over ends alone.
    pub avoid_exhausted: bool,
}

/// Statistics and shape of a search tree. All methods take `&self` and may be called from many
/// threads.
pub struct Tree {
    slots: Chunked<Slot>,
    /// The next slot (upper half) and id (lower half) that were never handed out.
    next: AtomicU64,
    layout: StatsLayout,
    in_flight: Option<InFlight>,
    shared: bool,
    avoid_exhausted: bool,
}

/// The root has a header like any other node, and comes behind it.
const ROOT_HEADER: u32 = 0;

impl Tree {
    /// A tree of an unexpanded root.
    #[must_use]
    pub fn new(config: &TreeConfig) -> Self {
        let slots: Chunked<Slot> = Chunked::new();
        slots.reserve_zeroed(ROOT_HEADER);
        slots.get(ROOT_HEADER).write_header(1, 1, 0, NodeId::ROOT.0);
        Self {
            slots,
            next: AtomicU64::new((u64::from(Link::FIRST_RUN) << 32) | 1),
            layout: config.layout,
            in_flight: config.in_flight,
            shared: config.shared,
            avoid_exhausted: config.avoid_exhausted,
        }
    }

    /// How this tree packs its statistics.
    #[inline]
    #[must_use]
    pub fn layout(&self) -> StatsLayout {
        self.layout
    }

    /// The root.
    #[inline]
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.first_of(Address::of(ROOT_HEADER))
    }

    /// Whether nothing is left to search.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        let root = self.root();
        if self.avoid_exhausted { root.is_closed() } else { root.state() == NodeState::Terminal }
    }

    /// Nodes handed out so far, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        // Relaxed: a count.
        self.next.load(Ordering::Relaxed) as u32 as usize
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    /// Bytes of slots handed out so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Relaxed: a count.
        (self.next.load(Ordering::Relaxed) >> 32) as usize * SLOT_BYTES
    }

    /// Starts a descent: `path` holds the root alone, with one simulation more in flight. Returns the
    /// root's statistics from before.
    #[inline]
    pub fn start<'t>(&'t self, path: &mut Path<'t>) -> Entered<'t> {
        path.nodes.clear();
        self.enter(self.root(), path)
    }

    /// Goes down to a child of the path's leaf; returns the child's statistics from before.
    #[inline]
    pub fn enter<'t>(&'t self, node: Node<'t>, path: &mut Path<'t>) -> Entered<'t> {
        path.nodes.push(node);
        let word = match self.in_flight {
            None => node.slot.stats.load(Ordering::Relaxed),
            Some(_) => self.add(node, self.layout.in_flight()),
        };
        Entered { word, tree: self }
    }

    /// Asks for the cache lines of a node's children, which are to be read a little later.
    #[inline]
    pub fn prefetch_siblings(&self, parent: Node<'_>) {
        let link = parent.link();
        if link.state() == NodeState::Expanded {
            prefetch(self.slots.from(link.run()));
        }
    }

    /// The children of an expanded node, for selection; `None` when it is not expanded.
    #[inline]
    #[must_use]
    pub fn siblings<'t>(&'t self, parent: Node<'t>) -> Option<Siblings<'t>> {
        let link = parent.link();
        (link.state() == NodeState::Expanded).then(|| {
            let RunView { header, siblings } = self.run(link);
            let (layout, in_flight) = (self.layout, self.in_flight);
            Siblings { slots: siblings, header, layout, in_flight, taking_turns: false }
        })
    }

    /// Takes a leaf for expansion; false when another thread has it or had it.
    #[inline]
    #[must_use]
    pub fn claim(&self, leaf: Node<'_>) -> bool {
        let (free, taken) = (Link::UNEXPANDED.0, Link::EXPANDING.0);
        // Acquire on success pairs with the Release in `release`: a second claimant sees what the
        // first one left behind. Relaxed on failure: nothing is read then.
        let word = &leaf.slot.link;
        word.compare_exchange(free, taken, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes an expanded node for widening: all its children are closed, and it has a widening left, which this uses up.
    #[must_use]
    pub fn claim_widening(&self, node: Node<'_>) -> bool {
        let link = node.link();
        link.state() == NodeState::Expanded && self.run(link).header.claim_widening()
    }

    /// Gives a claimed leaf back unexpanded, or a node that was claimed for widening as it was.
    pub fn release(&self, leaf: Node<'_>) {
        let link = leaf.link();
        if link.state() == NodeState::Expanded {
            return self.run(link).header.release_widening();
        }
        // Release: pairs with the Acquire in `claim`.
        leaf.slot.link.store(Link::UNEXPANDED.0, Ordering::Release);
    }

    /// A node for a state to which several steps lead: give it to their [`NewChild::shared`].
    ///
    /// # Panics
    /// As [`Tree::prepare`].
    #[must_use]
    pub fn share(&self) -> SharedNode {
        let run = self.prepare(&[NewChild::open(1.0)]);
        SharedNode { address: run.address, id: NodeId(run.first_id) }
    }

    /// A shared node.
    #[must_use]
    pub fn shared(&self, shared: SharedNode) -> Node<'_> {
        self.first_of(shared.address)
    }

    /// Writes the records of a leaf's children where no other thread sees them yet.
    ///
    /// # Panics
    /// With no children, with more than [`MAX_CHILDREN`], or when the arena is full: about 10^9 slots,
    /// which are 14 GiB.
    #[inline]
    pub fn prepare(&self, children: &[NewChild]) -> Run {
        self.prepare_with_room(children, Room::default())
    }

    /// As [`Tree::prepare`], with room for more children behind these.
    ///
    /// # Panics
    /// As [`Tree::prepare`], the children to come counted in.
    pub fn prepare_with_room(&self, children: &[NewChild], room: Room) -> Run {
        let most = children.len() + room.children;
        assert!(!children.is_empty() && most <= MAX_CHILDREN, "{most} children");
        let (address, first_id) = self.allocate(most as u32);
        let slots = self.slots.from(address);
        let open = self.write(&slots[1..], children);
        slots[0].write_header(children.len(), open, room.widenings, first_id);
        Run { address, first_id, count: children.len(), open }
    }

    /// Writes more children of a node that the caller has claimed for widening, behind those that it has, where no other
    /// thread sees them yet. The caller keeps within the [`Room`] that was made.
    ///
    /// # Panics
    /// When the node has no children.
    pub fn prepare_more(&self, node: Node<'_>, children: &[NewChild]) -> Run {
        let link = node.link();
        assert!(link.state() == NodeState::Expanded, "only a node with children is widened");
        let header = self.run(link).header;
        let (count, address) = (header.count(), link.run());
        let open = self.write(&self.slots.from(address)[1 + count..], children);
        Run { address, first_id: header.first_id() + count as u32, count: children.len(), open }
    }

    /// Writes the records of unpublished children; returns how many of them are open.
    fn write(&self, slots: &[Slot], children: &[NewChild]) -> usize {
        for (node, child) in slots.iter().zip(children) {
            // The one who has the shared node's address has seen its records written.
            let below = child.shared.map(|shared| Link(shared.address.0));
            let link = match child.end {
                None => below.unwrap_or(Link::UNEXPANDED),
                Some(End::Revisited) => Link::ENDED,
                Some(End::Closed) => below.unwrap_or(Link::ENDED).closed(),
            };
            let visits = child.value.map_or(0, |value| self.layout.visits(&[value]).0);
            let prior = if link.is_closed() { f32::NAN } else { child.prior };
            // Relaxed: nobody reads these before `publish` stores the leaf's link with Release.
            node.stats.store(visits, Ordering::Relaxed);
            node.link.store(link.0, Ordering::Relaxed);
            node.prior.store(prior.to_bits(), Ordering::Relaxed);
        }
        children.iter().filter(|child| child.end != Some(End::Closed)).count()
    }

    /// Notes the value net's opinion of the state whose prepared children these are, in [-1, 1], for rules that read it
    /// ([`Siblings::value`]).
    #[inline]
    pub fn set_value(&self, run: &Run, value: f32) {
        self.slots.from(run.address)[0].set_value(value);
    }

    /// Shows the children of the path's leaf, which the caller has claimed, to every thread. When none
    /// of them is open and none may come the leaf is closed, and so may be nodes above it.
    ///
    /// # Panics
    /// With an empty path.
    #[inline]
    pub fn publish(&self, path: &Path<'_>, run: &Run) {
        let leaf = path.leaf().expect("the caller has claimed the path's leaf");
        // Release: pairs with the Acquire in `Node::link`; the records and their cold data go before
        // it.
        leaf.slot.link.store(run.address.0, Ordering::Release);
        if run.open == 0 {
            self.close_exhausted(path);
        }
    }

    /// Shows more children of the path's leaf, which the caller has claimed for widening, to every thread.
    ///
    /// # Panics
    /// With an empty path.
    pub fn publish_more(&self, path: &Path<'_>, run: &Run) {
        let leaf = path.leaf().expect("the caller has claimed the path's leaf");
        self.run(leaf.link()).header.show_more(run.count, run.open);
        if run.open == 0 {
            self.close_exhausted(path);
        }
    }

    /// The path has led to what was sought: none of its nodes is widened any more.
    pub fn stop_widening(&self, path: &Path<'_>) {
        for node in &path.nodes {
            let link = node.link();
            if link.state() == NodeState::Expanded {
                self.run(link).header.stop_widening();
            }
        }
    }

    /// Makes the path's leaf, which the caller has claimed, the end of its path.
    ///
    /// # Panics
    /// With an empty path.
    pub fn end(&self, path: &Path<'_>) {
        let leaf = path.leaf().expect("the caller has claimed the path's leaf");
        // Release: pairs with the Acquire in `Node::link`; the reason in the cold data goes before it.
        leaf.slot.link.store(Link::ENDED.0, Ordering::Release);
        // Relaxed: a descent that still comes here finds the end.
        leaf.slot.prior.store(f32::NAN.to_bits(), Ordering::Relaxed);
        self.close(path);
    }

    /// Ends a simulation: each node of the path gets the visits and one simulation less in flight.
    #[inline]
    pub fn backup(&self, path: &Path<'_>, visits: Visits) {
        let in_flight = self.in_flight.map_or(0, |_| self.layout.in_flight());
        self.add_along(path, visits.0.wrapping_sub(in_flight));
    }

    /// Undoes a descent: at each node of the path one simulation less in flight.
    pub fn retreat(&self, path: &Path<'_>) {
        if self.in_flight.is_some() {
            self.add_along(path, self.layout.in_flight().wrapping_neg());
        }
    }

    #[inline]
    fn add_along(&self, path: &Path<'_>, amount: u64) {
        // From the leaf up, where fewer threads meet.
        for node in path.nodes.iter().rev() {
            self.add(*node, amount);
        }
    }

    /// Adds to a node's statistics; returns what they were. Additions commute, and no field leaves its range: each count
    /// that is taken away was added by the same simulation.
    #[inline(always)]
    fn add(&self, node: Node<'_>, amount: u64) -> u64 {
        let word = &node.slot.stats;
        if self.shared {
            // Relaxed: a statistic; read-modify-writes of one word never lose an addition.
            return word.fetch_add(amount, Ordering::Relaxed);
        }
        // Relaxed, and no read-modify-write: no other thread changes the word.
        let before = word.load(Ordering::Relaxed);
        word.store(before.wrapping_add(amount), Ordering::Relaxed);
        before
    }

    /// Closes the path's leaf if none of its children is open and none may come: another thread may not have done it yet,
    /// or the leaf is an edge to a shared node that was exhausted by way of another edge.
    pub fn close_exhausted(&self, path: &Path<'_>) {
        let exhausted = |node: Node<'_>| {
            let link = node.link();
            link.state() == NodeState::Expanded && self.run(link).header.is_exhausted()
        };
        if path.leaf().is_some_and(exhausted) {
            self.close(path);
        }
    }

    /// Marks the path's leaf as closed, and every node above it whose last open child this closes.
    fn close(&self, path: &Path<'_>) {
        let mut above = path.nodes.iter().rev();
        let Some(mut node) = above.next() else {
            return;
        };
        loop {
            // Relaxed: the flag is its own message. A read-modify-write continues the release sequence
            // of `publish`, so whoever acquires the new word still sees the children whole.
            let before = node.slot.link.fetch_or(Link::CLOSED, Ordering::Relaxed);
            if Link(before).is_closed() {
                // Another thread was first, and goes on above.
                return;
            }
            if self.avoid_exhausted {
                // Relaxed: a descent that still comes here finds the flag.
                node.slot.prior.store(f32::NAN.to_bits(), Ordering::Relaxed);
            }
            let Some(parent) = above.next() else {
                return;
            };
            if !self.run(parent.link()).header.close_one() {
                return;
            }
            node = parent;
        }
    }

    #[inline]
    fn run(&self, link: Link) -> RunView<'_> {
        let slots = self.slots.from(link.run());
        let header = &slots[0];
        RunView { header, siblings: &slots[1..=header.count()] }
    }

    /// The first node of a run.
    #[inline]
    fn first_of(&self, run: Address) -> Node<'_> {
        let slots = self.slots.from(run);
        Node { slot: &slots[1], header: &slots[0] }
    }

    /// Slots for a header and `count` siblings in one chunk, and as many ids. Slots that would
    /// straddle a boundary are given up: a fraction of a per cent.
    fn allocate(&self, count: u32) -> (Address, u32) {
        let amount = (u64::from(count + 1) << 32) | u64::from(count);
        loop {
            // Relaxed: only uniqueness matters here.
            let before = self.next.fetch_add(amount, Ordering::Relaxed);
            let (slot, id) = ((before >> 32) as u32, before as u32);
            assert!(slot < CAPACITY - count, "the tree's arena is full");
            if fits_one_chunk(slot, count + 1) {
                self.slots.reserve_zeroed(slot);
                return (Address::of(slot), id);
            }
        }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests;
