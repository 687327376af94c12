//! A step as a server reports it, and the proposal that it becomes.

use espalier_search::{Action, Proposal, SampledTokens};

use super::finish::Finish;
use super::http::Unreadable;
use super::log_probs::{Mismatch, Reported};

/// A step as a server reports it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) action: Action,
    /// How many tokens were sampled.
    pub(super) tokens: usize,
    /// Whether the server cut it off.
    pub(super) truncated: bool,
    /// The sum of their log-probabilities, where they are reported.
    pub(super) log_prob: Option<f64>,
    /// Their ids.
    pub(super) sampled: Option<Box<SampledTokens>>,
    /// Why the reported log-probabilities are not used.
    pub(super) mismatch: Option<Mismatch>,
}

impl Step {
    /// # Errors
    /// When what is reported are no logarithms of probabilities.
    pub(super) fn read(
        mut text: String,
        finish: Finish,
        reported: Reported,
        counted: Option<usize>,
        ids: Option<Vec<u32>>,
        stop: &[String],
    ) -> Result<Self, Unreadable> {
        // Half a character is no text.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        let cut = finish == Finish::Cut && whole < text.len();
        if cut {
            text.truncate(whole);
        }
        // A token has a byte or more, and a server that leaves the delimiter's out leaves out no more than it has.
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        let left_out = if finish == Finish::Ended { longest } else { 0 };
        let mismatch = reported.mismatch(counted, left_out, cut);
        let numbers = reported.numbers;
        if let Some(number) = numbers.iter().find(|number| number.is_nan() || **number > 1e-3) {
            return Err(Unreadable::Unusable(format!("{number} is no logarithm of a probability")));
        }
        let own = mismatch.is_none() && !numbers.is_empty();
        let action: Action = until_stop(text, stop).into();
        Ok(Self {
            truncated: finish == Finish::Cut,
            tokens: if own { numbers.len() } else { counted.unwrap_or(numbers.len()).max(1) },
            log_prob: own.then(|| numbers.iter().sum::<f64>().min(0.0)),
            sampled: ids.filter(|_| own).and_then(|ids| sampled(ids, &numbers)),
            // Of a step without text some servers report nothing.
            mismatch: mismatch.filter(|_| !(numbers.is_empty() && action.is_empty())),
            action,
        })
    }
}

/// The proposals of all samples of a state. Where a step's log-probability is not known, it is that of its share of them.
pub(super) fn proposals(steps: Vec<Step>) -> Vec<Proposal> {
    let texts: Vec<Action> = steps.iter().map(|step| step.action.clone()).collect();
    let share = |action: &Action| {
        texts.iter().filter(|text| *text == action).count() as f64 / texts.len() as f64
    };
    let proposal = |Step { action, tokens, truncated, log_prob, sampled, .. }: Step| Proposal {
        log_prob: log_prob.unwrap_or_else(|| tokens as f64 * share(&action).ln()),
        action,
        tokens,
        truncated,
        sampled,
    };
    steps.into_iter().map(proposal).collect()
}

/// The tokens of a step, if there is an id for each reported log-probability.
fn sampled(ids: Vec<u32>, reported: &[f64]) -> Option<Box<SampledTokens>> {
    let log_probs = reported.iter().map(|&number| number as f32).collect();
    (ids.len() == reported.len() && !ids.is_empty())
        .then(|| Box::new(SampledTokens { ids: ids.into(), log_probs }))
}

/// The text before the first delimiter, should a server have kept it.
fn until_stop(mut text: String, stop: &[String]) -> String {
    if let Some(end) = stop.iter().filter_map(|stop| text.find(stop)).min() {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_log_probabilities_of_its_own_has_its_share_for_each_token() {
        let step = |text: &str, log_prob, tokens| Step {
            action: text.into(),
            tokens,
            truncated: false,
            log_prob,
            sampled: None,
            mismatch: None,
        };
        let steps = vec![
            step("a", None, 3),
            step("b", Some(-1.0), 2),
            step("a", None, 3),
            step("c", None, 1),
        ];
        let found: Vec<(f64, usize)> =
            proposals(steps).iter().map(|found| (found.prior(), found.tokens)).collect();
        let expected = [(0.5, 3), ((-0.5f64).exp(), 2), (0.5, 3), (0.25, 1)];
        for ((prior, tokens), (expected, its_tokens)) in found.iter().zip(expected) {
            assert!((prior - expected).abs() < 1e-12 && *tokens == its_tokens, "{found:?}");
        }
    }
}
