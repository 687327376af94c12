//! Tests of the crate through its public face.

mod families;
#[cfg(feature = "torch")]
mod libtorch;
mod local;
mod quantised;
mod tokens;
mod without_replacement;
