//! Keys and values of contexts that were read lately: a context that continues one of them is read from there on.
//!
//! In a tree every leaf continues its parent's context, so each step of a path is computed once. What is reused has
//! the bits that would have been computed, so answers do not depend on what the store holds.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::cache::PromptCache;

/// Contexts by their tokens, the least recently used of them dropped when they exceed a size in bytes.
pub(super) struct PrefixStore {
    limit: usize,
    bytes: usize,
    entries: HashMap<u64, Entry>,
    /// Hashes by time of last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

struct Entry {
    tokens: Vec<u32>,
    cache: Arc<PromptCache>,
    used: u64,
}

/// Hash of every prefix, from one token to all.
fn prefix_hashes(tokens: &[u32]) -> Vec<u64> {
    let mut hasher = DefaultHasher::new();
    let hashes = tokens.iter().map(|&token| {
        hasher.write_u32(token);
        hasher.finish()
    });
    hashes.collect()
}

impl PrefixStore {
    /// A store of at most `limit` bytes; 0 keeps nothing.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, entries: HashMap::new(), order: BTreeMap::new(), clock: 0 }
    }

    /// The longest stored context that `tokens` begins with, and its length.
    pub fn longest(&mut self, tokens: &[u32]) -> Option<(Arc<PromptCache>, usize)> {
        if self.entries.is_empty() {
            return None;
        }
        let hashes = prefix_hashes(tokens);
        let (last, hash) = hashes.into_iter().enumerate().rev().find(|(last, hash)| {
            self.entries.get(hash).is_some_and(|entry| entry.tokens == tokens[..=*last])
        })?;
        self.clock += 1;
        let entry = self.entries.get_mut(&hash)?;
        self.order.remove(&entry.used);
        entry.used = self.clock;
        self.order.insert(self.clock, hash);
        Some((Arc::clone(&entry.cache), last + 1))
    }

    /// Keeps a context.
    pub fn insert(&mut self, tokens: &[u32], cache: &Arc<PromptCache>) {
        let bytes = cache.bytes();
        let Some(&hash) = prefix_hashes(tokens).last() else { return };
        if bytes > self.limit || self.entries.contains_key(&hash) {
            return;
        }
        while self.bytes + bytes > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.cache.bytes());
        }
        self.clock += 1;
        self.bytes += bytes;
        self.order.insert(self.clock, hash);
        let entry = Entry { tokens: tokens.to_vec(), cache: Arc::clone(cache), used: self.clock };
        self.entries.insert(hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::CacheShape;
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 1, heads: 1, head_dim: 16 };

    fn cache() -> Arc<PromptCache> {
        Arc::new(PromptCache::new(SHAPE, 16))
    }

    #[test]
    fn finds_the_longest_prefix() {
        let mut store = PrefixStore::new(1 << 20);
        let (short, long) = (cache(), cache());
        store.insert(&[1, 2], &short);
        store.insert(&[1, 2, 3, 4], &long);
        store.insert(&[1, 2, 9], &cache());
        let (found, length) = store.longest(&[1, 2, 3, 4, 5]).unwrap();
        assert!(Arc::ptr_eq(&found, &long) && length == 4);
        let (found, length) = store.longest(&[1, 2, 3]).unwrap();
        assert!(Arc::ptr_eq(&found, &short) && length == 2);
        assert!(store.longest(&[2, 1]).is_none());
        assert!(store.longest(&[1]).is_none());
        assert_eq!(store.longest(&[1, 2]).unwrap().1, 2);
    }

    #[test]
    fn drops_the_least_recently_used() {
        let one = cache().bytes();
        let mut store = PrefixStore::new(2 * one);
        store.insert(&[1], &cache());
        store.insert(&[2], &cache());
        store.longest(&[1]).unwrap();
        store.insert(&[3], &cache());
        assert!(store.longest(&[2]).is_none());
        assert!(store.longest(&[1]).is_some() && store.longest(&[3]).is_some());
        assert_eq!(store.bytes, 2 * one);
        assert_eq!(store.entries.len(), store.order.len());
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let mut store = PrefixStore::new(0);
        store.insert(&[1], &cache());
        assert!(store.longest(&[1]).is_none());
    }
}
