//! The exact solver: is the target still reachable?

use std::collections::HashMap;

use super::Rules;
use super::moves::legal_moves;
use super::number::Number;

/// Answers reachability questions, remembering what it has seen.
#[derive(Debug)]
pub(super) struct Solver {
    rules: Rules,
    known: HashMap<(u64, Vec<Number>), bool>,
}

impl Solver {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, known: HashMap::new() }
    }

    /// Whether `target` can still be made from `numbers` (in ascending order).
    pub(super) fn reachable(&mut self, numbers: &[Number], target: u64) -> bool {
        if let [last] = numbers {
            return last.target() == Some(target);
        }
        let key = (target, numbers.to_vec());
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let moves = legal_moves(numbers, self.rules);
        let reachable = moves.into_iter().any(|(_, left)| self.reachable(&left, target));
        self.known.insert(key, reachable);
        reachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachable(numbers: &[u64], target: u64, rules: Rules) -> bool {
        let numbers: Vec<Number> =
            numbers.iter().map(|&number| Number::whole(number).unwrap()).collect();
        Solver::new(rules).reachable(&numbers, target)
    }

    #[test]
    fn small_cases_by_hand() {
        for (numbers, target, expected) in [
            (&[3, 5, 7][..], 26, true), // 3*7 + 5
            (&[3, 5, 7], 1, true),      // 5 + 3 - 7
            (&[2, 2], 5, false),        // 4, 0, 1 only
            (&[6, 7, 8, 9], 24, true),  // 6 * 8 / (9 - 7)
            (&[1, 1, 1, 1], 24, false),
        ] {
            assert_eq!(reachable(numbers, target, Rules::default()), expected, "{numbers:?}");
        }
    }

    #[test]
    fn some_targets_need_a_wider_rule() {
        let fractions = Rules { fractions: true, ..Rules::default() };
        let leftover = Rules { leftover: true, ..Rules::default() };
        let negative = Rules { negative: true, ..Rules::default() };
        for (numbers, target, rules) in [
            (&[3, 3, 8, 8][..], 24, fractions), // 8 / (3 - 8/3)
            (&[1, 5, 5, 5], 24, fractions),     // 5 * (5 - 1/5)
            (&[3, 5, 7], 21, leftover),         // 3 * 7
            (&[3, 5, 26], 26, leftover),
        ] {
            assert!(reachable(numbers, target, rules), "{numbers:?}");
            for narrow in [Rules::default(), negative] {
                assert!(!reachable(numbers, target, narrow), "{numbers:?}");
            }
        }
    }
}
