//! The rules by name, and what a search gets of them.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Rule;
use super::config::SelectionConfig;
use super::puct::Puct;

/// Every rule, the default first: a new one is a row here.
const RULES: &[Entry] = &[
    Entry { name: "puct", build: super::puct::build },
    Entry { name: "uct", build: super::uct::build },
    Entry { name: "gumbel", build: super::gumbel::build },
    Entry { name: "regularised_policy", build: super::regularised_policy::build },
];

struct Entry {
    /// What `selection.rule` says.
    name: &'static str,
    build: fn(&RuleContext<'_>) -> RuleSet,
}

/// The names, in the form that serde's messages take.
const NAMES: [&str; RULES.len()] = {
    let mut names = [""; RULES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = RULES[index].name;
        index += 1;
    }
    names
};

/// What a rule is built from.
#[derive(Debug, Clone, Copy)]
pub struct RuleContext<'a> {
    /// Settings of selection.
    pub selection: &'a SelectionConfig,
    /// Weight of the exploration term, >= 0.
    pub c_puct: f64,
    /// Simulations of the search, the root's own included.
    pub simulations: u64,
    /// Seed of the search.
    pub seed: u64,
}

/// The rules of one search, with the state that they keep of it.
pub struct RuleSet {
    /// Chooses among the root's children.
    pub root: NodeRule,
    /// Chooses among the children of every other node.
    pub interior: NodeRule,
}

impl RuleSet {
    /// One rule for every node.
    pub fn everywhere(rule: impl Rule + Clone + 'static) -> Self {
        Self {
            root: NodeRule::Other(Box::new(rule.clone())),
            interior: NodeRule::Other(Box::new(rule)),
        }
    }

    /// Whether a finished search by these rules can go on as if it had never stopped.
    #[must_use]
    pub fn can_continue(&self) -> bool {
        self.root.as_dyn().can_continue() && self.interior.as_dyn().can_continue()
    }
}

/// The rule of a node. The default stands apart: a descent by it is compiled as one loop, without a virtual call a level.
pub enum NodeRule {
    /// PUCT without additions.
    Puct(Puct),
    /// Any other rule.
    Other(Box<dyn Rule>),
}

impl NodeRule {
    /// The rule behind a virtual call.
    #[must_use]
    pub fn as_dyn(&self) -> &dyn Rule {
        match self {
            Self::Puct(rule) => rule,
            Self::Other(rule) => &**rule,
        }
    }
}

/// The name of a rule, one of the table's.
#[derive(Clone, Copy)]
pub struct RuleName(&'static Entry);

impl RuleName {
    /// As files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) fn build(self, context: &RuleContext<'_>) -> RuleSet {
        (self.0.build)(context)
    }
}

impl Default for RuleName {
    fn default() -> Self {
        Self(&RULES[0])
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for RuleName {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for RuleName {}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let entry = RULES.iter().find(|entry| entry.name == name);
        entry.map(Self).ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_written_and_another_is_refused_with_the_names() {
        for name in NAMES {
            let json = format!("{name:?}");
            let rule: RuleName = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&rule).unwrap(), json);
        }
        let error = serde_json::from_str::<RuleName>("\"ucb\"").unwrap_err().to_string();
        assert!(NAMES.iter().all(|name| error.contains(&format!("`{name}`"))), "{error}");
    }

    #[test]
    fn only_plain_puct_is_dispatched_statically() {
        let rules =
            |json: &str| serde_json::from_str::<SelectionConfig>(json).unwrap().build(1.5, 40, 1);
        let is_static = |rules: &RuleSet| {
            matches!((&rules.root, &rules.interior), (NodeRule::Puct(_), NodeRule::Puct(_)))
        };
        assert!(is_static(&rules("{}")) && is_static(&rules(r#"{"c_puct_base": 5}"#)));
        assert!(!is_static(&rules(r#"{"normalise_q": true}"#)));
        assert!(!is_static(&rules(r#"{"rule": "uct"}"#)));
        assert!(!rules(r#"{"rule": "gumbel"}"#).can_continue());
        assert!(rules("{}").can_continue() && rules(r#"{"rule": "uct"}"#).can_continue());
    }
}
