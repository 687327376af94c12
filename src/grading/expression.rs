//! A mathematical expression as it is written.

use std::collections::BTreeSet;

use dashu_ratio::RBig;

/// An expression, its numerals exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Number(RBig),
    /// A letter with its subscript; `pi`, `e` and `i` are the constants
    Symbol(String),
    Sum(Vec<Expression>),
    Product(Vec<Expression>),
    Quotient(Box<Expression>, Box<Expression>),
    Power(Box<Expression>, Box<Expression>),
    /// The root of this degree; the real one where there is one
    Root(Box<Expression>, Box<Expression>),
    Call(Function, Vec<Expression>),
    /// A function that the problem defines, as in `f(x+1)`
    Apply(String, Vec<Expression>),
    /// Degrees of an angle
    Degrees(Box<Expression>),
}

/// A function with a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Ln,
    /// Base 10 where none is written, as school books have it
    Log,
    Exp,
    Absolute,
    Floor,
    Ceiling,
    Factorial,
    Binomial,
}

impl Function {
    /// The function of this name, a LaTeX command's or a plain one's.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" | "tg" => Self::Tan,
            "cot" | "ctg" => Self::Cot,
            "sec" => Self::Sec,
            "csc" => Self::Csc,
            "arcsin" | "asin" => Self::Arcsin,
            "arccos" | "acos" => Self::Arccos,
            "arctan" | "atan" => Self::Arctan,
            "ln" => Self::Ln,
            "log" | "lg" => Self::Log,
            "exp" => Self::Exp,
            _ => return None,
        })
    }

    pub fn is_trigonometric(self) -> bool {
        matches!(self, Self::Sin | Self::Cos | Self::Tan | Self::Cot | Self::Sec | Self::Csc)
    }

    /// The function that undoes this one, for `\sin^{-1}`.
    pub fn inverse(self) -> Option<Self> {
        match self {
            Self::Sin => Some(Self::Arcsin),
            Self::Cos => Some(Self::Arccos),
            Self::Tan => Some(Self::Arctan),
            _ => None,
        }
    }
}

impl Expression {
    pub fn integer(value: i64) -> Self {
        Self::Number(value.into())
    }

    pub fn negated(self) -> Self {
        match self {
            Self::Number(value) => Self::Number(-value),
            other => Self::Product(vec![Self::integer(-1), other]),
        }
    }

    /// The same expression, a quotient or product of two numerals as the number that it is.
    pub fn folded(self) -> Self {
        match self {
            Self::Quotient(above, below) => match (above.folded(), below.folded()) {
                (Self::Number(above), Self::Number(below)) if !below.is_zero() => {
                    Self::Number(above / below)
                }
                (above, below) => Self::Quotient(above.into(), below.into()),
            },
            Self::Product(factors) => match factors.as_slice() {
                [Self::Number(left), Self::Number(right)] => Self::Number(left * right),
                [Self::Number(sign), Self::Quotient(above, below)] => {
                    let quotient = Self::Quotient(above.clone(), below.clone()).folded();
                    match quotient {
                        Self::Number(number) => Self::Number(sign * number),
                        quotient => Self::Product(vec![Self::Number(sign.clone()), quotient]),
                    }
                }
                _ => Self::Product(factors),
            },
            other => other,
        }
    }

    /// Whether no letter stands for an unknown in it.
    pub fn is_constant(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Symbol(name) => matches!(name.as_str(), "pi" | "e" | "i"),
            Self::Sum(members) | Self::Product(members) | Self::Call(_, members) => {
                members.iter().all(Self::is_constant)
            }
            Self::Quotient(left, right) | Self::Power(left, right) | Self::Root(left, right) => {
                left.is_constant() && right.is_constant()
            }
            Self::Apply(..) => false,
            Self::Degrees(angle) => angle.is_constant(),
        }
    }

    /// An angle with its degrees as multiples of π/180.
    pub fn in_radians(&self) -> Self {
        let each = |members: &[Self]| members.iter().map(Self::in_radians).collect();
        match self {
            Self::Degrees(angle) => Self::Quotient(
                Self::Product(vec![(**angle).clone(), Self::Symbol("pi".to_owned())]).into(),
                Self::integer(180).into(),
            ),
            Self::Sum(terms) => Self::Sum(each(terms)),
            Self::Product(factors) => Self::Product(each(factors)),
            Self::Quotient(above, below) => {
                Self::Quotient(above.in_radians().into(), below.clone())
            }
            other => other.clone(),
        }
    }

    /// Collects the letters in it.
    pub fn symbols(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Number(_) => {}
            Self::Symbol(name) => {
                into.insert(name.clone());
            }
            Self::Sum(members)
            | Self::Product(members)
            | Self::Call(_, members)
            | Self::Apply(_, members) => members.iter().for_each(|member| member.symbols(into)),
            Self::Quotient(left, right) | Self::Power(left, right) | Self::Root(left, right) => {
                left.symbols(into);
                right.symbols(into);
            }
            Self::Degrees(angle) => angle.symbols(into),
        }
    }
}
