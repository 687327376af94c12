//! The round loop and its stages. Each stage reads and writes files and can be run alone; [`run`] chains them.

mod ablate;
mod bootstrap;
mod consensus;
mod disk;
mod dry_run;
mod evaluate;
mod footprint;
mod gate;
mod harvest;
mod keep;
mod measure;
mod memory;
mod probe;
mod search;
mod train;

pub use ablate::{Ablation, Measured, ablate};
pub use bootstrap::{Bootstrap, BootstrapSummary, pretrain};
pub use consensus::{Agreement, Judge};
pub use dry_run::{DryRun, dry_run};
pub use footprint::Footprint;
pub use gate::Verdict;
pub use harvest::{Plan as HarvestPlan, Player, Summary as HarvestSummary, harvest};
pub use measure::label_auc;
pub use search::{Harvest as SearchHarvest, Plan as SearchPlan, Summary as SearchSummary, search};
pub use train::{Summary as TrainSummary, train};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use espalier_search::{Problem, TreeRecord};
use serde_json::Value;

use crate::curriculum::{Choice, CurriculumRecipe, History};
use crate::data::SourceRecipe;
use crate::environment::{AnyEnvironment, Split};
use crate::evaluation::decodings::accuracies;
use crate::evaluation::{self, EvaluationRecipe, Needs, Record, Subject};
use crate::feeds::Feeds;
use crate::form::Form;
use crate::jsonl::Indexed;
use crate::labels::export_stepwise;
use crate::policy::Policy;
use crate::recipe::{GateRecipe, Recipe, StartFrom};
use crate::report::{Table, rounds_plot, rounds_table};
use crate::run_dir::{RunDir, training_file};
use crate::spans::Span;
use crate::{jsonl, page, problems, seed, status};

/// Runs a recipe, or what is left of it, and returns the table of accuracy by round and decoding.
///
/// # Errors
/// When the recipe's policy cannot be trained, or the first stage's that fails; started again, the run goes on there.
pub fn run(environment: &AnyEnvironment, recipe: &Recipe, run: &RunDir) -> Result<Table> {
    if let Some(reason) = recipe.policy.kind().untrainable() {
        bail!("{reason}");
    }
    Span::run(recipe, run.path()).around(|| run_rounds(environment, recipe, run))
}

fn run_rounds(environment: &AnyEnvironment, recipe: &Recipe, run: &RunDir) -> Result<Table> {
    let _status = status::Writer::begin(run.path(), recipe.rounds.count);
    let rounds = Rounds { environment, recipe, run };
    rounds.check_room_for_run()?;
    rounds.draw_problems()?;
    let feeds = Feeds::open(run.path(), &recipe.feeds, &recipe.name);
    let mut told = Told { summaries: Vec::new(), feeds };
    for round in 0..=recipe.rounds.count {
        tracing::info!("round {round} of {}", recipe.rounds.count);
        Span::round(round).around(|| rounds.round(round, &mut told))?;
    }
    let paths = [run.path().to_owned()];
    let table = rounds_table(&paths, evaluation::ROWS)?;
    for (name, text) in [
        ("table.txt", table.text()),
        ("table.md", table.markdown()),
        ("table.csv", table.csv()),
        ("accuracy.svg", rounds_plot(&paths, evaluation::ROWS)?.svg()?),
    ] {
        jsonl::write_file(&run.path().join(name), text.as_bytes())?;
    }
    jsonl::tidy_sums(run.path())?;
    let html = page::report(&paths).and_then(|page| page.html());
    let place = run.path().join("report.html");
    match html.and_then(|html| jsonl::write_file(&place, html.as_bytes())) {
        Ok(()) => tracing::info!("the report for a browser: {}", place.display()),
        // The run is done, whatever became of its page.
        Err(error) => tracing::warn!("{} was not written: {error:#}", place.display()),
    }
    Ok(table)
}

/// The summaries of finished stages, and whoever is told of them.
struct Told<'a> {
    summaries: Vec<Value>,
    feeds: Feeds<'a>,
}

struct Rounds<'a> {
    environment: &'a AnyEnvironment,
    recipe: &'a Recipe,
    run: &'a RunDir,
}

