//! A finished tree as a drawing for a terminal: the best path and the most visited nodes, with bars for visits and colours for Q.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use espalier_search::{NodeRecord, Tag, Terminal, TreeRecord};

use super::one_line::{cut, whole_line, width_of};
use super::outline::{ABSENT_VALUE, Outline, OutlineFilter, OutlineNode, ending, header_of};

/// Cells of a bar, and of one where the lines are short.
const BAR: [usize; 2] = [8, 5];
/// Lines of fewer cells are short.
const SHORT: usize = 72;

/// What a terminal has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Cells of a line.
    pub width: usize,
    /// Nodes; those of the best path are shown in any case.
    pub nodes: usize,
    /// Whether colours may be used.
    pub colours: bool,
}

/// A tree as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// A header, the names of the columns, and a line a node. No line is wider than the canvas.
    pub text: String,
    /// How many nodes are not shown.
    pub hidden: usize,
}

impl Sketch {
    /// Draws a tree that [`super::check_tree`] finds no fault with.
    #[must_use]
    pub fn new(tree: &TreeRecord, canvas: Canvas) -> Self {
        let outline = Outline::new(tree, OutlineFilter::default());
        let shown = chosen(&outline, canvas.nodes);
        let visits = tree.root().map_or(0, |root| root.visit_count).max(1);
        let digits = visits.to_string().len();
        let cells = BAR[usize::from(canvas.width < SHORT)];
        let mut text = cut(&header_of(tree), canvas.width);
        let names =
            format!("  {:cells$} {:>digits$} {:>5} {:>5} {:>4}", "visits", "", "Q", "V", "P");
        // Writing to a string cannot fail.
        _ = write!(text, "\n{}", cut(&names, canvas.width));
        let hidden = hidden_below(&outline, &shown);
        for (place, OutlineNode { depth, node, best, .. }) in outline.nodes.iter().enumerate() {
            if !shown.contains(&place) {
                continue;
            }
            let NodeRecord { prior, visit_count, q_value, .. } = node;
            let bar = bar(*visit_count as f64 / visits as f64, cells);
            let value = node.value.map_or(ABSENT_VALUE.to_owned(), |value| format!("{value:+.2}"));
            let mark = if *best { '★' } else { ' ' };
            let line = format!(
                "{mark} {bar} {visit_count:>digits$} {q_value:+.2} {value:>5} {prior:.2}  {:indent$}",
                "",
                indent = 2 * depth
            );
            let line = cut(&line, canvas.width);
            let step = step(node, hidden[place], canvas.width - width_of(&line));
            let line = if canvas.colours { painted(&line, *q_value) } else { line };
            _ = write!(text, "\n{}", format!("{line}{step}").trim_end());
        }
        Self { text, hidden: outline.nodes.len() - shown.len() }
    }
}

/// What a node says, in so many cells: its step, how it ended, and how many children are not shown. The step is cut first.
fn step(node: &NodeRecord, hidden: usize, room: usize) -> String {
    let step = whole_line(node.text().trim());
    let more = if hidden > 0 { format!("  +{hidden}") } else { String::new() };
    let [long, short] = [ending(node), verdict(node)].map(|end| match end.is_empty() {
        true => more.clone(),
        false => format!("  {end}{more}"),
    });
    let end = if width_of(&step) + width_of(&long) <= room { long } else { short };
    let step = cut(&step, room.saturating_sub(width_of(&end)));
    cut(&format!("{step}{end}"), room)
}

/// An ending in a word.
fn verdict(node: &NodeRecord) -> String {
    let word = match (&node.terminal, node.correct) {
        (Some(Terminal::Answer(_)), Some(true)) => "right",
        (Some(Terminal::Answer(_)), Some(false)) => "wrong",
        (Some(Terminal::Answer(_)), None) => "answer",
        (Some(Terminal::Invalid(_)), _) => "invalid",
        (None, _) if node.truncated => "cut off",
        (None, _) => "",
    };
    word.to_owned()
}

/// The places of the nodes that are shown, each with all above it: the best path, then the most visited ones. Of siblings that say the
/// same only one is shown, with what is below it.
fn chosen(outline: &Outline<'_>, most: usize) -> HashSet<usize> {
    let nodes = &outline.nodes;
    let places: HashMap<&Tag, usize> =
        nodes.iter().enumerate().map(|(place, node)| (&node.tag, place)).collect();
    let parent = |place: usize| {
        let (parent, _) = nodes[place].tag.rsplit_once('.')?;
        places.get(&Tag::new(parent)).copied()
    };
    let step = |place: usize| (parent(place), nodes[place].node.text());
    let mut said: HashSet<_> =
        (0..nodes.len()).filter(|&place| nodes[place].best).map(step).collect();
    let mut wanted = vec![true; nodes.len()];
    // Parents come before their children.
    for place in 0..nodes.len() {
        let hangs = parent(place).is_none_or(|parent| wanted[parent]);
        wanted[place] = hangs && (nodes[place].best || said.insert(step(place)));
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&place| wanted[place]).collect();
    order.sort_by_key(|&place| (!nodes[place].best, Reverse(nodes[place].node.visit_count), place));
    let mut shown = HashSet::new();
    for place in order {
        let above = std::iter::successors(Some(place), |&place| parent(place));
        let new: Vec<usize> = above.take_while(|place| !shown.contains(place)).collect();
        if shown.len() + new.len() <= most || nodes[place].best {
            shown.extend(new);
        }
    }
    shown
}

