//! The value net as a verifier of solutions that are already written: of their steps ([`process`]) and of whole samples of a problem
//! ([`votes`]).

pub mod process;
mod template;
pub mod votes;

pub use template::{Template, TemplateError};

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use espalier_search::{Cancel, Evaluator, EvaluatorError, Request};

use crate::progress::Progress;

/// Values of many texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// In the order of the contexts, group by group; in [-1, 1].
    pub values: Vec<Vec<f64>>,
    /// Contexts that are longer than the net can read: they count as -1, as in best-of-N.
    pub too_long: usize,
}

/// Reads the value of every context as the search does, at its last token. Groups are read in their order: what a context begins
/// with is still there when the next one of its group comes.
///
/// # Errors
/// When the evaluator fails, or gives what is no value.
pub fn read_values(
    evaluator: &dyn Evaluator,
    groups: &[Vec<Arc<str>>],
    what: &str,
) -> Result<Values> {
    /// Enough to keep every core at work to the end of a batch.
    const GROUPS: usize = 64;
    let progress = Progress::new(what, groups.len(), 0);
    let mut read = Values::default();
    for batch in groups.chunks(GROUPS) {
        let requests: Vec<Request> = batch.iter().flatten().cloned().map(Request::value).collect();
        let mut answers = evaluator.evaluate(&requests, &Cancel::new()).into_iter();
        for group in batch {
            let mut values = Vec::with_capacity(group.len());
            for _ in group {
                let answer = answers.next().context("the evaluator gave too few answers")?;
                values.push(match answer {
                    Ok(evaluation) if evaluation.value.is_finite() => evaluation.value,
                    Ok(evaluation) => bail!("the evaluator gave {} as a value", evaluation.value),
                    Err(EvaluatorError::ContextTooLong { .. }) => {
                        read.too_long += 1;
                        -1.0
                    }
                    Err(error) => return Err(error.into()),
                });
            }
            read.values.push(values);
            progress.advance(String::new);
        }
    }
    let mut all = read.values.iter().flatten();
    if let Some(first) = all.next()
        && read.values.iter().map(Vec::len).sum::<usize>() > 1
        && all.all(|value| value == first)
    {
        tracing::warn!(
            "every value is {first}: a value head that was never trained tells nothing apart"
        );
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_search::Evaluation;

    /// Answers at most so many requests, each with this value.
    struct Broken(usize, f64);

    impl Evaluator for Broken {
        fn evaluate(
            &self,
            requests: &[Request],
            _: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            let answer = |_: &Request| Ok(Evaluation { proposals: vec![], value: self.1 });
            requests.iter().take(self.0).map(answer).collect()
        }
    }

    #[test]
    fn many_groups_keep_their_values_and_what_is_no_value_is_refused() {
        let groups: Vec<Vec<Arc<str>>> = (0..150).map(|n| vec!["a".into(); n % 3]).collect();
        let read = read_values(&Broken(usize::MAX, 0.5), &groups, "test").unwrap();
        assert!(read.values.iter().enumerate().all(|(n, values)| *values == vec![0.5; n % 3]));
        let error = read_values(&Broken(usize::MAX, f64::NAN), &groups, "test").unwrap_err();
        assert!(error.to_string().contains("gave NaN as a value"), "{error}");
        let error = read_values(&Broken(1, 0.5), &groups, "test").unwrap_err();
        assert!(error.to_string().contains("too few answers"), "{error}");
    }
}
