//! Who proposes steps and values states: the net of a checkpoint, or an OpenAI-compatible server. Either is an
//! [`Evaluator`]; the search does not know which.
//!
//! A served policy is for models that another program runs better than this one (vLLM or SGLang on GPUs, llama.cpp). Its values come from
//! a reward model behind vLLM's pooling endpoint, from a local value net, or from nowhere.

mod backoff;
mod completions;
mod config;
mod context_limit;
mod error;
mod gate;
mod http;
mod pooling;
mod value;
mod wire;

pub use completions::CompletionsEvaluator;
pub use config::{
    CompletionsRecipe, HttpConfig, LocalRecipe, NoValueRecipe, PolicyRecipe, PoolingRecipe,
    PoolingTask, ValueCheckpointRecipe, ValueMapping, ValueRecipe,
};
pub use error::PolicyError;
pub use pooling::RewardModel;
pub use value::ValueSource;

use std::path::Path;

use espalier_search::Evaluator;
use espalier_training::{InferenceStats, LocalEvaluator};
use serde_json::json;

use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::jsonl;

/// A loaded policy.
pub struct Policy {
    backend: Backend,
    fingerprint: String,
    source: String,
}

enum Backend {
    Net(Box<LocalEvaluator>),
    Server(Box<CompletionsEvaluator>),
}

impl Policy {
    /// What searches ask.
    #[must_use]
    pub fn evaluator(&self) -> &dyn Evaluator {
        match &self.backend {
            Backend::Net(net) => &**net,
            Backend::Server(server) => &**server,
        }
    }

    /// What a local net did so far.
    #[must_use]
    pub fn inference(&self) -> Option<InferenceStats> {
        match &self.backend {
            Backend::Net(net) => Some(net.stats()),
            Backend::Server(_) => None,
        }
    }

