//! Two answers against each other. The verdict is the same either way round.

mod members;
mod reals;
mod relation;
mod value;

use dashu_int::IBig;
use dashu_ratio::RBig;

use super::algebra::Budget;
use super::answer::{Answer, Value};
use super::expression::Expression;
use super::grade::{Grade, Rule, Verdict};

/// One comparison, with what it may still spend.
pub struct Comparison {
    budget: Budget,
    /// Comparisons at random points that are left
    numeric: u32,
}

impl Comparison {
    pub fn new() -> Self {
        Self { budget: Budget::new(), numeric: 100 }
    }

    /// Compares two answers.
    pub fn answers(&mut self, left: &Answer, right: &Answer) -> Grade {
        use Answer::{
            Based, Infinite, Joined, List, Matrix, Named, Ratio, Related, Set, Tuple, Union, Value,
            Words,
        };
        if let Some(grade) = self.reals(left, right) {
            return grade;
        }
        match (left, right) {
            (Value(left), Value(right)) => self.values(left, right),
            (Joined { join: a, members: left }, Joined { join: b, members: right }) => {
                let grade = self.lists(left, right);
                if a.agrees(*b) { grade } else { possible(grade) }
            }
            (Joined { members, .. }, other) | (other, Joined { members, .. }) => {
                self.answers(&List(members.clone()), other)
            }
            (Named { .. } | Related { .. }, Named { .. } | Related { .. }) => {
                self.relations(left, right)
            }
            // Nobody knows in which order the other side has them.
            (Named { name, .. }, _) | (_, Named { name, .. }) if !name.is_alphabetical() => {
                Grade::undecided(Rule::Name)
            }
            (Named { value, .. }, other) | (other, Named { value, .. }) => {
                self.answers(value, other)
            }
            (Infinite { negative: left }, Infinite { negative: right }) => {
                Grade::new(left == right, Rule::Infinity)
            }
            (Words(left), Words(right)) => Grade::new(left == right, Rule::Words),
            // `about 5` may be 5.
            (Words(words), _) | (_, Words(words))
                if words.contains(|c: char| c.is_ascii_digit()) =>
            {
                Grade::undecided(Rule::Words)
            }
            (Based { .. }, _) | (_, Based { .. }) => based(left, right),
            (List(left), List(right)) => self.lists(left, right),
            (List(left) | Set(left), List(right) | Set(right)) => {
                self.unordered(left, right, Rule::Set)
            }
            // Braces around one member, and a list of one, are that member.
            (List(members) | Set(members), other) | (other, List(members) | Set(members))
                if members.len() == 1 =>
            {
                self.answers(&members[0], other)
            }
            (Tuple { .. }, Tuple { .. }) => self.tuples(left, right),
            (List(list), Tuple { closed, members }) | (Tuple { closed, members }, List(list)) => {
                self.list_and_tuple(list, *closed, members)
            }
            (Union(left), Union(right)) => {
                let grade = self.unordered(left, right, Rule::Union);
                if left.len() == right.len() { grade } else { possible_if_different(grade) }
            }
            (Union(_), Tuple { .. } | Set(_)) | (Tuple { .. } | Set(_), Union(_)) => {
                Grade::undecided(Rule::Union)
            }
            // `(1,3), (5,7)` may be points or parts.
            (Union(parts), List(members)) | (List(members), Union(parts))
                if members.iter().all(|member| matches!(member, Tuple { .. })) =>
            {
                possible(self.answers(&Union(parts.clone()), &Union(members.clone())))
            }
            (Matrix(left), Matrix(right)) => self.matrices(left, right),
            // A column may be written as a tuple.
            (Matrix(_), Tuple { .. }) | (Tuple { .. }, Matrix(_)) => Grade::undecided(Rule::Matrix),
            (Ratio(left), Ratio(right)) => self.ratios(left, right),
            (Ratio(parts), Value(value)) | (Value(value), Ratio(parts)) => {
                let quotient = quotient(parts);
                let same = |quotient| self.expressions(&quotient, &value.expression).is_equal();
                match quotient.is_some_and(same) {
                    true => Grade::undecided(Rule::Ratio),
                    false => Grade::different(Rule::Ratio),
                }
            }
            // An equation may define the other answer.
            (Related { .. }, _) | (_, Related { .. }) => Grade::undecided(Rule::Relation),
            _ => Grade::different(Rule::Kind),
        }
    }

    fn matrices(&mut self, left: &[Vec<Answer>], right: &[Vec<Answer>]) -> Grade {
        if left.len() != right.len() {
            return Grade::different(Rule::Matrix);
        }
        let rows = left.iter().zip(right).map(|(left, right)| {
            if left.len() == right.len() {
                self.ordered(left, right, Rule::Matrix)
            } else {
                Grade::different(Rule::Matrix)
            }
        });
        all(rows, Rule::Matrix)
    }

    fn ratios(&mut self, left: &[Answer], right: &[Answer]) -> Grade {
        let grade = self.ordered(left, right, Rule::Ratio);
        match (quotient(left), quotient(right)) {
            // 2:4 is 1:2, and half past two is not half past one.
            (Some(left), Some(right)) if self.expressions(&left, &right).is_equal() => {
                possible_if_different(grade)
            }
            _ => grade,
        }
    }
}

/// The grade of a whole from those of its parts.
fn all(parts: impl IntoIterator<Item = Grade>, rule: Rule) -> Grade {
    let mut whole = Grade::equal(rule);
    for part in parts {
        match part.verdict {
            Verdict::Different => return Grade { rule, ..part },
            Verdict::Undecided => whole.verdict = Verdict::Undecided,
            Verdict::Equal => {}
        }
        whole.exact &= part.exact;
    }
    whole
}

/// Agreement that does not settle it.
fn possible(grade: Grade) -> Grade {
    if grade.is_equal() { Grade::undecided(grade.rule) } else { grade }
}

/// Disagreement that does not settle it.
fn possible_if_different(grade: Grade) -> Grade {
    match grade.verdict {
        Verdict::Different => Grade::undecided(grade.rule),
        _ => grade,
    }
}

fn quotient(parts: &[Answer]) -> Option<Expression> {
    match parts {
        [Answer::Value(above), Answer::Value(below)] => Some(Expression::Quotient(
            above.expression.clone().into(),
            below.expression.clone().into(),
        )),
        _ => None,
    }
}

/// A base that is written out is part of the answer: `4210_7` is neither 4210 nor simply its value, for the question was how that
/// is written.
fn based(left: &Answer, right: &Answer) -> Grade {
    if left == right {
        return Grade::equal(Rule::Base);
    }
    let value = |answer: &Answer| match answer {
        Answer::Based { digits, base } => IBig::from_str_radix(digits, *base).ok().map(RBig::from),
        other => other.number().cloned(),
    };
    let same_base = matches!((left, right), (Answer::Based { base: a, .. }, Answer::Based { base: b, .. }) if a == b);
    match (value(left), value(right)) {
        (Some(left), Some(right)) if left == right && !same_base => Grade::undecided(Rule::Base),
        _ => Grade::different(Rule::Base),
    }
}

/// A value without unit, for what is compared by its expression.
fn bare(value: &Value) -> &Expression {
    &value.expression
}
