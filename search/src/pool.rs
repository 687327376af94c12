//! Many problems side by side: each is one task, and tasks never wait for each other.

use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, PoisonError};

/// Calls `work` once for each index below `count` on up to `concurrency` threads (0 reads as 1).
/// Each thread takes the next index when it is free, so one slow problem holds up nobody else.
///
/// # Errors
/// The first error that `work` returns. Indices already taken are finished, no others are begun; a
/// caller for whom one failed problem is not fatal records it and returns `Ok`.
///
/// # Panics
/// When `work` panics, after the other threads have finished what they had taken.
pub fn for_each_index<E: Send>(
    count: usize,
    concurrency: usize,
    work: impl Fn(usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let first_error = Mutex::new(None);
    let take_until_done = || {
        let guard = StopOnPanic(&stop);
        // Relaxed, both: indices need only differ, and `stop` announces nothing but itself.
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            if let Err(error) = work(index) {
                stop.store(true, Ordering::Relaxed);
                first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
        std::mem::forget(guard);
    };
    std::thread::scope(|scope| {
        for _ in 1..concurrency.min(count) {
            scope.spawn(take_until_done);
        }
        take_until_done();
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Keeps the other threads from beginning more when one unwinds.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn counters(count: usize) -> Vec<AtomicUsize> {
        std::iter::repeat_with(AtomicUsize::default).take(count).collect()
    }

    #[test]
    fn every_index_is_worked_once() {
        for concurrency in [0, 1, 3, 200] {
            let calls = counters(100);
            let result: Result<(), ()> = for_each_index(100, concurrency, |index| {
                calls[index].fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            assert!(result.is_ok());
            assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        }
        assert_eq!(for_each_index(0, 4, |_| Err("called")), Ok(()));
    }

    #[test]
    fn an_error_stops_what_has_not_begun() {
        let begun = AtomicUsize::new(0);
        let result = for_each_index(1000, 1, |index| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 3 { Err(index) } else { Ok(()) }
        });
        assert_eq!(result, Err(3));
        assert_eq!(begun.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_panic_comes_out_and_ends_the_others() {
        let task = |index| {
            if index == 0 { panic!("task") } else { Ok::<(), ()>(()) }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| for_each_index(1000, 4, task)));
        assert!(outcome.is_err());
    }
}