/// Of every node: how many of its children are not shown.
fn hidden_below(outline: &Outline<'_>, shown: &HashSet<usize>) -> Vec<usize> {
    let mut hidden = vec![0; outline.nodes.len()];
    let mut above: Vec<usize> = Vec::new();
    for (place, node) in outline.nodes.iter().enumerate() {
        above.truncate(node.depth);
        if let Some(&parent) = above.last()
            && !shown.contains(&place)
        {
            hidden[parent] += 1;
        }
        above.push(place);
    }
    hidden
}

/// A bar of a share in [0, 1], in eighths of a cell; one that is not 0 shows.
fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = (share.clamp(0.0, 1.0) * (8 * cells) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    (0..cells).map(|cell| EIGHTHS[eighths.saturating_sub(8 * cell).min(8)]).collect()
}

/// In the colour of Q in [-1, 1], as on the page: from orange over grey to blue, which those who see no red and green tell apart, too.
fn painted(text: &str, q: f64) -> String {
    const COLOURS: [u8; 7] = [166, 173, 180, 247, 110, 74, 33];
    let place = ((q.clamp(-1.0, 1.0) + 1.0) / 2.0 * (COLOURS.len() - 1) as f64).round() as usize;
    format!("\u{1b}[38;5;{}m{text}\u{1b}[0m", COLOURS[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root, a wrong answer, and a right one below a long step; with `more` further children of the root.
    fn tree(more: usize) -> TreeRecord {
        let node = |text: &str, visits: u64, q: f64, right: Option<bool>| {
            serde_json::json!({"action": text, "observation": "", "text": text, "value": null, "q_value": q, "prior": 0.5,
                "visit_count": visits, "tokens": 1, "terminal": right.map(|_| serde_json::json!({"answer": "8"})), "correct": right})
        };
        let mut react = serde_json::Map::new();
        react.insert("0".to_owned(), node("what is it?\u{1b}[2J", 9, 0.25, None));
        react.insert("0.0".to_owned(), node("no", 1, -1.0, Some(false)));
        react.insert("0.1".to_owned(), node(&"long ".repeat(30), 5, 0.5, None));
        react.insert("0.1.0".to_owned(), node("yes", 4, 1.0, Some(true)));
        for index in 0..more {
            react.insert(format!("0.{}", 2 + index), node(&format!("step {index}"), 1, 0.0, None));
        }
        serde_json::from_value(serde_json::json!({"schema": "espalier.tree/2", "problem": "p", "question": "q", "answer": "8",
            "seed": 1, "simulations": 9, "stop": "simulations", "ground_truth": true, "tokens": 9, "evaluations": 3,
            "collisions": 0, "react": react}))
        .unwrap()
    }

    fn says(tree: &mut TreeRecord, tag: &str, text: &str) {
        let step = serde_json::json!({"action": text, "observation": "", "text": text});
        tree.react[tag].step = serde_json::from_value(step).unwrap();
    }

    fn drawn(tree: &TreeRecord, width: usize, nodes: usize) -> Sketch {
        Sketch::new(tree, Canvas { width, nodes, colours: false })
    }

    #[test]
    fn visits_are_bars_beside_the_steps() {
        let Sketch { text, hidden } = drawn(&tree(0), 72, 20);
        let cut = format!("★ ████▌    5 +0.50     – 0.50    {}…", "long ".repeat(7) + "lon");
        let expected = [
            "problem p, seed 1: 9 simulations (all simulations done), 4 nodes",
            "  visits         Q     V    P",
            "★ ████████ 9 +0.25     – 0.50  what is it?\\u{1b}[2J",
            "  ▉        1 -1.00     – 0.50    no  answer 8 (wrong)",
            &cut,
            "★ ███▌     4 +1.00     – 0.50      yes  answer 8 (right)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(hidden, 0);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut wide = tree(40);
        let text = "一二三四五六七八九十".repeat(3);
        says(&mut wide, "0.0", &text);
        for width in 0..120 {
            for line in drawn(&wide, width, 50).text.lines() {
                assert!(width_of(line) <= width, "{width}: {line}");
            }
        }
        // Where the step has no room, how it ended is still told.
        let text = drawn(&tree(0), 42, 20).text;
        assert!(text.contains("right") && text.contains("wrong"), "{text}");
    }

    #[test]
    fn a_large_tree_is_folded_and_says_so() {
        let sketch = drawn(&tree(40), 100, 5);
        let text = &sketch.text;
        // The best path, then by visits; the root says how many of its children are hidden.
        assert_eq!((text.lines().count(), sketch.hidden), (7, 39), "{text}");
        for part in ["yes", "no  answer", "step 0", "  +39"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(drawn(&tree(40), 100, 1).text.lines().count(), 5);
    }

    #[test]
    fn siblings_that_say_the_same_are_shown_once() {
        let mut tree = tree(40);
        for index in 0..40 {
            says(&mut tree, &format!("0.{}", 2 + index), "no");
        }
        let sketch = drawn(&tree, 100, 50);
        assert_eq!((sketch.text.lines().count(), sketch.hidden), (6, 40), "{}", sketch.text);
        // The best path's stands for the others.
        tree.react["0.0"].step = tree.react["0.1"].step.clone();
        let sketch = drawn(&tree, 100, 50);
        assert!(sketch.hidden == 40 && sketch.text.contains("yes"), "{}", sketch.text);
    }

    #[test]
    fn q_has_its_colour() {
        let canvas = Canvas { width: 80, nodes: 20, colours: true };
        let text = Sketch::new(&tree(0), canvas).text;
        let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap();
        assert!(line("no ").contains("[38;5;166m") && line("yes").contains("[38;5;33m"), "{text}");
    }
}
