//! Espalier teaches a model to reason by searching: it grows Monte Carlo trees over reasoning steps, harvests every step's
//! Q-value as its label, retrains the policy and value net on them, and repeats (AlphaMath, arXiv 2405.03553).
//!
//! The search itself is [`search`](espalier_search), the net and its training [`training`](espalier_training); this crate adds the
//! environments, the policies, the recipes, the round loop, evaluation, reports and the command line.
#![forbid(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod data;
pub mod environment;
pub mod execution;
pub mod grading;
pub mod jsonl;
pub mod pipeline;
pub mod policy;
pub mod problems;
mod process;
pub mod progress;
pub mod recipe;
pub mod replay;
pub mod report;
pub mod run_dir;
pub mod seed;
pub mod truth;
pub mod verifier;

pub use espalier_search as search;
pub use espalier_training as training;
