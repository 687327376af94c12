//! The `[policy]` section of kind `uniform`: every legal action with equal chance, every value 0.

use espalier_model::checkpoint::Source;
use espalier_search::{
    Action, Cancel, ConfigError, Evaluation, Evaluator, EvaluatorError, Proposal, Request,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::distribution::{Weighted, draw};
use super::error::PolicyError;
use super::kind::{Backend, Policy, PolicyKind, identity, refuse_checkpoint};
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;

/// The `uniform` policy has no settings. Steps are drawn independently, so that siblings may be equal, unless `[search]` asks for
/// `without_replacement` or merges them with `remove_duplicate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UniformRecipe {}

impl PolicyKind for UniformRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn load(
        &self,
        environment: &AnyEnvironment,
        _: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError> {
        refuse_checkpoint("uniform", checkpoint)?;
        let fingerprint = identity(&json!({ "policy": "uniform" }))?;
        let source = format!("the legal actions with equal chance ({fingerprint})");
        Ok(Policy::new(Uniform { environment: environment.clone() }, fingerprint, source))
    }

    fn untrainable(&self) -> Option<&'static str> {
        Some(
            "[policy] kind = \"uniform\" has no net to train. Use `espalier search`, `harvest`, `evaluate` and `solve`, or write \
             kind = \"local\" for a run",
        )
    }
}

struct Uniform {
    environment: AnyEnvironment,
}

impl Uniform {
    fn answer(&self, request: &Request) -> Result<Evaluation, EvaluatorError> {
        let proposals = if request.samples == 0 { Vec::new() } else { self.proposals(request)? };
        Ok(Evaluation { proposals, value: 0.0 })
    }

    fn proposals(&self, request: &Request) -> Result<Vec<Proposal>, EvaluatorError> {
        let context = &request.context;
        let state = self.environment.read_context(context);
        let actions = state.and_then(|state| self.environment.legal_actions(&state));
        let Some(actions) = actions else {
            return Err(EvaluatorError::Failed(format!(
                "[policy] kind = \"uniform\": the environment lists no legal actions for the context {context:?}"
            )));
        };
        if actions.is_empty() {
            // Whatever is written breaks the rules there.
            let nothing = Proposal {
                action: Action::default(),
                log_prob: 0.0,
                tokens: 1,
                truncated: false,
                sampled: None,
            };
            let alike = if request.without_replacement { 1 } else { request.samples };
            return Ok(vec![nothing; alike]);
        }
        let probability = 1.0 / actions.len() as f64;
        let steps: Vec<Weighted> =
            actions.into_iter().map(|action| (action.into(), probability)).collect();
        Ok(draw(&steps, request))
    }
}

impl Evaluator for Uniform {
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(|request| self.answer(request)).collect()
    }
}

impl Backend for Uniform {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::Countdown;

    #[test]
    fn without_replacement_all_legal_actions_come_once() {
        let request = |context: &str| Request {
            without_replacement: true,
            ..Request::steps(context.into(), 20, 1.0, 0)
        };
        let steps = |context| answer(request(context)).unwrap().proposals;
        let mut actions: Vec<_> =
            steps("6:2 3 4\n3*4=12|2 12\n").into_iter().map(|step| step.action).collect();
        actions.sort();
        assert_eq!(actions, ["12*2", "12+2", "12-2", "12/2", "2*12", "2+12"]);
        assert_eq!(steps("6:2 3\n2*3=6|6\n").len(), 1);
    }

    fn ask(context: &str, samples: usize) -> Result<Evaluation, EvaluatorError> {
        answer(Request::steps(context.into(), samples, 1.0, 3))
    }

    fn answer(request: Request) -> Result<Evaluation, EvaluatorError> {
        let environment = Countdown::default().into();
        let policy = UniformRecipe {}.load(&environment, &ComputeRecipe::default(), None).unwrap();
        policy.evaluator().evaluate(&[request], &Cancel::new()).remove(0)
    }

    #[test]
    fn every_legal_action_is_as_likely_as_the_others() {
        let evaluation = ask("6:2 3 4\n3*4=12|2 12\n", 600).unwrap();
        assert_eq!((evaluation.value, evaluation.proposals.len()), (0.0, 600));
        // 2+12 both ways, 2*12 both ways, 12-2, 12/2.
        let legal = ["2+12", "12+2", "2*12", "12*2", "12-2", "12/2"];
        for action in legal {
            let count = evaluation.proposals.iter().filter(|step| step.action == action).count();
            assert!((60..140).contains(&count), "{action}: {count}");
        }
        let step = &evaluation.proposals[0];
        assert!(legal.contains(&step.action.as_str()) && (step.prior() - 1.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_context_that_says_nothing_fails_by_name_unless_its_value_alone_is_asked() {
        let error = ask("Which word?\n", 1).unwrap_err().to_string();
        assert!(error.contains("uniform") && error.contains("Which word?"), "{error}");
        assert_eq!(ask("Which word?\n", 0).unwrap(), Evaluation { proposals: vec![], value: 0.0 });
    }

    #[test]
    fn where_nothing_is_legal_the_empty_step_is_proposed() {
        let evaluation = ask("6:2 3\n2*3=6|6\n", 2).unwrap();
        assert!(evaluation.proposals.iter().all(|step| step.action.is_empty()));
    }
}
