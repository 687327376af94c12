//! Where a net is computed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// Name of the setting, for errors.
const SETTING: &str = "compute.device";

/// A processor, written `cpu`, `cuda` (the first GPU) or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The processor that the program runs on.
    #[default]
    Cpu,
    /// The GPU of this number, counted from 0.
    Cuda(usize),
}

impl Device {
    /// libtorch's name of the device, once it is known to work.
    ///
    /// # Errors
    /// [`Error::Setting`] when this program's libtorch has no CUDA, or the machine has no such GPU.
    pub fn open(self) -> Result<tch::Device> {
        let Self::Cuda(index) = self else { return Ok(tch::Device::Cpu) };
        let fail = |message| Err(Error::Setting { field: SETTING, message });
        let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if count == 0 {
            return fail(format!(
                "\"{self}\" needs an NVIDIA GPU that its driver shows (see nvidia-smi) and a libtorch that has CUDA, and one \
                 of them is missing. With PyTorch 2.11.0 for CUDA in your python3: LIBTORCH_USE_PYTORCH=1 make build, or \
                 start this build with LD_PRELOAD=TORCH/lib/libtorch_cuda.so and LD_LIBRARY_PATH=TORCH/lib. Without a \
                 GPU: device = \"cpu\""
            ));
        }
        if index >= count {
            let last = count - 1;
            return fail(format!(
                "\"{self}\": there are {count} GPUs, the last is \"cuda:{last}\""
            ));
        }
        // The driver may be too old, or the GPU taken: better found here than after the first stage.
        match Tensor::f_zeros([1], (Kind::Float, tch::Device::Cuda(index))) {
            Ok(_) => Ok(tch::Device::Cuda(index)),
            Err(error) => fail(format!("\"{self}\" cannot be used: {error}")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(0) => write!(f, "cuda"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let index = |digits: &str| match digits.parse::<u8>() {
            Ok(index) if digits == index.to_string() => Some(Self::Cuda(usize::from(index))),
            _ => None,
        };
        let device = match text {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            other => other.strip_prefix("cuda:").and_then(index),
        };
        device.ok_or_else(|| Error::Setting {
            field: SETTING,
            message: format!("must be \"cpu\", \"cuda\" or \"cuda:N\", is {text:?}"),
        })
    }
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["cpu", "cuda", "cuda:1", "cuda:17"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:0".parse::<Device>().unwrap(), Device::Cuda(0));
        for text in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:01", "cuda:1000", "mps"]
        {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains("compute.device") && error.contains("\"cuda:N\""), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_what_to_do() {
        assert_eq!(Device::Cpu.open().unwrap(), tch::Device::Cpu);
        let error = Device::Cuda(255).open().unwrap_err().to_string();
        assert!(error.contains("compute.device: \"cuda:255\""), "{error}");
        if tch::Cuda::device_count() == 0 {
            assert!(error.contains("LIBTORCH_USE_PYTORCH=1 make build"), "{error}");
        }
    }
}
