//! Parameters as libtorch's tensors, and back.

use espalier_model::dtype::Dtype;
use espalier_model::parameters::Parameter;
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// libtorch's name of an element type.
#[must_use]
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Float32 => Kind::Float,
        Dtype::BFloat16 => Kind::BFloat16,
        Dtype::Float16 => Kind::Half,
    }
}

/// A tensor with a parameter's numbers, on the CPU.
pub fn to_tensor(parameter: &Parameter) -> Tensor {
    let shape: Vec<i64> = parameter.shape.iter().map(|&size| size as i64).collect();
    Tensor::from_slice(&parameter.values).view(shape.as_slice())
}

/// A tensor's numbers, in 32 bits.
///
/// # Errors
/// When the tensor is of a type that libtorch does not convert.
pub fn from_tensor(tensor: &Tensor) -> Result<Parameter> {
    let shape = tensor.size().iter().map(|&size| size as usize).collect();
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Ok(Parameter { shape, values: Vec::<f32>::try_from(&flat)? })
}
