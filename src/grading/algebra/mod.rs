//! Exact algebra: quotients of polynomials in letters, π, e, i and radicals of primes.
//!
//! Products of roots of different primes are linearly independent over the rationals (Besicovitch 1940), and π and e are
//! transcendental: two expanded expressions without opaque parts are equal if and only if all their coefficients are. (That π and e
//! are independent of each other is conjectured, and taken for granted.)

mod expand;
mod fraction;
mod monomial;
mod polynomial;

pub use expand::expand;
pub use fraction::Fraction;

/// Why an expression was not expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// It would take more time or memory than an answer is worth
    #[error("it is too large")]
    TooLarge,
    /// It has no value: 1/0
    #[error("it has no value")]
    Undefined,
}

/// Work that one comparison may still do, about one unit for a product of two machine words.
#[derive(Debug)]
pub struct Budget(u64);

impl Budget {
    /// Some ten milliseconds.
    pub fn new() -> Self {
        Self(200_000)
    }

    /// Takes `work` off.
    pub fn spend(&mut self, work: u64) -> Result<(), Halt> {
        match self.0.checked_sub(work) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Halt::TooLarge)
            }
        }
    }
}

/// Bits of a coefficient at most.
const MAX_BITS: usize = 1 << 14;
/// Terms of a polynomial at most.
const MAX_TERMS: usize = 2000;
