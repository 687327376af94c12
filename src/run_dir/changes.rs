//! How one recipe differs from another, and which differences leave finished rounds what they are.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::{Table, Value};

/// A key whose value differs between two recipes; null stands for absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted, as in `rounds.count`.
    pub key: String,
    /// The value in the recipe that was there.
    pub before: Json,
    /// The value in the other one.
    pub now: Json,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.between("there", "here"))
    }
}

impl Change {
    /// The keys that differ, in alphabetical order.
    pub(crate) fn all(before: &Table, now: &Table) -> Vec<Self> {
        let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut changes = Vec::new();
        for key in keys {
            match (before.get(key), now.get(key)) {
                (before, now) if before == now => {}
                (Some(Value::Table(before)), Some(Value::Table(now))) => {
                    changes.extend(
                        Self::all(before, now)
                            .into_iter()
                            .map(|below| Self { key: format!("{key}.{}", below.key), ..below }),
                    );
                }
                (before, now) => {
                    // Every value of a recipe is one of JSON, too.
                    let json = |value: Option<&Value>| {
                        value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
                    };
                    changes.push(Self { key: key.clone(), before: json(before), now: json(now) });
                }
            }
        }
        changes
    }

    /// The two values, and where each stands.
    pub fn between(&self, there: &str, here: &str) -> String {
        let text = |value: &Json| match value {
            Json::Null => "absent".to_owned(),
            value => value.to_string(),
        };
        let Self { key, before, now } = self;
        format!("{key} is {} {there} and {} {here}", text(before), text(now))
    }

    /// Whether the key is one of these or lies in one of them.
    fn is_in(&self, sections: &[&str]) -> bool {
        let is_in = |section: &&str| {
            self.key
                .strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        sections.iter().any(is_in)
    }

    /// Whether it only adds to what is measured of a net, or takes from it.
    fn is_of_measures(&self) -> bool {
        let added = self.before.is_null();
        let source = self.key.strip_prefix("evaluation.others");
        self.is_in(&["evaluation.decodings", "evaluation.measures"])
            // A source that is there keeps its problems.
            || added && source.is_some_and(|name| name.matches('.').count() < 2)
    }

    /// Whether a run may go on under it: all that its rounds hold would have come about all the same.
    pub(super) fn may_go_on(&self) -> bool {
        let probed = self.key == "rounds.probe" && self.before.is_null();
        self.is_in(&["about", "compute", "feeds", "name", "rounds.count", "rounds.keep"])
            || probed
            || self.is_of_measures()
    }

    /// Whether runs whose recipes differ in it are of one recipe: with another seed, or so that the one could go on as the other.
    pub(super) fn is_of_one_recipe(&self) -> bool {
        let back =
            Self { key: self.key.clone(), before: self.now.clone(), now: self.before.clone() };
        self.key == "seed" || self.may_go_on() || back.may_go_on()
    }

    /// Whether a branch may have it: what was taken over can still be read, and is what the branch's recipe says.
    pub(super) fn may_branch(&self) -> bool {
        self.is_in(&["environment.executor"])
            || !self.is_in(&["environment", "problems", "net", "bootstrap", "policy.kind"])
    }

    /// Whether figures of nets that were taken under the one recipe are those of the other.
    pub(super) fn keeps_evaluation(&self) -> bool {
        self.is_of_measures() || !self.is_in(&["evaluation", "policy"])
    }

    /// As [`Self::keeps_evaluation`], of the gate's verdicts.
    pub(super) fn keeps_gate(&self) -> bool {
        let read = ["rounds.gate", "evaluation.seed", "evaluation.decode", "policy", "seed"];
        !self.is_in(&read)
    }

    /// As [`Self::keeps_evaluation`], of the probe's trees and figures.
    pub(super) fn keeps_probe(&self) -> bool {
        !self.is_in(&["rounds.probe", "policy"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, now: &str) -> Vec<Change> {
        Change::all(&before.parse().unwrap(), &now.parse().unwrap())
    }

    #[test]
    fn each_key_that_differs_is_named_with_both_values() {
        let found = changes(
            "seed = 1\n[rounds]\ncount = 3\nwindow = 0\n[search]\nc_puct = 1.5",
            "seed = 1\n[rounds]\ncount = 5\nwindow = 0\n[rounds.gate]\nproblems = 20\n[search]\nc_puct = 2.0",
        );
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "rounds.count is 3 there and 5 here",
                "rounds.gate is absent there and {\"problems\":20} here",
                "search.c_puct is 1.5 there and 2.0 here"
            ]
        );
    }

    #[test]
    fn a_run_goes_on_with_more_rounds_and_measures_and_nothing_else() {
        let none = "[evaluation]\nseed = 1";
        let svamp = &format!("{none}\n[evaluation.others.svamp]\npath = \"a\"");
        for (before, now, on, branch, evaluation, gate) in [
            ("rounds.count = 3", "rounds.count = 5", true, true, true, true),
            ("compute.slots = 3", "compute.slots = 5", true, true, true, true),
            ("feeds.tensorboard = true", "feeds.tensorboard = false", true, true, true, true),
            ("name = \"a\"", "name = \"b\"", true, true, true, true),
            ("evaluation.decodings = [\"a\"]", "evaluation.decodings = []", true, true, true, true),
            (none, svamp, true, true, true, true),
            (svamp, &svamp.replace("\"a\"", "\"b\""), false, true, false, true),
            (svamp, none, false, true, false, true),
            ("evaluation.seed = 1", "evaluation.seed = 2", false, true, false, false),
            (
                "evaluation.decode.c_puct = 1",
                "evaluation.decode.c_puct = 2",
                false,
                true,
                false,
                false,
            ),
            ("policy.top_k = 1", "policy.top_k = 2", false, true, false, false),
            ("policy.kind = \"a\"", "policy.kind = \"b\"", false, false, false, false),
            ("seed = 1", "seed = 2", false, true, true, false),
            ("search.c_puct = 1", "search.c_puct = 2", false, true, true, true),
            ("rounds.window = 1", "rounds.window = 2", false, true, true, true),
            (
                "rounds.count = 1",
                "rounds = {count = 1, gate = {problems = 2}}",
                false,
                true,
                true,
                false,
            ),
            ("rounds.count = 1", "rounds = {count = 1, probe = {}}", true, true, true, true),
            ("rounds.probe.seed = 1", "rounds.probe.seed = 2", false, true, true, true),
            ("rounds = {count = 1, probe = {}}", "rounds.count = 1", false, true, true, true),
            ("net.width = 1", "net.width = 2", false, false, true, true),
            ("network = 1", "network = 2", false, true, true, true),
            ("problems.path = \"a\"", "problems.path = \"b\"", false, false, true, true),
            ("environment.prompt = 1", "environment.prompt = 2", false, false, true, true),
            (
                "environment.executor.workers = 1",
                "environment.executor.workers = 2",
                false,
                true,
                true,
                true,
            ),
        ] {
            let found = changes(before, now);
            assert_eq!(found.len(), 1, "{before} {now}: {found:?}");
            let change = &found[0];
            let told = (change.may_go_on(), change.may_branch());
            assert_eq!(told, (on, branch), "{change}");
            let kept = (change.keeps_evaluation(), change.keeps_gate());
            assert_eq!(kept, (evaluation, gate), "{change}");
            let probe = !change.is_in(&["rounds.probe", "policy"]);
            assert_eq!(change.keeps_probe(), probe, "{change}");
        }
    }
}
