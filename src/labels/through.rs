//! Which finished paths of a problem's trees go through a step.

use std::collections::HashMap;

use espalier_search::LabelledSolution;

/// The nodes of the paths, numbered from 0: paths that begin with the same steps share those nodes.
pub(super) struct Nodes {
    /// Of each path, the node of each of its steps.
    of_paths: Vec<Vec<usize>>,
    /// How many there are.
    pub(super) count: usize,
}

impl Nodes {
    pub(super) fn of(paths: &[LabelledSolution]) -> Self {
        let mut numbers: HashMap<(Option<usize>, &str), usize> = HashMap::new();
        let mut of_paths = Vec::with_capacity(paths.len());
        for path in paths {
            let mut nodes: Vec<usize> = Vec::with_capacity(path.steps.len());
            for step in &path.steps {
                let next = numbers.len();
                let key = (nodes.last().copied(), step.action.as_str());
                nodes.push(*numbers.entry(key).or_insert(next));
            }
            of_paths.push(nodes);
        }
        Self { count: numbers.len(), of_paths }
    }

    /// Of each path's steps, whether the step's node is in no path before it.
    pub(super) fn first_visits(&self) -> Vec<Vec<bool>> {
        let mut next = 0;
        let mut first = |&node: &usize| {
            let first = node == next;
            next += usize::from(first);
            first
        };
        self.of_paths.iter().map(|nodes| nodes.iter().map(&mut first).collect()).collect()
    }

    /// Folds the rewards of the paths through each node, and hands the result to each step there.
    pub(super) fn fold<T: Clone>(
        &self,
        paths: &mut [LabelledSolution],
        start: T,
        add: impl Fn(&mut T, f64),
        label: impl Fn(&T) -> f64,
    ) {
        let mut through = vec![start; self.count];
        for (path, nodes) in paths.iter().zip(&self.of_paths) {
            nodes.iter().for_each(|&node| add(&mut through[node], path.reward));
        }
        for (path, nodes) in paths.iter_mut().zip(&self.of_paths) {
            for (step, &node) in path.steps.iter_mut().zip(nodes) {
                step.q = label(&through[node]);
            }
        }
    }
}
