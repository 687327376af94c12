//! One solution as the trainer reads it: tokens, which of them the policy learns, and the values at step ends.

use espalier_model::tokenizer::Tokenizer;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::objective::{LabelledPath, PathStep, PathTargets, PolicySpan, PolicyTargets};
use crate::path_tokens::tokenize;

/// A solution in tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Prompt and steps.
    pub tokens: Vec<u32>,
    /// Runs of tokens that the policy is trained to write, in ascending order and apart from one another. Nothing predicts the
    /// first token, so it is in none of them.
    pub policy: Vec<PolicySpan>,
    /// Positions of step ends in `tokens`, with the value that is right there, in [-1, 1].
    pub value_targets: Vec<(usize, f32)>,
    /// Weights of the value targets, each above 0; empty where all weigh 1.
    pub value_weights: Vec<f32>,
    /// Log-probabilities of the policy's tokens when they were sampled, in nats, in the order of `policy`; empty when they were
    /// not kept.
    pub old_log_probs: Vec<f32>,
    /// The path's [`PathTargets::signals`].
    pub signals: Vec<f32>,
    /// The examples of a problem have the same number, and no other has it.
    pub group: Option<u32>,
}

/// Where a step lies in a solution's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepPlace {
    /// Its first token.
    pub start: usize,
    /// The token after its action's last.
    pub action_end: usize,
    /// The token after its observation's last.
    pub end: usize,
}

impl Example {
    /// Turns a solution into tokens: those that the policy sampled where they were kept, and elsewhere those of the text, which is
    /// encoded as a whole, as it is at inference.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub fn from_path(
        tokenizer: &Tokenizer,
        path: &LabelledPath<'_>,
        targets: &PathTargets,
    ) -> Result<Self> {
        let (tokens, places) = tokenize(tokenizer, path)?;
        Ok(Self::from_tokens(tokens, &places, path, targets))
    }

    /// The example of a solution in tokens, `places` saying where each of its steps lies. Sampled log-probabilities are taken over
    /// where every learnt token has one.
    #[must_use]
    pub fn from_tokens(
        tokens: Vec<u32>,
        places: &[StepPlace],
        path: &LabelledPath<'_>,
        targets: &PathTargets,
    ) -> Self {
        let mut example = Self { tokens, signals: targets.signals.clone(), ..Self::default() };
        let mut old = Some(Vec::new());
        for ((step, targets), place) in path.steps.iter().zip(&targets.steps).zip(places) {
            let &StepPlace { start, action_end, end } = place;
            let learnt = match targets.policy {
                PolicyTargets::None => start..start,
                // The token that ends the action is the observation's first.
                PolicyTargets::Actions => start..(action_end + 1).min(end),
                PolicyTargets::Steps => start..end,
            };
            if !learnt.is_empty() {
                let tokens = learnt.start as u32..learnt.end as u32;
                old = old.and_then(|old| joined(old, step, &example.tokens[learnt]));
                example.learn(PolicySpan { tokens, weight: targets.weight });
            }
            let weight = targets.value_weight.unwrap_or(1.0);
            if let Some(value) = targets.value
                && end > start
                && weight != 0.0
            {
                example.value_targets.push((end - 1, value));
                example.value_weights.push(weight);
            }
        }
        if example.value_weights.iter().all(|&weight| weight == 1.0) {
            example.value_weights.clear();
        }
        example.old_log_probs = old.unwrap_or_default();
        if targets.mean_of_tokens {
            let count = example.policy_count() as f32;
            example.policy.iter_mut().for_each(|span| span.weight /= count);
        }
        example
    }

    /// Adds a span, or makes the last one longer.
    fn learn(&mut self, span: PolicySpan) {
        match self.policy.last_mut() {
            Some(last) if last.tokens.end == span.tokens.start && last.weight == span.weight => {
                last.tokens.end = span.tokens.end;
            }
            _ => self.policy.push(span),
        }
    }

    /// Positions of the tokens that the policy learns, and their weights.
    pub fn learnt(&self) -> impl Iterator<Item = (usize, f32)> {
        self.policy.iter().flat_map(|PolicySpan { tokens, weight }| {
            tokens.clone().map(move |position| (position as usize, *weight))
        })
    }

    /// The weight of each value target.
    pub fn value_weights(&self) -> impl Iterator<Item = f32> {
        let weights = self.value_weights.iter().copied();
        weights.chain(std::iter::repeat(1.0)).take(self.value_targets.len())
    }

    /// How many tokens the policy learns.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policy.iter().map(|span| span.tokens.len()).sum()
    }

    /// Whether anything is learned from it.
    #[must_use]
    pub fn has_targets(&self) -> bool {
        !self.policy.is_empty() || !self.value_targets.is_empty()
    }

    /// Feeds everything that training reads to a hash.
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
        // Taken apart, so that a new field is not forgotten.
        let Self { tokens, policy, value_targets, value_weights, old_log_probs, signals, group } =
            self;
        let length = |length: usize| (length as u64).to_le_bytes();
        hash.update(length(tokens.len()));
        tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
        hash.update(length(policy.len()));
        for PolicySpan { tokens, weight } in policy {
            hash.update(tokens.start.to_le_bytes());
            hash.update(tokens.end.to_le_bytes());
            hash.update(weight.to_le_bytes());
        }
        hash.update(length(value_targets.len()));
        for &(position, value) in value_targets {
            hash.update(length(position));
            hash.update(value.to_le_bytes());
        }
        for numbers in [value_weights, old_log_probs, signals] {
            hash.update(length(numbers.len()));
            numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
        }
        hash.update([u8::from(group.is_some())]);
        hash.update(group.unwrap_or_default().to_le_bytes());
    }

    /// Checks what objectives rely on. `index` is for messages.
    pub(crate) fn validate(&self, index: usize, vocab_size: usize) -> Result<()> {
        let fail = |message: String| Err(Error::Example { index, message });
        if let Some(token) = self.tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return fail(format!("token {token} is outside the vocabulary of {vocab_size}"));
        }
        let mut end = 0;
        for PolicySpan { tokens, weight } in &self.policy {
            if tokens.start == 0 {
                return fail("the first token cannot be a target, nothing predicts it".to_owned());
            }
            let count = self.tokens.len();
            if tokens.start < end || tokens.is_empty() || tokens.end as usize > count {
                return fail(format!("policy targets {tokens:?} after {end}, of {count} tokens"));
            }
            if !weight.is_finite() {
                return fail(format!("weight {weight} is not a finite number"));
            }
            end = tokens.end;
        }
        for &(position, value) in &self.value_targets {
            if position >= self.tokens.len() {
                return fail(format!("value target at {position} of {} tokens", self.tokens.len()));
            }
            if !(-1.0..=1.0).contains(&value) {
                return fail(format!("value target {value} is outside [-1, 1]"));
            }
        }
        let (weights, values) = (self.value_weights.len(), self.value_targets.len());
        if weights != 0 && weights != values {
            return fail(format!("{weights} weights for {values} value targets"));
        }
        if let Some(weight) =
            self.value_weights.iter().find(|weight| weight.is_nan() || **weight <= 0.0)
        {
            return fail(format!("weight {weight} of a value target is not above 0"));
        }
        let (old, learnt) = (self.old_log_probs.len(), self.policy_count());
        if old != 0 && old != learnt {
            return fail(format!("{old} log-probabilities for {learnt} policy targets"));
        }
        if let Some(number) = self
            .value_weights
            .iter()
            .chain(&self.old_log_probs)
            .chain(&self.signals)
            .find(|number| !number.is_finite())
        {
            return fail(format!("{number} is not a finite number"));
        }
        Ok(())
    }
}

