//! Training of the policy-value net over libtorch: the net, objectives, the optimiser and the trainer.
//!
//! [`train`] turns a checkpoint and [`Example`]s into the next checkpoint, by an [`Objective`]. The files of a net are
//! [`espalier_model`]'s; answers to the search's requests are [`espalier_inference`]'s. Their names are given here too.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout)]

mod batches;
mod error;
mod example;
mod example_set;
mod examples;
mod matmul;
mod net;
mod objective;
mod optimizer;
mod path_tokens;
mod schedule;
mod settings;
mod side_by_side;
mod trainer;
mod tree;

pub use error::{Error, Result};
pub use espalier_inference::{
    InferenceConfig, InferenceStats, LocalEvaluator, SamplingConfig, Score, WeightFormat,
    resolve_threads,
};
pub use espalier_model::checkpoint::Source;
pub use espalier_model::parameters::{Parameter, Parameters, VALUE_BIAS, VALUE_WEIGHT};
pub use espalier_model::{
    Adapter, ChatTemplate, Checkpoint, Device, Dtype, Family, LoraConfig, Message, ModelConfig,
    NetConfig, Tokenizer, Tokens,
};
pub use example::{Example, StepPlace};
pub use example_set::ExampleSet;
pub use examples::{ExampleFile, Examples, Shape};
pub use matmul::matmul_rate;
pub use net::PolicyValueNet;
pub use objective::{
    AlphaMath, Average, Counts, Grouping, Grpo, LabelledPath, LogProbs, Loss, Member, Nft,
    Objective, ObjectiveConfig, PathStep, PathTargets, PolicySpan, PolicyTargets, Sampled, Sft,
    StepTargets, TensorBatch, Unlearnt, log_probs,
};
pub use schedule::Schedule;
pub use trainer::{
    Compute, Job, StepMetrics, StepTime, TRAINING_STATE, TrainConfig, TrainReport, Trained,
    time_steps, train,
};
