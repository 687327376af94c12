//! Reading what a family's files ask for.

use serde_json::Value;

use super::fail;
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Experts};
use crate::error::{Error, Result};

/// Far beyond any model, in all layers together: a damaged file must not make a list of tensors that fills memory.
const MOST_EXPERTS: usize = 1 << 16;

impl ModelConfig {
    /// Checks the name of the activation in one of two fields.
    pub(super) fn check_activation(&self, field: &'static str, wanted: Activation) -> Result<()> {
        let names: &[&str] = match wanted {
            Activation::Silu => &["silu", "swish"],
            Activation::GeluTanh => &["gelu_pytorch_tanh"],
        };
        match self.set(field) {
            Some(value) if names.iter().all(|name| value != name) => self.refuse(field),
            _ => Ok(()),
        }
    }

    /// Refuses a field that is set.
    pub(super) fn refuse(&self, field: &'static str) -> Result<()> {
        match self.set(field) {
            Some(value) => fail(field, format!("{value} is not supported")),
            None => Ok(()),
        }
    }

    /// A number in a field, `default` where the file does not have the field; none where it says null.
    pub(super) fn number(&self, field: &'static str, default: f64) -> Result<Option<f64>> {
        if !self.other.contains_key(field) {
            return Ok(Some(default));
        }
        let Some(value) = self.set(field) else { return Ok(None) };
        match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => fail(field, format!("must be a positive number, is {value}")),
        }
    }

    /// As [`Self::number`], in whole positions or layers.
    pub(super) fn whole(&self, field: &'static str, default: usize) -> Result<Option<usize>> {
        match self.number(field, default as f64)? {
            Some(number) if number.fract() != 0.0 || number > f64::from(i32::MAX) => {
                fail(field, format!("must be a positive whole number, is {number}"))
            }
            number => Ok(number.map(|number| number as usize)),
        }
    }

    /// A number in a field that need not be there.
    pub(super) fn optional(&self, field: &'static str) -> Result<Option<f64>> {
        self.set(field).map_or(Ok(None), |_| self.number(field, 1.0))
    }

    /// As [`Self::optional`], in whole positions or layers.
    pub(super) fn optional_whole(&self, field: &'static str) -> Result<Option<usize>> {
        self.set(field).map_or(Ok(None), |_| self.whole(field, 1))
    }

    /// Refuses layers that do not see the whole context. A window that is off, or as long as the context, hides nothing.
    pub(super) fn check_whole_context(&self) -> Result<()> {
        let on = self.flag("use_sliding_window");
        let off = self.other.contains_key("use_sliding_window") && !on;
        let window = if off { None } else { self.optional_whole("sliding_window")? };
        let hides = window.is_some_and(|window| window < self.max_position_embeddings);
        if on && (hides || window.is_none()) {
            return fail("use_sliding_window", "is not supported in this family".to_owned());
        }
        if hides {
            return self.refuse("sliding_window");
        }
        self.windows(window, |_| false).map(drop)
    }

    /// The window of each layer: by `layer_types` where the file has them, else in the layers that `sliding` picks.
    pub(super) fn windows(
        &self,
        window: Option<usize>,
        sliding: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let layers = self.num_hidden_layers;
        // A window as long as the context hides nothing.
        let hiding = window.filter(|window| *window < self.max_position_embeddings);
        let Some(types) = self.set("layer_types") else {
            return Ok((0..layers).map(|layer| hiding.filter(|_| sliding(layer))).collect());
        };
        let kind = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Some(None),
            Some("sliding_attention") if window.is_some() => Some(hiding),
            _ => None,
        };
        let windows = types.as_array().filter(|types| types.len() == layers);
        let windows = windows.and_then(|types| types.iter().map(kind).collect());
        windows.ok_or_else(|| Error::Model {
            field: "layer_types",
            message: format!("{types} is not supported"),
        })
    }

    /// Which layers are of a kind: by `layer_types` where the file has them, else those that `pick` picks.
    pub(super) fn layers_of(&self, kind: &str, pick: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
        let layers = self.num_hidden_layers;
        match self.set("layer_types") {
            None => Ok((0..layers).map(pick).collect()),
            Some(Value::Array(types)) if types.len() == layers => {
                Ok(types.iter().map(|other| other == kind).collect())
            }
            Some(types) => fail("layer_types", format!("{types} is not supported")),
        }
    }

    /// Qwen's windows: off unless `use_sliding_window`, and then in the layers from `max_window_layers` on.
    pub(super) fn late_windows(&self) -> Result<Vec<Option<usize>>> {
        if !self.flag("use_sliding_window") {
            return self.windows(None, |_| false);
        }
        let first = match self.set("max_window_layers").and_then(Value::as_u64) {
            Some(layer) => layer as usize,
            None => 28,
        };
        self.windows(self.whole("sliding_window", 4096)?, |layer| layer >= first)
    }

    /// A mixture of experts by the fields that Qwen's files have.
    pub(super) fn experts(&self) -> Result<Experts> {
        let required = |field: &'static str| match self.optional_whole(field)? {
            Some(number) if number <= MOST_EXPERTS => Ok(number),
            Some(number) => fail(field, format!("{number} is too large")),
            None => fail(field, "is missing".to_owned()),
        };
        // Newer files have the other name.
        let name = match self.set("num_local_experts") {
            Some(_) => "num_local_experts",
            None => "num_experts",
        };
        let count = required(name)?;
        let per_token = required("num_experts_per_tok")?;
        if per_token > count {
            return fail(
                "num_experts_per_tok",
                format!("{per_token} is more than num_experts = {count}"),
            );
        }
        let layers = self.num_hidden_layers;
        if count * layers > MOST_EXPERTS {
            return fail("num_experts", format!("{count} in {layers} layers are too many"));
        }
        let step = self.whole("decoder_sparse_step", 1)?.unwrap_or(1);
        let plain: Vec<u64> = match self.set("mlp_only_layers") {
            None => Vec::new(),
            Some(value) => {
                let list = value.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
                let Some(list) = list else {
                    return fail("mlp_only_layers", format!("{value} is not a list of layers"));
                };
                list
            }
        };
        let sparse =
            |layer: usize| (layer + 1).is_multiple_of(step) && !plain.contains(&(layer as u64));
        Ok(Experts {
            count,
            per_token,
            inner: required("moe_intermediate_size")?,
            normalised: self.flag("norm_topk_prob"),
            shared: None,
            layers: (0..layers).map(sparse).collect(),
        })
    }
}
