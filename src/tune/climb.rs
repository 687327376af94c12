//! Climbing: a setting is doubled, or else halved, while that is surely faster.

use std::ops::RangeInclusive;

use anyhow::Result;
use serde::Serialize;

use crate::compute::ComputeRecipe;

/// How much faster a setting must be in the median to be taken: less is no reason to change a recipe.
const LEAST_GAIN: f64 = 1.03;

/// A number of `[compute]`.
pub(super) struct Setting {
    pub key: &'static str,
    pub get: fn(&ComputeRecipe) -> usize,
    pub set: fn(&mut ComputeRecipe, usize),
    /// The values that are tried; a recipe's own that is none of them stays as it is.
    pub range: RangeInclusive<usize>,
}

/// The speed of one choice by that of another, over measurements in turn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// The median ratio.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    /// Pairs of measurements.
    pub pairs: usize,
}

impl Comparison {
    /// Of at least one ratio.
    pub(super) fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let pairs = ratios.len();
        Self { median: ratios[pairs / 2], least: ratios[0], most: ratios[pairs - 1], pairs }
    }

    /// Faster in every pair, and by more than the least gain in the median.
    fn is_faster(self) -> bool {
        self.least > 1.0 && self.median >= LEAST_GAIN
    }
}

/// A value that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The key in `[compute]`.
    pub key: &'static str,
    /// The value.
    pub value: usize,
    /// The best one so far, which it was compared with.
    pub against: usize,
    /// How much faster it is.
    pub speed: Comparison,
    /// Whether it became the best.
    pub taken: bool,
}

/// The best choice that is found from `start`, and what was tried; `compare(best, candidate)` is how much faster the candidate is.
pub(super) fn climb(
    start: &ComputeRecipe,
    settings: &[Setting],
    mut compare: impl FnMut(&ComputeRecipe, &ComputeRecipe) -> Result<Comparison>,
) -> Result<(ComputeRecipe, Vec<Trial>)> {
    let mut best = start.clone();
    let mut trials = Vec::new();
    let directions: [fn(usize) -> usize; 2] = [|value| value.saturating_mul(2), |value| value / 2];
    for Setting { key, get, set, range } in settings {
        let first = get(&best);
        if !range.contains(&first) {
            continue;
        }
        for next in directions {
            // What was faster when it grew is not tried smaller.
            if get(&best) != first {
                break;
            }
            loop {
                let against = get(&best);
                let value = next(against).clamp(*range.start(), *range.end());
                if value == against {
                    break;
                }
                let mut candidate = best.clone();
                set(&mut candidate, value);
                let speed = compare(&best, &candidate)?;
                let taken = speed.is_faster();
                trials.push(Trial { key, value, against, speed, taken });
                if !taken {
                    break;
                }
                best = candidate;
            }
        }
    }
    Ok((best, trials))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: Setting = Setting {
        key: "slots",
        get: |compute| compute.slots,
        set: |compute, value| compute.slots = value,
        range: 1..=500,
    };

    /// Climbs from some slots where speed falls with the distance from the fastest number of them.
    fn found(start: usize, fastest: f64) -> (usize, Vec<usize>) {
        let speed =
            |compute: &ComputeRecipe| 1.0 / (1.0 + (compute.slots as f64 / fastest).log2().abs());
        let start = ComputeRecipe { slots: start, ..ComputeRecipe::default() };
        let compare = |best: &ComputeRecipe, candidate: &ComputeRecipe| {
            Ok(Comparison::of(vec![speed(candidate) / speed(best)]))
        };
        let (best, trials) = climb(&start, &[SLOTS], compare).unwrap();
        (best.slots, trials.iter().map(|trial| trial.value).collect())
    }

    #[test]
    fn it_goes_where_it_is_faster_and_stops_behind_the_top() {
        assert_eq!(found(48, 190.0), (192, vec![96, 192, 384]));
        assert_eq!(found(48, 12.0), (12, vec![96, 24, 12, 6]));
        assert_eq!(found(48, 48.0), (48, vec![96, 24]));
        assert_eq!(found(300, 9000.0), (500, vec![500]));
        assert_eq!(found(2, 0.1), (1, vec![4, 1]));
    }

    #[test]
    fn what_is_out_of_range_is_left_alone_and_not_pulled_in() {
        assert_eq!(found(800, 9000.0), (800, vec![]));
    }

    #[test]
    fn what_is_faster_now_and_then_is_not_faster() {
        for (ratios, faster) in [
            (vec![1.1, 1.2, 1.05], true),
            (vec![1.3, 1.2, 0.99], false),
            (vec![1.01, 1.02, 1.2], false),
        ] {
            assert_eq!(Comparison::of(ratios.clone()).is_faster(), faster, "{ratios:?}");
        }
    }
}
