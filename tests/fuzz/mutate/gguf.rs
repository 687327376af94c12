//! GGUF files: read into their parts, changed, and written again.

use super::bytes;
use crate::random::Random;

/// Numbers of the types that metadata can have.
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// A metadata value; `count` is what the file says of a list's or a text's length where that is not true.
#[derive(Clone)]
enum Value {
    Scalar(Vec<u8>),
    Text { bytes: Vec<u8>, count: Option<u64> },
    List { kind: u32, items: Vec<Value>, count: Option<u64> },
}

#[derive(Clone)]
struct Pair {
    key: Vec<u8>,
    kind: u32,
    value: Value,
}

#[derive(Clone)]
struct Tensor {
    name: Vec<u8>,
    shape: Vec<u64>,
    kind: u32,
    start: u64,
}

/// A whole file.
#[derive(Clone)]
pub struct Gguf {
    version: u32,
    counts: [Option<u64>; 2],
    pairs: Vec<Pair>,
    tensors: Vec<Tensor>,
    data: Vec<u8>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count as usize);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> Vec<u8> {
        let count = self.u64();
        self.take(count).to_vec()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            TEXT => Value::Text { bytes: self.text(), count: None },
            LIST => {
                let (kind, count) = (self.u32(), self.u64());
                let items = (0..count).map(|_| self.value(kind)).collect();
                Value::List { kind, items, count: None }
            }
            scalar => Value::Scalar(self.take(width(scalar)).to_vec()),
        }
    }
}

/// Bytes of a number of this type.
fn width(kind: u32) -> u64 {
    match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        _ => 8,
    }
}

impl Gguf {
    /// # Panics
    /// When it is no valid file.
    pub fn read(file: &[u8]) -> Self {
        let mut reader = Reader(file);
        assert_eq!(reader.take(4), b"GGUF");
        let version = reader.u32();
        let (tensors, pairs) = (reader.u64(), reader.u64());
        let pairs = (0..pairs).map(|_| {
            let (key, kind) = (reader.text(), reader.u32());
            Pair { key, kind, value: reader.value(kind) }
        });
        let pairs = pairs.collect();
        let tensors = (0..tensors).map(|_| {
            let (name, dimensions) = (reader.text(), reader.u32());
            let shape = (0..dimensions).map(|_| reader.u64()).collect();
            Tensor { name, shape, kind: reader.u32(), start: reader.u64() }
        });
        let tensors = tensors.collect();
        let header = file.len() - reader.0.len();
        let data = file[header.next_multiple_of(32)..].to_vec();
        Self { version, counts: [None; 2], pairs, tensors, data }
    }

    /// Changes a few parts, mostly of the metadata or of the list of tensors.
    pub fn change(&mut self, random: &mut Random) {
        for _ in 0..random.below(4) {
            match random.below(12) {
                0..5 if !self.pairs.is_empty() => self.change_pair(random),
                5..10 if !self.tensors.is_empty() => self.change_tensor(random),
                10 if random.once_in(4) => {
                    let true_counts = [self.tensors.len(), self.pairs.len()];
                    let which = random.below(2);
                    self.counts[which] = Some(random.instead_of(true_counts[which] as u64));
                }
                10 if random.once_in(8) => self.version = random.edge() as u32,
                _ => bytes::damage(&mut self.data, random),
            }
        }
    }

    fn change_pair(&mut self, random: &mut Random) {
        let at = random.below(self.pairs.len());
        match random.below(10) {
            0 => _ = self.pairs.remove(at),
            1 => self.pairs.push(self.pairs[at].clone()),
            2 => {
                let other = random.below(self.pairs.len());
                self.pairs[at].key = self.pairs[other].key.clone();
            }
            3 => {
                let other = self.pairs[random.below(self.pairs.len())].clone();
                self.pairs[at].kind = other.kind;
                self.pairs[at].value = other.value;
            }
            4 if random.once_in(4) => self.pairs[at].kind = random.below(14) as u32,
            5 if random.once_in(4) => bytes::damage(&mut self.pairs[at].key, random),
            _ => change_value(&mut self.pairs[at].value, random),
        }
    }

