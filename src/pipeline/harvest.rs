//! The harvest stage: from trees to step-labelled solutions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use espalier_search::{
    Cancel, Environment, Evaluator, LabelledSolution, Problem, TreeRecord, for_each_index,
};
use serde::{Deserialize, Serialize};

use super::consensus::{Agreement, Judge};
use crate::compute::ComputeRecipe;
use crate::environment::{AnyEnvironment, Split};
use crate::interrupt::Work;
use crate::jsonl::{self, EntryLog, Indexed, Rows, Writer};
use crate::labels::{Cost, LabelsRecipe, NoRollouts, PolicyRollouts, RolloutPlayer, World};
use crate::progress::Progress;
use crate::seed;

/// What to harvest.
#[derive(Clone)]
pub struct Plan<'a> {
    /// The trees, as the search stage writes them.
    pub trees: &'a Path,
    /// Which paths are labelled, and how.
    pub labels: &'a LabelsRecipe,
    /// Root of the choice's and the roll-outs' seeds.
    pub seed: u64,
    /// Who plays roll-outs, for rules that ask for them.
    pub player: Option<Player<'a>>,
    /// Who must agree with the labels.
    pub judge: Option<Judge<'a>>,
}

/// A policy with the problems that it plays.
#[derive(Clone, Copy)]
pub struct Player<'a> {
    /// The policy.
    pub evaluator: &'a dyn Evaluator,
    /// Its fingerprint.
    pub net: &'a str,
    /// The problems of the trees.
    pub problems: &'a Indexed<Problem>,
}

/// What a harvest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Names this form and its version.
    pub schema: String,
    /// The numbers.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The numbers of a harvest, or of one problem's part in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Problems with at least one finished path.
    pub problems: usize,
    /// Problems with at least one right solution.
    pub solved: usize,
    /// Right solutions kept.
    pub correct: usize,
    /// Wrong solutions kept.
    pub incorrect: usize,
    /// Solutions, right and wrong, that are told of other problems.
    #[serde(default)]
    pub hindsight: usize,
    /// Ways to nodes beside the kept paths ([`crate::labels::NodesRecipe`]).
    #[serde(default)]
    pub values_only: usize,
    /// Labelled steps.
    pub steps: usize,
    /// The price of the labels.
    #[serde(flatten)]
    pub cost: Cost,
    /// What a judge said of the labels; 0 without one.
    #[serde(flatten, default)]
    pub agreement: Agreement,
}

/// Harvests a trees file into a labels file, in the order of the trees. Labelled problems are kept in a log beside it (`*.log`),
/// so that after a kill only unfinished ones are labelled; a log of other trees or settings is refused. The trees of the problems
/// under way are in memory, and of the others only where they lie.
///
/// # Errors
/// When a file cannot be read or written, roll-outs fail, or the trees hold no finished path.
pub fn harvest(
    environment: &AnyEnvironment,
    plan: &Plan<'_>,
    compute: &ComputeRecipe,
    out: &Path,
) -> Result<Summary> {
    let trees = Indexed::open_grouped(plan.trees, |tree: &TreeRecord| &tree.problem)?;
    if trees.is_empty() {
        bail!("{} holds no trees", plan.trees.display());
    }
    let player = plan.player.as_ref().map(|player| (player.net, player.problems.digest()));
    let parts = (environment, trees.digest(), plan.labels, plan.seed, player);
    let identity = match &plan.judge {
        None => jsonl::identity(&parts)?,
        Some(judge) => jsonl::identity(&(parts, judge.net))?,
    };
    let counts = Mutex::new(Counts::default());
    let add = |more: Counts| counts.lock().unwrap_or_else(PoisonError::into_inner).add(more);
    let log: EntryLog<Counts, 1> = EntryLog::open(&jsonl::log_beside(out), &identity, add)?;
    let missing: Vec<u32> =
        (0..trees.groups() as u32).filter(|&group| !log.contains(group as usize)).collect();
    let progress = Progress::new("harvest", trees.groups(), trees.groups() - missing.len());
    let work = Work::begin();
    let cancel = work.cancel();
    let done = |index: usize| -> Result<()> {
        let group = missing[index] as usize;
        let trees = trees.group(group)?;
        let of = || format!("{}: problem {}", plan.trees.display(), trees[0].problem);
        let (mut solutions, cost) = label(environment, plan, &trees, cancel).with_context(of)?;
        let mut agreement = Agreement::default();
        if let Some(judge) = &plan.judge {
            let question = &trees[0].question;
            agreement =
                judge.filter(environment, question, &mut solutions, cancel).with_context(of)?;
        }
        let counts = Counts { cost, agreement, ..Counts::of(&solutions) };
        log.append(group, &counts, [&jsonl::to_rows(&solutions)?])?;
        add(counts);
        progress.advance(String::new);
        Ok(())
    };
    let labelled = for_each_index(missing.len(), compute.concurrent_problems, cancel, done);
    work.check(|| {
        let (done, all) = (log.len(), trees.groups());
        format!("the trees of {done} of {all} problems are labelled; the same command goes on")
    })?;
    labelled?;
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    counts.check(plan.trees)?;
    let mut file = Writer::create(out)?;
    log.copy(0, &mut file)?;
    file.finish()?;
    log.retire()?;
    Ok(counts.summary())
}

