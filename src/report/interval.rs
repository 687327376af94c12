//! Proportions with a 95 % interval when the same problems are answered in several runs.

use serde::{Deserialize, Serialize};

/// A proportion and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// Mean over all cells, in [0, 1].
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean of `runs[run][problem]` (each in [0, 1]) and its 95 % interval.
///
/// The variance of the mean is the sum of what the choice of problems contributes (answers to one problem in several runs are
/// not independent, so a problem counts once) and of what the runs contribute (their seeds). It enters Wilson's score
/// interval through the effective number of samples, `p (1 - p) / variance`, so that the interval stays within [0, 1] and does not
/// collapse at 0 or 1.
#[must_use]
pub fn proportion(runs: &[Vec<f64>]) -> Proportion {
    let problems = runs.first().map_or(0, Vec::len);
    if problems == 0 {
        return Proportion { mean: f64::NAN, low: 0.0, high: 1.0 };
    }
    let by_problem: Vec<f64> = (0..problems)
        .map(|problem| mean(&runs.iter().map(|run| run[problem]).collect::<Vec<_>>()))
        .collect();
    let by_run: Vec<f64> = runs.iter().map(|run| mean(run)).collect();
    let p = mean(&by_problem);
    let variance = variance_of_mean(&by_problem) + variance_of_mean(&by_run);
    let spread = p * (1.0 - p);
    let samples = if variance > 0.0 { spread / variance } else { problems as f64 };
    let (low, high) = wilson(p, samples);
    Proportion { mean: p, low, high }
}

/// The mean of a figure of several runs, whose intervals are independent; `None` of no run.
#[must_use]
pub fn mean_of_runs(runs: &[Proportion]) -> Option<Proportion> {
    if let [one] = runs {
        return Some(*one);
    }
    let count = runs.len() as f64;
    let mean = runs.iter().map(|run| run.mean).sum::<f64>() / count;
    let squares: f64 = runs.iter().map(|run| ((run.high - run.low) / 2.0).powi(2)).sum();
    let half = squares.sqrt() / count;
    (!runs.is_empty()).then_some(Proportion { mean, low: mean - half, high: mean + half })
}

/// A share with its interval for a table, in per cent.
#[must_use]
pub fn percent(share: Proportion) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * share.mean, 100.0 * share.low, 100.0 * share.high)
}

/// Wilson's score interval (1927, eq. 4) at 95 %.
fn wilson(p: f64, samples: f64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let scale = 1.0 + Z * Z / samples;
    let centre = (p + Z * Z / (2.0 * samples)) / scale;
    let half = Z / scale * (p * (1.0 - p) / samples + Z * Z / (4.0 * samples * samples)).sqrt();
    // It holds the proportion itself, which the last digit of its ends may pass by.
    ((centre - half).max(0.0).min(p), (centre + half).min(1.0).max(p))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample variance over count; 0 for a single value, which says nothing of its spread.
fn variance_of_mean(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (values.len() - 1) as f64 / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_is_close_to_wilson() {
        // 30 of 100: Wilson's interval is [0.2189, 0.3958].
        let run = (0..100).map(|i| if i < 30 { 1.0 } else { 0.0 }).collect();
        let result = proportion(&[run]);
        assert!((result.mean - 0.3).abs() < 1e-12);
        assert!((result.low - 0.2189).abs() < 1e-3 && (result.high - 0.3958).abs() < 1e-3);
    }

    #[test]
    fn repeating_a_run_adds_no_certainty() {
        let run: Vec<f64> = (0..50).map(|i| f64::from(i % 2)).collect();
        assert_eq!(proportion(std::slice::from_ref(&run)), proportion(&[run.clone(), run]));
    }

    #[test]
    fn runs_that_disagree_widen_the_interval() {
        let high: Vec<f64> = (0..100).map(|i| if i < 60 { 1.0 } else { 0.0 }).collect();
        let low: Vec<f64> = (0..100).map(|i| if i < 20 { 1.0 } else { 0.0 }).collect();
        let apart = proportion(&[high, low]);
        let same: Vec<f64> = (0..100).map(|i| if i < 40 { 1.0 } else { 0.0 }).collect();
        let together = proportion(&[same.clone(), same]);
        assert!(apart.high - apart.low > together.high - together.low);
    }

    #[test]
    fn the_ends_stay_inside_and_do_not_collapse() {
        let none = proportion(&[vec![0.0; 40]]);
        assert!(none.low == 0.0 && none.high > 0.05 && none.high < 0.15);
    }
}
