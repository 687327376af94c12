//! One solution as the trainer reads it: tokens, which of them the policy learns, and the values at step ends.

use crate::{Error, Result, Tokenizer};

/// One step of a solution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExampleStep<'a> {
    /// What the policy wrote, without the delimiter.
    pub action: &'a str,
    /// What the environment appended, ending with the delimiter.
    pub observation: &'a str,
    /// Target of the value at the step's last token, in [-1, 1]; `None` when the step has no label.
    pub q: Option<f32>,
}

/// What the policy learns from a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyTargets {
    /// Nothing: an incorrect solution.
    None,
    /// Actions and the token that ends each (the observation's first).
    Actions,
    /// Actions and observations, as AlphaMath does.
    Steps,
}

/// A solution in tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Prompt and steps.
    pub tokens: Vec<u32>,
    /// As long as `tokens`: whether the policy is trained to write this token. False for the prompt.
    pub policy_mask: Vec<bool>,
    /// Positions of step ends in `tokens`, with the value that is right there, in [-1, 1].
    pub value_targets: Vec<(usize, f32)>,
}

impl Example {
    /// Turns a solution into tokens. The text is encoded as a whole, as it is at inference; a token belongs to the
    /// part of the text in which it ends.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when the text cannot be encoded.
    pub fn from_solution(
        tokenizer: &Tokenizer,
        prompt: &str,
        steps: &[ExampleStep<'_>],
        policy: PolicyTargets,
    ) -> Result<Self> {
        let mut text = prompt.to_owned();
        // Ends in bytes of each step's action and of the whole step.
        let mut ends = Vec::with_capacity(steps.len());
        for step in steps {
            text.push_str(step.action);
            let action_end = text.len();
            text.push_str(step.observation);
            ends.push((action_end, text.len()));
        }
        let spans = tokenizer.encode_with_spans(&text)?;
        let mut example = Self {
            policy_mask: vec![false; spans.len()],
            tokens: spans.iter().map(|(id, _)| *id).collect(),
            value_targets: Vec::new(),
        };
        let mut token = spans.iter().take_while(|(_, span)| span.end <= prompt.len()).count();
        for (step, (action_end, step_end)) in steps.iter().zip(ends) {
            let first = token;
            let mut ends_action = true;
            while let Some((_, span)) = spans.get(token).filter(|(_, span)| span.end <= step_end) {
                let in_action = span.end <= action_end;
                example.policy_mask[token] = match policy {
                    PolicyTargets::None => false,
                    PolicyTargets::Actions => in_action || ends_action,
                    PolicyTargets::Steps => true,
                };
                ends_action &= in_action;
                token += 1;
            }
            if let Some(q) = step.q
                && token > first
            {
                example.value_targets.push((token - 1, q));
            }
        }
        Ok(example)
    }

    /// Checks what the objective relies on. `index` is for messages.
    pub(crate) fn validate(&self, index: usize, vocab_size: usize) -> Result<()> {
        let fail = |message: String| Err(Error::Example { index, message });
        if self.policy_mask.len() != self.tokens.len() {
            let (mask, tokens) = (self.policy_mask.len(), self.tokens.len());
            return fail(format!("{mask} mask entries for {tokens} tokens"));
        }
        if let Some(token) = self.tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return fail(format!("token {token} is outside the vocabulary of {vocab_size}"));
        }
        if self.policy_mask.first() == Some(&true) {
            return fail("the first token cannot be a target, nothing predicts it".to_owned());
        }
        for &(position, value) in &self.value_targets {
            if position >= self.tokens.len() {
                return fail(format!("value target at {position} of {} tokens", self.tokens.len()));
            }
            if !(-1.0..=1.0).contains(&value) {
                return fail(format!("value target {value} is outside [-1, 1]"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [ExampleStep<'static>; 2] = [
        ExampleStep { action: "1+2", observation: "=3\n", q: Some(0.25) },
        ExampleStep { action: "3", observation: "\n", q: Some(-1.0) },
    ];

    /// The text with `^` under every target of the policy.
    fn targets(policy: PolicyTargets) -> String {
        let tokenizer = Tokenizer::characters().unwrap();
        let example = Example::from_solution(&tokenizer, "1 2\n", &STEPS, policy).unwrap();
        assert_eq!(tokenizer.decode(&example.tokens), "1 2\n1+2=3\n3\n");
        example.validate(0, tokenizer.vocab_size()).unwrap();
        assert_eq!(example.value_targets, [(9, 0.25), (11, -1.0)]);
        example.policy_mask.iter().map(|&on| if on { '^' } else { '.' }).collect()
    }

    #[test]
    fn the_policy_learns_the_chosen_parts_and_never_the_prompt() {
        assert_eq!(targets(PolicyTargets::Steps), "....^^^^^^^^");
        // The "=" ends the first action, the newline the second.
        assert_eq!(targets(PolicyTargets::Actions), "....^^^^..^^");
        assert_eq!(targets(PolicyTargets::None), "............");
    }

    #[test]
    fn a_step_without_label_has_no_value_target() {
        let tokenizer = Tokenizer::characters().unwrap();
        let steps = [ExampleStep { action: "7", observation: "\n", q: None }];
        let example =
            Example::from_solution(&tokenizer, "7\n", &steps, PolicyTargets::Steps).unwrap();
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
        let steps = [ExampleStep { action: "12", observation: "\n", q: Some(1.0) }];
        let example =
            Example::from_solution(&tokenizer, "2\n", &steps, PolicyTargets::Steps).unwrap();
        assert_eq!(example.tokens, [1, 3, 1, 2]);
        assert_eq!(example.policy_mask, [false, true, true, true]);
        assert_eq!(example.value_targets, [(3, 1.0)]);
    }
}
