//! Limits that the kernel keeps.

use std::fs;

use anyhow::{Context, Result};
#[cfg(feature = "cpython")]
use nix::sys::personality::{self, Persona};
use nix::sys::resource::{Resource, setrlimit};

/// Lets this process take `bytes` more of address space than it has now, and leave no core file.
pub(in super::super) fn limit_memory(bytes: u64) -> Result<()> {
    let pages = fs::read_to_string("/proc/self/statm").context("cannot read /proc/self/statm")?;
    let pages = pages.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
    let now = pages.context("/proc/self/statm tells no size")? * u64::try_from(page)?;
    setrlimit(Resource::RLIMIT_AS, now + bytes, now + bytes).context("setrlimit (memory)")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("setrlimit (core)")
}

#[cfg(feature = "cpython")]
pub(super) fn limit_processes(most: u64) -> Result<()> {
    setrlimit(Resource::RLIMIT_NPROC, most, most).context("setrlimit (processes)")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("setrlimit (core)")
}

/// Programs are loaded at the same addresses every time: sets of objects are walked in the same order.
#[cfg(feature = "cpython")]
pub(super) fn same_addresses() {
    if let Ok(persona) = personality::get() {
        // Not everywhere allowed, and nothing depends on it but repeatability.
        _ = personality::set(persona | Persona::ADDR_NO_RANDOMIZE);
    }
}
