//! Changes to valid files. Each keeps a file mostly what it was, so that readers come to what stands behind the form.

pub mod bytes;
pub mod gguf;
pub mod json;
pub mod latex;
pub mod lines;
pub mod safetensors;
pub mod thrift;
pub mod torch;
