//! Mixtures of experts: plain, one expert after the other. The loss that balances their loads is no part of it.

use espalier_model::config::architecture::Experts;
use tch::{Kind, Tensor};

use super::PolicyValueNet;
use crate::error::Result;

impl PolicyValueNet {
    /// `[N, D] -> [N, D]`.
    pub(super) fn mixture(
        &self,
        experts: &Experts,
        normed: &Tensor,
        module: &str,
    ) -> Result<Tensor> {
        let all = self.arithmetic.operand(normed)?;
        let probabilities =
            self.linear(&all, &format!("{module}.gate"))?.f_softmax(-1, Kind::Float)?;
        let (mut weights, chosen) =
            probabilities.f_topk(experts.per_token as i64, -1, true, true)?;
        if experts.normalised {
            let sum = weights.f_sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)?;
            weights = weights.f_div(&sum)?;
        }
        let mut mixed = normed.f_zeros_like()?.f_to_kind(Kind::Float)?;
        for expert in 0..experts.count {
            // The tokens that it reads, and which of their choices it is.
            let places = chosen.f_eq(expert as i64)?.f_nonzero_numpy()?;
            let [rows, place] = places.as_slice() else { continue };
            if rows.numel() == 0 {
                continue;
            }
            let input = self.arithmetic.operand(&normed.f_index_select(0, rows)?)?;
            let output = self.gated(&input, &format!("{module}.experts.{expert}"))?;
            let weight = weights.f_index(&[Some(rows), Some(place)])?.f_unsqueeze(1)?;
            mixed = mixed.f_index_add(0, rows, &output.f_to_kind(Kind::Float)?.f_mul(&weight)?)?;
        }
        if experts.shared.is_some() {
            let gate = self.linear(&all, &format!("{module}.shared_expert_gate"))?;
            let gate = gate.f_to_kind(Kind::Float)?.f_sigmoid()?;
            let output = self.gated(&all, &format!("{module}.shared_expert"))?;
            mixed = mixed.f_add(&output.f_to_kind(Kind::Float)?.f_mul(&gate)?)?;
        }
        Ok(mixed)
    }
}
