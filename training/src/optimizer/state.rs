//! Saved tensors of an optimiser's state.

use std::collections::BTreeMap;

use espalier_model::error::Error as ModelError;
use espalier_model::parameters::Parameter;
use espalier_torch::tensor::to_tensor;
use tch::Tensor;

use crate::error::Result;

/// Takes the tensor of this name out of a saved state and copies it into its place.
///
/// # Errors
/// When it is not there or has another shape.
pub(super) fn restore(
    saved: &mut BTreeMap<String, Parameter>,
    name: String,
    place: &mut Tensor,
) -> Result<()> {
    let expected: Vec<usize> = place.size().iter().map(|&size| size as usize).collect();
    let Some(tensor) = saved.remove(&name) else {
        return Err(ModelError::MissingTensor { name, expected }.into());
    };
    if tensor.shape != expected {
        return Err(ModelError::Shape { name, expected, found: tensor.shape }.into());
    }
    place.f_copy_(&to_tensor(&tensor))?;
    Ok(())
}
