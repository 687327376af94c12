//! Tests of the crate through its public face.

mod adapters;
mod beside;
mod chat;
mod checkpoint;
mod families;
mod gguf;
mod gguf_metadata;
mod gguf_parts;
mod tokenizer;
mod torch_files;
