//! What proposes steps and values states: the net of a checkpoint, an OpenAI-compatible server, the legal actions with equal chance,
//! or a table. Each is an [`Evaluator`](espalier_search::Evaluator); the search does not know which. A new kind is a file here that
//! implements [`PolicyKind`], its `mod` line, and its line in the list of [`PolicyRecipe`].
//!
//! A served policy is for models that another program runs better than this one (vLLM or SGLang on GPUs, llama.cpp). Its values come from
//! a reward model behind vLLM's pooling endpoint, from a local value net, or from nowhere.

mod config;
mod distribution;
mod error;
mod kind;
mod limit_watch;
mod local;
pub mod prm;
#[cfg(feature = "served")]
mod served;
mod table;
mod uniform;
#[cfg(not(feature = "served"))]
mod unserved;
mod value;
mod valued;

pub use config::{
    ChatApiRecipe, CompletionsRecipe, HttpConfig, NoValueRecipe, PoolingRecipe, PoolingTask,
    ValueCheckpointRecipe, ValueMapping, ValueRecipe,
};
pub use error::PolicyError;
pub use kind::{Policy, PolicyKind, PolicyRecipe};
pub use limit_watch::LimitWatch;
pub use local::LocalRecipe;
#[cfg(feature = "served")]
pub use served::{CompletionsEvaluator, RewardModel, answers};
pub use table::TableRecipe;
pub use uniform::UniformRecipe;
pub use value::ValueSource;

#[cfg(all(test, feature = "served"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::compute::ComputeRecipe;
    use crate::environment::countdown::{Countdown, parse_problem};
    use crate::environment::{EnvironmentKind, Split};
    use crate::recipe;
    use espalier_search::{Environment, Terminal};

    fn example() -> recipe::Recipe {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/countdown-completions.toml");
        recipe::load(Some(&path), &[]).unwrap()
    }

    fn served(change: impl Fn(&mut CompletionsRecipe)) -> Policy {
        let PolicyRecipe::Completions(mut recipe) = example().policy else {
            panic!("another kind");
        };
        change(&mut recipe);
        let compute = ComputeRecipe::default();
        let environment = Countdown::default().into();
        recipe.load(&environment, &compute, None).unwrap()
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
