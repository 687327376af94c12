//! What libtorch's matrix product alone reaches on a model's shapes: the mark for inference.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use crate::ModelConfig;

/// Multiply-adds a second of libtorch's matrix product over all of a model's matrices with `rows` rows, on `threads`
/// threads: the fastest of `repetitions`, after one that is not counted. The number of threads is libtorch's for the
/// whole process, and stays.
#[must_use]
pub fn matmul_rate(config: &ModelConfig, rows: usize, threads: usize, repetitions: usize) -> f64 {
    tch::set_num_threads(threads as i32);
    let width = config.hidden_size;
    let query = config.num_attention_heads * config.head_dim();
    let qkv = query + 2 * config.key_value_heads() * config.head_dim();
    let inner = config.intermediate_size;
    let layer = [(width, qkv), (query, width), (width, 2 * inner), (inner, width)];
    let mut shapes = layer.repeat(config.num_hidden_layers);
    shapes.push((width, config.vocab_size));
    let random = |rows: usize, columns: usize| {
        Tensor::rand([rows as i64, columns as i64], (Kind::Float, Device::Cpu))
    };
    // Every matrix is there once, so that weights come from where a real pass finds them.
    let products: Vec<(Tensor, Tensor)> =
        shapes.iter().map(|&(k, n)| (random(rows, k), random(n, k))).collect();
    let multiply_adds: usize = shapes.iter().map(|(k, n)| rows * k * n).sum();
    let mut fastest = f64::INFINITY;
    tch::no_grad(|| {
        for repetition in 0..=repetitions {
            let start = Instant::now();
            for (input, weight) in &products {
                let _ = input.linear(weight, None::<Tensor>);
            }
            if repetition > 0 {
                fastest = fastest.min(start.elapsed().as_secs_f64());
            }
        }
    });
    multiply_adds as f64 / fastest
}
