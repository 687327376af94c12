//! One decoder block: RMSNorm, rotary grouped-query attention, SwiGLU.

use tch::{Kind, Tensor};

use super::{PolicyValueNet, Turns};

impl PolicyValueNet {
    /// `[B, T, D] -> [B, T, D]`.
    pub(super) fn block(&self, layer: usize, hidden: &Tensor, turns: &Turns) -> Tensor {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = |hidden: &Tensor, part: &str| {
            self.rms_norm(hidden, &format!("model.layers.{layer}.{part}.weight"))
        };
        let normed = norm(hidden, "input_layernorm");
        let hidden = hidden + self.attention(layer, &normed, turns);
        let normed = norm(&hidden, "post_attention_layernorm");
        let gate = self.linear(&normed, &name("mlp.gate_proj")).silu();
        let up = self.linear(&normed, &name("mlp.up_proj"));
        hidden + self.linear(&(gate * up), &name("mlp.down_proj"))
    }

    /// A projection, with its bias where the family has one and its adapter where there is one.
    fn linear(&self, input: &Tensor, module: &str) -> Tensor {
        let bias = self.tensors.get(&format!("{module}.bias"));
        let output = input.linear(self.tensor(&format!("{module}.weight")), bias);
        match self.pair(module) {
            Some((a, b, scale)) => {
                let low = input.linear(a, None::<Tensor>).linear(b, None::<Tensor>);
                output + low * scale
            }
            None => output,
        }
    }

    /// RMSNorm over the last dimension.
    pub(super) fn rms_norm(&self, hidden: &Tensor, name: &str) -> Tensor {
        let mean_square = hidden.square().mean_dim([-1i64].as_slice(), true, Kind::Float);
        let scale = (mean_square + self.config.rms_norm_eps).rsqrt();
        hidden * scale * self.tensor(name)
    }

    fn attention(&self, layer: usize, normed: &Tensor, turns: &Turns) -> Tensor {
        let (batch, length, _) = normed.size3().expect("hidden states have three dimensions");
        let head_dim = self.config.head_dim() as i64;
        let heads = self.config.num_attention_heads as i64;
        let key_value_heads = self.config.key_value_heads() as i64;
        let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
        let project = |part: &str, heads: i64| {
            self.linear(normed, &name(part)).view([batch, length, heads, head_dim])
        };
        let norm = |states: Tensor, part: &str| {
            if !self.config.query_key_norm() {
                return states;
            }
            self.rms_norm(&states, &format!("{}.weight", name(part)))
        };
        let query = norm(project("q_proj", heads), "q_norm").transpose(1, 2);
        let key = norm(project("k_proj", key_value_heads), "k_norm").transpose(1, 2);
        let value = project("v_proj", key_value_heads).transpose(1, 2);
        let grouped = key_value_heads != heads;
        let mixed = Tensor::scaled_dot_product_attention(
            &turns.rotate(&query),
            &turns.rotate(&key),
            &value,
            None::<Tensor>,
            0.0,
            true,
            None,
            grouped,
        );
        let mixed = mixed.transpose(1, 2).contiguous().view([batch, length, heads * head_dim]);
        self.linear(&mixed, &name("o_proj"))
    }
}

impl Turns {
    /// Turns pairs `(i, i + head_dim / 2)` by the position's angles: Hugging Face's `rotate_half` convention.
    fn rotate(&self, input: &Tensor) -> Tensor {
        let halves = input.chunk(2, -1);
        let rotated = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
        input * &self.cosines + rotated * &self.sines
    }
}
