//! Where a worker waits that finds every reachable leaf taken: the only lock of a search, off the
//! simulation path.

use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, PoisonError, fence};

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
        // Relaxed: an older count only makes a wait shorter.
        self.finished.load(Ordering::Relaxed)
    }

    /// One more expansion has finished. Takes the lock only when a thread waits.
    pub(super) fn finish_one(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// Tells every worker to stop.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
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
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Here and in `wake`: of "change, then look for waiters" and "say that I wait, then look for the change" one
        // must see the other's first half, which nothing weaker than two such fences promises.
        fence(Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.finished() == seen && !self.stopped() {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            // Between a waiter's look at the count and its sleep it holds the lock: taking it here
            // means that the waiter either sees the new count or is asleep and gets the call.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

#[cfg(all(test, espalier_loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn no_one_sleeps_through_a_finish_or_a_stop() {
        for stop in [false, true] {
            loom::model(move || {
                let progress = Arc::new(Progress::default());
                let seen = progress.finished();
                let other = progress.clone();
                let finisher =
                    loom::thread::spawn(
                        move || {
                            if stop { other.stop() } else { other.finish_one() }
                        },
                    );
                // A lost wake-up is a deadlock, which the checker reports.
                progress.wait_beyond(seen);
                finisher.join().unwrap();
            });
        }
    }
}
