//! `sbs:B1xB2`: step-level beam search (AlphaMath, arXiv 2405.03553, algorithm 2).

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::Outcome;
use crate::beam::{BeamConfig, beam_search};
use crate::environment::Environment;
use crate::error::SearchError;

/// Step-level beam search; the finished solution of highest value answers, and ties go to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepBeam {
    /// Partial solutions kept (B1), >= 1.
    pub beams: usize,
    /// Steps sampled from each (B2), >= 1.
    pub samples: usize,
}

impl Named for StepBeam {
    const FORM: Form = Form { name: "sbs", separator: ':', sizes: &["B1", "B2"], example: &[3, 5] };

    fn read(sizes: &[usize]) -> Self {
        Self { beams: sizes[0], samples: sizes[1] }
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.beams, self.samples]
    }
}

impl<E: Environment> Decode<E> for StepBeam {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        let mut growth = call.growth()?;
        let config = BeamConfig {
            beams: self.beams,
            samples: self.samples,
            temperature: call.config.tree.temperature,
            without_replacement: call.config.tree.without_replacement,
            max_depth: call.config.tree.max_depth,
            remove_duplicate: call.config.remove_duplicate,
            keep_tokens: false,
        };
        let found = beam_search(&mut growth, &config)?;
        let outcome = Outcome::best(&growth, &found.answers);
        Ok(if found.is_exhausted { outcome } else { outcome.out_of_steps() })
    }
}
