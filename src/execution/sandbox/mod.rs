//! Limits on foreign code: of memory and system calls for the embedded interpreter, and a whole sandbox for CPython.

#[cfg(feature = "cpython")]
mod enter;
mod limits;
#[cfg(feature = "cpython")]
mod python_calls;
#[cfg(feature = "cpython")]
mod root;
mod system_calls;

#[cfg(feature = "cpython")]
pub(super) use enter::Sandbox;
#[cfg(feature = "cpython")]
pub use enter::enter;
pub(super) use limits::limit_memory;
pub(super) use system_calls::deny_all_but_computing;
