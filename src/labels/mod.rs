//! From trees to step-labelled solutions: which paths are kept (`paths`) and which number each of their steps gets.
//!
//! A rule is a file here with its settings as a struct that implements [`LabelRule`], a `mod` line and a line of
//! `label_rules`. It may ask for roll-outs, which need the policy and the problems.

pub mod best;
mod hindsight;
pub mod monte_carlo;
mod nodes;
pub mod outcome;
mod paths;
pub mod q_value;
mod rollouts;
mod stepwise;
mod through;

pub use hindsight::HindsightRecipe;
pub use nodes::NodesRecipe;
pub use paths::PathsRecipe;
pub use rollouts::{Cost, NoRollouts, Play, Played, PolicyRollouts, RolloutPlayer};
pub use stepwise::{TrlStepwise, export as export_stepwise, to_stepwise};

use anyhow::{Context, Result};
use espalier_search::{LabelledSolution, TreeRecord, finished_paths};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::seed;

/// How the steps of finished paths get their labels.
pub trait LabelRule: Send + Sync {
    /// Whether the rule asks for roll-outs, and so for a policy and the problems.
    fn needs_rollouts(&self) -> bool {
        false
    }

    /// Whether a label tells of a step's node, whatever path it is read in, and comes from [`Self::survey`] or the tree: then nodes beside
    /// the kept paths have one too.
    fn labels_nodes(&self) -> bool {
        false
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Sees all finished paths of a problem's trees, before some are chosen, and the ways to other nodes: what it writes as Q,
    /// [`Self::label`] finds there.
    fn survey(&self, _paths: &mut [LabelledSolution]) {}

    /// Labels the steps of a problem's chosen paths ([`espalier_search::LabelledStep::q`], in [-1, 1]), which come with Q(s, a) of
    /// their trees.
    ///
    /// # Errors
    /// When roll-outs fail.
    fn label(
        &self,
        paths: &mut [LabelledSolution],
        rollouts: &mut dyn RolloutPlayer,
        seed: u64,
    ) -> Result<()>;
}

/// Declares the kinds of `[labels]`: a line for each rule, `Kind(module::Settings)`.
macro_rules! label_rules {
    ($($(#[$doc:meta])* $kind:ident($rule:ty),)*) => {
        /// A label rule by its `kind`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum LabelRuleRecipe {
            $($(#[$doc])* $kind($rule),)*
        }

        impl LabelRuleRecipe {
            /// The rule itself.
            #[must_use]
            pub fn build(&self) -> &dyn LabelRule {
                match self {
                    $(Self::$kind(rule) => rule,)*
                }
            }
        }
    };
}

label_rules! {
    /// Every step's label is its Q in the tree; the last step's is the reward (AlphaMath).
    QValue(q_value::QValue),
    /// Every step's label is the reward of its path.
    Outcome(outcome::Outcome),
    /// Every step's label is the best reward behind it in the trees.
    Best(best::Best),
    /// Every step's label is what roll-outs from there come to (Math-Shepherd).
    MonteCarlo(monte_carlo::MonteCarlo),
}

/// The recipe's `[labels]`: a rule, and beside it the choice of paths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelsRecipe {
    /// The rule by its `kind`, with its settings.
    #[serde(flatten)]
    pub rule: LabelRuleRecipe,
    /// Which finished paths of a problem are labelled.
    pub paths: PathsRecipe,
    /// Which other problems its trees are told of.
    pub hindsight: HindsightRecipe,
    /// Which other nodes of its trees the value head learns.
    pub nodes: NodesRecipe,
}

impl Default for LabelsRecipe {
    fn default() -> Self {
        Self {
            rule: LabelRuleRecipe::QValue(q_value::QValue {}),
            paths: PathsRecipe::default(),
            hindsight: HindsightRecipe::default(),
            nodes: NodesRecipe::default(),
        }
    }
}

// By hand: serde cannot refuse unknown keys of a flattened enum.
impl<'de> Deserialize<'de> for LabelsRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rule = serde_json::Map::deserialize(deserializer)?;
        let paths = section(&mut rule, "paths").map_err(D::Error::custom)?;
        let hindsight = section(&mut rule, "hindsight").map_err(D::Error::custom)?;
        let nodes = section(&mut rule, "nodes").map_err(D::Error::custom)?;
        rule.entry("kind").or_insert_with(|| Value::from("q_value"));
        let rule = LabelRuleRecipe::deserialize(Value::Object(rule)).map_err(D::Error::custom)?;
        Ok(Self { rule, paths, hindsight, nodes })
    }
}

/// A section that stands beside the rule; its default where there is none.
fn section<T: DeserializeOwned + Default>(
    labels: &mut serde_json::Map<String, Value>,
    name: &str,
) -> Result<T, String> {
    let Some(section) = labels.remove(name) else { return Ok(T::default()) };
    T::deserialize(section).map_err(|error| format!("{name}: {error}"))
}

/// What labels ask the environment of the trees.
pub struct World<'a> {
    /// Names the state of a context, where it has a name.
    pub state: &'a dyn Fn(&str) -> Option<String>,
    /// Makes, of a prompt and an answer, the prompt of the problem that the answer solves; `None` where none may be trained on.
    pub solved_by: &'a dyn Fn(&str, &str) -> Option<String>,
}

