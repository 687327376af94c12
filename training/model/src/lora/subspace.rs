//! The part of a weight that an adapter's pairs began with: a few of its directions.

use rand_chacha::ChaCha8Rng;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::tridiagonal::eigen;
use crate::parameters::Parameter;
use crate::random::{normal, stream};

/// Rows whose products are added up by one thread, so that sums do not depend on how many threads there are.
const ROWS: usize = 64;
/// How far an eigenvector may be from its equation, in the unit of the largest eigenvalue.
const TOLERANCE: f64 = 1e-12;
/// What 32 bits tell apart, in the unit of the largest number: PEFT finds the same directions in 32 bits.
const RESOLUTION: f64 = 1e-6;
/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"lanczos\0");

/// Orthonormal directions of a weight's outputs, each `[out]`.
pub(super) type Basis = Vec<Vec<f64>>;

/// The left singular vectors of the `rank` largest singular values of a weight `[out, in]`: Lanczos' method on `W W^T`
/// with every vector kept orthogonal to all before it (Golub & Van Loan, "Matrix Computations", 4th ed., §10.1-10.3).
/// `None` where the last of them is not determined, since the next singular value is as large.
pub(super) fn largest(weight: &Parameter, rank: usize) -> Option<Basis> {
    let (out, input) = sizes(weight)?;
    let mut rng = stream(0, [PURPOSE, 0]);
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut basis: Basis = vec![random_beside(&[], out, &mut rng)?];
    let mut check = 2 * rank + 8;
    loop {
        let last = basis.last()?;
        let mut next = multiply(weight, &multiply_transposed(weight, last, input));
        diagonal.push(dot(&next, last));
        make_orthogonal(&mut next, &basis);
        let length = norm(&next);
        let whole = basis.len() == out;
        if whole || basis.len() >= check {
            check += check / 2;
            let (values, vectors) = eigen(&diagonal, &beside);
            let greatest = values.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
            let far = |vector: &Vec<f64>| length * vector.last().map_or(0.0, |last| last.abs());
            if whole || vectors.iter().take(rank + 1).all(|v| far(v) <= TOLERANCE * greatest) {
                let root = |at: usize| values.get(at).map_or(0.0, |value| value.max(0.0).sqrt());
                let (least, beyond) = (root(rank - 1), root(rank));
                let unit = RESOLUTION * greatest.sqrt();
                if least - beyond < unit && least > unit && rank < out {
                    return None;
                }
                let chosen = vectors.iter().take(rank);
                return Some(chosen.map(|vector| combine(&basis, vector)).collect());
            }
        }
        // An invariant subspace: what lies outside of it has still to be seen.
        let scale = diagonal.iter().copied().fold(0.0, f64::max);
        if length <= 1e-14 * scale || length == 0.0 {
            beside.push(0.0);
            basis.push(random_beside(&basis, out, &mut rng)?);
        } else {
            next.iter_mut().for_each(|number| *number /= length);
            beside.push(length);
            basis.push(next);
        }
    }
}

/// An orthonormal basis of a weight's first `rank` columns. `None` where one of them is nearly a sum of those before it, so
/// that its direction is not determined.
pub(super) fn first_columns(weight: &Parameter, rank: usize) -> Option<Basis> {
    let (out, input) = sizes(weight)?;
    let mut basis = Basis::new();
    for column in 0..rank.min(out).min(input) {
        let rows = weight.values.chunks_exact(input);
        let mut vector: Vec<f64> = rows.map(|row| f64::from(row[column])).collect();
        let before = norm(&vector);
        make_orthogonal(&mut vector, &basis);
        let length = norm(&vector);
        if length <= 10.0 * RESOLUTION * before {
            return None;
        }
        vector.iter_mut().for_each(|number| *number /= length);
        basis.push(vector);
    }
    Some(basis)
}

/// Takes `factor` times what lies in the basis out of a weight: `W - factor * Q Q^T W`.
pub(super) fn take_out(weight: &mut Parameter, basis: &Basis, factor: f64) {
    let Some((_, input)) = sizes(weight) else {
        return;
    };
    let parts: Vec<Vec<f64>> =
        basis.iter().map(|vector| multiply_transposed(weight, vector, input)).collect();
    weight.values.par_chunks_mut(input).enumerate().for_each_init(
        || vec![0.0; input],
        |sum, (at, row)| {
            sum.fill(0.0);
            for (vector, part) in basis.iter().zip(&parts) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += vector[at] * part);
            }
            for (number, sum) in row.iter_mut().zip(&*sum) {
                *number = (f64::from(*number) - factor * sum) as f32;
            }
        },
    );
}

