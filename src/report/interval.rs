//! Proportions with a 95 % interval when the same problems are answered in several runs.

use serde::{Deserialize, Serialize};

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

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
    let (by_problem, by_run) = means(runs);
    let problems = by_problem.len();
    if problems == 0 {
        return Proportion { mean: f64::NAN, low: 0.0, high: 1.0 };
    }
    let p = mean(&by_problem);
    let variance = variance_of_mean(&by_problem) + variance_of_mean(&by_run);
    let spread = p * (1.0 - p);
    let samples = if variance > 0.0 { spread / variance } else { problems as f64 };
    let (low, high) = wilson(p, samples);
    Proportion { mean: p, low, high }
}

/// A difference of two figures in [0, 1] and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean, in [-1, 1].
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean of `runs[run][problem]`, differences on the same problem (each in [-1, 1]), and its 95 % interval.
///
/// Answers to one problem in several runs are not independent, so that a problem counts once. The problems' means contribute a normal
/// interval whose width counts one problem more that gained and one that lost, half each (Agresti and Min 2005): without, it would have none where
/// all are alike. The runs contribute Student's t interval of their means. Both are added as independent errors are. Of no run all is NaN.
#[must_use]
pub fn difference(runs: &[Vec<f64>]) -> Difference {
    let (by_problem, by_run) = means(runs);
    let mean = mean(&by_run);
    let count = by_problem.len() as f64 + 2.0;
    let squares = by_problem.iter().map(|difference| difference.powi(2)).sum::<f64>() + 1.0;
    let centre = by_problem.iter().sum::<f64>() / count;
    let problems = Z * ((squares / count - centre.powi(2)) / count).sqrt();
    let between = match runs.len() {
        0 | 1 => 0.0,
        count => student_t(count - 1) * variance_of_mean(&by_run).sqrt(),
    };
    let half = problems.hypot(between);
    Difference { mean, low: (mean - half).max(-1.0), high: (mean + half).min(1.0) }
}

/// The means of `runs[run][problem]`: of each problem over the runs, and of each run.
fn means(runs: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let problems = runs.first().map_or(0, Vec::len);
    let of_problem =
        |problem: usize| mean(&runs.iter().map(|run| run[problem]).collect::<Vec<_>>());
    ((0..problems).map(of_problem).collect(), runs.iter().map(|run| mean(run)).collect())
}

/// The mean of a figure in [0, 1] of several runs of which only the runs' own intervals are known; `None` of no run.
///
/// The runs share their problems, so that what the choice of problems contributes does not shrink with their number: on each side it
/// is the root mean square of the runs' own distances. The runs contribute Student's t interval of their means. Both are added as
/// independent errors are.
#[must_use]
pub fn mean_of_runs(runs: &[Proportion]) -> Option<Proportion> {
    if let [] | [_] = runs {
        return runs.first().copied();
    }
    let means: Vec<f64> = runs.iter().map(|run| run.mean).collect();
    let centre = mean(&means);
    let between = student_t(runs.len() - 1) * variance_of_mean(&means).sqrt();
    let side = |distance: fn(&Proportion) -> f64| {
        let squares: Vec<f64> = runs.iter().map(|run| distance(run).powi(2)).collect();
        mean(&squares).sqrt().hypot(between)
    };
    let low = (centre - side(|run| run.mean - run.low)).max(0.0);
    let high = (centre + side(|run| run.high - run.mean)).min(1.0);
    Some(Proportion { mean: centre, low, high })
}

/// The 97.5 % quantile of Student's t distribution; beyond ten degrees of freedom by the first terms of its expansion around the
/// normal one (Abramowitz and Stegun 26.7.5).
fn student_t(freedom: usize) -> f64 {
    const FIRST: [f64; 10] =
        [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];
    let expansion = |n: f64| {
        let [first, second] = [Z.powi(3) + Z, 5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z];
        Z + first / (4.0 * n) + second / (96.0 * n * n)
    };
    FIRST.get(freedom.wrapping_sub(1)).copied().unwrap_or_else(|| expansion(freedom as f64))
}

/// A share with its interval for a table, in per cent.
#[must_use]
pub fn percent(share: Proportion) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * share.mean, 100.0 * share.low, 100.0 * share.high)
}

