//! Word problems, solved by a language model in steps of text and Python, as AlphaMath does (arXiv 2405.03553, §3).
//!
//! A step is what the policy writes up to a stop of the format. A step with code is run after the code of its ancestors, and what
//! it printed is appended as its observation; a step with a final answer ends the path. What can be read as neither ends that path
//! alone, and so do too many steps, too many code errors in a row and a context that is too long.

mod format;
mod prompt;
mod recipe;
mod split;
mod step;

pub use format::{FormatRecipe, Preset, next_question};
pub use recipe::{ChatRecipe, ProgramRecipe, Shot};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use espalier_search::{Cut, Environment, Problem, ProblemError, StepError, Terminal, Transition};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::kind::{EnvironmentKind, NoGenerator, WorkedSolution};
use super::split::Split;
use crate::execution::{
    self, CodeState, Execution, Executor, ExecutorConfig, ExecutorError, Outcome,
};
use crate::grading::{self, Verdict};
use crate::recipe::Recipe;
use format::{Format, joined};
use prompt::Prompts;
use step::Step;

/// Why a format with code needs observations in a likelihood.
const UNENDED_CODE: &str = "a policy that is not trained on observations does not learn to end its code, and the environment's format has code";

/// The environment of word problems. Clones share one executor.
#[derive(Debug, Clone)]
pub struct Program {
    shared: Arc<Shared>,
    /// Whether the policy is shown the worked examples.
    shots: bool,
}

#[derive(Debug)]
struct Shared {
    recipe: ProgramRecipe,
    format: Format,
    prompts: Prompts,
    /// None where steps have no code, or none of them is to be run.
    executor: Option<Box<dyn Executor>>,
    /// Answers that were neither shown to be right nor to be wrong.
    undecided: AtomicU64,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let undecided = *self.undecided.get_mut();
        if undecided > 0 {
            tracing::info!(
                "{undecided} answers could not be compared with the right one: they count as wrong, and are worth nothing either way to a search (-v shows them)"
            );
        }
    }
}

/// A partial solution: what the policy reads, and what its code has left behind.
#[derive(Debug, Clone)]
pub struct State {
    context: Arc<str>,
    code: CodeState,
    depth: usize,
    /// Code errors in a row, up to this step.
    errors: usize,
}

impl State {
    /// Steps taken so far.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Code errors in a row, up to this step.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }
}

impl Program {
    /// As [`EnvironmentKind::start`], with an executor that `start` gives, where the format has code. The environment is that of
    /// round 0's net: with worked examples, if the recipe shows them to any.
    ///
    /// # Errors
    /// When a setting or a file is wrong, or no sandbox can be set up.
    pub fn start_with(
        recipe: &ProgramRecipe,
        start: impl FnOnce(&ExecutorConfig) -> Result<Box<dyn Executor>, ExecutorError>,
    ) -> Result<Self> {
        Self::assemble(recipe, |config| start(config).map(Some))
    }

    fn assemble(
        recipe: &ProgramRecipe,
        start: impl FnOnce(&ExecutorConfig) -> Result<Option<Box<dyn Executor>>, ExecutorError>,
    ) -> Result<Self> {
        recipe.validate()?;
        let format = recipe.format.resolve().map_err(anyhow::Error::msg)?;
        let prompts = Prompts::new(recipe, &format)?;
        let executor = match format.code {
            Some(_) => start(&recipe.executor)?,
            None => None,
        };
        let recipe = recipe.clone();
        let undecided = AtomicU64::new(0);
        let shared = Arc::new(Shared { recipe, format, prompts, executor, undecided });
        let shots = shared.recipe.shots_until_round > 0;
        Ok(Self { shared, shots })
    }

    /// Takes a step; fails when no interpreter can be started.
    fn take(&self, state: &State, action: &str) -> Result<Transition<State>, ExecutorError> {
        let format = &self.shared.format;
        let (observation, terminal, code, errors) = match step::read(format, action) {
            Err(reason) => {
                let end = joined(action, &format.step_end).to_owned();
                (end, Some(Terminal::Invalid(reason)), state.code.clone(), 0)
            }
            Ok(Step::Answer(answer)) => {
                let end = joined(action, &format.answer_end).to_owned();
                (end, Some(Terminal::Answer(answer)), state.code.clone(), 0)
            }
            Ok(Step::Thought) => {
                (joined(action, &format.step_end).to_owned(), None, state.code.clone(), 0)
            }
            Ok(Step::Code(code)) => {
                let (execution, after) = self.run(state, code)?;
                let errors = if is_error(&execution) { state.errors + 1 } else { 0 };
                // The path does not go on as if the step had been done.
                let unsupported = execution.outcome == Outcome::Unsupported;
                let end =
                    unsupported.then(|| Cut::UnsupportedCode.ending_at(&execution.observation));
                (self.observe(action, &execution.observation), end, after, errors)
            }
        };
        let context: Arc<str> = [&*state.context, action, &observation].concat().into();
        let state = State { context, code, depth: state.depth + 1, errors };
        let terminal = terminal.or_else(|| self.limit(&state));
        Ok(Transition { observation: observation.into(), state, terminal })
    }