/// Labels the trees of a problem.
fn label(
    environment: &AnyEnvironment,
    plan: &Plan<'_>,
    trees: &[TreeRecord],
    cancel: &Cancel,
) -> Result<(Vec<LabelledSolution>, Cost)> {
    let Some(Player { evaluator, problems, .. }) = plan.player else {
        let solutions = label_trees(environment, plan.labels, plan.seed, trees)?;
        return Ok((solutions, Cost::default()));
    };
    let id = &trees[0].problem;
    let path = problems.path().display();
    let problem = problems.of(id)?.pop().with_context(|| format!("{path} does not hold it"))?;
    let mut rollouts = PolicyRollouts::new(environment, evaluator, &problem, cancel);
    let solutions = harvest_trees(environment, plan.labels, &mut rollouts, plan.seed, trees)?;
    Ok((solutions, rollouts.cost()))
}

/// Labels the trees of a problem by a rule that asks for no roll-outs.
///
/// # Errors
/// When the rule asks for them all the same, or the trees cannot be harvested.
pub(super) fn label_trees(
    environment: &AnyEnvironment,
    labels: &LabelsRecipe,
    seed: u64,
    trees: &[TreeRecord],
) -> Result<Vec<LabelledSolution>> {
    harvest_trees(environment, labels, &mut NoRollouts, seed, trees)
}

/// Labels the trees of a problem. Its solutions continue the prompt on which nets are trained ([`AnyEnvironment::training_prompt`]), which may
/// be less than the policy read.
fn harvest_trees(
    environment: &AnyEnvironment,
    labels: &LabelsRecipe,
    rollouts: &mut dyn RolloutPlayer,
    seed: u64,
    trees: &[TreeRecord],
) -> Result<Vec<LabelledSolution>> {
    // A problem chooses and plays by a seed of its own: with one for all, each would choose by the same numbers.
    let seed = seed::derive(seed, &["harvest", &trees[0].problem]);
    let world = World {
        state: &|context| environment.state_key(&environment.read_context(context)?),
        solved_by: &|prompt, answer| training_prompt_solved_by(environment, prompt, answer),
    };
    let mut solutions = labels.harvest(trees, &world, rollouts, seed)?;
    if let Some(prompt) = environment.training_prompt(&trees[0].question)? {
        let own = solutions.iter_mut().filter(|solution| !solution.hindsight);
        own.for_each(|solution| solution.prompt.clone_from(&prompt));
    }
    Ok(solutions)
}

/// The prompt of the problem that an answer solves, where that belongs to the training split.
fn training_prompt_solved_by(
    environment: &AnyEnvironment,
    prompt: &str,
    answer: &str,
) -> Option<String> {
    let problem = environment.solved_by(prompt, answer)?;
    if environment.split(&problem).ok()? != Split::Train {
        return None;
    }
    let root = environment.root(&problem).ok()?;
    Some(environment.context(&root).to_owned())
}

/// Counts a labels file that was harvested while its trees were searched.
///
/// # Errors
/// When it cannot be read or holds no solution.
pub fn count_labels(labels: &Path) -> Result<Summary> {
    let mut counts = Counts::default();
    let rows = Rows::<LabelledSolution>::open(labels)?.rows();
    for solutions in jsonl::groups(rows, |a, b| a.problem_id == b.problem_id) {
        counts.add(Counts::of(&solutions?));
    }
    counts.check(labels)?;
    Ok(counts.summary())
}

