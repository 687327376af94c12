//! A training step's gradients against those of PyTorch's autograd over `transformers`' nets (`fixtures/gradients.py`).

use std::collections::BTreeMap;

use espalier_fixtures::fixtures::{folder, largest_difference, names, reference};
use espalier_training::{
    AlphaMath, Checkpoint, Counts, Example, Member, Objective, Parameter, Parameters, PolicySpan,
    PolicyValueNet, TensorBatch, VALUE_BIAS, VALUE_WEIGHT,
};
use safetensors::SafeTensors;
use tch::{Device, Tensor};

/// Largest difference from the fixture's float64, as a share of a tensor's largest gradient.
const TOLERANCE: f32 = 1e-4;

/// Tensors of a fixture by name.
fn fixture(name: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(folder("gradients").join(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, tensor)| {
        let numbers = tensor.data().as_chunks().0.iter();
        (name, numbers.map(|&number| f32::from_le_bytes(number)).collect())
    });
    tensors.collect()
}

fn learning(tokens: &[u32], learnt: &[u32], values: &[(usize, f32)]) -> Example {
    let span = |&position: &u32| PolicySpan { tokens: position..position + 1, weight: 1.0 };
    Example {
        tokens: tokens.to_vec(),
        policy: learnt.iter().map(span).collect(),
        value_targets: values.to_vec(),
        ..Example::default()
    }
}

/// The sequences of `gradients.py`.
fn examples(ids: &[u32]) -> [Example; 2] {
    let (length, short) = (ids.len(), &ids[3..11]);
    let learnt: Vec<u32> = (5..length as u32).collect();
    [
        learning(ids, &learnt, &[(9, 0.75), (length - 1, -1.0)]),
        learning(short, &[1, 2, 6], &[(short.len() - 1, 0.5)]),
    ]
}

/// The checkpoint with the value head of `gradients.py`.
fn with_value_head(mut checkpoint: Checkpoint) -> Checkpoint {
    let width = checkpoint.config.hidden_size;
    let mut tensors: BTreeMap<String, Parameter> =
        checkpoint.parameters.iter().map(|(name, one)| (name.to_owned(), one.clone())).collect();
    let values = (0..width).map(|index| ((1.7 * index as f64).sin() * 0.2) as f32).collect();
    tensors.insert(VALUE_WEIGHT.to_owned(), Parameter { shape: vec![1, width], values });
    tensors.insert(VALUE_BIAS.to_owned(), Parameter { shape: vec![1], values: vec![0.125] });
    checkpoint.parameters = Parameters::from_tensors(&checkpoint.config, tensors).unwrap();
    checkpoint
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(&tensor.contiguous().view([-1])).unwrap()
}

#[test]
fn a_step_s_gradients_are_those_of_pytorch() {
    tch::set_num_threads(1);
    let objective = AlphaMath { beta: 0.25, value_dropout: 0.0, ..AlphaMath::default() };
    let files = names("gradients");
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let expected = fixture(&file);
        let dir = folder("models").join(file.trim_end_matches(".safetensors"));
        let net = PolicyValueNet::new(&with_value_head(Checkpoint::load(&dir).unwrap()));
        let examples = examples(&reference(&dir).ids);
        let members: Vec<Member<'_>> = examples.iter().map(Member::alone).collect();
        let batch = TensorBatch::padded(&members, Device::Cpu).unwrap();
        let hidden = batch.hidden_states(&net).unwrap();
        let whole = Counts::of(examples.iter());
        let loss = objective.loss(&net, &hidden, &batch, whole).unwrap();
        let difference =
            largest_difference(&numbers(&loss.total.view([1])), &expected["losses"][..1]);
        assert!(difference < 1e-5 * expected["losses"][0], "{file}: loss is off by {difference}");
        loss.total.backward();
        let mut largest = 0.0_f32;
        let mut compared = 1;
        for (name, tensor) in net.trainable() {
            let expected = expected.get(name).unwrap_or_else(|| panic!("{file}: {name}"));
            let scale = expected.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
            compared += 1;
            // An expert that no token chose, or padding alone, has none.
            if scale == 0.0 {
                let gradient = tensor.grad();
                let none = !gradient.defined() || numbers(&gradient).iter().all(|&x| x == 0.0);
                assert!(none && name.contains(".experts."), "{file}: {name}");
                continue;
            }
            let off = largest_difference(&numbers(&tensor.grad()), expected) / scale;
            assert!(scale > 0.0 && off < TOLERANCE, "{file}: {name} is off by {off:.1e}");
            largest = largest.max(off);
        }
        assert_eq!(compared, expected.len(), "{file}: every gradient of the fixture");
        println!(
            "{file}: gradients differ from PyTorch's by at most {largest:.1e} of their largest"
        );
    }
}
