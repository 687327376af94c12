//! Work on several threads, where libtorch's own would meet at the end of every operation.

/// Does each task on a thread of its own, the first on the caller's, and gives the results in the order of the tasks.
///
/// The threads stay: when the last thread of an arena ends, jemalloc gives all of the arena's memory back, and the next step would ask
/// for it again.
pub(crate) fn side_by_side<T: Send, R: Send>(
    tasks: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let tasks: Vec<T> = tasks.into_iter().collect();
    let mut results: Vec<Option<R>> = tasks.iter().map(|_| None).collect();
    let run = &run;
    rayon::in_place_scope(|scope| {
        let mut tasks = tasks.into_iter().zip(&mut results);
        let own = tasks.next();
        for (task, result) in tasks {
            scope.spawn(move |_| *result = Some(run(task)));
        }
        if let Some((task, result)) = own {
            *result = Some(run(task));
        }
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::side_by_side;

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let slow_first = |task: u64| {
            std::thread::sleep(std::time::Duration::from_millis(20 - 5 * task));
            task * task
        };
        assert_eq!(side_by_side(0..4, slow_first), [0, 1, 4, 9]);
        assert!(side_by_side(0..0, slow_first).is_empty());
    }
}
