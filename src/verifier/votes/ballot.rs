//! The ways to choose, and what each of them gets right.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Sampled;
use crate::grading::{Written, groups};
use crate::report::{Proportion, proportion};

/// What a score counts for in a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Weight {
    /// The score itself, which must not be negative: a probability.
    Score,
    /// 1 / (1 + exp(-score)): a reward model's logit.
    Sigmoid,
    /// (1 + score) / 2: a value in [-1, 1].
    Value,
}

impl Weight {
    fn of(self, score: f64) -> f64 {
        match self {
            Self::Score => score,
            Self::Sigmoid => 1.0 / (1.0 + (-score).exp()),
            Self::Value => f64::midpoint(1.0, score),
        }
    }
}

/// A way to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// No choice: the mean over the samples.
    Sample,
    /// The answer that most samples have.
    Majority,
    /// The answer of the sample with the best score.
    BestOfN,
    /// The answer whose samples have the largest sum of weights.
    WeightedVote,
    /// Right if any sample is: what no choice can pass.
    Any,
}

impl Method {
    /// For a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Majority => "majority",
            Self::BestOfN => "best of n",
            Self::WeightedVote => "weighted vote",
            Self::Any => "any",
        }
    }
}

/// A way to choose, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// The way.
    pub method: Method,
    /// Samples a problem that it chose from; absent when that differs by problem.
    pub samples: Option<usize>,
    /// Share of right answers.
    pub accuracy: Proportion,
}

/// What is known of a problem's samples, ready to be voted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// The group of each sample's answer, numbered in the order of their first members.
    groups: Vec<usize>,
    /// Whether each sample has an answer: one without has no vote.
    answered: Vec<bool>,
    /// Whether each sample is right.
    right: Vec<bool>,
    scores: Option<Vec<f64>>,
}

impl Ballot {
    /// Groups and grades the answers of a problem.
    ///
    /// # Errors
    /// When some of the samples have a score and others have none.
    pub fn new(problem: &Sampled) -> Result<Self> {
        let Sampled { place, answer, samples, .. } = problem;
        let answers: Vec<&str> = samples.iter().map(|sample| sample.answer.trim()).collect();
        let gold = Written::new(answer);
        let scores: Vec<f64> = samples.iter().filter_map(|sample| sample.score).collect();
        ensure!(
            scores.is_empty() || scores.len() == samples.len(),
            "{place}: {} of {} samples have a score",
            scores.len(),
            samples.len()
        );
        Ok(Self {
            groups: groups(&answers),
            answered: answers.iter().map(|answer| !answer.is_empty()).collect(),
            right: answers.iter().map(|answer| gold.same(&Written::new(answer))).collect(),
            scores: Some(scores).filter(|scores| !scores.is_empty()),
        })
    }

    /// Whether each sample is right.
    #[must_use]
    pub fn right(&self) -> &[bool] {
        &self.right
    }

    /// Whether the samples have scores.
    #[must_use]
    pub fn has_scores(&self) -> bool {
        self.scores.is_some()
    }

    /// The probability in [0, 1] that the choice from the first `k` samples is right. `None` where scores are needed and absent.
    fn chosen(&self, method: Method, k: usize, weight: Weight) -> Option<f64> {
        let k = k.min(self.right.len());
        let is_right =
            |sample: Option<usize>| f64::from(u8::from(sample.is_some_and(|at| self.right[at])));
        match method {
            Method::Sample => {
                Some(self.right[..k].iter().filter(|right| **right).count() as f64 / k as f64)
            }
            Method::Any => Some(f64::from(u8::from(self.right[..k].contains(&true)))),
            Method::Majority => Some(is_right(self.vote(k, |_| 1.0))),
            Method::WeightedVote => {
                let scores = self.scores.as_ref()?;
                Some(is_right(self.vote(k, |sample| weight.of(scores[sample]))))
            }
            Method::BestOfN => {
                let scores = self.scores.as_ref()?;
                Some(is_right(first_best((0..k).filter(|&at| self.answered[at]), |at| scores[at])))
            }
        }
    }

