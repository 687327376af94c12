//! Which examples share a step, and how a step is cut into forward passes, and these into blocks with little padding.

use std::ops::Range;

use espalier_model::random::{shuffle, stream};

/// Number of batches whose examples are sorted by length together. Larger means less padding and less mixing.
const BATCHES_A_BUCKET: usize = 16;
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"batches\0");

/// Largest share of padding in what a step computes.
const MOST_PADDING: f64 = 0.05;

/// Rows that stay together: an example or a tree of them, or those of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// How many.
    pub rows: usize,
    /// Tokens of the longest.
    pub longest: usize,
    /// Tokens of all.
    pub tokens: usize,
}

impl Unit {
    /// A single row.
    #[must_use]
    pub fn one(length: usize) -> Self {
        Self { rows: 1, longest: length, tokens: length }
    }

    /// Rows of these lengths.
    #[must_use]
    pub fn of(lengths: &[usize]) -> Self {
        Self {
            rows: lengths.len(),
            longest: lengths.iter().copied().max().unwrap_or(0),
            tokens: lengths.iter().sum(),
        }
    }
}

/// The batches of an epoch, as indices of units: 4 bytes a unit.
#[derive(Debug, PartialEq, Eq)]
pub struct Batches {
    /// Batch beside batch, though not in the order of their steps.
    order: Vec<u32>,
    /// Where each step's batch lies.
    places: Vec<Range<u32>>,
}

impl Batches {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The units of a step: those of shorter examples before those of longer ones.
    #[must_use]
    pub fn get(&self, step: usize) -> &[u32] {
        let Range { start, end } = self.places[step];
        &self.order[start as usize..end as usize]
    }
}

/// Plans an epoch of `count` units, the batch of each step in order: a function of its arguments. Every unit is in exactly one batch. A
/// batch's rows, padded to the longest, have at most `budget` tokens, except that a unit of more is a batch alone.
#[must_use]
pub fn plan(
    count: usize,
    unit: impl Fn(usize) -> Unit,
    budget: usize,
    seed: u64,
    epoch: usize,
) -> Batches {
    let mut rng = stream(seed, [PURPOSE, epoch as u64]);
    let mut order: Vec<u32> = (0..count as u32).collect();
    shuffle(&mut order, &mut rng);

    let unit = |index: u32| unit(index as usize);
    let mut places: Vec<Range<u32>> = Vec::new();
    let bucket_tokens = budget.saturating_mul(BATCHES_A_BUCKET);
    let mut from = 0;
    while from < count {
        let (mut tokens, mut to) = (0usize, from);
        while to < count && tokens < bucket_tokens {
            tokens += unit(order[to]).tokens;
            to += 1;
        }
        let bucket = &mut order[from..to.max(from + 1)];
        // Stable, so that equal lengths keep their shuffled order.
        bucket.sort_by_key(|&index| unit(index).longest);
        let (mut start, mut rows) = (from, 0);
        for (at, &index) in (from..).zip(&*bucket) {
            let unit = unit(index);
            // Ascending order: the newest unit has the longest example.
            if at > start && (rows + unit.rows) * unit.longest > budget {
                places.push(start as u32..at as u32);
                (start, rows) = (at, 0);
            }
            rows += unit.rows;
        }
        from += bucket.len();
        places.push(start as u32..from as u32);
    }
    places.shrink_to_fit();
    shuffle(&mut places, &mut rng);
    Batches { order, places }
}

/// How a step is computed. What the step is does not depend on it: losses are means over the whole step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Shares that are computed side by side.
    pub shares: usize,
    /// Tokens of a forward and backward pass at most, padding included; `None`: no limit.
    pub micro_batch_tokens: Option<usize>,
}

