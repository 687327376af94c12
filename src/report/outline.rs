//! A finished tree as an indented outline.

use std::collections::HashSet;
use std::fmt::Write;

use espalier_search::{
    AnswerRule, NodeRecord, SimulationRecord, StopReason, Tag, Terminal, TreeRecord, best_path,
};

use super::one_line::{one_line, whole_line};

/// Characters of a node's step that are shown.
pub(super) const STEP_WIDTH: usize = 60;
/// Stands for a number that is not there.
pub(super) const ABSENT_VALUE: &str = "–";
/// Characters of an answer or a reason that are shown.
const NAME_WIDTH: usize = 40;

/// Which nodes an outline shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutlineFilter {
    /// Deepest node, in steps from the root; none shows all depths.
    pub depth: Option<usize>,
    /// Fewest visits of a node; below one with fewer nothing is shown either.
    pub min_visits: u64,
}

/// The nodes of a tree that a filter lets through, each before its children.
#[derive(Debug, Clone)]
pub struct Outline<'a> {
    tree: &'a TreeRecord,
    /// The nodes shown.
    pub nodes: Vec<OutlineNode<'a>>,
}

/// One node of an outline.
#[derive(Debug, Clone)]
pub struct OutlineNode<'a> {
    /// Its tag in [`TreeRecord::react`].
    pub tag: Tag,
    /// Steps from the root.
    pub depth: usize,
    /// What the tree holds of it.
    pub node: &'a NodeRecord,
    /// Whether it lies on the path that [`best_path`] takes by Q-value. The root does where there is an answer.
    pub best: bool,
}

impl<'a> Outline<'a> {
    /// The outline of a tree that [`check_tree`] finds no fault with; of another it shows what hangs from the root.
    #[must_use]
    pub fn new(tree: &'a TreeRecord, filter: OutlineFilter) -> Self {
        let best = best_tags(tree);
        let mut nodes = Vec::new();
        // A stack and no recursion: how deep a foreign tree is, its author decides.
        let mut open: Vec<(Tag, usize, &NodeRecord)> = Vec::new();
        open.extend(tree.root().map(|root| (Tag::const_new(TreeRecord::ROOT), 0, root)));
        while let Some((tag, depth, node)) = open.pop() {
            let too_deep = filter.depth.is_some_and(|deepest| depth > deepest);
            if too_deep || node.visit_count < filter.min_visits {
                continue;
            }
            let first = open.len();
            open.extend(tree.children(&tag).map(|(child, node)| (child, depth + 1, node)));
            open[first..].reverse();
            let best = best.contains(&tag);
            nodes.push(OutlineNode { tag, depth, node, best });
        }
        Self { tree, nodes }
    }

    /// A header and one line a node; `*` marks the best path.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.header();
        let left: Vec<String> = self.nodes.iter().map(OutlineNode::left).collect();
        let width = left.iter().map(|left| left.chars().count()).max().unwrap_or(0);
        let visits = self.nodes.iter().map(|shown| shown.node.visit_count).max().unwrap_or(0);
        let digits = visits.to_string().len();
        for (left, OutlineNode { node, .. }) in left.iter().zip(&self.nodes) {
            let NodeRecord { prior, visit_count, q_value, .. } = node;
            let value = node.value.map_or(ABSENT_VALUE.to_owned(), |value| format!("{value:+.3}"));
            let numbers = format!(
                "P {prior:.3}  N {visit_count:>digits$}  Q {q_value:+.3}  V {value:>6}  {}",
                ending(node)
            );
            // Writing to a string cannot fail.
            _ = write!(text, "\n{left:<width$}  {}", numbers.trim_end());
        }
        text
    }

    fn header(&self) -> String {
        let (all, shown) = (self.tree.react.len(), self.nodes.len());
        let hidden = if shown < all { format!(", {shown} shown") } else { String::new() };
        format!("{}{hidden}", header_of(self.tree))
    }
}

