//! Grading answers: whether what a model answered is what the problem's answer is.
//!
//! An accepted wrong answer trains on a wrong path, and a rejected right one loses a path: what is not shown to be equal is not
//! called equal. Text is read as LaTeX with the habits of models and of the MATH data set: units, currencies, degrees and names
//! (`x = 5`) may be left out, lists and sets have no order, tuples have one, ends of intervals count. No text makes it panic or take
//! long: brackets, digits, expansion and points are limited, and beyond the limits the verdict is [`Verdict::Undecided`].
#![forbid(unsafe_code)]

mod algebra;
mod answer;
mod braces;
mod compare;
mod expression;
mod extract;
mod grade;
mod groups;
mod math_verify;
mod numeric;
mod parse;
mod unit;
mod written;

pub use extract::{extract, until};
pub use grade::{Grade, Rule, Verdict};
pub use groups::groups;
pub use math_verify::{MathVerify, MathVerifyError};
pub use written::Written;

/// Compares an answer with the one that is known to be right.
#[must_use]
pub fn grade(gold: &str, prediction: &str) -> Grade {
    Written::new(gold).grade(&Written::new(prediction))
}
