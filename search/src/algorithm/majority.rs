//! `maj@k`: self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer of k paths.

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::{Candidate, Outcome};
use super::samples::{Choice, SampledSolution, decode_by_choice};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::selection::first_best;

/// The most frequent answer of sampled paths.
///
/// The environment says which answers are the same ([`Environment::answer_groups`]). Ties go to the answer that was
/// reached first, by the order of the paths; the winning group is written as its first member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Majority {
    /// Paths, >= 1.
    pub k: usize,
}

impl Named for Majority {
    const FORM: Form = Form { name: "maj", separator: '@', sizes: &["K"], example: &[5] };

    fn read(sizes: &[usize]) -> Self {
        Self { k: sizes[0] }
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.k]
    }

    fn samples(&self) -> Option<usize> {
        Some(self.k)
    }
}

impl<E: Environment> Decode<E> for Majority {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        let outcome = decode_by_choice(self, call)?;
        Ok(Outcome { answer: outcome.answer.map(|answer| answer.trim().to_owned()), ..outcome })
    }

    fn choose(&self, environment: &E, samples: &[SampledSolution]) -> Option<Choice> {
        let finished = samples
            .iter()
            .enumerate()
            .filter_map(|(index, sample)| Some((sample.answer.as_deref()?.trim(), index)));
        let (answers, indices): (Vec<&str>, Vec<usize>) = finished.unzip();
        let groups = environment.answer_groups(&answers);
        let votes = |group: &usize| groups.iter().filter(|other| *other == group).count();
        let candidates = answers.iter().zip(&groups).map(|(answer, group)| Candidate {
            answer: (*answer).to_owned(),
            score: votes(group) as f64 / self.k as f64,
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let winner = first_best(candidates.iter().map(|candidate| candidate.score));
        Some(Choice { sample: winner.map(|winner| indices[winner]), candidates })
    }
}
