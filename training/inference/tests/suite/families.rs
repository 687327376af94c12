//! Every family against `transformers`, on the CPU.

use std::path::Path;

use espalier_fixtures::fixtures::{Reference, folder, names, reference};
use espalier_inference::{InferenceConfig, LocalEvaluator};
use espalier_model::Checkpoint;

/// Log-probabilities of each token after those before it, from logits `[T, V]`.
pub(crate) fn log_probs(Reference { ids, logits, .. }: &Reference) -> Vec<f64> {
    let rows = logits.chunks_exact(logits.len() / ids.len());
    let log_prob = |(row, &id): (&[f32], &u32)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
        f64::from(row[id as usize] - largest) - sum.ln()
    };
    rows.zip(&ids[1..]).map(log_prob).collect()
}

/// Checks every token's log-probability, in one pass and with the prefix cache warm.
fn check(name: &str, checkpoint: &Checkpoint, dir: &Path) {
    let reference = reference(dir);
    let config = InferenceConfig { stops: Vec::new(), threads: 1, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(checkpoint, config).unwrap();
    let expected = log_probs(&reference);
    let first = checkpoint.tokenizer.decode(&reference.ids[..1]);
    let (context, text) = reference.text.split_at(first.len());
    for _ in 0..2 {
        let score = evaluator.score(&[(context, text)]).remove(0).unwrap();
        assert_eq!(score.log_probs.len(), expected.len(), "{name}");
        let off = score.log_probs.iter().zip(&expected).map(|(one, other)| (one - other).abs());
        let off = off.fold(0.0, f64::max);
        assert!(off < 1e-4, "{name}: log-probabilities differ from transformers' by {off:.1e}");
    }
}

#[test]
fn every_family_computes_what_transformers_computes() {
    for name in names("models") {
        let dir = folder("models").join(&name);
        check(&name, &Checkpoint::load(&dir).unwrap(), &dir);
    }
}

#[test]
fn every_gguf_file_computes_what_transformers_computes() {
    for name in names("gguf") {
        let dir = folder("gguf").join(&name);
        check(&name, &Checkpoint::load(&dir.join("model.gguf")).unwrap(), &dir);
    }
}
