//! Operations of a step that the host does, so that they give what CPython gives or are refused.
//!
//! The step's own are those of [`super::sure`]; a function here takes their arguments.

use monty_types::MontyObject;
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{Signed, ToPrimitive, Zero};

use super::agreed::is_agreed_value;

/// How an operation ends.
#[derive(Debug, PartialEq)]
pub(super) enum Done {
    Value(MontyObject),
    /// As CPython does: `ZeroDivisionError: division by zero` of two integers, whose words are the same in all versions.
    DivisionByZero,
    /// Not known to be what CPython gives, or not the same in all of its versions.
    Refused(&'static str),
}

use Done::{DivisionByZero, Refused, Value};

/// The functions' names in a step.
pub(super) const FUNCTIONS: [&str; 15] = [
    "_e_div",
    "_e_floordiv",
    "_e_mod",
    "_e_pow",
    "_e_round",
    "_e_int",
    "_e_float",
    "_e_sum",
    "_e_divmod",
    "_e_key",
    "_e_formatted",
    "_e_mul",
    "_e_shl",
    "_e_count",
    "_e_shown",
];

/// Integers beyond this one are not all floats.
const EXACT: i64 = 1 << 53;
/// Longest integer that is computed, in bits: it is a float too.
const LONGEST: u64 = 1000;
/// Longest text that is repeated, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// What the function of this name makes of its arguments.
pub(super) fn call(name: &str, arguments: &[MontyObject]) -> Done {
    match (name, arguments) {
        ("_e_div", [a, b]) => numbers(a, b, divide),
        ("_e_floordiv", [a, b]) => numbers(a, b, |a, b| parts(a, b, |quotient, _| quotient)),
        ("_e_mod", [a, b]) => numbers(a, b, |a, b| parts(a, b, |_, remainder| remainder)),
        ("_e_divmod", [a, b]) => numbers(a, b, |a, b| {
            parts(a, b, |quotient, remainder| MontyObject::Tuple(vec![quotient, remainder]))
        }),
        ("_e_pow", [a, b]) => numbers(a, b, power),
        // A text cannot change, so that a copy is as good; a list would no longer be the one that others hold.
        ("_e_mul", [MontyObject::String(text), MontyObject::Int(count)])
        | ("_e_mul", [MontyObject::Int(count), MontyObject::String(text)]) => {
            repeated(text, *count)
        }
        ("_e_mul", [a, b]) => numbers(a, b, times),
        ("_e_shl", [a, b]) => numbers(a, b, shifted),
        ("_e_count", [MontyObject::Int(count @ -10_000_000..=10_000_000)]) => {
            Value(MontyObject::Int(*count))
        }
        ("_e_shown", [value]) if is_agreed_value(value) => Value(value.clone()),
        ("_e_round", [x] | [x, MontyObject::None]) => round(x, None),
        ("_e_round", [x, MontyObject::Int(digits)]) => round(x, Some(*digits)),
        ("_e_int", [x]) => int(x),
        ("_e_float", [x]) => float(x),
        ("_e_sum", [MontyObject::List(values) | MontyObject::Tuple(values)]) => sum(values, None),
        ("_e_sum", [MontyObject::List(values) | MontyObject::Tuple(values), start]) => {
            sum(values, Some(start))
        }
        ("_e_key", [key]) if is_plain_key(key) => Value(key.clone()),
        ("_e_key", [_]) => Refused("keys that are no integers and texts"),
        ("_e_formatted", [value]) => match value {
            MontyObject::Float(x) if !x.is_finite() => Refused("what is no finite number"),
            MontyObject::Int(_) | MontyObject::Float(_) | MontyObject::String(_) => {
                Value(value.clone())
            }
            _ => Refused("this value in a format"),
        },
        _ => Refused("these arguments"),
    }
}

/// A number as arithmetic sees it.
#[derive(Debug, Clone, PartialEq)]
enum Num {
    Int(BigInt),
    Float(f64),
}

fn num(object: &MontyObject) -> Option<Num> {
    Some(match object {
        MontyObject::Bool(value) => Num::Int(BigInt::from(u8::from(*value))),
        MontyObject::Int(value) => Num::Int(BigInt::from(*value)),
        MontyObject::BigInt(value) => Num::Int(value.clone()),
        MontyObject::Float(value) => Num::Float(*value),
        _ => return None,
    })
}

fn object(value: BigInt) -> MontyObject {
    value.to_i64().map_or(MontyObject::BigInt(value), MontyObject::Int)
}

fn numbers(a: &MontyObject, b: &MontyObject, work: impl Fn(&Num, &Num) -> Done) -> Done {
    match (num(a), num(b)) {
        (Some(a), Some(b)) => work(&a, &b),
        _ => Refused("operands that are no numbers"),
    }
}

/// Two floats, where at least one is one; an integer must be the same as a float.
fn floats(a: &Num, b: &Num) -> Option<(f64, f64)> {
    Some((exact(a)?, exact(b)?))
}

fn exact(number: &Num) -> Option<f64> {
    match number {
        Num::Float(value) => Some(*value),
        Num::Int(value) => {
            let value = value.to_i64().filter(|value| (-EXACT..=EXACT).contains(value))?;
            Some(value as f64)
        }
    }
}

const TOO_LARGE: &str = "integers beyond 2^53 as floats";

fn finite(value: f64) -> Done {
    match value.is_finite() {
        true => Value(MontyObject::Float(value)),
        false => Refused("results that are no finite numbers"),
    }
}

fn divide(a: &Num, b: &Num) -> Done {
    if let (Num::Int(a), Num::Int(b)) = (a, b) {
        return match b.is_zero() {
            true => DivisionByZero,
            false => quotient(a, b).map_or(Refused(TOO_LARGE), finite),
        };
    }
    match floats(a, b) {
        Some((_, 0.0)) => Refused("a float divided by zero, of which versions speak otherwise"),
        Some((a, b)) => finite(a / b),
        None => Refused(TOO_LARGE),
    }
}

/// The float nearest to a / b, halves to even; `None` near the ends of the floats.
fn quotient(a: &BigInt, b: &BigInt) -> Option<f64> {
    if let (Some(a), Some(b)) = (exact(&Num::Int(a.clone())), exact(&Num::Int(b.clone()))) {
        return Some(a / b);
    }
    if a.is_zero() {
        return Some(if b.is_negative() { -0.0 } else { 0.0 });
    }
    // A quotient of 62 to 64 bits, whose last says whether anything is left: rounded once, it is rounded rightly.
    let shift = 63 - (a.bits() as i64 - b.bits() as i64);
    if shift.abs() > 900 {
        return None;
    }
    let (mut above, mut below) = (a.abs(), b.abs());
    match shift >= 0 {
        true => above <<= shift as u64,
        false => below <<= shift.unsigned_abs(),
    }
    let (whole, rest) = above.div_rem(&below);
    let bits = whole.to_u64()? | u64::from(!rest.is_zero());
    let value = bits as f64 * 2f64.powi(-(shift as i32));
    Some(if a.is_negative() == b.is_negative() { value } else { -value })
}

/// Floor division and remainder, as CPython's `float_divmod` and `long_divmod` take them.
fn parts(a: &Num, b: &Num, chosen: impl Fn(MontyObject, MontyObject) -> MontyObject) -> Done {
    if let (Num::Int(a), Num::Int(b)) = (a, b) {
        if b.is_zero() {
            return Refused("an integer divided by zero, of which versions speak otherwise");
        }
        let (quotient, remainder) = a.div_mod_floor(b);
        return Value(chosen(object(quotient), object(remainder)));
    }
    let Some((a, b)) = floats(a, b) else { return Refused(TOO_LARGE) };
    if b == 0.0 || !a.is_finite() || !b.is_finite() {
        return Refused("a float divided by zero, of which versions speak otherwise");
    }
    let mut remainder = a % b;
    let mut quotient = (a - remainder) / b;
    if remainder == 0.0 {
        remainder = 0f64.copysign(b);
    } else if (b < 0.0) != (remainder < 0.0) {
        remainder += b;
        quotient -= 1.0;
    }
    let quotient = if quotient == 0.0 {
        0f64.copysign(a / b)
    } else {
        let floor = quotient.floor();
        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
    };
    if !quotient.is_finite() {
        return Refused("results that are no finite numbers");
    }
    Value(chosen(MontyObject::Float(quotient), MontyObject::Float(remainder)))
}

fn power(a: &Num, b: &Num) -> Done {
    if let (Num::Int(base), Num::Int(exponent)) = (a, b)
        && !exponent.is_negative()
    {
        let Some(exponent) = exponent
            .to_u32()
            .filter(|&exponent| base.bits().saturating_mul(u64::from(exponent)) <= LONGEST)
        else {
            return Refused("powers of many digits");
        };
        return Value(object(base.pow(exponent)));
    }
    let Some((base, exponent)) = floats(a, b) else { return Refused(TOO_LARGE) };
    if base == 0.0 && exponent < 0.0 {
        return Refused("a negative power of zero, of which versions speak otherwise");
    }
    if base < 0.0 && exponent.fract() != 0.0 {
        return Refused("complex numbers");
    }
    finite(base.powf(exponent))
}

fn repeated(text: &str, count: i64) -> Done {
    match usize::try_from(count.max(0)) {
        Ok(count) if text.len().saturating_mul(count) <= LONGEST_TEXT => {
            Value(MontyObject::String(text.repeat(count)))
        }
        _ => Refused("texts of this length"),
    }
}

fn times(a: &Num, b: &Num) -> Done {
    match (a, b) {
        (Num::Int(a), Num::Int(b)) if a.bits() + b.bits() <= LONGEST => Value(object(a * b)),
        (Num::Int(_), Num::Int(_)) => Refused("integers of many digits"),
        _ => floats(a, b).map_or(Refused(TOO_LARGE), |(a, b)| finite(a * b)),
    }
}

fn shifted(a: &Num, b: &Num) -> Done {
    match (a, b) {
        (Num::Int(a), Num::Int(b)) => match b.to_u64() {
            Some(by) if a.bits() + by <= LONGEST => Value(object(a << by)),
            _ => Refused("this shift"),
        },
        _ => Refused("shifts of floats"),
    }
}

fn round(x: &MontyObject, digits: Option<i64>) -> Done {
    match (x, digits) {
        (MontyObject::Int(_) | MontyObject::BigInt(_), None | Some(0..)) => Value(x.clone()),
        (MontyObject::Float(x), None) => whole(x.round_ties_even()),
        (MontyObject::Float(x), Some(digits @ 0..=22)) if x.is_finite() && x.abs() < 1e22 => {
            // The decimal expansion is exact, and halves of it go to the even digit.
            let text = format!("{:.*}", digits as usize, x);
            text.parse().map_or(Refused("this number of digits"), finite)
        }
        _ => Refused("this way to round"),
    }
}

/// A whole float as an integer.
fn whole(x: f64) -> Done {
    match x.abs() < 9e18 {
        true => Value(MontyObject::Int(x as i64)),
        false => Refused("floats beyond 64 bits as integers"),
    }
}

fn int(x: &MontyObject) -> Done {
    match x {
        MontyObject::Int(_) | MontyObject::BigInt(_) => Value(x.clone()),
        MontyObject::Bool(x) => Value(MontyObject::Int(i64::from(*x))),
        MontyObject::Float(x) => whole(x.trunc()),
        MontyObject::String(text) => {
            let text = text.trim_matches([' ', '\n', '\t', '\r']);
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let plain = !digits.is_empty()
                && digits.len() <= 18
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(value) if plain => Value(MontyObject::Int(value)),
                _ => Refused("this text as an integer"),
            }
        }
        _ => Refused("this value as an integer"),
    }
}

