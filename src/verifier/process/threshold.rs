//! The choice of a threshold.

use anyhow::{Context, Result, ensure};

use super::Scored;
use super::metrics::harmonic_mean;

/// Counts solutions with a wrong step and without.
///
/// # Errors
/// When one of the kinds is absent: no threshold can be chosen on the other alone.
pub fn both_kinds(first_errors: impl IntoIterator<Item = Option<usize>>) -> Result<(usize, usize)> {
    let (mut n_error, mut n_correct) = (0, 0);
    for first_error in first_errors {
        *if first_error.is_some() { &mut n_error } else { &mut n_correct } += 1;
    }
    ensure!(
        n_error > 0 && n_correct > 0,
        "a threshold needs solutions with a wrong step and without; there are {n_error} and {n_correct}"
    );
    Ok((n_error, n_correct))
}

/// The threshold of the best F1, the lowest of equals.
///
/// Only a value below all earlier ones of its solution can be the first below a threshold. Going up through those values, each one
/// moves its solution's prediction to its own step.
///
/// # Errors
/// When solutions with an error or without are absent.
pub fn best_threshold(scored: &[Scored]) -> Result<f64> {
    let (n_error, n_correct) = both_kinds(scored.iter().map(|scored| scored.first_error))?;
    let mut minima: Vec<(f64, usize, usize)> = Vec::new();
    for (index, solution) in scored.iter().enumerate() {
        let mut least = f64::INFINITY;
        for (step, &value) in solution.values.iter().enumerate() {
            if value < least {
                least = value;
                minima.push((value, index, step));
            }
        }
    }
    minima.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lowest = minima.first().context("no step has a value")?.0;
    let mut found = vec![false; scored.len()];
    let (mut errors, mut corrects) = (0_usize, n_correct);
    let mut called = vec![false; scored.len()];
    let mut best = (0.0, lowest);
    let mut at = 0;
    while at < minima.len() {
        let value = minima[at].0;
        while at < minima.len() && minima[at].0 == value {
            let (_, index, step) = minima[at];
            match scored[index].first_error {
                Some(first) => {
                    errors -= usize::from(found[index]);
                    found[index] = first == step;
                    errors += usize::from(found[index]);
                }
                None => corrects -= usize::from(!called[index]),
            }
            called[index] = true;
            at += 1;
        }
        let f1 = harmonic_mean(errors as f64 / n_error as f64, corrects as f64 / n_correct as f64);
        // Between this value and the next one up, so that rounding moves neither across.
        let threshold = minima
            .get(at)
            .map_or(value.next_up(), |next| value.midpoint(next.0).max(value.next_up()));
        if f1 > best.0 {
            best = (f1, threshold);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::super::metrics::metrics;
    use super::super::metrics::tests::{example, scored};
    use super::*;

    #[test]
    fn the_best_threshold_is_the_best_of_all() {
        let example = example();
        let f1 = |scored: &[Scored], threshold| metrics(scored, threshold, 1).f1.unwrap().mean;
        let best = best_threshold(&example).unwrap();
        // Values 0.9 -0.5 | -0.2 -0.9 | 0.5 0.4 0.1 | 0.05 0.6 | 0.7 0.3 | 0.2 -0.1: between -0.2 and -0.1 two errors are found
        // and nothing else is called wrong; from 0.1 to 0.2 three of four, and one of two.
        assert!(best > -0.2 && best <= -0.1, "{best}");
        // Against every threshold that there is, on values drawn at random with ties.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..200 {
            let drawn: Vec<Scored> = (0..8)
                .map(|index| {
                    let values: Vec<f64> =
                        (0..4).map(|_| f64::from(rng.random_range(-5_i32..=5)) / 5.0).collect();
                    scored((index % 3 > 0).then(|| rng.random_range(0..4)), &values)
                })
                .collect();
            let best = f1(&drawn, best_threshold(&drawn).unwrap());
            let all = (-11..=13).map(|tenth| f1(&drawn, f64::from(tenth) / 10.0));
            assert_eq!(best, all.fold(0.0, f64::max));
        }
        assert!(best_threshold(&example[..4]).unwrap_err().to_string().contains("4 and 0"));
    }
}