/// Wilson's score interval (1927, eq. 4) at 95 %.
fn wilson(p: f64, samples: f64) -> (f64, f64) {
    let scale = 1.0 + Z * Z / samples;
    let centre = (p + Z * Z / (2.0 * samples)) / scale;
    let half = Z / scale * (p * (1.0 - p) / samples + Z * Z / (4.0 * samples * samples)).sqrt();
    // It holds the proportion itself, which the last digit of its ends may pass by.
    ((centre - half).max(0.0).min(p), (centre + half).min(1.0).max(p))
}

/// The mean of numbers, of which there is one at least.
pub(crate) fn mean(values: &[f64]) -> f64 {
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
    fn a_paired_difference_leaves_out_what_problems_have_in_common() {
        // Of 400 problems, 40 are gained and 20 lost: s = 0.3847, the interval 0.05 -+ 1.96 s / 20.
        let run: Vec<f64> = (0..400)
            .map(|i| [1.0, -1.0, 0.0][usize::from(i >= 40) + usize::from(i >= 60)])
            .collect();
        let one = difference(std::slice::from_ref(&run));
        assert!((one.mean - 0.05).abs() < 1e-12);
        assert!((one.low - 0.0123).abs() < 1e-3 && (one.high - 0.0877).abs() < 1e-3, "{one:?}");
        // The same again says no more.
        let twice = difference(&[run.clone(), run.clone()]);
        assert!((twice.low - one.low).abs() < 1e-12);
        // Runs that differ by a tenth widen it by Student's t of two runs: 12.7 times 0.05.
        let other = run.iter().map(|x| (x + 0.1f64).min(1.1)).collect();
        let apart = difference(&[run, other]);
        assert!(apart.high - apart.mean > 0.6, "{apart:?}");
        // No difference in five problems is not certainty: 1.96 sqrt(1 / 49).
        let none = difference(&[vec![0.0; 5]]);
        assert!((none.high - 0.28).abs() < 1e-3 && none.low == -none.high, "{none:?}");
        let all = difference(&[vec![1.0; 5]]);
        assert!(all.low < 0.7 && all.high == 1.0, "{all:?}");
        assert!(difference(&[]).mean.is_nan());
    }

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
    fn runs_that_share_their_problems_are_no_surer_than_one() {
        let own = Proportion { mean: 0.02, low: 0.005, high: 0.08 };
        let together = mean_of_runs(&[own; 5]).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(together.low, own.low) && near(together.high, own.high), "{together:?}");
        // Means 0.1 and 0.3: their variance is 0.02, that of the mean 0.01, and t of one degree is 12.7.
        let apart = [0.1, 0.3].map(|mean| Proportion { mean, low: mean, high: mean });
        let apart = mean_of_runs(&apart).unwrap();
        assert_eq!((apart.low, apart.high), (0.0, 1.0));
        let close =
            [0.50, 0.52, 0.54].map(|mean| Proportion { mean, low: mean - 0.03, high: mean + 0.04 });
        let close = mean_of_runs(&close).unwrap();
        // t of two degrees times 0.02 / sqrt(3), beside each run's own error.
        let between = 4.3027 * 0.02 / 3.0_f64.sqrt();
        assert!(near(close.low, 0.52 - 0.03_f64.hypot(between)), "{close:?}");
        assert!(near(close.high, 0.52 + 0.04_f64.hypot(between)), "{close:?}");
        assert_eq!((mean_of_runs(&[]), mean_of_runs(&[own])), (None, Some(own)));
    }

    #[test]
    fn students_t_falls_to_the_normal_quantile() {
        let t: Vec<f64> = (1..200).map(student_t).collect();
        assert!(t.windows(2).all(|pair| pair[0] > pair[1]));
        assert!((t[10] - 2.2010).abs() < 3e-3 && (t[29] - 2.0423).abs() < 1e-3);
        assert!(t[198] > Z && t[198] < Z + 0.02);
    }

    #[test]
    fn the_ends_stay_inside_and_do_not_collapse() {
        let none = proportion(&[vec![0.0; 40]]);
        assert!(none.low == 0.0 && none.high > 0.05 && none.high < 0.15);
    }
}
