//! Checks of settings' ranges, with one message for each.

use crate::error::{Error, Result};

/// A setting by its name in the recipe, and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<T>(pub &'static str, pub T);

impl Setting<f64> {
    /// Above 0.
    pub fn positive(self) -> Result<()> {
        self.require(self.1.is_finite() && self.1 > 0.0, "a positive number")
    }

    /// 0 or above.
    pub fn not_negative(self) -> Result<()> {
        self.require(self.1.is_finite() && self.1 >= 0.0, "a number that is not negative")
    }

    /// In [0, 1).
    pub fn below_one(self) -> Result<()> {
        self.require((0.0..1.0).contains(&self.1), "in [0, 1)")
    }

    /// In [0, 1].
    pub fn share(self) -> Result<()> {
        self.require((0.0..=1.0).contains(&self.1), "in [0, 1]")
    }
}

impl Setting<usize> {
    /// Above 0.
    pub fn at_least_one(self) -> Result<()> {
        self.require(self.1 > 0, "at least 1")
    }
}

impl<T: std::fmt::Display> Setting<T> {
    /// Any other range, in words that follow "must be".
    pub fn require(self, good: bool, range: &str) -> Result<()> {
        let Self(field, value) = self;
        let message = || format!("must be {range}, is {value}");
        if good { Ok(()) } else { Err(Error::Setting { field, message: message() }) }
    }
}
