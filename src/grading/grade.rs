//! What a comparison comes to.

use std::fmt;

use serde::Serialize;

/// Whether two answers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same.
    Equal,
    /// Not the same.
    Different,
    /// Neither was shown.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What decided, or what stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One of the answers is not there.
    Missing,
    /// The texts are the same but for how they look.
    Identical,
    /// One of the texts has no meaning here.
    Unreadable,
    /// Exact rational numbers.
    Number,
    /// Exact expansion.
    Expansion,
    /// Values at random points.
    Numeric,
    /// A decimal that is the other answer rounded, or may be.
    Rounding,
    /// A comma that may part thousands or members.
    Comma,
    /// A percent sign that is left out or counted.
    Percent,
    /// A unit that is left out, or two different ones.
    Unit,
    /// A base that is written out.
    Base,
    /// Words against words.
    Words,
    /// Different names for what may be the same.
    Name,
    /// Members without brackets.
    List,
    /// Members in any order.
    Set,
    /// Members in their order.
    Tuple,
    /// Ends that belong to an interval or do not.
    Interval,
    /// Parts of a union.
    Union,
    /// Cell by cell.
    Matrix,
    /// Parts of a ratio or a time of day.
    Ratio,
    /// Equations and inequalities.
    Relation,
    /// Infinities and their signs.
    Infinity,
    /// A number is no list, a tuple is no set, ...
    Kind,
    /// The library math-verify, asked about what was undecided here.
    MathVerify,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A verdict and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Grade {
    /// Whether the answers are the same.
    pub verdict: Verdict,
    /// What decided.
    pub rule: Rule,
    /// Proved, rather than probable: numeric agreement and another library's word are probable.
    pub exact: bool,
}

impl Grade {
    pub(super) fn new(equal: bool, rule: Rule) -> Self {
        let verdict = if equal { Verdict::Equal } else { Verdict::Different };
        Self { verdict, rule, exact: true }
    }

    pub(super) fn equal(rule: Rule) -> Self {
        Self::new(true, rule)
    }

    pub(super) fn different(rule: Rule) -> Self {
        Self::new(false, rule)
    }

    pub(super) fn undecided(rule: Rule) -> Self {
        Self { verdict: Verdict::Undecided, rule, exact: false }
    }

    pub(super) fn probable(self) -> Self {
        Self { exact: false, ..self }
    }

    /// Whether the answers were found to be the same.
    #[must_use]
    pub fn is_equal(self) -> bool {
        self.verdict == Verdict::Equal
    }
}
