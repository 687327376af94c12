use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use espalier_fixtures::nets::{fresh, tiny};
use espalier_search::testing::skipped;
use espalier_search::{Cancel, Evaluator, Request};
use espalier_training::{
    AlphaMath, Checkpoint, Compute, Device, Dtype, Error, Example, ExampleSet, Examples,
    InferenceConfig, Job, LabelledPath, LocalEvaluator, NetConfig, Objective, PathStep, PolicySpan,
    Result, StepMetrics, Tokenizer, Tokens, TrainConfig, TrainReport, Trained,
};

/// Two cores.
pub const CPU: Compute = Compute { device: Device::Cpu, threads: 2 };

/// Trains by an objective with seed, on the CPU.
pub fn train_by(
    objective: &dyn Objective,
    base: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    seed: u64,
    out: &Path,
    progress: &mut dyn FnMut(&StepMetrics) -> ControlFlow<()>,
) -> Result<TrainReport> {
    let job = Job { base, examples: &examples, objective, config, seed, compute: CPU };
    Ok(espalier_training::train(&job, out, progress)?.report)
}

/// As [`train_by`], by AlphaMath's objective.
pub fn train(
    base: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    seed: u64,
    out: &Path,
    progress: &mut dyn FnMut(&StepMetrics) -> ControlFlow<()>,
) -> Result<TrainReport> {
    train_by(&AlphaMath::default(), base, examples, config, seed, out, progress)
}

fn example(prompt: &str, steps: &[(&str, Option<f32>)], correct: bool) -> Example {
    let steps = steps.iter();
    let steps =
        steps.map(|&(action, q)| PathStep { action, observation: "\n", q, ..PathStep::default() });
    let path = LabelledPath { prompt, steps: steps.collect(), correct, ..LabelledPath::default() };
    let (tokenizer, objective) =
        (Tokenizer::fresh(Tokens::Characters).unwrap(), AlphaMath::default());
    let folder = tempfile::tempdir().unwrap();
    let mut set = ExampleSet::new(&tokenizer, &objective, &folder.path().join("out")).unwrap();
    set.add(&[path]).unwrap();
    set.examples().get(0).unwrap().into_owned()
}

pub fn examples() -> Vec<Example> {
    vec![
        example("1 2 3 -> 6\n", &[("1+2=3", Some(0.5)), ("3+3=6", Some(1.0))], true),
        example("1 2 3 -> 6\n", &[("2-1=1", Some(-0.5)), ("1*3=3", Some(-1.0))], false),
        example("4 5 -> 20\n", &[("4*5=20", Some(1.0))], true),
        example("4 5 -> 20\n", &[("4+5=9", Some(-1.0))], false),
        example("7 -> 7\n", &[("7", Some(1.0))], true),
        example("7 7 7 7 -> 28\n", &[("7+7=14", None), ("14+14=28", Some(1.0))], true),
    ]
}

pub fn config() -> TrainConfig {
    TrainConfig {
        epochs: 4,
        batch_tokens: 64,
        learning_rate: 3e-3,
        weight_decay: 0.01,
        save_every: 3,
        ..TrainConfig::default()
    }
}

pub fn go_on(_: &StepMetrics) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every file of a checkpoint folder and the folders in it.
pub fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = content(&path).into_iter();
            files.extend(inner.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_run_that_was_stopped_anywhere_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&NetConfig { tie_embeddings: false, ..tiny() }, 1);
    let whole = dir.path().join("whole");
    let (examples, config, objective) = (examples(), config(), AlphaMath::default());
    let job = Job {
        base: &base,
        examples: &examples,
        objective: &objective,
        config: &config,
        seed: 7,
        compute: CPU,
    };
    let uninterrupted = espalier_training::train(&job, &whole, &mut go_on).unwrap();
    let Trained { report, curve } = &uninterrupted;
    assert!(report.steps > 8, "{report:?}");
    assert_eq!((&curve[0], curve.last().unwrap()), (&report.first, &report.last));
    let expected = content(&whole);
    assert!(expected.contains_key("optimizer.safetensors"));
    for stop_after in [1, 3, 4, 8] {
        let out = dir.path().join(format!("stopped-{stop_after}"));
        let mut stop = |metrics: &StepMetrics| match metrics.step == stop_after {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        match espalier_training::train(&job, &out, &mut stop) {
            Err(Error::Stopped { step }) => assert_eq!(step, stop_after),
            other => panic!("{other:?}"),
        }
        assert!(!out.exists(), "an unfinished run has no checkpoint");
        let mut first_step = None;
        let mut note = |metrics: &StepMetrics| {
            first_step.get_or_insert(metrics.step);
            ControlFlow::Continue(())
        };
        let resumed = espalier_training::train(&job, &out, &mut note).unwrap();
        assert_eq!(first_step, Some(stop_after + 1), "resumes where it was stopped");
        // With the points of its curve from before the stop.
        assert_eq!(resumed, uninterrupted);
        assert_eq!(content(&out), expected, "stopped after step {stop_after}");
        assert!(!dir.path().join(format!("stopped-{stop_after}.partial")).exists());
        // Nor are they lost where the run was over and the caller was killed before it wrote them down.
        assert_eq!(espalier_training::train(&job, &out, &mut go_on).unwrap(), uninterrupted);
    }
}

