//! Seeded problems in disjoint splits.

use espalier_search::Problem;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::moves::legal_moves;
use super::number::Number;
use super::{Countdown, Rules, prompt};
use crate::environment::distinct::distinct;
use crate::environment::kind::ProblemGenerator;
use crate::environment::split::Split;
use crate::seed;

/// The split that a problem belongs to: a hash of its sorted numbers and its target.
#[must_use]
pub fn split_of(numbers: &[u64], target: u64) -> Split {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    let key = format!("countdown {target}: {numbers:?}");
    Split::of_hash(seed::derive(0, &[&key]))
}

/// How hard the generated problems are. All bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorRecipe {
    /// How many numbers a problem has: least and most.
    pub numbers: [usize; 2],
    /// The numbers lie in 1..=max_value.
    pub max_value: u64,
    /// The target lies between these.
    pub target: [u64; 2],
}

impl Default for GeneratorRecipe {
    fn default() -> Self {
        Self { numbers: [3, 3], max_value: 20, target: [1, 100] }
    }
}

impl ProblemGenerator<Countdown> for GeneratorRecipe {
    fn validate(&self) -> Result<(), String> {
        let [least, most] = self.numbers;
        if least < 2 || most < least || most > 8 {
            return Err(format!(
                "numbers = [{least}, {most}] must be [least, most] with 2 <= least <= most <= 8"
            ));
        }
        if !(1..=1000).contains(&self.max_value) {
            return Err(format!("max_value = {} must lie in 1..=1000", self.max_value));
        }
        if self.target[0] > self.target[1] {
            return Err(format!("target = {:?} must be [least, most]", self.target));
        }
        Ok(())
    }

    /// Each problem is solvable, since its target is where a random legal line of play ended, and that line is thrown away. No target
    /// is one of the numbers where that alone would solve the problem.
    fn generate(
        &self,
        environment: &Countdown,
        split: Split,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Problem>, String> {
        self.validate()?;
        let rules = environment.rules();
        let mut rng = ChaCha8Rng::seed_from_u64(seed::derive(seed, &["countdown problems"]));
        let [least, most] = self.target;
        let bounds = format!(
            "split {split:?}, numbers = {:?}, max_value = {}, target = {:?}",
            self.numbers, self.max_value, self.target
        );
        let problems = distinct(count, &bounds, || {
            let terms = rng.random_range(self.numbers[0]..=self.numbers[1]);
            let mut numbers: Vec<u64> =
                (0..terms).map(|_| rng.random_range(1..=self.max_value)).collect();
            numbers.sort_unstable();
            let target = random_line(&numbers, rules, &mut rng)?;
            let given = rules.leftover && numbers.contains(&target);
            let fits = (least..=most).contains(&target) && split_of(&numbers, target) == split;
            (fits && !given).then_some((numbers, target))
        })?;
        let problem = |(index, (numbers, target)): (usize, (Vec<u64>, u64))| {
            let id = format!("countdown-{}-{seed}-{index}", split.name());
            prompt::problem(id, &numbers, target, rules)
        };
        Ok(problems.into_iter().enumerate().map(problem).collect())
    }
}

/// Where a line of uniformly random legal moves ends, if at a target.
fn random_line(numbers: &[u64], rules: Rules, rng: &mut ChaCha8Rng) -> Option<u64> {
    let mut numbers: Vec<Number> =
        numbers.iter().map(|&number| Number::whole(number)).collect::<Option<_>>()?;
    while numbers.len() > 1 {
        numbers = legal_moves(&numbers, rules).choose(rng)?.1.clone();
    }
    numbers.pop()?.target()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::solver::Solver;
    use super::*;

    fn key(problem: &Problem) -> (Vec<u64>, u64) {
        prompt::numbers_and_target(problem).unwrap()
    }

    #[test]
    fn splits_are_disjoint_and_problems_different() {
        let recipe = GeneratorRecipe { numbers: [2, 3], max_value: 6, target: [1, 30] };
        let mut seen = HashSet::new();
        for (split, seed) in [(Split::Train, 1), (Split::Validation, 2), (Split::Test, 3)] {
            let problems = recipe.generate(&Countdown::default(), split, 20, seed).unwrap();
            assert_eq!(problems.len(), 20);
            for problem in &problems {
                assert!(seen.insert(key(problem)), "{problem:?} occurs twice");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_problems_and_more_only_adds() {
        let recipe = GeneratorRecipe::default();
        let some = recipe.generate(&Countdown::default(), Split::Train, 10, 5).unwrap();
        let more = recipe.generate(&Countdown::default(), Split::Train, 20, 5).unwrap();
        assert_eq!(some, more[..10]);
        assert_ne!(some, recipe.generate(&Countdown::default(), Split::Train, 10, 6).unwrap());
    }

    #[test]
    fn a_space_too_small_is_said() {
        let recipe = GeneratorRecipe { numbers: [2, 2], max_value: 2, target: [1, 4] };
        let error = recipe.generate(&Countdown::default(), Split::Train, 100, 1).unwrap_err();
        assert!(error.contains("widen the bounds"), "{error}");
    }
    #[test]
    fn each_rule_makes_other_problems_which_it_can_solve() {
        let recipe = GeneratorRecipe { numbers: [4, 4], max_value: 9, target: [1, 50] };
        let generate = |rules| recipe.generate(&rules, Split::Train, 100, 1).unwrap();
        let solvable = |problem: &Problem, rules| {
            let (numbers, target) = key(problem);
            let numbers: Vec<_> = numbers.into_iter().filter_map(Number::whole).collect();
            Solver::new(rules).reachable(&numbers, target)
        };
        let narrow: Vec<_> = generate(Countdown::default()).iter().map(key).collect();
        for (negative, fractions, leftover) in
            [(true, false, false), (false, true, false), (false, false, true), (true, true, true)]
        {
            let wide = Countdown { negative, fractions, leftover, ..Countdown::default() };
            let problems = generate(wide);
            assert_ne!(problems.iter().map(key).collect::<Vec<_>>(), narrow, "{wide:?}");
            let lacked = problems.iter().any(|problem| !solvable(problem, Rules::default()));
            assert!(lacked || !leftover, "{wide:?}");
            for problem in &problems {
                assert!(solvable(problem, wide.rules()), "{problem:?}");
                let (numbers, target) = key(problem);
                assert!(!leftover || !numbers.contains(&target), "{problem:?}");
            }
        }
    }
}
