//! Tests of the crate through its public face.

mod chat;
mod checkpoint;
mod families;
mod fixtures;
mod gguf;
mod inference;
mod lora;
mod nets;
mod tokenizer;
mod training;
