//! The one place from which this crate takes atomics and locks, so that a model checker's can be
//! put in their stead.

#[cfg(not(espalier_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
