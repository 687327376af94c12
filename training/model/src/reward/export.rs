//! A value head in the form of a token classifier, which vLLM's `/pooling` serves and the library `transformers` reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, SHARD_BYTES};
use crate::error::{Error, Result};
use crate::folder::{self, CONFIG};
use crate::parameters::{HEAD, Parameter, Parameters, VALUE_BIAS, VALUE_WEIGHT, is_value_head};

/// Writes a folder of the family's token classifier, such as `Qwen2ForTokenClassification`, with the labels 0 (bad) and 1 (good). Since
/// `tanh(x) = 2 sigmoid(2 x) - 1`, the value is `2 p - 1` of label 1's probability when the logits are `[0, 2 x]`. The language model's
/// head is left out.
///
/// # Errors
/// When a file cannot be written, a number is beyond the element type's range, or the folder exists and is not a checkpoint.
pub fn save_token_classifier(checkpoint: &Checkpoint, dir: &Path) -> Result<()> {
    let written = |error: serde_json::Error| Error::format(&dir.join(CONFIG), error);
    let class = checkpoint.config.family()?.class();
    let class = class.replace("ForCausalLM", "ForTokenClassification");
    let mut config = serde_json::to_value(&checkpoint.config).map_err(written)?;
    if let Value::Object(fields) = &mut config {
        fields.insert("architectures".to_owned(), json!([class]));
        fields.insert("id2label".to_owned(), json!({ "0": "LABEL_0", "1": "LABEL_1" }));
        fields.insert("label2id".to_owned(), json!({ "LABEL_0": 0, "LABEL_1": 1 }));
    }
    let doubled = |values: &[f32]| {
        let zeros = std::iter::repeat_n(0.0, values.len());
        zeros.chain(values.iter().map(|x| 2.0 * x)).collect::<Vec<f32>>()
    };
    let blocks = checkpoint.parameters.iter();
    let blocks = blocks.filter(|(name, _)| *name != HEAD && !is_value_head(name));
    let mut tensors: BTreeMap<String, Parameter> =
        blocks.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    let weight = doubled(checkpoint.parameters.values(VALUE_WEIGHT));
    let shape = vec![2, weight.len() / 2];
    tensors.insert("score.weight".to_owned(), Parameter { shape, values: weight });
    let bias = doubled(checkpoint.parameters.values(VALUE_BIAS));
    tensors.insert("score.bias".to_owned(), Parameter { shape: vec![2], values: bias });
    let tensors = Parameters::of_another_class(tensors);
    let config = serde_json::to_vec_pretty(&config).map_err(written)?;
    let mut files = BTreeMap::new();
    let form = (checkpoint.config.dtype()?, SHARD_BYTES);
    checkpoint.add_files(&mut files, config, &tensors, form)?;
    folder::write(dir, &files)
}
