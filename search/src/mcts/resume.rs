//! A finished tree is grown again from its record, so that a search can go on where it stopped.
//!
//! Nothing is copied but what the evaluator said: the environment takes each step again, and every value is backed
//! up again along its path. Sums are then those that one longer search would have, whatever fixed-point layout either
//! has, and a record that does not come from these settings shows in its visits.

use super::expand::Draft;
use super::once_value::OnceValue;
use super::state::Search;
use super::step_data::StepData;
use crate::sync::{OnceLock, Ordering};
use crate::tree::{Node, NodeState, Path};
use crate::{Cut, Environment, NodeRecord, SearchError, TreeRecord};

impl<E: Environment> Search<'_, E> {
    /// Grows the recorded tree in this one, which is still a bare root.
    pub(super) fn regrow(&self, record: &TreeRecord) -> Result<(), SearchError> {
        self.config.can_continue()?;
        self.check_problem(record)?;
        let mut regrown = 0;
        // Children stand in the order of their creation, and so do their parents' expansions.
        let expanded = record.react.keys().filter_map(|tag| tag.strip_suffix(".0"));
        for tag in expanded {
            let path = self.claimed_path(tag)?;
            let draft = self.recorded_draft(record, tag, self.leaf(&path))?;
            self.commit(&path, draft);
            regrown += 1;
        }
        for (tag, node) in &record.react {
            if self.ended_late(node) && self.node(tag)?.state() == NodeState::Unexpanded {
                let path = self.claimed_path(tag)?;
                self.end_unreadable(&path);
                regrown += 1;
            }
        }
        if regrown != record.simulations {
            let told = record.simulations;
            return Err(broken(
                TreeRecord::ROOT,
                format!("{told} simulations, {regrown} expansions"),
            ));
        }
        for (tag, node) in &record.react {
            self.check_node(tag, node)?;
        }
        self.take_order(record);
        // Relaxed: no worker has begun.
        self.counts.started.store(regrown, Ordering::Relaxed);
        self.counts.completed.store(regrown, Ordering::Relaxed);
        self.counts.collisions.store(record.collisions, Ordering::Relaxed);
        self.evaluator.count(record.tokens, record.evaluations);
        Ok(())
    }

    fn check_problem(&self, record: &TreeRecord) -> Result<(), SearchError> {
        let problem = self.problem;
        if record.problem != problem.id || record.question != problem.question {
            let (found, expected) = (&record.problem, &problem.id);
            let message = format!("it is of problem {found}, not of {expected} with this question");
            return Err(broken(TreeRecord::ROOT, message));
        }
        let root = record.root().ok_or_else(|| broken(TreeRecord::ROOT, "missing".to_owned()))?;
        if root.text() != self.environment.context(&self.data(self.tree.root()).state) {
            return Err(broken(TreeRecord::ROOT, "the environment puts another prompt".to_owned()));
        }
        if record.simulations > self.config.simulations {
            let (done, asked) = (record.simulations, self.config.simulations);
            let message =
                format!("it has had {done} simulations, and {asked} in all are asked for");
            return Err(broken(TreeRecord::ROOT, message));
        }
        Ok(())
    }

    /// Whether a node's context turned out too long when it was about to be expanded.
    fn ended_late(&self, node: &NodeRecord) -> bool {
        let too_long = Cut::ContextTooLong.ending();
        !self.config.update_leaf_value && node.terminal.as_ref() == Some(&too_long)
    }

    /// The node that has a tag now.
    pub(super) fn node(&self, tag: &str) -> Result<Node<'_>, SearchError> {
        let path = self.walk(tag)?;
        self.tree.retreat(&path);
        path.leaf().ok_or_else(|| broken(tag, "no such node".to_owned()))
    }

    /// The path to a tag, through shared nodes, with a simulation in flight.
    fn walk(&self, tag: &str) -> Result<Path<'_>, SearchError> {
        let mut indices = tag.split('.');
        let mut path = Path::new();
        self.tree.start(&mut path);
        let mut node = (indices.next() == Some(TreeRecord::ROOT)).then(|| self.tree.root());
        for index in indices {
            let index: usize = index.parse().map_err(|_| broken(tag, "no tag".to_owned()))?;
            node = node.and_then(|node| self.steps_below(node).nth(index));
            let Some(node) = node else { break };
            self.tree.enter(node, &mut path);
            if let Some(shared) = self.data(node).shared {
                self.tree.enter(self.tree.shared(shared), &mut path);
            }
        }
        if node.is_none() {
            self.tree.retreat(&path);
            return Err(broken(tag, "its parent has no such child".to_owned()));
        }
        Ok(path)
    }

    fn claimed_path(&self, tag: &str) -> Result<Path<'_>, SearchError> {
        let path = self.walk(tag)?;
        if path.leaf().is_some_and(|leaf| self.tree.claim(leaf)) {
            return Ok(path);
        }
        self.tree.retreat(&path);
        Err(broken(tag, "it has children and has ended".to_owned()))
    }

    fn recorded_draft(
        &self,
        record: &TreeRecord,
        tag: &str,
        leaf: Node<'_>,
    ) -> Result<Draft<E::State>, SearchError> {
        let StepData { state, depth, .. } = self.data(leaf);
        let missing = || broken(tag, "it has children and no value".to_owned());
        let parent = record.react.get(tag).ok_or_else(missing)?;
        let mut children = Vec::new();
        for (tag, node) in record.children(tag) {
            let transition = self.environment.step(state, node.action())?;
            if transition.observation != node.observation() {
                return Err(broken(&tag, "the environment answers the step otherwise".to_owned()));
            }
            let terminal = node.terminal.clone().filter(|_| !self.ended_late(node));
            let valued = terminal.is_some() || self.config.update_leaf_value;
            let value = node.value.filter(|_| valued);
            if valued && value.is_none() {
                return Err(broken(&tag, "it has no value".to_owned()));
            }
            children.push(StepData {
                step: Some(node.step.clone()),
                prior: node.prior,
                tokens: u32::try_from(node.tokens).unwrap_or(u32::MAX),
                truncated: node.truncated,
                sampled: node.sampled.clone(),
                terminal: terminal.map_or_else(OnceLock::new, OnceLock::from),
                reward: OnceValue::new(node.reward()),
                value: OnceValue::new(value),
                ..StepData::of_state(transition.state, depth + 1)
            });
        }
        Ok(Draft { children, value: parent.value.ok_or_else(missing)?, unscored: Vec::new() })
    }

    /// Whether a node has come out as it was recorded.
    fn check_node(&self, tag: &str, record: &NodeRecord) -> Result<(), SearchError> {
        let stats = self.node(tag)?.stats(&self.tree);
        let q = (stats.q() - record.q_value).abs() <= self.tree.layout().resolution() + 1e-9;
        if stats.visits == record.visit_count && q {
            return Ok(());
        }
        let (visits, found) = (record.visit_count, stats.visits);
        let message = format!(
            "grown again under these settings it has {found} visits and Q {}, not {visits} and {}",
            stats.q(),
            record.q_value
        );
        Err(broken(tag, message))
    }
}

fn broken(tag: &str, message: String) -> SearchError {
    SearchError::Record { tag: tag.to_owned(), message }
}
