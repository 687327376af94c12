//! The container: GGUF version 2 and 3, little-endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::blocks::Kind;
use crate::error::{Error, Result};
use crate::parameters::Parameter;

/// A metadata value. Integers and floats of all widths are one kind each.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    /// A 32-bit float by its shortest decimal form, so that 1e-5 stays 1e-5.
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

/// Where a tensor is and what it looks like.
#[derive(Debug)]
pub(super) struct TensorInfo {
    pub name: String,
    /// Row-major, outermost first; the file has them the other way round.
    pub shape: Vec<usize>,
    kind: Kind,
    /// Which of the net's files it is in.
    pub part: usize,
    /// From the start of the file.
    start: u64,
    bytes: u64,
}

/// An open file whose header was read, or all files of a net ([`super::split`]).
pub(super) struct GgufFile {
    pub path: PathBuf,
    pub metadata: BTreeMap<String, Value>,
    pub tensors: Vec<TensorInfo>,
    pub parts: Vec<Reader>,
}

/// Bytes that are read at once; a whole number of blocks of every kind is taken out of it.
const CHUNK: usize = 1 << 20;
/// Bytes of a header that are read at once.
const HEADER_CHUNK: usize = 1 << 16;
const MOST_DIMENSIONS: u64 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

impl GgufFile {
    /// Reads everything of one file but the tensors' numbers.
    ///
    /// # Errors
    /// When the file cannot be read, is cut off, or is of another form.
    pub fn open_one(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let stream = BufReader::with_capacity(HEADER_CHUNK, file);
        let mut reader = Reader { path: path.to_path_buf(), stream, position: 0, length };
        if reader.array::<4>()? != *b"GGUF" {
            return reader.fail("not a GGUF file");
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            let why = if version.swap_bytes() <= 3 { " (a big-endian file)" } else { "" };
            return reader
                .fail(format!("GGUF version {version}{why} is not supported, 2 and 3 are"));
        }
        let (tensor_count, pair_count) = (reader.count()?, reader.count()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pair_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind, &key)?;
            metadata.insert(key, value);
        }
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(reader.tensor_info()?);
        }
        let alignment = match metadata.get("general.alignment") {
            Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() => *alignment,
            Some(other) => return reader.fail(format!("general.alignment: {other:?}")),
            None => DEFAULT_ALIGNMENT,
        };
        let data = reader.position.next_multiple_of(alignment);
        // Tensors that share bytes would take more memory than the file has.
        let bytes = tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.bytes));
        if bytes > length {
            return reader.fail(format!("cut off: {bytes} bytes of tensors in a file of {length}"));
        }
        for tensor in &mut tensors {
            let start = data.checked_add(tensor.start);
            let end = start.and_then(|start| start.checked_add(tensor.bytes));
            match (start, end) {
                (Some(start), Some(end)) if end <= length => tensor.start = start,
                _ => {
                    let name = &tensor.name;
                    return reader
                        .fail(format!("cut off: tensor {name} ends after {length} bytes"));
                }
            }
        }
        Ok(Self { path: path.to_path_buf(), metadata, tensors, parts: vec![reader] })
    }

    /// A tensor's numbers.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, index: usize) -> Result<Parameter> {
        let TensorInfo { shape, kind, part, start, bytes, .. } = &self.tensors[index];
        let Reader { stream, path, .. } = &mut self.parts[*part];
        stream.seek(SeekFrom::Start(*start)).map_err(Error::io(path))?;
        let (_, block) = kind.block();
        let mut values = Vec::with_capacity(shape.iter().product());
        let mut buffer = vec![0; CHUNK / block * block];
        let mut rest = *bytes as usize;
        while rest > 0 {
            let chunk = &mut buffer[..rest.min(CHUNK / block * block)];
            stream.read_exact(chunk).map_err(Error::io(path))?;
            kind.widen(chunk, &mut values);
            rest -= chunk.len();
        }
        Ok(Parameter { shape: shape.clone(), values })
    }

    /// An error about this file.
    pub fn fail<T>(&self, message: impl ToString) -> Result<T> {
        Err(Error::format(&self.path, message))
    }
}

/// The header's primitives. Every length is held against what is left of the file before memory is taken for it.
pub(super) struct Reader {
    path: PathBuf,
    stream: BufReader<File>,
    position: u64,
    length: u64,
}

impl Reader {
    fn fail<T>(&self, message: impl ToString) -> Result<T> {
        Err(Error::format(&self.path, message))
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.has(count)?;
        let mut bytes = vec![0; count as usize];
        self.stream.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
        self.position += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.has(N as u64)?;
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// Checks that so many bytes are left.
    fn has(&self, count: u64) -> Result<()> {
        if count <= self.length - self.position {
            return Ok(());
        }
        let Self { position, length, .. } = self;
        self.fail(format!("cut off: {count} bytes are wanted at byte {position} of {length}"))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// How many things of at least one byte follow.
    fn count(&mut self) -> Result<u64> {
        let count = self.u64()?;
        self.has(count)?;
        Ok(count)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u64()?;
        let at = self.position;
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes)
            .or_else(|_| self.fail(format!("the text at byte {at} is not UTF-8")))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => {
                let number = f32::from_le_bytes(self.array()?);
                Value::Float(number.to_string().parse().unwrap_or(f64::from(number)))
            }
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => {
                let kind = self.u32()?;
                if kind == 9 {
                    return self.fail(format!("{key}: lists of lists are not supported"));
                }
                let count = self.count()?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(kind, key)?);
                }
                Value::List(values)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return self.fail(format!("{key}: metadata of unknown type {other}")),
        })
    }

    fn tensor_info(&mut self) -> Result<TensorInfo> {
        let name = self.text()?;
        let dimensions = u64::from(self.u32()?);
        if dimensions > MOST_DIMENSIONS {
            return self.fail(format!("tensor {name}: {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        let number = self.u32()?;
        let kind = match Kind::of_number(number) {
            Ok(kind) => kind,
            Err(kind) => return self.fail(format!("tensor {name}: {kind} is not supported")),
        };
        let start = self.u64()?;
        let count = shape.iter().try_fold(1u64, |count, size| count.checked_mul(*size));
        let (numbers, bytes) = kind.block();
        let row = shape.first().copied().unwrap_or(1);
        let blocks = match count.filter(|count| *count <= isize::MAX as u64 / 8) {
            Some(count) if row.is_multiple_of(numbers as u64) => count / numbers as u64,
            _ => return self.fail(format!("tensor {name}: shape {shape:?} does not fit {kind:?}")),
        };
        let bytes = blocks.saturating_mul(bytes as u64);
        let shape = shape.iter().rev().map(|&size| size as usize).collect();
        Ok(TensorInfo { name, shape, kind, part: 0, start, bytes })
    }
}
