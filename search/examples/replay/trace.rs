//! A trace as the original's recorder wrote it: what its model answered, and the tree or beam that it grew from that.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use indexmap::IndexMap;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What every trace must hold, told to those whose file does not.
const REQUIRED: &str = "a trace is one JSON object with `name`, `ground_truth`, `config`, `calls`, `iterations_used` and \
    `react`, for a beam also `solutions`";

/// The root's tag.
pub(super) const ROOT: &str = "0";

/// One problem that the original searched. Fields that a replay does not need are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Trace {
    /// Names the trace in reports.
    pub name: String,
    /// The known answer, compared as plain text; none at inference.
    // Without this a missing field would read as null.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) ground_truth: Option<String>,
    pub(super) config: Config,
    /// Everything that the model was asked, in order.
    pub(super) calls: Vec<Call>,
    /// Simulations of a tree, levels of a beam.
    pub(super) iterations_used: u64,
    react: React,
    /// Some recordings keep them beside the tree instead of in it.
    solutions: Option<Vec<Solution>>,
}

/// The original's settings under its own names.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) mode: Mode,
    pub(super) c_puct: f64,
    pub(super) iterations: u64,
    pub(super) max_depth: usize,
    pub(super) n_generate_sample: usize,
    pub(super) remove_duplicate: bool,
    pub(super) update_leaf_value: bool,
    pub(super) positive_reward: f64,
    pub(super) negative_reward: f64,
    /// Failed code steps in a row that a path of a tree survives. A beam's path survives any number.
    #[serde(default = "errors_threshold")]
    pub(super) errors_threshold: usize,
    /// Beams; 0 where there is a tree.
    #[serde(default)]
    pub(super) step_beam_width: usize,
}

fn errors_threshold() -> usize {
    3
}

/// How the original searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Mcts,
    Sbs,
}

/// One question to the model.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// The state that the model was asked about.
    pub(super) tag: String,
    /// Its value in [-1, 1]; null when the prompt was over the length limit.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) samples: Vec<Sample>,
    /// The steps that lead to the state, filled in when the trace is read.
    #[serde(skip)]
    pub(super) context: String,
}

/// What the model was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Next steps and the value.
    Expand,
    /// The value alone.
    Value,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expand => "expand",
            Self::Value => "value",
        })
    }
}

/// One sampled step.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sample {
    /// As cut before the stop.
    pub(super) text: String,
    pub(super) tokens: u32,
    /// Sum of the tokens' log-probabilities, <= 0.
    pub(super) sum_logprob: f64,
}

/// A finished path of a beam.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Solution {
    pub(super) tag: String,
    pub(super) value: f64,
    pub(super) final_answer: String,
}

/// One node. Only a tree's carry statistics.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    /// The step with what the environment appended; empty at the root.
    pub(super) text: String,
    /// [`NO_VALUE`] where the model was not asked.
    pub(super) value: f64,
    /// Empty while the path is open.
    pub(super) final_answer: String,
    q_value: Option<f64>,
    prior: Option<f64>,
    visit_count: Option<u64>,
}

/// Value of a node about which the model was not asked.
pub(super) const NO_VALUE: f64 = -100.0;

/// What a tree says of a node.
pub(super) struct Statistics {
    pub(super) q_value: f64,
    pub(super) prior: f64,
    pub(super) visit_count: u64,
}

impl Node {
    /// None when any is missing.
    pub(super) fn statistics(&self) -> Option<Statistics> {
        let (q_value, prior) = (self.q_value?, self.prior?);
        Some(Statistics { q_value, prior, visit_count: self.visit_count? })
    }
}

/// The nodes by tag. A beam's solutions are kept among them under a key of their own.
#[derive(Debug, Clone)]
struct React {
    nodes: IndexMap<String, Node>,
    solutions: Option<Vec<Solution>>,
}

impl<'de> Deserialize<'de> for React {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReactVisitor)
    }
}

struct ReactVisitor;