    /// The first sample of the group with the largest sum of weights; of equal sums, of the group that comes first.
    fn vote(&self, k: usize, weight: impl Fn(usize) -> f64) -> Option<usize> {
        let mut sums = vec![0.0; k];
        for sample in (0..k).filter(|&sample| self.answered[sample]) {
            sums[self.groups[sample]] += weight(sample);
        }
        let firsts = (0..k).filter(|&sample| {
            self.answered[sample] && !self.groups[..sample].contains(&self.groups[sample])
        });
        first_best(firsts, |sample| sums[self.groups[sample]])
    }
}

/// The first of those with the largest number.
fn first_best(
    samples: impl Iterator<Item = usize>,
    number: impl Fn(usize) -> f64,
) -> Option<usize> {
    samples.reduce(|best, sample| if number(sample) > number(best) { sample } else { best })
}

/// Measures every way to choose from the first `k` samples of each problem, or from all. Ways that need scores are left out where there
/// are none.
///
/// # Errors
/// When there are no problems, one has fewer samples, only some have scores, or a weight would be negative.
pub fn measure(ballots: &[Ballot], k: Option<usize>, weight: Weight) -> Result<Vec<Accuracy>> {
    ensure!(!ballots.is_empty(), "there are no problems");
    let least = ballots.iter().map(|ballot| ballot.right.len()).min().unwrap_or_default();
    let most = ballots.iter().map(|ballot| ballot.right.len()).max().unwrap_or_default();
    if let Some(k) = k {
        ensure!(
            (1..=least).contains(&k),
            "a problem has {least} samples, so that {k} cannot be chosen from"
        );
    }
    let scored = ballots.iter().filter(|ballot| ballot.has_scores()).count();
    ensure!(
        scored == 0 || scored == ballots.len(),
        "{scored} of {} problems have scores",
        ballots.len()
    );
    let scores = ballots.iter().flat_map(|ballot| ballot.scores.iter().flatten());
    if let Some(score) = scores.copied().find(|score| weight.of(*score) < 0.0) {
        bail!("the score {score} would be a negative weight: choose another --weight");
    }
    let samples = k.or((least == most).then_some(least));
    let methods =
        [Method::Sample, Method::Majority, Method::BestOfN, Method::WeightedVote, Method::Any];
    let accuracy = |method: Method| {
        let chosen = |ballot: &Ballot| ballot.chosen(method, k.unwrap_or(most), weight);
        let run = ballots.iter().map(chosen).collect::<Option<Vec<f64>>>()?;
        Some(Accuracy { method, samples, accuracy: proportion(&[run]) })
    };
    Ok(methods.into_iter().filter_map(accuracy).collect())
}

