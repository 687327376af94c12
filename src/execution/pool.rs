//! As many workers as may run at once, started when they are first needed and again when they are lost.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ExecutorError;
use espalier_process::Worker;

type Start = dyn Fn() -> Result<Worker, ExecutorError> + Send + Sync;

/// Workers that calls take in turn.
pub(super) struct Pool {
    start: Box<Start>,
    slots: Mutex<Vec<Slot>>,
    freed: Condvar,
}

enum Slot {
    /// Not started yet, or lost.
    Empty,
    Idle(Worker),
    Taken,
}

impl Pool {
    /// Starts one worker, to see that it can be done.
    pub fn new(
        workers: usize,
        start: impl Fn() -> Result<Worker, ExecutorError> + Send + Sync + 'static,
    ) -> Result<Self, ExecutorError> {
        let mut slots = vec![Slot::Idle(start()?)];
        slots.resize_with(workers.max(1), || Slot::Empty);
        Ok(Self { start: Box::new(start), slots: Mutex::new(slots), freed: Condvar::new() })
    }

    /// Calls `work` with a worker and its index: `preferred` if that one is free, else any. `work` says whether the worker is
    /// still good.
    pub fn with<T>(
        &self,
        preferred: Option<usize>,
        work: impl FnOnce(usize, &mut Worker) -> (T, bool),
    ) -> Result<T, ExecutorError> {
        let mut lease = self.take(preferred);
        let mut worker = match lease.worker.take() {
            Some(worker) => worker,
            None => (self.start)()?,
        };
        let (result, good) = work(lease.index, &mut worker);
        lease.worker = good.then_some(worker);
        Ok(result)
    }

    fn take(&self, preferred: Option<usize>) -> Lease<'_> {
        let mut slots = self.slots();
        loop {
            let idle = |slot: &Slot| matches!(slot, Slot::Idle(_));
            let chosen = preferred
                .filter(|&index| slots.get(index).is_some_and(idle))
                .or_else(|| slots.iter().position(idle))
                .or_else(|| slots.iter().position(|slot| matches!(slot, Slot::Empty)));
            if let Some(index) = chosen {
                let worker = match std::mem::replace(&mut slots[index], Slot::Taken) {
                    Slot::Idle(worker) => Some(worker),
                    Slot::Empty | Slot::Taken => None,
                };
                return Lease { pool: self, index, worker };
            }
            slots = self.freed.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.slots().len()).finish_non_exhaustive()
    }
}

/// A taken slot, given back whatever happens.
struct Lease<'a> {
    pool: &'a Pool,
    index: usize,
    worker: Option<Worker>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let slot = self.worker.take().map_or(Slot::Empty, Slot::Idle);
        self.pool.slots()[self.index] = slot;
        self.pool.freed.notify_one();
    }
}