fn float(x: &MontyObject) -> Done {
    if let Some(number) = num(x) {
        return exact(&number).map_or(Refused(TOO_LARGE), |x| Value(MontyObject::Float(x)));
    }
    let MontyObject::String(text) = x else { return Refused("this value as a float") };
    let text = text.trim_matches([' ', '\n', '\t', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(value) if plain => finite(value),
        _ => Refused("this text as a float"),
    }
}

/// CPython adds floats plainly before 3.12 and keeps the lost digits since: where both give the same sum, it is the sum.
fn sum(values: &[MontyObject], start: Option<&MontyObject>) -> Done {
    // Given back as it is where there is nothing to add: with its type and its sign.
    match start {
        Some(MontyObject::Bool(_)) => return Refused("a sum that starts so"),
        Some(MontyObject::Float(start)) if *start == 0.0 => return Refused("a sum that starts so"),
        _ => {}
    }
    let numbers: Option<Vec<Num>> = start.into_iter().chain(values).map(num).collect();
    let Some(numbers) = numbers else { return Refused("the sum of what are no numbers") };
    if numbers.iter().all(|number| matches!(number, Num::Int(_))) {
        let whole = numbers.iter().filter_map(|number| match number {
            Num::Int(value) => Some(value),
            Num::Float(_) => None,
        });
        return Value(object(whole.sum()));
    }
    let exact: Option<Vec<f64>> = numbers.iter().map(exact).collect();
    let Some(exact) = exact else { return Refused(TOO_LARGE) };
    // Neither way may lose a digit of the integers before the first float.
    let is_float: Vec<bool> =
        numbers.iter().map(|number| matches!(number, Num::Float(_))).collect();
    let plain: f64 = exact.iter().fold(0.0, |sum, x| sum + x);
    let kept = |compensated: &dyn Fn(usize) -> bool| {
        let (mut sum, mut lost) = (0.0f64, 0.0f64);
        for (at, &x) in exact.iter().enumerate() {
            let next = sum + x;
            if compensated(at) {
                lost += if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
            }
            sum = next;
        }
        sum + lost
    };
    match kept(&|_| true) == plain && kept(&|at| is_float[at]) == plain {
        true => finite(plain),
        false => Refused("a sum of floats that is another one from CPython 3.12 on"),
    }
}

fn is_plain_key(key: &MontyObject) -> bool {
    match key {
        MontyObject::Int(_) | MontyObject::String(_) => true,
        MontyObject::Tuple(parts) => parts.iter().all(is_plain_key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> MontyObject {
        MontyObject::Float(value)
    }

    fn text(value: &str) -> MontyObject {
        MontyObject::String(value.to_owned())
    }

    fn int(value: i64) -> MontyObject {
        MontyObject::Int(value)
    }

    #[test]
    fn numbers_are_those_of_cpython() {
        for (name, arguments, expected) in [
            ("_e_round", vec![float(2.675), int(2)], float(2.67)),
            ("_e_round", vec![float(0.15), int(1)], float(0.1)),
            ("_e_round", vec![float(2.5)], int(2)),
            ("_e_pow", vec![float(0.3), int(3)], float(0.026_999_999_999_999_996)),
            ("_e_pow", vec![float(1.2), int(3)], float(1.727_999_999_999_999_8)),
            ("_e_pow", vec![int(2), int(-1)], float(0.5)),
            ("_e_div", vec![int(5i64.pow(23)), int(5i64.pow(21))], float(25.0)),
            ("_e_floordiv", vec![int(1), float(0.1)], float(9.0)),
            ("_e_floordiv", vec![int(-7), int(2)], int(-4)),
            ("_e_mod", vec![int(-7), int(2)], int(1)),
            ("_e_mod", vec![float(-1.0), float(3.0)], float(2.0)),
            ("_e_mul", vec![text("ab"), int(2)], text("abab")),
            ("_e_mul", vec![int(-1), text("ab")], text("")),
            (
                "_e_mul",
                vec![int(1 << 40), int(1 << 40)],
                MontyObject::BigInt(BigInt::from(1) << 80),
            ),
            ("_e_shl", vec![int(3), int(2)], int(12)),
            ("_e_int", vec![float(-2.7)], int(-2)),
            ("_e_int", vec![MontyObject::String(" 12\n".into())], int(12)),
            ("_e_sum", vec![MontyObject::List(vec![int(1), float(0.5)])], float(1.5)),
            ("_e_sum", vec![MontyObject::List(vec![])], int(0)),
        ] {
            assert_eq!(call(name, &arguments), Value(expected), "{name} {arguments:?}");
        }
        let huge = |power: u32| MontyObject::BigInt(BigInt::from(10).pow(power));
        assert_eq!(call("_e_div", &[huge(400), huge(399)]), Value(float(10.0)));
        assert_eq!(call("_e_div", &[huge(30), int(7)]), Value(float(1e30 / 7.0)));
        assert_eq!(
            format!(
                "{:?}",
                call("_e_div", &[int(0), MontyObject::BigInt(-BigInt::from(10).pow(30))])
            ),
            "Value(Float(-0.0))"
        );
        assert_eq!(call("_e_div", &[int(1), int(0)]), DivisionByZero);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let tenths = MontyObject::List(vec![float(0.1); 10]);
        for (name, arguments) in [
            ("_e_sum", vec![tenths]),
            ("_e_pow", vec![int(-8), float(0.5)]),
            ("_e_mul", vec![MontyObject::List(vec![int(1)]), int(2)]),
            ("_e_mul", vec![int(1 << 60), float(0.5)]),
            ("_e_shl", vec![int(1), int(2000)]),
            ("_e_count", vec![int(1 << 40)]),
            ("_e_pow", vec![int(10), int(1 << 30)]),
            ("_e_mod", vec![MontyObject::String("%d".into()), int(3)]),
            ("_e_floordiv", vec![int(1), int(0)]),
            ("_e_div", vec![float(1.0), int(0)]),
            ("_e_key", vec![float(1.0)]),
            ("_e_key", vec![MontyObject::Bool(true)]),
            ("_e_int", vec![MontyObject::String("1_0".into())]),
            ("_e_float", vec![MontyObject::String("nan".into())]),
        ] {
            assert!(matches!(call(name, &arguments), Refused(_)), "{name} {arguments:?}");
        }
    }
}