#[test]
fn a_finished_run_is_not_done_again_and_another_one_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&tiny(), 1);
    let out = dir.path().join("out");
    let report = train(&base, &examples(), &config(), 7, &out, &mut go_on).unwrap();
    let mut never = |_: &StepMetrics| panic!("there is nothing left to do");
    assert_eq!(train(&base, &examples(), &config(), 7, &out, &mut never).unwrap(), report);
    let mut steps = 0;
    let mut count = |_: &StepMetrics| {
        steps += 1;
        ControlFlow::Continue(())
    };
    train(&base, &examples(), &config(), 8, &out, &mut count).unwrap();
    assert_eq!(steps, report.steps, "another seed is another run");
}

#[test]
fn a_damaged_state_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&tiny(), 1);
    let whole = dir.path().join("whole");
    train(&base, &examples(), &config(), 7, &whole, &mut go_on).unwrap();
    let out = dir.path().join("out");
    let mut stop = |metrics: &StepMetrics| match metrics.step == 5 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    train(&base, &examples(), &config(), 7, &out, &mut stop).unwrap_err();
    let file = dir.path().join("out.partial/optimizer.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    train(&base, &examples(), &config(), 7, &out, &mut go_on).unwrap();
    assert_eq!(content(&out), content(&whole));
}

#[test]
fn overfits_a_few_examples_and_says_so_at_inference() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&NetConfig { width: 32, intermediate: 64, ..tiny() }, 3);
    let config = TrainConfig {
        max_steps: Some(300),
        learning_rate: 1e-2,
        batch_tokens: 256,
        ..TrainConfig::default()
    };
    let objective = AlphaMath { beta: 1.0, value_dropout: 0.0, ..AlphaMath::default() };
    let out = dir.path().join("out");
    let mut examples = examples();
    // Two first steps of one prompt cannot both be certain.
    examples.remove(5);
    let report = train_by(&objective, &base, &examples, &config, 1, &out, &mut go_on).unwrap();
    assert_eq!(report.steps, 300);
    assert!(report.last.loss < report.first.loss / 10.0, "{report:?}");

    let evaluator = LocalEvaluator::load(&out, InferenceConfig::default()).unwrap();
    let ask = |context: &str| {
        let request = Request::steps(context.into(), 1, 0.0, 1);
        evaluator.evaluate(&[request], &Cancel::new()).remove(0).unwrap()
    };
    assert_eq!(ask("4 5 -> 20\n").proposals[0].action, "4*5=20");
    assert_eq!(ask("1 2 3 -> 6\n1+2=3\n").proposals[0].action, "3+3=6");
    // Values are read at the newline that ends a step.
    assert!(ask("4 5 -> 20\n4*5=20\n").value > 0.7);
    assert!(ask("4 5 -> 20\n4+5=9\n").value < -0.7);
    assert!((ask("1 2 3 -> 6\n1+2=3\n").value - 0.5).abs() < 0.3);
}

#[test]
fn incorrect_solutions_do_not_teach_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = vec![example("4 5 -> 20\n", &[("4+5=9", Some(-1.0))], false)];
    let config = TrainConfig { max_steps: Some(1), ..config() };
    let out = dir.path().join("out");
    let report = train(&fresh(&tiny(), 1), &wrong, &config, 1, &out, &mut go_on).unwrap();
    assert!(!report.first.parts.contains_key("policy_loss"));
    // A fresh head says 0, so the error is 1 and its weight 0.1.
    assert_eq!(report.first.parts["value_loss"], 1.0);
    assert!((report.first.loss - 0.1).abs() < 1e-7);
}

