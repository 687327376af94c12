//! What leaves a path without a verdict, though it broke no rule: limits, code that cannot be run here, answers that cannot be compared.
//! Such paths are counted apart.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::environment::Terminal;
use crate::snapshot::TreeRecord;

/// Why a path has no verdict. Those that say more about a problem come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The context is longer than the policy reads, or than the environment allows.
    ContextTooLong,
    /// The path has as many steps as it may have.
    TooManySteps,
    /// The last step was cut off at the policy's limit of tokens, and what it says until there is no step.
    StepTooLong,
    /// The interpreter here does not run the code of the last step: nothing is known of it, and nothing is learnt from it.
    UnsupportedCode,
    /// There is an answer, which could be shown to be neither right nor wrong: see [`Environment::is_undecided`].
    ///
    /// [`Environment::is_undecided`]: crate::Environment::is_undecided
    UndecidedAnswer,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ContextTooLong,
        Self::TooManySteps,
        Self::StepTooLong,
        Self::UnsupportedCode,
        Self::UndecidedAnswer,
    ];

    /// Those that end a path without an answer.
    const ENDINGS: [Self; 4] =
        [Self::ContextTooLong, Self::TooManySteps, Self::StepTooLong, Self::UnsupportedCode];

    const fn reason(self) -> &'static str {
        match self {
            Self::ContextTooLong => "context too long",
            Self::TooManySteps => "too many steps",
            Self::StepTooLong => "step too long",
            Self::UnsupportedCode => "unsupported code",
            Self::UndecidedAnswer => "undecided answer",
        }
    }

    /// What an ending without an answer is worth: `wrong`, or nothing, neither way, where it says nothing of the steps.
    #[must_use]
    pub fn worth(ending: &Terminal, wrong: f64) -> f64 {
        if Self::of(ending) == Some(Self::UnsupportedCode) { 0.0 } else { wrong }
    }

    /// How a path ends at a step that ends it in the environment: half a step has broken no rule.
    pub(crate) fn at_step(ending: Terminal, truncated: bool) -> Terminal {
        match &ending {
            Terminal::Invalid(reason) if truncated && Self::of(&ending).is_none() => {
                Self::StepTooLong.ending_at(reason)
            }
            _ => ending,
        }
    }

    /// How a path ends at the limit.
    #[must_use]
    pub fn ending(self) -> Terminal {
        Terminal::Invalid(self.reason().to_owned())
    }

    /// As [`Self::ending`], saying which limit it was: `more than 8`.
    #[must_use]
    pub fn ending_at(self, limit: impl fmt::Display) -> Terminal {
        Terminal::Invalid(format!("{self}: {limit}"))
    }

    /// The limit that ended a path; `None` where it ended by itself.
    #[must_use]
    pub fn of(ending: &Terminal) -> Option<Self> {
        let Terminal::Invalid(reason) = ending else { return None };
        Self::ENDINGS.into_iter().find(|cut| {
            let detail = reason.strip_prefix(cut.reason());
            detail.is_some_and(|detail| detail.is_empty() || detail.starts_with(": "))
        })
    }

    /// The first of the limits that ended paths of a tree.
    #[must_use]
    pub fn in_tree(tree: &TreeRecord) -> Option<Self> {
        cuts(tree).min()
    }
}

fn cuts(tree: &TreeRecord) -> impl Iterator<Item = Cut> {
    tree.react.values().filter_map(|node| Cut::of(node.terminal.as_ref()?))
}

/// How many ended at each limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cuts {
    /// See [`Cut::ContextTooLong`].
    pub context_too_long: usize,
    /// See [`Cut::TooManySteps`].
    pub too_many_steps: usize,
    /// See [`Cut::StepTooLong`].
    pub step_too_long: usize,
    /// See [`Cut::UnsupportedCode`].
    pub unsupported_code: usize,
    /// See [`Cut::UndecidedAnswer`].
    pub undecided_answer: usize,
}

impl Cuts {
    /// The paths of a tree.
    #[must_use]
    pub fn in_tree(tree: &TreeRecord) -> Self {
        let undecided = tree.react.values().filter(|node| tree.ground_truth && node.is_undecided());
        cuts(tree).chain(undecided.map(|_| Cut::UndecidedAnswer)).collect()
    }

    /// How many ended at a limit.
    #[must_use]
    pub fn of(&self, cut: Cut) -> usize {
        match cut {
            Cut::ContextTooLong => self.context_too_long,
            Cut::TooManySteps => self.too_many_steps,
            Cut::StepTooLong => self.step_too_long,
            Cut::UnsupportedCode => self.unsupported_code,
            Cut::UndecidedAnswer => self.undecided_answer,
        }
    }
}

impl FromIterator<Cut> for Cuts {
    fn from_iter<T: IntoIterator<Item = Cut>>(cuts: T) -> Self {
        let mut counts = Self::default();
        for cut in cuts {
            match cut {
                Cut::ContextTooLong => counts.context_too_long += 1,
                Cut::TooManySteps => counts.too_many_steps += 1,
                Cut::StepTooLong => counts.step_too_long += 1,
                Cut::UnsupportedCode => counts.unsupported_code += 1,
                Cut::UndecidedAnswer => counts.undecided_answer += 1,
            }
        }
        counts
    }
}

impl AddAssign for Cuts {
    fn add_assign(&mut self, other: Self) {
        self.context_too_long += other.context_too_long;
        self.too_many_steps += other.too_many_steps;
        self.step_too_long += other.step_too_long;
        self.unsupported_code += other.unsupported_code;
        self.undecided_answer += other.undecided_answer;
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_from_what_a_step_did() {
        for cut in Cut::ENDINGS {
            assert_eq!(Cut::of(&cut.ending()), Some(cut));
            assert_eq!(Cut::of(&cut.ending_at("more than 8")), Some(cut));
            assert_eq!(Cut::of(&Terminal::Answer(cut.to_string())), None);
        }
        assert_eq!(Cut::worth(&Cut::UnsupportedCode.ending_at("import x"), -1.0), 0.0);
        let broken = || Terminal::Invalid("no step".to_owned());
        assert_eq!(Cut::at_step(broken(), false), broken());
        assert_eq!(Cut::at_step(broken(), true), Cut::StepTooLong.ending_at("no step"));
        for ending in [Cut::UnsupportedCode.ending(), Terminal::Answer("1".to_owned())] {
            assert_eq!(Cut::at_step(ending.clone(), true), ending);
        }
        assert_eq!(Cut::worth(&Cut::TooManySteps.ending(), -0.5), -0.5);
        for reason in ["too many steps7", "7*3 is not 22", "", "context"] {
            assert_eq!(Cut::of(&Terminal::Invalid(reason.to_owned())), None, "{reason}");
        }
    }
}