/// The problems that labels have a right solution of; what is told in hindsight was not searched for.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn solved_problems(labels: &Path) -> Result<BTreeSet<String>> {
    let mut solved = BTreeSet::new();
    for solution in Rows::<LabelledSolution>::open(labels)?.rows() {
        let solution = solution?;
        if solution.correct && !solution.hindsight {
            solved.insert(solution.problem_id);
        }
    }
    Ok(solved)
}

impl Counts {
    /// Of the solutions of a problem.
    fn of(solutions: &[LabelledSolution]) -> Self {
        let own =
            || solutions.iter().filter(|solution| !solution.hindsight && !solution.values_only);
        let values_only = solutions.iter().filter(|solution| solution.values_only).count();
        let correct = own().filter(|solution| solution.correct).count();
        Self {
            problems: usize::from(own().next().is_some()),
            solved: usize::from(correct > 0),
            correct,
            incorrect: own().count() - correct,
            hindsight: solutions.len() - own().count() - values_only,
            values_only,
            steps: solutions.iter().map(|solution| solution.steps.len()).sum(),
            cost: Cost::default(),
            agreement: Agreement::default(),
        }
    }

    fn add(&mut self, other: Self) {
        self.problems += other.problems;
        self.solved += other.solved;
        self.correct += other.correct;
        self.incorrect += other.incorrect;
        self.hindsight += other.hindsight;
        self.values_only += other.values_only;
        self.steps += other.steps;
        self.cost.add(other.cost);
        self.agreement.add(other.agreement);
    }

    fn check(&self, of: &Path) -> Result<()> {
        if self.problems == 0 {
            bail!("{} holds no finished path to harvest", of.display());
        }
        Ok(())
    }

    fn summary(self) -> Summary {
        Summary { schema: "espalier.harvest/1".into(), counts: self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use espalier_search::testing::{HashedEvaluator, LetterGame};
    use espalier_search::{MctsConfig, search_tree};

    use super::*;
    use crate::environment::countdown::{Countdown, PromptStyle, parse_problem, split_of};
    use crate::environment::{EnvironmentKind, EnvironmentRecipe};

    #[test]
    fn an_answer_makes_a_problem_of_the_training_split_alone() {
        let problem = parse_problem("26: 7 3 5").unwrap();
        for prompt in [PromptStyle::Short, PromptStyle::Question] {
            let countdown = Countdown { prompt, ..Countdown::default() };
            let environment = AnyEnvironment::from(countdown);
            let root = countdown.root(&problem).unwrap();
            let context = countdown.context(&root);
            let solved_by = |answer: &str| training_prompt_solved_by(&environment, context, answer);
            let mut told = [0, 0];
            for target in 0..200 {
                let other = solved_by(&target.to_string());
                let trained = split_of(&[3, 5, 7], target) == Split::Train;
                assert_eq!(other.is_some(), trained, "{target}");
                told[usize::from(trained)] += 1;
                let Some(context) = other else { continue };
                let state = countdown.read_context(&context).unwrap();
                let given = countdown.state_key(&state);
                assert_eq!((given.as_deref(), state.target()), (Some("3 5 7"), target));
            }
            assert!(told.iter().all(|&count| count > 50), "{told:?}");
            assert_eq!(solved_by("1/2"), None);
            assert_eq!(training_prompt_solved_by(&environment, "no problem\n", "3"), None);
        }
    }

    #[test]
    fn problems_choose_apart_from_one_another() {
        let net = HashedEvaluator::new(3, ["a", "b", "=", "!"]);
        let config = MctsConfig { simulations: 40, ..MctsConfig::default() };
        let problem = LetterGame::problem("p", "ab");
        let game = LetterGame::default();
        let tree = search_tree(&game, &net, &problem, &config, 0, true, &Cancel::new()).unwrap();
        let environment = EnvironmentRecipe::default().without_steps().unwrap();
        let mut labels = LabelsRecipe::default();
        (labels.paths.max_correct, labels.paths.max_incorrect) = (0, 1);
        let chosen = |id: usize| {
            let trees = [TreeRecord { problem: id.to_string(), ..tree.clone() }];
            let solutions = label_trees(&environment, &labels, 7, &trees).unwrap();
            let actions = solutions[0].steps.iter().map(|step| step.action.clone());
            actions.collect::<Vec<_>>()
        };
        let choices: HashSet<Vec<String>> = (0..20).map(chosen).collect();
        assert!(choices.len() > 5, "{choices:?}");
        assert_eq!(chosen(3), chosen(3));
    }
}
