//! Numbers and formulas, and what they count.

use dashu_ratio::RBig;

use super::Comparison;
use crate::algebra::{Halt, expand};
use crate::answer::Value;
use crate::expression::Expression;
use crate::grade::{Grade, Rule, Verdict};
use crate::numeric::{self, Likeness};

/// A decimal of fewer digits is not taken for another number rounded.
const ROUNDED_DIGITS: usize = 6;
/// A decimal of so many digits is what a machine prints of a binary fraction,
const FLOAT_DIGITS: usize = 15;
/// of which so many are right after a few operations; `0.1 + 0.2` is `0.30000000000000004`.
const RIGHT_DIGITS: usize = 14;
/// A machine's decimal is another one of so many digits if it rounds to that.
const SHARED_DIGITS: usize = 8;

impl Comparison {
    pub(super) fn values(&mut self, left: &Value, right: &Value) -> Grade {
        let grade = self.expressions(&left.expression, &right.expression);
        let percent = |value: &Value| value.unit.as_deref() == Some("%");
        match (&left.unit, &right.unit) {
            (Some(a), Some(b)) if a != b => Grade::undecided(Rule::Unit),
            (None, Some(_)) | (Some(_), None) if grade.is_equal() => {
                let rule = if percent(left) || percent(right) { Rule::Percent } else { Rule::Unit };
                Grade { rule, ..grade }
            }
            // Read as a number, 5 % is 0.05.
            (Some(_), None) if percent(left) => {
                self.hundredths(&left.expression, &right.expression, grade)
            }
            (None, Some(_)) if percent(right) => {
                self.hundredths(&right.expression, &left.expression, grade)
            }
            _ if grade.verdict == Verdict::Different => rounding(left, right).unwrap_or(grade),
            _ => grade,
        }
    }

    fn hundredths(&mut self, percent: &Expression, other: &Expression, otherwise: Grade) -> Grade {
        let hundredth =
            Expression::Quotient(percent.clone().into(), Expression::integer(100).into());
        let grade = self.expressions(&hundredth.folded(), other);
        if grade.is_equal() { Grade { rule: Rule::Percent, ..grade } } else { otherwise }
    }

    pub(super) fn expressions(&mut self, left: &Expression, right: &Expression) -> Grade {
        if let (Expression::Number(left), Expression::Number(right)) = (left, right) {
            return Grade::new(left == right, Rule::Number);
        }
        match self.expanded(left, right) {
            Ok(Some(grade)) => return grade,
            Ok(None) | Err(Halt::TooLarge) => {}
            // What has no value equals nothing, not even itself.
            Err(Halt::Undefined) => return Grade::undecided(Rule::Expansion),
        }
        if left == right {
            return Grade::equal(Rule::Expansion);
        }
        let Some(numeric) = self.numeric.checked_sub(1) else {
            return Grade::undecided(Rule::Numeric);
        };
        self.numeric = numeric;
        match numeric::compare(left, right) {
            Likeness::Equal => Grade::equal(Rule::Numeric).probable(),
            Likeness::Different => Grade::different(Rule::Numeric).probable(),
            Likeness::Unknown => Grade::undecided(Rule::Numeric),
        }
    }

    /// `None` when the forms differ and have parts without exact rules.
    fn expanded(&mut self, left: &Expression, right: &Expression) -> Result<Option<Grade>, Halt> {
        let left = expand(left, &mut self.budget)?;
        let right = expand(right, &mut self.budget)?;
        let equal = left.equals(&right, &mut self.budget)?;
        let numbers = left.as_rational().is_some() && right.as_rational().is_some();
        let rule = if numbers { Rule::Number } else { Rule::Expansion };
        let decided = equal || !left.is_opaque() && !right.is_opaque();
        Ok(decided.then(|| Grade::new(equal, rule)))
    }
}

/// What two constants that differ are where one is a decimal of many digits that the other may round to.
fn rounding(left: &Value, right: &Value) -> Option<Grade> {
    if !left.expression.is_constant() || !right.expression.is_constant() {
        return None;
    }
    let agree = |digits: usize| {
        let scale = Expression::Number(RBig::from(10_u8).pow(digits - 1));
        numeric::within(&left.expression, &right.expression, &scale)
    };
    let printed = |float: &Value, other: &Value| {
        float.digits.is_some_and(|digits| digits >= FLOAT_DIGITS)
            && (agree(RIGHT_DIGITS) || rounds_to(float, other))
    };
    if printed(left, right) || printed(right, left) {
        return Some(Grade::equal(Rule::Rounding).probable());
    }
    let digits = [left.digits, right.digits].into_iter().flatten();
    let digits = digits.filter(|digits| *digits >= ROUNDED_DIGITS).min()?;
    agree(digits).then(|| Grade::undecided(Rule::Rounding))
}

/// Whether a decimal is another one with its last digits rounded off.
fn rounds_to(decimal: &Value, rounded: &Value) -> bool {
    let (Expression::Number(from), Expression::Number(to), Some(digits)) =
        (&decimal.expression, &rounded.expression, rounded.digits)
    else {
        return false;
    };
    let leading = to.to_f64().value().abs().log10().floor();
    if digits < SHARED_DIGITS || !leading.is_finite() {
        return false;
    }
    // Of the last digit's unit, half may be lost.
    let places = digits as i64 - 1 - leading as i64;
    let unit = RBig::from(10_u8).pow(places.unsigned_abs() as usize);
    let twice = RBig::from(2_u8) * if from < to { to - from } else { from - to };
    if places < 0 { twice <= unit } else { twice * unit <= RBig::ONE }
}
