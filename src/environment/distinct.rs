//! Problems that differ from one another.

use std::collections::HashSet;
use std::hash::Hash;

/// Fruitless tries in a row after which the space counts as used up.
const PATIENCE: usize = 100_000;

/// The first `count` different things that are drawn; `draw` may come back with nothing.
///
/// # Errors
/// When nothing new is found for long, naming the bounds within which it was sought.
pub(super) fn distinct<T: Clone + Eq + Hash>(
    count: usize,
    bounds: &str,
    mut draw: impl FnMut() -> Option<T>,
) -> Result<Vec<T>, String> {
    let mut seen = HashSet::with_capacity(count);
    let mut found = Vec::with_capacity(count);
    let mut fruitless = 0;
    while found.len() < count {
        if fruitless == PATIENCE {
            return Err(format!(
                "only {} different problems were found within {bounds}; ask for fewer or widen the bounds",
                found.len()
            ));
        }
        fruitless += 1;
        if let Some(drawn) = draw()
            && seen.insert(drawn.clone())
        {
            found.push(drawn);
            fruitless = 0;
        }
    }
    Ok(found)
}
