//! One decoder block: RMSNorm, rotary grouped-query attention, a gated feed-forward layer or a mixture of them.

use espalier_model::config::architecture::{Activation, NormWidth};
use espalier_torch::attention::{Scores, attention};
use tch::{Device, Kind, Tensor};

use super::arithmetic::Operand;
use super::{PolicyValueNet, Turns};
use crate::error::Result;

impl PolicyValueNet {
    /// `[N, D] -> [N, D]`.
    pub(super) fn block(&self, layer: usize, hidden: &Tensor, turns: &Turns) -> Result<Tensor> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = |hidden: &Tensor, part: &str| {
            self.rms_norm(hidden, &format!("model.layers.{layer}.{part}.weight"))
        };
        let before = |hidden: &Tensor, of: Option<&str>| match of {
            Some(of) => norm(hidden, of),
            None => Ok(hidden.shallow_clone()),
        };
        let after = |part: Tensor, of: Option<&str>| -> Result<Tensor> {
            let part = match of {
                Some(of) => norm(&part, of)?,
                None => part,
            };
            Ok(match self.architecture.residual_scale {
                Some(scale) => part.f_mul_scalar(f64::from(scale))?,
                None => part,
            })
        };
        let norms = self.architecture.norms;
        let normed = before(hidden, norms.attention)?;
        let attended = self.attention(layer, &normed, turns)?;
        let hidden = hidden.f_add(&after(attended, norms.after_attention)?)?;
        let normed = before(&hidden, norms.feed_forward)?;
        let fed = match self.architecture.experts_of(layer) {
            None => self.gated(&self.arithmetic.operand(&normed)?, &name("mlp"))?,
            Some(experts) => self.mixture(experts, &normed, &name("mlp"))?,
        };
        Ok(hidden.f_add(&after(fed, norms.after_feed_forward)?)?)
    }

    /// A gated feed-forward layer.
    pub(super) fn gated(&self, normed: &Operand, module: &str) -> Result<Tensor> {
        let gate = self.linear(normed, &format!("{module}.gate_proj"))?;
        let gate = match self.architecture.activation {
            Activation::Silu => gate.f_silu()?,
            Activation::GeluTanh => gate.f_gelu("tanh")?,
        };
        let up = self.linear(normed, &format!("{module}.up_proj"))?;
        let inner = self.arithmetic.operand(&gate.f_mul(&up)?)?;
        self.linear(&inner, &format!("{module}.down_proj"))
    }

    /// A projection, with its bias where the family has one and its adapter where there is one.
    pub(super) fn linear(&self, input: &Operand, module: &str) -> Result<Tensor> {
        let bias = self.tensors.get(&format!("{module}.bias"));
        let output =
            self.arithmetic.linear(input, self.tensor(&format!("{module}.weight")), bias)?;
        match self.pair(module) {
            Some((a, b, scale)) => {
                let low =
                    input.plain().f_linear(&a.f_to_kind(input.plain().kind())?, None::<Tensor>)?;
                let low = low.f_linear(&b.f_to_kind(input.plain().kind())?, None::<Tensor>)?;
                Ok(output.f_add(&low.f_mul_scalar(scale)?)?)
            }
            None => Ok(output),
        }
    }

    /// RMSNorm over the last dimension, in fp32.
    pub(super) fn rms_norm(&self, hidden: &Tensor, name: &str) -> Result<Tensor> {
        let hidden = hidden.f_to_kind(Kind::Float)?;
        let width = hidden.size().last().copied().unwrap_or(1);
        let weight = match f64::from(self.architecture.norm_offset) {
            0.0 => self.tensor(name).shallow_clone(),
            offset => self.tensor(name).f_add_scalar(offset)?,
        };
        if self.device() != Device::Cpu {
            let norm = hidden.f_rms_norm([width], Some(&weight), self.config.rms_norm_eps())?;
            return Ok(norm);
        }
        // One pass over the row, where a mean of squares would write the squares first.
        let norm = hidden.f_norm_scalaropt_dim(2, [-1i64].as_slice(), true)?;
        let mean_square = norm.f_square()?.f_mul_scalar(1.0 / width as f64)?;
        let scale = mean_square.f_add_scalar(self.config.rms_norm_eps())?.f_rsqrt()?;
        Ok(hidden.f_mul(&scale)?.f_mul(&weight)?)
    }

    fn attention(&self, layer: usize, normed: &Tensor, turns: &Turns) -> Result<Tensor> {
        let head_dim = self.architecture.head_dim as i64;
        let heads = self.config.num_attention_heads as i64;
        let key_value_heads = self.config.key_value_heads() as i64;
        let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
        let normed = self.arithmetic.operand(normed)?;
        let project = |part: &str, heads: i64, norm: Option<&str>| -> Result<Tensor> {
            let states = self.linear(&normed, &name(part))?;
            let norm = norm.map(|norm| format!("{}.weight", name(norm)));
            let shape = [-1, heads, head_dim];
            match norm.zip(self.architecture.query_key_norms) {
                None => Ok(states.f_view(shape)?),
                Some((norm, NormWidth::Head)) => self.rms_norm(&states.f_view(shape)?, &norm),
                Some((norm, NormWidth::Heads)) => {
                    Ok(self.rms_norm(&states, &norm)?.f_view(shape)?)
                }
            }
        };
        let query = project("q_proj", heads, Some("q_norm"))?;
        let key = project("k_proj", key_value_heads, Some("k_norm"))?;
        let value = project("v_proj", key_value_heads, None)?;
        let rope = self.architecture.rope_of_layer[layer];
        // Tables are fp32, and so is what they turn.
        let turned = |states: &Tensor| -> Result<Tensor> {
            Ok(turns.rotate(states, rope)?.f_to_kind(value.kind())?)
        };
        let scores = Scores {
            scale: 1.0 / self.architecture.score_width.sqrt(),
            cap: self.architecture.attention_cap.map(f64::from),
        };
        let blocks = |states: &Tensor| -> Result<Vec<Tensor>> {
            Ok(states.f_split_with_sizes(turns.sizes.as_slice(), 0)?)
        };
        let (queries, keys) = (blocks(&turned(&query)?)?, blocks(&turned(&key)?)?);
        let mut mixed = Vec::with_capacity(turns.sizes.len());
        let masks = turns.masks(self.architecture.windows[layer]);
        for (index, value) in blocks(&value)?.iter().enumerate() {
            let rows = |states: &Tensor| -> Result<Tensor> {
                let (_, heads, head_dim) = states.size3()?;
                let length = turns.lengths[index];
                Ok(states.f_view([-1, length, heads, head_dim])?.f_transpose(1, 2)?)
            };
            let (query, key, value) = (rows(&queries[index])?, rows(&keys[index])?, rows(value)?);
            let of_block = attention(&query, &key, &value, masks[index].as_ref(), scores)?;
            mixed.push(of_block.f_transpose(1, 2)?.f_reshape([-1, heads * head_dim])?);
        }
        let mixed = match mixed.as_slice() {
            [alone] => alone.shallow_clone(),
            several => Tensor::f_cat(several, 0)?,
        };
        self.linear(&self.arithmetic.operand(&mixed)?, &name("o_proj"))
    }
}

