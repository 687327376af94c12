//! SentencePiece's kind of tokenizer (`tokenizer.ggml.model = llama`): blanks are `▁`, and what has no token is written in
//! bytes. A file has no merges but a score for each token: of two neighbours those are merged whose token scores highest.

use serde_json::{Map, Value, json};

use super::file::{self, GgufFile};
use crate::error::Result;

/// The parts of `tokenizer.json` that are this kind's own.
pub(super) struct Parts {
    pub normalizer: Value,
    pub decoder: Value,
    pub model: Value,
}

/// The parts of a file whose `vocabulary` has ids by token.
///
/// # Errors
/// When the scores do not fit the tokens.
pub(super) fn parts(
    file: &GgufFile,
    tokens: &[(&str, u64)],
    vocabulary: &Map<String, Value>,
    unknown: Option<&str>,
) -> Result<Parts> {
    let key = "tokenizer.ggml.scores";
    let scores = file.list(key)?;
    if scores.len() != tokens.len() {
        let (scores, tokens) = (scores.len(), tokens.len());
        return file.fail(format!("{key}: {scores} entries for {tokens} tokens"));
    }
    let mut merges = Vec::new();
    for (id, (&(token, _), score)) in tokens.iter().zip(scores).enumerate() {
        let file::Value::Float(score) = score else {
            return file.fail(format!("{key}: entry {id} is not a number"));
        };
        let known = |part: &str| vocabulary.get(part).and_then(Value::as_u64);
        if known(token) != Some(id as u64) {
            continue;
        }
        let mut pairs: Vec<_> = token
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = token.split_at(at);
                Some((known(left)?, known(right)?, (left, right)))
            })
            .collect();
        // Where two pairs make one token, the one of older tokens goes first.
        pairs.sort_unstable();
        merges.extend(pairs.into_iter().map(|(.., pair)| (*score, pair)));
    }
    merges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let merges: Vec<Value> = merges.iter().map(|(_, pair)| json!(pair)).collect();

    let prefix_key = "tokenizer.ggml.add_space_prefix";
    let prefix = !file.metadata.contains_key(prefix_key) || file.flag(prefix_key);
    let blanks = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    let normalizer = if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        let first = json!({"type": "Prepend", "prepend": "▁"});
        json!({"type": "Sequence", "normalizers": [first, blanks]})
    } else {
        blanks
    };
    Ok(Parts {
        normalizer,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true,
            "ignore_merges": false, "vocab": vocabulary, "merges": merges,
        }),
    })
}
