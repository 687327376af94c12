//! One decoder block: RMSNorm, rotary grouped-query attention, SwiGLU.

use tch::{Kind, Tensor};

use super::PolicyValueNet;

impl PolicyValueNet {
    /// `[B, T, D] -> [B, T, D]`.
    pub(super) fn block(&self, layer: usize, hidden: &Tensor) -> Tensor {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let normed = self.rms_norm(hidden, &name("input_layernorm"));
        let hidden = hidden + self.attention(layer, &normed);
        let normed = self.rms_norm(&hidden, &name("post_attention_layernorm"));
        let gate = self.linear(&normed, &name("mlp.gate_proj")).silu();
        let up = self.linear(&normed, &name("mlp.up_proj"));
        hidden + self.linear(&(gate * up), &name("mlp.down_proj"))
    }

    fn linear(&self, input: &Tensor, name: &str) -> Tensor {
        input.linear(self.tensor(name), None::<Tensor>)
    }

    pub(super) fn rms_norm(&self, hidden: &Tensor, name: &str) -> Tensor {
        let mean_square = hidden.square().mean_dim([-1i64].as_slice(), true, Kind::Float);
        let scale = (mean_square + self.config.rms_norm_eps).rsqrt();
        hidden * scale * self.tensor(name)
    }

    fn attention(&self, layer: usize, normed: &Tensor) -> Tensor {
        let (batch, length, width) = normed.size3().expect("hidden states have three dimensions");
        let head_dim = self.config.head_dim() as i64;
        let heads = self.config.num_attention_heads as i64;
        let key_value_heads = self.config.key_value_heads() as i64;
        let project = |part: &str, heads: i64| {
            self.linear(normed, &format!("model.layers.{layer}.self_attn.{part}.weight"))
                .view([batch, length, heads, head_dim])
                .transpose(1, 2)
        };
        let query = self.rotate(&project("q_proj", heads), length);
        let key = self.rotate(&project("k_proj", key_value_heads), length);
        let value = project("v_proj", key_value_heads);
        let grouped = key_value_heads != heads;
        let mixed = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<Tensor>,
            0.0,
            true,
            None,
            grouped,
        );
        let mixed = mixed.transpose(1, 2).contiguous().view([batch, length, width]);
        self.linear(&mixed, &format!("model.layers.{layer}.self_attn.o_proj.weight"))
    }

    /// Turns pairs `(i, i + head_dim / 2)` by the position's angles: Hugging Face's `rotate_half` convention.
    fn rotate(&self, input: &Tensor, length: i64) -> Tensor {
        let halves = input.chunk(2, -1);
        let rotated = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
        input * self.cosines.narrow(0, 0, length) + rotated * self.sines.narrow(0, 0, length)
    }
}
