//! Which finished paths of a problem are kept.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use espalier_search::{LabelledSolution, LabelledStep, derive_seed, shuffle};
use serde::{Deserialize, Serialize};

/// How many solutions a problem gives. The defaults are AlphaMath's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathsRecipe {
    /// Most distinct correct solutions of a problem.
    pub max_correct: usize,
    /// Most distinct incorrect ones, invalid endings included.
    pub max_incorrect: usize,
    /// Whether answered paths through the same states count as one: `3*7` and `7*3` lead to one state.
    pub distinct_states: bool,
    /// A prior, in (0, 1], from which the policy counts as knowing a step: a right path ends with its last step that is not known, and has
    /// its first step in any case. Absent: paths are whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<f64>,
}

impl Default for PathsRecipe {
    fn default() -> Self {
        Self { max_correct: 4, max_incorrect: 4, distinct_states: false, known: None }
    }
}

impl PathsRecipe {
    /// Keeps one of the answered paths through the same states, where that is asked for: the one whose steps come first as text, so that
    /// the policy learns one way to write them. `state` names the state of a context, where the environment can.
    pub fn merge(&self, paths: &mut Vec<LabelledSolution>, state: &dyn Fn(&str) -> Option<String>) {
        if self.distinct_states {
            keep_distinct(paths, state);
        }
    }

    /// Keeps up to `max_correct` correct and `max_incorrect` incorrect paths, in their order.
    ///
    /// Where there are more, a seeded random choice decides, each path with equal chance. Taking those of highest Q, or the first
    /// found, would show the policy mostly the paths that it already prefers, and the label distribution would follow the choice
    /// rather than the search.
    pub fn choose(&self, paths: &mut Vec<LabelledSolution>, seed: u64) {
        let mut chosen = HashSet::new();
        for (stream, correct, most) in [(0, false, self.max_incorrect), (1, true, self.max_correct)]
        {
            let mut indices: Vec<usize> =
                (0..paths.len()).filter(|index| paths[*index].correct == correct).collect();
            shuffle(&mut indices, derive_seed(seed, stream));
            chosen.extend(indices.into_iter().take(most));
        }
        retain_places(paths, |place| chosen.contains(&place));
    }

