//! Devices as libtorch opens them.

use espalier_model::device::{Device, SETTING};
use espalier_model::error::Error as ModelError;
use tch::{Kind, Tensor};

use crate::error::Result;

/// libtorch's name of the device, once it is known to work.
///
/// # Errors
/// [`ModelError::Setting`] when this program's libtorch has no CUDA, or the machine has no such GPU.
pub fn open(device: Device) -> Result<tch::Device> {
    let Device::Cuda(index) = device else { return Ok(tch::Device::Cpu) };
    let fail = |message| Err(ModelError::Setting { field: SETTING, message }.into());
    let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if count == 0 {
        return fail(format!(
            "\"{device}\" needs an NVIDIA GPU that its driver shows (see nvidia-smi) and a libtorch that has CUDA, and one \
             of them is missing. With PyTorch 2.11.0 for CUDA in your python3: LIBTORCH_USE_PYTORCH=1 make build, or \
             start this build with LD_PRELOAD=TORCH/lib/libtorch_cuda.so and LD_LIBRARY_PATH=TORCH/lib. Without a \
             GPU: device = \"cpu\""
        ));
    }
    if index >= count {
        let last = count - 1;
        return fail(format!("\"{device}\": there are {count} GPUs, the last is \"cuda:{last}\""));
    }
    // The driver may be too old, or the GPU taken: better found here than after the first stage.
    match Tensor::f_zeros([1], (Kind::Float, tch::Device::Cuda(index))) {
        Ok(_) => Ok(tch::Device::Cuda(index)),
        Err(error) => fail(format!("\"{device}\" cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_what_to_do() {
        assert_eq!(open(Device::Cpu).unwrap(), tch::Device::Cpu);
        let error = open(Device::Cuda(255)).unwrap_err().to_string();
        assert!(error.contains("compute.device: \"cuda:255\""), "{error}");
        if tch::Cuda::device_count() == 0 {
            assert!(error.contains("LIBTORCH_USE_PYTORCH=1 make build"), "{error}");
        }
    }
}
