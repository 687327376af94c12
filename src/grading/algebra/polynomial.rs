//! Sums of products, with exact coefficients.

use std::collections::BTreeMap;
use std::fmt::Write;

use dashu_base::BitTest;
use dashu_ratio::RBig;

use super::monomial::{Atom, Exponent, Monomial};
use super::{Budget, Halt, MAX_BITS, MAX_TERMS};

/// A sum; no coefficient in it is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polynomial(BTreeMap<Monomial, RBig>);

/// Numerator's and denominator's length together.
pub fn bits(number: &RBig) -> usize {
    number.numerator().bit_len() + number.denominator().bit_len()
}

impl Polynomial {
    pub fn constant(value: RBig) -> Self {
        Self::term(Monomial::one(), value)
    }

    pub fn term(monomial: Monomial, coefficient: RBig) -> Self {
        let mut terms = BTreeMap::new();
        if !coefficient.is_zero() {
            terms.insert(monomial, coefficient);
        }
        Self(terms)
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_one(&self) -> bool {
        self.rational().is_some_and(|value| value.is_one())
    }

    /// The only term, where there is just one.
    pub fn single(&self) -> Option<(&Monomial, &RBig)> {
        if self.0.len() == 1 { self.0.iter().next() } else { None }
    }

    /// The value, where it is a rational number.
    pub fn rational(&self) -> Option<RBig> {
        match self.single() {
            None => self.is_zero().then_some(RBig::ZERO),
            Some((monomial, value)) => (*monomial == Monomial::one()).then(|| value.clone()),
        }
    }

    /// Whether a part of it has no exact rules, so that different forms may be equal values.
    pub fn is_opaque(&self) -> bool {
        let opaque = |(monomial, _): (&Monomial, &RBig)| {
            monomial.atoms().any(|(atom, _)| matches!(atom, Atom::Opaque(_)))
        };
        self.0.iter().any(opaque)
    }

    /// Whether only letters to natural powers stand in it.
    pub fn is_plain(&self) -> bool {
        let natural = |(atom, exponent): &(Atom, Exponent)| match atom {
            Atom::Symbol(_) => exponent.is_natural(),
            Atom::Prime(_) | Atom::Imaginary => true,
            Atom::Opaque(_) => false,
        };
        self.0.keys().all(|monomial| monomial.atoms().all(natural))
    }

    fn insert(&mut self, monomial: Monomial, value: RBig) -> Result<(), Halt> {
        use std::collections::btree_map::Entry;
        if bits(&value) > MAX_BITS {
            return Err(Halt::TooLarge);
        }
        match self.0.entry(monomial) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += value;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
        if self.0.len() > MAX_TERMS { Err(Halt::TooLarge) } else { Ok(()) }
    }

    pub fn plus(mut self, other: &Self, budget: &mut Budget) -> Result<Self, Halt> {
        for (monomial, value) in &other.0 {
            budget.spend(1 + bits(value) as u64 / 16)?;
            self.insert(monomial.clone(), value.clone())?;
        }
        Ok(self)
    }

    pub fn times(&self, other: &Self, budget: &mut Budget) -> Result<Self, Halt> {
        let mut product = Self::default();
        for (left, a) in &self.0 {
            for (right, b) in &other.0 {
                let words = 1 + (bits(a) + bits(b)) as u64 / 64;
                budget.spend(4 + words * words)?;
                let (monomial, factor) = left.times(right)?;
                product.insert(monomial, a * b * factor)?;
            }
        }
        Ok(product)
    }

    /// Divided by its first coefficient: the same for all multiples.
    pub fn monic(&self) -> Self {
        let Some(leading) = self.0.values().next().cloned() else { return Self::default() };
        Self(self.0.iter().map(|(monomial, value)| (monomial.clone(), value / &leading)).collect())
    }

    /// The sign of the first coefficient.
    pub fn leads_negative(&self) -> bool {
        self.0.values().next().is_some_and(|leading| *leading < RBig::ZERO)
    }

    /// Canonical text.
    pub fn write(&self, out: &mut String) {
        for (monomial, value) in &self.0 {
            // Writing to a string does not fail.
            let _ = write!(out, "+{value}");
            monomial.write(out);
        }
    }
}
