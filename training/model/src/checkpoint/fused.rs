//! Matrices that some families' files hold as one, whose rows follow one another.

use std::collections::BTreeMap;

use crate::config::{Family, ModelConfig};
use crate::error::{Error, Result};
use crate::parameters::{Parameter, Parameters, is_value_head, shapes};

/// Where a parameter is in the files of its family: the tensor's name, and which part of it, if it is one of several.
fn place(config: &ModelConfig, name: &str) -> (String, usize) {
    for fused in config.family().map(Family::fused).unwrap_or_default() {
        for (index, part) in fused.parts.iter().enumerate() {
            if let Some((before, after)) = name.split_once(part)
                && before.ends_with('.')
                && after.starts_with('.')
            {
                return (format!("{before}{}{after}", fused.name), index);
            }
        }
    }
    (name.to_owned(), 0)
}

/// Cuts the tensors of a family's files into the parameters that they are.
///
/// # Errors
/// When a tensor of several is missing or of another shape.
pub(crate) fn split(config: &ModelConfig, tensors: &mut BTreeMap<String, Parameter>) -> Result<()> {
    if config.family()?.fused().is_empty() {
        return Ok(());
    }
    let mut joined: BTreeMap<String, BTreeMap<usize, (String, Vec<usize>)>> = BTreeMap::new();
    for (name, shape) in shapes(config) {
        let (tensor, index) = place(config, &name);
        if tensor != name {
            joined.entry(tensor).or_default().insert(index, (name, shape));
        }
    }
    for (name, parts) in joined {
        let rows = parts.values().filter_map(|(_, shape)| shape.first()).sum();
        let mut expected = parts.values().next().map_or_else(Vec::new, |(_, shape)| shape.clone());
        if let Some(count) = expected.first_mut() {
            *count = rows;
        }
        let Some(tensor) = tensors.remove(&name) else {
            return Err(Error::MissingTensor { name, expected });
        };
        if tensor.shape != expected {
            return Err(Error::Shape { name, expected, found: tensor.shape });
        }
        let mut rest = tensor.values.as_slice();
        for (part, shape) in parts.into_values() {
            let Some((values, later)) = rest.split_at_checked(shape.iter().product()) else {
                let found = vec![tensor.values.len()];
                return Err(Error::Shape { name, expected, found });
            };
            tensors.insert(part, Parameter { shape, values: values.to_vec() });
            rest = later;
        }
    }
    Ok(())
}

/// The language model's tensors as the family's files hold them, in the order of their names.
pub(super) fn join<'a>(
    config: &ModelConfig,
    parameters: &'a Parameters,
) -> Vec<(String, Vec<&'a Parameter>)> {
    let mut tensors: BTreeMap<String, BTreeMap<usize, &Parameter>> = BTreeMap::new();
    for (name, parameter) in parameters.iter().filter(|(name, _)| !is_value_head(name)) {
        let (tensor, index) = place(config, name);
        tensors.entry(tensor).or_default().insert(index, parameter);
    }
    tensors.into_iter().map(|(name, parts)| (name, parts.into_values().collect())).collect()
}
