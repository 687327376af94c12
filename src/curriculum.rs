//! Which problems a round searches, and how far, by what the rounds before found: unsolved ones come back with a growing budget, solved
//! ones seldom.

use std::collections::{BTreeMap, BTreeSet};

use espalier_search::Problem;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// `[rounds.curriculum]`: where the search's budget goes. A round's budget is that of `rounds.problems` problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CurriculumRecipe {
    /// The budget of a problem grows by this factor with each search in a row that does not solve it; at least 1.
    pub growth: f64,
    /// The largest budget of a problem, as a multiple of `[search]`'s; at least 1.
    pub most: f64,
    /// The chance that a problem which was solved when it was last searched is searched again in its turn, in [0, 1].
    pub solved: f64,
}

impl Default for CurriculumRecipe {
    fn default() -> Self {
        Self { growth: 2.0, most: 8.0, solved: 0.25 }
    }
}

/// What the searches of a problem came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// The last one solved it.
    Solved,
    /// So many in a row did not.
    Failed(u32),
}

/// The problems whose turn it was before, in the order in which they came up, with what came of those that were searched.
#[derive(Debug, Default)]
pub struct History {
    problems: Vec<Problem>,
    known: BTreeSet<String>,
    past: BTreeMap<String, Past>,
}

impl History {
    /// Adds a round: the problems whose turn it was, those that it searched, and the ids of those that it solved. A search that failed solved
    /// nothing.
    pub fn add(&mut self, turn: Vec<Problem>, searched: Vec<Problem>, solved: &BTreeSet<String>) {
        for Problem { id, .. } in &searched {
            let past = match self.past.get(id) {
                _ if solved.contains(id) => Past::Solved,
                Some(Past::Failed(times)) => Past::Failed(times.saturating_add(1)),
                Some(Past::Solved) | None => Past::Failed(1),
            };
            self.past.insert(id.clone(), past);
        }
        let all = turn.into_iter().chain(searched);
        self.problems.extend(all.filter(|problem| self.known.insert(problem.id.clone())));
    }
}

/// What a round searches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The problems, in the order in which they were drawn.
    pub problems: Vec<Problem>,
    /// The budgets of those that have another than `[search]`'s, as multiples of it.
    pub budgets: BTreeMap<String, f64>,
    /// Problems by what came of them before.
    pub counts: Counts,
}

/// The problems of a round by what came of them before, and those that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Never searched before.
    pub new: usize,
    /// Searched again, since the last search did not solve them.
    pub unsolved: usize,
    /// Searched again, though solved.
    pub solved: usize,
    /// Unsolved or new ones for which the budget does not suffice.
    pub waiting: usize,
}

