//! Safetensors files: their header is JSON behind its length.

use serde_json::Value;

use super::bytes;
use super::json::{self, Json};
use crate::random::Random;

/// A valid file, and the pieces of its header.
pub struct Safetensors {
    header: Value,
    pieces: Json,
    data: Vec<u8>,
}

impl Safetensors {
    /// # Panics
    /// When it is no valid file.
    pub fn read(file: &[u8]) -> Self {
        let (length, rest) = file.split_first_chunk().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header: Value = serde_json::from_slice(header).unwrap();
        Self { pieces: Json::of(vec![header.clone()]), header, data: data.to_vec() }
    }

    pub fn changed(&self, random: &mut Random) -> Vec<u8> {
        let mut header = self.header.clone();
        let mut data = self.data.clone();
        for _ in 0..random.below(3) {
            if let Some(tensors) = header.as_object_mut() {
                let at = random.below(tensors.len().max(1));
                if let Some(tensor) = tensors.values_mut().nth(at) {
                    self.change(tensor, random);
                }
            }
        }
        if random.once_in(4) {
            self.pieces.change(&mut header, random);
        }
        if random.once_in(4) {
            bytes::damage(&mut data, random);
        }
        let mut text = Vec::new();
        json::write(&header, &mut text);
        let length = text.len() as u64;
        let length = if random.once_in(24) { random.instead_of(length) } else { length };
        let mut file = length.to_le_bytes().to_vec();
        file.append(&mut text);
        file.append(&mut data);
        if random.once_in(24) {
            bytes::damage(&mut file, random);
        }
        file
    }

    /// Changes a tensor's type, shape or place.
    fn change(&self, tensor: &mut Value, random: &mut Random) {
        let number = |value: &mut Value, random: &mut Random| {
            *value = random.instead_of(value.as_u64().unwrap_or(0)).into();
        };
        match random.below(5) {
            0 => {
                let types =
                    ["F32", "F16", "BF16", "F64", "I8", "BOOL", "F8_E4M3", "F4", "U64", "X"];
                if let Some(dtype) = tensor.get_mut("dtype") {
                    *dtype = (*random.pick(&types)).into();
                }
            }
            1 | 2 => {
                let which = *random.pick(&["shape", "data_offsets"]);
                let list = tensor.get_mut(which).and_then(Value::as_array_mut);
                if let Some(list) = list.filter(|list| !list.is_empty()) {
                    let at = random.below(list.len());
                    number(&mut list[at], random);
                }
            }
            3 => {
                if let Some(shape) = tensor.get_mut("shape").and_then(Value::as_array_mut) {
                    match random.below(4) {
                        0 => shape.reverse(),
                        1 => _ = shape.pop(),
                        2 => shape.push(1.into()),
                        _ => shape.extend([0.into(), u64::MAX.into()]),
                    }
                }
            }
            _ => self.pieces.change(tensor, random),
        }
    }
}
