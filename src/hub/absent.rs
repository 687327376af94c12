//! Stands for the Hub in a build without the feature `hub`, and refuses it.

use anyhow::{Result, anyhow};

use super::{Parcel, Sent, Target};
use crate::usage::UsageError;

/// Nobody's: this build sends nothing.
#[derive(Debug)]
pub enum Hub {}

impl Hub {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn from_environment() -> Result<Self> {
        let fault = "pushing needs a program that was built with the feature `hub`";
        Err(UsageError(anyhow!(fault)).into())
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn send(&self, _: &Parcel, _: Target<'_>) -> Result<Sent> {
        match *self {}
    }
}
