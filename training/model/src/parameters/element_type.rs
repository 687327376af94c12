//! Element types of tensors in files, all of which are read as `f32`.

use crate::dtype::Dtype;

/// An element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ElementType {
    /// One that this crate writes too.
    Own(Dtype),
    /// IEEE 754 binary64, narrowed to the nearest.
    Float64,
}

impl ElementType {
    /// Bytes a number.
    pub fn size(self) -> usize {
        match self {
            Self::Own(dtype) => dtype.size(),
            Self::Float64 => 8,
        }
    }

    /// Appends the numbers of little-endian bytes; a number beyond `f32` becomes an infinity.
    pub fn read(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::Own(dtype) => dtype.widen(bytes, values),
            Self::Float64 => values.extend(
                bytes.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number) as f32),
            ),
        }
    }
}
