//! A record that one thread grows level by level: what the searches without a shared tree are made of.
//!
//! Every call of the evaluator is one batch over a level, so that problems side by side keep it busy.

use crate::algorithm::SolutionStep;
use crate::cancel::Cancel;
use crate::cut::Cut;
use crate::environment::{Environment, Problem, Terminal};
use crate::error::SearchError;
use crate::evaluator::{Evaluator, EvaluatorError, Proposal, Request};
use crate::guard::{self, CheckedEvaluator, catch_panic};
use crate::snapshot::{NodeRecord, StopReason, TREE_SCHEMA, Tag, TreeRecord};
use crate::step_text::{SiblingTexts, StepText};
use crate::tokens::SampledTokens;

/// The value of every invalid ending.
const INVALID: f64 = -1.0;

/// A node's number: the root is 0, and others follow in the order of their creation.
pub(crate) type Number = usize;

/// The number of the root.
pub(crate) const ROOT: Number = 0;

/// A tree in the making with the question that it answers.
pub(crate) struct Growth<'a, E: Environment> {
    environment: &'a E,
    evaluator: CheckedEvaluator<'a>,
    problem: &'a Problem,
    /// Whether answers may be graded.
    ground_truth: bool,
    seed: u64,
    /// Whether steps keep their tokens.
    keep_tokens: bool,
    nodes: Vec<Grown<E::State>>,
    texts: SiblingTexts,
}

/// A node of it.
pub(crate) struct Grown<S> {
    /// The root's is the root.
    parent: Number,
    tag: Tag,
    children: usize,
    state: S,
    step: StepText,
    prior: f64,
    tokens: usize,
    /// Whether the policy was cut off there before it ended the step.
    truncated: bool,
    sampled: Option<Box<SampledTokens>>,
    /// The value net's opinion of the state or, at an end, its reward; in [-1, 1]. None until asked.
    pub(crate) value: Option<f64>,
    /// How the path ended here.
    pub(crate) terminal: Option<Terminal>,
    /// The answer's reward, where the ground truth may be read.
    reward: Option<f64>,
    visits: u64,
    value_sum: f64,
}

