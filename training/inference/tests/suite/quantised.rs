//! Nets whose weights are rounded to blocks of small integers.

use espalier_fixtures::fixtures::{folder, names, reference};
use espalier_fixtures::nets::{opinionated, tiny};
use espalier_inference::{InferenceConfig, LocalEvaluator, WeightFormat};
use espalier_model::device::Device;
use espalier_model::{Checkpoint, NetConfig};

use crate::families::log_probs;
use crate::local::{check_any_batch_with, mixed_requests};

const FORMATS: [WeightFormat; 2] = [WeightFormat::Q8_0, WeightFormat::Q4_0];

fn config(weights: WeightFormat) -> InferenceConfig {
    InferenceConfig { weights: Some(weights), stops: Vec::new(), ..InferenceConfig::default() }
}

#[test]
fn a_request_is_answered_the_same_bit_for_bit_alone_and_in_any_batch() {
    let checkpoint = opinionated(&NetConfig { width: 64, ..tiny() }, 1);
    for format in FORMATS {
        let config = InferenceConfig { stops: vec!["\n".to_owned()], ..config(format) };
        check_any_batch_with(&config, &checkpoint, &mixed_requests());
    }
}

/// Heads that do not fill panels, biases, untied and tied embeddings: all families have them in their fixtures.
#[test]
fn every_family_is_near_what_transformers_computes() {
    for name in names("models") {
        let dir = folder("models").join(&name);
        let checkpoint = Checkpoint::load(&dir).unwrap();
        let reference = reference(&dir);
        let expected = log_probs(&reference);
        let first = checkpoint.tokenizer.decode(&reference.ids[..1]);
        let (context, text) = reference.text.split_at(first.len());
        let mut last = 0.0;
        for (format, limit) in FORMATS.into_iter().zip([0.2, 2.0]) {
            let evaluator = LocalEvaluator::new(&checkpoint, config(format)).unwrap();
            let score = evaluator.score(&[(context, text)]).remove(0).unwrap();
            let off = score.log_probs.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let off = off.sum::<f64>() / expected.len() as f64;
            println!("{name} {format:?}: {off}");
            assert!(off > last && off < limit, "{name}, {format:?}: off by {off}");
            last = off;
        }
    }
}

/// Files' own blocks change nothing but the activations' rounding, which moves random nets of six layers or of experts by 0.3.
#[test]
fn gguf_files_are_near_what_transformers_computes_in_their_own_blocks() {
    for name in names("gguf") {
        let dir = folder("gguf").join(&name);
        let checkpoint = Checkpoint::load(&dir.join("model.gguf")).unwrap();
        let reference = reference(&dir);
        let expected = log_probs(&reference);
        let first = checkpoint.tokenizer.decode(&reference.ids[..1]);
        let (context, text) = reference.text.split_at(first.len());
        let off = |format| {
            let evaluator = LocalEvaluator::new(&checkpoint, config(format)).unwrap();
            let score = evaluator.score(&[(context, text)]).remove(0).unwrap();
            let off = score.log_probs.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            off.sum::<f64>() / expected.len() as f64
        };
        let [stored, rounded] = [WeightFormat::Stored, WeightFormat::Q8_0].map(off);
        println!("{name}: {stored} in the file's blocks, {rounded} rounded to 8 bits");
        assert!(stored < 0.3 && stored < 1.2 * rounded + 0.01, "{name}: {stored} {rounded}");
    }
}

#[test]
fn other_devices_are_refused_by_the_setting_s_name() {
    let checkpoint = opinionated(&tiny(), 1);
    let config = InferenceConfig { device: Device::Cuda(0), ..config(WeightFormat::Q8_0) };
    let error = LocalEvaluator::new(&checkpoint, config).err().unwrap().to_string();
    assert!(error.contains("weights") && error.contains("CPU"), "{error}");
}
