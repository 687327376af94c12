//! The value net as a verifier of solutions that are already written: of their steps ([`process`]) and of whole samples of a problem
//! ([`votes`]).

pub mod formats;
mod kept;
pub mod process;
mod template;
pub mod votes;

pub use kept::Kept;
pub use template::{Template, TemplateError};

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use espalier_search::{Cancel, Evaluator, EvaluatorError, Request};

use self::kept::Group;
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
/// with is still there when the next one of its group comes. What `kept` holds already is not read again.
///
/// # Errors
/// When the evaluator fails, or gives what is no value, or values that are kept are of another net or other texts.
pub fn read_values(
    evaluator: &dyn Evaluator,
    groups: &[Vec<Arc<str>>],
    what: &str,
    kept: Option<&Kept<'_>>,
) -> Result<Values> {
    /// Enough to keep every core at work to the end of a batch.
    const GROUPS: usize = 64;
    let (log, mut read) = match kept {
        Some(kept) => {
            let (log, read) = kept.open(groups)?;
            (Some(log), read)
        }
        None => (None, Vec::new()),
    };
    let progress = Progress::new(what, groups.len(), read.len());
    for batch in groups[read.len()..].chunks(GROUPS) {
        let requests: Vec<Request> = batch.iter().flatten().cloned().map(Request::value).collect();
        let mut answers = evaluator.evaluate(&requests, &Cancel::new()).into_iter();
        let before = read.len();
        for group in batch {
            let mut values = Vec::with_capacity(group.len());
            for _ in group {
                let answer = answers.next().context("the evaluator gave too few answers")?;
                values.push(match answer {
                    Ok(evaluation) if evaluation.value.is_finite() => Some(evaluation.value),
                    Ok(evaluation) => bail!("the evaluator gave {} as a value", evaluation.value),
                    Err(EvaluatorError::ContextTooLong { .. }) => None,
                    Err(error) => return Err(error.into()),
                });
            }
            read.push(values);
            progress.advance(String::new);
        }
        if let Some(log) = &log {
            log.append(&read[before..])?;
        }
    }
    let too_long = read.iter().flatten().filter(|value| value.is_none()).count();
    let numbers = |group: Group| group.into_iter().map(|value| value.unwrap_or(-1.0)).collect();
    let values: Vec<Vec<f64>> = read.into_iter().map(numbers).collect();
    let mut all = values.iter().flatten();
    if let Some(first) = all.next()
        && values.iter().map(Vec::len).sum::<usize>() > 1
        && all.all(|value| value == first)
    {
        tracing::warn!(
            "every value is {first}: a value head that was never trained tells nothing apart"
        );
    }
    Ok(Values { values, too_long })
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_search::Evaluation;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        let read = read_values(&Broken(usize::MAX, 0.5), &groups, "test", None).unwrap();
        assert!(read.values.iter().enumerate().all(|(n, values)| *values == vec![0.5; n % 3]));
        let error = read_values(&Broken(usize::MAX, f64::NAN), &groups, "test", None).unwrap_err();
        assert!(error.to_string().contains("gave NaN as a value"), "{error}");
        let error = read_values(&Broken(1, 0.5), &groups, "test", None).unwrap_err();
        assert!(error.to_string().contains("too few answers"), "{error}");
    }

    /// Values a text by its length, reads none longer than five bytes, and fails at the text that is so many after the first.
    struct Failing {
        asked: AtomicUsize,
        at: usize,
    }

    impl Evaluator for Failing {
        fn evaluate(
            &self,
            requests: &[Request],
            _: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            let answer = |request: &Request| {
                if self.asked.fetch_add(1, Ordering::Relaxed) == self.at {
                    return Err(EvaluatorError::Failed("out of order".to_owned()));
                }
                match request.context.len() {
                    length @ 0..=5 => {
                        Ok(Evaluation { proposals: vec![], value: length as f64 / 7.0 })
                    }
                    tokens => Err(EvaluatorError::ContextTooLong { tokens, limit: 5 }),
                }
            };
            requests.iter().map(answer).collect()
        }
    }

    #[test]
    fn what_was_read_before_a_failure_is_kept_for_the_same_net_and_texts() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.jsonl");
        let groups: Vec<Vec<Arc<str>>> =
            (0..150).map(|n| vec!["a".repeat(n % 7).into(), "b".repeat(n % 3).into()]).collect();
        let read = |at, groups: &[_], net| {
            let evaluator = Failing { asked: AtomicUsize::new(0), at };
            let values = read_values(&evaluator, groups, "test", Some(&Kept::new(&out, net)));
            (values.map_err(|error| error.to_string()), evaluator.asked.into_inner())
        };
        // Two whole batches of 64 groups come through.
        let error = read(2 * 130, &groups, "net").0.unwrap_err();
        assert!(error.contains("out of order"), "{error}");
        let error = read(usize::MAX, &groups, "another net").0.unwrap_err();
        assert!(error.contains("other settings, problems, seed or checkpoint"), "{error}");
        assert!(read(usize::MAX, &groups[1..], "net").0.is_err());
        let (resumed, asked) = read(usize::MAX, &groups, "net");
        assert_eq!(asked, 2 * (150 - 128));
        let whole = Failing { asked: AtomicUsize::new(0), at: usize::MAX };
        let whole = read_values(&whole, &groups, "test", None).unwrap();
        assert_eq!((resumed.unwrap(), whole.too_long), (whole, 21));
        Kept::new(&out, "net").write([1]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