#[test]
fn nothing_is_left_out_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let mut examples = examples();
    examples.push(example(&"1".repeat(60), &[("22222", Some(1.0))], true));
    examples.push(example("7\n", &[("7", None)], false));
    let out = dir.path().join("out");
    let base = fresh(&tiny(), 1);
    let config = TrainConfig { max_steps: Some(2), ..config() };
    let report = train(&base, &examples, &config, 1, &out, &mut go_on).unwrap();
    assert_eq!(
        (report.examples, report.dropped_too_long, report.dropped_without_targets),
        (6, 1, 1)
    );
    assert!((0.0..1.0).contains(&report.padding));

    let none = train(&base, &examples[6..], &config, 1, &dir.path().join("none"), &mut go_on);
    let message = none.unwrap_err().to_string();
    assert!(message.contains("1 too long") && message.contains("1 without targets"), "{message}");
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let base = fresh(&tiny(), 1);
    let attempt = |examples: &[Example], config: &TrainConfig| {
        train(&base, examples, config, 1, &out, &mut go_on).unwrap_err().to_string()
    };
    for (field, bad) in [
        ("learning_rate", TrainConfig { learning_rate: f64::NAN, ..config() }),
        ("batch_tokens", TrainConfig { batch_tokens: 0, ..config() }),
        ("micro_batch_tokens", TrainConfig { micro_batch_tokens: Some(0), ..config() }),
        ("precision", TrainConfig { precision: Dtype::Float16, ..config() }),
        ("warmup_fraction", TrainConfig { warmup_fraction: 1.0, ..config() }),
        ("save_every", TrainConfig { save_every: 0, ..config() }),
        ("max_steps", TrainConfig { max_steps: Some(0), ..config() }),
    ] {
        let message = attempt(&examples(), &bad);
        assert!(message.contains(field), "{message}");
    }
    for (field, bad) in [
        ("value_dropout", AlphaMath { value_dropout: 1.0, ..AlphaMath::default() }),
        ("beta", AlphaMath { beta: -0.1, ..AlphaMath::default() }),
    ] {
        let result = train_by(&bad, &base, &examples(), &config(), 1, &out, &mut go_on);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
    let good = examples().remove(0);
    let span = |tokens| PolicySpan { tokens, weight: 1.0 };
    for bad in [
        Example { tokens: vec![9999; good.tokens.len()], ..good.clone() },
        Example { policy: vec![span(0..1)], ..good.clone() },
        Example { policy: vec![span(1..99)], ..good.clone() },
        Example { policy: vec![span(3..5), span(4..6)], ..good.clone() },
        Example { policy: vec![PolicySpan { tokens: 1..2, weight: f32::NAN }], ..good.clone() },
        Example { old_log_probs: vec![-1.0], ..good.clone() },
        Example { signals: vec![0.5], ..good.clone() },
        Example { value_weights: vec![1.0; good.value_targets.len() + 1], ..good.clone() },
        Example { value_weights: vec![0.0; good.value_targets.len()], ..good.clone() },
        Example { value_weights: vec![f32::INFINITY; good.value_targets.len()], ..good.clone() },
        Example { value_targets: vec![(good.tokens.len(), 0.0)], ..good.clone() },
        Example { value_targets: vec![(0, f32::NAN)], ..good.clone() },
        Example { value_targets: vec![(0, 1.5)], ..good.clone() },
    ] {
        let message = attempt(&[good.clone(), bad], &config());
        assert!(message.contains("example 1"), "{message}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_loss_that_explodes_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = TrainConfig { learning_rate: 1e30, epochs: 50, ..config() };
    let out = dir.path().join("out");
    let result = train(&fresh(&tiny(), 1), &examples(), &config, 1, &out, &mut go_on);
    assert!(matches!(result, Err(Error::Diverged { .. })), "{result:?}");
    assert!(!out.exists());
}

#[test]
fn the_trained_checkpoint_is_a_checkpoint_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let config = TrainConfig { max_steps: Some(2), ..config() };
    train(&fresh(&tiny(), 1), &examples(), &config, 1, &first, &mut go_on).unwrap();
    let trained = Checkpoint::load(&first).unwrap();
    train(&trained, &examples(), &config, 1, &second, &mut go_on).unwrap();
    assert_ne!(Checkpoint::load(&second).unwrap().parameters, trained.parameters);
}

#[test]
fn a_sixteen_bit_net_is_trained_and_resumed_in_thirty_two() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = fresh(&tiny(), 1);
    base.config.torch_dtype = Some("bfloat16".to_owned());
    let base_dir = dir.path().join("base");
    base.save(&base_dir).unwrap();
    let base = Checkpoint::load(&base_dir).unwrap();
    let whole = dir.path().join("whole");
    // So small that most steps would be lost between two neighbouring 16-bit numbers.
    let config = TrainConfig { learning_rate: 1e-4, ..config() };
    train(&base, &examples(), &config, 7, &whole, &mut go_on).unwrap();
    let out = dir.path().join("out");
    let mut stop = |metrics: &StepMetrics| match metrics.step == 7 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    train(&base, &examples(), &config, 7, &out, &mut stop).unwrap_err();
    train(&base, &examples(), &config, 7, &out, &mut go_on).unwrap();
    assert_eq!(content(&out), content(&whole));
    let size = |dir: &Path| fs::metadata(dir.join("model.safetensors")).unwrap().len();
    assert_eq!(size(&out), size(&base_dir), "the trained net is saved in 16 bits");
}

