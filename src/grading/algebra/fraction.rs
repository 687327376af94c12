//! Quotients of polynomials.

use dashu_base::UnsignedAbs;
use dashu_ratio::RBig;

use super::monomial::{Atom, Exponent, Monomial};
use super::polynomial::{Polynomial, bits};
use super::{Budget, Halt, MAX_BITS};

/// A quotient; whatever has one term only has gone from below to above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fraction {
    pub above: Polynomial,
    pub below: Polynomial,
}

impl Fraction {
    pub fn polynomial(above: Polynomial) -> Self {
        Self { above, below: Polynomial::constant(RBig::ONE) }
    }

    pub fn rational(value: RBig) -> Self {
        Self::polynomial(Polynomial::constant(value))
    }

    pub fn atom(atom: Atom) -> Result<Self, Halt> {
        let (monomial, factor) = Monomial::power(atom, Exponent::ONE)?;
        Ok(Self::polynomial(Polynomial::term(monomial, factor)))
    }

    fn new(above: Polynomial, below: Polynomial, budget: &mut Budget) -> Result<Self, Halt> {
        if below.is_zero() {
            return Err(Halt::Undefined);
        }
        let Some((monomial, value)) = below.single() else { return Ok(Self { above, below }) };
        if below.is_one() {
            return Ok(Self { above, below });
        }
        let (inverse, factor) = monomial.raised(Exponent::new(-1, 1)?)?;
        let inverse = Polynomial::term(inverse, factor / value);
        Ok(Self::polynomial(above.times(&inverse, budget)?))
    }

    /// The value, where it is a rational number.
    pub fn as_rational(&self) -> Option<RBig> {
        if self.below.is_one() { self.above.rational() } else { None }
    }

    pub fn is_opaque(&self) -> bool {
        self.above.is_opaque() || self.below.is_opaque()
    }

    pub fn plus(self, other: &Self, budget: &mut Budget) -> Result<Self, Halt> {
        if self.below == other.below {
            return Self::new(self.above.plus(&other.above, budget)?, self.below, budget);
        }
        let left = self.above.times(&other.below, budget)?;
        let right = other.above.times(&self.below, budget)?;
        let below = self.below.times(&other.below, budget)?;
        Self::new(left.plus(&right, budget)?, below, budget)
    }

    pub fn times(&self, other: &Self, budget: &mut Budget) -> Result<Self, Halt> {
        let above = self.above.times(&other.above, budget)?;
        Self::new(above, self.below.times(&other.below, budget)?, budget)
    }

    pub fn over(&self, other: &Self, budget: &mut Budget) -> Result<Self, Halt> {
        let above = self.above.times(&other.below, budget)?;
        Self::new(above, self.below.times(&other.above, budget)?, budget)
    }

    /// Whether both are the same value: `a/b = c/d` as `ad = bc`.
    pub fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Halt> {
        if self == other {
            return Ok(true);
        }
        let left = self.above.times(&other.below, budget)?;
        Ok(left == other.above.times(&self.below, budget)?)
    }

    /// This to an integer power.
    pub fn powered(&self, exponent: i64, budget: &mut Budget) -> Result<Self, Halt> {
        if exponent < 0 {
            let one = Self::rational(RBig::ONE);
            return one.over(self, budget)?.powered(-exponent, budget);
        }
        if exponent == 0 {
            // 0^0 has no value that everybody agrees on.
            let zero = self.above.is_zero();
            return if zero { Err(Halt::Undefined) } else { Ok(Self::rational(RBig::ONE)) };
        }
        if let (Some((monomial, value)), true) = (self.above.single(), self.below.is_one()) {
            let value = rational_power(value, exponent, budget)?;
            let (monomial, factor) = monomial.raised(Exponent::new(exponent, 1)?)?;
            return Ok(Self::polynomial(Polynomial::term(monomial, value * factor)));
        }
        let (mut power, mut square, mut left) = (Self::rational(RBig::ONE), self.clone(), exponent);
        loop {
            if left & 1 == 1 {
                power = power.times(&square, budget)?;
            }
            left >>= 1;
            if left == 0 {
                return Ok(power);
            }
            square = square.times(&square.clone(), budget)?;
        }
    }

