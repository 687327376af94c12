//! What libtorch's matrix product alone reaches on a model's shapes: the mark for inference.

use std::time::Instant;

use espalier_model::config::ModelConfig;
use espalier_model::device::Device;
use espalier_torch::tensor::kind;
use tch::{Kind, Tensor};

use crate::error::Result;

/// Multiply-adds a second of libtorch's matrix product over all of a model's matrices with `rows` rows, on `threads`
/// threads: the fastest of `repetitions`, after one that is not counted. On a GPU in the model's element type, on the CPU
/// in fp32, as inference computes. The number of threads is libtorch's for the whole process, and stays.
///
/// # Errors
/// When the device is not there, or has no room for the matrices.
pub fn matmul_rate(
    config: &ModelConfig,
    device: Device,
    rows: usize,
    threads: usize,
    repetitions: usize,
) -> Result<f64> {
    let kind = match device {
        Device::Cpu => Kind::Float,
        Device::Cuda(_) => kind(config.dtype()?),
    };
    let device = espalier_torch::device::open(device)?;
    tch::set_num_threads(threads as i32);
    let width = config.hidden_size;
    let query = config.num_attention_heads * config.head_dim();
    let qkv = query + 2 * config.key_value_heads() * config.head_dim();
    let architecture = config.architecture()?;
    let mut shapes = Vec::new();
    for layer in 0..config.num_hidden_layers {
        shapes.extend([(width, qkv), (query, width)]);
        // Of experts, those that one row goes through.
        let inner = match architecture.experts_of(layer) {
            None => vec![config.intermediate_size],
            Some(experts) => {
                let shared = experts.shared.into_iter();
                std::iter::repeat_n(experts.inner, experts.per_token).chain(shared).collect()
            }
        };
        shapes.extend(inner.iter().flat_map(|&inner| [(width, 2 * inner), (inner, width)]));
    }
    shapes.push((width, config.vocab_size));
    let random =
        |rows: usize, columns: usize| Tensor::f_rand([rows as i64, columns as i64], (kind, device));
    // Every matrix is there once, so that weights come from where a real pass finds them.
    let pair = |&(k, n): &(usize, usize)| -> Result<(Tensor, Tensor)> {
        Ok((random(rows, k)?, random(n, k)?))
    };
    let products = shapes.iter().map(pair).collect::<Result<Vec<_>>>()?;
    let multiply_adds: usize = shapes.iter().map(|(k, n)| rows * k * n).sum();
    let mut fastest = f64::INFINITY;
    // A GPU works on while the program goes on.
    let wait = || {
        if let tch::Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
    };
    for repetition in 0..=repetitions {
        wait();
        let start = Instant::now();
        for (input, weight) in &products {
            let _ = input.f_linear(weight, None::<Tensor>)?;
        }
        wait();
        if repetition > 0 {
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(multiply_adds as f64 / fastest)
}
