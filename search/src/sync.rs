//! The one place from which this crate takes atomics and locks, so that a model checker's can be
//! put in their stead.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