    fn change_tensor(&mut self, random: &mut Random) {
        let at = random.below(self.tensors.len());
        match random.below(10) {
            0 => _ = self.tensors.remove(at),
            1 => {
                // Layer after layer, all in the same place.
                let tensor = self.tensors[at].clone();
                let name = String::from_utf8_lossy(&tensor.name).into_owned();
                for layer in 0..random.times().min(2000) {
                    let name = name.replacen(".0.", &format!(".{layer}."), 1).into_bytes();
                    self.tensors.push(Tensor { name, ..tensor.clone() });
                }
            }
            2 => {
                let other = random.below(self.tensors.len());
                self.tensors[at].name = self.tensors[other].name.clone();
            }
            3 => bytes::damage(&mut self.tensors[at].name, random),
            4 | 5 => {
                let shape = &mut self.tensors[at].shape;
                let place = random.below(shape.len().max(1));
                match shape.get_mut(place) {
                    Some(size) => *size = random.instead_of(*size),
                    None => shape.push(random.edge()),
                }
            }
            6 => {
                let shape = &mut self.tensors[at].shape;
                match random.below(3) {
                    0 => shape.reverse(),
                    1 => _ = shape.pop(),
                    _ => shape.push(*random.pick(&[0, 1, 2, u64::MAX])),
                }
            }
            7 => {
                let kinds = [
                    0,
                    1,
                    2,
                    3,
                    6,
                    7,
                    8,
                    10,
                    11,
                    12,
                    14,
                    16,
                    19,
                    20,
                    22,
                    23,
                    24,
                    29,
                    30,
                    31,
                    35,
                    39,
                    40,
                    41,
                    u32::MAX,
                ];
                self.tensors[at].kind = *random.pick(&kinds);
            }
            _ => {
                let start = self.tensors[at].start;
                self.tensors[at].start = random.instead_of(start);
            }
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        for (count, true_count) in self.counts.iter().zip([self.tensors.len(), self.pairs.len()]) {
            file.extend(count.unwrap_or(true_count as u64).to_le_bytes());
        }
        for Pair { key, kind, value } in &self.pairs {
            write_text(key, None, &mut file);
            file.extend(kind.to_le_bytes());
            write_value(value, &mut file);
        }
        for Tensor { name, shape, kind, start } in &self.tensors {
            write_text(name, None, &mut file);
            file.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend(start.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend_from_slice(&self.data);
        file
    }
}

fn change_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Scalar(number) => {
            let width = number.len();
            bytes::overwrite(number, 0, width, random);
        }
        Value::Text { bytes, count } => match random.below(6) {
            0 => *count = Some(random.instead_of(bytes.len() as u64)),
            1 => *bytes = b"x".repeat(random.times()),
            2 => bytes.extend_from_within(..),
            _ => {
                let odd = *random.pick(&["", " ", "\0", "é", "▁", "😀", "<0x00>", "a b", "{%"]);
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, odd.bytes());
            }
        },
        Value::List { items, count, kind } => match random.below(10) {
            0 => *count = Some(random.instead_of(items.len() as u64)),
            1 => *kind = random.below(14) as u32,
            2 => items.truncate(random.below(items.len() + 1)),
            3 if !items.is_empty() => {
                let item = items[random.below(items.len())].clone();
                items.extend(std::iter::repeat_n(item, random.times()));
            }
            4 if !items.is_empty() => {
                let (one, other) = (random.below(items.len()), random.below(items.len()));
                items.swap(one, other);
            }
            5 if !items.is_empty() => {
                let (one, other) = (random.below(items.len()), random.below(items.len()));
                items[one] = items[other].clone();
            }
            _ if !items.is_empty() => {
                let at = random.below(items.len());
                change_value(&mut items[at], random);
            }
            _ => {}
        },
    }
}

fn write_text(text: &[u8], count: Option<u64>, file: &mut Vec<u8>) {
    file.extend(count.unwrap_or(text.len() as u64).to_le_bytes());
    file.extend_from_slice(text);
}

fn write_value(value: &Value, file: &mut Vec<u8>) {
    match value {
        Value::Scalar(number) => file.extend_from_slice(number),
        Value::Text { bytes, count } => write_text(bytes, *count, file),
        Value::List { kind, items, count } => {
            file.extend(kind.to_le_bytes());
            file.extend(count.unwrap_or(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| write_value(item, file));
        }
    }
}
