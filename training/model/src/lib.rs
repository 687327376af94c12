//! A policy-value net's files: configuration, parameters, tokenizer, chat template, adapters and GGUF.
//!
//! A net is a [`Checkpoint`]: a Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`) with a
//! value head beside it. Nothing here computes the net; no machine-learning library is needed.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout)]

pub mod chat;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod dtype;
pub mod error;
pub mod folder;
mod gguf;
pub mod head;
pub mod lora;
pub mod parameters;
pub mod random;
pub mod reward;
pub mod rotary;
pub mod tokenizer;

pub use chat::{ChatTemplate, Message};
pub use checkpoint::Checkpoint;
pub use config::{Family, LoraConfig, ModelConfig, NetConfig};
pub use device::Device;
pub use dtype::Dtype;
pub use error::{Error, Result};
pub use head::Head;
pub use lora::Adapter;
pub use parameters::{Parameter, Parameters};
pub use reward::RewardModel;
pub use tokenizer::{Tokenizer, Tokens};
