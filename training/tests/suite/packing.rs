//! Losses and gradients of paths in trees against those of the same paths one by one.

use espalier_fixtures::fixtures::{folder, names};
use espalier_training::{
    AlphaMath, Checkpoint, Counts, Example, Grpo, Member, Nft, Objective, PolicySpan,
    PolicyValueNet, Sft, TensorBatch,
};
use tch::{Device, Tensor};

/// Largest difference of a gradient, as a share of the tensor's largest.
const TOLERANCE: f64 = 1e-5;

/// A path of a prompt of 12 tokens and branches that `turns` choose, one a step of 5 tokens. Right ones are learnt, with all values.
fn path(problem: u32, turns: &[u32], correct: bool, vocabulary: u32) -> Example {
    let mut tokens: Vec<u32> = (0..12).map(|at| (problem * 31 + at * 7 + 3) % vocabulary).collect();
    let mut value_targets = Vec::new();
    for (depth, &turn) in turns.iter().enumerate() {
        let step = |at: u32| (turn * 17 + depth as u32 * 5 + at * 11 + problem) % vocabulary;
        tokens.extend((0..5).map(step));
        let sign = if correct { 1.0 } else { -1.0 };
        value_targets.push((tokens.len() - 1, sign * (depth as f32 + 1.0) / 4.0));
    }
    let policy = vec![PolicySpan { tokens: 12..tokens.len() as u32, weight: 0.5 }];
    let policy = if correct { policy } else { vec![] };
    let learnt = if correct { tokens.len() - 12 } else { 0 };
    let old_log_probs = (0..learnt).map(|at| -1.0 - 0.1 * (at % 7) as f32).collect();
    let value_weights = (1..=turns.len()).map(|depth| 1.5 / depth as f32).collect();
    let signals = vec![0.75, if correct { 0.5 } else { -0.5 }];
    let group = Some(problem);
    Example { tokens, policy, value_targets, value_weights, old_log_probs, signals, group }
}

/// Two problems: one with six paths that share beginnings of every length, one with two, and a path alone.
fn problems(vocabulary: u32) -> Vec<Vec<Example>> {
    let path = |problem, turns: &[u32], correct| path(problem, turns, correct, vocabulary);
    vec![
        vec![
            path(1, &[1, 2, 3], true),
            path(1, &[1, 2, 4], false),
            path(1, &[1, 5], true),
            path(1, &[6], false),
            path(1, &[1, 2, 3], false),
            path(1, &[6, 2, 2], true),
        ],
        vec![path(2, &[4, 4], true), path(2, &[4, 1], true)],
        vec![path(3, &[9, 9, 9], true)],
    ]
}

fn member<'a>(example: &'a Example, other: &'a [f32]) -> Member<'a> {
    let reference_log_probs = &other[..example.old_log_probs.len()];
    let old_log_probs = &example.old_log_probs;
    Member { old_log_probs, reference_log_probs, seed: [5, 3], ..Member::alone(example) }
}

/// The loss and its gradients.
fn step(
    net: &PolicyValueNet,
    objective: &dyn Objective,
    batch: &TensorBatch,
    whole: Counts,
) -> (f64, Vec<Tensor>) {
    let hidden = batch.hidden_states(net).unwrap();
    let loss = objective.loss(net, &hidden, batch, whole).unwrap().total;
    let leaves: Vec<&Tensor> = net.trainable().map(|(_, tensor)| tensor).collect();
    let gradients = Tensor::run_backward(&[&loss], &leaves, false, false);
    (loss.double_value(&[]), gradients)
}

#[test]
fn a_tree_has_the_loss_and_the_gradients_of_its_paths() {
    tch::set_num_threads(1);
    let objectives: [&dyn Objective; 4] = [
        &AlphaMath { beta: 0.5, value_dropout: 0.3, ..AlphaMath::default() },
        &Sft::default(),
        &Nft::default(),
        &Grpo { kl: 0.1, ..Grpo::default() },
    ];
    let other: Vec<f32> = (0..40).map(|at| -1.2 + 0.05 * (at % 9) as f32).collect();
    let models = names("models");
    assert!(models.len() > 20, "{models:?}");
    for (index, model) in models.iter().enumerate() {
        let net = PolicyValueNet::new(&Checkpoint::load(&folder("models").join(model)).unwrap());
        let problems = problems(net.config().vocab_size as u32);
        let problems: Vec<Vec<Member<'_>>> = problems
            .iter()
            .map(|paths| paths.iter().map(|path| member(path, &other)).collect())
            .collect();
        let paths: Vec<Member<'_>> = problems.concat();
        let whole = Counts::of(paths.iter().map(|member| member.example));
        let alone = TensorBatch::padded(&paths, Device::Cpu).unwrap();
        let (near, far) = problems.split_at(1);
        for blocks in [&[problems.as_slice()][..], &[far, near]] {
            let packed = TensorBatch::new(blocks, Device::Cpu).unwrap();
            assert!(2 * packed.tokens() < alone.tokens() || blocks.len() == 1);
            // Every objective on some models, and every model with some objective.
            for objective in objectives.iter().skip(index % 2).step_by(2) {
                let (loss, gradients) = step(&net, *objective, &alone, whole);
                let (found, others) = step(&net, *objective, &packed, whole);
                assert!((found - loss).abs() < 1e-5 * loss.abs().max(1.0), "{model} {objective:?}");
                let names = net.trainable().map(|(name, _)| name);
                for ((name, one), other) in names.zip(&gradients).zip(&others) {
                    if !one.defined() {
                        assert!(!other.defined(), "{model}: {name}");
                        continue;
                    }
                    let scale = one.abs().max().double_value(&[]);
                    let off = (one - other).abs().max().double_value(&[]);
                    assert!(
                        off <= TOLERANCE * scale.max(1e-3),
                        "{model} {objective:?} {name}: {off:.1e}"
                    );
                }
            }
        }
    }
}
