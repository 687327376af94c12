//! Batched inference: on the CPU by kernels of our own, without libtorch, and on a GPU over libtorch.
//!
//! On the CPU a request's answer is a function of the request alone: not of the batch that it is in, of the thread, or
//! of what was asked before. That holds bit for bit, because no operation mixes rows of different requests and each sums
//! in an order that does not depend on how many rows there are. So the schedulers are free to batch as they like, and
//! what was computed for one request serves another that begins alike.
//!
//! Over libtorch all of that holds but for the last digits: its products sum in an order that depends on how many rows
//! there are. A sample is then a function of its request except where a random number falls between two tokens' shares
//! by less than that.
//!
//! Without the feature `torch` the crate needs no libtorch, and computes on the CPU alone.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout)]

mod attention;
mod backend;
mod branching;
pub mod config;
mod elementwise;
mod engine;
pub mod evaluator;
mod experts;
mod group;
mod job;
mod kernel;
mod linear;
pub mod metrics;
mod model;
mod numbers;
mod pages;
mod prefix;
mod quantised;
pub mod sampling;
mod scheduler;
mod stops;
mod team;
#[cfg(feature = "torch")]
mod torch;

pub use config::{InferenceConfig, WeightFormat, resolve_threads};
pub use evaluator::{LocalEvaluator, Score};
pub use metrics::{InferenceStats, Meter};
pub use sampling::SamplingConfig;
