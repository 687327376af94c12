//! Tests of the crate through its public face.

mod lora;
mod parity;
mod training;
