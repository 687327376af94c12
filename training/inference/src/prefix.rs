//! What was computed of every sequence, by its tokens: a radix tree over blocks of keys and values.
//!
//! A context that begins like an earlier one, or like a step that was sampled, is read from where they part. What is
//! reused has the bits that would have been computed, so answers do not depend on what the tree holds. When memory is
//! short the leaves that were least recently used go first, and their tokens are computed again when they are needed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::kernel::PANEL;
use super::pages::{Block, Pool};

/// The final hidden state at a position, `[hidden_size]`, normalised: logits and value follow from it.
pub(super) type State = Arc<[f32]>;

const ROOT: usize = 0;
/// Dropped tokens that are remembered, for the count of those that come back; beyond it the count starts afresh.
const REMEMBERED: usize = 1 << 16;

/// The tokens between two branchings.
struct Node {
    parent: usize,
    /// Position of the first token.
    start: usize,
    tokens: Vec<u32>,
    /// Hash of all tokens before `start`.
    hash: u64,
    /// Blocks from that of position `start` to that of the last token. A first block that is not new holds the earlier
    /// positions too.
    blocks: Vec<Arc<Block>>,
    /// By token: its state, where it was computed.
    states: Vec<Option<State>>,
    children: Children,
    /// When it was made: no other node was then.
    made: u64,
    used: u64,
    /// Being computed: nothing of it can be used yet.
    pending: bool,
}

impl Node {
    /// Position after the last token.
    fn end(&self) -> usize {
        self.start + self.tokens.len()
    }
}

/// Where a sequence was found: a longer one is looked up from here on, if the node was not dropped since.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    id: usize,
    made: u64,
}

/// Nodes by their first token, in its order. Most have one or two, so that looking them through is faster than hashing.
#[derive(Default)]
struct Children(Vec<(u32, usize)>);

impl Children {
    fn place(&self, token: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&token, |&(token, _)| token)
    }

    fn get(&self, token: u32) -> Option<usize> {
        Some(self.0[self.place(token).ok()?].1)
    }

    /// Enters a node, in the place of the one that was there.
    fn insert(&mut self, token: u32, id: usize) {
        match self.place(token) {
            Ok(place) => self.0[place].1 = id,
            Err(place) => self.0.insert(place, (token, id)),
        }
    }

    fn remove(&mut self, token: u32) {
        if let Ok(place) = self.place(token) {
            self.0.remove(place);
        }
    }
}

/// What is known of a sequence.
#[derive(Default)]
pub(super) struct Found {
    /// Tokens whose keys and values are there.
    pub length: usize,
    /// The blocks of these positions.
    pub blocks: Vec<Arc<Block>>,
    /// The state at the last of them, if it was kept.
    pub state: Option<State>,
    /// The last node that ends within the sequence.
    pub place: Place,
}

/// The answer to a request to compute a sequence.
pub(super) enum Claim {
    /// Another request is computing a part of it.
    Busy,
    /// What is there already; the rest is the caller's to compute and to [`PrefixCache::complete`].
    Granted(Found),
}

/// The radix tree.
pub(super) struct PrefixCache {
    /// Bytes for blocks.
    limit: usize,
    pool: Arc<Pool>,
    nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    /// Nodes without children by time of last use.
    leaves: BTreeSet<(u64, usize)>,
    clock: u64,
    /// Hashes of sequences that were dropped.
    dropped: HashSet<u64>,
    recomputed: u64,
}

