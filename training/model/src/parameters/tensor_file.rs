//! Safetensors files, read and written one tensor at a time, so that a net is in memory once and not thrice.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use safetensors::tensor::{Dtype as StoredDtype, Metadata, View};
use sha2::{Digest, Sha256};

use super::Parameter;
use super::element_type::ElementType;
use crate::dtype::Dtype;
use crate::error::{Error, Result};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// The safetensors library's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// A file as a stream, with the digest of what was read.
struct Source<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    digest: Sha256,
}

impl Source<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader.read_exact(bytes).map_err(Error::io(self.path))?;
        self.digest.update(&bytes);
        Ok(())
    }
}

/// A safetensors file's tensors by name, each as `f32`, and its SHA-256 in hexadecimal.
///
/// # Errors
/// When the file cannot be read, is cut off, or holds a tensor of another element type.
pub(crate) fn read(path: &Path) -> Result<(BTreeMap<String, Parameter>, String)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let chunk = CHUNK.min(length as usize);
    let reader = BufReader::with_capacity(chunk, file);
    let mut source = Source { path, reader, digest: Sha256::new() };
    let metadata = header(&mut source, length)?;
    let mut buffer = vec![0; chunk];
    let mut tensors = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        let element = match info.dtype {
            StoredDtype::F64 => ElementType::Float64,
            StoredDtype::F32 => ElementType::Own(Dtype::Float32),
            StoredDtype::BF16 => ElementType::Own(Dtype::BFloat16),
            StoredDtype::F16 => ElementType::Own(Dtype::Float16),
            other => {
                let message = format!("tensor {name}: element type {other:?} is not supported");
                return Err(Error::format(path, message));
            }
        };
        let mut rest = info.data_offsets.1 - info.data_offsets.0;
        let mut values = Vec::with_capacity(rest / element.size());
        while rest > 0 {
            let chunk = &mut buffer[..rest.min(chunk)];
            source.fill(chunk)?;
            element.read(chunk, &mut values);
            rest -= chunk.len();
        }
        tensors.insert(name, Parameter { shape: info.shape.clone(), values });
    }
    Ok((tensors, hexadecimal(source.digest)))
}

/// Reads the header and checks that the file is as long as it says.
fn header(source: &mut Source<'_>, length: u64) -> Result<Metadata> {
    let path = source.path;
    let cut_off = |message: String| Err(Error::format(path, format!("cut off: {message}")));
    if length < 8 {
        return cut_off(format!("{length} bytes are too few for a safetensors file"));
    }
    let mut size = [0; 8];
    source.fill(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER {
        let message = format!("not a safetensors file: a header of {size} bytes");
        return Err(Error::format(path, message));
    }
    if 8 + size > length {
        return cut_off(format!("the header has {size} bytes, the file {length}"));
    }
    let mut header = vec![0; size as usize];
    source.fill(&mut header)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| Error::format(path, error))?;
    let data = length - 8 - size;
    for name in metadata.offset_keys() {
        let end = metadata.info(&name).map_or(0, |info| info.data_offsets.1 as u64);
        if end > data {
            return cut_off(format!("tensor {name} ends at byte {end} of {data}"));
        }
    }
    if metadata.data_len() as u64 != data {
        let message = format!("{data} bytes of tensors, its header says {}", metadata.data_len());
        return Err(Error::format(path, message));
    }
    Ok(metadata)
}

/// Checks that no number becomes an infinity in `dtype`.
///
/// # Errors
/// [`Error::OutOfRange`] with the first that does.
pub(crate) fn check_range(name: &str, parameter: &Parameter, dtype: Dtype) -> Result<()> {
    let largest = dtype.largest();
    match parameter.values.iter().position(|value| value.abs() > largest) {
        None => Ok(()),
        Some(index) => Err(Error::OutOfRange {
            name: name.to_owned(),
            index,
            value: parameter.values[index],
            dtype: dtype.name(),
        }),
    }
}

/// Writes a safetensors file, with the metadata without which `transformers` refuses it.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, Rows<'a>)>,
    dtype: Dtype,
) -> Result<()> {
    let tensors: Vec<_> = tensors.collect();
    for (name, rows) in &tensors {
        rows.iter().try_for_each(|parameter| check_range(name, parameter, dtype))?;
    }
    let stored = |(name, rows): (&'a str, Rows<'a>)| {
        let mut shape = rows.first().map_or_else(Vec::new, |part| part.shape.clone());
        if let Some(count) = shape.first_mut() {
            *count = rows.iter().filter_map(|part| part.shape.first()).sum();
        }
        (name, Stored { rows, shape, dtype })
    };
    let views = tensors.into_iter().map(stored);
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|error| Error::format(path, error))
}

/// Parameters whose rows, one after the other, are a tensor of a file.
pub(crate) type Rows<'a> = Vec<&'a Parameter>;

/// A tensor that is encoded when its turn comes.
struct Stored<'a> {
    rows: Rows<'a>,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl View for Stored<'_> {
    fn dtype(&self) -> StoredDtype {
        match self.dtype {
            Dtype::Float32 => StoredDtype::F32,
            Dtype::BFloat16 => StoredDtype::BF16,
            Dtype::Float16 => StoredDtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.rows.as_slice() {
            [alone] => self.dtype.narrow(&alone.values).into(),
            rows => rows.iter().flat_map(|part| self.dtype.narrow(&part.values)).collect(),
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// SHA-256 of a file in hexadecimal.
pub(crate) fn checksum_of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok(hexadecimal(digest)),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// The digest with these tensors' names and numbers, in hexadecimal.
pub(crate) fn fingerprint<'a>(
    mut digest: Sha256,
    tensors: impl Iterator<Item = (&'a str, &'a Parameter)>,
) -> String {
    for (name, tensor) in tensors {
        digest.update(name.as_bytes());
        // In pieces, because the bytes of a large matrix would be a second copy of it.
        for values in tensor.values.chunks(1 << 16) {
            digest.update(Dtype::Float32.narrow(values));
        }
    }
    hexadecimal(digest)
}

/// A digest's result in hexadecimal.
pub(crate) fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
