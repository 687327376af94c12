//! What an answer can be.

use dashu_ratio::RBig;

use super::expression::Expression;

/// An answer's meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Value(Value),
    /// ∞ or −∞
    Infinite {
        negative: bool,
    },
    /// A numeral of a base that is written out, and not ten
    Based {
        digits: String,
        base: u32,
    },
    /// Words, in lower case, with single spaces
    Words(String),
    /// Members without brackets, in any order
    List(Vec<Answer>),
    /// Members in braces, in any order
    Set(Vec<Answer>),
    /// Members in round or square brackets: a point, a vector or an interval
    Tuple {
        closed: [bool; 2],
        members: Vec<Answer>,
    },
    Union(Vec<Answer>),
    /// Conditions and intervals side by side: `x < 3 or x > 5`
    Joined {
        join: Join,
        members: Vec<Answer>,
    },
    Matrix(Vec<Vec<Answer>>),
    /// `1:2`, or a time of day
    Ratio(Vec<Answer>),
    /// `x = ...` or `x \in ...`: a name, and what it stands for
    Named {
        name: Name,
        value: Box<Answer>,
    },
    /// Any other equation or inequality
    Related {
        left: Expression,
        relation: Relation,
        right: Expression,
    },
}

/// What stands between conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    And,
    Or,
    /// A comma, which can mean either
    Comma,
}

impl Join {
    /// Whether the same members say the same with the other word between them.
    pub fn agrees(self, other: Self) -> bool {
        self == other || [self, other].contains(&Self::Comma)
    }
}

/// How two sides stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Approximately,
}

impl Relation {
    /// The relation of the same sides the other way round.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            same => same,
        }
    }
}

/// One number or formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub expression: Expression,
    /// What it counts, as [`super::unit::normal`] has it
    pub unit: Option<String>,
    /// Significant digits, where it is written as a decimal
    pub digits: Option<usize>,
}

/// What stands left of an answer's sign of equality.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// As it is written, without spaces
    pub text: String,
    /// A single letter, which can be computed with
    pub symbol: Option<String>,
    /// How many letters are named: 2 for `(x, y)`
    pub arity: usize,
}

impl Name {
    /// Whether letters that are named together stand in the alphabet's order.
    pub fn is_alphabetical(&self) -> bool {
        self.arity < 2 || self.text.trim_matches(['(', ')']).split(',').is_sorted()
    }
}

impl Answer {
    /// An interval's end.
    pub fn infinite(negative: bool) -> Self {
        Self::Infinite { negative }
    }

    /// The answer without the name that it was given.
    pub fn unnamed(&self) -> &Self {
        match self {
            Self::Named { value, .. } => value,
            other => other,
        }
    }

    /// The number, where it is one.
    pub fn number(&self) -> Option<&RBig> {
        match self {
            Self::Value(Value { expression: Expression::Number(number), .. }) => Some(number),
            _ => None,
        }
    }
}
