//! How evaluations under way are called off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{AtomicBool, Ordering};

/// Longest sleep of a thread that waits for something else and must notice a cancellation.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Says whether work is still wanted: once it is cancelled, by hand or because its deadline has passed, it stays so.
///
/// Clones are the same handle. A [child](Cancel::child) is cancelled with its parent, and alone without touching it: a
/// command may own a handle, each of its searches a child, and an evaluator a child of that for each call.
///
/// No thread is interrupted: a working thread checks from time to time ([`Cancel::is_cancelled`]), and a thread that waits for
/// something else wakes up to check ([`Cancel::patience`]).
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
    parent: Option<Cancel>,
}

impl Cancel {
    /// A handle that nothing has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that is cancelled by itself, with this one, or when `deadline` has passed.
    #[must_use]
    pub fn child(&self, deadline: Option<Instant>) -> Self {
        let parent = Some(self.clone());
        Self(Arc::new(State { cancelled: AtomicBool::new(false), deadline, parent }))
    }

    /// Cancels this handle and all below it.
    pub fn cancel(&self) {
        // Release: who sees the cancellation sees what led to it.
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Cancels this handle when the guard is dropped, also by a panic, unless it is disarmed.
    #[must_use]
    pub fn cancel_on_drop(&self) -> CancelOnDrop<'_> {
        CancelOnDrop(self)
    }

    /// Whether the work is no longer wanted.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // Acquire: pairs with the Release in `cancel`.
        let own = |state: &State| {
            state.cancelled.load(Ordering::Acquire)
                || state.deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        self.lineage().any(own)
    }

    /// How long a thread that waits for something else may sleep before it looks again: up to the next deadline, and never
    /// longer than 50 ms.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let deadlines = self.lineage().filter_map(|state| state.deadline);
        let left = deadlines.min().map(|first| first.saturating_duration_since(Instant::now()));
        left.map_or(LONGEST_SLEEP, |left| left.min(LONGEST_SLEEP))
    }

    /// This handle's state, then its parent's, and so on.
    fn lineage(&self) -> impl Iterator<Item = &State> {
        std::iter::successors(Some(&*self.0), |state| {
            state.parent.as_ref().map(|parent| &*parent.0)
        })
    }
}

/// Cancels a handle when it is dropped ([`Cancel::cancel_on_drop`]).
#[derive(Debug)]
pub struct CancelOnDrop<'a>(&'a Cancel);

impl CancelOnDrop<'_> {
    /// Leaves the handle as it is.
    pub fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_cancellation_goes_down_and_not_up() {
        let root = Cancel::new();
        let (left, right) = (root.child(None), root.child(None));
        let leaf = left.child(None);
        left.clone().cancel();
        let states = [&root, &left, &right, &leaf].map(Cancel::is_cancelled);
        assert_eq!(states, [false, true, false, true]);
        root.cancel();
        assert!(right.is_cancelled());
    }

    #[test]
    fn a_deadline_that_has_passed_cancels_and_one_to_come_wakes() {
        let now = Instant::now();
        let root = Cancel::new();
        assert_eq!(root.patience(), LONGEST_SLEEP);
        let far = root.child(now.checked_add(Duration::from_secs(3600)));
        assert!(!far.is_cancelled() && far.patience() == LONGEST_SLEEP);
        let passed = far.child(Some(now));
        // A later deadline further down changes nothing.
        let below = passed.child(now.checked_add(Duration::from_secs(7200)));
        for handle in [passed, below] {
            assert!(handle.is_cancelled());
            assert_eq!(handle.patience(), Duration::ZERO);
        }
        assert!(!far.is_cancelled());
    }

    #[test]
    fn a_guard_cancels_on_a_panic_and_not_when_it_is_disarmed() {
        let cancel = Cancel::new();
        cancel.cancel_on_drop().disarm();
        assert!(!cancel.is_cancelled());
        let panics = || {
            let _guard = cancel.cancel_on_drop();
            panic!("on the way")
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(cancel.is_cancelled());
    }
}
