//! Which examples share a step, and how a step is cut into forward passes with little padding.

use std::ops::Range;

use espalier_model::random::{shuffle, stream};

/// Number of batches whose examples are sorted by length together. Larger means less padding and less mixing.
const BATCHES_A_BUCKET: usize = 16;
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"batches\0");

/// Largest share of padding in what a step computes.
const MOST_PADDING: f64 = 0.05;

/// Examples that stay together: one, or those of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// How many.
    pub examples: usize,
    /// Tokens of the longest.
    pub longest: usize,
    /// Tokens of all.
    pub tokens: usize,
}

impl Unit {
    /// A single example.
    #[must_use]
    pub fn one(length: usize) -> Self {
        Self { examples: 1, longest: length, tokens: length }
    }

    /// Examples of these lengths.
    #[must_use]
    pub fn of(lengths: &[usize]) -> Self {
        Self {
            examples: lengths.len(),
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
/// batch's examples, padded to the longest, have at most `budget` tokens, except that a unit of more is a batch alone.
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
        let (mut start, mut examples) = (from, 0);
        for (at, &index) in (from..).zip(&*bucket) {
            let unit = unit(index);
            // Ascending order: the newest unit has the longest example.
            if at > start && (examples + unit.examples) * unit.longest > budget {
                places.push(start as u32..at as u32);
                (start, examples) = (at, 0);
            }
            examples += unit.examples;
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
    /// Cuts a batch of units, whose longest examples have ascending lengths, into shares of like numbers of tokens, and each share
    /// into as few passes as keep to the limit and have no more than 5 % of padding, as far as units allow. A unit over the limit
    /// is a pass alone.
    #[must_use]
    pub fn passes(&self, units: &[Unit]) -> Vec<Vec<Range<usize>>> {
        let limit = self.micro_batch_tokens.unwrap_or(usize::MAX);
        let shares = self.shares(units).into_iter();
        shares.map(|share| passes(units, share, limit)).collect()
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

/// Tokens that a pass over units of ascending lengths computes, padding included.
#[must_use]
pub fn padded(units: &[Unit]) -> usize {
    let examples: usize = units.iter().map(|unit| unit.examples).sum();
    examples * units.last().map_or(0, |unit| unit.longest)
}

fn passes(units: &[Unit], share: Range<usize>, limit: usize) -> Vec<Range<usize>> {
    // Examples of the units before each.
    let mut before = vec![0];
    before.extend(units.iter().scan(0, |sum, unit| {
        *sum += unit.examples;
        Some(*sum)
    }));
    let mut passes: Vec<Range<usize>> = Vec::new();
    let mut start = share.start;
    for index in share.clone() {
        let examples = before[index + 1] - before[start];
        if index > start && examples.saturating_mul(units[index].longest) > limit {
            passes.push(start..index);
            start = index;
        }
    }
    passes.push(start..share.end);
    let tokens: usize = units[share].iter().map(|unit| unit.tokens).sum();
    loop {
        let computed: usize = passes.iter().map(|pass| padded(&units[pass.clone()])).sum();
        if (computed - tokens) as f64 <= MOST_PADDING * computed as f64 {
            return passes;
        }
        // Where a cut saves most: the examples before it are padded to the last of them and no longer to the pass's.
        let saved = |pass: &Range<usize>, at: usize| {
            let less = units[pass.end - 1].longest - units[at - 1].longest;
            (before[at] - before[pass.start]) * less
        };
        let best = passes.iter().enumerate().flat_map(|(index, pass)| {
            (pass.start + 1..pass.end).map(move |at| (saved(pass, at), index, at))
        });
        // Padding is left, so that some pass has examples of two lengths; inside a unit it stays.
        let Some((_, index, at)) =
            best.max_by_key(|&(saved, _, _)| saved).filter(|&(saved, _, _)| saved > 0)
        else {
            return passes;
        };
        let end = passes[index].end;
        passes[index].end = at;
        passes.insert(index + 1, at..end);
    }
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
            assert!(padded(&units(&sorted)) <= 256, "{batch:?}");
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
                        let tokens = padded(&units(&lengths[pass.clone()]));
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
            assert!(units.len() == 1 || padded(&units) <= 512, "{units:?}");
            let passes = cut.passes(&units).concat();
            let mut next = 0;
            for pass in &passes {
                assert!(pass.start == next && pass.end > next, "{passes:?}");
                next = pass.end;
                assert!(pass.len() == 1 || padded(&units[pass.clone()]) <= 200, "{units:?}");
            }
            assert_eq!(next, units.len());
            parted += usize::from(passes.len() > 1);
        }
        assert!(parted > 5, "{parted}");
    }

    #[test]
    fn padding_inside_a_group_stays() {
        let group = Unit::of(&[5, 50]);
        let cut = Cut { shares: 1, micro_batch_tokens: None };
        assert_eq!(cut.passes(&[group]), [vec![Range { start: 0, end: 1 }]]);
        assert_eq!(cut.passes(&[group, group]), [vec![Range { start: 0, end: 2 }]]);
        assert_eq!(padded(&[group, group]), 200);
    }
}
