//! The exact solver: is the target still reachable?

use std::collections::HashMap;

use super::moves::legal_moves;

/// Answers reachability questions, remembering what it has seen.
#[derive(Debug, Default)]
pub struct Solver {
    known: HashMap<(u64, Vec<u64>), bool>,
}

impl Solver {
    /// Whether `target` can still be made from `numbers` (in ascending order).
    pub fn reachable(&mut self, numbers: &[u64], target: u64) -> bool {
        if let [last] = numbers {
            return *last == target;
        }
        let key = (target, numbers.to_vec());
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let reachable =
            legal_moves(numbers).into_iter().any(|(_, left)| self.reachable(&left, target));
        self.known.insert(key, reachable);
        reachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_by_hand() {
        let mut solver = Solver::default();
        assert!(solver.reachable(&[3, 5, 7], 26)); // 3*7 + 5
        assert!(solver.reachable(&[3, 5, 7], 1)); // 5 + 3 - 7
        assert!(!solver.reachable(&[2, 2], 5)); // 4, 0, 1 only
        assert!(solver.reachable(&[6, 7, 8, 9], 24)); // 6 * 8 / (9 - 7)
        assert!(!solver.reachable(&[1, 1, 1, 1], 24));
    }
}
