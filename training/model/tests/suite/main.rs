//! Tests of the crate through its public face.

mod adapters;
mod chat;
mod checkpoint;
mod families;
mod gguf;
mod tokenizer;