#[test]
fn small_passes_and_checkpointing_train_the_same_net() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&tiny(), 1);
    let run = |name: &str, config: TrainConfig| {
        let out = dir.path().join(name);
        let report = train(&base, &examples(), &config, 7, &out, &mut go_on).unwrap();
        (report, Checkpoint::load(&out).unwrap().parameters)
    };
    // An epsilon that gradients do not vanish beside: AdamW makes steps of one size of the smallest differences.
    let config = TrainConfig { adam_epsilon: 1e-2, batch_tokens: 256, ..config() };
    let (report, expected) = run("whole", TrainConfig { shards: 1, ..config.clone() });
    for (name, config) in [
        ("passes", TrainConfig { micro_batch_tokens: Some(30), ..config.clone() }),
        ("checkpointing", TrainConfig { activation_checkpointing: true, ..config }),
    ] {
        let (found, parameters) = run(name, config);
        assert_eq!((found.steps, found.tokens), (report.steps, report.tokens));
        assert!(found.padding <= 0.05 && report.padding <= 0.05, "{found:?}");
        for ((name, one), (_, other)) in parameters.iter().zip(expected.iter()) {
            for (one, other) in one.values.iter().zip(&other.values) {
                assert!((one - other).abs() < 1e-5, "{name}: {one} {other}");
            }
        }
    }
}

#[test]
fn a_gpu_trains_the_same_net_as_the_cpu() {
    if tch::Cuda::device_count() == 0 {
        return skipped("there is no GPU, or libtorch has no CUDA");
    }
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&tiny(), 1);
    let losses = |name: &str, config: TrainConfig, compute: Compute| -> Vec<f64> {
        let mut losses = Vec::new();
        let mut note = |metrics: &StepMetrics| {
            losses.push(metrics.loss);
            go_on(metrics)
        };
        let out = dir.path().join(name);
        let (objective, examples) = (AlphaMath::default(), examples());
        let (base, config) = (&base, &config);
        let job =
            Job { base, examples: &examples, objective: &objective, config, seed: 7, compute };
        espalier_training::train(&job, &out, &mut note).unwrap();
        losses
    };
    let gpu = Compute { device: Device::Cuda(0), threads: 1 };
    let expected = losses("cpu", config(), CPU);
    for (name, config, tolerance) in [
        ("whole", config(), 1e-3),
        ("passes", TrainConfig { micro_batch_tokens: Some(30), ..config() }, 1e-3),
        ("kept", TrainConfig { activation_checkpointing: true, ..config() }, 1e-3),
        ("bfloat16", TrainConfig { precision: Dtype::BFloat16, ..config() }, 3e-2),
    ] {
        let found = losses(name, config, gpu);
        assert_eq!(found.len(), expected.len());
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let off = (found - expected).abs();
            assert!(off < tolerance * expected, "{name}, step {step}: {found}, not {expected}");
        }
    }
}