    fn run(&self, state: &State, code: &str) -> Result<(Execution, CodeState), ExecutorError> {
        match &self.shared.executor {
            Some(executor) => executor.run(&state.code, code),
            None => Err(ExecutorError::Worker("none was asked for".to_owned())),
        }
    }

    /// What is appended to a code step.
    fn observe(&self, action: &str, printed: &str) -> String {
        let format = &self.shared.format;
        let mut text = String::new();
        if let Some(code) = &format.code {
            text.push_str(joined(action, &code.close));
            text.push_str(&code.observation_open);
            text.push_str(printed);
            text.push_str(&code.observation_close);
        }
        text + &format.step_end
    }

    /// Why a path that has not ended by itself goes no further.
    fn limit(&self, state: &State) -> Option<Terminal> {
        let recipe = &self.shared.recipe;
        if state.depth > recipe.max_depth {
            return Some(
                Cut::TooManySteps.ending_at(format_args!("more than {}", recipe.max_depth)),
            );
        }
        if state.errors > recipe.errors_threshold {
            let reason = format!("more than {} code errors in a row", recipe.errors_threshold);
            return Some(Terminal::Invalid(reason));
        }
        let most = recipe.max_context_characters;
        // Bytes are at least as many as characters, and need no counting.
        let long = state.context.len() > most && state.context.chars().count() > most;
        long.then(|| Cut::ContextTooLong.ending_at(format_args!("more than {most} characters")))
    }

    fn prompt(&self, question: &str) -> Result<String> {
        self.shared.prompts.render(question, self.shots)
    }

    /// The steps of a solution that was written down: as a list of steps, or as a text with the format's own ends of steps.
    fn pieces(&self, solution: &Value) -> Vec<String> {
        let format = &self.shared.format;
        let text = match solution {
            Value::String(text) => text.clone(),
            Value::Array(steps) => {
                let steps: Vec<&str> = steps.iter().filter_map(Value::as_str).collect();
                steps.join(&format.step_end)
            }
            _ => return Vec::new(),
        };
        let trimmed = format.step_end.trim();
        let end = if trimmed.is_empty() { format.step_end.as_str() } else { trimmed };
        let stop = |piece: &str| format.stops.iter().filter_map(|stop| piece.find(stop)).min();
        text.split(end)
            .map(|piece| piece.trim_start_matches(['\n', '\r']))
            .map(|piece| &piece[..stop(piece).unwrap_or(piece.len())])
            .filter(|piece| !piece.trim().is_empty())
            .map(|piece| piece.trim_end().to_owned())
            .collect()
    }
}

/// AlphaMath's rule: an observation that says so is an error.
fn is_error(execution: &Execution) -> bool {
    execution.observation.contains("Error")
}

impl Environment for Program {
    type State = State;

    fn root(&self, problem: &Problem) -> Result<State, ProblemError> {
        let fail = |message: String| ProblemError { id: problem.id.clone(), message };
        if problem.question.trim().is_empty() {
            return Err(fail("the question is empty".to_owned()));
        }
        let prompt = self.prompt(&problem.question).map_err(|error| fail(format!("{error:#}")))?;
        Ok(State { context: prompt.into(), code: CodeState::default(), depth: 0, errors: 0 })
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Result<Transition<State>, StepError> {
        self.take(state, action).map_err(StepError::new)
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        let grade = grading::grade(&problem.answer, answer);
        if grade.verdict == Verdict::Undecided {
            // Relaxed: a count that announces nothing.
            self.shared.undecided.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(
                problem = %problem.id,
                "undecided ({}): {:?} for {:?}",
                grade.rule,
                answer,
                problem.answer
            );
        }
        match grade.verdict {
            // Nothing is known of it, and so nothing said of the steps before.
            Verdict::Undecided => 0.0,
            _ if grade.is_equal() => 1.0,
            _ => -1.0,
        }
    }

    fn is_undecided(&self, problem: &Problem, answer: &str) -> bool {
        grading::grade(&problem.answer, answer).verdict == Verdict::Undecided
    }

    fn answer_groups(&self, answers: &[&str]) -> Vec<usize> {
        grading::groups(answers)
    }
}

impl EnvironmentKind for Program {
    type Recipe = ProgramRecipe;
    type Generator = NoGenerator;

    const WORKED_SOLUTIONS: bool = true;
    const FORM_KEYS: Option<&'static [&'static str]> =
        Some(&["format", "shots", "shots_file", "shots_until_round", "chat"]);

