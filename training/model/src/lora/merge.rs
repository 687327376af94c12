//! An adapter put into the weights beside which it was trained.

use std::collections::BTreeMap;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::adapter_config::Initial;
use super::check::{Vocabulary, refusal};
use super::parts::{self, Part, Parts};
use super::subspace::{self, Basis};
use super::{Adapter, EMBEDDING, HEAD};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::parameters::{Parameter, Parameters, is_value_head};

impl Adapter {
    /// Puts the adapter into a net, as PEFT computes it: pairs of linear layers and of the embedding, with biases and DoRA's
    /// magnitudes; modules that were trained whole; rows of single tokens; a vocabulary of another size. What PiSSA and OLoRA
    /// took out of the weights is taken out first. A head that is the embedding becomes a tensor of its own where only one of
    /// the two was trained. The value head that was trained beside the adapter is taken over.
    ///
    /// # Errors
    /// When the adapter does not fit the net, which is then as it was; or when a number is beyond 32 bits.
    pub fn merge_into(&self, config: &mut ModelConfig, parameters: &mut Parameters) -> Result<()> {
        self.check(config, parameters)?;
        let modules = parts::modules(&self.tensors)?;
        let vocabulary = self.vocabulary(config, &modules)?;
        self.take_beginnings_out(parameters, &modules)?;
        for (&module, parts) in &modules {
            self.put_base(module, parts, parameters, vocabulary);
        }
        if let (true, Some(embedding)) = (vocabulary.parted, parameters.get(&weight_of(EMBEDDING)))
        {
            let head = embedding.clone();
            parameters.replace(&weight_of(HEAD), head);
            config.tie_word_embeddings = Some(false);
        }
        for (&module, parts) in &modules {
            // A head that is the embedding has nothing of its own.
            if module != HEAD || !vocabulary.tied || vocabulary.parted {
                self.put_module(module, parts, parameters, vocabulary)?;
            }
        }
        config.vocab_size = vocabulary.size;
        for (name, tensor) in self.iter().filter(|(name, _)| is_value_head(name)) {
            parameters.replace(name, tensor.clone());
        }
        Ok(())
    }

    /// Takes out of every weight what its pair began with, unless the file has the weight as it was then.
    fn take_beginnings_out(
        &self,
        parameters: &mut Parameters,
        modules: &BTreeMap<&str, Parts<'_>>,
    ) -> Result<()> {
        if self.config.initial == Initial::Plain {
            return Ok(());
        }
        let mut found: Vec<(String, Basis, f64)> = Vec::new();
        for (&module, parts) in modules {
            let (Some(a), false) = (parts.get(&Part::A), parts.contains_key(&Part::BaseWeight))
            else {
                continue;
            };
            let (name, rank) = (weight_of(module), a.shape[0]);
            let Some(weight) = parameters.get(&name) else {
                continue;
            };
            let (basis, factor) = match self.config.initial {
                Initial::Olora => {
                    (subspace::first_columns(weight, rank), self.scale(module).unwrap_or(1.0))
                }
                _ => (subspace::largest(weight, rank), 1.0),
            };
            let basis = basis.ok_or_else(|| {
                let message = format!(
                    "init_lora_weights: what was taken out of {name} does not follow from its numbers; save the adapter with \
                     PEFT's path_initial_model_for_weight_conversion"
                );
                refusal(module, Part::A, message)
            })?;
            found.push((name, basis, factor));
        }
        for (name, basis, factor) in found {
            if let Some(mut weight) = parameters.get(&name).cloned() {
                subspace::take_out(&mut weight, &basis, factor);
                parameters.replace(&name, weight);
            }
        }
        Ok(())
    }

    /// Puts the tensors of the file that the base itself is to have in their places.
    fn put_base(
        &self,
        module: &str,
        parts: &Parts<'_>,
        parameters: &mut Parameters,
        vocabulary: Vocabulary,
    ) {
        let alias = vocabulary.tied && module == HEAD;
        if let Some(weight) = self.base_weight(module, parts, vocabulary.tied) {
            let name = weight_of(if alias { EMBEDDING } else { module });
            parameters.replace(&name, weight.clone());
        }
        if let Some(&bias) = parts.get(&Part::Bias).or(parts.get(&Part::BaseBias)) {
            parameters.replace(&format!("{module}.bias"), bias.clone());
        }
    }

