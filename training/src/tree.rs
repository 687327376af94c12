//! Paths that begin alike as one row of tokens in which each shared beginning lies once.

/// The tokens of several paths, parents before children and the subtree of each one behind the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenTree {
    /// The token of each place.
    pub tokens: Vec<u32>,
    /// How many tokens come before it in its path.
    pub depths: Vec<u32>,
    /// The place behind its last descendant.
    pub ends: Vec<u32>,
    /// Of each path, in the order in which they were given, the place of each of its tokens.
    pub places: Vec<Vec<u32>>,
}

impl TokenTree {
    /// The tree of these paths.
    pub fn new(paths: &[&[u32]]) -> Self {
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|&index| paths[index]);
        let mut tree = Self { places: vec![Vec::new(); paths.len()], ..Self::default() };
        let mut open: Vec<u32> = Vec::new();
        let mut before: &[u32] = &[];
        for index in order {
            let path = paths[index];
            let shared = shared(before, path);
            tree.close(&mut open, shared);
            for (depth, &token) in path.iter().enumerate().skip(shared) {
                open.push(tree.tokens.len() as u32);
                tree.tokens.push(token);
                tree.depths.push(depth as u32);
            }
            tree.places[index].clone_from(&open);
            before = path;
        }
        tree.close(&mut open, 0);
        tree
    }

    /// Ends all but the first `depth` open places here.
    fn close(&mut self, open: &mut Vec<u32>, depth: usize) {
        let here = self.tokens.len() as u32;
        self.ends.resize(here as usize, here);
        for place in open.drain(depth..) {
            self.ends[place as usize] = here;
        }
    }

    /// Whether it is a single path.
    pub fn is_path(&self) -> bool {
        self.depths.last().is_none_or(|&depth| depth as usize + 1 == self.tokens.len())
    }
}

/// How many tokens a path shares with the path before it in their order: all others are what it adds to their tree.
pub(crate) fn shared(before: &[u32], path: &[u32]) -> usize {
    before.iter().zip(path).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_beginnings_lie_once() {
        let paths: [&[u32]; 5] = [&[1, 2, 3], &[1, 4], &[1, 2, 5, 6], &[1, 2], &[7]];
        let tree = TokenTree::new(&paths);
        assert_eq!(tree.tokens, [1, 2, 3, 5, 6, 4, 7]);
        assert_eq!(tree.depths, [0, 1, 2, 2, 3, 1, 0]);
        assert_eq!(tree.ends, [6, 5, 3, 5, 5, 6, 7]);
        let places: [&[u32]; 5] = [&[0, 1, 2], &[0, 5], &[0, 1, 3, 4], &[0, 1], &[6]];
        assert_eq!(tree.places, places);
        assert!(!tree.is_path());
    }

    #[test]
    fn equal_paths_are_one_and_a_path_is_a_tree() {
        let tree = TokenTree::new(&[&[4, 5], &[4, 5], &[4]]);
        assert_eq!((tree.tokens.as_slice(), tree.ends.as_slice()), (&[4, 5][..], &[2, 2][..]));
        assert!(tree.is_path());
        assert_eq!(tree.places[0], tree.places[1]);
        assert!(TokenTree::new(&[]).is_path());
    }
}
