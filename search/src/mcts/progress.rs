//! Where a worker waits that finds every reachable leaf taken: the only lock of a search, off the
//! simulation path.

use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, PoisonError};

/// Counts finished expansions and wakes those who wait for one.
#[derive(Default)]
pub(super) struct Progress {
    /// Expansions that have finished, well or not.
    finished: AtomicU64,
    waiting: AtomicU64,
    stopped: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Progress {
    /// Read before a descent and handed to [`Progress::wait_beyond`] after it.
    pub(super) fn finished(&self) -> u64 {
        self.finished.load(Ordering::SeqCst)
    }

    /// One more expansion has finished. Takes the lock only when somebody waits.
    pub(super) fn finish_one(&self) {
        // SeqCst, here and in `wait_beyond`: of "count, then look for waiters" and "say that I
        // wait, then look at the count" one must see the other's first half, which no weaker
        // ordering promises.
        self.finished.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    /// Tells every worker to stop.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn stopped(&self) -> bool {
        // Relaxed: a hint to stop early; what it announces is read after the workers have been
        // joined.
        self.stopped.load(Ordering::Relaxed)
    }

    /// Returns when more than `seen` expansions have finished, or the search is stopped. The caller
    /// has met, since it read `seen`, a leaf that another was expanding, so there is one to wait
    /// for.
    pub(super) fn wait_beyond(&self, seen: u64) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.finished.load(Ordering::SeqCst) == seen && !self.stopped.load(Ordering::SeqCst) {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Between a waiter's look at the count and its sleep it holds the lock: taking it here
            // means that the waiter either sees the new count or is asleep and gets the call.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}
