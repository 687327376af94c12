//! SHA-256 of what is written.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// Hashes what it hands on.
#[derive(Debug)]
pub(super) struct Digesting<W> {
    pub(super) inner: W,
    pub(super) digest: Sha256,
}

impl<W> Digesting<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, digest: Sha256::new() }
    }

    /// SHA-256 of what was written so far.
    pub(super) fn hexadecimal(&self) -> String {
        hex(&self.digest.clone().finalize())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
