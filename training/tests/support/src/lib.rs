//! Fixtures and small nets for the tests of the model, inference and training crates.
#![forbid(unsafe_code)]

pub mod fixtures;
pub mod nets;
