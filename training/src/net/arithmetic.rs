//! How a net's matrices are multiplied: what decides most of the time that training takes.

use espalier_model::dtype::Dtype;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// The arithmetic of a net's projections. Weights, norms, residual stream and losses are fp32 in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// libtorch's default in fp32: cuBLAS on a GPU, MKL on a CPU.
    Plain,
    /// oneDNN in fp32. MKL keeps to AVX2 on processors that are not Intel's; oneDNN takes AVX-512 wherever it is, which
    /// is twice as fast there, and worth the copies into its tensors and out of them.
    OneDnn,
    /// Operands in bf16, sums in fp32.
    BFloat16,
}

/// What projections read, in the form that their arithmetic wants: converted once for all that share it.
#[derive(Debug)]
pub(super) struct Operand {
    plain: Tensor,
    packed: Option<Tensor>,
}

impl Operand {
    /// The numbers as libtorch's other operations read them.
    pub fn plain(&self) -> &Tensor {
        &self.plain
    }
}

impl Arithmetic {
    /// The best arithmetic of a precision on a device.
    pub fn new(precision: Dtype, device: Device) -> Self {
        match precision {
            Dtype::BFloat16 => Self::BFloat16,
            _ if device == Device::Cpu && has_avx512() && tch::utils::has_mkldnn() => Self::OneDnn,
            _ => Self::Plain,
        }
    }

    /// The kind of what projections come to.
    pub fn kind(self) -> Kind {
        match self {
            Self::BFloat16 => Kind::BFloat16,
            Self::Plain | Self::OneDnn => Kind::Float,
        }
    }

    /// Makes ready what projections read, `[.., in]`.
    pub fn operand(self, input: &Tensor) -> Result<Operand> {
        Ok(match self {
            Self::Plain => Operand { plain: input.shallow_clone(), packed: None },
            Self::OneDnn => {
                Operand { plain: input.shallow_clone(), packed: Some(input.f_to_mkldnn(None)?) }
            }
            Self::BFloat16 => Operand { plain: input.f_to_kind(Kind::BFloat16)?, packed: None },
        })
    }

    /// `x W^T + b`, `[.., out]`: in fp32, or in bf16 where that is the arithmetic.
    pub fn linear(self, input: &Operand, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        Ok(match (self, &input.packed) {
            (Self::OneDnn, Some(packed)) => {
                packed.f_mkldnn_linear(weight, bias)?.f_to_dense(None, false)?
            }
            (Self::BFloat16, _) => {
                let bias = bias.map(|bias| bias.f_to_kind(Kind::BFloat16)).transpose()?;
                input.plain.f_linear(&weight.f_to_kind(Kind::BFloat16)?, bias.as_ref())?
            }
            _ => input.plain.f_linear(weight, bias)?,
        })
    }
}

/// Refuses a precision that a device computes more slowly than fp32, or not at all.
///
/// # Errors
/// [`Error::Setting`].
pub(crate) fn check_precision(
    precision: Dtype,
    device: espalier_model::device::Device,
) -> Result<()> {
    let fail =
        |message: &str| Err(Error::Setting { field: "precision", message: message.to_owned() });
    match (precision, device) {
        (Dtype::Float16, _) => fail(
            "\"float16\" would need its loss scaled to keep small gradients: take \"bfloat16\" or \"float32\"",
        ),
        (Dtype::BFloat16, espalier_model::device::Device::Cpu) if !has_bf16() => fail(
            "\"bfloat16\" is slower than \"float32\" on this processor, which has no AVX512-BF16 instructions",
        ),
        _ => Ok(()),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f")
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bf16() -> bool {
    false
}