    fn with_files(settings: &ProgramRecipe) -> Result<ProgramRecipe> {
        let format = settings.format.resolve().map_err(anyhow::Error::msg)?;
        let shots = settings.all_shots(&format)?;
        Ok(ProgramRecipe { shots, shots_file: None, ..settings.clone() })
    }

    fn validate(settings: &ProgramRecipe, recipe: &Recipe) -> Result<()> {
        settings.validate().context("[environment]")?;
        ensure!(
            !settings.has_code() || recipe.bootstrap.observation_loss,
            "[bootstrap] observation_loss = false: {UNENDED_CODE}"
        );
        ensure!(
            !settings.has_code() || !recipe.objective.build().leaves_observations_out(),
            "[objective] observation_loss = false: {UNENDED_CODE}"
        );
        Ok(())
    }

    /// Reads the files that the recipe names and starts its executor where the format has code, on so many cores if the recipe
    /// does not say how many.
    fn start(settings: &ProgramRecipe, cores: usize) -> Result<Self> {
        Self::start_with(settings, |config| execution::start(&config.on(cores)))
    }

    /// No executor is started, and code steps cannot be taken.
    fn without_steps(settings: &ProgramRecipe) -> Result<Self> {
        Self::assemble(settings, |_| Ok(None))
    }

    fn stops(&self) -> Vec<String> {
        self.shared.format.stops.clone()
    }

    fn next_question(&self) -> Option<String> {
        next_question(&self.shared.format.prompt)
    }

    fn interpreter(&self) -> Option<String> {
        self.shared.executor.as_ref().map(|executor| executor.interpreter())
    }

    fn read_problem(&self, text: &str) -> Result<Problem, String> {
        if text.trim().is_empty() {
            return Err("the question is empty".to_owned());
        }
        let id = "question".to_owned();
        let metadata = serde_json::Map::new();
        Ok(Problem { id, question: text.trim().to_owned(), answer: String::new(), metadata })
    }

    fn split(&self, problem: &Problem) -> Result<Split, ProblemError> {
        split::split_of(problem)
    }

    fn for_net_of_round(&self, round: usize) -> Self {
        let shots = round < self.shared.recipe.shots_until_round;
        Self { shared: Arc::clone(&self.shared), shots }
    }

    fn training_prompt(&self, question: &str) -> Result<Option<String>> {
        self.shared.prompts.render(question, false).map(Some)
    }

    fn split_context<'a>(&self, context: &'a str) -> Result<(&'a str, &'a str), String> {
        let split = self.shared.prompts.split(context, self.shots);
        split.ok_or_else(|| "the context does not begin with the environment's prompt".to_owned())
    }

    fn written_steps(&self, text: &str) -> Vec<String> {
        let Format { step_end, answer_end, .. } = &self.shared.format;
        let text = text.strip_suffix(answer_end.as_str()).unwrap_or(text);
        let end = if step_end.is_empty() { "\n" } else { step_end };
        let steps = text.split(end).map(str::trim).filter(|step| !step.is_empty());
        steps.map(str::to_owned).collect()
    }

    fn step_ends(&self) -> [&str; 2] {
        [&self.shared.format.step_end, &self.shared.format.answer_end]
    }

    fn worked_solution(&self, problem: &Problem) -> Result<Option<WorkedSolution>> {
        let Some(solution) = problem.metadata.get("solution") else { return Ok(None) };
        let environment = Self { shared: Arc::clone(&self.shared), shots: false };
        let mut state = environment.root(problem)?;
        let prompt = environment.context(&state).to_owned();
        let last = self.shared.format.answer_step.replace("{answer}", &problem.answer);
        let mut steps: Vec<(String, String)> = Vec::new();
        // Where observations are lines, as steps are, those of a solution are read again as they are made here.
        let mut shown: Vec<String> = Vec::new();
        for action in self.pieces(solution).into_iter().chain([last]) {
            if shown.last() == Some(&action) {
                shown.pop();
                continue;
            }
            let transition = environment.step(&state, &action)?;
            let observation = transition.observation.into_owned();
            let lines = observation.lines().rev().map(|line| line.trim_end().to_owned());
            shown = lines.filter(|line| !line.is_empty()).collect();
            steps.push((action, observation));
            match transition.terminal {
                None => state = transition.state,
                Some(Terminal::Answer(answer)) => {
                    let reward = environment.reward(problem, &answer);
                    let right = environment.is_correct(reward);
                    return Ok(right.then_some(WorkedSolution { prompt, steps }));
                }
                Some(Terminal::Invalid(_)) => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Serialize for Program {
    /// What results depend on: how many workers run code is no part of it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut recipe = self.shared.recipe.clone();
        let ExecutorConfig { workers, live_states, .. } = ExecutorConfig::default();
        recipe.executor = ExecutorConfig { workers, live_states, ..recipe.executor };
        (recipe, self.shots).serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
