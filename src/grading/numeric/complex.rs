//! Complex arithmetic to 256 bits.

use astro_float_num::{BigFloat, Consts, Radix, RoundingMode};
use dashu_ratio::RBig;

const BITS: usize = 256;
/// Correct rounding would compute without end where a value lies on the edge; the last bits are not looked at.
const ROUND: RoundingMode = RoundingMode::None;
/// Exponents of two beyond which functions are not computed: their values would say nothing or take for ever.
const MAX_EXPONENT: i32 = 1 << 12;

/// A number.
#[derive(Debug, Clone)]
pub struct Complex {
    pub re: BigFloat,
    pub im: BigFloat,
}

impl Complex {
    pub fn real(re: BigFloat) -> Self {
        Self { re, im: BigFloat::from_word(0, BITS) }
    }

    pub fn is_real(&self) -> bool {
        self.im.is_zero()
    }

    pub fn is_zero(&self) -> bool {
        self.re.is_zero() && self.im.is_zero()
    }

    /// Finite, and no larger than what can still be computed with.
    pub fn checked(self) -> Option<Self> {
        let good = |part: &BigFloat| {
            part.is_zero() || part.exponent().is_some_and(|exponent| exponent.abs() <= MAX_EXPONENT)
        };
        (good(&self.re) && good(&self.im)).then_some(self)
    }
}

/// The operations, with the constants that they share.
pub struct Arithmetic {
    constants: Consts,
}

impl Arithmetic {
    /// `None` when there is no memory.
    pub fn new() -> Option<Self> {
        Consts::new().ok().map(|constants| Self { constants })
    }

    pub fn float(&self, value: f64) -> BigFloat {
        BigFloat::from_f64(value, BITS)
    }

    pub fn pi(&mut self) -> BigFloat {
        self.constants.pi(BITS, ROUND)
    }

    pub fn rational(&mut self, value: &RBig) -> BigFloat {
        let mut parse =
            |text: String| BigFloat::parse(&text, Radix::Dec, BITS, ROUND, &mut self.constants);
        let above = parse(value.numerator().to_string());
        above.div(&parse(value.denominator().to_string()), BITS, ROUND)
    }

    pub fn add(&self, left: &Complex, right: &Complex) -> Complex {
        Complex { re: left.re.add(&right.re, BITS, ROUND), im: left.im.add(&right.im, BITS, ROUND) }
    }

    pub fn mul(&self, left: &Complex, right: &Complex) -> Complex {
        let mul = |a: &BigFloat, b: &BigFloat| a.mul(b, BITS, ROUND);
        if left.is_real() && right.is_real() {
            return Complex::real(mul(&left.re, &right.re));
        }
        Complex {
            re: mul(&left.re, &right.re).sub(&mul(&left.im, &right.im), BITS, ROUND),
            im: mul(&left.re, &right.im).add(&mul(&left.im, &right.re), BITS, ROUND),
        }
    }

    /// `None` for a division by zero.
    pub fn div(&self, left: &Complex, right: &Complex) -> Option<Complex> {
        if right.is_zero() {
            return None;
        }
        if right.is_real() {
            return Some(Complex {
                re: left.re.div(&right.re, BITS, ROUND),
                im: left.im.div(&right.re, BITS, ROUND),
            });
        }
        let square = self.norm(right);
        let conjugate = Complex { re: right.re.clone(), im: right.im.neg() };
        let product = self.mul(left, &conjugate);
        Some(Complex {
            re: product.re.div(&square, BITS, ROUND),
            im: product.im.div(&square, BITS, ROUND),
        })
    }

    /// |z|²
    fn norm(&self, z: &Complex) -> BigFloat {
        let square = |part: &BigFloat| part.mul(part, BITS, ROUND);
        square(&z.re).add(&square(&z.im), BITS, ROUND)
    }

    pub fn abs(&self, z: &Complex) -> BigFloat {
        if z.is_real() { z.re.abs() } else { self.norm(z).sqrt(BITS, ROUND) }
    }

    /// `None` where the value would be too large or its angle mere noise.
    pub fn exp(&mut self, z: &Complex) -> Option<Complex> {
        let moderate = |part: &BigFloat| part.is_zero() || part.exponent().is_some_and(|e| e <= 13);
        if !moderate(&z.re) || !moderate(&z.im) {
            return None;
        }
        let size = z.re.exp(BITS, ROUND, &mut self.constants);
        if z.is_real() {
            return Some(Complex::real(size));
        }
        let cos = z.im.cos(BITS, ROUND, &mut self.constants);
        let sin = z.im.sin(BITS, ROUND, &mut self.constants);
        Some(Complex { re: size.mul(&cos, BITS, ROUND), im: size.mul(&sin, BITS, ROUND) })
    }

    /// The principal logarithm; `None` at zero.
    pub fn ln(&mut self, z: &Complex) -> Option<Complex> {
        if z.is_zero() {
            return None;
        }
        let size = self.abs(z).ln(BITS, ROUND, &mut self.constants);
        let angle = self.angle(z);
        Some(Complex { re: size, im: angle })
    }

    /// The angle in (−π, π].
    fn angle(&mut self, z: &Complex) -> BigFloat {
        let pi = self.pi();
        let two = self.float(2.0);
        if z.re.is_zero() {
            let half = pi.div(&two, BITS, ROUND);
            return if z.im.is_negative() { half.neg() } else { half };
        }
        if z.is_real() {
            return if z.re.is_negative() { pi } else { self.float(0.0) };
        }
        let slope = z.im.div(&z.re, BITS, ROUND).atan(BITS, ROUND, &mut self.constants);
        match (z.re.is_negative(), z.im.is_negative()) {
            (false, _) => slope,
            (true, false) => slope.add(&pi, BITS, ROUND),
            (true, true) => slope.sub(&pi, BITS, ROUND),
        }
    }

    /// A function of a real number; `None` where the value would be mere noise.
    pub fn real(
        &mut self,
        x: &BigFloat,
        function: fn(&BigFloat, usize, RoundingMode, &mut Consts) -> BigFloat,
    ) -> Option<BigFloat> {
        let moderate = x.is_zero() || x.exponent().is_some_and(|exponent| exponent <= 40);
        let value = moderate.then(|| function(x, BITS, ROUND, &mut self.constants))?;
        (!value.is_nan() && !value.is_inf()).then_some(value)
    }

    /// z^n by squaring.
    pub fn integer_power(&self, z: &Complex, n: u32) -> Option<Complex> {
        let mut power = Complex::real(self.float(1.0));
        let (mut square, mut left) = (z.clone(), n);
        while left > 0 {
            if left & 1 == 1 {
                power = self.mul(&power, &square).checked()?;
            }
            left >>= 1;
            if left > 0 {
                square = self.mul(&square, &square).checked()?;
            }
        }
        Some(power)
    }

    /// The binary exponent of |a − b| / max(|a|, |b|, 2⁻⁶⁴); `None` when there is no difference at all.
    pub fn relative_difference(&self, a: &Complex, b: &Complex) -> Option<i32> {
        let minus = Complex { re: b.re.neg(), im: b.im.neg() };
        let difference = self.abs(&self.add(a, &minus));
        if difference.is_zero() {
            return None;
        }
        let exponent =
            |x: &BigFloat| if x.is_zero() { i32::MIN } else { x.exponent().unwrap_or(0) };
        let size = exponent(&self.abs(a)).max(exponent(&self.abs(b))).max(-64);
        Some(exponent(&difference).saturating_sub(size))
    }
}