/// How many samples are graded as the file itself grades them, and how many it grades; `None` where it grades none.
#[must_use]
pub fn agreement(problems: &[Sampled], ballots: &[Ballot]) -> Option<[usize; 2]> {
    let mut counts = [0, 0];
    for (problem, ballot) in problems.iter().zip(ballots) {
        for (sample, right) in problem.samples.iter().zip(ballot.right()) {
            if let Some(correct) = sample.correct {
                counts[0] += usize::from(correct == *right);
                counts[1] += 1;
            }
        }
    }
    Some(counts).filter(|counts| counts[1] > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::formats::SamplesFormat;

    fn read_text(text: &str) -> Vec<Sampled> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        SamplesFormat::Samples.read(&path, None).unwrap()
    }

    fn ballots(rows: &[&str]) -> Vec<Ballot> {
        let problems = read_text(&rows.join("\n"));
        problems.iter().map(|problem| Ballot::new(problem).unwrap()).collect()
    }

    fn means(ballots: &[Ballot], k: Option<usize>, weight: Weight) -> Vec<(Method, f64)> {
        let accuracies = measure(ballots, k, weight).unwrap();
        accuracies.into_iter().map(|row| (row.method, row.accuracy.mean)).collect()
    }

    /// Majority is right in the first (1/2 = 0.5), best-of-N in the second, the weighted vote in both; the third has no right sample.
    const ROWS: [&str; 3] = [
        r#"{"question": "q", "answer": "1/2", "samples": [
            {"answer": "3", "score": 0.9}, {"answer": "0.5", "score": 0.5}, {"text": "So \\boxed{\\frac12}", "score": 0.6}, {"answer": "", "score": 1.0}]}"#,
        r#"{"question": "q", "answer": 7, "samples": [
            {"answer": "8", "score": 0.1}, {"answer": "8.0", "score": 0.2}, {"answer": 7, "score": 0.8}, {"answer": null, "score": 0.3}]}"#,
        r#"{"question": "q", "answer": "9", "samples": [
            {"answer": "1", "score": 0}, {"answer": "2", "score": 0}, {"answer": "3", "score": 0}, {"answer": "4", "score": 0}]}"#,
    ];

    fn rows() -> Vec<String> {
        ROWS.iter().map(|row| row.replace('\n', "")).collect()
    }

    #[test]
    fn each_way_by_hand() {
        let rows = rows();
        let ballots = ballots(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        let third = 1.0 / 3.0;
        let expected = [
            (Method::Sample, (0.5 + 0.25) / 3.0),
            (Method::Majority, third),
            (Method::BestOfN, third),
            (Method::WeightedVote, 2.0 * third),
            (Method::Any, 2.0 * third),
        ];
        for ((method, mean), (expected, value)) in
            means(&ballots, None, Weight::Score).into_iter().zip(expected)
        {
            assert!(method == expected && (mean - value).abs() < 1e-12, "{method:?} {mean}");
        }
        // The first two samples of each: 3 before 0.5, and twice 8.
        let two = means(&ballots, Some(2), Weight::Score);
        assert_eq!(two[1], (Method::Majority, 0.0));
        assert_eq!(two[4], (Method::Any, third));
        let error = measure(&ballots, Some(5), Weight::Score).unwrap_err().to_string();
        assert!(error.contains("has 4 samples"), "{error}");
    }

    #[test]
    fn without_scores_there_is_no_choice_by_score() {
        let bare =
            r#"{"question": "q", "answer": "1", "samples": [{"answer": "1"}, {"answer": "2"}]}"#;
        let methods: Vec<Method> =
            means(&ballots(&[bare]), None, Weight::Score).into_iter().map(|row| row.0).collect();
        assert_eq!(methods, [Method::Sample, Method::Majority, Method::Any]);
        let some = bare.replacen("\"1\"}", "\"1\", \"score\": 1}", 1);
        let problems = read_text(&some);
        assert!(Ballot::new(&problems[0]).unwrap_err().to_string().contains("1 of 2 samples"));
        let rows = rows();
        let mixed = measure(&ballots(&[bare, &rows[1]]), None, Weight::Score).unwrap_err();
        assert!(mixed.to_string().contains("1 of 2 problems have scores"));
    }

    #[test]
    fn negative_scores_need_a_weight() {
        let row = r#"{"question": "q", "answer": "1", "samples": [{"answer": "1", "score": -2}, {"answer": "2", "score": -3}]}"#;
        let ballots = ballots(&[row]);
        let error = measure(&ballots, None, Weight::Score).unwrap_err().to_string();
        assert!(error.contains("-2") && error.contains("--weight"), "{error}");
        assert_eq!(means(&ballots, None, Weight::Sigmoid)[3], (Method::WeightedVote, 1.0));
        assert_eq!(
            (Weight::Value.of(-1.0), Weight::Value.of(0.5), Weight::Sigmoid.of(0.0)),
            (0.0, 0.75, 0.5)
        );
    }
}