/// Why a search ended, in words.
pub(crate) fn stopped(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Simulations => "all simulations done",
        StopReason::Exhausted => "exhausted",
        StopReason::DeadEnd => "dead end",
        StopReason::Time => "time is up",
        StopReason::Tokens => "all tokens used",
        StopReason::Memory => "memory is full",
        StopReason::Solved => "solved",
        StopReason::Settled => "settled",
        StopReason::Cancelled => "cancelled",
    }
}

/// What a tree is, in a line.
pub(super) fn header_of(tree: &TreeRecord) -> String {
    let TreeRecord { problem, seed, simulations, stop, react, .. } = tree;
    let stop = stopped(*stop);
    let (problem, nodes) = (whole_line(problem), react.len());
    format!("problem {problem}, seed {seed}: {simulations} simulations ({stop}), {nodes} nodes")
}

/// The nodes of the path that [`best_path`] takes by Q-value, the root included; none where it leads to no answer.
pub(super) fn best_tags(tree: &TreeRecord) -> HashSet<Tag> {
    let mut best: HashSet<Tag> =
        best_path(tree, AnswerRule::QValue).into_iter().map(|(tag, _)| tag).collect();
    if !best.is_empty() {
        best.insert(Tag::const_new(TreeRecord::ROOT));
    }
    best
}

impl OutlineNode<'_> {
    /// The mark, the tag by depth, and the step; at the root the prompt.
    fn left(&self) -> String {
        let mark = if self.best { '*' } else { ' ' };
        let step = one_line(self.node.text(), STEP_WIDTH);
        format!("{mark} {:indent$}{}  {step}", "", self.tag, indent = 2 * self.depth)
    }
}

/// How the path ended at a node; where it did not, whether the step was cut off, else empty.
pub(crate) fn ending(node: &NodeRecord) -> String {
    match (&node.terminal, node.correct) {
        (None, _) if node.truncated => "cut off".to_owned(),
        (None, _) => String::new(),
        (Some(Terminal::Invalid(reason)), _) => {
            format!("invalid: {}", one_line(reason, NAME_WIDTH))
        }
        (Some(Terminal::Answer(answer)), correct) => {
            let verdict = match correct {
                Some(true) => "right",
                Some(false) => "wrong",
                None if node.reward.is_some() => "undecided",
                None => "ungraded",
            };
            // Of an answer that is right or wrong, and nothing between, the verdict says it all.
            let partial = node.reward.filter(|reward| reward.abs() != 1.0);
            let reward = partial.map(|reward| format!(", reward {reward:+.3}")).unwrap_or_default();
            format!("answer {} ({verdict}{reward})", one_line(answer, NAME_WIDTH))
        }
    }
}

/// Whether every node of a tree hangs from the root, its elder siblings there.
///
/// # Errors
/// Names the first node that does not. No search writes such a tree.
pub fn check_tree(tree: &TreeRecord) -> Result<(), String> {
    if tree.root().is_none() {
        return Err(format!("the tree of problem {:?} has no root", tree.problem));
    }
    for tag in tree.react.keys().filter(|tag| *tag != TreeRecord::ROOT) {
        let hangs = |(parent, index): (&str, &str)| {
            let number: usize = index.parse().ok()?;
            let elder = number.checked_sub(1).map(|elder| TreeRecord::child_tag(parent, elder));
            let there = tree.react.contains_key(parent)
                && elder.is_none_or(|elder| tree.react.contains_key(&elder));
            // Other spellings of a number, as `01`, are tags of no node.
            (there && number.to_string() == index).then_some(())
        };
        if tag.rsplit_once('.').and_then(hangs).is_none() {
            return Err(format!("node {tag:?} lacks its parent or an elder sibling"));
        }
    }
    check_order(tree)
}

