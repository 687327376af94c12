//! Which examples share a step: batches of like lengths under a budget of tokens.

use crate::random::{shuffle, stream};

/// Number of batches whose examples are sorted by length together. Larger means less padding and less mixing.
const BATCHES_A_BUCKET: usize = 16;
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"batches\0");

/// The batches of one epoch, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Indices into the lengths.
    pub batches: Vec<Vec<usize>>,
    /// Tokens of examples.
    pub tokens: usize,
    /// Tokens of padding beside them.
    pub padding: usize,
}

/// Plans an epoch: a function of its arguments. Every example is in exactly one batch; a batch's examples, padded to
/// the longest, have at most `budget` tokens, except that an example longer than the budget is a batch alone.
#[must_use]
pub fn plan(lengths: &[usize], budget: usize, seed: u64, epoch: usize) -> Epoch {
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

    let padded = batches
        .iter()
        .map(|batch| batch.len() * batch.iter().map(|&index| lengths[index]).max().unwrap_or(0));
    let padded: usize = padded.sum();
    let tokens: usize = lengths.iter().sum();
    Epoch { batches, tokens, padding: padded - tokens }
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
        let epoch = plan(&lengths, 256, 1, 0);
        let mut seen: Vec<usize> = epoch.batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        let mut padded = 0;
        for batch in &epoch.batches {
            let longest = batch.iter().map(|&index| lengths[index]).max().unwrap();
            assert!(batch.len() * longest <= 256, "{batch:?}");
            padded += batch.len() * longest;
        }
        assert_eq!(epoch.tokens, lengths.iter().sum::<usize>());
        assert_eq!(epoch.padding, padded - epoch.tokens);
    }

    #[test]
    fn like_lengths_share_a_batch() {
        let epoch = plan(&lengths(), 256, 1, 0);
        // Unsorted batches of lengths 5 to 64 would be padded by about two thirds.
        let share = epoch.padding as f64 / epoch.tokens as f64;
        assert!(share < 0.1, "{share}");
    }

    #[test]
    fn an_example_over_the_budget_is_a_batch_alone() {
        let epoch = plan(&[10, 300, 10, 299], 64, 1, 0);
        assert!(epoch.batches.contains(&vec![1]) && epoch.batches.contains(&vec![3]));
        assert_eq!(epoch.batches.len(), 3);
    }

    #[test]
    fn the_order_is_a_function_of_seed_and_epoch() {
        let lengths = lengths();
        assert_eq!(plan(&lengths, 256, 1, 0), plan(&lengths, 256, 1, 0));
        assert_ne!(plan(&lengths, 256, 1, 0).batches, plan(&lengths, 256, 1, 1).batches);
        assert_ne!(plan(&lengths, 256, 1, 0).batches, plan(&lengths, 256, 2, 0).batches);
        assert_eq!(plan(&[], 256, 1, 0).batches, Vec::<Vec<usize>>::new());
    }
}
