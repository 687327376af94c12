//! The words of an answer's language: LaTeX, and the plain writing that models use beside it.

use crate::answer::{Join, Relation};
use crate::expression::Function;

/// What stands in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    Round,
    Square,
    /// `\{ \}`
    Set,
    /// `{ }`, which shows nothing
    Group,
    Floor,
    Ceiling,
    /// `\begin{...} \end{...}`
    Environment,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Digits with at most one point, and at most one exponent after `e`
    Number(String),
    /// Digits of another base than ten
    Based(String, u32),
    /// The digits under the line of a repeating decimal
    Repeating(String),
    /// A letter with its subscript, or a Greek letter's command
    Symbol(String),
    /// Words
    Text(String),
    Function(Function),
    Fraction,
    Binomial,
    Root,
    Open(Bracket),
    Close(Bracket),
    /// The cells of a matrix, and its rows
    Cell,
    Row,
    Bar,
    Plus,
    Minus,
    PlusMinus,
    MinusPlus,
    Times,
    Divide,
    Power,
    /// Behind a function: its base
    Subscript,
    Factorial,
    Comma,
    Semicolon,
    Colon,
    Relation(Relation),
    Union,
    In,
    Infinity,
    Reals,
    EmptySet,
    Degree,
    Percent,
    Currency(&'static str),
}

impl Token {
    /// A word that parts the members of a list, and how it joins conditions.
    pub fn conjunction(&self) -> Option<Join> {
        match self {
            Self::Text(text) if text == "and" => Some(Join::And),
            Self::Text(text) if text == "or" => Some(Join::Or),
            _ => None,
        }
    }
}
