//! The one set of sampled solutions of a problem that majority, best-of-N and pass@k read.

use anyhow::{Context, Result};
use espalier_search::{
    Cancel, Cut, Decoding, Environment, Problem, SampledSolution, Sampling, choose,
    sample_solutions,
};
use serde::{Deserialize, Serialize};

use super::measure::{Needs, Subject};
use super::record::Decoded;
use crate::environment::AnyEnvironment;
use crate::seed;

/// The sampled solutions of a problem, a line of `evaluation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleSet {
    /// Names this form and its version.
    pub schema: String,
    /// The draw that it comes from.
    pub draw: Draw,
    /// The number of the repetition, from 0.
    pub seed: usize,
    /// [`Problem::id`].
    pub problem: String,
    /// [`Problem::question`].
    pub question: String,
    /// [`Problem::answer`].
    pub answer: String,
    /// As many as were drawn; none where the net cannot read the problem.
    pub samples: Vec<Sample>,
}

/// A sampled solution with its grade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Whether its answer is right.
    pub correct: bool,
    /// The solution.
    #[serde(flatten)]
    pub solution: SampledSolution,
}

/// How a set is drawn: sets of one draw are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// Names the seeds: the first decoding that reads the set, so that this one chooses from the samples that it would draw alone.
    pub stream: String,
    /// Samples, >= 1.
    pub count: usize,
    /// Whether finished solutions are valued at their end.
    pub values: bool,
}

impl Draw {
    /// The one draw that serves every need; `None` where no samples are needed.
    #[must_use]
    pub fn for_needs(needs: &Needs) -> Option<Self> {
        let readers = || needs.decodings.iter().filter(|decoding| decoding.samples().is_some());
        let most = readers().filter_map(|decoding| decoding.samples()).max().unwrap_or(0);
        let count = most.max(needs.samples);
        let stream = readers().next().map_or_else(|| "samples".to_owned(), Decoding::to_string);
        let values = readers().any(|decoding| decoding.reads_values());
        (count > 0).then_some(Self { stream, count, values })
    }

    /// Whether its samples can be read instead of another's.
    #[must_use]
    pub fn serves(&self, other: &Self) -> bool {
        self.count >= other.count && (self.values || !other.values)
    }

    /// Samples solutions of a problem and grades them.
    ///
    /// # Errors
    /// When the problem cannot be posed, or the net fails.
    pub fn sample(
        &self,
        subject: &Subject<'_>,
        (seed, problem): (usize, &Problem),
        cancel: &Cancel,
    ) -> Result<SampleSet> {
        let Subject { environment, evaluator, .. } = *subject;
        let path = ["decode", &self.stream, &seed.to_string(), &problem.id];
        let sampling = Sampling {
            count: self.count,
            values: self.values,
            config: &subject.recipe.decode,
            seed: seed::derive(subject.seed, &path),
        };
        let solutions = sample_solutions(environment, evaluator, problem, sampling, cancel)
            .with_context(|| format!("problem {}, samples", problem.id))?;
        let graded = |solution: SampledSolution| Sample {
            correct: solution
                .answer
                .as_ref()
                .is_some_and(|answer| environment.is_correct(environment.reward(problem, answer))),
            solution,
        };
        Ok(SampleSet {
            schema: "espalier.samples/1".into(),
            draw: self.clone(),
            seed,
            problem: problem.id.clone(),
            question: problem.question.clone(),
            answer: problem.answer.clone(),
            samples: solutions.into_iter().map(graded).collect(),
        })
    }
}

impl SampleSet {
    /// The choice of a decoding from the first of the samples, at the cost of those alone; `None` where it does not choose from
    /// samples.
    pub fn decoded(&self, environment: &AnyEnvironment, decoding: Decoding) -> Option<Decoded> {
        let prefix = &self.samples[..decoding.samples()?.min(self.samples.len())];
        let solutions: Vec<SampledSolution> =
            prefix.iter().map(|sample| sample.solution.clone()).collect();
        let choice = choose(decoding, environment, &solutions)?;
        let chosen = choice.sample.map(|sample| &prefix[sample]);
        let answer = chosen.and_then(|chosen| chosen.solution.answer.as_deref());
        let correct = chosen.is_some_and(|chosen| chosen.correct);
        let problem = || Problem {
            id: self.problem.clone(),
            question: self.question.clone(),
            answer: self.answer.clone(),
            metadata: serde_json::Map::new(),
        };
        Some(Decoded {
            decoding: decoding.to_string(),
            seed: self.seed,
            problem: self.problem.clone(),
            question: self.question.clone(),
            steps_truncated: prefix.iter().map(|sample| sample.solution.steps_truncated).sum(),
            cut: match answer {
                None if prefix.is_empty() => Some(Cut::ContextTooLong),
                None => prefix.iter().filter_map(|sample| sample.solution.cut).min(),
                Some(answer) if !correct && environment.is_undecided(&problem(), answer) => {
                    Some(Cut::UndecidedAnswer)
                }
                Some(_) => None,
            },
            answer: answer.map(|answer| answer.trim().to_owned()),
            correct,
            tokens: prefix.iter().map(|sample| sample.solution.tokens).sum(),
            simulations: 0,
            sample: choice.sample,
            solution: Vec::new(),
        })
    }
}
