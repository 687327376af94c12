//! Cells of work of which those that an earlier process finished are not done again.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use espalier_search::{Cancel, for_each_index};

use crate::progress::Progress;

/// Does the cells that are absent, `concurrency` at a time, and returns all in their order with the wall time in seconds; no time where
/// part of them was there before.
///
/// # Errors
/// The first cell's, which cancels those under way, as `cancel` does.
pub fn fill<T: Send>(
    label: &str,
    mut cells: Vec<Option<T>>,
    concurrency: usize,
    cancel: &Cancel,
    work: impl Fn(usize, &Cancel) -> Result<T> + Sync,
) -> Result<(Vec<T>, Option<f64>)> {
    let missing: Vec<usize> = (0..cells.len()).filter(|&cell| cells[cell].is_none()).collect();
    let progress = Progress::new(label, cells.len(), cells.len() - missing.len());
    let found = Mutex::new(Vec::new());
    let start = Instant::now();
    for_each_index(missing.len(), concurrency, cancel, |index| -> Result<()> {
        let cell = missing[index];
        let done = work(cell, cancel)?;
        progress.advance(String::new);
        found.lock().unwrap_or_else(PoisonError::into_inner).push((cell, done));
        Ok(())
    })?;
    let seconds = (missing.len() == cells.len()).then(|| start.elapsed().as_secs_f64());
    for (cell, done) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        cells[cell] = Some(done);
    }
    Ok((cells.into_iter().flatten().collect(), seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absent_cells_are_done() {
        let worked = Mutex::new(Vec::new());
        let work = |cell: usize, _: &Cancel| {
            worked.lock().unwrap().push(cell);
            Ok(cell)
        };
        let (all, seconds) =
            fill("test", vec![None, Some(7), None], 1, &Cancel::new(), work).unwrap();
        assert_eq!((all, seconds), (vec![0, 7, 2], None));
        assert_eq!(*worked.lock().unwrap(), [0, 2]);
        let (all, seconds) = fill("test", vec![None; 3], 2, &Cancel::new(), work).unwrap();
        assert!(all == [0, 1, 2] && seconds.is_some());
    }
}