impl<S> Grown<S> {
    /// The final answer, if the path ended here with one.
    pub(crate) fn answer(&self) -> Option<&str> {
        match &self.terminal {
            Some(Terminal::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    /// The limit that ended the path here.
    pub(crate) fn cut(&self) -> Option<Cut> {
        Cut::of(self.terminal.as_ref()?)
    }
}

/// What is asked of the policy at one node.
pub(crate) struct Ask {
    pub(crate) node: Number,
    /// Steps to sample.
    pub(crate) samples: usize,
    /// Of these samples alone.
    pub(crate) seed: u64,
}

/// How the steps of a node are sampled.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    pub(crate) temperature: f32,
    pub(crate) without_replacement: bool,
}

impl<'a, E: Environment> Growth<'a, E> {
    /// A bare root. Once `cancel` is cancelled, every question fails with [`crate::EvaluatorError::Cancelled`].
    ///
    /// # Errors
    /// When the problem cannot be posed.
    pub(crate) fn new(
        environment: &'a E,
        evaluator: &'a dyn Evaluator,
        problem: &'a Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Result<Self, SearchError> {
        let root = environment.root(problem)?;
        Ok(Self::at(root, environment, evaluator, problem, seed, ground_truth, cancel))
    }

    /// As [`Growth::new`], from any state of the problem.
    pub(crate) fn at(
        state: E::State,
        environment: &'a E,
        evaluator: &'a dyn Evaluator,
        problem: &'a Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Self {
        let root = Grown {
            parent: ROOT,
            tag: Tag::const_new(TreeRecord::ROOT),
            children: 0,
            step: StepText::prompt(environment.context(&state)),
            state,
            prior: 1.0,
            tokens: 0,
            truncated: false,
            sampled: None,
            value: None,
            terminal: None,
            reward: None,
            visits: 0,
            value_sum: 0.0,
        };
        Self {
            environment,
            evaluator: CheckedEvaluator::new(evaluator, cancel.clone()),
            problem,
            ground_truth,
            seed,
            keep_tokens: false,
            nodes: vec![root],
            texts: SiblingTexts::default(),
        }
    }

    /// Whether steps keep their tokens; they do not unless asked to.
    pub(crate) fn keep_tokens(mut self, keep_tokens: bool) -> Self {
        self.keep_tokens = keep_tokens;
        self
    }

    /// The search's seed.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// A node.
    pub(crate) fn node(&self, node: Number) -> &Grown<E::State> {
        &self.nodes[node]
    }

    /// Samples steps, in one batch, and notes each node's value on the way. No proposal comes of a node whose context is
    /// too long to read: its path ends there.
    pub(crate) fn propose(
        &mut self,
        asked: &[Ask],
        sampling: Sampling,
    ) -> Result<Vec<Vec<Proposal>>, SearchError> {
        let request = |ask: &Ask| Request {
            context: self.environment.context(&self.nodes[ask.node].state).into(),
            samples: ask.samples,
            temperature: sampling.temperature,
            seed: ask.seed,
            without_replacement: sampling.without_replacement,
            keep_tokens: self.keep_tokens,
        };
        let requests: Vec<Request> = asked.iter().map(request).collect();
        let answers = self.evaluator.ask(&requests)?;
        let proposals = asked.iter().zip(answers).map(|(ask, answer)| match answer {
            Some(evaluation) => {
                self.nodes[ask.node].value.get_or_insert(evaluation.value);
                evaluation.proposals
            }
            None => {
                self.cut(ask.node, Cut::ContextTooLong);
                Vec::new()
            }
        });
        Ok(proposals.collect())
    }

    /// Takes a proposed step: a new node below `parent`.
    pub(crate) fn step(
        &mut self,
        parent: Number,
        proposal: Proposal,
    ) -> Result<Number, SearchError> {
        let transition = self.environment.step(&self.nodes[parent].state, &proposal.action)?;
        let terminal = transition.terminal.map(|end| Cut::at_step(end, proposal.truncated));
        let reward = match &terminal {
            Some(Terminal::Answer(answer)) if self.ground_truth => {
                Some(guard::reward(self.environment, self.problem, answer)?)
            }
            _ => None,
        };
        let value = match &terminal {
            Some(ending @ Terminal::Invalid(_)) => Some(Cut::worth(ending, INVALID)),
            _ => reward,
        };
        self.texts.clear();
        self.texts.push(&proposal.action, &transition.observation);
        let step = self.texts.share().next();
        let above = &mut self.nodes[parent];
        let tag = TreeRecord::extend_tag(above.tag.clone(), above.children);
        above.children += 1;
        self.nodes.push(Grown {
            parent,
            tag,
            children: 0,
            state: transition.state,
            step: step.unwrap_or_else(|| StepText::prompt("")),
            prior: proposal.prior().min(1.0),
            tokens: proposal.tokens,
            truncated: proposal.truncated,
            sampled: proposal.sampled,
            value,
            terminal,
            reward,
            visits: 0,
            value_sum: 0.0,
        });
        Ok(self.nodes.len() - 1)
    }

    /// Asks for the values that nodes lack, in one batch; an invalid ending needs none. A node whose context is too long to read keeps none, and its
    /// path ends there unless it had ended before.
    pub(crate) fn score(&mut self, nodes: &[Number]) -> Result<(), SearchError> {
        let is_unscored = |node: &Number| {
            let Grown { value, terminal, .. } = &self.nodes[*node];
            value.is_none() && !matches!(terminal, Some(Terminal::Invalid(_)))
        };
        let unscored: Vec<Number> = nodes.iter().copied().filter(is_unscored).collect();
        let request = |node: &Number| {
            Request::value(self.environment.context(&self.nodes[*node].state).into())
        };
        let requests: Vec<Request> = unscored.iter().map(request).collect();
        for (node, answer) in unscored.into_iter().zip(self.evaluator.ask(&requests)?) {
            match answer {
                Some(evaluation) => self.nodes[node].value = Some(evaluation.value),
                None if self.nodes[node].terminal.is_none() => self.cut(node, Cut::ContextTooLong),
                None => {}
            }
        }
        Ok(())
    }

    /// Ends a path at a limit.
    fn cut(&mut self, node: Number, cut: Cut) {
        self.nodes[node].terminal = Some(cut.ending());
    }

    /// Ends the paths whose steps have run out.
    pub(crate) fn cut_open(&mut self, ends: &[Number]) {
        for &end in ends {
            if self.nodes[end].terminal.is_none() {
                self.cut(end, Cut::TooManySteps);
            }
        }
    }

    /// The first of the limits that ended paths.
    pub(crate) fn first_cut(&self) -> Option<Cut> {
        self.nodes.iter().filter_map(Grown::cut).min()
    }

    /// Steps that were cut off before their end.
    pub(crate) fn steps_truncated(&self) -> usize {
        self.nodes.iter().filter(|node| node.truncated).count()
    }

    /// Adds a node's value, that of an invalid ending where it has none, to the node and every one above it.
    pub(crate) fn back_up(&mut self, node: Number) {
        let ended = self.nodes[node].terminal.is_some();
        let value = match &self.nodes[node].terminal {
            Some(ending @ Terminal::Invalid(_)) => Cut::worth(ending, INVALID),
            _ => self.nodes[node].value.unwrap_or(INVALID),
        };
        if ended {
            self.nodes[node].value = Some(value);
        }
        let mut at = node;
        loop {
            let there = &mut self.nodes[at];
            there.visits += 1;
            there.value_sum += value;
            if at == ROOT {
                return;
            }
            at = there.parent;
        }
    }

    /// Backs every node up that has a value of its own or has ended, but for a root that can be read: no step led to it.
    pub(crate) fn back_up_all(&mut self) {
        for node in 0..self.nodes.len() {
            let Grown { value, terminal, .. } = &self.nodes[node];
            if terminal.is_some() || (value.is_some() && node != ROOT) {
                self.back_up(node);
            }
        }
    }

    /// Tokens sampled so far, those of dropped steps included.
    pub(crate) fn tokens(&self) -> u64 {
        self.evaluator.tokens()
    }

    /// Requests answered so far.
    pub(crate) fn evaluations(&self) -> u64 {
        self.evaluator.evaluations()
    }

    /// Gives a node a value unless it has one.
    pub(crate) fn count_as(&mut self, node: Number, value: f64) {
        self.nodes[node].value.get_or_insert(value);
    }

    /// The steps from the root to a node.
    pub(crate) fn solution(&self, node: Number) -> Vec<SolutionStep> {
        let step = |node: Number| {
            let Grown { step, prior, value, .. } = &self.nodes[node];
            SolutionStep {
                action: step.action().to_owned(),
                observation: step.observation().to_owned(),
                prior: *prior,
                value: *value,
                q: None,
                visits: None,
            }
        };
        let mut steps: Vec<SolutionStep> = self.upwards(node).map(step).collect();
        steps.reverse();
        steps
    }

    /// Tokens sampled from the root to a node.
    pub(crate) fn path_tokens(&self, node: Number) -> u64 {
        self.upwards(node).map(|node| self.nodes[node].tokens as u64).sum()
    }

    /// Those of the steps from the root to a node that were cut off before their end.
    pub(crate) fn path_truncated(&self, node: Number) -> usize {
        self.upwards(node).filter(|node| self.nodes[*node].truncated).count()
    }

    /// A node and those above it, the root left out.
    fn upwards(&self, node: Number) -> impl Iterator<Item = Number> {
        std::iter::successors(Some(node), |node| Some(self.nodes[*node].parent))
            .take_while(|node| *node != ROOT)
    }

    /// Everything as plain data.
    pub(crate) fn record(self, stop: StopReason, simulations: u64) -> TreeRecord {
        TreeRecord {
            schema: TREE_SCHEMA.to_owned(),
            problem: self.problem.id.clone(),
            question: self.problem.question.clone(),
            answer: self.ground_truth.then(|| self.problem.answer.clone()),
            seed: self.seed,
            simulations,
            stop,
            ground_truth: self.ground_truth,
            tokens: self.tokens(),
            evaluations: self.evaluations(),
            collisions: 0,
            order: None,
            react: {
                let Self { nodes, environment, problem, .. } = self;
                nodes.into_iter().map(|node| node.record(environment, problem)).collect()
            },
        }
    }
}

impl<S> Grown<S> {
    fn record<E: Environment>(self, environment: &E, problem: &Problem) -> (Tag, NodeRecord) {
        let correct = guard::verdict(environment, problem, self.terminal.as_ref(), self.reward);
        let q_value = if self.visits == 0 { 0.0 } else { self.value_sum / self.visits as f64 };
        let record = NodeRecord {
            step: self.step,
            value: self.value,
            q_value,
            prior: self.prior,
            visit_count: self.visits,
            tokens: self.tokens,
            truncated: self.truncated,
            sampled: self.sampled,
            terminal: self.terminal,
            correct,
            reward: self.reward,
            state: None,
        };
        (self.tag, record)
    }
}

/// Runs the part of a search that asks and steps; none when it was cancelled, which leaves what was grown until then. A panic
/// of the environment is the search's failure.
pub(crate) fn finished<T>(
    work: impl FnOnce() -> Result<T, SearchError>,
) -> Result<Option<T>, SearchError> {
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    match catch_panic(work).map_err(SearchError::Environment).flatten() {
        Ok(found) => Ok(Some(found)),
        Err(SearchError::Evaluator(EvaluatorError::Cancelled)) => Ok(None),
        Err(error) => Err(error),
    }
}
