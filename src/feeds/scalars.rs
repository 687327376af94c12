//! Every number of a stage's summary under a name, with the step at which a viewer shows it.

use std::collections::HashMap;

use serde_json::Value;

/// A number of a summary.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    /// Where it stands: the stage, then the keys, as in `evaluate/results/greedy/accuracy`; of a learning curve the stage and the part
    /// of the loss, as in `train/loss`.
    pub tag: String,
    /// The round; of a learning curve the optimiser steps since the run began.
    pub step: i64,
    pub value: f64,
}

/// Keys that name an object in a list.
const NAMES: [&str; 4] = ["decoding", "name", "kind", "k"];

/// Names numbers. Curves of later rounds go on where those of earlier ones end, so summaries are given in their order.
#[derive(Debug, Default)]
pub(super) struct Scalars {
    /// Optimiser steps of the stages so far, by stage.
    steps: HashMap<String, i64>,
}

impl Scalars {
    /// The numbers of a summary; by tag each step once, in ascending order.
    pub fn of(&mut self, summary: &Value) -> Vec<Scalar> {
        let mut found = Vec::new();
        let stage = summary["stage"].as_str().unwrap_or_default();
        let round = summary["round"].as_i64().unwrap_or_default();
        for (key, value) in summary.as_object().into_iter().flatten() {
            match key.as_str() {
                "round" | "stage" | "schema" => {}
                "curve" => self.add_curve(stage, value, &mut found),
                _ => add(format!("{stage}/{key}"), round, value, &mut found),
            }
        }
        found
    }

    fn add_curve(&mut self, stage: &str, curve: &Value, found: &mut Vec<Scalar>) {
        let last = self.steps.entry(stage.to_owned()).or_default();
        let before = *last;
        for point in curve.as_array().into_iter().flatten() {
            *last = before + point["step"].as_i64().unwrap_or_default();
            for (key, value) in point.as_object().into_iter().flatten() {
                if key != "step" {
                    add(format!("{stage}/{key}"), *last, value, found);
                }
            }
        }
    }
}

fn add(tag: String, step: i64, value: &Value, found: &mut Vec<Scalar>) {
    match value {
        Value::Number(number) => {
            found.extend(number.as_f64().map(|value| Scalar { tag, step, value }));
        }
        Value::Object(object) => {
            for (key, value) in object {
                add(format!("{tag}/{key}"), step, value, found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                add(format!("{tag}/{}", name(index, value)), step, value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// What an entry of a list is called: by its own name, or by its place.
fn name(index: usize, entry: &Value) -> String {
    let named = NAMES.iter().find_map(|key| match &entry[*key] {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    named.unwrap_or_else(|| index.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scalar(tag: &str, step: i64, value: f64) -> Scalar {
        Scalar { tag: tag.into(), step, value }
    }

    #[test]
    fn numbers_are_named_by_where_they_stand() {
        let summary = json!({"schema": "s/1", "round": 2, "stage": "evaluate", "value_auc": null,
            "results": [{"decoding": "greedy", "n": 3}, {"decoding": "maj@3", "n": 4}],
            "bins": [{"low": 0.5}]});
        let mut found = Scalars::default().of(&summary);
        found.sort_by(|a, b| a.tag.cmp(&b.tag));
        let wanted = [
            scalar("evaluate/bins/0/low", 2, 0.5),
            scalar("evaluate/results/greedy/n", 2, 3.0),
            scalar("evaluate/results/maj@3/n", 2, 4.0),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_curve_goes_on_where_the_round_before_ended() {
        let summary = |round: u64| {
            json!({"round": round, "stage": "train",
                "curve": [{"step": 1, "loss": 2.0}, {"step": 7, "loss": 1.0}]})
        };
        let mut scalars = Scalars::default();
        scalars.of(&json!({"round": 0, "stage": "pretrain", "curve": [{"step": 90, "loss": 9.0}]}));
        scalars.of(&summary(1));
        let second = scalars.of(&summary(2));
        assert_eq!(second, [scalar("train/loss", 8, 2.0), scalar("train/loss", 14, 1.0)]);
    }
}