/// Every simulation expands a node that is there, which has as many children at the least.
fn check_order(tree: &TreeRecord) -> Result<(), String> {
    for (index, simulation) in tree.order.iter().flatten().enumerate() {
        let SimulationRecord { node, children, .. } = simulation;
        let last = children.checked_sub(1).map(|last| TreeRecord::child_tag(node, last));
        if !tree.react.contains_key(last.as_ref().unwrap_or(node)) {
            let number = index + 1;
            return Err(format!(
                "simulation {number} gives node {node:?} {children} children, which are not there"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these nodes: tag, visits, Q, and a right answer or none.
    fn tree(nodes: &[(&str, u64, f64, bool)]) -> TreeRecord {
        let node = |&(tag, visits, q, answer): &(&str, u64, f64, bool)| {
            let terminal = answer.then(|| serde_json::json!({"answer": "8"}));
            let node = serde_json::json!({"action": tag, "observation": "\n", "text": format!("{tag}\n"),
                "value": null, "q_value": q, "prior": 0.5, "visit_count": visits, "tokens": 1,
                "terminal": terminal, "correct": answer.then_some(true)});
            (tag.to_owned(), node)
        };
        let react: serde_json::Map<String, serde_json::Value> = nodes.iter().map(node).collect();
        let tree = serde_json::json!({"schema": "espalier.tree/1", "problem": "p", "question": "q",
            "answer": "8", "seed": 1, "simulations": 3, "stop": "exhausted", "ground_truth": true,
            "tokens": 9, "evaluations": 3, "collisions": 0, "react": react});
        serde_json::from_value(tree).unwrap()
    }

    const NODES: [(&str, u64, f64, bool); 5] = [
        ("0", 9, 0.1, false),
        ("0.0", 1, 0.9, false),
        ("0.1", 7, 0.2, false),
        ("0.1.0", 2, 1.0, true),
        ("0.1.1", 2, 0.5, true),
    ];

    #[test]
    fn nodes_are_indented_and_the_best_path_is_marked() {
        let tree = tree(&NODES);
        let text = Outline::new(&tree, OutlineFilter::default()).text();
        let expected = [
            "problem p, seed 1: 3 simulations (exhausted), 5 nodes",
            "* 0  0\\n              P 0.500  N 9  Q +0.100  V      –",
            "    0.0  0.0\\n        P 0.500  N 1  Q +0.900  V      –",
            "*   0.1  0.1\\n        P 0.500  N 7  Q +0.200  V      –",
            "*     0.1.0  0.1.0\\n  P 0.500  N 2  Q +1.000  V      –  answer 8 (right)",
            "      0.1.1  0.1.1\\n  P 0.500  N 2  Q +0.500  V      –  answer 8 (right)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_filter_hides_nodes_and_the_header_says_so() {
        let tree = tree(&NODES);
        let tags = |filter| -> Vec<Tag> {
            Outline::new(&tree, filter).nodes.into_iter().map(|shown| shown.tag).collect()
        };
        assert_eq!(tags(OutlineFilter { depth: Some(1), min_visits: 0 }), ["0", "0.0", "0.1"]);
        let filter = OutlineFilter { depth: None, min_visits: 2 };
        assert_eq!(tags(filter), ["0", "0.1", "0.1.0", "0.1.1"]);
        assert!(Outline::new(&tree, filter).text().contains("5 nodes, 4 shown"));
    }

    #[test]
    fn headers_tell_problems_of_long_names_apart() {
        let header = |number: usize| {
            let problem = format!("countdown-validation-{}-{number}", u64::MAX);
            let text = header_of(&TreeRecord { problem: problem.clone(), ..tree(&NODES) });
            assert!(text.starts_with(&format!("problem {problem}, seed 1: ")), "{text}");
            text
        };
        assert_ne!(header(17), header(18));
    }

    #[test]
    fn a_node_that_hangs_from_nothing_is_named() {
        assert_eq!(check_tree(&tree(&NODES)), Ok(()));
        assert!(check_tree(&tree(&NODES[1..])).unwrap_err().contains("no root"));
        for orphan in ["0.2.0", "0.3", "0.02", "0.x", "1", "0."] {
            let error = check_tree(&tree(&[&NODES[..], &[(orphan, 1, 0.0, false)]].concat()));
            assert!(error.unwrap_err().contains(orphan), "{orphan}");
        }
    }
}