    /// This to the power of a fraction, where that is a single term; the real root where there is one.
    pub fn rooted(&self, exponent: Exponent, above: i64, below: i64) -> Result<Option<Self>, Halt> {
        if self.above.is_zero() {
            return if above > 0 { Ok(Some(self.clone())) } else { Err(Halt::Undefined) };
        }
        let (Some((monomial, value)), true) = (self.above.single(), self.below.is_one()) else {
            return Ok(None);
        };
        let mut symbols = 0;
        for (atom, old) in monomial.atoms() {
            match atom {
                Atom::Prime(_) => {}
                // (x^2)^(1/2) is not x, and neither is √(xy) always √x √y.
                Atom::Symbol(_) if old.is_one() && symbols == 0 => symbols += 1,
                _ => return Ok(None),
            }
        }
        let (mut product, mut factor) = monomial.raised(exponent)?;
        if *value < RBig::ZERO {
            if symbols > 0 {
                return Ok(None);
            }
            if below % 2 == 1 {
                factor *= RBig::from(if above % 2 == 0 { 1 } else { -1 });
            } else if below == 2 {
                let (imaginary, sign) = Monomial::power(Atom::Imaginary, Exponent::new(above, 1)?)?;
                let (both, more) = product.times(&imaginary)?;
                factor *= sign * more;
                product = both;
            } else {
                return Ok(None);
            }
        }
        let (numerator, denominator) = value.clone().into_parts();
        for (number, sign) in [(numerator.unsigned_abs(), 1), (denominator, -1)] {
            let Ok(number) = u64::try_from(&number) else { return Ok(None) };
            let Some(primes) = factored(number) else { return Ok(None) };
            for (prime, count) in primes {
                let power = exponent.times(Exponent::new(sign * count, 1)?)?;
                let (power, out) = Monomial::power(Atom::Prime(prime), power)?;
                let (both, more) = product.times(&power)?;
                factor *= out * more;
                product = both;
            }
        }
        Ok(Some(Self::polynomial(Polynomial::term(product, factor))))
    }

    /// Canonical text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.above.write(&mut out);
        if !self.below.is_one() {
            out.push('/');
            self.below.write(&mut out);
        }
        out
    }
}

fn rational_power(value: &RBig, exponent: i64, budget: &mut Budget) -> Result<RBig, Halt> {
    if value.is_one() {
        return Ok(RBig::ONE);
    }
    if *value == RBig::from(-1) {
        return Ok(RBig::from(if exponent % 2 == 0 { 1 } else { -1 }));
    }
    let exponent = usize::try_from(exponent).map_err(|_| Halt::TooLarge)?;
    let size = bits(value).saturating_mul(exponent);
    if size > 2 * MAX_BITS {
        return Err(Halt::TooLarge);
    }
    let words = 1 + size as u64 / 64;
    budget.spend(words * words)?;
    Ok(value.pow(exponent))
}

/// The primes of a number with their counts; `None` where they are not found soon.
fn factored(mut number: u64) -> Option<Vec<(u64, i64)>> {
    const LAST: u64 = 1 << 16;
    let mut primes = Vec::new();
    let mut divisor = 2;
    while divisor * divisor <= number && divisor < LAST {
        let mut count = 0;
        while number.is_multiple_of(divisor) {
            number /= divisor;
            count += 1;
        }
        if count > 0 {
            primes.push((divisor, count));
        }
        divisor += if divisor == 2 { 1 } else { 2 };
    }
    if number > 1 {
        // Without a divisor below 2^16, what is below 2^32 is prime.
        if number >= LAST * LAST {
            return None;
        }
        primes.push((number, 1));
    }
    Some(primes)
}