/// The log-probabilities of the steps so far and of one more, where that was sampled in just these tokens.
fn joined(mut old: Vec<f32>, step: &PathStep<'_>, learnt: &[u32]) -> Option<Vec<f32>> {
    let sampled = step.sampled.filter(|sampled| sampled.tokens == learnt)?;
    old.extend_from_slice(sampled.log_probs);
    Some(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Sampled, StepTargets};
    use espalier_model::tokenizer::Tokens;

    const STEPS: [PathStep<'static>; 2] = [
        PathStep {
            action: "1+2",
            observation: "=3\n",
            q: Some(0.25),
            q_weight: None,
            sampled: None,
        },
        PathStep { action: "3", observation: "\n", q: Some(-1.0), q_weight: None, sampled: None },
    ];

    fn path<'a>(prompt: &'a str, steps: &[PathStep<'a>]) -> LabelledPath<'a> {
        LabelledPath { prompt, steps: steps.to_vec(), ..LabelledPath::default() }
    }

    #[test]
    fn a_label_without_weight_is_no_target() {
        let mut steps = STEPS;
        let weights = |steps: &[PathStep<'_>]| {
            let path = path("q\n", steps);
            let example = example(&path, &targets(&path, PolicyTargets::None));
            (example.value_targets.len(), example.value_weights)
        };
        assert_eq!(weights(&steps), (2, vec![]));
        steps[1].q_weight = Some(0.5);
        assert_eq!(weights(&steps), (2, vec![1.0, 0.5]));
        steps[0].q_weight = Some(0.0);
        assert_eq!(weights(&steps), (1, vec![0.5]));
    }

    /// Every step alike, its label the value's target.
    fn targets(path: &LabelledPath<'_>, policy: PolicyTargets) -> PathTargets {
        let steps = path.steps.iter();
        let steps = steps.map(|step| StepTargets {
            policy,
            weight: 1.0,
            value: step.q,
            value_weight: step.q_weight,
        });
        PathTargets { steps: steps.collect(), ..PathTargets::default() }
    }

    fn example(path: &LabelledPath<'_>, targets: &PathTargets) -> Example {
        let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
        let example = Example::from_path(&tokenizer, path, targets).unwrap();
        example.validate(0, tokenizer.vocab_size()).unwrap();
        example
    }

    /// The text with `^` under every target of the policy.
    fn marks(policy: PolicyTargets) -> String {
        let path = path("1 2\n", &STEPS);
        let example = example(&path, &targets(&path, policy));
        assert_eq!(
            Tokenizer::fresh(Tokens::Characters).unwrap().decode(&example.tokens),
            "1 2\n1+2=3\n3\n"
        );
        assert_eq!(example.value_targets, [(9, 0.25), (11, -1.0)]);
        let mut marks = vec![b'.'; example.tokens.len()];
        example.learnt().for_each(|(position, _)| marks[position] = b'^');
        String::from_utf8(marks).unwrap()
    }

    #[test]
    fn the_policy_learns_the_chosen_parts_and_never_the_prompt() {
        assert_eq!(marks(PolicyTargets::Steps), "....^^^^^^^^");
        // The "=" ends the first action, the newline the second.
        assert_eq!(marks(PolicyTargets::Actions), "....^^^^..^^");
        assert_eq!(marks(PolicyTargets::None), "............");
    }

    #[test]
    fn a_step_without_label_has_no_value_target() {
        let step = PathStep { action: "7", observation: "\n", ..PathStep::default() };
        let path = path("7\n", &[step]);
        let example = example(&path, &targets(&path, PolicyTargets::Steps));
        assert_eq!(example.value_targets, []);
        assert_eq!(example.tokens.len(), 4);
    }

    #[test]
    fn a_merged_vocabulary_gives_each_token_to_the_part_that_it_ends_in() {
        // "\n1" is one token here: it begins in the prompt and ends in the step.
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
            "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"Fuse"},
            "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
            "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
            "vocab":{"1":0,"2":1,"\n":2,"\n1":3},"merges":[["\n","1"]]}}"#;
        let tokenizer = Tokenizer::from_bytes(json.as_bytes()).unwrap();
        let step =
            PathStep { action: "12", observation: "\n", q: Some(1.0), ..PathStep::default() };
        let path = path("2\n", &[step]);
        let targets = targets(&path, PolicyTargets::Steps);
        let example = Example::from_path(&tokenizer, &path, &targets).unwrap();
        assert_eq!(example.tokens, [1, 3, 1, 2]);
        assert_eq!(example.policy, [PolicySpan { tokens: 1..4, weight: 1.0 }]);
        assert_eq!(example.value_targets, [(3, 1.0)]);
    }

    #[test]
    fn weights_are_of_steps_and_may_be_shared_by_the_tokens_of_a_path() {
        let path = path("1 2\n", &STEPS);
        let mut targets = targets(&path, PolicyTargets::Steps);
        targets.steps[1].weight = 0.5;
        let of = |targets: &PathTargets| example(&path, targets).policy;
        assert_eq!(
            of(&targets),
            [PolicySpan { tokens: 4..10, weight: 1.0 }, PolicySpan { tokens: 10..12, weight: 0.5 }]
        );
        targets.mean_of_tokens = true;
        assert_eq!(
            of(&targets),
            [
                PolicySpan { tokens: 4..10, weight: 0.125 },
                PolicySpan { tokens: 10..12, weight: 0.0625 }
            ]
        );
    }

    #[test]
    fn sampled_log_probabilities_are_kept_where_the_tokens_are_the_learnt_ones() {
        let tokens =
            |text: &str| Tokenizer::fresh(Tokens::Characters).unwrap().encode(text).unwrap();
        let (first, second) = (tokens("1+2="), tokens("3\n"));
        let mut steps = STEPS;
        steps[0].sampled = Some(Sampled { tokens: &first, log_probs: &[-0.1, -0.2, -0.3, -0.4] });
        let of = |steps: &[PathStep<'_>], policy| {
            let path = path("1 2\n", steps);
            example(&path, &targets(&path, policy)).old_log_probs
        };
        assert!(of(&steps, PolicyTargets::Actions).is_empty(), "the second step has none");
        steps[1].sampled = Some(Sampled { tokens: &second, log_probs: &[-0.5, -0.6] });
        assert_eq!(of(&steps, PolicyTargets::Actions), [-0.1, -0.2, -0.3, -0.4, -0.5, -0.6]);
        assert!(of(&steps, PolicyTargets::Steps).is_empty(), "the environment's have none");
    }
}