fn extend(hash: u64, token: u32) -> u64 {
    // SplitMix64's finaliser over the running hash.
    let mut z = (hash ^ u64::from(token)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl PrefixCache {
    /// A tree whose blocks take at most `limit` bytes, as long as sequences under way leave room.
    pub fn new(limit: usize, pool: Arc<Pool>) -> Self {
        let root = Node {
            parent: ROOT,
            start: 0,
            tokens: Vec::new(),
            hash: 0,
            blocks: Vec::new(),
            states: Vec::new(),
            children: Children::default(),
            made: 0,
            used: 0,
            pending: false,
        };
        Self {
            limit,
            pool,
            nodes: vec![Some(root)],
            free: Vec::new(),
            leaves: BTreeSet::new(),
            clock: 0,
            dropped: HashSet::new(),
            recomputed: 0,
        }
    }

    /// Forgets every sequence. Counters stay, and places handed out before are recognised as outdated.
    pub fn forget(&mut self) {
        let Self { limit, clock, recomputed, .. } = *self;
        *self = Self { clock, recomputed, ..Self::new(limit, Arc::clone(&self.pool)) };
    }

    /// Tokens that were computed again after they had been forgotten.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    fn node(&self, id: usize) -> &Node {
        self.nodes[id].as_ref().expect("ids in the tree are of nodes in the tree")
    }

    fn node_mut(&mut self, id: usize) -> &mut Node {
        self.nodes[id].as_mut().expect("ids in the tree are of nodes in the tree")
    }

    /// Follows tokens as far as the tree goes, from a place that lies on their way: the last node that was entered, how
    /// many of its tokens match, and how many match in all.
    fn walk(&self, place: Place, tokens: &[u32]) -> (usize, usize, usize) {
        // When everything was forgotten there may be no node of that number at all.
        let node = self.nodes.get(place.id).and_then(Option::as_ref);
        let start = node.filter(|node| node.made == place.made);
        let (mut id, mut inside, mut length) =
            start.map_or((ROOT, 0, 0), |node| (place.id, node.tokens.len(), node.end()));
        while let Some(child) =
            tokens.get(length).and_then(|&token| self.node(id).children.get(token))
        {
            let edge = &self.node(child).tokens;
            inside = edge.iter().zip(&tokens[length..]).take_while(|(a, b)| a == b).count();
            length += inside;
            id = child;
            if inside < edge.len() {
                break;
            }
        }
        (id, inside, length)
    }

    fn place(&self, id: usize) -> Place {
        Place { id, made: self.node(id).made }
    }

    fn touch(&mut self, mut id: usize) {
        self.clock += 1;
        let clock = self.clock;
        while id != ROOT {
            let node = self.node_mut(id);
            let before = std::mem::replace(&mut node.used, clock);
            let parent = node.parent;
            if self.leaves.remove(&(before, id)) {
                self.leaves.insert((clock, id));
            }
            id = parent;
        }
    }

    /// The blocks of the first `length` positions of the path to `id`.
    fn blocks(&self, mut id: usize, length: usize) -> Vec<Arc<Block>> {
        let mut path = Vec::new();
        while id != ROOT {
            path.push(id);
            id = self.node(id).parent;
        }
        let mut blocks: Vec<Arc<Block>> = Vec::with_capacity(length.div_ceil(PANEL));
        for node in path.into_iter().rev().map(|id| self.node(id)) {
            blocks.truncate(node.start / PANEL);
            blocks.extend(node.blocks.iter().cloned());
        }
        blocks.truncate(length.div_ceil(PANEL));
        blocks
    }

    /// The blocks of a sequence, which continues that of `place`, and the state at its last token, if both are there.
    pub fn known(&mut self, place: Place, tokens: &[u32]) -> Option<(Vec<Arc<Block>>, State)> {
        let (id, inside, length) = self.walk(place, tokens);
        let node = self.node(id);
        if node.pending || inside == 0 || length < tokens.len() {
            return None;
        }
        let state = node.states[inside - 1].clone()?;
        self.touch(id);
        Some((self.blocks(id, length), state))
    }

    fn found(&mut self, mut id: usize, mut inside: usize, mut length: usize) -> Found {
        if self.node(id).pending {
            length -= inside;
            id = self.node(id).parent;
            inside = self.node(id).tokens.len();
        }
        if length == 0 {
            return Found::default();
        }
        self.touch(id);
        let node = self.node(id);
        let state = node.states[inside - 1].clone();
        let place = self.place(if inside == node.tokens.len() { id } else { node.parent });
        Found { length, blocks: self.blocks(id, length), state, place }
    }

    /// Asks to compute a sequence, which must not be empty. Once granted, the missing tokens are reserved: no other request
    /// computes them.
    pub fn claim(&mut self, tokens: &[u32]) -> Claim {
        let (id, inside, length) = self.walk(Place::default(), tokens);
        if self.node(id).pending && inside > 0 {
            return Claim::Busy;
        }
        let mut found = self.found(id, inside, length);
        if length < tokens.len() {
            let id = self.add(id, inside, length, tokens, true);
            found.place = self.place(id);
        }
        Claim::Granted(found)
    }

    /// Hangs the tokens from `length` on below a place in the tree; an edge that it lies inside is cut there.
    fn add(
        &mut self,
        id: usize,
        inside: usize,
        length: usize,
        tokens: &[u32],
        pending: bool,
    ) -> usize {
        let parent = if inside < self.node(id).tokens.len() { self.cut(id, inside) } else { id };
        let hash =
            self.node(parent).tokens.iter().fold(self.node(parent).hash, |h, &t| extend(h, t));
        self.clock += 1;
        let rest = tokens[length..].to_vec();
        let node = Node {
            parent,
            start: length,
            hash,
            blocks: Vec::new(),
            states: vec![None; rest.len()],
            tokens: rest,
            children: Children::default(),
            made: self.clock,
            used: self.clock,
            pending,
        };
        let new = self.store(node);
        let parent_used = self.node(parent).used;
        self.leaves.remove(&(parent_used, parent));
        self.node_mut(parent).children.insert(tokens[length], new);
        self.leaves.insert((self.clock, new));
        new
    }

    fn store(&mut self, node: Node) -> usize {
        if let Some(id) = self.free.pop() {
            self.nodes[id] = Some(node);
            id
        } else {
            self.nodes.push(Some(node));
            self.nodes.len() - 1
        }
    }

    /// Cuts an edge after `inside` tokens; the upper part is new and is returned.
    fn cut(&mut self, id: usize, inside: usize) -> usize {
        let lower = self.node_mut(id);
        let tokens = lower.tokens.split_off(inside);
        let upper_tokens = std::mem::replace(&mut lower.tokens, tokens);
        let states = lower.states.split_off(inside);
        let upper_states = std::mem::replace(&mut lower.states, states);
        let (start, hash, parent, used) = (lower.start, lower.hash, lower.parent, lower.used);
        let middle = start + inside;
        lower.start = middle;
        lower.hash = upper_tokens.iter().fold(hash, |h, &token| extend(h, token));
        let first = lower.tokens[0];
        let first_block = start / PANEL;
        let upper_blocks = lower.blocks[..middle.div_ceil(PANEL) - first_block].to_vec();
        lower.blocks.drain(..middle / PANEL - first_block);
        let entry = upper_tokens[0];
        self.clock += 1;
        let upper = Node {
            parent,
            start,
            tokens: upper_tokens,
            hash,
            blocks: upper_blocks,
            states: upper_states,
            children: Children(vec![(first, id)]),
            made: self.clock,
            used,
            pending: false,
        };
        let new = self.store(upper);
        self.node_mut(id).parent = new;
        self.node_mut(parent).children.insert(entry, new);
        new
    }

    /// Enters a sequence, which continues that of `place`, and of which the tokens from `from` on were computed, in
    /// `blocks` of the whole; `states` are those of positions that were kept.
    pub fn complete(
        &mut self,
        place: Place,
        tokens: &[u32],
        from: usize,
        blocks: &[Arc<Block>],
        states: Vec<(usize, State)>,
    ) {
        let (mut id, inside, mut length) = self.walk(place, tokens);
        let node = self.node_mut(id);
        let fresh = if node.pending && inside == node.tokens.len() {
            node.pending = false;
            node.blocks = blocks[node.start / PANEL..].to_vec();
            node.start
        } else if length < tokens.len() && !node.pending {
            let fresh = length;
            id = self.add(id, inside, length, tokens, false);
            self.node_mut(id).blocks = blocks[length / PANEL..].to_vec();
            length = tokens.len();
            fresh
        } else {
            length
        };
        self.recomputed += fresh.saturating_sub(from) as u64;
        if !self.dropped.is_empty() && fresh < length {
            // What is fresh is the last node.
            let mut hash = self.node(id).hash;
            for (position, &token) in tokens.iter().enumerate().skip(fresh) {
                hash = extend(hash, token);
                if position >= from && self.dropped.remove(&hash) {
                    self.recomputed += 1;
                }
            }
        }
        self.keep_states(id, length, states);
        self.shrink();
    }

    /// Keeps states of positions below `length`, in their order, on the path to a node.
    fn keep_states(&mut self, mut id: usize, length: usize, states: Vec<(usize, State)>) {
        for (position, state) in states.into_iter().rev().filter(|&(position, _)| position < length)
        {
            while position < self.node(id).start {
                id = self.node(id).parent;
            }
            let node = self.node_mut(id);
            if !node.pending {
                node.states[position - node.start] = Some(state);
            }
        }
    }

    fn remove(&mut self, id: usize) {
        let Some(node) = self.nodes[id].take() else { return };
        self.free.push(id);
        self.leaves.remove(&(node.used, id));
        let parent = self.node_mut(node.parent);
        parent.children.remove(node.tokens[0]);
        if parent.children.0.is_empty() && node.parent != ROOT {
            let used = parent.used;
            self.leaves.insert((used, node.parent));
        }
    }

    /// Drops leaves, the least recently used first, until the blocks in use fit the limit.
    fn shrink(&mut self) {
        while self.pool.bytes() > self.limit {
            let oldest = self.leaves.iter().find(|&&(_, id)| !self.node(id).pending);
            let Some(&(_, id)) = oldest else { break };
            let node = self.node(id);
            let mut hash = node.hash;
            let hashes: Vec<u64> = node
                .tokens
                .iter()
                .map(|&token| {
                    hash = extend(hash, token);
                    hash
                })
                .collect();
            if self.dropped.len() > REMEMBERED {
                self.dropped.clear();
            }
            self.dropped.extend(hashes);
            self.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::{CacheShape, Table};
    use super::*;

    impl PrefixCache {
        /// What is known of a sequence of tokens; what is being computed is not.
        fn find(&mut self, tokens: &[u32]) -> Found {
            let (id, inside, length) = self.walk(Place::default(), tokens);
            self.found(id, inside, length)
        }
    }

    fn pool() -> Arc<Pool> {
        Pool::new(
            CacheShape { layers: 1, heads: 1, head_dim: 16 },
            espalier_model::dtype::Dtype::Float32,
        )
    }

    fn blocks(pool: &Arc<Pool>, length: usize) -> Vec<Arc<Block>> {
        let mut table = Table::default();
        table.reserve(pool, length);
        table.freeze()
    }

    /// Reads a sequence as a scheduler does; how many of its tokens were computed.
    fn read(cache: &mut PrefixCache, pool: &Arc<Pool>, tokens: &[u32]) -> usize {
        let Claim::Granted(found) = cache.claim(tokens) else { panic!("busy") };
        let reused = found.length;
        let mut table = Table::continued(found.blocks, reused);
        table.reserve(pool, tokens.len());
        let state = vec![(tokens.len() - 1, vec![tokens.len() as f32].into())];
        cache.complete(found.place, tokens, reused, &table.freeze(), state);
        tokens.len() - reused
    }

    #[test]
    fn sequences_share_what_they_begin_with() {
        let pool = pool();
        let mut cache = PrefixCache::new(1 << 30, Arc::clone(&pool));
        let long: Vec<u32> = (0..40).collect();
        assert_eq!(read(&mut cache, &pool, &long), 40);
        assert_eq!(read(&mut cache, &pool, &[0, 1, 2, 9, 9]), 2);
        // Parts on the first branch, inside what was one edge, inside the second block.
        let other: Vec<u32> = (0..20).chain([7, 7]).collect();
        assert_eq!(read(&mut cache, &pool, &other), 2);
        assert_eq!(read(&mut cache, &pool, &other[..21]), 0);
        assert_eq!(read(&mut cache, &pool, &[5]), 1);
        assert_eq!(cache.recomputed(), 0);
        let found = cache.find(&other);
        assert_eq!((found.length, found.blocks.len()), (22, 2));
        assert_eq!(found.state.as_deref(), Some(&[22.0][..]));
        let longer: Vec<u32> = (0..50).collect();
        let found = cache.find(&longer);
        assert_eq!((found.length, found.blocks.len()), (40, 3));
        assert_eq!(found.state.as_deref(), Some(&[40.0][..]));
        assert!(cache.find(&longer[..30]).state.is_none());
        // The first block is one and the same, the second of `other` is a copy.
        let (a, b) = (cache.find(&longer).blocks, cache.find(&other).blocks);
        assert!(Arc::ptr_eq(&a[0], &b[0]) && !Arc::ptr_eq(&a[1], &b[1]));
    }

    #[test]
    fn what_is_being_computed_is_computed_once() {
        let pool = pool();
        let mut cache = PrefixCache::new(1 << 30, Arc::clone(&pool));
        assert!(matches!(cache.claim(&[1, 2, 3]), Claim::Granted(_)));
        assert!(matches!(cache.claim(&[1, 2, 3, 4]), Claim::Busy));
        assert!(matches!(cache.claim(&[1, 5]), Claim::Busy));
        assert!(matches!(cache.claim(&[2]), Claim::Granted(_)));
        assert_eq!(cache.find(&[1, 2, 3]).length, 0);
        cache.complete(Place::default(), &[1, 2, 3], 0, &blocks(&pool, 3), Vec::new());
        assert_eq!(read(&mut cache, &pool, &[1, 2, 3, 4]), 1);
        cache.complete(Place::default(), &[2], 0, &blocks(&pool, 1), Vec::new());
        assert_eq!(cache.recomputed(), 0);
        // A sample that came to the same text as an earlier one was computed in vain.
        cache.complete(Place::default(), &[1, 2, 3, 4, 8], 3, &blocks(&pool, 5), Vec::new());
        assert_eq!(cache.recomputed(), 1);
    }

    #[test]
    fn a_place_serves_until_its_node_is_dropped_and_no_longer() {
        let pool = pool();
        let mut cache = PrefixCache::new(1 << 30, Arc::clone(&pool));
        read(&mut cache, &pool, &[1, 2, 3]);
        let place = cache.find(&[1, 2, 3]).place;
        assert_eq!(cache.walk(place, &[1, 2, 3, 4]), (place.id, 3, 3));
        // The edge is cut: the place is that of its lower part.
        read(&mut cache, &pool, &[1, 9]);
        cache.complete(place, &[1, 2, 3, 4], 3, &blocks(&pool, 4), Vec::new());
        assert_eq!(cache.find(&[1, 2, 3, 4]).length, 4);
        // Within an edge the place is above it.
        let above = cache.find(&[1, 2]).place;
        assert_eq!(cache.walk(above, &[1, 2, 3]), cache.walk(Place::default(), &[1, 2, 3]));
        assert_ne!(above.id, place.id);

        cache.forget();
        assert_eq!(cache.walk(place, &[1, 2, 3]), (ROOT, 0, 0));
        for first in 5..9 {
            read(&mut cache, &pool, &[first, 6, 7]);
        }
        assert!(cache.nodes[place.id].is_some());
        cache.complete(place, &[1, 2, 3, 4], 0, &blocks(&pool, 4), Vec::new());
        assert_eq!(cache.find(&[1, 2, 3, 4]).length, 4);
        assert_eq!(cache.find(&[5, 6, 7]).length, 3);
        assert_eq!(cache.recomputed(), 0);
    }

    #[test]
    fn the_least_recently_used_leaves_go_first_and_are_counted_when_they_come_back() {
        let pool = pool();
        let mut cache = PrefixCache::new(3 * pool.block_bytes(), Arc::clone(&pool));
        let sequence = |last: u32| -> Vec<u32> { (0..16).chain([last]).collect() };
        assert_eq!(read(&mut cache, &pool, &sequence(100)), 17);
        assert_eq!(read(&mut cache, &pool, &sequence(101)), 1);
        cache.find(&sequence(100));
        assert_eq!(read(&mut cache, &pool, &sequence(102)), 1);
        assert_eq!(pool.bytes(), 3 * pool.block_bytes());
        assert_eq!(cache.find(&sequence(100)).length, 17);
        assert_eq!(cache.find(&sequence(101)).length, 16);
        assert_eq!(cache.recomputed(), 0);
        assert_eq!(read(&mut cache, &pool, &sequence(101)), 1);
        assert_eq!(cache.recomputed(), 1);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let pool = pool();
        let mut cache = PrefixCache::new(0, Arc::clone(&pool));
        assert_eq!(read(&mut cache, &pool, &[1, 2]), 2);
        // The sequence under way held its block when it was entered; the next one finds it dropped.
        assert_eq!(read(&mut cache, &pool, &[3]), 1);
        assert_eq!(cache.find(&[1, 2]).length, 0);
        assert_eq!(cache.leaves.len(), cache.nodes.iter().flatten().count() - 1);
    }
}