impl CurriculumRecipe {
    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [("growth", self.growth), ("most", self.most)] {
            if !(value.is_finite() && value >= 1.0) {
                return Err(format!("{key} must be a number of at least 1, is {value}"));
            }
        }
        if !(0.0..=1.0).contains(&self.solved) {
            return Err(format!("solved must be in [0, 1], is {}", self.solved));
        }
        Ok(())
    }

    /// Chooses among the problems whose turn it is and all those before that were not searched yet or that their last search did not solve.
    /// Chance decides which of them the budget does not reach, so that none waits for ever. Where nothing else would be left, it takes all solved
    /// ones whose turn it is.
    #[must_use]
    pub fn choose(&self, history: &History, turn: Vec<Problem>, seed: u64) -> Choice {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let allowance = turn.len() as f64;
        let in_turn: BTreeSet<String> = turn.iter().map(|problem| problem.id.clone()).collect();
        let past_of = |problem: &Problem| history.past.get(&problem.id).copied();
        let back = history.problems.iter().filter(|problem| {
            past_of(problem) != Some(Past::Solved) && !in_turn.contains(&problem.id)
        });
        let all = turn.into_iter().chain(back.cloned()).enumerate();
        let mut candidates: Vec<(usize, Problem, Option<Past>)> = all
            .map(|(place, problem)| {
                let past = past_of(&problem);
                (place, problem, past)
            })
            .collect();
        if candidates.iter().any(|(.., past)| *past != Some(Past::Solved)) {
            candidates
                .retain(|(.., past)| *past != Some(Past::Solved) || rng.random_bool(self.solved));
        }
        candidates.shuffle(&mut rng);
        let (mut choice, mut chosen, mut spent) = (Choice::default(), Vec::new(), 0.0);
        for (place, problem, past) in candidates {
            let budget = match past {
                Some(Past::Failed(times)) => self.growth.powi(times.min(64) as i32).min(self.most),
                Some(Past::Solved) | None => 1.0,
            };
            // The first is searched in any case: a round searches something.
            if spent + budget > allowance && spent > 0.0 {
                choice.counts.waiting += usize::from(past != Some(Past::Solved));
                continue;
            }
            spent += budget;
            let count = match past {
                None => &mut choice.counts.new,
                Some(Past::Failed(_)) => &mut choice.counts.unsolved,
                Some(Past::Solved) => &mut choice.counts.solved,
            };
            *count += 1;
            if budget > 1.0 {
                choice.budgets.insert(problem.id.clone(), budget);
            }
            chosen.push((place, problem));
        }
        chosen.sort_unstable_by_key(|(place, _)| *place);
        choice.problems = chosen.into_iter().map(|(_, problem)| problem).collect();
        choice
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::testing::LetterGame;

    use super::*;

    fn problems(ids: impl IntoIterator<Item = usize>) -> Vec<Problem> {
        ids.into_iter().map(|id| LetterGame::problem(&id.to_string(), "ab")).collect()
    }

    fn ids(problems: &[Problem]) -> Vec<usize> {
        problems.iter().map(|problem| problem.id.parse().unwrap()).collect()
    }

    /// Adds a round that searches the problems whose turn it is.
    fn add(history: &mut History, problems: Vec<Problem>, solved: &BTreeSet<String>) {
        history.add(problems.clone(), problems, solved);
    }

    fn solved(ids: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
        ids.into_iter().map(|id| id.to_string()).collect()
    }

    #[test]
    fn unsolved_problems_come_back_with_a_growing_budget_and_solved_ones_seldom() {
        let recipe = CurriculumRecipe { growth: 2.0, most: 8.0, solved: 0.25 };
        let first = recipe.choose(&History::default(), problems(0..400), 1);
        assert_eq!(ids(&first.problems), (0..400).collect::<Vec<_>>());
        assert!(first.budgets.is_empty());
        assert_eq!(first.counts, Counts { new: 400, ..Counts::default() });

        // The same problems again, of which 300 were solved: 100 twice as far, and some 75.
        let mut history = History::default();
        add(&mut history, first.problems, &solved(0..300));
        let second = recipe.choose(&history, problems(0..400), 2);
        assert_eq!((second.counts.unsolved, second.counts.waiting), (100, 0));
        assert!((55..95).contains(&second.counts.solved), "{:?}", second.counts);
        assert!((300..400).all(|id: usize| second.budgets[&id.to_string()] == 2.0));
        assert_eq!(second.budgets.len(), 100);
        assert!(ids(&second.problems).is_sorted());

        // Budgets grow to the largest, and a problem that is solved has it no more.
        add(&mut history, second.problems, &solved(300..310));
        for _ in 0..5 {
            add(&mut history, problems(310..320), &BTreeSet::new());
        }
        let third = recipe.choose(&history, problems(0..400), 3);
        assert!(!third.budgets.contains_key("305"));
        assert!((320..400).all(|id: usize| {
            third.budgets.get(&id.to_string()).is_none_or(|budget| *budget == 4.0)
        }));
        let most = third.budgets.values().copied().fold(0.0, f64::max);
        assert_eq!(most, 8.0);
    }

    #[test]
    fn a_round_spends_no_more_than_without_and_nobody_waits_for_ever() {
        let recipe = CurriculumRecipe { growth: 4.0, most: 64.0, solved: 0.0 };
        let mut history = History::default();
        add(&mut history, problems(0..100), &BTreeSet::new());
        let mut seen = BTreeSet::new();
        for seed in 0..40 {
            let choice = recipe.choose(&history, problems(100..200), seed);
            let budgets = choice
                .problems
                .iter()
                .map(|problem| choice.budgets.get(&problem.id).copied().unwrap_or(1.0));
            let spent: f64 = budgets.sum();
            assert!(spent <= 100.0 && spent > 90.0, "{spent}");
            let Counts { new, unsolved, solved, waiting } = choice.counts;
            assert_eq!((new + unsolved, solved), (choice.problems.len(), 0));
            assert_eq!(new + unsolved + waiting, 200);
            seen.extend(ids(&choice.problems));
        }
        assert_eq!(seen.len(), 200);
        let one = |seed| recipe.choose(&history, problems(100..200), seed);
        assert_eq!(one(7), one(7));
        assert_ne!(one(7), one(8));
    }

    #[test]
    fn a_problem_that_waited_when_its_turn_came_is_a_candidate_again() {
        let recipe = CurriculumRecipe::default();
        let mut history = History::default();
        history.add(problems(0..10), problems(0..4), &solved(0..4));
        let choice = recipe.choose(&history, problems(10..30), 1);
        assert_eq!(choice.counts, Counts { new: 20, waiting: 6, ..Counts::default() });
        let all: BTreeSet<usize> = (0..20)
            .flat_map(|seed| ids(&recipe.choose(&history, problems(10..30), seed).problems))
            .collect();
        assert_eq!(all, (4..30).collect());
    }

    #[test]
    fn a_round_searches_something() {
        let recipe = CurriculumRecipe { growth: 8.0, most: 8.0, solved: 0.0 };
        let mut history = History::default();
        add(&mut history, problems(0..1), &BTreeSet::new());
        let choice = recipe.choose(&history, problems(0..1), 1);
        assert_eq!((choice.problems.len(), choice.budgets["0"]), (1, 8.0));
        add(&mut history, problems(0..1), &solved([0]));
        let choice = recipe.choose(&history, problems(0..1), 1);
        assert_eq!((choice.counts.solved, choice.budgets.len()), (1, 0));
    }

    #[test]
    fn settings_out_of_bounds_are_refused() {
        let with = |growth, most, solved| CurriculumRecipe { growth, most, solved }.validate();
        with(1.0, 1.0, 1.0).unwrap();
        for (settings, key) in [
            (with(0.5, 2.0, 0.5), "growth"),
            (with(f64::NAN, 2.0, 0.5), "growth"),
            (with(2.0, f64::INFINITY, 0.5), "most"),
            (with(2.0, 2.0, 1.5), "solved"),
        ] {
            assert!(settings.unwrap_err().starts_with(key));
        }
    }
}
