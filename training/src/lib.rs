//! The policy-value net: model, tokenizer, checkpoints, objectives, trainer and batched inference.
//!
//! A net is a [`Checkpoint`]: a Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`) with a
//! value head beside it. [`train`] turns a checkpoint and [`Example`]s into the next checkpoint over libtorch;
//! [`LocalEvaluator`] answers the search's requests from a checkpoint: on the CPU without libtorch, on a GPU over it.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout)]

mod attention;
mod batches;
mod chat;
mod checkpoint;
mod config;
mod device;
mod dtype;
mod error;
mod example;
mod gguf;
mod inference;
mod lora;
mod matmul;
mod net;
mod objective;
mod optimizer;
mod parameters;
mod random;
mod rotary;
mod schedule;
mod tokenizer;
mod trainer;

pub use chat::{ChatTemplate, Message};
pub use checkpoint::Checkpoint;
pub use config::{Family, ModelConfig, NetConfig};
pub use device::Device;
pub use dtype::Dtype;
pub use error::{Error, Result};
pub use example::{Example, ExampleStep, PolicyTargets};
pub use inference::{
    InferenceConfig, InferenceStats, LocalEvaluator, SamplingConfig, Score, resolve_threads,
};
pub use lora::{Adapter, LoraConfig};
pub use matmul::matmul_rate;
pub use net::PolicyValueNet;
pub use objective::{AlphaMath, Counts, Loss, Member, Objective, TensorBatch};
pub use parameters::{Parameter, Parameters, VALUE_BIAS, VALUE_WEIGHT};
pub use schedule::Schedule;
pub use tokenizer::Tokenizer;
pub use trainer::{Compute, StepMetrics, StepTime, TrainConfig, TrainReport, time_steps, train};
