//! Exact numbers.

use std::cmp::Ordering;
use std::fmt;

use super::Rules;

/// No part of a number is larger: nothing near it is ever a target, and sums of two products of parts stay far from overflow.
pub(super) const LARGEST: i64 = 1_000_000_000;

/// A whole number or a fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Number {
    numerator: i64,
    /// Positive.
    denominator: i64,
}

impl Number {
    /// A whole number that a problem gives; `None` where it is too large.
    pub(super) fn whole(number: u64) -> Option<Self> {
        let numerator = i64::try_from(number).ok().filter(|number| *number <= LARGEST)?;
        Some(Self { numerator, denominator: 1 })
    }

    /// The number as a target: whole and not negative.
    pub(super) fn target(self) -> Option<u64> {
        (self.denominator == 1).then(|| u64::try_from(self.numerator).ok())?
    }

    /// Of parts whose divisor is not zero and which may be too large.
    fn reduced(numerator: i64, denominator: i64) -> Self {
        let divisor = greatest_common_divisor(numerator, denominator) * denominator.signum();
        Self { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// Reads a number as [`fmt::Display`] writes it, or the same in parentheses; blanks around its parts do not count. What the rules
    /// never make is none.
    pub(super) fn parse(text: &str, rules: Rules) -> Result<Self, String> {
        let text = without_blanks(text);
        let part = |part: &str| {
            let part = without_blanks(part);
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("`{text}` is not a number"));
            }
            let size = part.parse().ok().filter(|size| *size <= LARGEST);
            size.ok_or_else(|| format!("{text} is too large"))
        };
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let inner = inner.filter(|_| !rules.are_plain()).map_or(text, without_blanks);
        let (sign, size) = match inner.strip_prefix('-') {
            Some(size) if rules.negative => (-1, size),
            _ => (1, inner),
        };
        let (numerator, denominator) = match size.split_once('/') {
            Some((above, below)) if rules.fractions => (part(above)?, part(below)?),
            _ => (part(size)?, 1),
        };
        if denominator == 0 {
            return Err(format!("`{text}` is not a number"));
        }
        Ok(Self::reduced(sign * numerator, denominator))
    }

    /// Reads an operand: a fraction needs its parentheses there, so that its bar is no operator.
    pub(super) fn parse_operand(text: &str, rules: Rules) -> Result<Self, String> {
        let text = without_blanks(text);
        if rules.fractions && text.contains('/') && !text.starts_with('(') {
            return Err(format!("`{text}` is not a number; a fraction stands in parentheses"));
        }
        Self::parse(text, rules)
    }

    /// How the number is written beside an operator: in parentheses unless it is whole and not negative.
    pub(super) fn operand(self) -> String {
        match self {
            Self { numerator: 0.., denominator: 1 } => self.to_string(),
            _ => format!("({self})"),
        }
    }

    pub(super) fn add(self, other: Self) -> Self {
        let Self { numerator, denominator } = other;
        Self::reduced(
            self.numerator * denominator + numerator * self.denominator,
            self.denominator * denominator,
        )
    }

    pub(super) fn negated(self) -> Self {
        Self { numerator: -self.numerator, ..self }
    }

    pub(super) fn multiply(self, other: Self) -> Self {
        Self::reduced(self.numerator * other.numerator, self.denominator * other.denominator)
    }

    /// One divided by the number; `None` for zero.
    pub(super) fn inverse(self) -> Option<Self> {
        let Self { numerator, denominator } = self;
        (numerator != 0).then(|| Self::reduced(denominator, numerator))
    }

    /// The number, where it may be the result of an operation.
    pub(super) fn allowed(self, rules: Rules) -> Result<Self, &'static str> {
        if !rules.fractions && self.denominator != 1 {
            Err("leaves a remainder")
        } else if !rules.negative && self.numerator < 0 {
            Err("goes below zero")
        } else if self.numerator.abs().max(self.denominator) <= LARGEST {
            Ok(self)
        } else if self.denominator == 1 {
            Err("is too large")
        } else {
            Err("is a fraction of too large numbers")
        }
    }
}

/// As results and the numbers that are left are written: `7`, `-2`, `8/3`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Positive; `b` is not zero.
fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (b.abs(), a.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn without_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rules = Rules { negative: true, fractions: true, leftover: true };

    fn number(text: &str) -> Number {
        Number::parse(text, ALL).unwrap()
    }

    #[test]
    fn numbers_are_read_in_lowest_terms() {
        for (text, written, operand) in [
            ("7", "7", "7"),
            ("007", "7", "7"),
            ("-0", "0", "0"),
            (" ( - 2 ) ", "-2", "(-2)"),
            ("8/3", "8/3", "(8/3)"),
            ("(6 / 4)", "3/2", "(3/2)"),
            ("-4/2", "-2", "(-2)"),
        ] {
            assert_eq!(number(text).to_string(), written, "{text}");
            assert_eq!(number(text).operand(), operand, "{text}");
        }
        for text in ["", "()", "(7", "7)", "--2", "+2", "1/0", "1/-2", "1/2/3", "1 2", "٣"] {
            let error = Number::parse(text, ALL).unwrap_err();
            assert!(error.contains("is not a number"), "{text}: {error}");
        }
        for text in ["1000000001", "1/1000000001", "99999999999999999999"] {
            assert!(Number::parse(text, ALL).unwrap_err().contains("too large"), "{text}");
        }
    }

    #[test]
    fn what_the_rules_never_make_is_not_read() {
        let negative = Rules { negative: true, ..Rules::default() };
        let fractions = Rules { fractions: true, ..Rules::default() };
        for (text, rules) in [
            ("(7)", Rules::default()),
            ("-2", Rules::default()),
            ("1/2", Rules::default()),
            ("1/2", negative),
            ("-2", fractions),
        ] {
            assert!(Number::parse(text, rules).is_err(), "{text}");
            Number::parse(text, ALL).unwrap();
        }
    }

    #[test]
    fn results_at_the_limit_are_exact() {
        let (largest, small) = (number("1000000000"), number("1/1000000000"));
        let next = number("999999999/1000000000");
        assert!(small < next && next < number("1") && largest.negated() < small);
        assert_eq!(largest.multiply(small), number("1"));
        assert_eq!(small.inverse(), Some(largest));
        assert_eq!(next.add(small), number("1"));
        assert_eq!(largest.add(largest).allowed(ALL), Err("is too large"));
        assert_eq!(largest.negated().multiply(largest).allowed(ALL), Err("is too large"));
        for fraction in [small.multiply(small), next.add(number("1/999999999"))] {
            assert_eq!(fraction.allowed(ALL), Err("is a fraction of too large numbers"));
        }
        assert_eq!(number("0").inverse(), None);
        assert_eq!(number("-3").inverse(), Some(number("-1/3")));
    }
}
