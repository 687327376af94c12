//! Equations and inequalities.

use super::{Comparison, all, bare, possible};
use crate::algebra::{Fraction, Halt, expand};
use crate::answer::{Answer, Relation};
use crate::expression::Expression;
use crate::grade::{Grade, Rule};

impl Comparison {
    /// Two answers that say how something stands to something.
    pub(super) fn relations(&mut self, left: &Answer, right: &Answer) -> Grade {
        if let (Answer::Named { name: a, value: left }, Answer::Named { name: b, value: right }) =
            (left, right)
            && (a.text == b.text || sides(left, a.symbol.as_ref()).is_none())
        {
            let grade = self.answers(left, right);
            // The same interval for x and for y may or may not be the same answer.
            return if a.text == b.text {
                grade
            } else {
                possible(Grade { rule: Rule::Name, ..grade })
            };
        }
        if let (
            Answer::Related { left: a, relation, right: b },
            Answer::Related { left: c, relation: other, right: d },
        ) = (left, right)
            && [a, b, c, d].into_iter().all(Expression::is_constant)
        {
            // Both may be true, and say different things: 5 > 3 and 2 > 1.
            let (c, d) = if relation == other { (c, d) } else { (d, c) };
            let same = *relation == *other || *relation == other.flipped();
            let sides = [self.expressions(a, c), self.expressions(b, d)];
            let grade = all(sides, Rule::Relation);
            return if same && grade.is_equal() { grade } else { Grade::undecided(Rule::Relation) };
        }
        let (Some((left, a)), Some((right, b))) = (related(left), related(right)) else {
            return match (left, right) {
                (Answer::Named { value: left, .. }, Answer::Named { value: right, .. }) => {
                    let grade = self.answers(left, right);
                    possible(Grade { rule: Rule::Name, ..grade })
                }
                _ => Grade::undecided(Rule::Relation),
            };
        };
        self.differences(&left, a, &right, b).unwrap_or(Grade::undecided(Rule::Relation))
    }

    /// `left` a 0 beside `right` b 0: multiples of each other say the same.
    fn differences(
        &mut self,
        left: &Expression,
        a: Relation,
        right: &Expression,
        b: Relation,
    ) -> Result<Grade, Halt> {
        let left = expand(left, &mut self.budget)?;
        let right = expand(right, &mut self.budget)?;
        // What always holds says nothing of the answer.
        if left.above.is_zero() || right.above.is_zero() {
            return Ok(Grade::undecided(Rule::Relation));
        }
        let multiples = left.above.monic() == right.above.monic() && left.below == right.below;
        if multiples {
            let turned = left.above.leads_negative() != right.above.leads_negative();
            let b = if turned { b.flipped() } else { b };
            return Ok(Grade::new(a == b, Rule::Relation));
        }
        let plain = |side: &Fraction| side.below.is_one() && side.above.is_plain();
        if plain(&left) && plain(&right) {
            // Factors that never vanish, and powers, are not looked for.
            return Ok(Grade::different(Rule::Relation).probable());
        }
        Ok(Grade::undecided(Rule::Relation))
    }
}

/// The difference of both sides and how it stands to zero.
fn related(answer: &Answer) -> Option<(Expression, Relation)> {
    match answer {
        Answer::Related { left, relation, right } => {
            Some((difference(left.clone(), right.clone()), *relation))
        }
        Answer::Named { name, value } => {
            let (value, relation) = match &**value {
                Answer::Tuple { closed, members } => ray(*closed, members)?,
                value => (value, Relation::Equal),
            };
            let (left, right) = sides(value, name.symbol.as_ref())?;
            Some((difference(left, right), relation))
        }
        _ => None,
    }
}

/// The only end of an interval, and how its members stand to it.
fn ray(closed: [bool; 2], members: &[Answer]) -> Option<(&Answer, Relation)> {
    match members {
        [Answer::Infinite { negative: true }, end] => {
            Some((end, if closed[1] { Relation::LessEqual } else { Relation::Less }))
        }
        [end, Answer::Infinite { negative: false }] => {
            Some((end, if closed[0] { Relation::GreaterEqual } else { Relation::Greater }))
        }
        _ => None,
    }
}

/// `y = 2x` as an equation.
fn sides(value: &Answer, symbol: Option<&String>) -> Option<(Expression, Expression)> {
    match (value, symbol) {
        (Answer::Value(value), Some(symbol)) => {
            Some((Expression::Symbol(symbol.clone()), bare(value).clone()))
        }
        _ => None,
    }
}

fn difference(left: Expression, right: Expression) -> Expression {
    Expression::Sum(vec![left, right.negated()])
}
