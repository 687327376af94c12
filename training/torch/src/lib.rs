//! The bridge to libtorch, for training and for inference on a GPU: devices, element types, tensors and attention. Its
//! build script says where libtorch lies.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout)]

pub mod attention;
pub mod device;
pub mod error;
pub mod tensor;
