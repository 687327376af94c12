//! Numerals: the short way for answers that are nothing else, and the exact value of every other.

use std::cmp::Ordering;

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use super::{Limits, Unreadable};

/// A plain numeral: `digits` / 10^`places`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    digits: i64,
    places: u32,
}

impl Plain {
    /// Exact comparison.
    pub fn equals(self, other: Self) -> bool {
        let scale = |plain: Self, places: u32| i128::from(plain.digits) * 10_i128.pow(places);
        match self.places.cmp(&other.places) {
            Ordering::Equal => self.digits == other.digits,
            Ordering::Less => scale(self, other.places - self.places) == i128::from(other.digits),
            Ordering::Greater => {
                i128::from(self.digits) == scale(other, self.places - other.places)
            }
        }
    }

    pub fn is_integer(self) -> bool {
        self.places == 0
    }
}

/// Reads `-12`, `3.50` or `.5` of at most 18 digits; anything else is for the grammar.
pub fn plain(text: &str) -> Option<Plain> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    if unsigned.is_empty() || unsigned.len() > 19 {
        return None;
    }
    let (mut digits, mut count, mut places) = (0_i64, 0, None);
    for byte in unsigned.bytes() {
        match byte {
            b'0'..=b'9' if count < 18 => {
                digits = 10 * digits + i64::from(byte - b'0');
                count += 1;
                places = places.map(|places| places + 1);
            }
            b'.' if places.is_none() => places = Some(0),
            _ => return None,
        }
    }
    // A point without digits behind it ends a sentence, and belongs to the grammar.
    if count == 0 || places == Some(0) {
        return None;
    }
    Some(Plain { digits: if negative { -digits } else { digits }, places: places.unwrap_or(0) })
}

/// The exact value of a numeral: digits, at most one point, at most one exponent after `e`.
pub fn value(numeral: &str) -> Result<RBig, Unreadable> {
    let (mantissa, exponent) = match numeral.split_once('e') {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i64>().map_err(|_| Unreadable::TooLong)?)
        }
        None => (numeral, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent - fraction.len() as i64;
    let size = exponent.unsigned_abs() as usize;
    if mantissa.len() > Limits::DIGITS || size > Limits::DIGITS {
        return Err(Unreadable::TooLong);
    }
    let digits =
        UBig::from_str_radix(&format!("{whole}{fraction}"), 10).map_err(|_| Unreadable::Syntax)?;
    let scale = UBig::from(10_u8).pow(size);
    Ok(if exponent < 0 {
        RBig::from_parts(digits.into(), scale)
    } else {
        RBig::from(IBig::from(digits * scale))
    })
}

/// `0.1` followed by a line over `6`: the digits under the line repeat for ever.
pub fn repeating(numeral: &str, repeated: &str) -> Result<RBig, Unreadable> {
    let places = numeral.split_once('.').ok_or(Unreadable::Syntax)?.1.len();
    if places + repeated.len() > Limits::DIGITS || numeral.contains('e') {
        return Err(Unreadable::TooLong);
    }
    let period = UBig::from_str_radix(repeated, 10).map_err(|_| Unreadable::Syntax)?;
    let ten = UBig::from(10_u8);
    let nines = ten.pow(repeated.len()) - UBig::ONE;
    Ok(value(numeral)? + RBig::from_parts(period.into(), nines * ten.pow(places)))
}

/// How many digits of a decimal say something: a `Some` only where there is a point.
pub fn significant_digits(numeral: &str) -> Option<usize> {
    let mantissa = numeral.split('e').next().unwrap_or_default();
    let digits = mantissa.split_once('.')?;
    let all = format!("{}{}", digits.0, digits.1);
    Some(all.trim_start_matches('0').len())
}
