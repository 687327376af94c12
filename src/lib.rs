//! Espalier teaches a model to reason by searching: it grows Monte Carlo trees over reasoning steps, harvests every step's
//! Q-value as its label, retrains the policy and value net on them, and repeats (AlphaMath, arXiv 2405.03553).
//!
//! The search itself is [`search`], the net and its training [`training`]; this crate adds the
//! environments, policies, recipes, the round loop, evaluation and reports.
#![forbid(unsafe_code)]

mod address;
pub mod bench;
pub mod compute;
pub mod curriculum;
pub mod environment;
pub mod evaluation;
pub mod feeds;
pub mod form;
pub mod hub;
pub mod interrupt;
pub mod jsonl;
mod kinds;
pub mod labels;
pub mod live;
pub mod page;
pub mod pipeline;
pub mod place;
pub mod policy;
pub mod problems;
pub mod progress;
pub mod provenance;
pub mod recipe;
pub mod report;
pub mod run_dir;
pub mod spans;
pub mod status;
pub mod tune;
pub mod upgrade;
pub mod usage;
pub mod verifier;

pub use espalier_data as data;
pub use espalier_execution as execution;
pub use espalier_grading as grading;
pub use espalier_search as search;
pub use espalier_seed as seed;
pub use espalier_training as training;
