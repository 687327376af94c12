//! Expressions to exact quotients of polynomials.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use super::monomial::{Atom, Exponent};
use super::{Budget, Fraction, Halt};
use crate::expression::{Expression, Function};

/// Multiplies everything out. What has no exact rules (sines, logarithms, nested roots, letters in exponents) stands in it as
/// opaque parts.
///
/// # Errors
/// When it is too large or has no value.
pub fn expand(expression: &Expression, budget: &mut Budget) -> Result<Fraction, Halt> {
    budget.spend(1)?;
    match expression {
        Expression::Number(value) => Ok(Fraction::rational(value.clone())),
        Expression::Symbol(name) if name == "i" => Fraction::atom(Atom::Imaginary),
        Expression::Symbol(name) => Fraction::atom(Atom::Symbol(name.clone())),
        Expression::Sum(terms) => {
            let mut sum = Fraction::rational(RBig::ZERO);
            for term in terms {
                sum = sum.plus(&expand(term, budget)?, budget)?;
            }
            Ok(sum)
        }
        Expression::Product(factors) => {
            let mut product = Fraction::rational(RBig::ONE);
            for factor in factors {
                product = product.times(&expand(factor, budget)?, budget)?;
            }
            Ok(product)
        }
        Expression::Quotient(above, below) => {
            let above = expand(above, budget)?;
            above.over(&expand(below, budget)?, budget)
        }
        Expression::Power(base, exponent) => {
            let base = expand(base, budget)?;
            power(&base, &expand(exponent, budget)?, budget)
        }
        Expression::Root(radicand, degree) => {
            let radicand = expand(radicand, budget)?;
            let one = Fraction::rational(RBig::ONE);
            let exponent = one.over(&expand(degree, budget)?, budget)?;
            power(&radicand, &exponent, budget)
        }
        Expression::Call(function, arguments) => call(*function, arguments, budget),
        Expression::Apply(name, arguments) => opaque(name, &all(arguments, budget)?),
        Expression::Degrees(angle) => expand(angle, budget),
    }
}

fn all(arguments: &[Expression], budget: &mut Budget) -> Result<Vec<Fraction>, Halt> {
    arguments.iter().map(|argument| expand(argument, budget)).collect()
}

/// Longest name of an opaque part: names of names would double at every level.
const MAX_NAME: usize = 1000;

fn opaque(name: &str, arguments: &[Fraction]) -> Result<Fraction, Halt> {
    let texts: Vec<String> = arguments.iter().map(Fraction::text).collect();
    let text = format!("{name}({})", texts.join(";"));
    if text.len() > MAX_NAME { Err(Halt::TooLarge) } else { Fraction::atom(Atom::Opaque(text)) }
}

/// Largest part of an exponent: products of two still fit.
const MAX_EXPONENT: u64 = 1 << 40;

fn power(base: &Fraction, exponent: &Fraction, budget: &mut Budget) -> Result<Fraction, Halt> {
    let Some(exact) = exponent.as_rational() else {
        // 1 and 0 stay what they are only where the exponent is known.
        return opaque("power", &[base.clone(), exponent.clone()]);
    };
    let (above, below) = exact.into_parts();
    let above = i64::try_from(&above).map_err(|_| Halt::TooLarge)?;
    let below = i64::try_from(&below).map_err(|_| Halt::TooLarge)?;
    if above.unsigned_abs() > MAX_EXPONENT || below.unsigned_abs() > MAX_EXPONENT {
        return Err(Halt::TooLarge);
    }
    if below == 1 {
        return base.powered(above, budget);
    }
    match base.rooted(Exponent::new(above, below)?, above, below)? {
        Some(root) => Ok(root),
        None => opaque("power", &[base.clone(), exponent.clone()]),
    }
}

fn call(
    function: Function,
    arguments: &[Expression],
    budget: &mut Budget,
) -> Result<Fraction, Halt> {
    if function.is_trigonometric() {
        let radians: Vec<Expression> = arguments.iter().map(Expression::in_radians).collect();
        return opaque(&format!("{function:?}"), &all(&radians, budget)?);
    }
    let arguments = all(arguments, budget)?;
    let rational: Option<Vec<RBig>> = arguments.iter().map(Fraction::as_rational).collect();
    let exact = match (function, rational.as_deref()) {
        (Function::Exp, _) => {
            let e = Fraction::atom(Atom::Symbol("e".to_owned()))?;
            return power(&e, &arguments[0], budget);
        }
        (Function::Absolute, Some([value])) => {
            Some(if *value < RBig::ZERO { -value.clone() } else { value.clone() })
        }
        (Function::Floor, Some([value])) => Some(value.floor().into()),
        (Function::Ceiling, Some([value])) => Some(value.ceil().into()),
        (Function::Factorial, Some([value])) => small(value).map(|n| product(1, n).into()),
        (Function::Binomial, Some([n, k])) => match (small(n), small(k)) {
            (Some(n), Some(k)) if k <= n => Some((product(n - k + 1, n) / product(1, k)).into()),
            (Some(_), Some(_)) => Some(RBig::ZERO),
            _ => None,
        },
        _ => None,
    };
    match exact {
        Some(value) => {
            budget.spend(1000)?;
            Ok(Fraction::rational(value))
        }
        None => opaque(&format!("{function:?}"), &arguments),
    }
}

/// An integer whose factorial is computed.
fn small(value: &RBig) -> Option<u64> {
    const LAST: u64 = 1000;
    let whole = value.is_int().then(|| value.numerator())?;
    u64::try_from(whole).ok().filter(|n| *n <= LAST)
}

/// from · (from + 1) · … · to
fn product(from: u64, to: u64) -> IBig {
    IBig::from((from..=to).map(UBig::from).product::<UBig>())
}