impl Cut {
    /// Cuts a batch of units into shares of like numbers of tokens, and each share into as few passes as keep to the limit. A unit over
    /// the limit is a pass alone.
    #[must_use]
    pub fn passes(&self, units: &[Unit]) -> Vec<Vec<Range<usize>>> {
        let shares = self.shares(units).into_iter();
        shares.map(|share| passes(units, share, self.row_tokens())).collect()
    }

    /// Tokens that fit into a pass whatever its padding is.
    #[must_use]
    pub fn row_tokens(&self) -> usize {
        match self.micro_batch_tokens {
            Some(limit) => (limit as f64 * (1.0 - MOST_PADDING)) as usize,
            None => usize::MAX,
        }
    }

    /// At most `shares` ranges, none of them empty.
    fn shares(&self, units: &[Unit]) -> Vec<Range<usize>> {
        let total: usize = units.iter().map(|unit| unit.tokens).sum();
        let mut shares = Vec::with_capacity(self.shares);
        let (mut start, mut tokens) = (0, 0);
        for (index, unit) in units.iter().enumerate() {
            // The share's end is where the cumulative number of tokens is nearest to its mark.
            let mark = total * (shares.len() + 1) / self.shares.max(1);
            if index > start
                && shares.len() + 1 < self.shares
                && 2 * tokens + unit.tokens > 2 * mark
            {
                shares.push(start..index);
                start = index;
            }
            tokens += unit.tokens;
        }
        if start < units.len() {
            shares.push(start..units.len());
        }
        shares
    }
}

fn passes(units: &[Unit], share: Range<usize>, limit: usize) -> Vec<Range<usize>> {
    let mut passes = Vec::new();
    let (mut start, mut tokens) = (share.start, 0);
    for index in share.clone() {
        tokens += units[index].tokens;
        if index > start && tokens > limit {
            passes.push(start..index);
            (start, tokens) = (index, units[index].tokens);
        }
    }
    passes.push(start..share.end);
    passes
}

/// Cuts rows into as few blocks of neighbours as have no more than 5 % of padding, each padded to its longest.
#[must_use]
pub fn blocks(lengths: &[usize]) -> Vec<Range<usize>> {
    let tokens: usize = lengths.iter().sum();
    let mut blocks = vec![Range { start: 0, end: lengths.len() }];
    loop {
        let computed: usize =
            blocks.iter().map(|block| padded_to_longest(&lengths[block.clone()])).sum();
        if (computed - tokens) as f64 <= MOST_PADDING * computed as f64 {
            return blocks;
        }
        // Where a cut saves most. Padding is left, so that some block has rows of two lengths and a cut saves something.
        let best = blocks.iter().enumerate().filter_map(|(index, block)| {
            let (saved, at) = best_cut(&lengths[block.clone()])?;
            Some((saved, index, block.start + at))
        });
        let Some((_, index, at)) = best.max_by_key(|&(saved, ..)| saved) else { return blocks };
        let end = blocks[index].end;
        blocks[index].end = at;
        blocks.insert(index + 1, at..end);
    }
}

/// Where a cut of a block saves most padding, and how much; `None` for a block of one row.
fn best_cut(lengths: &[usize]) -> Option<(usize, usize)> {
    // The longest row before each place, and from there on.
    let longest = |most: &mut usize, &length: &usize| {
        *most = length.max(*most);
        Some(*most)
    };
    let before: Vec<usize> = lengths.iter().scan(0, longest).collect();
    let mut after: Vec<usize> = lengths.iter().rev().scan(0, longest).collect();
    after.reverse();
    let count = lengths.len();
    let all = count * before.last()?;
    (1..count).map(|at| (all - at * before[at - 1] - (count - at) * after[at], at)).max()
}

/// Tokens of rows in blocks, padding included.
#[must_use]
pub fn padded(lengths: &[usize]) -> usize {
    blocks(lengths).into_iter().map(|block| padded_to_longest(&lengths[block])).sum()
}

