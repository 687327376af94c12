//! The value of an expression at a point.

use dashu_ratio::RBig;

use super::complex::{Arithmetic, Complex};
use crate::expression::{Expression, Function};

/// The value where letters have the values that `point` gives; `None` where there is none or it cannot be computed.
pub fn evaluate(
    expression: &Expression,
    point: &dyn Fn(&str) -> f64,
    arithmetic: &mut Arithmetic,
) -> Option<Complex> {
    let value = match expression {
        Expression::Number(number) => Complex::real(arithmetic.rational(number)),
        Expression::Symbol(name) => match name.as_str() {
            "pi" => Complex::real(arithmetic.pi()),
            "e" => arithmetic.exp(&Complex::real(arithmetic.float(1.0)))?,
            "i" => Complex { re: arithmetic.float(0.0), im: arithmetic.float(1.0) },
            name => Complex::real(arithmetic.float(point(name))),
        },
        Expression::Sum(terms) => {
            let mut sum = Complex::real(arithmetic.float(0.0));
            for term in terms {
                let term = evaluate(term, point, arithmetic)?;
                sum = arithmetic.add(&sum, &term);
            }
            sum
        }
        Expression::Product(factors) => {
            let mut product = Complex::real(arithmetic.float(1.0));
            for factor in factors {
                let factor = evaluate(factor, point, arithmetic)?;
                product = arithmetic.mul(&product, &factor);
            }
            product
        }
        Expression::Quotient(above, below) => {
            let above = evaluate(above, point, arithmetic)?;
            let below = evaluate(below, point, arithmetic)?;
            arithmetic.div(&above, &below)?
        }
        Expression::Power(base, exponent) => {
            let base = evaluate(base, point, arithmetic)?;
            if let Some(exact) = rational(exponent) {
                rational_power(&base, &exact, arithmetic)?
            } else {
                let exponent = evaluate(exponent, point, arithmetic)?;
                power(&base, &exponent, arithmetic)?
            }
        }
        Expression::Root(radicand, degree) => {
            let radicand = evaluate(radicand, point, arithmetic)?;
            if let Some(degree) = rational(degree).filter(|degree| !degree.is_zero()) {
                rational_power(&radicand, &(RBig::ONE / degree), arithmetic)?
            } else {
                let degree = evaluate(degree, point, arithmetic)?;
                let one = Complex::real(arithmetic.float(1.0));
                let exponent = arithmetic.div(&one, &degree)?;
                power(&radicand, &exponent, arithmetic)?
            }
        }
        Expression::Call(function, arguments) => call(*function, arguments, point, arithmetic)?,
        Expression::Apply(..) => return None,
        Expression::Degrees(angle) => evaluate(angle, point, arithmetic)?,
    };
    value.checked()
}

/// An exponent that is a number, so that odd roots of negative numbers can be real.
fn rational(exponent: &Expression) -> Option<RBig> {
    match exponent.clone().folded() {
        Expression::Number(number) => Some(number),
        _ => None,
    }
}

fn rational_power(base: &Complex, exponent: &RBig, arithmetic: &mut Arithmetic) -> Option<Complex> {
    if exponent.is_int()
        && let Ok(whole) = i64::try_from(exponent.numerator())
    {
        let size = u32::try_from(whole.unsigned_abs()).ok()?;
        let power = arithmetic.integer_power(base, size)?;
        if whole > 0 {
            return Some(power);
        }
        let one = Complex::real(arithmetic.float(1.0));
        return if base.is_zero() { None } else { arithmetic.div(&one, &power) };
    }
    let odd = |number: String| number.ends_with(['1', '3', '5', '7', '9']);
    let real = Complex::real(arithmetic.rational(exponent));
    if base.is_real() && base.re.is_negative() && odd(exponent.denominator().to_string()) {
        let size = power(&Complex::real(base.re.neg()), &real, arithmetic)?;
        let negative = odd(exponent.numerator().to_string());
        return Some(if negative { Complex::real(size.re.neg()) } else { size });
    }
    power(base, &real, arithmetic)
}

/// The principal value of base^exponent.
fn power(base: &Complex, exponent: &Complex, arithmetic: &mut Arithmetic) -> Option<Complex> {
    if base.is_zero() {
        let positive = exponent.is_real() && exponent.re.is_positive() && !exponent.is_zero();
        return positive.then(|| base.clone());
    }
    let logarithm = arithmetic.ln(base)?;
    arithmetic.exp(&arithmetic.mul(exponent, &logarithm))
}

fn call(
    function: Function,
    arguments: &[Expression],
    point: &dyn Fn(&str) -> f64,
    arithmetic: &mut Arithmetic,
) -> Option<Complex> {
    let [argument] = arguments else { return None };
    let argument = match function.is_trigonometric() {
        true => evaluate(&argument.in_radians(), point, arithmetic)?,
        false => evaluate(argument, point, arithmetic)?,
    };
    match function {
        Function::Exp => return arithmetic.exp(&argument),
        Function::Ln => return arithmetic.ln(&argument),
        Function::Log => {
            let ten = Complex::real(arithmetic.float(10.0));
            let (above, below) = (arithmetic.ln(&argument)?, arithmetic.ln(&ten)?);
            return arithmetic.div(&above, &below);
        }
        Function::Absolute => return Some(Complex::real(arithmetic.abs(&argument))),
        _ => {}
    }
    if !argument.is_real() {
        return None;
    }
    let x = argument.re;
    let one = Complex::real(arithmetic.float(1.0));
    let real = match function {
        Function::Sin => arithmetic.real(&x, astro_float_num::BigFloat::sin)?,
        Function::Cos => arithmetic.real(&x, astro_float_num::BigFloat::cos)?,
        Function::Tan => arithmetic.real(&x, astro_float_num::BigFloat::tan)?,
        Function::Arcsin => arithmetic.real(&x, astro_float_num::BigFloat::asin)?,
        Function::Arccos => arithmetic.real(&x, astro_float_num::BigFloat::acos)?,
        Function::Arctan => arithmetic.real(&x, astro_float_num::BigFloat::atan)?,
        Function::Cot => {
            let tan = arithmetic.real(&x, astro_float_num::BigFloat::tan)?;
            arithmetic.div(&one, &Complex::real(tan))?.re
        }
        Function::Sec => {
            let cos = arithmetic.real(&x, astro_float_num::BigFloat::cos)?;
            arithmetic.div(&one, &Complex::real(cos))?.re
        }
        Function::Csc => {
            let sin = arithmetic.real(&x, astro_float_num::BigFloat::sin)?;
            arithmetic.div(&one, &Complex::real(sin))?.re
        }
        // Exact algebra knows these where they are needed; a rounded argument would decide them by chance.
        _ => return None,
    };
    Some(Complex::real(real))
}
