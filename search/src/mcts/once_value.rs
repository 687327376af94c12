//! A number that is set once.

use crate::sync::{AtomicU64, Ordering};

/// The bits of no value: values are never NaN.
const UNSET: u64 = f64::NAN.to_bits();

/// A value that the first to set it decides; half of what an [`std::sync::OnceLock`] of it takes. It announces nothing but itself.
pub(super) struct OnceValue(AtomicU64);

impl OnceValue {
    #[inline]
    pub(super) fn new(value: Option<f64>) -> Self {
        Self(AtomicU64::new(value.map_or(UNSET, f64::to_bits)))
    }

    #[inline]
    pub(super) fn get(&self) -> Option<f64> {
        // Relaxed, here and below: nothing else is read on its account.
        let value = f64::from_bits(self.0.load(Ordering::Relaxed));
        (!value.is_nan()).then_some(value)
    }

    /// Changes nothing where it is set.
    #[inline]
    pub(super) fn set(&self, value: f64) {
        let order = Ordering::Relaxed;
        _ = self.0.compare_exchange(UNSET, value.to_bits(), order, order);
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let value = OnceValue::new(None);
        assert_eq!(value.get(), None);
        value.set(-1.0);
        value.set(0.5);
        assert_eq!(value.get(), Some(-1.0));
        assert_eq!(OnceValue::new(Some(0.25)).get(), Some(0.25));
    }
}