impl Turns {
    /// The masks of a layer with this window, one a block.
    fn masks(&self, window: Option<usize>) -> &[Option<Tensor>] {
        let found = self.masks.iter().find(|(other, _)| *other == window);
        found.map_or(&[], |(_, masks)| masks)
    }

    /// Turns pairs `(i, i + width / 2)` of the rotated part of heads `[N, heads, head_dim]` by the position's angles: Hugging
    /// Face's `rotate_half` convention.
    fn rotate(&self, heads: &Tensor, rope: Option<usize>) -> Result<Tensor> {
        let Some([cosines, sines]) = rope.map(|rope| &self.angles[rope]) else {
            return Ok(heads.shallow_clone());
        };
        let (head_dim, width) = (heads.size()[2], cosines.size()[2]);
        let input = match width == head_dim {
            true => heads.shallow_clone(),
            false => heads.f_narrow(2, 0, width)?,
        };
        let halves = input.f_chunk(2, -1)?;
        let rotated = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
        let turned = input.f_mul(cosines)?.f_add(&rotated.f_mul(sines)?)?;
        if width == head_dim {
            return Ok(turned);
        }
        let rest = heads.f_narrow(2, width, head_dim - width)?.f_to_kind(turned.kind())?;
        Ok(Tensor::f_cat(&[turned, rest], 2)?)
    }
}
