//! The one place from which this crate takes atomics and locks, so that a model checker's can be
//! put in their stead.

#[cfg(not(espalier_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(espalier_loom)]
pub(crate) use self::model::OnceLock;
#[cfg(espalier_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(espalier_loom)]
pub(crate) use std::sync::PoisonError;

#[cfg(espalier_loom)]
mod model {
    use super::{AtomicBool, Mutex, Ordering};

    /// The standard cell with the checker's atomics around it: the checker has none of its own. As there, `get` does
    /// not wait and the first `get_or_init` runs while others that need the value wait.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        ready: AtomicBool,
        writer: Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                ready: AtomicBool::new(false),
                writer: Mutex::new(()),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.ready.load(Ordering::Acquire).then(|| self.value.get()).flatten()
        }

        pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
            self.value.get_mut()
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            self.value.take()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _writing = self.writer.lock();
            let result = self.value.set(value);
            self.ready.store(true, Ordering::Release);
            result
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if self.get().is_none() {
                let _writing = self.writer.lock();
                self.value.get_or_init(make);
                self.ready.store(true, Ordering::Release);
            }
            self.value.get_or_init(|| unreachable!("it has just been set"))
        }

        pub(crate) fn into_inner(self) -> Option<T> {
            self.value.into_inner()
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            let cell = Self::new();
            _ = cell.set(value);
            cell
        }
    }
}
