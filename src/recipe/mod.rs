//! Recipes: a method as a choice of environment, problems, policy, search, labels, objective, training and evaluation.
//!
//! A recipe is a TOML file in `configs/`. It is strict (an unknown key is an error), may build on another
//! (`extends = "base.toml"`), and single keys can be overridden from the command line (`--set search.c_puct=2`).

mod fault;
mod load;
mod overrides;
mod settings;

pub use load::{load, parse, to_toml};
pub use overrides::{set, set_value};
pub use settings::{Setting, settings};

use std::path::PathBuf;

use anyhow::{Result, ensure};
use espalier_search::decoding::Greedy;
use espalier_search::{Decoding, SearchConfig};
use espalier_training::{NetConfig, ObjectiveConfig, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::compute::ComputeRecipe;
use crate::curriculum::CurriculumRecipe;
use crate::data::DatasetRecipe;
use crate::environment::EnvironmentRecipe;
use crate::evaluation::EvaluationRecipe;
use crate::evaluation::probe::ProbeRecipe;
use crate::feeds::FeedsRecipe;
use crate::kinds::kind_or_default;
use crate::labels::LabelsRecipe;
use crate::policy::PolicyRecipe;

/// A whole method. Every section has defaults: `configs/countdown.toml` states them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Names the run directory.
    pub name: String,
    /// What the recipe is for, and the paper that it follows.
    pub about: String,
    /// Root of every random stream of the run.
    pub seed: u64,
    /// The rules of the problems.
    #[serde(deserialize_with = "kind_or_default")]
    pub environment: EnvironmentRecipe,
    /// Where the problems come from.
    #[serde(deserialize_with = "kind_or_default")]
    pub problems: ProblemsRecipe,
    /// Who proposes steps and values states.
    #[serde(deserialize_with = "kind_or_default")]
    pub policy: PolicyRecipe,
    /// The local policy-value net.
    pub net: NetConfig,
    /// Round 0: the policy that the rounds begin with.
    pub bootstrap: BootstrapRecipe,
    /// The rounds of search, harvest, training and evaluation.
    pub rounds: RoundsRecipe,
    /// How training records are grown.
    #[serde(deserialize_with = "kind_or_default")]
    pub search: SearchConfig,
    /// How trees become step labels.
    pub labels: LabelsRecipe,
    /// What the net learns from the labels.
    #[serde(deserialize_with = "kind_or_default")]
    pub objective: ObjectiveConfig,
    /// How it learns: optimiser, precision and memory.
    pub training: TrainConfig,
    /// How each round's net is measured.
    pub evaluation: EvaluationRecipe,
    /// How the machine is used; with one worker a tree the results do not depend on it.
    pub compute: ComputeRecipe,
    /// Where a run's figures go besides its own files.
    pub feeds: FeedsRecipe,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: "countdown".into(),
            about: String::new(),
            seed: 1,
            environment: EnvironmentRecipe::default(),
            problems: ProblemsRecipe::default(),
            policy: PolicyRecipe::default(),
            net: NetConfig::default(),
            bootstrap: BootstrapRecipe::default(),
            rounds: RoundsRecipe::default(),
            search: SearchConfig::default(),
            labels: LabelsRecipe::default(),
            objective: ObjectiveConfig::default(),
            training: TrainConfig::default(),
            evaluation: EvaluationRecipe::default(),
            compute: ComputeRecipe::default(),
            feeds: FeedsRecipe::default(),
        }
    }
}

/// Where problems come from. Training and evaluation always draw from disjoint splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProblemsRecipe {
    /// Made by the environment's own generator, whose settings these are.
    Generated(toml::Table),
    /// Rows `{id, question, answer, metadata}` of a file.
    Jsonl(JsonlRecipe),
    /// Rows of a public data set.
    Dataset(Box<DatasetRecipe>),
}

impl Default for ProblemsRecipe {
    fn default() -> Self {
        Self::Generated(toml::Table::new())
    }
}

/// A file of problems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonlRecipe {
    /// The file; a relative path starts at the working directory.
    pub path: PathBuf,
}

/// Round 0: where the policy comes from that the rounds begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapRecipe {
    /// What round 0 is.
    pub kind: BootstrapKind,
    /// `random_lines`: how many random legal lines of play.
    pub lines: usize,
    /// `random_lines` and `solutions`: how many times each line or solution is read.
    pub epochs: usize,
    /// `checkpoint` and `solutions`: the pretrained net, a Hugging Face folder or a GGUF file.
    pub path: Option<PathBuf>,
    /// `random_lines` and `solutions`: how many training problems the lines or solutions are of; 0: those of one round, or all that
    /// have a solution.
    pub problems: usize,
    /// `solutions`: peak learning rate; absent, that of `[training]`.
    pub learning_rate: Option<f64>,
    /// `random_lines` and `solutions`: whether the policy also learns to write observations.
    pub observation_loss: bool,
}

