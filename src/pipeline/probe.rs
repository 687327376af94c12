//! The probe of a round's net: the same problems searched and answered in the same way after every round.

use std::collections::HashMap;

use anyhow::{Context, Result};
use espalier_search::{Problem, SearchConfig, TreeRecord};
use serde_json::{Value, json};

use super::{Rounds, SearchPlan, search};
use crate::environment::Split;
use crate::evaluation::probe::{Outcome, ProbeRecipe, Steps, TreeFigures, value_states};
use crate::evaluation::{EvaluationRecipe, Needs, Record, Subject, pass_at_k};
use crate::jsonl::{Indexed, Rows};
use crate::report::proportion;
use crate::{problems, seed};

impl Rounds<'_> {
    /// The probe's problems, of which none is trained on or tested on. They do not depend on the run's seed or gate.
    pub(super) fn probe_problems(&self, probe: &ProbeRecipe) -> Result<Indexed<Problem>> {
        let path = self.problems("probe", || {
            let (source, split) = (&self.recipe.problems, Split::Validation);
            let stream = seed::derive(probe.seed, &["probe", "problems"]);
            problems::draw(self.environment, source, split, 0, probe.problems, stream)
                .context("[rounds.probe]")
        })?;
        problems::open(self.environment, &path)
    }

    /// Searches the problems with a round's net, samples its solutions of them, and reads the figures off both.
    pub(super) fn probe(&self, round: usize, probe: &ProbeRecipe) -> Result<Value> {
        let indexed = self.probe_problems(probe)?;
        let problems: Vec<Problem> =
            (0..indexed.len()).map(|number| indexed.get(number)).collect::<Result<_>>()?;
        let (environment, policy) = (self.environment(round), self.policy(round)?);
        let (folder, compute) = (self.run.round(round), &self.recipe.compute);
        let config = SearchConfig::Mcts(probe.search.clone());
        let plan = SearchPlan {
            problems: &indexed,
            config: &config,
            trees_per_problem: 1,
            seed: seed::derive(probe.seed, &["probe"]),
            net: policy.fingerprint(),
            before: None,
            budgets: None,
            harvest: None,
        };
        let path = folder.join("probe.jsonl");
        let searched = search(&environment, policy.evaluator(), &plan, compute, &path)?;

        let trees = || Rows::<TreeRecord>::open(&path).map(Rows::rows);
        let (mut figures, mut solved) = (TreeFigures::default(), HashMap::new());
        for tree in trees()? {
            let tree = tree?;
            figures.add(&tree);
            let right = tree.react.values().any(|node| node.correct == Some(true));
            solved.insert(tree.problem, right);
        }
        let by_id: HashMap<&str, &Problem> =
            problems.iter().map(|problem| (problem.id.as_str(), problem)).collect();
        let of = |id: &str| by_id.get(id).copied();
        let values = value_states(&environment, policy.evaluator(), of, trees()?)?;

        let subject = Subject {
            environment: &environment,
            evaluator: policy.evaluator(),
            net: policy.fingerprint(),
            problems: &problems,
            recipe: &EvaluationRecipe { decode: probe.decode(), ..EvaluationRecipe::default() },
            seeds: 1,
            seed: seed::derive(probe.seed, &["probe", "samples"]),
            concurrent_problems: compute.concurrent_problems,
            out: Some(&folder.join("probe-samples.jsonl")),
            further: false,
        };
        let needs = Needs { decodings: Vec::new(), samples: probe.pass_at_k.samples };
        let samples = Record::gather(&subject, &needs)?.samples;
        let pass = |&k: &usize| pass_at_k::pass(k, &[&samples]);
        let passes = probe.pass_at_k.k.iter().map(pass).collect::<Result<Vec<_>>>()?;
        let right: HashMap<&str, usize> = samples
            .iter()
            .map(|set| (&*set.problem, set.samples.iter().filter(|one| one.correct).count()))
            .collect();
        let outcome = |Problem { id, .. }: &Problem| Outcome {
            problem: id.clone(),
            // A problem whose search failed is not solved.
            solved: solved.get(id) == Some(&true),
            right: right.get(id.as_str()).copied().unwrap_or_default(),
        };
        let outcomes: Vec<Outcome> = problems.iter().map(outcome).collect();
        let solved = proportion(&[outcomes.iter().map(Outcome::share_solved).collect()]);
        let steps = figures.steps(&probe.search);
        let differ = |steps: &Steps| {
            format!(", {:.2} of {} sampled steps a node differ", steps.distinct, steps.sampled)
        };
        tracing::info!(
            "round {round}: {:.1} % of {} probe problems solved{}",
            100.0 * solved.mean,
            problems.len(),
            steps.as_ref().map_or_else(String::new, differ)
        );
        Ok(json!({
            "problems": problems.len(),
            "solved": solved,
            "pass_at_k": passes,
            "outcomes": outcomes,
            "steps": steps,
            "simulations_per_problem": figures.simulations as f64 / searched.trees.max(1) as f64,
            "stops": figures.stops,
            "values": values,
            "search": searched,
        }))
    }
}
