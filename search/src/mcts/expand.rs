//! The second half of a simulation: an answer becomes children, their rewards and values are backed
//! up. The same makes more children of a node that is widened.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::once_value::OnceValue;
use super::state::{Search, SharedStates};
use super::step_data::StepData;
use crate::evaluator::remove_duplicates;
use crate::guard;
use crate::seed::{derive_seed, stream};
use crate::selection::mix_noise;
use crate::step_text::SiblingTexts;
use crate::sync::{OnceLock, Ordering};
use crate::tree::{End, NewChild, Node, NodeId, NodeState, Path, Room};
use crate::{Cut, Environment, Evaluation, Proposal, Request, SearchError, Terminal};

/// Children a node for whose short lists no allocation is made.
const FEW: usize = 8;

/// Memory of a worker that serves one simulation after the other.
#[derive(Default)]
pub(super) struct Scratch {
    texts: SiblingTexts,
    requests: Vec<Request>,
}

/// Children that no other thread sees yet.
pub(super) struct Draft<S> {
    pub(super) children: Vec<StepData<S>>,
    /// Value of the expanded state, in [-1, 1].
    pub(super) value: f64,
    /// Indices into `children` of those that the value net must score before they are published.
    pub(super) unscored: Vec<usize>,
}

impl<E: Environment> Search<'_, E> {
    /// Whether a claimed node has children already, and is to get more.
    fn is_widened(leaf: Node<'_>) -> bool {
        leaf.state() == NodeState::Expanded
    }

    /// What the evaluator is asked about a leaf.
    fn request(&self, leaf: Node<'_>) -> Request {
        let widened = Self::is_widened(leaf);
        let without_replacement = self.config.without_replacement;
        // What is sampled at a node a second time is not what was sampled the first; without replacement it is what comes next.
        let seed = if widened && !without_replacement {
            derive_seed(self.seed, stream::WIDENINGS + leaf.widenings(&self.tree) as u64)
        } else {
            self.seed
        };
        let known =
            if widened && without_replacement { leaf.children(&self.tree).count() } else { 0 };
        Request {
            context: self.environment.context(&self.data(leaf).state).into(),
            samples: known + self.config.samples,
            temperature: self.config.temperature,
            seed: derive_seed(seed, u64::from(leaf.id().index())),
            without_replacement,
            keep_tokens: self.config.keep_tokens,
        }
    }

    /// Asks about the paths' claimed leaves in one batch.
    pub(super) fn ask(
        &self,
        paths: &[Path<'_>],
        scratch: &mut Scratch,
    ) -> Result<Vec<Option<Evaluation>>, SearchError> {
        scratch.requests.clear();
        scratch.requests.extend(paths.iter().map(|path| self.request(self.leaf(path))));
        self.evaluator.ask(&scratch.requests)
    }

    /// Takes each proposed step in the environment. Changes nothing in the tree.
    ///
    /// # Errors
    /// When a step cannot be taken, or an answer's reward is not one.
    pub(super) fn draft(
        &self,
        leaf: Node<'_>,
        mut evaluation: Evaluation,
        scratch: &mut Scratch,
    ) -> Result<Draft<E::State>, SearchError> {
        let StepData { state, depth, .. } = self.data(leaf);
        let depth = depth + 1;
        let widened = Self::is_widened(leaf);
        if self.config.remove_duplicate || widened {
            remove_duplicates(&mut evaluation.proposals);
        }
        if widened {
            self.remove_known(leaf, &mut evaluation.proposals);
        }
        // Of the size in which the tree keeps them.
        let mut children: Vec<StepData<E::State>> = Vec::with_capacity(evaluation.proposals.len());
        let mut unscored = Vec::new();
        let texts = &mut scratch.texts;
        texts.clear();
        for proposal in evaluation.proposals {
            let prior = proposal.prior().min(1.0);
            let transition = self.environment.step(state, &proposal.action)?;
            let ending = transition.terminal.map(|ending| Cut::at_step(ending, proposal.truncated));
            let terminal = limit_depth(ending, depth as usize, self.config.max_depth);
            let reward = self.reward(terminal.as_ref())?;
            let value = terminal.as_ref().and_then(|terminal| self.value(terminal, reward));
            if value.is_none() && (terminal.is_some() || self.config.update_leaf_value) {
                unscored.push(children.len());
            }
            children.push(StepData {
                reward: OnceValue::new(reward),
                value: OnceValue::new(value),
                terminal: terminal.map_or_else(OnceLock::new, OnceLock::from),
                prior,
                tokens: u32::try_from(proposal.tokens).unwrap_or(u32::MAX),
                truncated: proposal.truncated,
                sampled: proposal.sampled,
                ..StepData::of_state(transition.state, depth)
            });
            texts.push(&proposal.action, &transition.observation);
        }
        children.iter_mut().zip(texts.share()).for_each(|(child, step)| child.step = Some(step));
        if self.config.normalise_prior {
            normalise(&mut children);
        }
        Ok(Draft { children, value: evaluation.value, unscored })
    }

    /// Drops the steps that a node has already.
    fn remove_known(&self, node: Node<'_>, proposals: &mut Vec<Proposal>) {
        let step = |child| self.data(child).step.as_ref().map_or("", |step| step.action().trim());
        let known: HashSet<&str> = node.children(&self.tree).map(step).collect();
        proposals.retain(|proposal| !known.contains(proposal.action.trim()));
    }

    /// Asks for the values that the draft lacks, in one batch.
    pub(super) fn score(&self, draft: &Draft<E::State>) -> Result<(), SearchError> {
        if draft.unscored.is_empty() {
            return Ok(());
        }
        let request = |index: &usize| {
            Request::value(self.environment.context(&draft.children[*index].state).into())
        };
        let requests: Vec<Request> = draft.unscored.iter().map(request).collect();
        for (index, answer) in draft.unscored.iter().zip(self.evaluator.ask(&requests)?) {
            let child = &draft.children[*index];
            // `draft` leaves the value of every index in `unscored` unset.
            if let Some(evaluation) = answer {
                child.value.set(evaluation.value);
            } else {
                child.value.set(self.config.negative_reward);
                // An answer keeps its ending: the path was over before it grew too long to read.
                _ = child.terminal.set(Cut::ContextTooLong.ending());
            }
        }
        Ok(())
    }

    /// Publishes the children and backs up: each child that already has a value, then the expanded
    /// node's, which a node that is widened has backed up before.
    pub(super) fn commit(&self, path: &Path<'_>, mut draft: Draft<E::State>) {
        let leaf = self.leaf(path);
        let widened = Self::is_widened(leaf);
        if let Some(states) = &self.states {
            draft.children.iter_mut().for_each(|child| self.share(states, child));
        }
        let mut new: SmallVec<[NewChild; FEW]> =
            draft.children.iter().map(|child| self.new_child(child)).collect();
        let noise = self.config.selection.root_noise;
        if let Some(noise) = noise.filter(|_| leaf.id() == NodeId::ROOT && !widened) {
            let mut priors: Vec<f32> = new.iter().map(|child| child.prior).collect();
            mix_noise(&noise, &mut priors, derive_seed(self.seed, stream::NOISE));
            new.iter_mut().zip(priors).for_each(|(child, prior)| child.prior = prior);
        }
        let mut values: SmallVec<[f64; FEW + 1]> =
            new.iter().filter_map(|child| child.value).collect();
        if !self.config.update_leaf_value && !widened {
            values.push(draft.value);
        }
        // Set already where `update_leaf_value` scored this node as a child, with the same state's
        // value.
        self.data(leaf).value.set(draft.value);
        let found = self.note_answers(path, &draft.children);
        self.note_simulation(leaf, new.len(), &values);
        let run = if widened {
            self.tree.prepare_more(leaf, &new)
        } else {
            let room = if found { Room::default() } else { self.config.room() };
            let run = self.tree.prepare_with_room(&new, room);
            self.tree.set_value(&run, draft.value as f32);
            run
        };
        for (id, child) in run.ids().zip(&draft.children) {
            if let Some(shared) = child.shared {
                // The first edge stays the first.
                _ = self.data(self.tree.shared(shared)).first_edge.set(id);
            }
        }
        if !draft.children.is_empty() {
            self.insert(run.first(), draft.children);
        }
        if widened {
            self.tree.publish_more(path, &run);
        } else {
            self.tree.publish(path, &run);
        }
        self.tree.backup(path, self.tree.layout().visits(&values));
    }

    /// Finds or makes the node of the state that a new child leads to.
    fn share(&self, states: &SharedStates, child: &mut StepData<E::State>) {
        if child.terminal.get().is_none()
            && let Some(key) = self.environment.state_key(&child.state)
        {
            let make = || {
                let shared = self.tree.share();
                self.insert(
                    shared.id(),
                    vec![StepData::of_state(child.state.clone(), child.depth)],
                );
                shared
            };
            child.shared = Some(*states.entry((child.depth, key)).or_insert_with(make));
        }
    }

    fn new_child(&self, child: &StepData<E::State>) -> NewChild {
        let new = NewChild {
            prior: child.prior as f32,
            end: child.terminal.get().map(|_| End::Closed),
            value: child.value.get(),
            shared: child.shared,
        };
        match child.shared.map(|shared| self.tree.shared(shared)) {
            // Nothing is left to search there: what is known of it is backed up once, as for an end.
            Some(state) if state.is_closed() => {
                let q = state.stats(&self.tree).q();
                NewChild { end: Some(End::Closed), value: Some(q), ..new }
            }
            _ => new,
        }
    }

    /// Remembers that an answer, or a right one, was found; true when there is no need to widen the nodes above any more:
    /// one is right or, where the ground truth may not be read, the value net takes it for right.
    fn note_answers(&self, path: &Path<'_>, children: &[StepData<E::State>]) -> bool {
        let (mut any, mut found) = (false, false);
        for child in children {
            if !matches!(child.terminal.get(), Some(Terminal::Answer(_))) {
                continue;
            }
            any = true;
            // Relaxed, here and below: flags that announce nothing but themselves.
            child.answered.store(true, Ordering::Relaxed);
            let right = child.reward.get().map(|reward| self.environment.is_correct(reward));
            if right == Some(true) {
                self.counts.solved.store(true, Ordering::Relaxed);
            }
            found |= right.unwrap_or_else(|| child.value.get().is_some_and(|value| value > 0.0));
        }
        if any {
            for node in path.nodes() {
                self.data(*node).answered.store(true, Ordering::Relaxed);
            }
        }
        if found && self.config.widening > 0 {
            self.tree.stop_widening(path);
        }
        found
    }

    /// Ends a path whose context the model cannot read. A node that is widened has been read before, and keeps its children.
    pub(super) fn end_unreadable(&self, path: &Path<'_>) {
        let leaf = self.leaf(path);
        if Self::is_widened(leaf) {
            return self
                .commit(path, Draft { children: Vec::new(), value: 0.0, unscored: Vec::new() });
        }
        let data = self.data(leaf);
        // The claim makes this thread the only one to set either; a value from `update_leaf_value`
        // may stand.
        _ = data.terminal.set(Cut::ContextTooLong.ending());
        data.value.set(self.config.negative_reward);
        self.note_simulation(leaf, 0, &[self.config.negative_reward]);
        self.tree.end(path);
        self.tree.backup(path, self.tree.layout().visits(&[self.config.negative_reward]));
    }

    /// The reward of an answer, where the ground truth may be read.
    fn reward(&self, terminal: Option<&Terminal>) -> Result<Option<f64>, SearchError> {
        let Some(Terminal::Answer(answer)) = terminal.filter(|_| self.ground_truth) else {
            return Ok(None);
        };
        guard::reward(self.environment, self.problem, answer).map(Some)
    }

    /// What an end is worth without asking the value net.
    fn value(&self, terminal: &Terminal, reward: Option<f64>) -> Option<f64> {
        match terminal {
            Terminal::Answer(_) => reward.map(|reward| self.config.value_of(reward)),
            Terminal::Invalid(_) => Some(Cut::worth(terminal, self.config.negative_reward)),
        }
    }
}

/// Ends a path at `depth` steps when that is more than `max_depth` and it has not ended by itself.
#[inline]
fn limit_depth(terminal: Option<Terminal>, depth: usize, max_depth: usize) -> Option<Terminal> {
    let too_deep = || (depth > max_depth).then(|| Cut::TooManySteps.ending());
    terminal.or_else(too_deep)
}

fn normalise<S>(siblings: &mut [StepData<S>]) {
    let sum: f64 = siblings.iter().map(|child| child.prior).sum();
    if sum > 0.0 {
        for child in siblings {
            child.prior /= sum;
        }
    }
}