impl Default for BootstrapRecipe {
    fn default() -> Self {
        Self {
            kind: BootstrapKind::RandomLines,
            lines: 20_000,
            epochs: 1,
            path: None,
            problems: 0,
            learning_rate: None,
            observation_loss: true,
        }
    }
}

/// What round 0 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapKind {
    /// A fresh net of `[net]`, trained on random legal steps from which every solution was removed.
    RandomLines,
    /// A pretrained net as it is, with a fresh value head if it has none.
    Checkpoint,
    /// A pretrained net, trained on the worked solutions that training problems carry.
    Solutions,
}

impl Recipe {
    /// Checks that an objective which compares the trained net with the policy that wrote the paths reads that policy's
    /// log-probabilities: the sampler's own, or those of the net that a round's training starts from where that net wrote
    /// all the paths that the round reads. Nobody wrote what is told in hindsight.
    ///
    /// # Errors
    /// When the rounds give neither, with the settings that would.
    pub fn check_old_log_probs(&self) -> Result<()> {
        let rounds = &self.rounds;
        ensure!(
            self.labels.hindsight.is_off() || !self.objective.build().log_probs().old,
            "[objective] kind = \"{}\" compares with the policy that wrote a solution, and none wrote what is told in hindsight: leave \
             labels.hindsight.problems out",
            self.objective.kind()
        );
        let on_policy = rounds.start_from == StartFrom::Previous && rounds.window == 1;
        let known = on_policy || rounds.count <= 1 || self.search.settings().keeps_tokens();
        ensure!(
            known || !self.objective.build().log_probs().old,
            "[objective] kind = \"{}\" compares with the policy that wrote a solution, whose log-probabilities these rounds do not \
             know: write search.keep_tokens = true, or rounds.start_from = \"previous\" and rounds.window = 1",
            self.objective.kind()
        );
        Ok(())
    }
}

/// The rounds after round 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsRecipe {
    /// How many.
    pub count: usize,
    /// Training problems searched in a round. Each round takes the next ones of the training split, starting again when a file
    /// holds no more.
    pub problems: usize,
    /// How many training problems the rounds take turns through: when all were searched, they come again, from the first on. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
    /// Trees grown for each problem (AlphaMath: 4 to 10).
    pub trees_per_problem: usize,
    /// The checkpoint that a round's training starts from.
    pub start_from: StartFrom,
    /// The peak learning rate of a round's training as a share of that of the round before, in (0, 1]. A net that goes on from the round
    /// before wants smaller steps than one that begins.
    pub learning_rate_decay: f64,
    /// How many rounds back the labels go that a round's training reads, its own included; 0: all rounds, as in AlphaMath.
    pub window: usize,
    /// Sampling temperature of the first round's search; absent: that of `[search]`. AlphaMath's is 0.6.
    pub first_temperature: Option<f32>,
    /// Takes a round's net on only if it does no worse than the one before. Absent: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateRecipe>,
    /// Searches unsolved problems again with a growing budget, and solved ones seldom. Absent: each in its turn, all alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<CurriculumRecipe>,
    /// Searches the same validation problems in the same way after every round, to see what the rounds do to the net. Absent: not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecipe>,
    /// Of how many rounds large files stay. Absent: of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepRecipe>,
}

impl Default for RoundsRecipe {
    fn default() -> Self {
        Self {
            count: 3,
            problems: 1000,
            pool: None,
            trees_per_problem: 1,
            start_from: StartFrom::Base,
            learning_rate_decay: 1.0,
            window: 0,
            first_temperature: None,
            gate: None,
            curriculum: None,
            probe: None,
            keep: None,
        }
    }
}

/// The checkpoint that a round's training starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFrom {
    /// Round 0's, as in AlphaMath.
    Base,
    /// The one that the round before left.
    Previous,
}

/// How a round's net is compared with the one that was kept before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateRecipe {
    /// The decoding whose share of right answers must not fall.
    pub measure: Decoding,
    /// How many problems of the validation split.
    pub problems: usize,
}

impl Default for GateRecipe {
    fn default() -> Self {
        Self { measure: Greedy.into(), problems: 200 }
    }
}

/// Of how many of the last rounds large files stay when a round is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepRecipe {
    /// Checkpoints, beside round 0's and the one that goes on. Absent: all.
    pub checkpoints: Option<usize>,
    /// Files of trees. Absent: all.
    pub trees: Option<usize>,
}