/// Out and in; `None` where there are none.
fn sizes(weight: &Parameter) -> Option<(usize, usize)> {
    match *weight.shape {
        [out, input] if out > 0 && input > 0 => Some((out, input)),
        _ => None,
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// `W v`, `[out]`.
fn multiply(weight: &Parameter, vector: &[f64]) -> Vec<f64> {
    let row = |row: &[f32]| row.iter().zip(vector).map(|(&w, v)| f64::from(w) * v).sum();
    weight.values.par_chunks(vector.len()).map(row).collect()
}

/// `W^T v`, `[in]`.
fn multiply_transposed(weight: &Parameter, vector: &[f64], input: usize) -> Vec<f64> {
    let blocks = weight.values.par_chunks(ROWS * input).zip(vector.par_chunks(ROWS));
    let sums: Vec<Vec<f64>> = blocks
        .map(|(rows, factors)| {
            let mut sum = vec![0.0; input];
            for (row, factor) in rows.chunks_exact(input).zip(factors) {
                sum.iter_mut().zip(row).for_each(|(sum, &w)| *sum += factor * f64::from(w));
            }
            sum
        })
        .collect();
    sums.into_iter().fold(vec![0.0; input], |mut total, sum| {
        total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
        total
    })
}

/// Takes out of a vector what lies in the basis; twice, since once leaves rounding errors of the size of what was taken.
fn make_orthogonal(vector: &mut [f64], basis: &[Vec<f64>]) {
    for _ in 0..2 {
        for other in basis {
            let part = dot(vector, other);
            vector.iter_mut().zip(other).for_each(|(number, other)| *number -= part * other);
        }
    }
}

/// A unit vector that is orthogonal to the basis; `None` where nothing is.
fn random_beside(basis: &[Vec<f64>], size: usize, rng: &mut ChaCha8Rng) -> Option<Vec<f64>> {
    let draws = (0..4).map(|_| {
        let mut vector: Vec<f64> = (0..size).map(|_| f64::from(normal(rng))).collect();
        let before = norm(&vector);
        make_orthogonal(&mut vector, basis);
        let length = norm(&vector);
        vector.iter_mut().for_each(|number| *number /= length);
        (length > 1e-8 * before).then_some(vector)
    });
    draws.flatten().next()
}

/// The sum of the basis' vectors, each times its factor.
fn combine(basis: &[Vec<f64>], factors: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; basis.first().map_or(0, Vec::len)];
    for (vector, factor) in basis.iter().zip(factors) {
        sum.iter_mut().zip(vector).for_each(|(sum, number)| *sum += factor * number);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sum of sigma * u v^T` with u and v from orthonormal bases of random vectors.
    fn matrix(out: usize, input: usize, sigmas: &[f64]) -> (Parameter, Basis) {
        let mut rng = stream(7, [1, 2]);
        let mut draw = |size| {
            let mut basis = Basis::new();
            for _ in sigmas {
                let vector = random_beside(&basis, size, &mut rng).unwrap();
                basis.push(vector);
            }
            basis
        };
        let (left, right) = (draw(out), draw(input));
        let mut values = vec![0.0; out * input];
        for ((u, v), sigma) in left.iter().zip(&right).zip(sigmas) {
            for (row, u) in values.chunks_exact_mut(input).zip(u) {
                row.iter_mut().zip(v).for_each(|(number, v)| *number += (sigma * u * v) as f32);
            }
        }
        (Parameter { shape: vec![out, input], values }, left)
    }

    #[test]
    fn the_largest_directions_are_found_in_any_shape() {
        let sigmas: Vec<f64> = (0..20).map(|at| 3.0 * 0.8f64.powi(at)).collect();
        for (out, input) in [(20, 70), (70, 20), (150, 150)] {
            let (mut weight, left) = matrix(out, input, &sigmas);
            let basis = largest(&weight, 4).unwrap();
            for vector in &left[..4] {
                let inside: f64 = basis.iter().map(|found| dot(found, vector).powi(2)).sum();
                assert!((inside - 1.0).abs() < 1e-10, "{out} {input}: {inside}");
            }
            take_out(&mut weight, &basis, 1.0);
            let rest = largest(&weight, 1).unwrap().pop().unwrap();
            assert!((dot(&rest, &left[4]).abs() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn directions_that_are_not_determined_are_refused() {
        let (weight, _) = matrix(12, 9, &[2.0, 1.0, 1.0, 0.5]);
        assert!(largest(&weight, 2).is_none());
        assert!(largest(&weight, 1).is_some());
        assert!(largest(&weight, 3).is_some());
        // What has no directions left takes nothing out.
        assert!(largest(&weight, 6).is_some());
        let zero = Parameter { shape: vec![3, 2], values: vec![0.0; 6] };
        assert!(largest(&zero, 1).is_some());
        assert!(first_columns(&zero, 1).is_none());
    }
}
