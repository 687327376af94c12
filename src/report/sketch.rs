//! A finished tree as a drawing for a terminal: the best path and the most visited nodes, with bars for visits and colours for Q.

use std::collections::HashSet;
use std::fmt::Write;

use espalier_search::{NodeRecord, Tag, TreeRecord};

use super::one_line::one_line;
use super::outline::{Outline, OutlineFilter, OutlineNode, ending, header_of};

/// Cells of a bar.
const BAR: usize = 8;
/// Narrower than this nothing can be read; the lines are longer then.
const NARROWEST: usize = 44;

/// What a terminal has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Characters of a line.
    pub width: usize,
    /// Nodes.
    pub nodes: usize,
    /// Whether colours may be used.
    pub colours: bool,
}

/// Draws a tree that [`super::check_tree`] finds no fault with.
#[must_use]
pub fn sketch(tree: &TreeRecord, canvas: Canvas) -> String {
    let outline = Outline::new(tree, OutlineFilter::default());
    let shown = chosen(&outline, canvas.nodes);
    let root_visits = tree.root().map_or(0, |root| root.visit_count).max(1);
    let digits = root_visits.to_string().len();
    let width = canvas.width.max(NARROWEST);
    let all = outline.nodes.len();
    let fewer = if shown.len() < all { format!(", {} shown", shown.len()) } else { String::new() };
    let mut text = one_line(&format!("{}{fewer}", header_of(tree)), width);
    let hidden = hidden_below(&outline, &shown);
    for (place, hidden) in outline.nodes.iter().enumerate().zip(hidden) {
        let (place, OutlineNode { depth, node, best, .. }) = place;
        if !shown.contains(&place) {
            continue;
        }
        let NodeRecord { prior, visit_count, q_value, .. } = node;
        let bar = bar(*visit_count as f64 / root_visits as f64);
        let value = node.value.map_or_else(|| "    –".to_owned(), |value| format!("{value:+.2}"));
        let numbers =
            format!("{bar} {visit_count:>digits$}  Q {q_value:+.2}  V {value}  P {prior:.2}");
        let more = if hidden > 0 { format!("  +{hidden}") } else { String::new() };
        let end = ending(node);
        let end = if end.is_empty() { String::new() } else { format!("  {end}") };
        let mark = if *best { '★' } else { ' ' };
        let indent = 2 * depth;
        let room = width.saturating_sub(numbers.chars().count() + indent + 4).max(6);
        let step = one_line(node.text().trim(), room);
        let left = format!("{mark} {:indent$}{step}", "");
        // What is behind the numbers is cut where the line ends.
        let used = 2 + indent + room + 2 + numbers.chars().count();
        let rest = one_line(&format!("{more}{end}"), width.saturating_sub(used));
        let numbers = if canvas.colours { painted(&numbers, *q_value) } else { numbers };
        // Writing to a string cannot fail.
        _ = write!(text, "\n{left:<pad$}  {numbers}{rest}", pad = 2 + indent + room);
    }
    text
}

/// The places of the nodes that are shown: the best path, then the most visited ones, each with all above it.
fn chosen(outline: &Outline<'_>, most: usize) -> HashSet<usize> {
    let mut order: Vec<usize> = (0..outline.nodes.len()).collect();
    let node = |place: usize| &outline.nodes[place];
    order.sort_by_key(|&place| {
        (!node(place).best, std::cmp::Reverse(node(place).node.visit_count), place)
    });
    let places: std::collections::HashMap<&Tag, usize> =
        outline.nodes.iter().enumerate().map(|(place, node)| (&node.tag, place)).collect();
    let mut shown = HashSet::new();
    for place in order {
        let mut tag = node(place).tag.as_str();
        let mut new = vec![place];
        while let Some((parent, _)) = tag.rsplit_once('.') {
            new.extend(places.get(&Tag::new(parent)));
            tag = parent;
        }
        new.retain(|place| !shown.contains(place));
        if shown.len() + new.len() > most && !node(place).best {
            continue;
        }
        shown.extend(new);
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
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = (share.clamp(0.0, 1.0) * (8 * BAR) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    (0..BAR).map(|cell| EIGHTHS[eighths.saturating_sub(8 * cell).min(8)]).collect()
}

/// In the colour of Q in [-1, 1]: from orange over grey to blue, which those who see no red and green tell apart, too.
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
            react.insert(format!("0.{}", 2 + index), node("another", 0, 0.0, None));
        }
        serde_json::from_value(serde_json::json!({"schema": "espalier.tree/2", "problem": "p", "question": "q", "answer": "8",
            "seed": 1, "simulations": 9, "stop": "simulations", "ground_truth": true, "tokens": 9, "evaluations": 3,
            "collisions": 0, "react": react}))
        .unwrap()
    }

    #[test]
    fn visits_are_bars_and_no_line_is_wider_than_the_terminal() {
        let canvas = Canvas { width: 70, nodes: 20, colours: false };
        let text = sketch(&tree(0), canvas);
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= 70), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap();
        assert!(line("what is it").contains("████████ 9  Q +0.25  V     –  P 0.50"), "{text}");
        assert!(line("yes").starts_with("★     yes ") && line("yes").contains("███▌"), "{text}");
        assert!(line("yes").contains("answer 8 (right)"), "{text}");
        assert!(line("long").contains("…"), "{text}");
    }

    #[test]
    fn a_large_tree_is_folded_and_says_so() {
        let text = sketch(&tree(40), Canvas { width: 100, nodes: 6, colours: false });
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.lines().next().unwrap().ends_with("44 nodes, 6 shown"), "{text}");
        // The best path stays, and the root says how many of its children are hidden.
        assert!(text.contains("yes") && text.contains("  +38"), "{text}");
        let text = sketch(&tree(40), Canvas { width: 100, nodes: 1, colours: false });
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn q_has_its_colour() {
        let text = sketch(&tree(0), Canvas { width: 80, nodes: 20, colours: true });
        let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap();
        assert!(line("no ").contains("[38;5;166m") && line("yes").contains("[38;5;33m"), "{text}");
    }
}
