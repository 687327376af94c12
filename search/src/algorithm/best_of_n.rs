//! `bon@n`: of n sampled paths the one whose final state the value net rates highest.

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::{Candidate, Outcome};
use super::samples::{Choice, SampledSolution, decode_by_choice};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::selection::first_best;

/// The answer of the path, of those sampled, whose final state the value net rates highest.
///
/// Final states are valued in one batch. One that the model cannot read counts as -1. Ties go to
/// the first path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BestOfN {
    /// Paths, >= 1.
    pub n: usize,
}

impl Named for BestOfN {
    const FORM: Form = Form { name: "bon", separator: '@', sizes: &["K"], example: &[5] };

    fn read(sizes: &[usize]) -> Self {
        Self { n: sizes[0] }
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.n]
    }

    fn samples(&self) -> Option<usize> {
        Some(self.n)
    }

    fn reads_values(&self) -> bool {
        true
    }
}

impl<E: Environment> Decode<E> for BestOfN {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        decode_by_choice(self, call)
    }

    fn choose(&self, _: &E, samples: &[SampledSolution]) -> Option<Choice> {
        let finished = samples.iter().enumerate().filter_map(|(index, sample)| {
            let (answer, score) = (sample.answer.clone()?, sample.value.unwrap_or(-1.0));
            Some((index, Candidate { answer, score }))
        });
        let (indices, candidates): (Vec<usize>, Vec<Candidate>) = finished.unzip();
        let winner = first_best(candidates.iter().map(|candidate| candidate.score));
        Some(Choice { sample: winner.map(|winner| indices[winner]), candidates })
    }
}