    /// Names what the answers depend on: a checkpoint's content; or address, model, settings and value source of a server. Results
    /// of one fingerprint may be mixed.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where it comes from, for a person: the checkpoint's whole path, or the server's model and address with the fingerprint.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Loads the policy of a recipe for an environment's steps. `checkpoint` is the local policy's net, or the value net of a served one.
///
/// # Errors
/// When recipe and `checkpoint` do not fit together, the folder holds no valid checkpoint, or an API key is not there.
pub fn load(
    environment: &AnyEnvironment,
    recipe: &PolicyRecipe,
    compute: &ComputeRecipe,
    checkpoint: Option<&Path>,
) -> Result<Policy, PolicyError> {
    match (recipe, checkpoint) {
        (PolicyRecipe::Local(local), Some(path)) => {
            let net = value::load_net(path, local.inference(compute, environment.stops()))?;
            let mut fingerprint = net.fingerprint().to_owned();
            if *local != LocalRecipe::default() {
                let settings = json!({ "net": fingerprint, "settings": local });
                fingerprint = identity(&settings)?;
            }
            let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let source = whole.display().to_string();
            Ok(Policy { backend: Backend::Net(Box::new(net)), fingerprint, source })
        }
        (PolicyRecipe::Local(_), None) => {
            let message = "--checkpoint DIR is needed: the recipe's policy is a local net (a served one has [policy] kind = \"completions\")";
            Err(PolicyError::Usage(message.to_owned()))
        }
        (PolicyRecipe::Completions(recipe), _) => serve(environment, recipe, compute, checkpoint),
    }
}

fn identity(settings: &serde_json::Value) -> Result<String, PolicyError> {
    jsonl::identity(settings).map_err(|error| PolicyError::Settings(error.to_string()))
}

fn serve(
    environment: &AnyEnvironment,
    recipe: &CompletionsRecipe,
    compute: &ComputeRecipe,
    checkpoint: Option<&Path>,
) -> Result<Policy, PolicyError> {
    let usage = |message: &str| Err(PolicyError::Usage(message.to_owned()));
    let (value, values) = match (&recipe.value, checkpoint) {
        (ValueRecipe::Checkpoint(ValueCheckpointRecipe { path }), _) => {
            let Some(path) = checkpoint.or(path.as_deref()) else {
                return usage(
                    "[policy] value.kind = \"checkpoint\" needs value.path or --checkpoint DIR",
                );
            };
            let config = LocalRecipe::default().inference(compute, environment.stops());
            let net = value::load_net(path, config)?;
            let values = json!({ "checkpoint": net.fingerprint() });
            (ValueSource::Net(Box::new(net)), values)
        }
        (_, Some(_)) => {
            return usage(
                "--checkpoint: the recipe's policy is served; a local net can value its states with [policy] value.kind = \"checkpoint\"",
            );
        }
        (ValueRecipe::None(_), None) => (ValueSource::Zero, json!(null)),
        (ValueRecipe::Pooling(pooling), None) => {
            let PoolingRecipe { url, model, task, mapping, suffix, http: _ } = &**pooling;
            let values = json!({ "url": url, "model": model, "task": task, "mapping": mapping, "suffix": suffix });
            (ValueSource::pooling(pooling)?, values)
        }
    };
    let stop = environment.stops();
    let CompletionsRecipe {
        url,
        model,
        preamble,
        max_tokens,
        stop: own_stop,
        top_p,
        top_k,
        min_p,
        samples_per_request,
        value: _,
        http: _,
    } = recipe;
    let settings = json!({
        "url": url,
        "model": model,
        "preamble": preamble,
        "max_tokens": max_tokens,
        "stop": if own_stop.is_empty() { &stop } else { own_stop },
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "samples_per_request": samples_per_request,
        "values": values,
    });
    let fingerprint = identity(&settings)?;
    let source = format!("{model} at {url} ({fingerprint})");
    let server = Box::new(CompletionsEvaluator::new(recipe, &stop, value)?);
    Ok(Policy { backend: Backend::Server(server), fingerprint, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};
    use crate::environment::{EnvironmentKind, Split};
    use crate::recipe;
    use espalier_search::{Environment, Terminal};

    fn example() -> recipe::Recipe {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/countdown-completions.toml");
        recipe::load(Some(&path), &[]).unwrap()
    }

    fn served(change: impl Fn(&mut CompletionsRecipe)) -> Policy {
        let PolicyRecipe::Completions(mut recipe) = example().policy else {
            panic!("another kind");
        };
        change(&mut recipe);
        let compute = ComputeRecipe::default();
        let environment = Countdown::default().into();
        load(&environment, &PolicyRecipe::Completions(recipe), &compute, None).unwrap()
    }

    #[test]
    fn a_fingerprint_covers_what_comes_out_and_nothing_else() {
        let pooling = PoolingRecipe { model: "rm".into(), ..PoolingRecipe::default() };
        let identity = PoolingRecipe { mapping: ValueMapping::Identity, ..pooling.clone() };
        let policies = [
            served(|_| {}),
            served(|recipe| recipe.url = "http://127.0.0.1:8002/v1/completions".into()),
            served(|recipe| recipe.model = "another".into()),
            served(|recipe| recipe.preamble.clear()),
            served(|recipe| recipe.max_tokens += 1),
            served(|recipe| recipe.stop = vec!["\n".into()]),
            served(|recipe| recipe.top_p = 0.9),
            served(|recipe| recipe.top_k = 40),
            served(|recipe| recipe.min_p = 0.1),
            served(|recipe| recipe.samples_per_request = 4),
            served(|recipe| recipe.value = ValueRecipe::Pooling(Box::new(pooling.clone()))),
            served(|recipe| recipe.value = ValueRecipe::Pooling(Box::new(identity.clone()))),
        ];
        for (i, left) in policies.iter().enumerate() {
            for right in &policies[i + 1..] {
                assert_ne!(left.fingerprint(), right.fingerprint());
            }
        }
        let hurried = served(|recipe| recipe.http.retries = 0);
        assert_eq!(hurried.fingerprint(), policies[0].fingerprint());
    }

    #[test]
    fn the_example_s_worked_problems_are_right_and_of_the_training_split() {
        let PolicyRecipe::Completions(recipe) = example().policy else {
            panic!("another kind");
        };
        let environment = Countdown::default();
        let examples: Vec<&str> = recipe.preamble.trim_end().split("\n\n").skip(1).collect();
        assert_eq!(examples.len(), 5);
        for text in examples {
            let (first, steps) = text.split_once('\n').unwrap();
            let problem = parse_problem(first).unwrap();
            assert_eq!(environment.split(&problem).unwrap(), Split::Train, "{first}");
            let mut state = environment.root(&problem).unwrap();
            let mut terminal = None;
            for step in steps.lines() {
                let transition = environment.step(&state, step.split_once('=').unwrap().0).unwrap();
                (state, terminal) = (transition.state, transition.terminal);
            }
            assert_eq!(environment.context(&state), format!("{text}\n"));
            assert_eq!(terminal, Some(Terminal::Answer(problem.answer)));
        }
    }
}
