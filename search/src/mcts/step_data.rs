//! What a node carries besides its statistics.

use super::once_value::OnceValue;
use crate::sync::{AtomicBool, OnceLock};
use crate::tokens::SampledTokens;
use crate::tree::{NodeId, SharedNode};
use crate::{StepText, Terminal};

/// The cold side of a node, under the same id as the hot one.
pub(super) struct StepData<S> {
    /// The step that led here; none at the root.
    pub(super) step: Option<StepText>,
    pub(super) state: S,
    /// P(s, a) in full precision; selection reads an `f32`.
    pub(super) prior: f64,
    /// Tokens sampled for the step.
    pub(super) tokens: u32,
    /// Whether the policy was cut off there before it ended the step.
    pub(super) truncated: bool,
    /// Those tokens, where they are kept.
    pub(super) sampled: Option<Box<SampledTokens>>,
    /// How the path ended here. Set at creation, or by the thread that finds the context too long.
    pub(super) terminal: OnceLock<Terminal>,
    /// The answer's reward, where the ground truth may be read.
    pub(super) reward: OnceValue,
    /// The value net's opinion of the state or, at an end, what was backed up. Unset until
    /// evaluated.
    pub(super) value: OnceValue,
    /// Steps from the root.
    pub(super) depth: u32,
    /// Whether there is an answer at or below the node, as far as its own subtree goes.
    pub(super) answered: AtomicBool,
    /// Of an edge: the node of the state that it leads to.
    pub(super) shared: Option<SharedNode>,
    /// Of a shared node: the edge that was the first to lead there.
    pub(super) first_edge: OnceLock<NodeId>,
}

impl<S> StepData<S> {
    /// Of a node that no step leads to by itself: the root, or a shared state.
    pub(super) fn of_state(state: S, depth: u32) -> Self {
        Self {
            step: None,
            state,
            prior: 1.0,
            tokens: 0,
            truncated: false,
            sampled: None,
            terminal: OnceLock::new(),
            reward: OnceValue::new(None),
            value: OnceValue::new(None),
            depth,
            answered: AtomicBool::new(false),
            shared: None,
            first_edge: OnceLock::new(),
        }
    }
}
