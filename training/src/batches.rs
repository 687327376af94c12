//! Which examples share a step, and how a step is cut into forward passes with little padding.

use std::ops::Range;

use espalier_model::random::{shuffle, stream};

/// Number of batches whose examples are sorted by length together. Larger means less padding and less mixing.
const BATCHES_A_BUCKET: usize = 16;
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"batches\0");

/// Largest share of padding in what a step computes.
const MOST_PADDING: f64 = 0.05;

/// Plans an epoch, the batch of each step in order, as indices into the lengths: a function of its arguments. Every example
/// is in exactly one batch, shorter ones before longer ones. A batch's examples, padded to the longest, have at most
/// `budget` tokens, except that an example longer than the budget is a batch alone.
#[must_use]
pub fn plan(lengths: &[usize], budget: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut rng = stream(seed, [PURPOSE, epoch as u64]);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    shuffle(&mut order, &mut rng);

    let mut batches: Vec<Vec<usize>> = Vec::new();
    let bucket_tokens = budget.saturating_mul(BATCHES_A_BUCKET);
    let mut rest = order.as_mut_slice();
    while !rest.is_empty() {
        let (mut tokens, mut size) = (0usize, 0);
        while size < rest.len() && tokens < bucket_tokens {
            tokens += lengths[rest[size]];
            size += 1;
        }
        let (bucket, later) = rest.split_at_mut(size.max(1));
        rest = later;
        // Stable, so that equal lengths keep their shuffled order.
        bucket.sort_by_key(|&index| lengths[index]);
        let mut batch: Vec<usize> = Vec::new();
        for &index in &*bucket {
            // Ascending order: the newest example is the longest.
            if !batch.is_empty() && (batch.len() + 1) * lengths[index] > budget {
                batches.push(std::mem::take(&mut batch));
            }
            batch.push(index);
        }
        batches.push(batch);
    }
    shuffle(&mut batches, &mut rng);
    batches
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
    /// Cuts a batch whose examples have these lengths, in ascending order, into shares of like numbers of tokens, and each share
    /// into as few passes as keep to the limit and have no more than 5 % of padding. An example longer than the limit is a
    /// pass alone.
    #[must_use]
    pub fn passes(&self, lengths: &[usize]) -> Vec<Vec<Range<usize>>> {
        let limit = self.micro_batch_tokens.unwrap_or(usize::MAX);
        let shares = self.shares(lengths).into_iter();
        shares.map(|share| passes(lengths, share, limit)).collect()
    }

    /// At most `shares` ranges, none of them empty.
    fn shares(&self, lengths: &[usize]) -> Vec<Range<usize>> {
        let total: usize = lengths.iter().sum();
        let mut shares = Vec::with_capacity(self.shares);
        let (mut start, mut tokens) = (0, 0);
        for (index, &length) in lengths.iter().enumerate() {
            // The share's end is where the cumulative number of tokens is nearest to its mark.
            let mark = total * (shares.len() + 1) / self.shares.max(1);
            if index > start && shares.len() + 1 < self.shares && 2 * tokens + length > 2 * mark {
                shares.push(start..index);
                start = index;
            }
            tokens += length;
        }
        if start < lengths.len() {
            shares.push(start..lengths.len());
        }
        shares
    }
}

/// Tokens that a pass over examples of ascending lengths computes, padding included.
#[must_use]
pub fn padded(lengths: &[usize]) -> usize {
    lengths.len() * lengths.last().copied().unwrap_or(0)
}

fn passes(lengths: &[usize], share: Range<usize>, limit: usize) -> Vec<Range<usize>> {
    let mut passes: Vec<Range<usize>> = Vec::new();
    let mut start = share.start;
    for index in share.clone() {
        if index > start && (index + 1 - start).saturating_mul(lengths[index]) > limit {
            passes.push(start..index);
            start = index;
        }
    }
    passes.push(start..share.end);
    let tokens: usize = lengths[share].iter().sum();
    loop {
        let computed: usize = passes.iter().map(|pass| padded(&lengths[pass.clone()])).sum();
        if (computed - tokens) as f64 <= MOST_PADDING * computed as f64 {
            return passes;
        }
        // Where a cut saves most: the examples before it are padded to the last of them and no longer to the pass's.
        let saved = |pass: &Range<usize>, at: usize| {
            (at - pass.start) * (lengths[pass.end - 1] - lengths[at - 1])
        };
        let best = passes.iter().enumerate().flat_map(|(index, pass)| {
            (pass.start + 1..pass.end).map(move |at| (saved(pass, at), index, at))
        });
        // Padding is left, so that some pass has examples of two lengths.
        let Some((_, index, at)) = best.max_by_key(|&(saved, _, _)| saved) else {
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

    fn lengths() -> Vec<usize> {
        (0..500).map(|index| 5 + index * 37 % 60).collect()
    }

    #[test]
    fn every_example_is_in_one_batch_within_the_budget() {
        let lengths = lengths();
        let batches = plan(&lengths, 256, 1, 0);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for batch in &batches {
            let sorted: Vec<usize> = batch.iter().map(|&index| lengths[index]).collect();
            assert!(sorted.is_sorted(), "{sorted:?}");
            assert!(padded(&sorted) <= 256, "{batch:?}");
        }
    }

    #[test]
    fn like_lengths_share_a_batch() {
        let lengths = lengths();
        let computed: usize = plan(&lengths, 256, 1, 0)
            .iter()
            .map(|batch| batch.len() * batch.iter().map(|&index| lengths[index]).max().unwrap())
            .sum();
        // Unsorted batches of lengths 5 to 64 would be padded by about two thirds.
        let share = 1.0 - lengths.iter().sum::<usize>() as f64 / computed as f64;
        assert!(share < 0.1, "{share}");
    }

    #[test]
    fn an_example_over_the_budget_is_a_batch_alone() {
        let batches = plan(&[10, 300, 10, 299], 64, 1, 0);
        assert!(batches.contains(&vec![1]) && batches.contains(&vec![3]));
        assert_eq!(batches.len(), 3);
    }

    #[test]
    fn the_order_is_a_function_of_seed_and_epoch() {
        let lengths = lengths();
        assert_eq!(plan(&lengths, 256, 1, 0), plan(&lengths, 256, 1, 0));
        assert_ne!(plan(&lengths, 256, 1, 0), plan(&lengths, 256, 1, 1));
        assert_ne!(plan(&lengths, 256, 1, 0), plan(&lengths, 256, 2, 0));
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
                let batches = plan(&lengths, 8192, 5, 0);
                for batch in &batches {
                    let lengths: Vec<usize> = batch.iter().map(|&index| lengths[index]).collect();
                    let shares = cut.passes(&lengths);
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
        let tokens: Vec<usize> =
            cut.shares(&lengths).into_iter().map(|share| lengths[share].iter().sum()).collect();
        assert_eq!(tokens.len(), 3);
        assert!(tokens.iter().all(|&tokens| tokens.abs_diff(4095 / 3) < 90), "{tokens:?}");
        assert_eq!(cut.passes(&[7]), [vec![Range { start: 0, end: 1 }]]);
        assert_eq!(cut.passes(&[7, 7, 7, 7]).len(), 3);
        assert!(cut.passes(&[]).is_empty());
    }
}
