//! Eigenvalues and eigenvectors of symmetric tridiagonal matrices.

/// All eigenvalues, largest first, and their unit eigenvectors, by the QL method with implicit shifts (Bowdler, Martin,
/// Reinsch & Wilkinson, Numerische Mathematik 11, 1968). `diagonal` has `n` numbers, `beside` the `n - 1` next to it.
pub(super) fn eigen(diagonal: &[f64], beside: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let size = diagonal.len();
    let mut d = diagonal.to_vec();
    let mut e = beside.to_vec();
    e.resize(size, 0.0);
    // Row i is the i-th eigenvector.
    let mut vectors: Vec<Vec<f64>> = (0..size)
        .map(|at| {
            let mut row = vec![0.0; size];
            row[at] = 1.0;
            row
        })
        .collect();
    for low in 0..size {
        // Three passes a number are usual; numbers that are not finite would never end.
        for _ in 0..50 {
            let small =
                |at: &usize| e[*at].abs() <= f64::EPSILON * (d[*at].abs() + d[*at + 1].abs());
            let high = (low..size - 1).find(small).unwrap_or(size - 1);
            if high == low {
                break;
            }
            let half = (d[low + 1] - d[low]) / (2.0 * e[low]);
            let root = half.hypot(1.0);
            let mut g = d[high] - d[low] + e[low] / (half + root.copysign(half));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut split = false;
            for at in (low..high).rev() {
                let (f, b) = (sine * e[at], cosine * e[at]);
                let r = f.hypot(g);
                e[at + 1] = r;
                if r == 0.0 {
                    d[at + 1] -= shift;
                    e[high] = 0.0;
                    split = true;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = d[at + 1] - shift;
                let t = (d[at] - g) * sine + 2.0 * cosine * b;
                shift = sine * t;
                d[at + 1] = g + shift;
                g = cosine * t - b;
                let (before, after) = vectors.split_at_mut(at + 1);
                for (one, other) in before[at].iter_mut().zip(&mut after[0]) {
                    let (x, y) = (*one, *other);
                    *other = sine * x + cosine * y;
                    *one = cosine * x - sine * y;
                }
            }
            if !split {
                d[low] -= shift;
                e[low] = g;
                e[high] = 0.0;
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&one, &other| d[other].total_cmp(&d[one]));
    let vectors = order.iter().map(|&at| std::mem::take(&mut vectors[at])).collect();
    (order.iter().map(|&at| d[at]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_solves_its_equation() {
        let diagonal: Vec<f64> = (0..30).map(|at| (f64::from(at) * 1.7).sin() * 3.0).collect();
        let mut beside: Vec<f64> = (0..29).map(|at| (f64::from(at) * 0.9).cos()).collect();
        beside[11] = 0.0;
        let (values, vectors) = eigen(&diagonal, &beside);
        assert!(values.is_sorted_by(|one, other| one >= other));
        for (value, vector) in values.iter().zip(&vectors) {
            for at in 0..30 {
                let left = if at > 0 { beside[at - 1] * vector[at - 1] } else { 0.0 };
                let right = if at < 29 { beside[at] * vector[at + 1] } else { 0.0 };
                let off = left + diagonal[at] * vector[at] + right - value * vector[at];
                assert!(off.abs() < 1e-12, "{off}");
            }
            assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
        }
        // The trace.
        assert!((values.iter().sum::<f64>() - diagonal.iter().sum::<f64>()).abs() < 1e-12);
    }
}
