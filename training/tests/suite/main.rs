//! Tests of the crate through its public face.

mod chat;
mod checkpoint;
mod families;
mod fixtures;
mod gguf;
mod inference;
mod libtorch;
mod lora;
mod nets;
mod tokenizer;
mod training;
