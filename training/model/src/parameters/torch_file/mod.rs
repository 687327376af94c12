//! PyTorch's files (`pytorch_model.bin`): an archive with a pickle that says how lists of numbers, which lie beside it, are tensors.
//! The pickle is read by [`pickle`], which runs nothing.

mod pickle;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::Parameter;
use crate::error::{Error, Result};
use pickle::{Storage, View};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// Far beyond the pickle of any model's tensors.
const LONGEST_PICKLE: u64 = 8 << 20;
const PICKLE: &str = "data.pkl";
/// How files begin that PyTorch wrote before version 1.6: a pickled number.
const OLD: [u8; 6] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc];

/// A file's tensors by name, each as `f32`.
///
/// # Errors
/// When the file cannot be read, is damaged, of PyTorch's older form, or holds anything but a dictionary of tensors of floats.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Parameter>> {
    let fail = |message: String| Error::format(path, message);
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut start = Vec::new();
    file.by_ref().take(OLD.len() as u64).read_to_end(&mut start).map_err(Error::io(path))?;
    if start == OLD {
        return Err(fail("PyTorch's form of before version 1.6 is not supported".to_owned()));
    }
    let stream = BufReader::new(file);
    let archive =
        ZipArchive::new(stream).map_err(|error| fail(format!("not a PyTorch file: {error}")))?;
    let mut archive = Archive { path, length, archive, folder: String::new() };
    archive.folder = archive.folder()?;
    archive.check_byte_order()?;
    let views = pickle::tensors(&archive.whole(PICKLE, LONGEST_PICKLE)?)
        .map_err(|message| fail(format!("{PICKLE}: {message}")))?;
    // Tied tensors are one list; further ones would take more memory than the file has.
    let bytes = |view: &View| Some(count(&view.shape)?.saturating_mul(view.storage.element.size()));
    let bytes = views.iter().map(|(_, view)| bytes(view).unwrap_or(usize::MAX));
    if bytes.fold(0, usize::saturating_add) as u64 > length.saturating_mul(2) {
        return Err(fail("its tensors share more numbers than it has".to_owned()));
    }
    let mut by_storage: BTreeMap<Storage, Vec<(String, View)>> = BTreeMap::new();
    for (name, view) in views {
        by_storage.entry(view.storage.clone()).or_default().push((name, view));
    }
    let mut tensors = BTreeMap::new();
    for (storage, views) in by_storage {
        let mut numbers = archive.numbers(&storage)?;
        let last = views.len() - 1;
        for (place, (name, view)) in views.into_iter().enumerate() {
            let numbers = if place == last {
                std::mem::take(&mut numbers).into()
            } else {
                (&numbers[..]).into()
            };
            let values = viewed(numbers, &view)
                .map_err(|message| fail(format!("tensor {name}: {message}")))?;
            if tensors.insert(name.clone(), Parameter { shape: view.shape, values }).is_some() {
                return Err(fail(format!("tensor {name}: there twice")));
            }
        }
    }
    Ok(tensors)
}

/// How many numbers a shape has.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
}

/// The numbers of a view in row-major order.
fn viewed(numbers: Cow<'_, [f32]>, view: &View) -> Result<Vec<f32>, String> {
    let View { offset, ref shape, ref strides, .. } = *view;
    let stored = numbers.len();
    let last = shape.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
    });
    let count = match (count(shape), last) {
        _ if shape.len() != strides.len() => None,
        (Some(0), _) => return Ok(Vec::new()),
        (Some(count), Some(last)) if count <= stored && last < stored => Some(count),
        _ => None,
    };
    let Some(count) = count else {
        return Err(format!("shape {shape:?} does not fit its {stored} numbers"));
    };
    let mut whole = 1;
    let one_piece = shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == whole;
        whole *= size;
        fits
    });
    if one_piece && count == stored {
        return Ok(numbers.into_owned());
    }
    let mut place = vec![0; shape.len()];
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let steps = place.iter().zip(strides).map(|(place, stride)| place * stride);
        values.push(numbers[offset + steps.sum::<usize>()]);
        for (place, size) in place.iter_mut().zip(shape).rev() {
            *place += 1;
            if *place < *size {
                break;
            }
            *place = 0;
        }
    }
    Ok(values)
}

struct Archive<'a> {
    path: &'a Path,
    /// Of the file.
    length: u64,
    archive: ZipArchive<BufReader<File>>,
    /// What all names in the archive begin with.
    folder: String,
}

impl Archive<'_> {
    fn fail<T>(&self, message: String) -> Result<T> {
        Err(Error::format(self.path, message))
    }

    fn folder(&self) -> Result<String> {
        let end = format!("/{PICKLE}");
        match self.archive.file_names().find_map(|name| name.strip_suffix(&end)) {
            Some(folder) => Ok(folder.to_owned()),
            None => self.fail(format!("not a PyTorch file: it has no {PICKLE}")),
        }
    }

    /// An entry, which is no longer than the file says.
    fn entry(&mut self, name: &str) -> Result<ZipFile<'_>> {
        let (path, length) = (self.path, self.length);
        let name = format!("{}/{name}", self.folder);
        let fail = |message: String| Err(Error::format(path, format!("{name}: {message}")));
        match self.archive.by_name(&name) {
            Ok(entry) if entry.size() == entry.compressed_size() && entry.size() <= length => {
                Ok(entry)
            }
            Ok(_) => fail("compressed, or cut off".to_owned()),
            Err(error) => fail(error.to_string()),
        }
    }

    fn check_byte_order(&mut self) -> Result<()> {
        let name = "byteorder";
        if self.archive.file_names().all(|other| other != format!("{}/{name}", self.folder)) {
            return Ok(());
        }
        match &self.whole(name, 16)?[..] {
            b"little" => Ok(()),
            _ => self.fail(format!("{name}: only little is supported")),
        }
    }

    fn whole(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let path = self.path;
        let mut entry = self.entry(name)?;
        if entry.size() > most {
            let message = format!("{name}: {} bytes, {most} are supported", entry.size());
            return Err(Error::format(path, message));
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(bytes)
    }

    /// All numbers of a list.
    fn numbers(&mut self, storage: &Storage) -> Result<Vec<f32>> {
        let Storage { key, element, count } = storage;
        let path = self.path;
        let name = format!("data/{key}");
        let mut entry = self.entry(&name)?;
        let mut rest = entry.size();
        if count.checked_mul(element.size()).map(|bytes| bytes as u64) != Some(rest) {
            return Err(Error::format(path, format!("{name}: {rest} bytes for {count} numbers")));
        }
        let mut values = Vec::with_capacity(*count);
        let mut buffer = vec![0; CHUNK.min(rest as usize)];
        while rest > 0 {
            let chunk = &mut buffer[..CHUNK.min(rest as usize)];
            entry.read_exact(chunk).map_err(Error::io(path))?;
            element.read(chunk, &mut values);
            rest -= chunk.len() as u64;
        }
        // At its end the archive checks the entry's sum.
        entry.read(&mut [0]).map_err(Error::io(path))?;
        Ok(values)
    }
}
