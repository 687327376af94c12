//! A labelled path in tokens: the ids that the policy sampled where they were kept, and those of the text elsewhere.

use std::ops::Range;

use espalier_model::tokenizer::Tokenizer;

use crate::error::Result;
use crate::example::StepPlace;
use crate::objective::{LabelledPath, PathStep};

/// A text that begins a text: what follows is encoded as it is in the middle of one. One of these is a word apart in nearly every
/// vocabulary.
const MARKERS: [&str; 4] = ["\n", ".", "a", " "];

/// Tokens with the bytes of the text that each stands for.
type Spans = Vec<(u32, Range<usize>)>;

/// The tokens of a path's prompt and steps, and where each step lies.
///
/// The text is encoded as a whole, as it is at inference; a token belongs to the part of the text in which it ends. Where that gives
/// other tokens than the policy sampled, the sampled ones stand in their place, and what the environment appended after
/// them is encoded by itself.
///
/// # Errors
/// When a character has no token.
pub(crate) fn tokenize(
    tokenizer: &Tokenizer,
    path: &LabelledPath<'_>,
) -> Result<(Vec<u32>, Vec<StepPlace>)> {
    let (tokens, mut places) = of_text(tokenizer, path)?;
    let mut differs = false;
    for (index, (step, place)) in path.steps.iter().zip(&mut places).enumerate() {
        let last = index + 1 == path.steps.len();
        let Some((ids, _)) = sampled(tokenizer, step, last) else { continue };
        if tokens[place.start..place.end].starts_with(ids) {
            place.action_end = place.start + ids.len() - 1;
        } else {
            differs = true;
        }
    }
    if differs { of_pieces(tokenizer, path) } else { Ok((tokens, places)) }
}

/// By the text alone.
fn of_text(tokenizer: &Tokenizer, path: &LabelledPath<'_>) -> Result<(Vec<u32>, Vec<StepPlace>)> {
    let mut text = path.prompt.to_owned();
    // Ends in bytes of each step's action and of the whole step.
    let mut ends = Vec::with_capacity(path.steps.len());
    for step in &path.steps {
        text.push_str(step.action);
        let action_end = text.len();
        text.push_str(step.observation);
        ends.push((action_end, text.len()));
    }
    let spans = tokenizer.encode_with_spans(&text)?;
    let mut start = until(&spans, 0, path.prompt.len());
    let places = ends.into_iter().map(|(action_end, step_end)| {
        let place = StepPlace {
            start,
            action_end: until(&spans, start, action_end),
            end: until(&spans, start, step_end),
        };
        start = place.end;
        place
    });
    let places = places.collect();
    Ok((spans.into_iter().map(|(id, _)| id).collect(), places))
}

/// The first token from `start` on that ends behind a byte.
fn until(spans: &[(u32, Range<usize>)], start: usize, end: usize) -> usize {
    start + spans[start..].iter().take_while(|(_, span)| span.end <= end).count()
}

/// Prompt, steps and what the environment appended to sampled ones, each encoded by itself.
fn of_pieces(tokenizer: &Tokenizer, path: &LabelledPath<'_>) -> Result<(Vec<u32>, Vec<StepPlace>)> {
    let mut tokens = tokenizer.encode(path.prompt)?;
    let mut places = Vec::with_capacity(path.steps.len());
    for (index, step) in path.steps.iter().enumerate() {
        let start = tokens.len();
        let text = [step.action, step.observation].concat();
        let action_end = match sampled(tokenizer, step, index + 1 == path.steps.len()) {
            Some((ids, end)) => {
                tokens.extend_from_slice(ids);
                tokens.extend(continuation(tokenizer, &text[end..])?.iter().map(|(id, _)| id));
                start + ids.len() - 1
            }
            None => {
                let spans = continuation(tokenizer, &text)?;
                tokens.extend(spans.iter().map(|(id, _)| id));
                start + until(&spans, 0, step.action.len())
            }
        };
        places.push(StepPlace { start, action_end, end: tokens.len() });
    }
    Ok((tokens, places))
}

/// The ids that were sampled for a step, and how many bytes of its text they stand for. `None` where they were not kept, and where
/// the context after them would not be the environment's: they say more than the step, belong to another vocabulary, or end a
/// text that goes on.
fn sampled<'a>(
    tokenizer: &Tokenizer,
    step: &PathStep<'a>,
    last: bool,
) -> Option<(&'a [u32], usize)> {
    let ids = step.sampled?.tokens;
    let text = tokenizer.decode(ids);
    let observed = text.strip_prefix(step.action)?;
    let fits = !ids.is_empty() && step.observation.starts_with(observed);
    let whole = last || ids.iter().all(|&id| tokenizer.has_text(id));
    (fits && whole).then_some((ids, text.len()))
}