impl LabelsRecipe {
    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub fn validate(&self) -> Result<(), String> {
        self.paths.validate()?;
        self.hindsight.validate()?;
        self.nodes.validate()?;
        if self.needs_rollouts() && !self.hindsight.is_off() {
            return Err("hindsight.problems needs a kind that plays no roll-outs: they would be of another problem than the tree's".to_owned());
        }
        if !self.nodes.is_off() && !self.rule.build().labels_nodes() {
            return Err("nodes.min_visits needs kind = \"q_value\" or \"best\": the other kinds label paths and not nodes".to_owned());
        }
        self.rule.build().validate()
    }

    /// Whether the rule needs a policy and the problems.
    #[must_use]
    pub fn needs_rollouts(&self) -> bool {
        self.rule.build().needs_rollouts()
    }

    /// Chooses and labels paths of a problem's trees: first those of the problem itself, then the ways to its other nodes, then the paths of
    /// the problems that its wrong answers solve.
    ///
    /// # Errors
    /// When the trees cannot be harvested or roll-outs fail.
    pub fn harvest(
        &self,
        trees: &[TreeRecord],
        world: &World<'_>,
        rollouts: &mut dyn RolloutPlayer,
        seed: u64,
    ) -> Result<Vec<LabelledSolution>> {
        let rule = self.rule.build();
        let mut paths = finished_paths(trees)?;
        self.paths.merge(&mut paths, world.state);
        let others = self.hindsight.tell(&paths, world.solved_by, seed);
        let finished = paths.len();
        paths.extend(self.nodes.of(trees)?);
        rule.survey(&mut paths);
        let mut ways = paths.split_off(finished);
        self.paths.choose(&mut paths, seed);
        rule.label(&mut paths, rollouts, seed).context("[labels]")?;
        self.paths.cut(&mut paths);
        paths.append(&mut ways);
        self.nodes.weigh(&mut paths);
        for mut other in others {
            let seed = seed::derive(seed, &[&other[0].problem_id]);
            rule.survey(&mut other);
            self.paths.choose(&mut other, seed);
            rule.label(&mut other, &mut NoRollouts, seed).context("[labels]")?;
            // What the policy knows was said of the tree's own problem: these paths stay whole.
            paths.append(&mut other);
        }
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::LabelledStep;

    use super::*;

    /// A path with these steps and Q-values.
    pub(super) fn path(steps: &[(&str, f64)], correct: bool) -> LabelledSolution {
        let step = |&(action, q): &(&str, f64)| LabelledStep {
            action: action.to_owned(),
            observation: "\n".to_owned(),
            prior: 0.5,
            visits: 1,
            q,
            value: None,
            weight: None,
            agreed: None,
            sampled: None,
        };
        LabelledSolution {
            schema: espalier_search::SOLUTION_SCHEMA.to_owned(),
            problem_id: "p".to_owned(),
            tree: 0,
            prompt: "q\n".to_owned(),
            answer: None,
            correct,
            steps: steps.iter().map(step).collect(),
            reward: if correct { 1.0 } else { -1.0 },
            hindsight: false,
            values_only: false,
        }
    }

    pub(super) fn labels(path: &LabelledSolution) -> Vec<f64> {
        path.steps.iter().map(|step| step.q).collect()
    }

    fn read(text: &str) -> Result<LabelsRecipe, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_choice_of_paths_stands_beside_any_rule() {
        let recipe = read("kind = \"outcome\"\n[paths]\nmax_correct = 2").unwrap();
        assert_eq!(recipe.rule, LabelRuleRecipe::Outcome(outcome::Outcome {}));
        assert_eq!(recipe.paths, PathsRecipe { max_correct: 2, ..PathsRecipe::default() });
        assert_eq!(read("").unwrap(), LabelsRecipe::default());
        for recipe in [recipe, read("kind = \"monte_carlo\"\nrollouts = 3").unwrap()] {
            let written = toml::to_string(&recipe).unwrap();
            assert_eq!(read(&written).unwrap(), recipe);
        }
        let error = read("kind = \"outcome\"\nrollouts = 3").unwrap_err();
        assert!(error.contains("unknown field `rollouts`"), "{error}");
        let error = read("[paths]\nmost = 3").unwrap_err();
        assert!(error.contains("paths: unknown field `most`"), "{error}");
        let error = read("kind = \"outcomes\"").unwrap_err();
        assert!(error.contains("unknown variant `outcomes`"), "{error}");
    }
}