/// Tokens of the rows of one block, padding included.
fn padded_to_longest(lengths: &[usize]) -> usize {
    lengths.len() * lengths.iter().copied().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(lengths: &[usize]) -> Vec<Unit> {
        lengths.iter().map(|&length| Unit::one(length)).collect()
    }

    fn plan(units: &[Unit], budget: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let batches = super::plan(units.len(), |index| units[index], budget, seed, epoch);
        let batch = |step| batches.get(step).iter().map(|&index| index as usize).collect();
        (0..batches.len()).map(batch).collect()
    }

    fn lengths() -> Vec<usize> {
        (0..500).map(|index| 5 + index * 37 % 60).collect()
    }

    #[test]
    fn every_example_is_in_one_batch_within_the_budget() {
        let lengths = lengths();
        let batches = plan(&units(&lengths), 256, 1, 0);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for batch in &batches {
            let sorted: Vec<usize> = batch.iter().map(|&index| lengths[index]).collect();
            assert!(sorted.is_sorted(), "{sorted:?}");
            assert!(sorted.len() * sorted.last().unwrap() <= 256, "{batch:?}");
        }
    }

    #[test]
    fn like_lengths_share_a_batch() {
        let lengths = lengths();
        let computed: usize = plan(&units(&lengths), 256, 1, 0)
            .iter()
            .map(|batch| batch.len() * batch.iter().map(|&index| lengths[index]).max().unwrap())
            .sum();
        // Unsorted batches of lengths 5 to 64 would be padded by about two thirds.
        let share = 1.0 - lengths.iter().sum::<usize>() as f64 / computed as f64;
        assert!(share < 0.1, "{share}");
    }

    #[test]
    fn an_example_over_the_budget_is_a_batch_alone() {
        let batches = plan(&units(&[10, 300, 10, 299]), 64, 1, 0);
        assert!(batches.contains(&vec![1]) && batches.contains(&vec![3]));
        assert_eq!(batches.len(), 3);
    }

    #[test]
    fn the_order_is_a_function_of_seed_and_epoch() {
        let lengths = lengths();
        assert_eq!(plan(&units(&lengths), 256, 1, 0), plan(&units(&lengths), 256, 1, 0));
        assert_ne!(plan(&units(&lengths), 256, 1, 0), plan(&units(&lengths), 256, 1, 1));
        assert_ne!(plan(&units(&lengths), 256, 1, 0), plan(&units(&lengths), 256, 2, 0));
        assert_eq!(plan(&[], 256, 1, 0), Vec::<Vec<usize>>::new());
    }

    /// Log-normal lengths, as texts have: most are short and some are very long.
    fn skewed(count: usize, sigma: f32, seed: u64) -> Vec<usize> {
        let mut rng = stream(seed, [3, 3]);
        let length = |z: f32| ((5.0 + sigma * z).exp() as usize).clamp(2, 4096);
        (0..count).map(|_| length(espalier_model::random::normal(&mut rng))).collect()
    }

    #[test]
    fn passes_of_skewed_lengths_have_at_most_five_percent_of_padding() {
        for (seed, sigma) in [0.3, 0.7, 1.0, 1.4].into_iter().enumerate() {
            let lengths = skewed(3000, sigma, seed as u64);
            for micro_batch_tokens in [None, Some(2048)] {
                let cut = Cut { shares: 2, micro_batch_tokens };
                let (mut computed, mut passes) = (0, 0);
                let batches = plan(&units(&lengths), 8192, 5, 0);
                for batch in &batches {
                    let lengths: Vec<usize> = batch.iter().map(|&index| lengths[index]).collect();
                    let shares = cut.passes(&units(&lengths));
                    assert!((1..=2).contains(&shares.len()));
                    let mut next = 0;
                    for pass in shares.concat() {
                        assert!(pass.start == next && pass.end > next, "{pass:?} after {next}");
                        next = pass.end;
                        let tokens = padded(&lengths[pass.clone()]);
                        assert!(pass.len() == 1 || tokens <= micro_batch_tokens.unwrap_or(8192));
                        computed += tokens;
                        passes += 1;
                    }
                    assert_eq!(next, lengths.len(), "every example is in one pass");
                }
                let padding = 1.0 - lengths.iter().sum::<usize>() as f64 / computed as f64;
                assert!(padding <= MOST_PADDING, "sigma {sigma}: {padding}");
                // Not by a pass for each length.
                assert!(passes < 12 * batches.len(), "{passes} passes, {} batches", batches.len());
            }
        }
    }

    #[test]
    fn shares_have_like_numbers_of_tokens() {
        let cut = Cut { shares: 3, micro_batch_tokens: None };
        let lengths: Vec<usize> = (1..=90).collect();
        let tokens: Vec<usize> = cut
            .shares(&units(&lengths))
            .into_iter()
            .map(|share| lengths[share].iter().sum())
            .collect();
        assert_eq!(tokens.len(), 3);
        assert!(tokens.iter().all(|&tokens| tokens.abs_diff(4095 / 3) < 90), "{tokens:?}");
        assert_eq!(cut.passes(&units(&[7])), [vec![Range { start: 0, end: 1 }]]);
        assert_eq!(cut.passes(&units(&[7; 4])).len(), 3);
        assert!(cut.passes(&[]).is_empty());
    }

    #[test]
    fn a_group_is_parted_by_no_step_and_no_pass() {
        // Groups of one to six examples of 5 to 64 tokens.
        let all = lengths();
        let mut groups: Vec<Unit> = Vec::new();
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (group, later) = rest.split_at((1 + groups.len() % 6).min(rest.len()));
            groups.push(Unit::of(group));
            rest = later;
        }
        let batches = plan(&groups, 512, 1, 0);
        let mut seen = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..groups.len()).collect::<Vec<_>>());
        let cut = Cut { shares: 2, micro_batch_tokens: Some(200) };
        let mut parted = 0;
        for batch in &batches {
            let units: Vec<Unit> = batch.iter().map(|&index| groups[index]).collect();
            assert!(units.is_sorted_by_key(|unit| unit.longest));
            let rows: usize = units.iter().map(|unit| unit.rows).sum();
            assert!(units.len() == 1 || rows * units.last().unwrap().longest <= 512, "{units:?}");
            let passes = cut.passes(&units).concat();
            let mut next = 0;
            for pass in &passes {
                assert!(pass.start == next && pass.end > next, "{passes:?}");
                next = pass.end;
                let tokens: usize = units[pass.clone()].iter().map(|unit| unit.tokens).sum();
                assert!(pass.len() == 1 || tokens <= 190, "{units:?}");
            }
            assert_eq!(next, units.len());
            parted += usize::from(passes.len() > 1);
        }
        assert!(parted > 5, "{parted}");
    }

    #[test]
    fn blocks_are_few_and_have_little_padding() {
        assert_eq!(blocks(&[7; 4]), [Range { start: 0, end: 4 }]);
        assert_eq!(blocks(&[5, 5, 50, 50]), [0..2, 2..4]);
        assert_eq!(padded(&[5, 5, 50, 50]), 110);
        // Neighbours of any order.
        assert_eq!(blocks(&[50, 5, 50]), [0..1, 1..2, 2..3]);
        assert_eq!(blocks(&[96, 100]), [Range { start: 0, end: 2 }]);
        assert!(padded(&[]) == 0);
        for lengths in [skewed(200, 1.0, 1), {
            let mut sorted = skewed(200, 1.0, 2);
            sorted.sort_unstable();
            sorted
        }] {
            let tokens: usize = lengths.iter().sum();
            assert!(tokens as f64 >= 0.95 * padded(&lengths) as f64);
            let blocks = blocks(&lengths);
            assert!(blocks.iter().map(ExactSizeIterator::len).sum::<usize>() == 200);
        }
    }
}
