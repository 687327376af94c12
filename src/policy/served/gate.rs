//! Who may send now: a bound on requests in flight, a rate, and the pauses that a server asks for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use espalier_search::Cancel;

/// Lets requests through; shared by all threads that speak to one server.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    /// Least time between two beginnings.
    interval: Duration,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// No request begins before.
    next: Instant,
}

/// A request on its way; dropping it makes room for the next.
#[derive(Debug)]
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    /// `capacity` requests at once (0 reads as 1), `per_minute` begun in a minute (0 sets no bound).
    pub(super) fn new(capacity: usize, per_minute: u32) -> Self {
        let interval = Duration::from_secs(60).checked_div(per_minute).unwrap_or(Duration::ZERO);
        let state = State { in_flight: 0, next: Instant::now() };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity: capacity.max(1),
            interval,
        }
    }

    /// Waits until a request may begin; `None` when it is cancelled before.
    pub(super) fn enter(&self, cancel: &Cancel) -> Option<Pass<'_>> {
        let mut state = self.state();
        while !cancel.is_cancelled() {
            let now = Instant::now();
            let early = state.next.saturating_duration_since(now);
            let free = state.in_flight < self.capacity;
            if free && early.is_zero() {
                state.in_flight += 1;
                state.next = now + self.interval;
                return Some(Pass(self));
            }
            let patience = cancel.patience();
            let wait = if free { early.min(patience) } else { patience };
            let woken = self.changed.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// Holds every request back for `pause` from now.
    pub(super) fn pause(&self, pause: Duration) {
        let mut state = self.state();
        state.next = state.next.max(Instant::now() + pause);
    }

    /// Counters are whole whoever panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_the_capacity_is_inside() {
        let gate = Gate::new(3, 0);
        let (inside, most, passed) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _pass = gate.enter(&Cancel::new()).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(passed.into_inner(), 16 * 50);
    }

    #[test]
    fn beginnings_keep_their_distance() {
        let gate = Gate::new(8, 6000);
        let start = Instant::now();
        for _ in 0..5 {
            drop(gate.enter(&Cancel::new()));
        }
        assert!(start.elapsed() >= Duration::from_millis(40));
        let start = Instant::now();
        gate.pause(Duration::from_millis(30));
        drop(gate.enter(&Cancel::new()));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn who_is_cancelled_waits_no_longer_and_takes_no_place() {
        let full = Gate::new(1, 0);
        let _pass = full.enter(&Cancel::new());
        let paused = Gate::new(1, 0);
        paused.pause(Duration::from_secs(3600));
        for gate in [&full, &paused] {
            let cancel = Cancel::new();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| gate.enter(&cancel).is_none());
                cancel.cancel();
                assert!(waiting.join().unwrap());
            });
        }
        assert_eq!((full.state().in_flight, paused.state().in_flight), (1, 0));
    }
}
