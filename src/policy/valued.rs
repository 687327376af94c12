//! A local net that writes the steps, with values that come from elsewhere.

use espalier_inference::Meter;
use espalier_search::{Cancel, Evaluation, Evaluator, EvaluatorError, Request};
use espalier_training::LocalEvaluator;

use super::kind::Backend;
use super::value::ValueSource;

/// Steps of one net, values of another source.
pub(super) struct Valued {
    pub policy: LocalEvaluator,
    pub values: ValueSource,
}

impl Evaluator for Valued {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let writing: Vec<Request> =
            requests.iter().filter(|request| request.samples > 0).cloned().collect();
        let mut written = self.policy.evaluate(&writing, cancel).into_iter();
        let contexts: Vec<&str> = requests.iter().map(|request| &*request.context).collect();
        let values = self.values.values(&contexts, cancel);
        let missing = || Err(EvaluatorError::Failed("the policy did not answer".to_owned()));
        let answer = |(request, value): (&Request, Result<f64, EvaluatorError>)| {
            let proposals = match request.samples {
                0 => Vec::new(),
                _ => written.next().unwrap_or_else(missing)?.proposals,
            };
            Ok(Evaluation { proposals, value: value? })
        };
        requests.iter().zip(values).map(answer).collect()
    }

    fn tokens_read(&self) -> Option<u64> {
        Some(self.policy.tokens_read()? + self.values.tokens_read()?)
    }
}

impl Backend for Valued {
    fn meter(&self) -> Option<Meter> {
        Some(self.policy.meter())
    }
}
