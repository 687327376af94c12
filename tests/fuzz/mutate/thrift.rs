//! Thrift's compact protocol, in which Parquet writes its footer and the headers of its pages: read into a tree, changed, and written
//! again.

use crate::random::Random;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const LONG: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

/// A value with its type; `count` is what is written of a list's length where that is not true.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Bool(bool),
    Byte(u8),
    Int(u8, i64),
    Double([u8; 8]),
    Binary { bytes: Vec<u8>, count: Option<u64> },
    List { kind: u8, of: u8, items: Vec<Value>, count: Option<u64> },
    Struct(Vec<(i16, Value)>),
}

/// Reads a struct; gives it and how many bytes it takes.
///
/// # Panics
/// When there is none.
pub fn read(bytes: &[u8]) -> (Value, usize) {
    let mut rest = bytes;
    let value = value(&mut rest, STRUCT);
    (value, bytes.len() - rest.len())
}

fn byte(rest: &mut &[u8]) -> u8 {
    let (first, others) = rest.split_first().unwrap();
    *rest = others;
    *first
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let next = byte(rest);
        number |= u64::from(next & 127) << shift;
        if next < 128 {
            break;
        }
    }
    number
}

fn zigzag(rest: &mut &[u8]) -> i64 {
    let number = varint(rest);
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn value(rest: &mut &[u8], kind: u8) -> Value {
    match kind {
        TRUE => Value::Bool(true),
        FALSE => Value::Bool(false),
        BYTE => Value::Byte(byte(rest)),
        4..=LONG => Value::Int(kind, zigzag(rest)),
        DOUBLE => {
            let (number, others) = rest.split_first_chunk().unwrap();
            *rest = others;
            Value::Double(*number)
        }
        BINARY => {
            let (bytes, others) = {
                let count = varint(rest) as usize;
                rest.split_at(count)
            };
            *rest = others;
            Value::Binary { bytes: bytes.to_vec(), count: None }
        }
        LIST | SET => {
            let head = byte(rest);
            let count = if head >> 4 == 15 { varint(rest) } else { u64::from(head >> 4) };
            let of = head & 15;
            let item = |rest: &mut &[u8]| match of {
                TRUE | FALSE => Value::Bool(byte(rest) == TRUE),
                of => value(rest, of),
            };
            let items = (0..count).map(|_| item(rest)).collect();
            Value::List { kind, of, items, count: None }
        }
        STRUCT => {
            let (mut fields, mut id) = (Vec::new(), 0);
            loop {
                let head = byte(rest);
                if head == 0 {
                    return Value::Struct(fields);
                }
                let delta = i16::from(head >> 4);
                id = if delta == 0 { zigzag(rest) as i16 } else { id + delta };
                fields.push((id, value(rest, head & 15)));
            }
        }
        other => panic!("type {other}"),
    }
}

fn put_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_zigzag(number: i64, bytes: &mut Vec<u8>) {
    put_varint((number << 1 ^ number >> 63).cast_unsigned(), bytes);
}

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Self::Bool(true) => TRUE,
            Self::Bool(false) => FALSE,
            Self::Byte(_) => BYTE,
            Self::Int(kind, _) | Self::List { kind, .. } => *kind,
            Self::Double(_) => DOUBLE,
            Self::Binary { .. } => BINARY,
            Self::Struct(_) => STRUCT,
        }
    }

    pub fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Bool(_) => {}
            Self::Byte(number) => bytes.push(*number),
            Self::Int(_, number) => put_zigzag(*number, bytes),
            Self::Double(number) => bytes.extend_from_slice(number),
            Self::Binary { bytes: own, count } => {
                put_varint(count.unwrap_or(own.len() as u64), bytes);
                bytes.extend_from_slice(own);
            }
            Self::List { of, items, count, .. } => {
                let count = count.unwrap_or(items.len() as u64);
                if count < 15 {
                    bytes.push((count as u8) << 4 | of);
                } else {
                    bytes.push(15 << 4 | of);
                    put_varint(count, bytes);
                }
                for item in items {
                    match item {
                        Self::Bool(truth) => bytes.push(if *truth { TRUE } else { FALSE }),
                        item => item.write(bytes),
                    }
                }
            }
            Self::Struct(fields) => {
                let mut before = 0;
                for (id, value) in fields {
                    match i32::from(*id) - i32::from(before) {
                        delta @ 1..=15 => bytes.push((delta as u8) << 4 | value.kind()),
                        _ => {
                            bytes.push(value.kind());
                            put_zigzag(i64::from(*id), bytes);
                        }
                    }
                    value.write(bytes);
                    before = *id;
                }
                bytes.push(0);
            }
        }
    }

    /// A field of a struct.
    pub fn field(&self, id: i16) -> Option<&Self> {
        let Self::Struct(fields) = self else { return None };
        fields.iter().find(|(own, _)| *own == id).map(|(_, value)| value)
    }

    /// The elements of a list.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List { items, .. } => items,
            _ => &[],
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(_, number) => Some(*number),
            _ => None,
        }
    }

    /// Adds to every 64-bit number behind a place: offsets of what was moved.
    pub fn shift(&mut self, behind: i64, by: i64) {
        match self {
            Self::Int(LONG, number) if *number > behind => *number += by,
            Self::List { items, .. } => items.iter_mut().for_each(|item| item.shift(behind, by)),
            Self::Struct(fields) => fields.iter_mut().for_each(|(_, v)| v.shift(behind, by)),
            _ => {}
        }
    }

    /// Changes a place in the tree.
    pub fn change(&mut self, random: &mut Random) {
        let children = match self {
            Self::List { items, .. } => items.len(),
            Self::Struct(fields) => fields.len(),
            _ => 0,
        };
        if children > 0 && !random.once_in(5) {
            let at = random.below(children);
            return match self {
                Self::List { items, .. } => items[at].change(random),
                Self::Struct(fields) => fields[at].1.change(random),
                _ => {}
            };
        }
        match self {
            Self::Bool(truth) => *truth = !*truth,
            Self::Byte(number) => *number = random.byte(),
            Self::Int(_, number) => {
                let other = random.instead_of(number.cast_unsigned()).cast_signed();
                *number = if random.once_in(4) { other.wrapping_neg() } else { other };
            }
            Self::Double(number) => number[random.below(8)] = random.byte(),
            Self::Binary { bytes, count } => match random.below(4) {
                0 => *count = Some(random.instead_of(bytes.len() as u64)),
                1 => *bytes = b"x".repeat(random.times()),
                _ => super::bytes::damage(bytes, random),
            },
            Self::List { items, count, of, .. } => match random.below(6) {
                0 => *count = Some(random.instead_of(items.len() as u64)),
                1 => *of = random.below(16) as u8,
                2 if !items.is_empty() => _ = items.remove(random.below(items.len())),
                3 => items.reverse(),
                _ if !items.is_empty() => {
                    let item = items[random.below(items.len())].clone();
                    items.extend(std::iter::repeat_n(item, random.times()));
                }
                _ => {}
            },
            Self::Struct(fields) if !fields.is_empty() => {
                let at = random.below(fields.len());
                match random.below(4) {
                    0 => _ = fields.remove(at),
                    1 => fields[at].0 = random.below(40) as i16,
                    2 => fields[at].1 = fields[random.below(fields.len())].1.clone(),
                    _ => {
                        let field = fields[at].clone();
                        fields.push(field);
                    }
                }
            }
            Self::Struct(_) => {}
        }
    }
}