impl<'de> Visitor<'de> for ReactVisitor {
    type Value = React;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of nodes by tag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<React, A::Error> {
        let mut react = React { nodes: IndexMap::new(), solutions: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == "solutions" {
                react.solutions = Some(map.next_value()?);
                continue;
            }
            let node = map.next_value()?;
            if react.nodes.contains_key(&key) {
                return Err(A::Error::custom(format!("node {key:?} is there twice")));
            }
            react.nodes.insert(key, node);
        }
        Ok(react)
    }
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// With the file, and the line and column where there is one, when it cannot be read or lacks what a replay needs.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no trace", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut trace: Self =
            serde_json::from_str(text).map_err(|error| anyhow!("{error} ({REQUIRED})"))?;
        trace.place_calls()?;
        trace.check()?;
        Ok(trace)
    }

    /// The nodes by tag, in the order of their creation.
    pub(super) fn nodes(&self) -> &IndexMap<String, Node> {
        &self.react.nodes
    }

    /// The finished paths of a beam, best first.
    pub(super) fn solutions(&self) -> &[Solution] {
        self.react.solutions.as_deref().or(self.solutions.as_deref()).unwrap_or_default()
    }

    /// The steps that lead to a node, without the question, which all nodes share. None when a node on the way is missing.
    pub(super) fn context(&self, tag: &str) -> Option<String> {
        let ends = tag.match_indices('.').skip(1).map(|(end, _)| end);
        let steps = ends.chain(tag.contains('.').then_some(tag.len()));
        steps.map(|end| self.nodes().get(&tag[..end]).map(|node| node.text.as_str())).collect()
    }

    fn place_calls(&mut self) -> Result<()> {
        let context = |(position, call): (usize, &Call)| {
            self.context(&call.tag).with_context(|| {
                format!("call {position} is at {:?}, to which `react` has no path", call.tag)
            })
        };
        let contexts: Vec<String> =
            self.calls.iter().enumerate().map(context).collect::<Result<_>>()?;
        for (call, context) in self.calls.iter_mut().zip(contexts) {
            call.context = context;
        }
        Ok(())
    }

    /// Refuses what serde takes and no search could have seen.
    fn check(&self) -> Result<()> {
        ensure!(self.nodes().contains_key(ROOT), "`react` has no root, tag {ROOT:?}");
        for (position, Call { kind, tag, value, samples, .. }) in self.calls.iter().enumerate() {
            let at = format!("call {position} ({kind} {tag})");
            let value = value.unwrap_or(0.0);
            ensure!((-1.0..=1.0).contains(&value), "{at}: value {value} is outside [-1, 1]");
            for Sample { sum_logprob, .. } in samples {
                ensure!(*sum_logprob <= 0.0, "{at}: `sum_logprob` {sum_logprob} is above 0");
            }
        }
        match self.config.mode {
            Mode::Mcts => {
                for (tag, node) in self.nodes() {
                    ensure!(
                        node.statistics().is_some(),
                        "node {tag:?} of `react` lacks `q_value`, `prior` or `visit_count`"
                    );
                }
            }
            Mode::Sbs => {
                let given = self.react.solutions.is_some() || self.solutions.is_some();
                ensure!(given, "a beam's trace needs `solutions`");
                let Config { step_beam_width, n_generate_sample, .. } = self.config;
                ensure!(step_beam_width > 0, "`step_beam_width` must be at least 1");
                ensure!(n_generate_sample > 0, "`n_generate_sample` must be at least 1");
                for Solution { tag, .. } in self.solutions() {
                    let known = self.context(tag).is_some();
                    ensure!(known, "a solution is at {tag:?}, to which `react` has no path");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAM: &str = r#"{"name": "b", "ground_truth": null, "iterations_used": 1,
        "config": {"mode": "sbs", "c_puct": 1.5, "iterations": 40, "max_depth": 10, "n_generate_sample": 1,
            "remove_duplicate": false, "update_leaf_value": false, "positive_reward": 1.0,
            "negative_reward": -1.0, "step_beam_width": 1, "seed": 42},
        "calls": [{"kind": "value", "tag": "0.0", "value": 0.5}],
        "react": {"0": {"text": "", "value": -100, "final_answer": ""},
            "0.0": {"text": "a", "value": 0.5, "final_answer": "1", "extra_info": ""},
            "solutions": [{"tag": "0.0", "value": 0.5, "final_answer": "1"}]}}"#;

    #[test]
    fn foreign_fields_are_passed_over_and_calls_know_their_place() {
        let trace = Trace::parse(BEAM).unwrap();
        assert_eq!(trace.calls[0].context, "a");
        assert_eq!(trace.solutions()[0].tag, "0.0");
        assert_eq!((trace.nodes().len(), trace.config.errors_threshold), (2, 3));
    }

    #[test]
    fn what_is_needed_and_missing_is_named() {
        let cases = [
            (r#""ground_truth": null,"#, "", "missing field `ground_truth` at line"),
            (r#""tag": "0.0", "value": 0.5}],"#, r#""value": 0.5}],"#, "missing field `tag`"),
            (r#""mode": "sbs""#, r#""mode": "uct""#, "unknown variant `uct`"),
            (r#""mode": "sbs""#, r#""mode": "mcts""#, "node \"0\" of `react` lacks `q_value`"),
            (r#""kind": "value", "tag": "0.0""#, r#""kind": "value", "tag": "0.7""#, "no path"),
            (r#""solutions": [{"tag": "0.0""#, r#""solutions": [{"tag": "0.1""#, "no path"),
            (r#""0": {"#, r#""1": {"#, "no root"),
            (r#""0": {"#, r#""0.0": {"#, "\"0.0\" is there twice"),
            (r#""value": 0.5}],"#, r#""value": 1.5}],"#, "call 0 (value 0.0): value 1.5"),
            (r#""step_beam_width": 1"#, r#""step_beam_width": 0"#, "step_beam_width"),
            (r#""solutions""#, r#""0.1": null, "solutions""#, "at line"),
        ];
        for (from, to, expected) in cases {
            assert!(BEAM.contains(from), "{from}");
            let error = Trace::parse(&BEAM.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