impl Rounds<'_> {
    fn round(&self, round: usize, told: &mut Told<'_>) -> Result<()> {
        if round == 0 {
            self.stage(0, "pretrain", told, || self.pretrain())?;
        } else {
            self.stage(round, "search", told, || self.search(round))?;
            self.stage(round, "harvest", told, || self.harvest(round))?;
            self.stage(round, "train", told, || self.train(round))?;
        }
        if let Some(recipe) = &self.recipe.rounds.gate {
            self.stage(round, "gate", told, || self.gate(round, recipe))?;
        }
        if let Some(recipe) = &self.recipe.rounds.probe {
            self.stage(round, "probe", told, || self.probe(round, recipe))?;
        }
        let evaluated = self.run.further_stage(round, "evaluate", |done| {
            Span::stage(Some(round), "evaluate").around(|| self.evaluate(round, done))
        })?;
        self.push(evaluated, told)?;
        self.run.remove_all_logs(round)?;
        self.remove_old(round)
    }

    fn stage(
        &self,
        round: usize,
        name: &'static str,
        told: &mut Told<'_>,
        work: impl FnOnce() -> Result<Value>,
    ) -> Result<()> {
        let work = || {
            self.check_room_for_stage(round, name)?;
            Span::stage(Some(round), name).around(work)
        };
        self.push(self.run.stage(round, name, work)?, told)
    }

    fn push(&self, summary: Value, told: &mut Told<'_>) -> Result<()> {
        told.summaries.push(summary);
        self.run.write_metrics(&told.summaries)?;
        // Behind the run's own files: a server may keep it waiting.
        if let Some(summary) = told.summaries.last() {
            told.feeds.tell(summary);
        }
        Ok(())
    }

    /// Draws the problems of all rounds: a source that cannot be read, or that has too few, is known at once.
    fn draw_problems(&self) -> Result<()> {
        self.held_out_problems()?;
        for (name, source) in &self.recipe.evaluation.others {
            self.other_problems(name, source)?;
        }
        if let Some(gate) = &self.recipe.rounds.gate {
            self.validation_problems(gate)?;
        }
        if let Some(probe) = &self.recipe.rounds.probe {
            self.probe_problems(probe)?;
        }
        for round in 1..=self.recipe.rounds.count {
            if round == 1 || self.recipe.rounds.curriculum.is_none() {
                self.training_problems(round)?;
            } else {
                // What is searched of them is known when the rounds before are done.
                problems::of_round(self.environment, self.recipe, round)?;
            }
        }
        Ok(())
    }

    /// The file of problems, written down once so that the run does not depend on a file that may change.
    fn problems(&self, name: &str, draw: impl FnOnce() -> Result<Vec<Problem>>) -> Result<PathBuf> {
        let path = self.run.problems(name);
        if !path.exists() {
            jsonl::write(&path, draw()?)?;
        }
        Ok(path)
    }

    fn training_problems(&self, round: usize) -> Result<Indexed<Problem>> {
        let path =
            self.problems(&training_file(round), || match &self.recipe.rounds.curriculum {
                Some(curriculum) => Ok(self.chosen(round, curriculum)?.problems),
                None => problems::of_round(self.environment, self.recipe, round),
            })?;
        problems::open(self.environment, &path)
    }

    /// What a round searches of the problems whose turn it is and of those before.
    fn chosen(&self, round: usize, curriculum: &CurriculumRecipe) -> Result<Choice> {
        let mut history = History::default();
        for earlier in 1..round {
            let file = self.run.problems(&training_file(earlier));
            let searched = problems::read(self.environment, &file)?;
            let labels = self.run.round(earlier).join("labels.jsonl");
            let turn = problems::of_round(self.environment, self.recipe, earlier)?;
            history.add(turn, searched, &harvest::solved_problems(&labels)?);
        }
        let turn = problems::of_round(self.environment, self.recipe, round)?;
        Ok(curriculum.choose(&history, turn, self.stream("curriculum", round)))
    }

    fn held_out_problems(&self) -> Result<Vec<Problem>> {
        let Recipe { problems, evaluation, .. } = self.recipe;
        let path = self.problems("test", || {
            let (count, seed) = (evaluation.problems, evaluation.seed);
            problems::draw(self.environment, problems, Split::Test, 0, count, seed)
        })?;
        problems::read(self.environment, &path)
    }

    fn validation_problems(&self, gate: &GateRecipe) -> Result<Vec<Problem>> {
        let Recipe { problems, evaluation, .. } = self.recipe;
        let path = self.problems("validation", || {
            let (count, seed) = (gate.problems, evaluation.seed);
            problems::draw(self.environment, problems, Split::Validation, 0, count, seed)
                .context("[rounds.gate]")
        })?;
        problems::read(self.environment, &path)
    }

    fn other_problems(&self, name: &str, source: &SourceRecipe) -> Result<Vec<Problem>> {
        let recipe = &self.recipe.evaluation;
        let path = self.problems(&format!("test-{name}"), || {
            problems::draw_test(self.environment, source, recipe.problems, recipe.seed)
                .with_context(|| format!("[evaluation.others.{name}]"))
        })?;
        problems::read(self.environment, &path)
    }

    fn checkpoint(&self, round: usize) -> PathBuf {
        self.run.round(round).join("checkpoint")
    }

    /// The environment as the net of a round reads it.
    fn environment(&self, round: usize) -> AnyEnvironment {
        self.environment.for_net_of_round(round)
    }

    fn policy(&self, round: usize) -> Result<Policy> {
        let (kind, checkpoint) = (self.recipe.policy.kind(), self.checkpoint(round));
        let policy =
            kind.load(self.environment, &self.recipe.compute, Some((&checkpoint).into()))?;
        status::meter(policy.meter());
        Ok(policy)
    }

    fn stream(&self, stage: &str, round: usize) -> u64 {
        seed::derive(self.recipe.seed, &[stage, &round.to_string()])
    }

    /// The round whose net a round leaves to the next one.
    fn kept(&self, round: usize) -> Result<usize> {
        match self.recipe.rounds.gate {
            Some(_) => Ok(self.verdict(round)?.net),
            None => Ok(round),
        }
    }

    fn verdict(&self, round: usize) -> Result<Verdict> {
        let path = self.run.round(round).join("gate.json");
        let read = || -> Result<Verdict> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
        read().with_context(|| format!("{} cannot be read", path.display()))
    }

    fn pretrain(&self) -> Result<Value> {
        let summary = pretrain(self.environment, self.recipe, &self.checkpoint(0))?;
        Ok(serde_json::to_value(summary)?)
    }

    fn search(&self, round: usize) -> Result<Value> {
        let curriculum = self.recipe.rounds.curriculum.as_ref();
        let choice = curriculum.map(|curriculum| self.chosen(round, curriculum)).transpose()?;
        if let Some(choice) = &choice {
            self.problems(&training_file(round), || Ok(choice.problems.clone()))?;
        }
        let problems = self.training_problems(round)?;
        let net = self.kept(round - 1)?;
        let policy = self.policy(net)?;
        let mut config = self.recipe.search.clone();
        if let Some(first) = self.recipe.rounds.first_temperature.filter(|_| round == 1) {
            *config.settings_mut().temperature_mut() = first;
        }
        let environment = self.environment(net);
        let (labels, stream) = (&self.recipe.labels, self.stream("harvest", round));
        let identity = jsonl::identity(&(labels, stream))?;
        let folder = self.run.round(round);
        let out = folder.join("labels.jsonl");
        let label =
            |trees: &[TreeRecord]| harvest::label_trees(&environment, labels, stream, trees);
        let plan = SearchPlan {
            problems: &problems,
            config: &config,
            budgets: choice.as_ref().map(|choice| &choice.budgets),
            trees_per_problem: self.recipe.rounds.trees_per_problem,
            seed: self.stream("search", round),
            net: policy.fingerprint(),
            before: None,
            harvest: (!labels.needs_rollouts()).then_some(SearchHarvest {
                label: &label,
                identity: &identity,
                out: &out,
            }),
        };
        let path = folder.join("trees.jsonl");
        let compute = &self.recipe.compute;
        let mut summary = search(&environment, policy.evaluator(), &plan, compute, &path)?;
        summary.inference = policy.inference();
        tracing::info!(
            "round {round}: {} of {} problems solved in {} trees, {:.1} s",
            summary.solved,
            summary.problems,
            summary.trees,
            summary.seconds
        );
        let mut summary = serde_json::to_value(summary)?;
        if let Some(Choice { counts, .. }) = choice {
            tracing::info!(
                "round {round}: {} new problems, {} unsolved and {} solved ones again, {} wait",
                counts.new,
                counts.unsolved,
                counts.solved,
                counts.waiting
            );
            summary["curriculum"] = serde_json::to_value(counts)?;
        }
        Ok(summary)
    }

    fn harvest(&self, round: usize) -> Result<Value> {
        let recipe = &self.recipe.labels;
        let folder = self.run.round(round);
        let labels = folder.join("labels.jsonl");
        let problems = self.training_problems(round)?;
        let summary = if recipe.needs_rollouts() {
            let policy = self.policy(self.kept(round - 1)?)?;
            let player = Player {
                evaluator: policy.evaluator(),
                net: policy.fingerprint(),
                problems: &problems,
            };
            self.label(round, Some(player), &labels)?
        } else if labels.exists() {
            // The search harvested them.
            harvest::count_labels(&labels)?
        } else {
            self.label(round, None, &labels)?
        };
        let mut summary = serde_json::to_value(summary)?;
        export_stepwise(&labels, &folder.join("stepwise.jsonl"))?;
        let q = label_auc(self.environment, &problems, &labels)?;
        summary["q_auc"] = serde_json::to_value(q)?;
        Ok(summary)
    }

    fn label(
        &self,
        round: usize,
        player: Option<Player<'_>>,
        labels: &Path,
    ) -> Result<HarvestSummary> {
        let plan = HarvestPlan {
            trees: &self.run.round(round).join("trees.jsonl"),
            labels: &self.recipe.labels,
            seed: self.stream("harvest", round),
            player,
            judge: None,
        };
        // Roll-outs read the prompt that the search read.
        let environment = self.environment(self.kept(round - 1)?);
        harvest(&environment, &plan, &self.recipe.compute, labels)
    }

    fn train(&self, round: usize) -> Result<Value> {
        let base = match self.recipe.rounds.start_from {
            StartFrom::Base => 0,
            StartFrom::Previous => self.kept(round - 1)?,
        };
        let first = match self.recipe.rounds.window {
            0 => 1,
            window => (round + 1).saturating_sub(window).max(1),
        };
        let labels: Vec<PathBuf> =
            (first..=round).map(|earlier| self.run.round(earlier).join("labels.jsonl")).collect();
        let (base, out) = (self.checkpoint(base), self.checkpoint(round));
        let mut recipe = self.recipe.clone();
        recipe.training.learning_rate *= recipe.rounds.learning_rate_decay.powi(round as i32 - 1);
        let form = Form::new(&recipe.environment, round)?;
        let seed = self.stream("train", round);
        let summary = train((&base).into(), &labels, &recipe, seed, &form, &out)?;
        Ok(serde_json::to_value(summary)?)
    }

    /// Measures a round's net on validation problems and says whether it is taken on.
    fn gate(&self, round: usize, gate: &GateRecipe) -> Result<Value> {
        let evaluation = &self.recipe.evaluation;
        let problems = self.validation_problems(gate)?;
        let policy = self.policy(round)?;
        let subject = Subject {
            environment: &self.environment(round),
            evaluator: policy.evaluator(),
            net: policy.fingerprint(),
            problems: &problems,
            recipe: &EvaluationRecipe { decodings: vec![gate.measure], ..evaluation.clone() },
            seeds: 1,
            // The same for all rounds, which are compared.
            seed: seed::derive(self.recipe.seed, &["gate"]),
            concurrent_problems: self.recipe.compute.concurrent_problems,
            out: Some(&self.run.round(round).join("gate.jsonl")),
            further: false,
        };
        let needs = Needs { decodings: vec![gate.measure], samples: 0 };
        let measured = accuracies(&subject, &Record::gather(&subject, &needs)?)?;
        let before = round.checked_sub(1).map(|before| self.verdict(before)).transpose()?;
        let verdict = Verdict::new(round, &measured, before.as_ref())?;
        if !verdict.taken {
            tracing::warn!(
                "round {round}: {} fell from {:.1} % to {:.1} % of {} validation problems; round {}'s net goes on",
                verdict.measure,
                100.0 * verdict.before.unwrap_or_default(),
                100.0 * verdict.measured,
                verdict.problems,
                verdict.net
            );
        }
        Ok(serde_json::to_value(verdict)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use espalier_search::{Cancel, Evaluation, EvaluatorError, Request};

    /// The answers of an evaluator that is stuck until it is cancelled.
    pub fn until_cancelled(
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let begun = Instant::now();
        while !cancel.is_cancelled() {
            assert!(begun.elapsed().as_secs() < 60, "nobody cancels the evaluation");
            std::thread::yield_now();
        }
        vec![Err(EvaluatorError::Cancelled); requests.len()]
    }
}
