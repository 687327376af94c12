//! `greedy`: one path, the most likely token each time.

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::{Candidate, Outcome};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::paths::sample_paths;

/// One path at temperature 0; the value net is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Greedy;

impl Named for Greedy {
    const FORM: Form = Form { name: "greedy", separator: ' ', sizes: &[], example: &[] };

    fn read(_: &[usize]) -> Self {
        Self
    }

    fn sizes(&self) -> Vec<usize> {
        Vec::new()
    }
}

impl<E: Environment> Decode<E> for Greedy {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        let mut growth = call.growth()?;
        let paths = sample_paths(&mut growth, 1, 0.0, call.config.tree.max_depth)?;
        let Some(path) = paths.first().copied() else {
            return Ok(Outcome::of(&growth));
        };
        growth.cut_open(&paths);
        let answer = growth.node(path).answer().map(str::to_owned);
        let candidate = |answer: &String| Candidate { answer: answer.clone(), score: 1.0 };
        Ok(Outcome {
            candidates: answer.iter().map(candidate).collect(),
            answer,
            solution: growth.solution(path),
            ..Outcome::of(&growth)
        })
    }
}
