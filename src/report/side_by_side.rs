//! Two finished trees of one problem, their common steps on common lines.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use espalier_search::{NodeRecord, Tag, TreeRecord};

use super::one_line::one_line;
use super::outline::{ABSENT_VALUE, OutlineFilter, STEP_WIDTH, best_tags, ending, header_of};

/// A node of one tree or of both.
type Pair<'a> = [Option<(Tag, &'a NodeRecord)>; 2];

/// Two trees of one problem.
#[derive(Debug)]
pub struct SideBySide<'a> {
    trees: [&'a TreeRecord; 2],
    /// Each node before its children, with its depth.
    nodes: Vec<(usize, Pair<'a>)>,
    /// Tags of each tree's best path.
    best: [HashSet<Tag>; 2],
}

impl<'a> SideBySide<'a> {
    /// Lays two trees side by side. A node is shown where one of the trees shows it through the filter.
    #[must_use]
    pub fn new(trees: [&'a TreeRecord; 2], filter: OutlineFilter) -> Self {
        let root = Tag::const_new(TreeRecord::ROOT);
        let roots = trees.map(|tree| tree.root().map(|node| (root.clone(), node)));
        let (mut nodes, mut open) = (Vec::new(), vec![(0, roots)]);
        while let Some((depth, pair)) = open.pop() {
            let too_deep = filter.depth.is_some_and(|deepest| depth > deepest);
            let visited = |(_, node): &(Tag, &NodeRecord)| node.visit_count >= filter.min_visits;
            if too_deep || !pair.iter().flatten().any(visited) {
                continue;
            }
            let children = children(trees, &pair);
            open.extend(children.into_iter().rev().map(|children| (depth + 1, children)));
            nodes.push((depth, pair));
        }
        Self { trees, nodes, best: trees.map(best_tags) }
    }

    /// Two headers and one line a node: the step, and P, N, Q and V in the first and the second tree; `–` where a tree has no such
    /// node, `*` before a tree's numbers where the node lies on its best path.
    #[must_use]
    pub fn text(&self, names: [&str; 2]) -> String {
        let mut text = String::new();
        for (index, (tree, name)) in self.trees.iter().zip(names).enumerate() {
            // Writing to a string cannot fail.
            _ = writeln!(text, "{}: {name}: {}", index + 1, header_of(tree));
        }
        let both = self.nodes.iter().filter(|(_, pair)| pair.iter().all(Option::is_some)).count();
        _ = write!(text, "{both} of {} nodes shown are in both trees", self.nodes.len());
        let steps: Vec<String> = self.nodes.iter().map(step).collect();
        let width = steps.iter().map(|step| step.chars().count()).max().unwrap_or(0);
        let columns = [0, 1].map(|side| self.column(side));
        let widths = columns
            .each_ref()
            .map(|cells| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0));
        for (index, step) in steps.iter().enumerate() {
            let [first, second] = columns.each_ref().map(|cells| &cells[index]);
            let [left, right] = widths;
            let pair = &self.nodes[index].1;
            let ending = pair.iter().flatten().map(|(_, node)| ending(node));
            let ending = ending.reduce(|one, other| if one.is_empty() { other } else { one });
            let line = format!(
                "{step:<width$} | {first:<left$} | {second:<right$} | {}",
                ending.unwrap_or_default()
            );
            _ = write!(text, "\n{}", line.trim_end());
        }
        text
    }

    /// One tree's numbers, a cell a node.
    fn column(&self, side: usize) -> Vec<String> {
        let there = || self.nodes.iter().filter_map(|(_, pair)| pair[side].as_ref());
        let most = there().map(|(_, node)| node.visit_count).max().unwrap_or(0);
        let digits = most.to_string().len();
        let cell = |(_, pair): &(usize, Pair<'a>)| {
            let Some((tag, node)) = &pair[side] else { return ABSENT_VALUE.to_owned() };
            let mark = if self.best[side].contains(tag) { '*' } else { ' ' };
            let value = node.value.map_or(ABSENT_VALUE.to_owned(), |value| format!("{value:+.3}"));
            let NodeRecord { prior, visit_count, q_value, .. } = node;
            format!("{mark} P {prior:.3}  N {visit_count:>digits$}  Q {q_value:+.3}  V {value:>6}")
        };
        self.nodes.iter().map(cell).collect()
    }
}

/// The step by depth; at the root the prompt.
fn step((depth, pair): &(usize, Pair<'_>)) -> String {
    let text = pair.iter().flatten().next().map_or("", |(_, node)| node.text());
    format!("{:indent$}{}", "", one_line(text.trim_end(), STEP_WIDTH), indent = 2 * depth)
}

/// The children of a node in both trees: those of the first in its order, each beside the one of the second that says the same, then
/// what the second has alone. Of siblings that say the same, the first is beside the first.
fn children<'a>(trees: [&'a TreeRecord; 2], pair: &Pair<'a>) -> Vec<Pair<'a>> {
    let [first, second] = [0, 1].map(|side| {
        let parent = pair[side].as_ref();
        let children = parent.map(|(tag, _)| trees[side].children(tag).collect::<Vec<_>>());
        children.unwrap_or_default()
    });
    let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, (_, node)) in second.iter().enumerate().rev() {
        by_text.entry(node.action().trim()).or_default().push(index);
    }
    let mut second: Vec<Option<(Tag, &NodeRecord)>> = second.into_iter().map(Some).collect();
    let mut pairs: Vec<Pair<'a>> = Vec::with_capacity(first.len());
    for child in first {
        let same = by_text.get_mut(child.1.action().trim()).and_then(Vec::pop);
        let other = same.and_then(|index| second[index].take());
        pairs.push([Some(child), other]);
    }
    pairs.extend(second.into_iter().flatten().map(|child| [None, Some(child)]));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these nodes: tag, step, visits, and a right answer or none.
    fn tree(nodes: &[(&str, &str, u64, bool)]) -> TreeRecord {
        let node = |&(tag, step, visits, answer): &(&str, &str, u64, bool)| {
            let action = if tag == TreeRecord::ROOT { "" } else { step };
            let terminal = answer.then(|| serde_json::json!({"answer": "8"}));
            let node = serde_json::json!({"action": action, "observation": "", "text": step, "value": null,
                "q_value": 0.1, "prior": 0.5, "visit_count": visits, "tokens": 1, "terminal": terminal,
                "correct": answer.then_some(true)});
            (tag.to_owned(), node)
        };
        let react: serde_json::Map<String, serde_json::Value> = nodes.iter().map(node).collect();
        let tree = serde_json::json!({"schema": "espalier.tree/2", "problem": "p", "question": "q",
            "answer": "8", "seed": 1, "simulations": 3, "stop": "exhausted", "ground_truth": true,
            "tokens": 9, "evaluations": 3, "collisions": 0, "react": react});
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn common_steps_are_on_common_lines() {
        let first = tree(&[
            ("0", "q", 9, false),
            ("0.0", "a", 6, false),
            ("0.0.0", "c", 2, true),
            ("0.1", "b", 2, false),
        ]);
        let second = tree(&[
            ("0", "q", 10, false),
            ("0.0", "d", 1, false),
            ("0.1", "a", 8, false),
            ("0.1.0", "c", 3, true),
            ("0.2", "a", 1, false),
        ]);
        let both = SideBySide::new([&first, &second], OutlineFilter::default());
        let text = both.text(["one", "two"]);
        let expected = [
            "1: one: problem p, seed 1: 3 simulations (exhausted), 4 nodes",
            "2: two: problem p, seed 1: 3 simulations (exhausted), 5 nodes",
            "3 of 6 nodes shown are in both trees",
            "q     | * P 0.500  N 9  Q +0.100  V      – | * P 0.500  N 10  Q +0.100  V      – |",
            "  a   | * P 0.500  N 6  Q +0.100  V      – | * P 0.500  N  8  Q +0.100  V      – |",
            "    c | * P 0.500  N 2  Q +0.100  V      – | * P 0.500  N  3  Q +0.100  V      – | answer 8 (right)",
            "  b   |   P 0.500  N 2  Q +0.100  V      – | – |",
            "  d   | – |   P 0.500  N  1  Q +0.100  V      – |",
            "  a   | – |   P 0.500  N  1  Q +0.100  V      – |",
        ];
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let found: Vec<Vec<String>> = text.lines().map(words).collect();
        assert_eq!(found, expected.map(words), "{text}");
        let filter = OutlineFilter { depth: Some(1), min_visits: 2 };
        assert_eq!(SideBySide::new([&first, &second], filter).nodes.len(), 3);
    }
}
