//! What a round's trees say: histograms of Q and of the net's values, and a few trees as text.

use std::path::Path;

use anyhow::Result;
use espalier_search::TreeRecord;
use serde_json::Value;

use super::tensorboard::EventFile;
use crate::jsonl;
use crate::report::{Outline, OutlineFilter};

/// Trees that are read for the histograms: the first ones.
const READ: usize = 200;
/// Trees that are shown.
const SHOWN: usize = 3;
/// Buckets of [-1, 1].
const BUCKETS: usize = 20;
const Q: &str = "search/trees/q_value";
const VALUES: &str = "search/trees/value";
const TEXT: &str = "search/trees/sample";

/// Adds those of the round whose search is summed up, where its trees are there.
pub(super) fn add(events: &mut EventFile, run: &Path, summary: &Value) -> Result<()> {
    let (Some("search"), Some(round)) = (summary["stage"].as_str(), summary["round"].as_i64())
    else {
        return Ok(());
    };
    let path = run.join("rounds").join(round.to_string()).join("trees.jsonl");
    if !events.lacks(Q, round) || !path.exists() {
        return Ok(());
    }
    let trees: Vec<TreeRecord> =
        jsonl::Rows::open(&path)?.rows().take(READ).collect::<Result<_>>()?;
    let visited =
        || trees.iter().flat_map(|tree| tree.react.values()).filter(|n| n.visit_count > 0);
    events.add_histogram(Q, round, &histogram(visited().map(|node| node.q_value)));
    events.add_histogram(VALUES, round, &histogram(visited().filter_map(|node| node.value)));
    let shown = trees.iter().take(SHOWN).map(|tree| {
        // Indented, so that nothing in a step is read as Markdown.
        Outline::new(tree, OutlineFilter::default()).text().replace('\n', "\n    ")
    });
    let text: Vec<String> = shown.map(|outline| format!("    {outline}\n")).collect();
    events.add_text(TEXT, round, &text.join("\n---\n\n"));
    Ok(())
}

/// Buckets of numbers in [-1, 1]: lower end, upper end, how many. The last holds its upper end, too.
fn histogram(numbers: impl Iterator<Item = f64>) -> Vec<[f64; 3]> {
    let end = |index: usize| 2.0 * index as f64 / BUCKETS as f64 - 1.0;
    let mut buckets: Vec<_> = (0..BUCKETS).map(|index| [end(index), end(index + 1), 0.0]).collect();
    for number in numbers {
        let place = (number + 1.0) / 2.0 * BUCKETS as f64;
        buckets[(place as usize).min(BUCKETS - 1)][2] += 1.0;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_bucket_that_it_lies_in() {
        let buckets = histogram([-1.0, -0.95, 0.0, 0.099, 1.0].into_iter());
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket[2]).collect();
        assert_eq!((counts[0], counts[10], counts[19]), (2.0, 2.0, 1.0));
        assert_eq!(counts.iter().sum::<f64>(), 5.0);
        assert_eq!((buckets[0][0], buckets[19][1]), (-1.0, 1.0));
    }
}
