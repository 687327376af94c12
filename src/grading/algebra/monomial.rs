//! Products of powers.

use std::fmt::Write;

use dashu_int::UBig;
use dashu_ratio::RBig;

use super::Halt;

/// What is not taken apart further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// Its exponent lies in (0, 1)
    Prime(u64),
    /// Its exponent is 1
    Imaginary,
    Symbol(String),
    /// A part without exact rules, by its canonical text; equal texts are equal values, different texts say nothing
    Opaque(String),
}

/// A rational exponent in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exponent {
    above: i64,
    below: i64,
}

impl Exponent {
    const LIMIT: i64 = 1_000_000;

    pub const ONE: Self = Self { above: 1, below: 1 };

    /// In lowest terms.
    pub fn new(above: i64, below: i64) -> Result<Self, Halt> {
        let divisor = gcd(above.unsigned_abs(), below.unsigned_abs()).max(1) as i64;
        let (above, below) = (above / divisor, below / divisor);
        if below == 0 || above.abs() > Self::LIMIT || below.abs() > Self::LIMIT {
            return Err(Halt::TooLarge);
        }
        Ok(Self { above: above * below.signum(), below: below.abs() })
    }

    pub fn add(self, other: Self) -> Result<Self, Halt> {
        Self::new(self.above * other.below + other.above * self.below, self.below * other.below)
    }

    pub fn times(self, other: Self) -> Result<Self, Halt> {
        Self::new(self.above * other.above, self.below * other.below)
    }

    pub fn is_zero(self) -> bool {
        self.above == 0
    }

    pub fn is_natural(self) -> bool {
        self.below == 1 && self.above >= 0
    }

    pub fn is_one(self) -> bool {
        self == Self::ONE
    }

    /// The whole part below, and the rest in [0, 1).
    fn split(self) -> (i64, Self) {
        let whole = self.above.div_euclid(self.below);
        (whole, Self { above: self.above.rem_euclid(self.below), below: self.below })
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Powers of different atoms, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monomial(Vec<(Atom, Exponent)>);

impl Monomial {
    pub fn one() -> Self {
        Self::default()
    }

    /// A power in normal form: what is rational in it comes out as a factor.
    pub fn power(atom: Atom, exponent: Exponent) -> Result<(Self, RBig), Halt> {
        let mut factor = RBig::ONE;
        let exponent = match &atom {
            Atom::Prime(prime) => {
                let (whole, rest) = exponent.split();
                let size = whole.unsigned_abs() as usize;
                if size * 64 > super::MAX_BITS {
                    return Err(Halt::TooLarge);
                }
                let power = UBig::from(*prime).pow(size);
                factor =
                    if whole < 0 { RBig::from_parts(1.into(), power) } else { RBig::from(power) };
                rest
            }
            Atom::Imaginary => {
                if exponent.below != 1 {
                    return Err(Halt::TooLarge);
                }
                let quarter = exponent.above.rem_euclid(4);
                if quarter >= 2 {
                    factor = RBig::from(-1);
                }
                Exponent { above: quarter % 2, below: 1 }
            }
            Atom::Symbol(_) | Atom::Opaque(_) => exponent,
        };
        let powers = if exponent.is_zero() { Vec::new() } else { vec![(atom, exponent)] };
        Ok((Self(powers), factor))
    }

    /// The product in normal form, and the rational factor that came out.
    pub fn times(&self, other: &Self) -> Result<(Self, RBig), Halt> {
        if self.0.is_empty() || other.0.is_empty() {
            let of = if self.0.is_empty() { other } else { self };
            return Ok((of.clone(), RBig::ONE));
        }
        let (mut product, mut factor) = (Vec::new(), RBig::ONE);
        let (mut left, mut right) = (self.0.as_slice(), other.0.as_slice());
        loop {
            match (left, right) {
                ([], rest) | (rest, []) => {
                    product.extend_from_slice(rest);
                    break;
                }
                ([a, more_left @ ..], [b, more_right @ ..]) => match a.0.cmp(&b.0) {
                    std::cmp::Ordering::Less => {
                        product.push(a.clone());
                        left = more_left;
                    }
                    std::cmp::Ordering::Greater => {
                        product.push(b.clone());
                        right = more_right;
                    }
                    std::cmp::Ordering::Equal => {
                        let (power, out) = Self::power(a.0.clone(), a.1.add(b.1)?)?;
                        product.extend(power.0);
                        factor *= out;
                        (left, right) = (more_left, more_right);
                    }
                },
            }
        }
        Ok((Self(product), factor))
    }

    /// All exponents times `exponent`.
    pub fn raised(&self, exponent: Exponent) -> Result<(Self, RBig), Halt> {
        let (mut product, mut factor) = (Vec::new(), RBig::ONE);
        for (atom, old) in &self.0 {
            let (power, out) = Self::power(atom.clone(), old.times(exponent)?)?;
            product.extend(power.0);
            factor *= out;
        }
        Ok((Self(product), factor))
    }

    pub fn atoms(&self) -> impl Iterator<Item = &(Atom, Exponent)> {
        self.0.iter()
    }

    /// Canonical text.
    pub fn write(&self, out: &mut String) {
        for (atom, Exponent { above, below }) in &self.0 {
            // Writing to a string does not fail.
            let _ = match atom {
                Atom::Prime(prime) => write!(out, "*{prime}^{above}/{below}"),
                Atom::Imaginary => write!(out, "*i"),
                Atom::Symbol(name) => write!(out, "*{name}^{above}/{below}"),
                Atom::Opaque(text) => write!(out, "*[{text}]^{above}/{below}"),
            };
        }
    }
}
