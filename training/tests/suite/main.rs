//! Tests of the crate through its public face.

mod gradients;
mod lora;
mod packing;
mod parity;
mod training;