/// The tokens of a text that continues another.
fn continuation(tokenizer: &Tokenizer, text: &str) -> Result<Spans> {
    for marker in MARKERS {
        let size = marker.len();
        let Ok(spans) = tokenizer.encode_with_spans(&[marker, text].concat()) else { continue };
        if spans.iter().all(|(_, span)| span.end <= size || span.start >= size) {
            let own = spans.into_iter().filter(|(_, span)| span.start >= size);
            return Ok(own.map(|(id, span)| (id, span.start - size..span.end - size)).collect());
        }
    }
    Ok(tokenizer.encode_with_spans(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;
    use crate::objective::{PathTargets, PolicyTargets, Sampled, StepTargets};

    /// `ab` and `\n\n` are tokens, and so are their parts; 7 ends a text.
    fn merging() -> Tokenizer {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,
            "added_tokens":[{"id":7,"content":"<eos>","single_word":false,"lstrip":false,"rstrip":false,
                "normalized":false,"special":true}],
            "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"Fuse"},
            "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
            "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
            "vocab":{"a":0,"b":1,"\n":2,"=":3,"ab":4,"\n\n":5,".":6,"<eos>":7},
            "merges":[["a","b"],["\n","\n"]]}}"#;
        Tokenizer::from_bytes(json.as_bytes()).unwrap()
    }

    const LOG_PROBS: [f32; 8] = [-0.5, -1.0, -1.5, -2.0, -2.5, -3.0, -3.5, -4.0];

    fn step<'a>(action: &'a str, observation: &'a str, ids: &'a [u32]) -> PathStep<'a> {
        let sampled = Sampled { tokens: ids, log_probs: &LOG_PROBS[..ids.len()] };
        let sampled = (!ids.is_empty()).then_some(sampled);
        PathStep { action, observation, sampled, ..PathStep::default() }
    }

    /// The example whose policy learns every action, and its text.
    fn example(steps: &[PathStep<'_>]) -> Example {
        let tokenizer = merging();
        let path = LabelledPath { prompt: "b\n", steps: steps.to_vec(), ..LabelledPath::default() };
        let policy = StepTargets {
            policy: PolicyTargets::Actions,
            weight: 1.0,
            value: Some(0.5),
            ..StepTargets::default()
        };
        let targets = PathTargets { steps: vec![policy; steps.len()], ..PathTargets::default() };
        let example = Example::from_path(&tokenizer, &path, &targets).unwrap();
        example.validate(0, tokenizer.vocab_size()).unwrap();
        let text: String = steps.iter().flat_map(|step| [step.action, step.observation]).collect();
        assert_eq!(tokenizer.decode(&example.tokens), format!("b\n{text}"));
        example
    }

    fn learnt(example: &Example) -> Vec<u32> {
        example.learnt().map(|(position, _)| example.tokens[position]).collect()
    }

    #[test]
    fn ids_that_the_text_gives_too_change_nothing_but_their_log_probabilities() {
        let plain = example(&[step("ab", "\n", &[]), step("a", "=b\n", &[])]);
        let kept = example(&[step("ab", "\n", &[4, 2]), step("a", "=b\n", &[0, 3])]);
        assert_eq!(plain.tokens, [1, 2, 4, 2, 0, 3, 1, 2]);
        assert_eq!(Example { old_log_probs: Vec::new(), ..kept.clone() }, plain);
        assert_eq!(learnt(&kept), [4, 2, 0, 3]);
        assert_eq!(kept.old_log_probs, [-0.5, -1.0, -0.5, -1.0]);
    }

    #[test]
    fn the_ids_that_were_sampled_are_learnt_even_if_the_text_gives_others() {
        // "a", "b" where the text gives "ab"; the next step is the text's own.
        let kept = example(&[step("ab", "\n", &[0, 1, 2]), step("ab", "=b\n", &[4, 3])]);
        assert_eq!(kept.tokens, [1, 2, 0, 1, 2, 4, 3, 1, 2]);
        assert_eq!(learnt(&kept), [0, 1, 2, 4, 3]);
        assert_eq!(kept.old_log_probs, [-0.5, -1.0, -1.5, -0.5, -1.0]);
        assert_eq!(kept.value_targets, [(4, 0.5), (8, 0.5)]);
        // The observation's "\n" would be one token with the delimiter's.
        let kept = example(&[step("a", "\n\nb\n", &[0, 2]), step("b", "\n", &[1, 2])]);
        assert_eq!(kept.tokens, [1, 2, 0, 2, 2, 1, 2, 1, 2]);
        assert_eq!(learnt(&kept), [0, 2, 1, 2]);
    }

    #[test]
    fn every_token_of_a_delimiter_is_learnt() {
        let kept = example(&[step("a", "=b\n", &[0, 3, 1])]);
        assert_eq!(learnt(&kept), [0, 3, 1]);
        assert_eq!(kept.old_log_probs, LOG_PROBS[..3]);
    }

    #[test]
    fn a_token_that_ends_the_text_is_learnt_in_the_last_step_alone() {
        let kept = example(&[step("ab", "\n", &[0, 1, 7])]);
        assert_eq!(
            (&kept.tokens[..], &learnt(&kept)[..]),
            (&[1, 2, 0, 1, 7, 2][..], &[0, 1, 7][..])
        );
        // The policy did not read it in the next step's context.
        let kept = example(&[step("a", "\n", &[0, 7]), step("b", "\n", &[1, 2])]);
        assert_eq!(kept.tokens, [1, 2, 0, 2, 1, 2]);
        assert!(kept.old_log_probs.is_empty());
    }

    #[test]
    fn ids_of_another_vocabulary_or_beyond_the_step_are_not_used() {
        let plain = example(&[step("ab", "\n", &[]), step("a", "\n", &[])]);
        for ids in [&[3, 2][..], &[4, 5], &[99, 2], &[4, 2, 0]] {
            let kept = example(&[step("ab", "\n", ids), step("a", "\n", &[0, 2])]);
            assert_eq!(kept, plain, "{ids:?}");
        }
    }
}
