//! Many problems side by side: each is one task, and tasks never wait for each other.

use crate::Cancel;
use crate::sync::{AtomicUsize, Mutex, Ordering, PoisonError};

/// Calls `work` once for each index below `count` on up to `concurrency` threads (0 reads as 1).
/// Each thread takes the next index when it is free, so one slow problem holds up no other.
///
/// The first error or panic cancels `cancel`, so that work under way that looks at it ends too. Once it is cancelled,
/// whoever did so, no other index is begun.
///
/// # Errors
/// The first error that `work` returns; a caller for whom one failed problem is not fatal records it and returns `Ok`.
///
/// # Panics
/// When `work` panics, after the other threads have finished what they had taken.
pub fn for_each_index<E: Send>(
    count: usize,
    concurrency: usize,
    cancel: &Cancel,
    work: impl Fn(usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let take_until_done = || {
        let ending = cancel.cancel_on_drop();
        while !cancel.is_cancelled() {
            // Relaxed: indices need only differ.
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            if let Err(error) = work(index) {
                // Before the others end, whose errors are only what follows from this one.
                first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
        }
        ending.disarm();
    };
    std::thread::scope(|scope| {
        for _ in 1..concurrency.min(count) {
            scope.spawn(take_until_done);
        }
        take_until_done();
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
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
            let cancel = Cancel::new();
            let result: Result<(), ()> = for_each_index(100, concurrency, &cancel, |index| {
                calls[index].fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            assert!(result.is_ok() && !cancel.is_cancelled());
            assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        }
        assert_eq!(for_each_index(0, 4, &Cancel::new(), |_| Err("called")), Ok(()));
    }

    #[test]
    fn an_error_stops_what_has_not_begun() {
        let begun = AtomicUsize::new(0);
        let result = for_each_index(1000, 1, &Cancel::new(), |index| {
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
        let cancel = Cancel::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| for_each_index(1000, 4, &cancel, task)));
        assert!(outcome.is_err() && cancel.is_cancelled());
    }

    #[test]
    fn the_first_error_cancels_what_is_under_way_and_is_the_one_that_is_told() {
        let cancel = Cancel::new();
        let begun = AtomicUsize::new(0);
        let result = for_each_index(1000, 3, &cancel, |index| {
            begun.fetch_add(1, Ordering::SeqCst);
            while index != 0 && !cancel.is_cancelled() {
                std::thread::yield_now();
            }
            while index == 0 && begun.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
            Err::<(), usize>(index)
        });
        assert_eq!((result, begun.into_inner()), (Err(0), 3));
    }

    #[test]
    fn nothing_is_begun_under_a_cancelled_handle() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(for_each_index(3, 2, &cancel, Err), Ok(()));
    }
}