    /// Leaves out the steps behind the last one that the policy does not know, where right paths are cut. The labels are there already: a step
    /// that ends a path has another label than one that goes on.
    pub fn cut(&self, paths: &mut [LabelledSolution]) {
        let Some(known) = self.known else { return };
        for path in paths.iter_mut().filter(|path| path.correct) {
            let last = path.steps.iter().rposition(|step| step.prior < known);
            path.steps.truncate(last.unwrap_or(0) + 1);
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_correct == 0 && self.max_incorrect == 0 {
            return Err("paths.max_correct and paths.max_incorrect = 0 keep nothing to learn from"
                .to_owned());
        }
        match self.known {
            Some(known) if !(known > 0.0 && known <= 1.0) => {
                Err(format!("paths.known must be in (0, 1], is {known}"))
            }
            _ => Ok(()),
        }
    }
}

/// Keeps one of the answered paths through the same states.
fn keep_distinct(paths: &mut Vec<LabelledSolution>, state: &dyn Fn(&str) -> Option<String>) {
    let mut kept: HashMap<Vec<String>, usize> = HashMap::new();
    let mut dropped = HashSet::new();
    for (place, path) in paths.iter().enumerate() {
        let Some(states) = states(path, state) else { continue };
        match kept.entry(states) {
            Entry::Vacant(unseen) => _ = unseen.insert(place),
            Entry::Occupied(mut seen) if actions(path).lt(actions(&paths[*seen.get()])) => {
                dropped.insert(seen.insert(place));
            }
            Entry::Occupied(_) => _ = dropped.insert(place),
        }
    }
    retain_places(paths, |place| !dropped.contains(&place));
}

/// Keeps the paths at chosen places, in their order.
fn retain_places(paths: &mut Vec<LabelledSolution>, chosen: impl Fn(usize) -> bool) {
    let mut places = 0..;
    paths.retain(|_| places.next().is_some_and(&chosen));
}

/// The states of a path that ends with an answer; `None` where one has no name.
fn states(path: &LabelledSolution, state: &dyn Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    path.answer.as_ref()?;
    let mut context = path.prompt.clone();
    let of_step = |step: &LabelledStep| {
        context.push_str(&step.action);
        context.push_str(&step.observation);
        state(&context)
    };
    path.steps.iter().map(of_step).collect()
}

fn actions(path: &LabelledSolution) -> impl Iterator<Item = &str> {
    path.steps.iter().map(|step| step.action.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    #[test]
    fn of_paths_through_the_same_states_the_first_as_text_is_kept() {
        let answered = |steps: &[(&str, f64)], answer: &str| LabelledSolution {
            answer: Some(answer.to_owned()),
            ..path(steps, answer == "3")
        };
        let ended = |steps: &[(&str, f64)]| path(steps, false);
        let paths = vec![
            answered(&[("2+1", 1.0)], "3"),
            ended(&[("2+1", 0.0)]),
            answered(&[("1*2", 0.0), ("2", 0.0)], "2"),
            answered(&[("1+2", 0.5)], "3"),
            answered(&[("2*1", 0.0), ("2", 0.0)], "2"),
            ended(&[("1+2", 0.0)]),
        ];
        // A state is named by the sorted characters of its last line.
        let state = |context: &str| {
            let mut line: Vec<char> = context.lines().last()?.chars().collect();
            line.sort_unstable();
            Some(line.into_iter().collect())
        };
        let kept = |distinct_states, state: &dyn Fn(&str) -> Option<String>| {
            let mut paths = paths.clone();
            let recipe = PathsRecipe { distinct_states, ..PathsRecipe::default() };
            recipe.merge(&mut paths, state);
            paths
        };
        assert_eq!(kept(false, &state), paths);
        assert_eq!(kept(true, &|_| None), paths);
        let [one, two, three, five] = [1, 2, 3, 5].map(|index: usize| paths[index].clone());
        assert_eq!(kept(true, &state), [one, two, three, five]);
    }

    #[test]
    fn a_right_path_ends_with_its_last_step_that_is_not_known() {
        let with_priors = |priors: &[f64], correct| {
            let steps: Vec<_> = priors.iter().map(|_| ("step", 0.5)).collect();
            let mut path = path(&steps, correct);
            path.steps.iter_mut().zip(priors).for_each(|(step, prior)| step.prior = *prior);
            path
        };
        let lengths = |known| {
            let mut paths = [
                with_priors(&[0.3, 0.95, 0.4, 0.9, 1.0], true),
                with_priors(&[0.99, 0.9], true),
                with_priors(&[0.3, 0.99], false),
            ];
            PathsRecipe { known, ..PathsRecipe::default() }.cut(&mut paths);
            paths.map(|path| path.steps.len())
        };
        assert_eq!(lengths(None), [5, 2, 2]);
        assert_eq!(lengths(Some(0.9)), [3, 1, 2]);
        assert_eq!(lengths(Some(1.0)), [4, 2, 2]);
        for known in [0.0, 1.5, f64::NAN] {
            let error = PathsRecipe { known: Some(known), ..PathsRecipe::default() }.validate();
            assert!(error.unwrap_err().contains("paths.known"));
        }
    }

    #[test]
    fn the_choice_is_bounded_keeps_the_order_and_follows_the_seed() {
        let all: Vec<LabelledSolution> =
            (0..20).map(|index| path(&[(&format!("step {index}"), 0.0)], index % 3 == 0)).collect();
        let chosen = |most: [usize; 2], seed| {
            let [max_correct, max_incorrect] = most;
            let mut paths = all.clone();
            PathsRecipe { max_correct, max_incorrect, ..PathsRecipe::default() }
                .choose(&mut paths, seed);
            paths
        };
        let few = chosen([4, 6], 0);
        assert_eq!(few.iter().filter(|path| path.correct).count(), 4);
        assert_eq!(few.iter().filter(|path| !path.correct).count(), 6);
        let position = |path| all.iter().position(|other| other == path).unwrap();
        assert!(few.iter().map(position).is_sorted());
        assert_eq!(few, chosen([4, 6], 0));
        assert_ne!(few, chosen([4, 6], 1));
        assert!(chosen([0, 0], 0).is_empty());
        assert_eq!(chosen([100, 100], 0), all);
    }
}
