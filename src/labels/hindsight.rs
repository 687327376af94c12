//! `[labels.hindsight]`: a tree's wrong answers, told as right ones of the problems that they solve (hindsight experience replay,
//! arXiv 1707.01495, section 3.2).

use espalier_search::{LabelledSolution, derive_seed, shuffle};
use serde::{Deserialize, Serialize};

use super::through::Nodes;

/// Distinguishes this use of a problem's seed from the choice of paths, which has the streams 0 and 1.
const STREAM: u64 = 2;

/// How many other problems the paths of a problem solve, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HindsightRecipe {
    /// The most other problems a problem; 0: none.
    pub problems: usize,
    /// Least and greatest answer that may become a problem's; absent: any. Answers that are no whole numbers lie outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<[i64; 2]>,
}

impl HindsightRecipe {
    /// Tells the paths of a problem as paths of other problems, one for each of the wrong answers that a seeded random choice takes.
    /// `solved_by` makes, of the prompt and an answer, the prompt of the problem that the answer solves, or refuses it.
    ///
    /// A step's Q becomes the mean reward of the paths through it, since the search backed up the rewards of the old problem. The value net's
    /// opinions and the sampled tokens belong to the old prompt and are left out.
    pub fn tell(
        &self,
        paths: &[LabelledSolution],
        solved_by: &dyn Fn(&str, &str) -> Option<String>,
        seed: u64,
    ) -> Vec<Vec<LabelledSolution>> {
        if self.is_off() {
            return Vec::new();
        }
        let wrong = paths.iter().filter(|path| !path.correct);
        let mut answers: Vec<(&str, &str)> = wrong
            .filter_map(|path| Some((path.answer.as_deref()?, path.prompt.as_str())))
            .filter(|(answer, _)| self.admits(answer))
            .collect();
        answers.sort_unstable();
        answers.dedup_by_key(|(answer, _)| *answer);
        shuffle(&mut answers, derive_seed(seed, STREAM));
        let nodes = Nodes::of(paths);
        let prompts = answers
            .iter()
            .filter_map(|(answer, prompt)| Some((*answer, solved_by(prompt, answer)?)));
        prompts
            .take(self.problems)
            .map(|(answer, prompt)| retold(paths, &nodes, answer, &prompt))
            .collect()
    }

    /// Whether nothing is told.
    pub(crate) fn is_off(&self) -> bool {
        self.problems == 0
    }

    fn admits(&self, answer: &str) -> bool {
        let Some([least, greatest]) = self.answers else { return true };
        answer.parse().is_ok_and(|answer: i64| (least..=greatest).contains(&answer))
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub fn validate(&self) -> Result<(), String> {
        match self.answers {
            Some([least, greatest]) if least > greatest => {
                Err(format!("hindsight.answers = [{least}, {greatest}] must be [least, greatest]"))
            }
            _ => Ok(()),
        }
    }
}

/// The paths as those of the problem that `answer` solves.
fn retold(
    paths: &[LabelledSolution],
    nodes: &Nodes,
    answer: &str,
    prompt: &str,
) -> Vec<LabelledSolution> {
    let of_path = |path: &LabelledSolution| {
        let correct = path.answer.as_deref() == Some(answer);
        let mut path = LabelledSolution {
            problem_id: format!("{}={answer}", path.problem_id),
            prompt: prompt.to_owned(),
            correct,
            reward: if correct { 1.0 } else { -1.0 },
            hindsight: true,
            ..path.clone()
        };
        for step in &mut path.steps {
            (step.value, step.sampled) = (None, None);
        }
        path
    };
    let mut retold: Vec<LabelledSolution> = paths.iter().map(of_path).collect();
    let add = |(sum, paths): &mut (f64, f64), reward: f64| {
        *sum += reward;
        *paths += 1.0;
    };
    nodes.fold(&mut retold, (0.0, 0.0), add, |(sum, paths)| sum / paths);
    retold
}

#[cfg(test)]
mod tests {
    use super::super::tests::{labels, path};
    use super::*;

    fn paths() -> Vec<LabelledSolution> {
        let answered = |steps: &[(&str, f64)], answer: &str| LabelledSolution {
            answer: Some(answer.to_owned()),
            ..path(steps, answer == "26")
        };
        vec![
            answered(&[("a", 0.1), ("b", 0.2)], "26"),
            answered(&[("a", 0.1), ("c", 0.3)], "12"),
            path(&[("a", 0.1), ("!", 0.4)], false),
            answered(&[("b", 0.5), ("c", 0.6)], "12"),
            answered(&[("c", 0.7)], "105"),
            answered(&[("d", 0.7)], "1/2"),
        ]
    }

    fn told(prompt: &str, answer: &str) -> Option<String> {
        Some(format!("{answer} of {prompt}"))
    }

    #[test]
    fn a_wrong_answer_is_told_as_a_right_one() {
        let recipe = HindsightRecipe { problems: 9, answers: Some([1, 100]) };
        let [other] = recipe.tell(&paths(), &told, 0).try_into().unwrap();
        assert_eq!(other.len(), 6);
        for path in &other {
            let right = path.answer.as_deref() == Some("12");
            assert_eq!((path.correct, path.reward), (right, if right { 1.0 } else { -1.0 }));
            assert_eq!((path.problem_id.as_str(), path.prompt.as_str()), ("p=12", "12 of q\n"));
            assert!(path.hindsight);
        }
        // One in three of the paths through "a" is right.
        let third = -1.0 / 3.0;
        let q: Vec<Vec<f64>> = other.iter().map(labels).collect();
        let expected: [&[f64]; 6] =
            [&[third, -1.0], &[third, 1.0], &[third, -1.0], &[1.0, 1.0], &[-1.0], &[-1.0]];
        assert!(
            q.iter().flatten().zip(expected.concat()).all(|(q, e)| (q - e).abs() < 1e-12),
            "{q:?}"
        );
    }

    #[test]
    fn the_choice_of_answers_is_bounded_follows_the_seed_and_passes_over_refusals() {
        let paths: Vec<LabelledSolution> = (0..40)
            .map(|answer: usize| LabelledSolution {
                answer: Some(answer.to_string()),
                ..path(&[(&format!("step {answer}"), 0.0)], answer == 7)
            })
            .collect();
        let even = |prompt: &str, answer: &str| {
            (answer.parse::<usize>().unwrap() % 2 == 0).then(|| told(prompt, answer))?
        };
        let chosen = |problems, seed| {
            let recipe = HindsightRecipe { problems, answers: None };
            let others = recipe.tell(&paths, &even, seed);
            others.iter().map(|other| other[0].problem_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(5, 1).len(), 5);
        assert_eq!(chosen(5, 1), chosen(5, 1));
        assert_ne!(chosen(5, 1), chosen(5, 2));
        let mut all = chosen(100, 1);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20);
        assert!(chosen(0, 1).is_empty());
        let recipe = HindsightRecipe { problems: 1, answers: None };
        assert!(recipe.tell(&[], &told, 0).is_empty());
    }

    #[test]
    fn bounds_the_wrong_way_round_are_refused() {
        let recipe = HindsightRecipe { problems: 1, answers: Some([3, 1]) };
        assert!(recipe.validate().unwrap_err().contains("hindsight.answers = [3, 1]"));
    }
}