    /// Puts what the module uses beside or instead of the base's tensors into the weight.
    fn put_module(
        &self,
        module: &str,
        parts: &Parts<'_>,
        parameters: &mut Parameters,
        vocabulary: Vocabulary,
    ) -> Result<()> {
        let name = weight_of(module);
        if let Some(&weight) =
            parts.get(&Part::Weight).filter(|_| !self.of_base(module, vocabulary.tied))
        {
            parameters.replace(&name, weight.clone());
        }
        let has = |part| parts.contains_key(&part);
        if ![Part::A, Part::EmbeddingA, Part::Tokens].into_iter().any(has) {
            return Ok(());
        }
        let Some(mut weight) = parameters.get(&name).cloned() else {
            return Ok(());
        };
        let scale = self.scale(module).unwrap_or(0.0);
        if let (Some(a), Some(b)) = (parts.get(&Part::A), parts.get(&Part::B)) {
            add_product(&mut weight, a, b, scale);
        }
        if let (Some(a), Some(b)) = (parts.get(&Part::EmbeddingA), parts.get(&Part::EmbeddingB)) {
            add_product(&mut weight, &transposed(b), &transposed(a), scale);
        }
        if let Some(magnitude) = parts.get(&Part::Magnitude) {
            if has(Part::EmbeddingA) {
                scale_columns(&mut weight, &magnitude.values);
            } else {
                scale_rows(&mut weight, &magnitude.values);
            }
        }
        self.put_tokens(&mut weight, module, parts);
        weight.check_finite(&name)?;
        parameters.replace(&name, weight);
        let bias = format!("{module}.bias");
        if let (Some(added), Some(own)) = (parts.get(&Part::BiasOfB), parameters.get(&bias)) {
            let mut own = own.clone();
            for (own, &added) in own.values.iter_mut().zip(&added.values) {
                *own = (f64::from(*own) + scale * f64::from(added)) as f32;
            }
            own.check_finite(&bias)?;
            parameters.replace(&bias, own);
        }
        Ok(())
    }

    /// Puts the rows of single tokens in their places.
    fn put_tokens(&self, weight: &mut Parameter, module: &str, parts: &Parts<'_>) {
        let (Some(rows), Some(indices)) =
            (parts.get(&Part::Tokens), self.config.token_indices(module))
        else {
            return;
        };
        let width = rows.shape.get(1).copied().unwrap_or(0);
        if width == 0 {
            return;
        }
        for (row, &token) in rows.values.chunks_exact(width).zip(indices) {
            if let Some(own) = weight.values.chunks_exact_mut(width).nth(token) {
                own.copy_from_slice(row);
            }
        }
    }
}

fn weight_of(module: &str) -> String {
    format!("{module}.weight")
}

fn transposed(matrix: &Parameter) -> Parameter {
    let (rows, columns) = match *matrix.shape {
        [rows, columns] => (rows, columns),
        _ => (0, 0),
    };
    let values =
        (0..rows * columns).map(|at| matrix.values[at % rows * columns + at / rows]).collect();
    Parameter { shape: vec![columns, rows], values }
}

/// Gives every row of a weight a length (DoRA, arXiv 2402.09353 §4).
fn scale_rows(weight: &mut Parameter, lengths: &[f32]) {
    let Some(&input) = weight.shape.get(1).filter(|&&input| input > 0) else {
        return;
    };
    weight.values.par_chunks_mut(input).zip(lengths).for_each(|(row, &length)| {
        let square: f64 = row.iter().map(|&number| f64::from(number).powi(2)).sum();
        let factor = f64::from(length) / square.sqrt();
        row.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
    });
}

/// Gives every column of an embedding a length.
fn scale_columns(weight: &mut Parameter, lengths: &[f32]) {
    let Some(&width) = weight.shape.get(1).filter(|&&width| width > 0) else {
        return;
    };
    let mut squares = vec![0.0; width];
    for row in weight.values.chunks_exact(width) {
        squares.iter_mut().zip(row).for_each(|(sum, &number)| *sum += f64::from(number).powi(2));
    }
    let factors: Vec<f64> = squares
        .iter()
        .zip(lengths)
        .map(|(square, &length)| f64::from(length) / square.sqrt())
        .collect();
    for row in weight.values.chunks_exact_mut(width) {
        for (number, factor) in row.iter_mut().zip(&factors) {
            *number = (f64::from(*number) * factor) as f32;
        }
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
