//! An adapter's pairs added into the weights beside which they were trained.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::{Adapter, matrix, module_of_a, pair_names};
use crate::error::Result;
use crate::parameters::{Parameter, Parameters, is_value_head};

impl Adapter {
    /// Adds every pair into its weight, and takes over the value head that was trained beside them.
    ///
    /// # Errors
    /// When the adapter does not fit the net; the net is then as it was.
    pub fn merge_into(&self, parameters: &mut Parameters) -> Result<()> {
        self.check(parameters)?;
        for (name, tensor) in self.iter() {
            if let Some(module) = module_of_a(name) {
                let mut weight = matrix(parameters, module)?.clone();
                let [_, b] = pair_names(module);
                let Some(b) = self.tensors.get(&b) else {
                    continue;
                };
                add_product(&mut weight, tensor, b, self.scale());
                parameters.replace(&format!("{module}.weight"), weight);
            } else if is_value_head(name) {
                parameters.replace(name, tensor.clone());
            }
        }
        Ok(())
    }
}

/// Adds `scale * B A` to a weight `[out, in]`; `A` is `[rank, in]`, `B` is `[out, rank]`. Sums are in 64 bits and
/// rounded once.
pub fn add_product(weight: &mut Parameter, a: &Parameter, b: &Parameter, scale: f64) {
    let (Some(&rank), Some(&input)) = (a.shape.first(), a.shape.get(1)) else {
        return;
    };
    if rank == 0 || input == 0 {
        return;
    }
    let rows = weight.values.par_chunks_mut(input).zip(b.values.par_chunks(rank));
    rows.for_each_init(
        || vec![0.0; input],
        |sum, (weight, b)| {
            sum.fill(0.0);
            for (a, &b) in a.values.chunks_exact(input).zip(b) {
                let b = f64::from(b);
                for (sum, &a) in sum.iter_mut().zip(a) {
                    *sum += b * f64::from(a);
                }
            }
            for (weight, &sum) in weight.iter_mut().zip(&*sum) {
                *weight = (f64::from(*weight) + sum * scale) as f32;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_added_row_by_row() {
        let parameter = |shape: [usize; 2], values: &[f32]| Parameter {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let mut weight = parameter([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let a = parameter([2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, 1.0]);
        let b = parameter([2, 2], &[1.0, 2.0, -1.0, 3.0]);
        add_product(&mut weight, &a, &b, 0.5);
        // B A = [[1, 2, 4], [-1, 3, 1]].
        assert_eq!(weight.values, [1.5, 3.0, 5.0, 3.5, 6.5, 6.5]);
    }
}
